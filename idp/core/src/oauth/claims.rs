//! Claims: what tokens and the userinfo endpoint say (OpenID Connect Core sections 2 and 5.1, RFC 9068).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::grant::GrantFacts;
use super::issuer::Issuer;
use crate::client::ClientId;
use crate::ids::{GrantId, SessionId, UserId};
use crate::scope::Scope;
use crate::secret::{Secret, base64url};
use crate::time::Timestamp;
use crate::user::User;

/// The claims of an ID token. It has no profile claims: clients get those from userinfo.
#[derive(Debug, Serialize)]
pub struct IdTokenClaims<'a> {
    iss: &'a str,
    sub: UserId,
    aud: &'a ClientId,
    exp: i64,
    iat: i64,
    auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    acr: &'static str,
    amr: &'static [&'static str],
    sid: SessionId,
    at_hash: String,
}

impl<'a> IdTokenClaims<'a> {
    /// The `typ` header: keeps ID tokens and access tokens apart (RFC 8725 section 3.11).
    pub const TYP: &'static str = "JWT";

    /// The claims of an ID token that is issued together with `access_token`.
    pub fn new(
        issuer: &'a Issuer,
        facts: &'a GrantFacts,
        nonce: Option<&'a str>,
        access_token: &str,
        issued: Issued,
    ) -> Self {
        Self {
            iss: issuer.as_str(),
            sub: facts.user_id,
            aud: &facts.client_id,
            exp: issued.expires(),
            iat: issued.at.seconds(),
            auth_time: facts.auth_time.seconds(),
            nonce,
            acr: facts.authentication.acr(),
            amr: facts.authentication.amr(),
            sid: facts.session_id,
            at_hash: at_hash(access_token),
        }
    }
}

/// When a token is issued and how long it lives.
#[derive(Clone, Copy, Debug)]
pub struct Issued {
    /// The moment.
    pub at: Timestamp,
    /// The span.
    pub lifetime: Duration,
}

impl Issued {
    fn expires(self) -> i64 {
        self.at.plus(self.lifetime).seconds()
    }
}

/// The left half of the access token's SHA-256 (OpenID Connect Core section 3.1.3.6): both our algorithms
/// use SHA-256.
fn at_hash(access_token: &str) -> String {
    base64url(&Sha256::digest(access_token.as_bytes())[..16])
}

/// The claims of an access token (RFC 9068 section 2.2). They name the grant, so that a revoked one ends at once at
/// our own endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokenClaims {
    /// Issuer.
    pub iss: String,
    /// The person.
    pub sub: UserId,
    /// This server: the userinfo endpoint is the resource.
    pub aud: String,
    /// The client.
    pub client_id: String,
    /// What it gives access to.
    pub scope: Scope,
    /// Issued at, unix seconds.
    pub iat: i64,
    /// Expires, unix seconds.
    pub exp: i64,
    /// Not valid before, unix seconds. We never write it, but obey it if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Unique.
    pub jti: String,
    /// The grant it was issued from.
    pub grant: GrantId,
}

impl AccessTokenClaims {
    /// The `typ` header (RFC 9068 section 2.1).
    pub const TYP: &'static str = "at+jwt";

    /// The claims of a new access token for (a part of) what was granted.
    pub fn new(issuer: &Issuer, facts: &GrantFacts, scope: Scope, issued: Issued) -> Self {
        Self {
            iss: issuer.as_str().to_owned(),
            sub: facts.user_id,
            aud: issuer.as_str().to_owned(),
            client_id: facts.client_id.as_str().to_owned(),
            scope,
            iat: issued.at.seconds(),
            exp: issued.expires(),
            nbf: None,
            jti: Secret::random().expose().to_owned(),
            grant: facts.id,
        }
    }
}

/// What the userinfo endpoint says of a person: `sub`, and what the scope covers. A value that is not known is
/// left out, never null.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct UserInfo<'a> {
    sub: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
}

impl<'a> UserInfo<'a> {
    /// The claims of `user` that `scope` covers (OpenID Connect Core section 5.4). Every account's address was
    /// proven when it was activated.
    pub fn new(user: &'a User, scope: &Scope) -> Self {
        let (profile, email) = (scope.has("profile"), scope.has("email"));
        Self {
            sub: user.id,
            name: profile.then(|| user.name.as_str()),
            updated_at: profile.then(|| user.updated_at.seconds()),
            email: email.then(|| user.email.as_str()),
            email_verified: email.then_some(true),
        }
    }

    /// The person's own values behind one scope, for the consent page.
    pub fn preview(user: &User, scope: &str) -> Vec<String> {
        match scope {
            "openid" => vec![user.id.to_string()],
            "profile" => vec![user.name.to_string()],
            "email" => vec![user.email.to_string()],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::{Email, FullName, UserState};

    fn ada() -> User {
        let now = Timestamp::from_millis(5_000);
        User {
            id: UserId::new(now),
            email: Email::parse("ada@example.org").unwrap(),
            name: FullName::parse("Ada Lovelace").unwrap(),
            state: UserState::Active,
            epoch: 0,
            created_at: now,
            updated_at: now,
        }
    }

    #[test]
    fn ui_03_a_scope_gives_only_its_own_claims() {
        let ada = ada();
        for (scope, names) in [
            ("openid", vec!["sub"]),
            ("openid profile", vec!["sub", "name", "updated_at"]),
            ("openid email", vec!["sub", "email", "email_verified"]),
        ] {
            let json = serde_json::to_value(UserInfo::new(&ada, &Scope::parse(scope).unwrap())).unwrap();
            let mut found: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
            let mut names: Vec<_> = names.into_iter().map(str::to_owned).collect();
            found.sort();
            names.sort();
            assert_eq!(found, names, "{scope}");
        }
    }

    #[test]
    fn at_hash_is_the_left_half_of_sha_256() {
        // The example of OpenID Connect Core appendix A.3, response type id_token token.
        assert_eq!(at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"), "77QmUPtjPfzWtF2AnpK9RQ");
    }
}
