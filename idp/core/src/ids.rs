//! Identifiers: UUIDv7 (RFC 9562 section 5.7), one type per thing, so that a user ID cannot be passed as a session
//! ID. They sort by creation time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::secret::random_bytes;
use crate::time::Timestamp;

/// A text that is not an ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID in its hyphenated lower-case form")]
pub struct BadId;

fn parse(text: &str) -> Result<Uuid, BadId> {
    let id = Uuid::try_parse(text).map_err(|_| BadId)?;
    // One spelling per ID: what is compared and stored as text must not have aliases.
    if id.as_hyphenated().to_string() == text { Ok(id) } else { Err(BadId) }
}

fn new_v7(now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random_bytes::<10>()).into_uuid()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new ID that sorts by `now`.
            pub fn new(now: Timestamp) -> Self {
                Self(new_v7(now))
            }

            /// The sixteen bytes, for compact encodings.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// From the sixteen bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self)
            }
        }
    )*};
}

ids! {
    /// A person's account; also the `sub` claim (OpenID Connect Core section 2).
    UserId;
    /// A signed-in browser; also the `sid` claim (Back-Channel Logout section 2.1).
    SessionId;
    /// One flow through the hosted pages.
    FlowId;
    /// A grant: one consented authorization and everything issued from it, also called a token family.
    GrantId;
    /// A registration; it becomes an account when its address is proven.
    RegistrationId;
    /// An email waiting in the outbox.
    MailId;
    /// An audit record.
    AuditId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_creation_time() {
        let early = UserId::new(Timestamp::from_millis(1_000));
        let late = UserId::new(Timestamp::from_millis(2_000));
        assert!(early < late && early.to_string() < late.to_string());
    }

    #[test]
    fn an_id_has_one_spelling() {
        let id = UserId::new(Timestamp::from_millis(1_000)).to_string();
        assert!(id.parse::<UserId>().is_ok());
        for alias in [id.to_uppercase(), format!("{{{id}}}"), id.replace('-', ""), format!(" {id}")] {
            assert_eq!(alias.parse::<UserId>(), Err(BadId), "{alias}");
        }
    }
}
