//! Sign-in in a new browser: three requests, one password hash.

use crate::browser::sign_in;
use crate::http::{Connection, Failure, Target};
use crate::scenarios::VirtualUser;

pub(crate) struct Login {
    target: Target,
    email: String,
    password: &'static str,
}

impl Login {
    pub(super) fn prepare(user: &VirtualUser<'_>) -> Self {
        let person = user.fixture.person(user.number);
        Self { target: user.fixture.target.clone(), email: person.email.clone(), password: person.password() }
    }

    pub(super) async fn step(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        sign_in(connection, &self.target, (&self.email, self.password)).await.map(drop)
    }
}
