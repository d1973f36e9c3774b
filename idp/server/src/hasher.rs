//! What passwords cost, on its own few threads: as many as cores, at low priority, with one block of memory each and a
//! bounded queue. Nobody else hashes, or judges how good a password is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use idp_core::account::password::{self, HashMemory, PasswordHash};
use idp_core::secret::Secret;
use tokio::sync::oneshot;

/// Jobs that may wait per thread: one or two seconds of work.
const WAITING: usize = 64;

/// Why a password was neither hashed nor verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HashError {
    /// The queue is full: the machine has more passwords to check than it can in a second.
    #[error("too many passwords are waiting to be checked")]
    Busy,
    /// The work itself failed or panicked.
    #[error("a password could not be hashed")]
    Failed,
}

type Work = Box<dyn FnOnce(&mut HashMemory) + Send>;

/// The pool.
#[derive(Clone)]
pub(crate) struct Hasher(SyncSender<Work>);

impl Hasher {
    /// Starts the threads. They end when the last handle is dropped.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let (sender, queue) = sync_channel::<Work>(WAITING * threads);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name(format!("hash-{number}")).spawn(move || run(&queue))?;
        }
        Ok(Self(sender))
    }

    /// The place of the first of these hashes that the password is behind. One job, so that [`HashError::Busy`] means
    /// that nothing was compared. Without a hash the same work is done for nothing, so that the time says nothing about
    /// whether there is an account.
    pub(crate) async fn find(
        &self,
        password: Secret,
        hashes: [Option<PasswordHash>; 2],
    ) -> Result<Option<usize>, HashError> {
        self.submit(move |memory| {
            hashes.iter().position(|hash| {
                let right =
                    password::verify(&password, hash.as_ref().unwrap_or(password::nobodys_hash()), memory);
                right && hash.is_some()
            })
        })
        .await
    }

    /// Runs work on passwords on one of the threads.
    ///
    /// # Errors
    /// [`HashError::Busy`]: it was not begun. [`HashError::Failed`]: it panicked.
    pub(crate) async fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let (reply, answer) = oneshot::channel();
        let work = Box::new(move |memory: &mut HashMemory| {
            // A request that is gone by now needs no hash.
            if !reply.is_closed() {
                let _ = reply.send(work(memory));
            }
        });
        match self.0.try_send(work) {
            Ok(()) => answer.await.map_err(|_| HashError::Failed),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(HashError::Busy),
        }
    }
}

fn run(queue: &Mutex<Receiver<Work>>) {
    lower_priority();
    let mut memory = HashMemory::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(work) => {
                if catch_unwind(AssertUnwindSafe(|| work(&mut memory))).is_err() {
                    tracing::error!("a password's work panicked; the thread goes on");
                    // Nobody knows what state it was left in.
                    memory = HashMemory::default();
                }
            }
            Err(_) => return,
        }
    }
}

/// On Linux a niceness belongs to a thread: requests go first, passwords take what is left.
fn lower_priority() {
    if let Err(error) = rustix::process::setpriority_process(None, 10) {
        tracing::debug!(%error, "hashing threads keep the normal priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rl_05_a_full_queue_says_so_and_the_pool_goes_on() {
        let hasher = Hasher::start(1).unwrap();
        let tries = (0..200).map(|_| hasher.find(Secret::random(), [None, None]));
        let outcomes = futures_util::future::join_all(tries).await;
        let refused = outcomes.iter().filter(|outcome| **outcome == Err(HashError::Busy)).count();
        assert!((200 - WAITING - 8..200).contains(&refused), "{refused} refused");
        assert_eq!(hasher.find(Secret::random(), [None, None]).await, Ok(None));
    }

    #[tokio::test]
    async fn r_32_a_panic_costs_its_own_request_and_no_thread() {
        let hasher = Hasher::start(1).unwrap();
        for _ in 0..3 {
            let panicked: Result<(), _> = hasher.submit(|_| panic!("a hash panics on purpose")).await;
            assert_eq!(panicked, Err(HashError::Failed));
        }
        assert_eq!(hasher.find(Secret::random(), [None, None]).await, Ok(None));
    }

    #[tokio::test]
    async fn a_password_is_found_behind_its_own_hash() {
        let hasher = Hasher::start(2).unwrap();
        let password = || Secret::new("tinker brass umbrella".to_owned());
        let own = hasher.submit(move |memory| password::hash(&password(), memory).unwrap()).await.unwrap();
        let other = hasher.submit(|memory| password::hash(&Secret::random(), memory).unwrap()).await.unwrap();
        for (hashes, place) in [
            ([Some(&own), None], Some(0)),
            ([None, Some(&own)], Some(1)),
            ([Some(&other), Some(&own)], Some(1)),
            ([Some(&other), None], None),
            ([None, None], None),
        ] {
            assert_eq!(hasher.find(password(), hashes.map(Option::<&PasswordHash>::cloned)).await, Ok(place));
        }
    }
}
