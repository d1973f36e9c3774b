//! Work that ends also when its caller hangs up, without a task for each.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;

/// How long work may go on that nobody waits for. Reads take milliseconds. It is less than others wait for a connection
/// (the pool's `PATIENCE`), so that they get theirs however many callers hang up on a slow database.
const GRACE: Duration = Duration::from_secs(3);

/// A future that runs where it is awaited. Dropped half-way, the rest of it runs in a task of its own, for a while: a
/// read that is cut off costs its connection, and the next one has to connect anew.
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
        // Taken out while it runs, so that nothing is left of it if it panics.
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
