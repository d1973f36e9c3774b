//! The token endpoint's rules: redeem a code, refresh a grant, issue what the client gets.

use std::fmt;

use serde::Serialize;

use super::claims::{AccessTokenClaims, IdTokenClaims, Issued};
use super::client_auth;
use super::code_grant::{self, Redemption, RefreshRequest};
use super::error::{ErrorCode, Refusal};
use super::grant::{Grant, GrantFacts, IssuedCode, Lifetimes};
use super::keys::{KeyError, KeySet};
use super::params::Params;
use crate::client::{Client, ClientId};
use crate::scope::Scope;
use crate::secret::Secret;
use crate::time::Timestamp;

/// A token request, read but not decided.
#[derive(PartialEq, Eq)]
pub enum TokenRequest<'a> {
    /// `authorization_code` (RFC 6749 section 4.1.3).
    Code {
        /// The code.
        code: &'a str,
        /// Where it was sent; empty if the request does not say, and no code was ever sent there.
        redirect_uri: &'a str,
        /// RFC 7636 section 4.5.
        code_verifier: Option<&'a str>,
    },
    /// `refresh_token` (RFC 6749 section 6).
    Refresh {
        /// The token.
        refresh_token: &'a str,
        /// Less than was granted, if the client wants less.
        scope: Option<&'a str>,
    },
}

impl fmt::Debug for TokenRequest<'_> {
    /// Only the grant type: the rest are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code { .. } => "TokenRequest::Code",
            Self::Refresh { .. } => "TokenRequest::Refresh",
        })
    }
}

fn missing(name: &'static str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "a required parameter is missing").because_of(name)
}

/// The response to a code or refresh token that is unknown, used, expired or revoked.
pub const UNUSABLE: Refusal =
    Refusal::new(ErrorCode::InvalidGrant, "the code or token is unknown, used, expired or revoked");
const BAD_SCOPE: Refusal = Refusal::new(ErrorCode::InvalidScope, "scope is malformed").because_of("scope");
const WRONG_URI: Refusal =
    Refusal::new(ErrorCode::InvalidGrant, "redirect_uri is not the one the code was sent to")
        .because_of("redirect_uri");

/// A repeated one is an error. `resource` may be repeated (RFC 8707 section 2).
const SINGLE_VALUED: [&str; 6] =
    ["grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope"];

/// Whether this is the name of a parameter that [`TokenRequest::read`] or [`client_auth::read`] reads. All others are
/// ignored (RFC 6749 section 3.2).
pub fn is_parameter(name: &str) -> bool {
    SINGLE_VALUED.contains(&name) || name == "resource" || client_auth::PARAMETERS.contains(&name)
}

impl<'a> TokenRequest<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// `unsupported_grant_type`, `invalid_target` for a `resource`, or `invalid_request` if something is missing or
    /// repeated.
    pub fn read(params: &'a Params) -> Result<Self, Refusal> {
        if let Some(name) = SINGLE_VALUED.into_iter().find(|name| params.is_repeated(name)) {
            let refusal = Refusal::new(ErrorCode::InvalidRequest, "a parameter is repeated");
            return Err(refusal.because_of(name));
        }
        if params.has("resource") {
            return Err(Refusal::new(ErrorCode::InvalidTarget, "no resource is registered here")
                .because_of("resource"));
        }
        match params.get("grant_type").ok_or_else(|| missing("grant_type"))? {
            "authorization_code" => Ok(Self::Code {
                code: params.get("code").ok_or_else(|| missing("code"))?,
                redirect_uri: params.get("redirect_uri").unwrap_or_default(),
                code_verifier: params.get("code_verifier"),
            }),
            "refresh_token" => Ok(Self::Refresh {
                refresh_token: params.get("refresh_token").ok_or_else(|| missing("refresh_token"))?,
                scope: params.get("scope"),
            }),
            _ => Err(Refusal::new(
                ErrorCode::UnsupportedGrantType,
                "grant_type must be authorization_code or refresh_token",
            )
            .because_of("grant_type")),
        }
    }
}

/// Checks a code that has just been consumed. Whatever the outcome, the code stays consumed.
///
/// # Errors
/// `invalid_grant`.
pub fn redeem(
    code: &IssuedCode,
    client_id: &ClientId,
    redirect_uri: &str,
    code_verifier: Option<&str>,
    now: Timestamp,
) -> Result<(), Refusal> {
    if now >= code.expires_at {
        return Err(UNUSABLE);
    }
    if redirect_uri != code.redirect_uri.as_str() {
        return Err(WRONG_URI);
    }
    verifier_belongs(code.code_challenge.as_deref(), code_verifier)?;
    code_grant::redeem(Redemption {
        owner: code.facts.client_id.as_str(),
        issued_to_uri: code.redirect_uri.as_str(),
        code_challenge: code.code_challenge.as_deref(),
        client_id: client_id.as_str(),
        redirect_uri,
        code_verifier,
    })
}

