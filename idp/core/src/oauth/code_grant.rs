//! The only file that uses oxide-auth, whose state machines fix the order in which a code grant is checked: response
//! type, scope syntax, whether the code belongs to the client, whether it was sent to this redirect URI, the PKCE
//! challenge. Reading HTTP, client
//! authentication, exact comparison of redirect URIs, expiry and every token are ours. We use only the kind of
//! its errors, and its clock never decides: the grants we hand it expire far in the future.

use std::borrow::Cow;

use oxide_auth::code_grant::accesstoken::{self, AccessToken};
use oxide_auth::code_grant::authorization::{self, Authorization};
use oxide_auth::code_grant::extensions::Pkce;
use oxide_auth::code_grant::refresh::{self, Refresh};
use oxide_auth::primitives::grant::{Extensions, Grant, Value};
use oxide_auth::primitives::registrar::{BoundClient, ExactUrl, PreGrant, RegisteredUrl};

use super::error::{ErrorCode, Refusal};
use crate::scope::Scope;

const NO_RESPONSE_TYPE: Refusal =
    Refusal::new(ErrorCode::InvalidRequest, "response_type is missing; send response_type=code")
        .because_of("response_type");
const MISSING_SCOPE: Refusal =
    Refusal::new(ErrorCode::InvalidScope, "scope is missing; send scope=openid, or the scopes that you need")
        .because_of("scope");
const UNSUPPORTED: Refusal = Refusal::new(ErrorCode::UnsupportedResponseType, "response_type must be code")
    .because_of("response_type");
const BAD_SCOPE: Refusal =
    Refusal::new(ErrorCode::InvalidScope, "scope is malformed or asks for too much").because_of("scope");
const NO_SCOPE: Refusal =
    Refusal::new(ErrorCode::InvalidScope, "none of the requested scopes is allowed for this client")
        .because_of("scope");
const BAD_CHALLENGE: Refusal = Refusal::new(ErrorCode::InvalidRequest, "code_challenge_method must be S256")
    .because_of("code_challenge_method");
const FAILED_PKCE: Refusal =
    Refusal::new(ErrorCode::InvalidGrant, "code_verifier does not match the code_challenge")
        .because_of("code_verifier");
const FOREIGN: Refusal = Refusal::new(
    ErrorCode::InvalidGrant,
    "the code or token was issued to another client, or redirect_uri differs",
);
const BROKEN: Refusal = Refusal::new(ErrorCode::InvalidRequest, "the request is malformed");

/// What an authorization request asks for, once the client and its redirect URI are known.
#[derive(Clone, Copy)]
pub struct GrantRequest<'a> {
    /// The registered client.
    pub client_id: &'a str,
    /// The redirect URI, already found among the registered ones.
    pub redirect_uri: &'a str,
    /// `response_type`.
    pub response_type: Option<&'a str>,
    /// `scope`.
    pub scope: Option<&'a str>,
    /// `code_challenge`.
    pub code_challenge: Option<&'a str>,
    /// `code_challenge_method`.
    pub code_challenge_method: Option<&'a str>,
}

/// What a code may stand for.
#[derive(Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// What was asked for, is known here, and is allowed to the client.
    pub scope: Scope,
    /// The S256 challenge, if one was sent.
    pub code_challenge: Option<String>,
}

