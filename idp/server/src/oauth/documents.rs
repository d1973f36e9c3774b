//! Documents made in advance: discovery, public keys, static files.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use crate::http::errors::{PageError, Reason};
use crate::state::Shared;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The discovery document.
pub(crate) async fn discovery(State(app): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, JSON)], app.discovery.clone()).into_response()
}

/// The public keys.
pub(crate) async fn jwks(State(app): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, JSON)], Bytes::clone(&app.jwks.load())).into_response()
}

/// A static file, by its name, which includes its digest.
pub(crate) async fn asset(
    State(app): State<Shared>,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let asset = app.assets.get(&name).ok_or_else(|| PageError::new(Reason::NOT_FOUND))?;
    Ok(([(header::CONTENT_TYPE, asset.content_type.clone())], asset.body.clone()).into_response())
}
