//! The authorization request (OpenID Connect Core section 3.1.2.2, RFC 9700): an ordered list of rules, one
//! small function each. [`check`] is the list.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::code_grant::{self, GrantRequest};
use super::error::{ErrorCode, Refusal};
use super::keys::HintVerifier;
use super::params::Params;
use crate::client::{Client, ClientId, PkcePolicy};
use crate::redirect_uri::RedirectUri;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::single_use::{AuthorizationCode, SingleUse};

/// Where the response goes. It is made only from a registered redirect URI, and nothing else can be redirected to a
/// client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedirectTarget {
    uri: RedirectUri,
    state: Option<String>,
}

impl RedirectTarget {
    /// The redirect URI.
    pub fn uri(&self) -> &RedirectUri {
        &self.uri
    }

    /// The location that carries a code (RFC 6749 section 4.1.2, RFC 9207 section 2). It is as secret as the code.
    pub fn success(&self, issuer: &str, code: &SingleUse<AuthorizationCode>) -> Secret {
        Secret::new(self.location(&[("code", code.expose())], issuer))
    }

    /// The location that carries an error (RFC 6749 section 4.1.2.1).
    pub fn error(&self, issuer: &str, refusal: Refusal) -> String {
        self.location(&[("error", refusal.code.as_str()), ("error_description", refusal.hint)], issuer)
    }

    fn location(&self, params: &[(&str, &str)], issuer: &str) -> String {
        let state = self.state.as_deref().map(|state| ("state", state));
        let all: Vec<_> = params.iter().copied().chain(state).chain([("iss", issuer)]).collect();
        self.uri.with_params(&all)
    }
}

/// The `prompt` values that were sent (OpenID Connect Core section 3.1.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// No page may be shown.
    pub none: bool,
    /// The person signs in again, even with a live session.
    pub login: bool,
    /// The person is asked again, whatever they allowed before.
    pub consent: bool,
    /// The person chooses the account; here that means signing in again.
    pub select_account: bool,
}

/// A request that passed every rule, as a flow row stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// The client that asks.
    pub client_id: ClientId,
    /// The client's epoch when the request was checked. The request is answered only while the client still has it: a
    /// raised epoch means that the client may do less now. A flow from a version that did not store the epoch has 0, so
    /// it is answered only if the epoch was never raised.
    #[serde(default)]
    pub client_epoch: i64,
    /// Where the response goes.
    pub target: RedirectTarget,
    /// What is asked for: known here and allowed to the client.
    pub scope: Scope,
    /// The `nonce` of the ID token.
    pub nonce: Option<String>,
    /// S256 challenge (RFC 7636 section 4.2).
    pub code_challenge: Option<String>,
    /// Which pages must or must not be shown.
    pub prompt: Prompt,
    /// How old the last sign-in may be, in seconds.
    pub max_age: Option<u32>,
    /// An address to fill into the sign-in form.
    pub login_hint: Option<String>,
    /// The only subjects this may be answered for, from `id_token_hint` or `claims`.
    pub subjects: Option<Vec<String>>,
}

/// Why a request is answered with our own page: there is no trusted place to redirect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageReason {
    /// `client_id` is missing.
    MissingClient,
    /// `client_id` is malformed, unknown or disabled: one response for all.
    UnknownClient,
    /// `redirect_uri` is missing.
    MissingRedirectUri,
    /// `redirect_uri` is not registered.
    UnregisteredRedirectUri,
    /// `client_id` or `redirect_uri` was sent more than once.
    Repeated,
}

/// A request that failed a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizeRefusal {
    /// Answer with a page.
    Page(PageReason),
    /// Answer the client.
    Redirect(RedirectTarget, Refusal),
}

/// Checks an authorization request, rule by rule, in this order. `client` is the stored client with the request's
/// `client_id`.
///
/// # Errors
/// [`AuthorizeRefusal`]: a page until the redirect target is known, a redirect afterwards.
pub fn check(
    params: &Params,
    client: Option<&Client>,
    hints: &dyn HintVerifier,
) -> Result<AuthorizationRequest, AuthorizeRefusal> {
    let client = known_client(params, client).map_err(AuthorizeRefusal::Page)?;
    let target = redirect_target(params, client).map_err(AuthorizeRefusal::Page)?;
    check_rules(params, client, &target, hints).map_err(|refusal| AuthorizeRefusal::Redirect(target, refusal))
}

fn check_rules(
    params: &Params,
    client: &Client,
    target: &RedirectTarget,
    hints: &dyn HintVerifier,
) -> Result<AuthorizationRequest, Refusal> {
    no_parameter_twice(params)?;
    no_request_object(params)?;
    challenge_is_well_formed(params)?;
    let negotiated = code_grant::negotiate(asked(params, client, target), &client.scope)?;
    response_mode_is_query(params)?;
    pkce_policy_is_met(params, client, &negotiated.scope)?;
    no_resource(params)?;
    Ok(AuthorizationRequest {
        client_id: client.id.clone(),
        client_epoch: client.epoch,
        target: target.clone(),
        scope: negotiated.scope,
        nonce: params.get("nonce").map(str::to_owned),
        code_challenge: negotiated.code_challenge,
        prompt: prompt(params)?,
        max_age: max_age(params)?,
        login_hint: params.get("login_hint").map(str::to_owned),
        subjects: subjects(params, hints)?,
    })
}

