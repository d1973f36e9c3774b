//! Probes for whoever runs the server. They say yes, or no and why in a few words.

use axum::extract::State;
use axum::http::StatusCode;
use idp_core::time::SECOND;

use crate::state::Shared;

/// How far this machine's clock may be from the database's.
const CLOCK_TOLERANCE: std::time::Duration = SECOND.saturating_mul(2);

/// How long the database may take to answer: less than requests wait for it, so that a load balancer hears of it before
/// people do.
const PROMPT: std::time::Duration = SECOND.saturating_mul(4);

/// The process runs.
pub(crate) async fn alive() -> StatusCode {
    StatusCode::OK
}

/// It can serve: the database answers, takes writes, and means the same moment by "now".
pub(crate) async fn ready(State(app): State<Shared>) -> (StatusCode, &'static str) {
    match check(&app).await {
        Ok(()) => (StatusCode::OK, "ready"),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

async fn check(app: &Shared) -> Result<(), &'static str> {
    if !app.store.takes_writes() {
        return unready("the database's writer has stopped", &"restart the server");
    }
    // The machine's clock, not the one that `dev` moves: what is moved on purpose is not wrong.
    let before = app.clock.machine();
    let read = app
        .store
        .read((), |db, ()| Box::pin(async move { Ok((db.keys().await?.is_empty(), db.clock().await?)) }));
    const SILENT: &str = "the database does not answer";
    let (keyless, theirs) = match tokio::time::timeout(PROMPT, read).await {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => return unready(SILENT, &error),
        Err(_) => return unready(SILENT, &format!("not within {} seconds", PROMPT.as_secs())),
    };
    if keyless {
        return unready("there are no keys", &"the table of keys is empty");
    }
    let ours = before.minus(CLOCK_TOLERANCE)..=app.clock.machine().plus(CLOCK_TOLERANCE);
    match theirs.filter(|theirs| !ours.contains(theirs)) {
        Some(theirs) => {
            let gap = format!("{} ms", theirs.millis() - before.millis());
            unready("the clocks of server and database differ by more than 2 seconds", &gap)
        }
        None => Ok(()),
    }
}

fn unready(reason: &'static str, detail: &dyn std::fmt::Display) -> Result<(), &'static str> {
    tracing::warn!(reason, %detail, "not ready");
    Err(reason)
}
