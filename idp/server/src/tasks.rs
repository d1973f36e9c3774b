//! Background tasks: sending mail, deleting what has expired, reading keys that another node made.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::health;
use crate::http::refusal_log;
use crate::keys::server_keys;
use crate::mail::delivery::{self, Senders};
use crate::state::{AppState, Shared};

/// Becomes true when the tasks must end.
pub(crate) type Stop = watch::Receiver<bool>;

/// The running tasks. Dropping this aborts them.
pub(crate) struct Tasks {
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

impl Tasks {
    pub(crate) fn start(app: &Shared) -> Self {
        let mut tasks = Self { stop: watch::Sender::new(false), running: JoinSet::new() };
        let (mail, stop) = (Shared::clone(app), tasks.stop.subscribe());
        // Mail left over from the last run is sent at once.
        mail.mailer.wake();
        tasks.running.spawn(async move {
            let senders = Senders::default();
            let round = || delivery::round(&mail, &senders, &stop);
            rounds("mail", stop.clone(), || mail.mailer.rest(), round).await;
            senders.finish().await;
        });
        let (refusals, stop) = (Arc::clone(&app.refusals), tasks.stop.subscribe());
        tasks.running.spawn(async move {
            let pause = || tokio::time::sleep(refusal_log::INTERVAL);
            rounds("refusals", stop, pause, || async { refusals.tell() }).await;
        });
        let (app, stop) = (Shared::clone(app), tasks.stop.subscribe());
        tasks.running.spawn(async move {
            let minute = || tokio::time::sleep(Duration::from_secs(60));
            rounds("upkeep", stop.clone(), minute, || upkeep(&app, &stop)).await;
        });
        tasks
    }

    /// Lets each task finish its current work, such as handing over a mail, within `patience`.
    pub(crate) async fn end(mut self, patience: Duration) {
        self.stop.send_replace(true);
        let ended = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, ended).await.is_err() {
            tracing::warn!("mails were still being sent and were cut off; they may arrive twice");
        }
    }
}

/// Alternates pause and work until told to stop. A panic ends its round only.
async fn rounds<P: Future<Output = ()>, W: Future<Output = ()>>(
    task: &'static str,
    mut stop: Stop,
    pause: impl Fn() -> P,
    work: impl Fn() -> W,
) {
    loop {
        tokio::select! {
            biased;
            () = async { drop(stop.wait_for(|stop| *stop).await) } => return,
            () = pause() => {}
        }
        if AssertUnwindSafe(async { work().await }).catch_unwind().await.is_err() {
            tracing::error!(task, "a task panicked; it continues with its next round");
        }
    }
}

async fn upkeep(app: &Shared, stop: &Stop) {
    app.limiters.forget_quiet();
    // Needed even if nobody probes: it drops connections to a database server that has been replaced.
    let _ = health::look(app).await;
    if let Err(error) = reload_keys(app).await {
        tracing::error!(%error, "the keys cannot be read; the loaded ones stay in use");
    }
    if let Err(error) = app.store.read((), |db, ()| Box::pin(db.note_newer_mails())).await {
        tracing::error!(%error, "the outbox cannot be read");
    }
    // A batch that deletes something may leave more: at most a thousand batches a minute, with pauses between them.
    for _ in 0..1000 {
        if *stop.borrow() {
            return;
        }
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

async fn reload_keys(app: &AppState) -> Result<(), crate::start_error::StartError> {
    let fresh = server_keys::load(&app.store, &app.ring, &app.config.issuer).await?;
    store_if_new(&app.jwks, fresh.tokens.jwks());
    app.keys.store(std::sync::Arc::new(fresh));
    Ok(())
}

fn store_if_new(jwks: &ArcSwap<bytes::Bytes>, fresh: &str) {
    if jwks.load().as_ref() != fresh.as_bytes() {
        jwks.store(std::sync::Arc::new(bytes::Bytes::copy_from_slice(fresh.as_bytes())));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn r_32_a_task_survives_a_round_that_panics_and_ends_when_told() {
        let (stop, stopped) = watch::channel(false);
        let number = AtomicUsize::new(0);
        let work = || async {
            match number.fetch_add(1, Ordering::Relaxed) {
                1 => panic!("a round panics on purpose"),
                3 => drop(stop.send(true)),
                _ => {}
            }
        };
        rounds("test", stopped, tokio::task::yield_now, work).await;
        assert_eq!(number.into_inner(), 4);
    }
}