/// Runs the authorization machine. Unknown scope words are ignored (OpenID Connect Core section 3.1.2.1); the rest
/// is cut down to what the client may have.
///
/// # Errors
/// A [`Refusal`] for the response type, the scope, or the challenge method.
pub fn negotiate(asked: GrantRequest<'_>, allowed: &Scope) -> Result<Negotiated, Refusal> {
    use authorization::{Input, Output};
    asked.response_type.ok_or(NO_RESPONSE_TYPE)?;
    let url: ExactUrl = asked.redirect_uri.parse().map_err(|_| BROKEN)?;
    let mut machine = Authorization::new(&asked);
    let mut question = Question::Start;
    let mut scope = Scope::default();
    // Bind, extend, negotiate: three questions, then done.
    for _ in 0..5 {
        let input = match question {
            Question::Start => Input::None,
            Question::Binding => Input::Bound {
                request: &asked,
                bound_client: BoundClient {
                    client_id: Cow::Owned(asked.client_id.to_owned()),
                    redirect_uri: Cow::Owned(RegisteredUrl::Exact(url.clone())),
                },
            },
            Question::Challenge => Input::Extended(challenge(&asked)?),
            Question::Scope => Input::Negotiated {
                pre_grant: PreGrant {
                    client_id: asked.client_id.to_owned(),
                    redirect_uri: RegisteredUrl::Exact(url.clone()),
                    scope: to_oxide(&scope)?,
                },
                state: None,
            },
        };
        question = match machine.advance(input) {
            Output::Bind { .. } => Question::Binding,
            Output::Extend => Question::Challenge,
            Output::Negotiate { scope: wanted, .. } => {
                asked.scope.ok_or(MISSING_SCOPE)?;
                scope = from_oxide(wanted)?.common(allowed);
                Question::Scope
            }
            Output::Ok { pre_grant, .. } => {
                return Ok(Negotiated {
                    scope: from_oxide(Some(pre_grant.scope))?,
                    code_challenge: asked.code_challenge.map(str::to_owned),
                });
            }
            Output::Err(error) => return Err(refusal_of(error)),
        };
    }
    Err(BROKEN)
}

/// What the machine asked last.
enum Question {
    Start,
    Binding,
    Challenge,
    Scope,
}

fn challenge(asked: &GrantRequest<'_>) -> Result<Extensions, Refusal> {
    let (method, challenge) = (asked.code_challenge_method, asked.code_challenge);
    let value = Pkce::optional()
        .challenge(method.map(Cow::Borrowed), challenge.map(Cow::Borrowed))
        .map_err(|()| BAD_CHALLENGE)?;
    Ok(extensions(value))
}

fn extensions(challenge: Option<Value>) -> Extensions {
    let mut extensions = Extensions::new();
    if let Some(value) = challenge {
        extensions.set(&Pkce::optional(), value);
    }
    extensions
}

fn refusal_of(error: authorization::Error) -> Refusal {
    use oxide_auth::code_grant::error::AuthorizationErrorType as Kind;
    match error {
        authorization::Error::Redirect(mut url) => match url.description().kind() {
            Kind::UnsupportedResponseType => UNSUPPORTED,
            Kind::InvalidScope => BAD_SCOPE,
            _ => BROKEN,
        },
        _ => BROKEN,
    }
}

fn to_oxide(scope: &Scope) -> Result<oxide_auth::primitives::scope::Scope, Refusal> {
    if scope.is_empty() { Err(NO_SCOPE) } else { scope.to_string().parse().map_err(|_| BAD_SCOPE) }
}

fn from_oxide(scope: Option<oxide_auth::primitives::scope::Scope>) -> Result<Scope, Refusal> {
    // The machine keeps a hash set: its order changes from call to call, ours does not.
    let text = scope.map(|scope| scope.to_string()).unwrap_or_default();
    Scope::parse(&text).map_err(|_| BAD_SCOPE)
}

impl authorization::Request for GrantRequest<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn client_id(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self.client_id))
    }
    fn scope(&self) -> Option<Cow<'_, str>> {
        self.scope.map(Cow::Borrowed)
    }
    fn redirect_uri(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self.redirect_uri))
    }
    fn state(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn response_type(&self) -> Option<Cow<'_, str>> {
        self.response_type.map(Cow::Borrowed)
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// A code's redemption: what the code was issued for, and what the client presents.
#[derive(Clone, Copy)]
pub struct Redemption<'a> {
    /// The client the code was issued to.
    pub owner: &'a str,
    /// The redirect URI it was sent to.
    pub issued_to_uri: &'a str,
    /// Its S256 challenge.
    pub code_challenge: Option<&'a str>,
    /// The client that authenticated at the token endpoint.
    pub client_id: &'a str,
    /// The `redirect_uri` presented.
    pub redirect_uri: &'a str,
    /// The `code_verifier` presented.
    pub code_verifier: Option<&'a str>,
}

