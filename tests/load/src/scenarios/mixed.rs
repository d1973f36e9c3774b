//! A typical mix: tokens are used more often than refreshed, and refreshed more often than issued by a code flow.
//! Sign-ins are left out, because one costs as much as the rest of a round.

use crate::http::{Connection, Failure};
use crate::scenarios::VirtualUser;
use crate::scenarios::code::CodeFlow;
use crate::scenarios::fixed_request::FixedRequest;
use crate::scenarios::refresh::Refresh;

#[derive(Clone, Copy)]
enum Operation {
    Code,
    Refresh,
    Userinfo,
    Jwks,
    Discovery,
}

use Operation::{Code, Discovery, Jwks, Refresh as Renew, Userinfo};

/// Twenty operations, in an order in which no two costly ones follow each other.
const ROUND: [Operation; 20] = [
    Code, Userinfo, Jwks, Userinfo, Renew, Userinfo, Discovery, Userinfo, Renew, Userinfo, //
    Jwks, Userinfo, Renew, Userinfo, Discovery, Userinfo, Renew, Userinfo, Jwks, Userinfo,
];

pub(crate) struct Mixed {
    turns: std::iter::Cycle<std::slice::Iter<'static, Operation>>,
    code: CodeFlow,
    refresh: Refresh,
    userinfo: FixedRequest,
    jwks: FixedRequest,
    discovery: FixedRequest,
}

impl Mixed {
    pub(super) async fn prepare(
        user: &VirtualUser<'_>,
        connection: &mut Connection,
    ) -> Result<Self, Failure> {
        let mut turns = ROUND.iter().cycle();
        // Each connection starts at another point of the round, or all would send the same at once.
        turns.by_ref().take(user.number % ROUND.len()).for_each(drop);
        Ok(Self {
            turns,
            code: CodeFlow::prepare(user),
            refresh: Refresh::prepare(user, connection).await?,
            userinfo: FixedRequest::userinfo(user, connection).await?,
            jwks: FixedRequest::jwks(user),
            discovery: FixedRequest::discovery(user),
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
