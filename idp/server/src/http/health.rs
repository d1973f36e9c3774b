//! Probes for the operator. They say yes, or no with a short reason.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use idp_core::time::SECOND;
use idp_store::StoreError;
use tokio::time::Instant;

use crate::http::readiness::{Unready, Verdict};
use crate::keys::server_keys;
use crate::state::Shared;

/// How far this machine's clock may differ from the database's.
const CLOCK_TOLERANCE: Duration = SECOND.saturating_mul(2);

/// How long the database may take to answer. Requests wait longer for it, so that a load balancer notices before people
/// do.
const PROMPT: Duration = SECOND.saturating_mul(4);

const SILENT: &str = "the database does not answer";

/// Liveness: the process runs.
pub(crate) async fn alive() -> StatusCode {
    StatusCode::OK
}

/// Readiness: the database answers, accepts a write, has this program's schema and keys, and its clock agrees with this
/// machine's.
pub(crate) async fn ready(State(app): State<Shared>) -> (StatusCode, &'static str) {
    match look(&app).await {
        Ok(()) => (StatusCode::OK, "ready"),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

/// Checks readiness, at most once a second.
pub(crate) async fn look(app: &Shared) -> Verdict {
    let looks = || {
        let app = Shared::clone(app);
        async move {
            // A write in the meantime shows that the database works and is only busy.
            let late = |_| match app.store.wrote_within(PROMPT) {
                true => Ok(()),
                false => Err(unready(SILENT, format_args!("not within {} seconds", PROMPT.as_secs()))),
            };
            tokio::time::timeout(PROMPT, check(&app)).await.unwrap_or_else(late)
        }
    };
    app.readiness.look(Instant::now(), looks).await
}

async fn check(app: &Shared) -> Result<(), Unready> {
    app.store.check_readiness().await.map_err(|unfit| match std::error::Error::source(&unfit) {
        Some(cause) => unready(unfit.reason(), cause),
        None => unready(unfit.reason(), &unfit),
    })?;
    // The machine's clock, because the one that `dev` moves differs on purpose.
    let before = app.clock.machine();
    let read = app.store.read_for_readiness((), |db, ()| {
        Box::pin(async move { Ok((db.active_key_purposes().await?, db.clock().await?)) })
    });
    let (purposes, theirs) = read.await.map_err(|error: StoreError| unready(SILENT, error))?;
    if let Some(missing) =
        server_keys::PURPOSES.into_iter().find(|needed| !purposes.iter().any(|own| own == needed))
    {
        return Err(unready("there are no keys", format_args!("no active key for {missing}")));
    }
    let ours = before.minus(CLOCK_TOLERANCE)..=app.clock.machine().plus(CLOCK_TOLERANCE);
    match theirs.filter(|theirs| !ours.contains(theirs)) {
        Some(theirs) => {
            let gap = theirs.millis() - before.millis();
            let reason = "the clocks of server and database differ by more than 2 seconds";
            Err(unready(reason, format_args!("{gap} ms")))
        }
        None => Ok(()),
    }
}

fn unready(reason: &'static str, detail: impl std::fmt::Display) -> Unready {
    Unready { reason, detail: detail.to_string() }
}
