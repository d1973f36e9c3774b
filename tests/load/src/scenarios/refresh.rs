//! Refresh with rotation: each connection keeps its own chain.

use crate::http::{Connection, Failure, Target};
use crate::oauth::{Application, code_flow, tokens};
use crate::scenarios::Seat;

pub(crate) struct Refresh {
    target: Target,
    application: Application,
    token: String,
}

impl Refresh {
    pub(super) async fn prepare(seat: &Seat<'_>, connection: &mut Connection) -> Result<Self, Failure> {
        let (target, application) = (seat.world.target.clone(), seat.world.application.clone());
        let tokens = code_flow(connection, &target, &application, &seat.authorize()).await?;
        Ok(Self { target, application, token: tokens.refresh_token })
    }

    pub(super) async fn step(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let request = self.application.refresh(&self.target, &self.token);
        let tokens = tokens(&connection.send(&request).await?.expect(200)?)?;
        if tokens.refresh_token == self.token {
            return Err(Failure::Unexpected("a refresh token that was not rotated"));
        }
        self.token = tokens.refresh_token;
        Ok(())
    }
}