/// The client that a request names; `None` if it names none or several.
pub fn client_id(params: &Params) -> Option<ClientId> {
    if params.is_repeated("client_id") {
        return None;
    }
    ClientId::parse(params.get("client_id")?).ok()
}

fn known_client<'a>(params: &Params, client: Option<&'a Client>) -> Result<&'a Client, PageReason> {
    if params.is_repeated("client_id") {
        return Err(PageReason::Repeated);
    }
    params.get("client_id").ok_or(PageReason::MissingClient)?;
    let id = client_id(params);
    client.filter(|client| client.enabled && Some(&client.id) == id.as_ref()).ok_or(PageReason::UnknownClient)
}

fn redirect_target(params: &Params, client: &Client) -> Result<RedirectTarget, PageReason> {
    if params.is_repeated("redirect_uri") {
        return Err(PageReason::Repeated);
    }
    let requested = params.get("redirect_uri").ok_or(PageReason::MissingRedirectUri)?;
    let uri = client.redirect_match.find(&client.redirect_uris, requested);
    // The next rule refuses a repeated state; then neither value is sent back.
    let state = params.get("state").filter(|_| !params.is_repeated("state")).map(str::to_owned);
    uri.map(|uri| RedirectTarget { uri, state }).ok_or(PageReason::UnregisteredRedirectUri)
}

/// The parameters that may come only once; `client_id` and `redirect_uri` are checked before.
const SINGLE_VALUED: [&str; 17] = [
    "response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "response_mode",
    "prompt", "max_age", "login_hint", "id_token_hint", "claims", "display", "ui_locales", "acr_values",
    "request", "request_uri",
];

/// Whether this is the name of a parameter that [`check`] reads. All others are ignored (RFC 6749 section 3.1).
pub fn is_parameter(name: &str) -> bool {
    const OTHERS: [&str; 4] = ["client_id", "redirect_uri", "registration", "resource"];
    SINGLE_VALUED.contains(&name) || OTHERS.contains(&name)
}

fn no_parameter_twice(params: &Params) -> Result<(), Refusal> {
    match SINGLE_VALUED.into_iter().find(|name| params.is_repeated(name)) {
        Some(name) => {
            let refusal = Refusal::new(ErrorCode::InvalidRequest, "a parameter is repeated");
            Err(refusal.because_of(name))
        }
        None => Ok(()),
    }
}

fn no_request_object(params: &Params) -> Result<(), Refusal> {
    const NO_OBJECT: &str = "request objects are not supported; send each parameter in the query";
    const NO_REGISTRATION: &str =
        "the registration parameter is not supported; clients are registered in advance";
    for (name, code, hint) in [
        ("request", ErrorCode::RequestNotSupported, NO_OBJECT),
        ("request_uri", ErrorCode::RequestUriNotSupported, NO_OBJECT),
        ("registration", ErrorCode::RegistrationNotSupported, NO_REGISTRATION),
    ] {
        if params.has(name) {
            return Err(Refusal::new(code, hint).because_of(name));
        }
    }
    Ok(())
}

fn challenge_is_well_formed(params: &Params) -> Result<(), Refusal> {
    let shaped = |text: &str| {
        text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    match params.get("code_challenge") {
        Some(challenge) if !shaped(challenge) => Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "code_challenge must be 43 base64url characters, the SHA-256 of the verifier",
        )
        .because_of("code_challenge")),
        None if params.has("code_challenge_method") => {
            let refusal =
                Refusal::new(ErrorCode::InvalidRequest, "code_challenge_method without code_challenge");
            Err(refusal.because_of("code_challenge"))
        }
        _ => Ok(()),
    }
}

fn asked<'a>(params: &'a Params, client: &'a Client, target: &'a RedirectTarget) -> GrantRequest<'a> {
    GrantRequest {
        client_id: client.id.as_str(),
        redirect_uri: target.uri.as_str(),
        response_type: params.get("response_type"),
        scope: params.get("scope"),
        code_challenge: params.get("code_challenge"),
        code_challenge_method: params.get("code_challenge_method"),
    }
}

fn response_mode_is_query(params: &Params) -> Result<(), Refusal> {
    match params.get("response_mode") {
        None | Some("query") => Ok(()),
        Some(_) => Err(Refusal::new(ErrorCode::InvalidRequest, "response_mode must be query")
            .because_of("response_mode")),
    }
}

