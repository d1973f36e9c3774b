//! What one connection repeats. A scenario knows what to send and what to expect; `drive` decides when.

mod code;
mod fixed_request;
mod login;
mod mixed;
mod refresh;

use clap::ValueEnum;
use serde::Serialize;

use self::code::CodeFlow;
use self::fixed_request::FixedRequest;
use self::login::Login;
use self::mixed::Mixed;
use self::refresh::Refresh;
use crate::http::{Connection, Failure, Target};
use crate::people::Fixture;

pub(crate) use self::fixed_request::BareRequest;

/// The scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ScenarioKind {
    /// The discovery document
    Discovery,
    /// The public keys
    Jwks,
    /// Claims for an access token
    Userinfo,
    /// Refresh with rotation, each connection with its own chain
    Refresh,
    /// The code flow, with a live session and consent given before
    Code,
    /// Sign-in in a new browser
    Login,
    /// A mix: one code flow, four refreshes, ten userinfos, three jwks, two discoveries
    Mixed,
}

impl ScenarioKind {
    /// Its name in tables.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Jwks => "jwks",
            Self::Userinfo => "userinfo",
            Self::Refresh => "refresh",
            Self::Code => "code",
            Self::Login => "login",
            Self::Mixed => "mixed",
        }
    }
}

/// A scenario as one connection runs it.
pub(crate) enum Scenario {
    Fixed(FixedRequest),
    Code(CodeFlow),
    Refresh(Refresh),
    Login(Login),
    Mixed(Box<Mixed>),
}

impl Scenario {
    /// Does what has to precede the first repetition.
    pub(crate) async fn prepare(
        kind: ScenarioKind,
        user: &VirtualUser<'_>,
        connection: &mut Connection,
    ) -> Result<Self, Failure> {
        Ok(match kind {
            ScenarioKind::Discovery => Self::Fixed(FixedRequest::discovery(user)),
            ScenarioKind::Jwks => Self::Fixed(FixedRequest::jwks(user)),
            ScenarioKind::Userinfo => Self::Fixed(FixedRequest::userinfo(user, connection).await?),
            ScenarioKind::Refresh => Self::Refresh(Refresh::prepare(user, connection).await?),
            ScenarioKind::Code => Self::Code(CodeFlow::prepare(user)),
            ScenarioKind::Login => Self::Login(Login::prepare(user)),
            ScenarioKind::Mixed => Self::Mixed(Box::new(Mixed::prepare(user, connection).await?)),
        })
    }

    /// The scenario for a bare server: always the same request.
    pub(crate) fn bare(target: &Target, request: BareRequest) -> Self {
        Self::Fixed(FixedRequest::bare(target, request))
    }

    /// One operation.
    pub(crate) async fn step(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        match self {
            Self::Fixed(fixed) => fixed.step(connection).await,
            Self::Code(code) => code.step(connection).await,
            Self::Refresh(refresh) => refresh.step(connection).await,
            Self::Login(login) => login.step(connection).await,
            Self::Mixed(mixed) => mixed.step(connection).await,
        }
    }
}

/// The user that a connection simulates, by number.
#[derive(Clone, Copy)]
pub(crate) struct VirtualUser<'a> {
    pub(crate) fixture: &'a Fixture,
    pub(crate) number: usize,
}

impl VirtualUser<'_> {
    /// This user's authorization request.
    fn authorize(&self) -> Vec<u8> {
        let person = self.fixture.person(self.number);
        self.fixture.client.authorize(&self.fixture.target, &person.cookies)
    }
}
