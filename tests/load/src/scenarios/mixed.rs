//! What an evening looks like: tokens are used more often than renewed, and renewed more often than first
//! issued. Sign-ins are left out, for one of them costs as much as all the rest of a round.

use crate::http::{Connection, Failure};
use crate::scenarios::Seat;
use crate::scenarios::code::CodeFlow;
use crate::scenarios::fixed::Fixed;
use crate::scenarios::refresh::Refresh;

#[derive(Clone, Copy)]
enum Turn {
    Code,
    Refresh,
    Userinfo,
    Jwks,
    Discovery,
}

use Turn::{Code, Discovery, Jwks, Refresh as Renew, Userinfo};

/// Twenty operations, spread so that no two costly ones follow each other.
const ROUND: [Turn; 20] = [
    Code, Userinfo, Jwks, Userinfo, Renew, Userinfo, Discovery, Userinfo, Renew, Userinfo, //
    Jwks, Userinfo, Renew, Userinfo, Discovery, Userinfo, Renew, Userinfo, Jwks, Userinfo,
];

pub(crate) struct Mixed {
    turns: std::iter::Cycle<std::slice::Iter<'static, Turn>>,
    code: CodeFlow,
    refresh: Refresh,
    userinfo: Fixed,
    jwks: Fixed,
    discovery: Fixed,
}

impl Mixed {
    pub(super) async fn prepare(seat: &Seat<'_>, connection: &mut Connection) -> Result<Self, Failure> {
        let mut turns = ROUND.iter().cycle();
        // Each connection starts elsewhere in the round, or all would ask the same at once.
        turns.by_ref().take(seat.number % ROUND.len()).for_each(drop);
        Ok(Self {
            turns,
            code: CodeFlow::prepare(seat),
            refresh: Refresh::prepare(seat, connection).await?,
            userinfo: Fixed::userinfo(seat, connection).await?,
            jwks: Fixed::jwks(seat),
            discovery: Fixed::discovery(seat),
        })
    }

    pub(super) async fn step(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        match self.turns.next() {
            Some(Code) | None => self.code.step(connection).await,
            Some(Renew) => self.refresh.step(connection).await,
            Some(Userinfo) => self.userinfo.step(connection).await,
            Some(Jwks) => self.jwks.step(connection).await,
            Some(Discovery) => self.discovery.step(connection).await,
        }
    }
}