fn pkce_policy_is_met(params: &Params, client: &Client, scope: &Scope) -> Result<(), Refusal> {
    let challenge = params.get("code_challenge").is_some();
    // A nonce protects OpenID Connect requests only: without openid there is no ID token to carry it.
    let nonce = params.get("nonce").is_some() && scope.has("openid");
    let met = match client.pkce {
        _ if client.is_public() => challenge,
        PkcePolicy::Always => challenge,
        PkcePolicy::OrNonce => challenge || nonce,
        PkcePolicy::Optional => true,
    };
    if met {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::InvalidRequest, "send a code_challenge with code_challenge_method=S256")
        .because_of("code_challenge"))
}

fn no_resource(params: &Params) -> Result<(), Refusal> {
    if params.has("resource") {
        return Err(
            Refusal::new(ErrorCode::InvalidTarget, "no resource is registered here").because_of("resource")
        );
    }
    Ok(())
}

fn prompt(params: &Params) -> Result<Prompt, Refusal> {
    let mut prompt = Prompt::default();
    for word in params.get("prompt").unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
        match word {
            "none" => prompt.none = true,
            "login" => prompt.login = true,
            "consent" => prompt.consent = true,
            "select_account" => prompt.select_account = true,
            _ => {
                let refusal = Refusal::new(ErrorCode::InvalidRequest, "prompt has an unknown value");
                return Err(refusal.because_of("prompt"));
            }
        }
    }
    if prompt.none && prompt != (Prompt { none: true, ..Prompt::default() }) {
        return Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "prompt=none cannot be combined with other values",
        )
        .because_of("prompt"));
    }
    Ok(prompt)
}

fn max_age(params: &Params) -> Result<Option<u32>, Refusal> {
    let Some(text) = params.get("max_age") else { return Ok(None) };
    // Digits only: `parse` would also accept a leading plus.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(seconds) if digits => Ok(Some(seconds)),
        _ => {
            let refusal =
                Refusal::new(ErrorCode::InvalidRequest, "max_age must be a whole number of seconds");
            Err(refusal.because_of("max_age"))
        }
    }
}

/// Whom a request may be answered for; `None`: whoever signs in. Nothing else in `claims` is supported or read, but a
/// token for anybody but the people it names must never be issued.
fn subjects(params: &Params, hints: &dyn HintVerifier) -> Result<Option<Vec<String>>, Refusal> {
    const BAD_HINT: Refusal =
        Refusal::new(ErrorCode::LoginRequired, "id_token_hint was not issued here, or not for this client")
            .because_of("id_token_hint");
    const NOBODY: Refusal =
        Refusal::new(ErrorCode::LoginRequired, "id_token_hint and claims name different subjects");
    let mut lists = claimed_subjects(params)?;
    if let Some(token) = params.get("id_token_hint") {
        let hint = hints.verify(token).ok_or(BAD_HINT)?;
        if Some(hint.audience.as_str()) != params.get("client_id") {
            return Err(BAD_HINT);
        }
        lists.push(vec![hint.subject]);
    }
    let Some(first) = lists.pop() else { return Ok(None) };
    let in_all = |subject: &String| lists.iter().all(|list| list.contains(subject));
    let subjects: Vec<String> = first.into_iter().filter(in_all).collect();
    if subjects.is_empty() { Err(NOBODY) } else { Ok(Some(subjects)) }
}

const BAD_CLAIMS: Refusal =
    Refusal::new(ErrorCode::InvalidRequest, "claims is not a valid claims object (OpenID Connect Core 5.5)")
        .because_of("claims");

/// Each list of subjects that `claims` names, as `value` or `values` of `sub` (OpenID Connect Core section 5.5.1).
fn claimed_subjects(params: &Params) -> Result<Vec<Vec<String>>, Refusal> {
    let Some(text) = params.get("claims") else { return Ok(Vec::new()) };
    // serde_json stops at a depth of 128.
    let claims: Value = serde_json::from_str(text).map_err(|_| BAD_CLAIMS)?;
    let claims = claims.as_object().ok_or(BAD_CLAIMS)?;
    let mut lists = Vec::new();
    for part in ["id_token", "userinfo"] {
        let Some(members) = object(claims, part)? else { continue };
        let Some(sub) = object(members, "sub")? else { continue };
        if let Some(value) = sub.get("value") {
            lists.push(vec![value.as_str().ok_or(BAD_CLAIMS)?.to_owned()]);
        }
        if let Some(values) = sub.get("values") {
            let values = values.as_array().ok_or(BAD_CLAIMS)?.iter();
            let values: Option<Vec<_>> = values.map(|value| value.as_str().map(str::to_owned)).collect();
            lists.push(values.ok_or(BAD_CLAIMS)?);
        }
    }
    Ok(lists)
}

/// The object under a name; `None` if it is absent, or `null`, which asks for nothing in particular.
fn object<'a>(parent: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, Refusal> {
    match parent.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(BAD_CLAIMS),
    }
}

#[cfg(test)]
#[path = "authorize_tests.rs"]
pub(crate) mod tests;
