//! Sign-in by a browser that was never there: three requests, one password hash.

use crate::browser::sign_in;
use crate::http::{Connection, Failure, Target};
use crate::scenarios::Seat;

pub(crate) struct Login {
    target: Target,
    email: String,
    password: &'static str,
}

impl Login {
    pub(super) fn prepare(seat: &Seat<'_>) -> Self {
        let person = seat.world.person(seat.number);
        Self { target: seat.world.target.clone(), email: person.email.clone(), password: person.password() }
    }

    pub(super) async fn step(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        sign_in(connection, &self.target, (&self.email, self.password)).await.map(drop)
    }
}
