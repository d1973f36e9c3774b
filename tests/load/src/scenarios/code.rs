//! The code flow of somebody who is signed in and has been asked before: two requests.

use crate::http::{Connection, Failure, Target};
use crate::oauth::{Application, code_flow};
use crate::scenarios::Seat;

pub(crate) struct CodeFlow {
    target: Target,
    application: Application,
    authorize: Vec<u8>,
}

impl CodeFlow {
    pub(super) fn prepare(seat: &Seat<'_>) -> Self {
        Self {
            target: seat.world.target.clone(),
            application: seat.world.application.clone(),
            authorize: seat.authorize(),
        }
    }

    pub(super) async fn step(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        code_flow(connection, &self.target, &self.application, &self.authorize).await.map(drop)
    }
}