/// A verifier must come if, and only if, there was a challenge (RFC 9700 section 4.8.2).
fn verifier_belongs(challenge: Option<&str>, verifier: Option<&str>) -> Result<(), Refusal> {
    let shaped = |text: &str| {
        (43..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
    };
    match (challenge, verifier) {
        (None, None) => Ok(()),
        (Some(_), Some(verifier)) if shaped(verifier) => Ok(()),
        (Some(_), _) => {
            let refusal = Refusal::new(ErrorCode::InvalidGrant, "code_verifier is missing or malformed");
            Err(refusal.because_of("code_verifier"))
        }
        (None, Some(_)) => {
            let refusal = Refusal::new(
                ErrorCode::InvalidGrant,
                "code_verifier was sent, but the authorization request had no code_challenge",
            );
            Err(refusal.because_of("code_verifier"))
        }
    }
}

/// What to do with a presented refresh token, given its grant.
#[derive(Debug, PartialEq, Eq)]
pub enum RefreshDecision {
    /// Rotate, and issue an access token with this scope.
    Rotate(Scope),
    /// An older generation came back: somebody else has it. Revoke the grant (RFC 9700 section 4.14.2).
    Reused,
    /// Change nothing.
    Refuse(Refusal),
}

/// Decides about a refresh. A client that does not own the grant changes nothing.
pub fn refresh(
    grant: &Grant,
    generation: i64,
    client_id: &ClientId,
    scope: Option<&str>,
    now: Timestamp,
) -> RefreshDecision {
    if grant.facts.client_id != *client_id || grant.is_expired(now) || !grant.facts.is_offline() {
        return RefreshDecision::Refuse(UNUSABLE);
    }
    if generation != grant.generation {
        return RefreshDecision::Reused;
    }
    // The machine accepts a list of nothing but spaces.
    if scope.is_some_and(|scope| Scope::parse(scope).is_err()) {
        return RefreshDecision::Refuse(BAD_SCOPE);
    }
    let renewal = RefreshRequest {
        owner: grant.facts.client_id.as_str(),
        granted: &grant.facts.scope,
        client_id: client_id.as_str(),
        scope,
    };
    match code_grant::refresh_scope(renewal) {
        Ok(scope) => RefreshDecision::Rotate(scope),
        Err(refusal) => RefreshDecision::Refuse(refusal),
    }
}

/// The response of the token endpoint (RFC 6749 section 5.1, OpenID Connect Core section 3.1.3.3).
#[derive(Serialize)]
pub struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

/// The inputs of a token response.
pub struct TokenResponseInput<'a> {
    /// Keys and issuer.
    pub keys: &'a KeySet,
    /// Decides the algorithms.
    pub client: &'a Client,
    /// The grant.
    pub facts: &'a GrantFacts,
    /// The access token's scope: all that was granted, or less.
    pub scope: Scope,
    /// From the authorization request; a refresh has none.
    pub nonce: Option<&'a str>,
    /// The next refresh token.
    pub refresh_token: Option<Secret>,
}

impl TokenResponseInput<'_> {
    /// Signs the tokens. If `openid` was granted, there is an ID token, also on a refresh.
    ///
    /// # Errors
    /// [`KeyError`] if a key of ours is missing or broken.
    pub fn sign(self, lifetimes: &Lifetimes, now: Timestamp) -> Result<TokenResponse, KeyError> {
        let issued = Issued { at: now, lifetime: lifetimes.token };
        let issuer = self.keys.issuer();
        let claims = AccessTokenClaims::new(issuer, self.facts, self.scope.clone(), issued);
        let access_token = self.keys.sign_access_token(self.client.access_token_alg, &claims)?;
        let id_token = match self.facts.scope.has("openid") {
            true => {
                let claims = IdTokenClaims::new(issuer, self.facts, self.nonce, &access_token, issued);
                Some(self.keys.sign_id_token(self.client.id_token_alg, &claims)?)
            }
            false => None,
        };
        Ok(TokenResponse {
            access_token,
            token_type: "Bearer",
            expires_in: lifetimes.token.as_secs(),
            scope: self.scope,
            refresh_token: self.refresh_token.map(|token| token.expose().to_owned()),
            id_token,
        })
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
pub(crate) mod tests;
