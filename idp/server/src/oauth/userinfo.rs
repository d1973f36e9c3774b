//! The userinfo endpoint (OpenID Connect Core section 5.3).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use idp_core::oauth::claims::UserInfo;
use idp_core::oauth::error::{ErrorCode, Refusal};

use crate::http::errors::{About, OAuthError, logged};
use crate::http::form::{self, ProtocolBody};
use crate::state::Shared;

/// `GET` and `POST /userinfo`: one read, then the claims covered by the token's scope.
pub(crate) async fn answer(
    State(app): State<Shared>,
    headers: HeaderMap,
    uri: Uri,
    ProtocolBody(body): ProtocolBody,
) -> Result<Response, OAuthError> {
    let token = presented(&headers, &uri, &body)?;
    let claims = app.keys.load().tokens.verify_access_token(&token, app.clock.now());
    let claims = claims.ok_or_else(invalid_token)?;
    let about = || About { client_id: Some(logged(&claims.client_id)), ..About::default() };
    if !claims.scope.has("openid") {
        return Err(insufficient_scope().about(about()));
    }
    let user = app.store.read(claims.grant, |db, grant| Box::pin(db.subject_of_grant(*grant))).await?;
    let user = user.filter(|user| user.id == claims.sub).ok_or_else(|| invalid_token().about(about()))?;
    Ok(Json(UserInfo::new(&user, &claims.scope)).into_response())
}

/// The token, from the header or the form; never from the query or from two places (RFC 6750 section 2).
fn presented(headers: &HeaderMap, uri: &Uri, body: &[u8]) -> Result<String, OAuthError> {
    if form::has_field(uri.query().unwrap_or_default(), "access_token") {
        return Err(in_query());
    }
    let lines = headers.get_all(header::AUTHORIZATION).iter();
    let bearers: Vec<Option<String>> = lines.map(|line| bearer(line.as_bytes())).collect();
    let is_token = |name: &str| name == "access_token";
    let params = form::protocol(body, is_token).map_err(|_| unreadable())?;
    let fields: Vec<&str> =
        params.iter().filter(|(name, _)| is_token(name)).map(|(_, value)| value).collect();
    let repeated = bearers.len() > 1 || fields.len() > 1;
    let in_form = fields.into_iter().filter(|value| !value.is_empty()).map(str::to_owned);
    let mut found: Vec<String> = bearers.into_iter().flatten().chain(in_form).collect();
    match found.len() {
        0 => Err(no_token()),
        1 if !repeated => Ok(found.remove(0)),
        _ => Err(doubled()),
    }
}

/// The token of an `Authorization` header; an empty one, which is not valid, if it is not text. `None`: it has none, or
/// another scheme.
fn bearer(line: &[u8]) -> Option<String> {
    let (scheme, token) = line.split_at(line.iter().position(|byte| *byte == b' ')?);
    let token = token.trim_ascii();
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty();
    is_bearer.then(|| String::from_utf8(token.to_vec()).unwrap_or_default())
}

fn error(status: StatusCode, code: ErrorCode, hint: &'static str, challenge: &'static str) -> OAuthError {
    OAuthError { status, challenge: Some(challenge), ..Refusal::new(code, hint).into() }
}

/// Without a token the challenge has no error code (RFC 6750 section 3.1).
fn no_token() -> OAuthError {
    let challenge = "Bearer realm=\"userinfo\"";
    let hint = "no access token was sent; send Authorization: Bearer and the token";
    error(StatusCode::UNAUTHORIZED, ErrorCode::InvalidToken, hint, challenge)
}

fn invalid_token() -> OAuthError {
    let challenge = "Bearer realm=\"userinfo\", error=\"invalid_token\"";
    let hint = "the access token is expired, revoked, or not for this endpoint";
    error(StatusCode::UNAUTHORIZED, ErrorCode::InvalidToken, hint, challenge)
}

fn insufficient_scope() -> OAuthError {
    let challenge = "Bearer realm=\"userinfo\", error=\"insufficient_scope\", scope=\"openid\"";
    error(StatusCode::FORBIDDEN, ErrorCode::InsufficientScope, "the token lacks openid", challenge)
}

fn doubled() -> OAuthError {
    misplaced("send the token once, in the Authorization header or in the form")
}

fn unreadable() -> OAuthError {
    misplaced("the form's access_token cannot be decoded, or came too often")
}

fn in_query() -> OAuthError {
    misplaced("the token must not be in the query; send it in the Authorization header or in the form")
}

fn misplaced(hint: &'static str) -> OAuthError {
    let challenge = "Bearer realm=\"userinfo\", error=\"invalid_request\"";
    error(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, hint, challenge)
}
