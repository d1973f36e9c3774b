//! The token endpoint (RFC 6749 section 3.2).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::{Extension, response::IntoResponse, response::Response};
use idp_core::audit::{Actor, AuditEvent, AuditRecord};
use idp_core::client::{Client, ClientId};
use idp_core::oauth::client_auth;
use idp_core::oauth::error::{ErrorCode, Refusal};
use idp_core::oauth::grant::{Grant, IssuedCode, Lifetimes, RefreshToken};
use idp_core::oauth::params::Params;
use idp_core::oauth::token::{
    self, RefreshDecision, TokenRequest, TokenResponse, TokenResponseInput, UNUSABLE,
};
use idp_core::scope::Scope;
use idp_core::single_use::{AuthorizationCode, SingleUseDigest};
use idp_core::time::Timestamp;
use idp_store::{StoreError, Tx};

use crate::http::address::RequestInfo;
use crate::http::errors::{About, OAuthError, PageError};
use crate::http::form::{self, ProtocolBody};
use crate::state::Shared;

/// The authenticated client, with the source and time of its request.
struct AuthenticatedClient {
    client: Client,
    info: RequestInfo,
    now: Timestamp,
}

/// `POST /token`. The client is authenticated before its code or token is looked at, so that they stay usable if
/// authentication fails.
pub(crate) async fn post(
    State(app): State<Shared>,
    Extension(info): Extension<RequestInfo>,
    headers: HeaderMap,
    ProtocolBody(body): ProtocolBody,
) -> Result<Response, OAuthError> {
    let params = form::protocol(&body, token::is_parameter).map_err(malformed)?;
    let header = authorization(&headers)?;
    let credentials = client_auth::read(header, &params).map_err(|refusal| unreadable(refusal, &params))?;
    let id = credentials.client_id.clone();
    let found = app.store.read(id, |db, id| Box::pin(db.client(id))).await?;
    let client = client_auth::authenticate(&credentials, found).map_err(|refusal| {
        let about = match &refusal.client_id {
            Some(id) => About::client(id),
            None => About { value: Some(beginning(&credentials.client_id)), ..About::default() },
        };
        let named = refusal.client_id.as_ref().map_or("client_id", |id| id.as_str());
        let detail = Some(format!("{named}: {}", refusal.why).into());
        OAuthError { detail, ..client_auth::FAILED.into() }.about(about)
    })?;
    let caller = AuthenticatedClient { client, info, now: app.clock.now() };
    let client_id = caller.client.id.clone();
    // The client is authenticated: from here on, every refusal is logged with its ID.
    answer(&app, caller, &params).await.map_err(|error| {
        let about = About::client(&client_id).parameter(error.refusal.parameter, &params);
        error.about(about)
    })
}

async fn answer(app: &Shared, caller: AuthenticatedClient, params: &Params) -> Result<Response, OAuthError> {
    match TokenRequest::read(params)? {
        TokenRequest::Code { code, redirect_uri, code_verifier } => {
            let presented = PresentedCode {
                digest: SingleUseDigest::of_presented(code).ok_or(UNUSABLE)?,
                redirect_uri: redirect_uri.to_owned(),
                code_verifier: code_verifier.map(str::to_owned),
            };
            redeem_code(app, caller, presented).await
        }
        TokenRequest::Refresh { refresh_token, scope } => {
            let token = RefreshToken::decode(refresh_token, &app.keys.load().mac).ok_or(UNUSABLE)?;
            refresh(app, caller, token, scope.map(str::to_owned)).await
        }
    }
}

/// An ID that is not registered, for the log. It may be a secret in the wrong place, so only its beginning tells which of
/// them it is.
fn beginning(unknown: &ClientId) -> String {
    const SHORTER_THAN_ANY_SECRET: usize = 8;
    match unknown.as_str() {
        id if id.len() < SHORTER_THAN_ANY_SECRET => id.to_owned(),
        id => format!("{}... ({} characters)", id.chars().take(3).collect::<String>(), id.chars().count()),
    }
}

/// The client's developer sees what the log says. A client ID that nobody has proven is not logged.
fn malformed(error: PageError) -> OAuthError {
    let value = error.about.value.clone();
    let description = error.detail.as_deref().map(Box::from);
    OAuthError { description, ..error.as_oauth() }.about(About { value, ..About::default() })
}

/// The details are for the log only: the client gets the same answer for every failed authentication.
fn unreadable(refusal: Refusal, params: &Params) -> OAuthError {
    let unproven = refusal.code == ErrorCode::InvalidClient;
    let detail = unproven.then(|| "no client_id, and no readable Basic header".into());
    // Log the parameter's name, not its value: that may be a secret in the wrong field.
    let value = refusal.parameter.filter(|name| params.has(name)).map(str::to_owned);
    OAuthError { detail, about: Box::new(About { value, ..About::default() }), ..refusal.into() }
}

/// The `Authorization` header; there may be only one.
fn authorization(headers: &HeaderMap) -> Result<Option<&str>, OAuthError> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => Ok(Some(line.to_str().unwrap_or("?"))),
        (Some(_), Some(_)) => Ok(Some("?")),
    }
}

struct PresentedCode {
    digest: SingleUseDigest<AuthorizationCode>,
    redirect_uri: String,
    code_verifier: Option<String>,
}

/// What a write decided. A refusal is a result, not an error: its changes (a consumed code, a revoked grant) are kept.
enum TokenOutcome<T> {
    Granted(T),
    Refused(Refusal),
}

