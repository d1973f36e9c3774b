//! Probes for whoever runs the server. They say yes or no, and nothing else.

use axum::extract::State;
use axum::http::StatusCode;

use crate::state::Shared;

/// The process runs.
pub(crate) async fn alive() -> StatusCode {
    StatusCode::OK
}

/// It can serve: the database answers.
pub(crate) async fn ready(State(app): State<Shared>) -> StatusCode {
    match app.store.read((), |db, ()| Box::pin(db.keys())).await {
        Ok(keys) if !keys.is_empty() => StatusCode::OK,
        Ok(_) => StatusCode::SERVICE_UNAVAILABLE,
        Err(error) => {
            tracing::warn!(%error, "not ready");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
