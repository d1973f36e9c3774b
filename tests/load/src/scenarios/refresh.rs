//! Refresh with rotation. Each connection has its own chain of refresh tokens.

use crate::http::{Connection, Failure, Target};
use crate::oauth::{Client, code_flow, tokens};
use crate::scenarios::VirtualUser;

pub(crate) struct Refresh {
    target: Target,
    client: Client,
    token: String,
}

impl Refresh {
    pub(super) async fn prepare(
        user: &VirtualUser<'_>,
        connection: &mut Connection,
    ) -> Result<Self, Failure> {
        let (target, client) = (user.fixture.target.clone(), user.fixture.client.clone());
        let tokens = code_flow(connection, &target, &client, &user.authorize()).await?;
        Ok(Self { target, client, token: tokens.refresh_token })
    }

    pub(super) async fn step(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let request = self.client.refresh(&self.target, &self.token);
        let tokens = tokens(&connection.send(&request).await?.expect(200)?)?;
        if tokens.refresh_token == self.token {
            return Err(Failure::Unexpected("a refresh token that was not rotated"));
        }
        self.token = tokens.refresh_token;
        Ok(())
    }
}
