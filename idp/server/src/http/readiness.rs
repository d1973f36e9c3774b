//! The last check of whether this node can serve. Callers that arrive while it runs, or within a second of its start,
//! share the result. So any number of probes cost one check a second, and none of them waits for another check.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How long the result of a check is valid, from the start of the check.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Why this node cannot serve: a short reason for the prober, and the detail for the log only.
#[derive(Clone, Debug)]
pub(crate) struct Unready {
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
}

/// The result of a check.
pub(crate) type Verdict = Result<(), &'static str>;

/// The last check.
#[derive(Clone, Default)]
pub(crate) struct Readiness(Arc<Mutex<Last>>);

#[derive(Default)]
struct Last {
    look: Option<(Instant, watch::Receiver<Option<Verdict>>)>,
    /// The last result, so that each change is logged once.
    logged: Option<Verdict>,
}

impl Readiness {
    /// The result of the check that is running or still valid, or else of a new check. A check runs in its own task, so
    /// that a caller that hangs up does not cancel it for the others.
    pub(crate) async fn look<L>(&self, now: Instant, look: impl FnOnce() -> L) -> Verdict
    where
        L: Future<Output = Result<(), Unready>> + Send + 'static,
    {
        let mut outcome = self.under_way(now, look);
        let seen = outcome.wait_for(Option::is_some).await;
        seen.ok().and_then(|seen| *seen).unwrap_or(Err("the database check failed"))
    }

    fn under_way<L>(&self, now: Instant, look: impl FnOnce() -> L) -> watch::Receiver<Option<Verdict>>
    where
        L: Future<Output = Result<(), Unready>> + Send + 'static,
    {
        let mut last = self.last();
        if let Some((begun, outcome)) = &last.look {
            // A check that panicked leaves neither a result nor a sender.
            let runs = outcome.borrow().is_none() && outcome.has_changed().is_ok();
            if runs || now.duration_since(*begun) < GOOD_FOR {
                return outcome.clone();
            }
        }
        let (tell, outcome) = watch::channel(None);
        last.look = Some((now, outcome.clone()));
        let (work, this) = (look(), self.clone());
        tokio::spawn(async move {
            let found = work.await;
            this.log(&found);
            tell.send_replace(Some(found.map_err(|unready| unready.reason)));
        });
        outcome
    }

    fn log(&self, found: &Result<(), Unready>) {
        let outcome = found.as_ref().copied().map_err(|unready| unready.reason);
        let before = self.last().logged.replace(outcome);
        match found {
            Err(Unready { reason, detail }) if before != Some(outcome) => {
                tracing::warn!(reason, %detail, "not ready");
            }
            Ok(()) if matches!(before, Some(Err(_))) => tracing::info!("ready again"),
            _ => {}
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn fault_05_probes_share_one_check_a_second() {
        let (readiness, looks, open) =
            (Readiness::default(), Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let begun = Instant::now();
        let probe = |millis| {
            readiness.look(begun + Duration::from_millis(millis), || {
                let (number, open) = (looks.fetch_add(1, Ordering::SeqCst), Arc::clone(&open));
                async move {
                    drop(open.acquire().await.unwrap());
                    match number % 2 {
                        0 => Ok(()),
                        _ => Err(Unready { reason: "odd", detail: String::new() }),
                    }
                }
            })
        };
        // A probe that hangs up does not cancel the check, and a slow check is still the only one.
        assert!(tokio::time::timeout(Duration::from_millis(1), probe(0)).await.is_err());
        let probes = join_all((0..100).map(|number| probe(number * 50)));
        let (all, ()) = tokio::join!(probes, async { open.add_permits(1) });
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        assert_eq!(looks.load(Ordering::SeqCst), 1);
        assert_eq!(probe(999).await, Ok(()));
        assert_eq!((probe(1000).await, looks.load(Ordering::SeqCst)), (Err("odd"), 2));
        assert_eq!((probe(1999).await, looks.load(Ordering::SeqCst)), (Err("odd"), 2));
        assert_eq!((probe(2000).await, looks.load(Ordering::SeqCst)), (Ok(()), 3));
    }

    #[tokio::test]
    async fn a_check_that_panics_means_not_ready_and_the_next_one_runs() {
        let (readiness, now) = (Readiness::default(), Instant::now());
        let panics = || async { panic!("a check panics on purpose") };
        assert!(readiness.look(now, panics).await.is_err());
        assert_eq!(readiness.look(now + GOOD_FOR, || async { Ok(()) }).await, Ok(()));
        // Callers wait for a running check, however long ago it started.
        let never = readiness.look(now + 2 * GOOD_FOR, pending::<Result<(), Unready>>);
        assert!(tokio::time::timeout(Duration::from_millis(1), never).await.is_err());
        let next = readiness.look(now + 20 * GOOD_FOR, || async { Ok(()) });
        assert!(tokio::time::timeout(Duration::from_millis(1), next).await.is_err());
    }
}
