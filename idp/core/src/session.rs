//! A signed-in browser.

use std::time::Duration;

use crate::ids::{SessionId, UserId};
use crate::time::{HOUR, MINUTE, Timestamp};

/// How long a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLifetime {
    /// Without use.
    pub idle: Duration,
    /// However much it is used.
    pub absolute: Duration,
}

impl Default for SessionLifetime {
    fn default() -> Self {
        Self { idle: MINUTE * 30, absolute: HOUR * 12 }
    }
}

/// How a person proved who they are. The values of `acr` and `amr` follow from it, never the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// A password alone.
    Password,
}

impl Authentication {
    /// The `acr` claim: `1` one factor (OpenID Connect Core section 2).
    pub fn acr(self) -> &'static str {
        match self {
            Self::Password => "1",
        }
    }

    /// The `amr` claim (RFC 8176 section 2).
    pub fn amr(self) -> &'static [&'static str] {
        match self {
            Self::Password => &["pwd"],
        }
    }

    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
        }
    }

    /// From the stored word.
    pub fn from_stored(text: &str) -> Option<Self> {
        (text == "password").then_some(Self::Password)
    }
}

/// A session as read for one request. The store returns live ones only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its ID, also the `sid` claim.
    pub id: SessionId,
    /// Whose session it is.
    pub user_id: UserId,
    /// When the person last proved who they are: the `auth_time` claim.
    pub auth_time: Timestamp,
    /// How.
    pub authentication: Authentication,
    /// When it was last used, to the minute.
    pub last_seen_at: Timestamp,
    /// When it began.
    pub created_at: Timestamp,
}

impl Session {
    /// Whether this use should be stored: at most once a minute, because a commit is expensive.
    pub fn wants_touch(&self, now: Timestamp) -> bool {
        now.since(self.last_seen_at) >= MINUTE
    }
}