async fn redeem_code(
    app: &Shared,
    caller: AuthenticatedClient,
    presented: PresentedCode,
) -> Result<Response, OAuthError> {
    let lifetimes = app.config.lifetimes;
    let (outcome, caller) = {
        let caller = std::sync::Arc::new(caller);
        let input = (std::sync::Arc::clone(&caller), presented, lifetimes);
        let outcome = app
            .store
            .write(input, |tx, (caller, presented, lifetimes)| {
                Box::pin(consume(tx, caller, presented, lifetimes))
            })
            .await?;
        (outcome, caller)
    };
    match outcome {
        TokenOutcome::Refused(refusal) => Err(refusal.into()),
        TokenOutcome::Granted((code, grant)) => {
            let keys = app.keys.load();
            let first = RefreshToken { grant_id: grant.facts.id, generation: grant.generation };
            let input = TokenResponseInput {
                keys: &keys.tokens,
                client: &caller.client,
                facts: &grant.facts,
                scope: grant.facts.scope.clone(),
                nonce: code.nonce.as_deref(),
                refresh_token: grant.facts.is_offline().then(|| first.encode(&keys.mac)),
            };
            Ok(tokens(&input.sign(&lifetimes, caller.now)?))
        }
    }
}

/// The token response. It must not be stored (RFC 6749 section 5.1): `Pragma` is set here, `Cache-Control` on every
/// response.
fn tokens(response: &TokenResponse) -> Response {
    ([(header::PRAGMA, "no-cache")], Json(response)).into_response()
}

async fn consume(
    tx: &mut Tx,
    caller: &AuthenticatedClient,
    presented: &PresentedCode,
    lifetimes: &Lifetimes,
) -> Result<TokenOutcome<(IssuedCode, Grant)>, StoreError> {
    let (client, now) = (&caller.client.id, caller.now);
    let Some(consumed) = tx.consume_code(&presented.digest, client, now).await? else {
        if let Some(grant) = tx.revoke_replayed(&presented.digest, client, now).await? {
            tx.audit(&caller.audit(AuditEvent::CodeReplay, grant.to_string())).await?;
        }
        return Ok(TokenOutcome::Refused(UNUSABLE));
    };
    let code = &consumed.code;
    let verifier = presented.code_verifier.as_deref();
    if let Err(refusal) = token::redeem(code, client, &presented.redirect_uri, verifier, now) {
        return Ok(TokenOutcome::Refused(refusal));
    }
    let grant = Grant::of_code(code, lifetimes, now);
    if !tx.insert_grant(&grant, &consumed, now).await? {
        return Ok(TokenOutcome::Refused(UNUSABLE));
    }
    Ok(TokenOutcome::Granted((consumed.code, grant)))
}

async fn refresh(
    app: &Shared,
    caller: AuthenticatedClient,
    token: RefreshToken,
    scope: Option<String>,
) -> Result<Response, OAuthError> {
    let lifetimes = app.config.lifetimes;
    let caller = std::sync::Arc::new(caller);
    let input = (std::sync::Arc::clone(&caller), token, scope, lifetimes);
    let outcome = app
        .store
        .write(input, |tx, (caller, token, scope, lifetimes)| {
            Box::pin(rotate(tx, caller, *token, scope.as_deref(), lifetimes))
        })
        .await?;
    match outcome {
        TokenOutcome::Refused(refusal) => Err(refusal.into()),
        TokenOutcome::Granted((grant, scope)) => {
            let keys = app.keys.load();
            let next = RefreshToken { grant_id: token.grant_id, generation: token.generation + 1 };
            let input = TokenResponseInput {
                keys: &keys.tokens,
                client: &caller.client,
                facts: &grant.facts,
                scope,
                nonce: None,
                refresh_token: Some(next.encode(&keys.mac)),
            };
            Ok(tokens(&input.sign(&lifetimes, caller.now)?))
        }
    }
}

async fn rotate(
    tx: &mut Tx,
    caller: &AuthenticatedClient,
    token: RefreshToken,
    scope: Option<&str>,
    lifetimes: &Lifetimes,
) -> Result<TokenOutcome<(Grant, Scope)>, StoreError> {
    let (client, now) = (&caller.client.id, caller.now);
    let Some(stored) = tx.grant(token.grant_id).await?.filter(|stored| stored.live) else {
        return Ok(TokenOutcome::Refused(UNUSABLE));
    };
    let grant = stored.grant;
    let scope = match token::refresh(&grant, token.generation, client, scope, now) {
        RefreshDecision::Rotate(scope) => scope,
        RefreshDecision::Refuse(refusal) => return Ok(TokenOutcome::Refused(refusal)),
        RefreshDecision::Reused => return reused(tx, caller, token).await,
    };
    let idle_expires_at = grant.next_idle_expiry(lifetimes, now);
    if tx.rotate_grant(token.grant_id, token.generation, idle_expires_at).await? {
        return Ok(TokenOutcome::Granted((grant, scope)));
    }
    // Between our read and our write, another node rotated the grant, or it ended.
    match tx.grant(token.grant_id).await? {
        Some(stored) if stored.live => reused(tx, caller, token).await,
        _ => Ok(TokenOutcome::Refused(UNUSABLE)),
    }
}

async fn reused<T>(
    tx: &mut Tx,
    caller: &AuthenticatedClient,
    token: RefreshToken,
) -> Result<TokenOutcome<T>, StoreError> {
    if tx.revoke_grant(token.grant_id, caller.now).await? {
        tx.audit(&caller.audit(AuditEvent::RefreshReuse, token.grant_id.to_string())).await?;
    }
    Ok(TokenOutcome::Refused(UNUSABLE))
}

impl AuthenticatedClient {
    fn audit(&self, event: AuditEvent, subject: String) -> AuditRecord {
        AuditRecord {
            at: self.now,
            event,
            actor: Actor::Client(self.client.id.clone()),
            subject: Some(subject),
            client_id: Some(self.client.id.clone()),
            source: self.info.audit_source(),
            detail: "",
        }
    }
}