/// Runs the token state machine as far as "issue".
///
/// # Errors
/// A [`Refusal`]: the code belongs to another client or redirect URI, or the verifier does not match.
pub fn redeem(redemption: Redemption<'_>) -> Result<(), Refusal> {
    use accesstoken::{Input, Output};
    let challenge = redemption.code_challenge.map(str::to_owned);
    let method = challenge.as_ref().map(|_| Cow::Borrowed("S256"));
    let challenge = Pkce::optional().challenge(method, challenge.map(Cow::Owned)).map_err(|()| BROKEN)?;
    let grant = grant(redemption.owner, redemption.issued_to_uri, &Scope::default(), extensions(challenge))?;
    let mut machine = AccessToken::new(&redemption);
    let mut input = Input::None;
    for _ in 0..5 {
        input = match machine.advance(input) {
            Output::Authenticate { .. } => Input::Authenticated,
            Output::Recover { .. } => Input::Recovered(Some(Box::new(grant.clone()))),
            Output::Extend { extensions } => {
                let saved = extensions.remove(&Pkce::optional());
                let verifier = redemption.code_verifier.map(Cow::Borrowed);
                Pkce::optional().verify(saved, verifier).map_err(|()| FAILED_PKCE)?;
                Input::Extended { access_extensions: Extensions::new() }
            }
            Output::Issue { .. } => return Ok(()),
            Output::Ok(_) | Output::Err(_) => return Err(FOREIGN),
        };
    }
    Err(BROKEN)
}

fn grant(client: &str, redirect_uri: &str, scope: &Scope, extensions: Extensions) -> Result<Grant, Refusal> {
    // The machine needs a scope and an expiry; our own checks decide both.
    let scope = if scope.is_empty() { Scope::of(&["openid"]) } else { scope.clone() };
    Ok(Grant {
        owner_id: String::new(),
        client_id: client.to_owned(),
        scope: to_oxide(&scope)?,
        redirect_uri: redirect_uri.parse().map_err(|_| BROKEN)?,
        until: "9999-01-01T00:00:00Z".parse().map_err(|_| BROKEN)?,
        extensions,
    })
}

impl accesstoken::Request for Redemption<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn code(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed("the code was recovered before the machine was asked"))
    }
    fn authorization(&self) -> accesstoken::Authorization<'_> {
        // The client has passed our own authentication; the machine sees only the result.
        accesstoken::Authorization::UsernamePassword(Cow::Borrowed(self.client_id), Cow::Borrowed(b""))
    }
    fn client_id(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn redirect_uri(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self.redirect_uri))
    }
    fn grant_type(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed("authorization_code"))
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// A refresh: whose grant it is, and what the client asks for.
#[derive(Clone, Copy)]
pub struct RefreshRequest<'a> {
    /// The client the grant belongs to.
    pub owner: &'a str,
    /// What was granted: the ceiling of every refresh.
    pub granted: &'a Scope,
    /// The client that authenticated.
    pub client_id: &'a str,
    /// The `scope` asked for.
    pub scope: Option<&'a str>,
}

/// Runs the refresh state machine as far as "refresh" and returns the scope of the next access token.
///
/// # Errors
/// A [`Refusal`]: another client's grant, or more scope than was granted (RFC 6749 section 6).
pub fn refresh_scope(request: RefreshRequest<'_>) -> Result<Scope, Refusal> {
    use refresh::{Input, Output};
    let grant = grant(request.owner, "https://unused.invalid/", request.granted, Extensions::new())?;
    let mut machine = Refresh::new(&request);
    let mut input = Input::None;
    for _ in 0..4 {
        input = match machine.advance(input) {
            Output::Unauthenticated { .. } => Input::Authenticated { scope: None },
            Output::RecoverRefresh { .. } => Input::Recovered {
                scope: request.scope.map(Cow::Borrowed),
                grant: Some(Box::new(grant.clone())),
            },
            Output::Refresh { grant, .. } => return from_oxide(Some(grant.scope)),
            Output::Err(error) => return Err(refresh_refusal(error)),
            Output::Ok(_) => return Err(BROKEN),
        };
    }
    Err(BROKEN)
}

fn refresh_refusal(mut error: refresh::Error) -> Refusal {
    use oxide_auth::code_grant::error::AccessTokenErrorType as Kind;
    match error.description().map(|description| description.kind()) {
        Some(Kind::InvalidScope) => BAD_SCOPE,
        Some(Kind::InvalidGrant) => FOREIGN,
        _ => BROKEN,
    }
}

