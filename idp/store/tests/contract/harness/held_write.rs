//! Makes things happen at the same time, or in a known order.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use idp_store::{Store, StoreError};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Polls a future once: afterwards a write is in the queue, but its caller is not waiting.
pub(crate) async fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    let mut future = Some(future);
    std::future::poll_fn(move |context| {
        let future = future.take().unwrap();
        Poll::Ready(future.poll(context))
    })
    .await
}

/// A write that holds its connection until it is released. On SQLite all others queue behind it, and those in the
/// queue share its commit.
pub(crate) struct HeldWrite {
    open: Arc<Semaphore>,
    write: JoinHandle<Result<(), StoreError>>,
}

impl HeldWrite {
    /// Returns when the write holds its connection.
    pub(crate) async fn hold(store: &Store) -> Self {
        let (entered, open) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (signals, store) = ((entered.clone(), open.clone()), store.clone());
        let write = tokio::spawn(async move {
            store
                .write(signals, |_tx, (entered, open)| {
                    Box::pin(async move {
                        entered.add_permits(1);
                        // It stays open, because a write may be run again.
                        drop(open.acquire().await.unwrap());
                        Ok(())
                    })
                })
                .await
        });
        entered.acquire().await.unwrap().forget();
        Self { open, write }
    }

    /// Lets the write finish, and returns when it has.
    pub(crate) async fn release(self) {
        self.open.add_permits(1);
        self.write.await.unwrap().unwrap();
    }
}
