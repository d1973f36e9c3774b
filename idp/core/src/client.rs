//! A registered client.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::redirect_uri::{RedirectMatch, RedirectUri};
use crate::scope::Scope;
use crate::secret::Digest;
use crate::text::DisplayText;
use crate::time::Timestamp;

/// A client identifier: 1 to 100 unreserved characters, so that every library passes it on unchanged.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(String);

/// A text that cannot be a client identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a client id has 1 to 100 of the characters A-Z a-z 0-9 - . _ ~")]
pub struct BadClientId;

impl ClientId {
    /// Checks an identifier.
    ///
    /// # Errors
    /// [`BadClientId`].
    pub fn parse(text: &str) -> Result<Self, BadClientId> {
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let good = (1..=100).contains(&text.len()) && text.bytes().all(unreserved);
        if good { Ok(Self(text.to_owned())) } else { Err(BadClientId) }
    }

    /// The identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClientId {
    type Error = BadClientId;
    fn try_from(text: String) -> Result<Self, BadClientId> {
        Self::parse(&text)
    }
}

impl From<ClientId> for String {
    fn from(value: ClientId) -> Self {
        value.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientId({})", self.0)
    }
}

/// Defines a closed set of words that are stored and configured by name.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value, for help texts and checks.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stored and configured word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// From the word.
            pub fn from_stored(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }
    )*};
}

words! {
    /// How a client may authenticate at the token endpoint (OpenID Connect Core section 9).
    AuthMethod {
        /// A public client: it has no secret, PKCE protects it.
        None = "none",
        /// HTTP Basic.
        Basic = "client_secret_basic",
        /// Secret in the form.
        Post = "client_secret_post",
        /// Either of the two above: stock libraries differ in their default.
        BasicOrPost = "client_secret_basic_or_post",
    }
    /// Whether a client must use PKCE (RFC 9700 section 2.1.1). Public clients always must.
    PkcePolicy {
        /// Always.
        Always = "always",
        /// PKCE or an OpenID Connect nonce.
        OrNonce = "or-nonce",
        /// Neither is required: some stock proxies send neither.
        Optional = "optional",
    }
    /// Whether people are asked before a client gets their data.
    ConsentPolicy {
        /// Asked once; the answer is stored.
        Ask = "ask",
        /// Never asked: a first-party client.
        Skip = "skip",
    }
    /// A signature algorithm of our tokens (RFC 7518 section 3.1).
    SigningAlg {
        /// RSASSA-PKCS1-v1_5 with SHA-256: OpenID Connect's default for ID tokens.
        Rs256 = "RS256",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
    }
}

/// A registered client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its identifier.
    pub id: ClientId,
    /// Its name, as people see it.
    pub name: DisplayText,
    /// How it authenticates.
    pub auth_method: AuthMethod,
    /// The digest of its secret; a public client has none.
    pub secret: Option<Digest>,
    /// Where authorization responses may go.
    pub redirect_uris: Vec<RedirectUri>,
    /// How those are compared.
    pub redirect_match: RedirectMatch,
    /// Where a browser may go after signing out (RP-Initiated Logout section 3.1).
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// Its own start page, offered when a page leads nowhere else.
    pub home_uri: Option<RedirectUri>,
    /// What it may ask for.
    pub scope: Scope,
    /// Whether it must use PKCE.
    pub pkce: PkcePolicy,
    /// Whether people are asked.
    pub consent: ConsentPolicy,
    /// Algorithm of its ID tokens.
    pub id_token_alg: SigningAlg,
    /// Algorithm of its access tokens.
    pub access_token_alg: SigningAlg,
    /// A disabled client is treated like an unknown one.
    pub enabled: bool,
    /// Raised to revoke every grant of the client at once.
    pub epoch: i64,
    /// When it was registered.
    pub created_at: Timestamp,
}

impl Client {
    /// Whether it has no secret (RFC 6749 section 2.1).
    pub fn is_public(&self) -> bool {
        self.auth_method == AuthMethod::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_passes_unchanged_through_every_encoding() {
        for good in ["a", "my-app", "app.example.org_1~x", &"a".repeat(100)] {
            assert_eq!(ClientId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a:b", "a/b", "a%20b", "a+b", "ä", "a\0", &"a".repeat(101)] {
            assert_eq!(ClientId::parse(bad), Err(BadClientId), "{bad:?}");
        }
    }

    #[test]
    fn stored_words_read_back_as_themselves() {
        for method in AuthMethod::ALL {
            assert_eq!(AuthMethod::from_stored(method.as_str()), Some(*method));
        }
        assert_eq!(AuthMethod::from_stored("private_key_jwt"), None);
    }
}