impl refresh::Request for RefreshRequest<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn refresh_token(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed("the token was read before the machine was asked"))
    }
    fn scope(&self) -> Option<Cow<'_, str>> {
        self.scope.map(Cow::Borrowed)
    }
    fn grant_type(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed("refresh_token"))
    }
    fn authorization(&self) -> Option<(Cow<'_, str>, Cow<'_, [u8]>)> {
        // Without this the machine never compares a public client with the token's owner.
        Some((Cow::Borrowed(self.client_id), Cow::Borrowed(b"")))
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    fn asked() -> GrantRequest<'static> {
        GrantRequest {
            client_id: "app",
            redirect_uri: "http://127.0.0.1:8000",
            response_type: Some("code"),
            scope: Some("openid email address"),
            code_challenge: Some(CHALLENGE),
            code_challenge_method: Some("S256"),
        }
    }

    #[test]
    fn known_and_allowed_scopes_are_negotiated() {
        let negotiated = negotiate(asked(), &Scope::of(&["openid", "profile", "email"])).unwrap();
        assert_eq!(negotiated.scope.to_string(), "email openid");
        assert_eq!(negotiated.code_challenge.as_deref(), Some(CHALLENGE));
    }

    #[test]
    fn az_10_az_11_each_refusal_has_its_code() {
        let allowed = Scope::of(&["openid"]);
        for (bad, code) in [
            (GrantRequest { response_type: Some("token"), ..asked() }, ErrorCode::UnsupportedResponseType),
            (
                GrantRequest { response_type: Some("id_token token"), ..asked() },
                ErrorCode::UnsupportedResponseType,
            ),
            (GrantRequest { response_type: None, ..asked() }, ErrorCode::InvalidRequest),
            (GrantRequest { scope: Some("a\"b"), ..asked() }, ErrorCode::InvalidScope),
            (GrantRequest { scope: Some("address"), ..asked() }, ErrorCode::InvalidScope),
            (GrantRequest { scope: None, ..asked() }, ErrorCode::InvalidScope),
            (GrantRequest { code_challenge_method: Some("plain"), ..asked() }, ErrorCode::InvalidRequest),
            (GrantRequest { code_challenge_method: None, ..asked() }, ErrorCode::InvalidRequest),
        ] {
            assert_eq!(negotiate(bad, &allowed).unwrap_err().code, code);
        }
    }

    fn redemption() -> Redemption<'static> {
        Redemption {
            owner: "app",
            issued_to_uri: "com.example.app:/cb",
            code_challenge: Some(CHALLENGE),
            client_id: "app",
            redirect_uri: "com.example.app:/cb",
            code_verifier: Some(VERIFIER),
        }
    }

    #[test]
    fn a_code_is_redeemed_by_its_client_with_its_verifier_only() {
        assert_eq!(redeem(redemption()), Ok(()));
        for bad in [
            Redemption { client_id: "other", ..redemption() },
            Redemption { redirect_uri: "com.example.app:/other", ..redemption() },
            Redemption { code_verifier: None, ..redemption() },
            Redemption { code_verifier: Some(CHALLENGE), ..redemption() },
        ] {
            assert_eq!(redeem(bad).unwrap_err().code, ErrorCode::InvalidGrant);
        }
    }

    #[test]
    fn tk_20_a_refresh_never_gets_more_than_was_granted() {
        let granted = Scope::of(&["openid", "email"]);
        let renewal = RefreshRequest { owner: "app", granted: &granted, client_id: "app", scope: None };
        assert_eq!(refresh_scope(renewal).unwrap(), granted);
        assert_eq!(
            refresh_scope(RefreshRequest { scope: Some("openid"), ..renewal }).unwrap(),
            Scope::of(&["openid"])
        );
        let wider = RefreshRequest { scope: Some("openid profile"), ..renewal };
        assert_eq!(refresh_scope(wider).unwrap_err().code, ErrorCode::InvalidScope);
        let foreign = RefreshRequest { client_id: "other", ..renewal };
        assert_eq!(refresh_scope(foreign).unwrap_err().code, ErrorCode::InvalidGrant);
    }
}
