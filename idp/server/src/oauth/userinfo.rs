//! The userinfo endpoint (OpenID Connect Core section 5.3).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use idp_core::oauth::claims::UserInfo;
use idp_core::oauth::error::{ErrorCode, Refusal};

use crate::http::errors::{About, OAuthError, logged};
use crate::http::form::{self, FormBody};
use crate::state::Shared;

/// `GET` and `POST /userinfo`: one read, then the claims covered by the token's scope.
pub(crate) async fn answer(
    State(app): State<Shared>,
    headers: HeaderMap,
    uri: Uri,
    body: Option<axum::Extension<FormBody>>,
) -> Result<Response, OAuthError> {
    let token = presented(&headers, &uri, body.as_ref().map(|body| &body.0))?;
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
fn presented(headers: &HeaderMap, uri: &Uri, body: Option<&FormBody>) -> Result<String, OAuthError> {
    let query = form::decode(uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    if query.iter().any(|(name, _)| name == "access_token") {
        return Err(doubled());
    }
    let mut found: Vec<String> = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .map(|line| bearer(line.to_str().unwrap_or_default()).unwrap_or_default())
        .collect();
    let fields = body.map(|FormBody(fields)| fields.as_slice()).unwrap_or_default();
    found.extend(
        fields.iter().filter(|(name, _)| name == "access_token").map(|(_, value)| value.expose().to_owned()),
    );
    match found.len() {
        0 => Err(no_token()),
        1 => Ok(found.remove(0)),
        _ => Err(doubled()),
    }
}

fn bearer(line: &str) -> Option<String> {
    let (scheme, token) = line.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn error(status: StatusCode, code: ErrorCode, hint: &'static str, challenge: &'static str) -> OAuthError {
    OAuthError { status, challenge: Some(challenge), ..Refusal::new(code, hint).into() }
}

fn no_token() -> OAuthError {
    let challenge = "Bearer realm=\"userinfo\"";
    error(StatusCode::UNAUTHORIZED, ErrorCode::InvalidToken, "send an access token", challenge)
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
    let challenge = "Bearer realm=\"userinfo\", error=\"invalid_request\"";
    let hint = "send the token once, in the Authorization header or in the form";
    error(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, hint, challenge)
}
