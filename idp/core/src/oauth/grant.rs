//! What a person approved and what is issued from it.
//!
//! ```text
//! approval ──> code (once, 60 s) ──redeem──> grant ──> access token (10 min), ID token
//!                                              └─ offline_access ──> refresh token, generation 0
//!                                                  refresh: generation n -> n + 1, reuse of n revokes the grant
//! ```
//! A grant is one row, however often it is refreshed: the refresh token names the grant and its generation,
//! and carries a MAC, so nothing about single tokens is stored.

use std::time::Duration;

use crate::client::ClientId;
use crate::ids::{GrantId, SessionId, UserId};
use crate::redirect_uri::RedirectUri;
use crate::scope::Scope;
use crate::secret::{MacKey, Secret, base64url, from_base64url};
use crate::session::Authentication;
use crate::time::{DAY, MINUTE, SECOND, Timestamp};

/// How long things live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// An authorization code.
    pub code: Duration,
    /// Access and ID token.
    pub token: Duration,
    /// A refresh token that is not used.
    pub refresh_idle: Duration,
    /// A refresh token however much it is used.
    pub refresh_absolute: Duration,
    /// A flow through the pages.
    pub flow: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            code: SECOND * 60,
            token: MINUTE * 10,
            refresh_idle: DAY * 30,
            refresh_absolute: DAY * 90,
            flow: MINUTE * 60,
        }
    }
}

/// Who granted what to whom: the facts that code, grant and tokens share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantFacts {
    /// The grant's ID; made with the code, so that a replayed code finds the grant that came of it.
    pub id: GrantId,
    /// The client.
    pub client_id: ClientId,
    /// The person.
    pub user_id: UserId,
    /// The session in which the person approved.
    pub session_id: SessionId,
    /// What was granted: the ceiling of everything later.
    pub scope: Scope,
    /// When the person had last signed in.
    pub auth_time: Timestamp,
    /// How.
    pub authentication: Authentication,
}

impl GrantFacts {
    /// Whether the grant outlives the session: `offline_access` was granted (OpenID Connect Core section 11).
    pub fn is_offline(&self) -> bool {
        self.scope.has("offline_access")
    }
}

/// A code as stored: everything but the code itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCode {
    /// What it stands for.
    pub facts: GrantFacts,
    /// Where it was sent.
    pub redirect_uri: RedirectUri,
    /// The `nonce` of the ID token.
    pub nonce: Option<String>,
    /// S256 challenge.
    pub code_challenge: Option<String>,
    /// Until when it may be redeemed.
    pub expires_at: Timestamp,
}

/// A grant as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What it stands for.
    pub facts: GrantFacts,
    /// How often it was refreshed. Only a refresh token of this generation is good.
    pub generation: i64,
    /// When it ends if it is not refreshed.
    pub idle_expires_at: Timestamp,
    /// When it ends in any case.
    pub expires_at: Timestamp,
}

impl Grant {
    /// The grant a redeemed code becomes. One without `offline_access` has no refresh token and ends with its
    /// access token.
    pub fn of_code(code: &IssuedCode, lifetimes: &Lifetimes, now: Timestamp) -> Self {
        let facts = code.facts.clone();
        let (idle, absolute) = match facts.is_offline() {
            true => (lifetimes.refresh_idle, lifetimes.refresh_absolute),
            false => (lifetimes.token, lifetimes.token),
        };
        Self { facts, generation: 0, idle_expires_at: now.plus(idle), expires_at: now.plus(absolute) }
    }

    /// When it ends if this refresh is the last one.
    pub fn next_idle_expiry(&self, lifetimes: &Lifetimes, now: Timestamp) -> Timestamp {
        now.plus(lifetimes.refresh_idle).min(self.expires_at)
    }

    /// Whether it has expired.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.idle_expires_at || now >= self.expires_at
    }
}

/// A refresh token: grant, generation, and a MAC that only this server can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The grant it belongs to.
    pub grant_id: GrantId,
    /// The grant's generation it was issued for.
    pub generation: i64,
}

const PREFIX: &str = "rt_";
const PURPOSE: &str = "refresh-token";

impl RefreshToken {
    /// The token as given to the client: `rt_` and 75 base64url characters.
    pub fn encode(&self, key: &MacKey) -> Secret {
        let mut bytes = self.signed_bytes();
        let tag = key.tag(PURPOSE, &[&bytes]);
        bytes.extend(tag);
        Secret::new(format!("{PREFIX}{}", base64url(&bytes)))
    }

    /// Reads a presented token; `None` if this server never made it. This needs no store.
    pub fn decode(text: &str, key: &MacKey) -> Option<Self> {
        let bytes = from_base64url(text.strip_prefix(PREFIX)?)?;
        let (signed, tag) = bytes.split_at_checked(24)?;
        if !key.verify(PURPOSE, &[signed], tag) {
            return None;
        }
        let (id, generation) = signed.split_at(16);
        Some(Self {
            grant_id: GrantId::from_bytes(id.try_into().ok()?),
            generation: i64::from_be_bytes(generation.try_into().ok()?),
        })
    }

    fn signed_bytes(&self) -> Vec<u8> {
        [&self.grant_id.as_bytes()[..], &self.generation.to_be_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(generation: i64) -> RefreshToken {
        RefreshToken { grant_id: GrantId::new(Timestamp::from_millis(1)), generation }
    }

    #[test]
    fn a_refresh_token_is_read_back_under_its_key_only() {
        let (key, token) = (MacKey::generate(), token(7));
        let text = token.encode(&key);
        assert_eq!(RefreshToken::decode(text.expose(), &key), Some(token));
        assert_eq!(RefreshToken::decode(text.expose(), &MacKey::generate()), None);
    }

    #[test]
    fn an_altered_refresh_token_is_refused() {
        let key = MacKey::generate();
        let text = token(7).encode(&key).expose().to_owned();
        for position in [3, 20, 30, text.len() - 1] {
            let mut altered = text.clone().into_bytes();
            altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert_eq!(RefreshToken::decode(&altered, &key), None, "{position}");
        }
        for rubbish in ["", "rt_", "rt_AAAA", &text[3..], &format!("{text}A"), "rt_'--"] {
            assert_eq!(RefreshToken::decode(rubbish, &key), None, "{rubbish}");
        }
    }
}
