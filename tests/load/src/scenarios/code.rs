//! The code flow of somebody who is signed in and has given consent before: two requests.

use crate::http::{Connection, Failure, Target};
use crate::oauth::{Client, code_flow};
use crate::scenarios::VirtualUser;

pub(crate) struct CodeFlow {
    target: Target,
    client: Client,
    authorize: Vec<u8>,
}

impl CodeFlow {
    pub(super) fn prepare(user: &VirtualUser<'_>) -> Self {
        Self {
            target: user.fixture.target.clone(),
            client: user.fixture.client.clone(),
            authorize: user.authorize(),
        }
    }

    pub(super) async fn step(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        code_flow(connection, &self.target, &self.client, &self.authorize).await.map(drop)
    }
}
