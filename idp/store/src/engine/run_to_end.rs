//! Work that finishes even if its caller goes away, without costing a task each time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;

/// How long abandoned work may go on. Reads take milliseconds. It is shorter than others wait for a connection (the
/// pool's `ACQUIRE_TIMEOUT`), so that they get theirs however many callers abandon reads on a slow database.
const GRACE: Duration = Duration::from_secs(3);

/// A future that runs where it is awaited. If it is dropped half-way, the rest runs in a task of its own for a while:
/// a read that is cut off would cost its connection, and the next read would have to connect anew.
pub(crate) struct RunsToEnd<T: 'static> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    begun: bool,
}

impl<T> RunsToEnd<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { work: Some(Box::pin(work)), begun: false }
    }
}

impl<T> Future for RunsToEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out while it is polled, so that nothing is left of it if it panics.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        self.begun = true;
        let outcome = work.as_mut().poll(context);
        if outcome.is_pending() {
            self.work = Some(work);
        }
        outcome
    }
}

impl<T> Drop for RunsToEnd<T> {
    fn drop(&mut self) {
        if let (true, Some(work), Ok(runtime)) = (self.begun, self.work.take(), Handle::try_current()) {
            runtime.spawn(async move { drop(tokio::time::timeout(GRACE, work).await) });
        }
    }
}
