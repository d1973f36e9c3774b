//! What the server does by itself: sends mail, deletes what has expired, reads keys that another node made.

use std::future::Future;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;

use crate::keys;
use crate::mailer;
use crate::state::{AppState, Shared};

/// Starts the tasks. They end when the set is dropped.
pub(crate) fn start(app: &Shared) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(mailer::run(Shared::clone(app)));
    tasks.spawn(every(Duration::from_secs(60), Shared::clone(app), |app| async move { minute(&app).await }));
    tasks
}

async fn every<F: Future<Output = ()>>(span: Duration, app: Shared, work: impl Fn(Shared) -> F) {
    let mut ticks = tokio::time::interval(span);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        work(Shared::clone(&app)).await;
    }
}

async fn minute(app: &Shared) {
    app.limiters.forget_quiet();
    if let Err(error) = reload_keys(app).await {
        tracing::error!(%error, "keys cannot be read; the ones at hand stay in use");
    }
    // While a batch deletes much there is more: at most a thousand batches a minute, with room between them.
    for _ in 0..1000 {
        match app.store.delete_expired(app.clock.now()).await {
            Ok(gone) if gone > 0 => tracing::debug!(gone, "expired rows deleted"),
            Ok(_) => return,
            Err(error) => {
                tracing::error!(%error, "expired rows cannot be deleted");
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn reload_keys(app: &AppState) -> Result<(), crate::errors::StartError> {
    let fresh = keys::load(&app.store, &app.ring, &app.config.issuer).await?;
    store_if_new(&app.jwks, fresh.tokens.jwks());
    app.keys.store(std::sync::Arc::new(fresh));
    Ok(())
}

fn store_if_new(jwks: &ArcSwap<bytes::Bytes>, fresh: &str) {
    if jwks.load().as_ref() != fresh.as_bytes() {
        jwks.store(std::sync::Arc::new(bytes::Bytes::copy_from_slice(fresh.as_bytes())));
    }
}
