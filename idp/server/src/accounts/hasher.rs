//! The threads for costly password work: one per core, by default at low priority, with one block of memory each.
//! The server hashes, verifies and judges passwords only here.
//!
//! Each kind of work waits in its own [`Lane`] ([`crate::accounts::lanes`]). Work that would wait longer than people
//! do is refused at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use idp_core::account::password::{self, HashMemory, PasswordHash};
use idp_core::secret::Secret;
use tokio::sync::oneshot;

use crate::accounts::lanes::{Lane, Lanes};
use crate::config::{HashingConfig, Scheduling};
use crate::http::errors::{PageError, Reason};

/// Why a password was neither hashed nor verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HashError {
    /// It would have waited too long.
    #[error("too many passwords are waiting to be checked")]
    Busy {
        /// Seconds until the work that waits now is done.
        retry_after: u64,
    },
    /// The work itself failed or panicked.
    #[error("a password could not be hashed")]
    Failed,
}

impl From<HashError> for PageError {
    fn from(error: HashError) -> Self {
        let detail = Some(error.to_string());
        match error {
            HashError::Busy { retry_after } => {
                Self { detail, retry_after: Some(retry_after), ..Self::new(Reason::UNAVAILABLE) }
            }
            HashError::Failed => Self { detail, ..Self::new(Reason::INTERNAL) },
        }
    }
}

/// Work that waits for a thread. It holds passwords, as secrets that are wiped when it is dropped.
trait Job: Send {
    /// Whether nobody waits for the result any more.
    fn is_gone(&self) -> bool;
    fn run(self: Box<Self>, memory: &mut HashMemory);
}

struct Task<F, T> {
    work: F,
    reply: oneshot::Sender<T>,
}

impl<T: Send, F: FnOnce(&mut HashMemory) -> T + Send> Job for Task<F, T> {
    fn is_gone(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(self: Box<Self>, memory: &mut HashMemory) {
        let _ = self.reply.send((self.work)(memory));
    }
}

struct State {
    lanes: Lanes<Box<dyn Job>>,
    ended: bool,
}

struct Shared {
    state: Mutex<State>,
    /// Notified when there is work, and at the end.
    bell: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pool of hashing threads.
#[derive(Clone)]
pub(crate) struct Hasher(Arc<Handle>);

/// Ends the threads when the last copy of the pool is dropped.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.bell.notify_all();
    }
}

impl Hasher {
    /// Starts the threads. They end when the last handle is dropped.
    pub(crate) fn start(threads: usize, config: &HashingConfig) -> std::io::Result<Self> {
        let state = State { lanes: Lanes::new(threads, config), ended: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), bell: Condvar::new() });
        let pool = Self(Arc::new(Handle(Arc::clone(&shared))));
        for number in 0..threads {
            let (shared, scheduling) = (Arc::clone(&shared), config.scheduling);
            thread::Builder::new().name(format!("hash-{number}")).spawn(move || run(&shared, scheduling))?;
        }
        Ok(pool)
    }

    /// The index of the first of these hashes that matches the password. It is one job, so
    /// [`HashError::Busy`] means that nothing was compared. A missing hash costs the same work, so that timing does not
    /// reveal whether an account exists.
    pub(crate) async fn find(
        &self,
        lane: Lane,
        password: Secret,
        hashes: [Option<PasswordHash>; 2],
    ) -> Result<Option<usize>, HashError> {
        self.submit(lane, move |memory| {
            hashes.iter().position(|hash| {
                let right =
                    password::verify(&password, hash.as_ref().unwrap_or(password::dummy_hash()), memory);
                right && hash.is_some()
            })
        })
        .await
    }

    /// Runs password work on one of the threads.
    ///
    /// # Errors
    /// [`HashError::Busy`]: the work was not begun. [`HashError::Failed`]: it panicked.
    pub(crate) async fn submit<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let (reply, answer) = oneshot::channel();
        self.queue(lane, Box::new(Task { work, reply }))?;
        answer.await.map_err(|_| HashError::Failed)
    }

    fn queue(&self, lane: Lane, job: Box<dyn Job>) -> Result<(), HashError> {
        let mut state = self.0.0.lock();
        // Rounded up: after this wait, the jobs queued now are done.
        let busy = |wait: std::time::Duration| HashError::Busy { retry_after: wait.as_secs() + 1 };
        state.lanes.push(lane, job, |job| job.is_gone()).map_err(busy)?;
        drop(state);
        self.0.0.bell.notify_one();
        Ok(())
    }
}

fn run(shared: &Shared, scheduling: Scheduling) {
    if let Err(error) = schedule(scheduling) {
        tracing::debug!(%error, ?scheduling, "cannot set the scheduling of a hashing thread");
    }
    let mut memory = HashMemory::default();
    let mut state = shared.lock();
    loop {
        let Some((lane, job)) = state.lanes.next() else {
            if state.ended {
                return;
            }
            state = shared.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        if job.is_gone() {
            continue;
        }
        drop(state);
        let begun = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| job.run(&mut memory))).is_err() {
            tracing::error!("password work panicked; the thread goes on");
            // The panic may have left it in any state.
            memory = HashMemory::default();
        }
        let took = begun.elapsed();
        state = shared.lock();
        // A job that hashed nothing, such as a refused form, says nothing about the cost of the next.
        if memory.take_used() {
            state.lanes.measured(lane, took);
        }
    }
}

/// The niceness of the hashing threads, from 0 to 19. At 10 they still get about a tenth of a busy core.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Requests go first, passwords get what is left. On Linux, niceness and scheduling class are set per thread.
#[cfg(target_os = "linux")]
fn schedule(scheduling: Scheduling) -> Result<(), Box<dyn std::error::Error>> {
    use thread_priority::unix::{
        NormalThreadSchedulePolicy as Class, ThreadSchedulePolicy, set_thread_priority_and_policy,
        thread_native_id,
    };
    use thread_priority::{ThreadPriority, ThreadPriorityValue};
    // The crate maps this value to `NICENESS`.
    let nice = || ThreadPriorityValue::try_from(22).map(ThreadPriority::Crossplatform);
    let (class, priority) = match scheduling {
        Scheduling::Normal => return Ok(()),
        Scheduling::Nice => return Ok(rustix::process::setpriority_process(None, NICENESS)?),
        Scheduling::Batch => (Class::Batch, nice()?),
        Scheduling::Idle => (Class::Idle, ThreadPriority::Min),
    };
    let class = ThreadSchedulePolicy::Normal(class);
    set_thread_priority_and_policy(thread_native_id(), priority, class)
        .map_err(|error| format!("{error:?}").into())
}

#[cfg(not(target_os = "linux"))]
fn schedule(_: Scheduling) -> Result<(), Box<dyn std::error::Error>> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const JOBS: usize = 400;

    fn start(threads: usize) -> Hasher {
        Hasher::start(threads, &HashingConfig::default()).unwrap()
    }

    /// A pool of one thread, which is held until the sender releases it.
    async fn held() -> (Hasher, mpsc::Sender<()>) {
        let (hasher, (go, wait)) = (start(1), mpsc::channel());
        let (begun, held) = oneshot::channel();
        let holder = hasher.clone();
        tokio::spawn(async move {
            let hold = move |_: &mut HashMemory| {
                let _ = begun.send(());
                let _ = wait.recv();
            };
            holder.submit(Lane::SignIn, hold).await
        });
        held.await.unwrap();
        (hasher, go)
    }

    fn is_busy<T>(outcome: &Result<T, HashError>) -> bool {
        matches!(outcome, Err(HashError::Busy { retry_after }) if (1..=3).contains(retry_after))
    }

    #[tokio::test]
    async fn rl_05_a_full_queue_is_reported_and_the_pool_goes_on() {
        let (hasher, go) = held().await;
        let tries = (0..JOBS).map(|_| hasher.find(Lane::SignIn, Secret::random(), [None, None]));
        let tries = futures_util::future::join_all(tries);
        let release = async { go.send(()).unwrap() };
        let (outcomes, ()) = tokio::join!(tries, release);
        // Two seconds of work at 30 ms each, and no job more, although none has been measured yet.
        let refused = outcomes.iter().filter(|outcome| is_busy(outcome)).count();
        assert_eq!(JOBS - refused, 67, "{refused} refused");
        assert_eq!(hasher.find(Lane::SignIn, Secret::random(), [None, None]).await, Ok(None));
    }

    #[tokio::test]
    async fn fault_02_a_flood_of_registrations_does_not_delay_a_sign_in() {
        let (hasher, go) = held().await;
        let done = Arc::new(AtomicUsize::new(0));
        let registrations = (0..JOBS).map(|_| {
            let done = Arc::clone(&done);
            hasher.submit(Lane::Registration, move |_| done.fetch_add(1, Ordering::SeqCst))
        });
        let registrations = futures_util::future::join_all(registrations);
        let counted = Arc::clone(&done);
        let sign_in = async {
            let before = hasher.submit(Lane::SignIn, move |_| counted.load(Ordering::SeqCst));
            let (before, ()) = tokio::join!(before, async { go.send(()).unwrap() });
            before
        };
        let (outcomes, before) = tokio::join!(registrations, sign_in);
        assert!(before.unwrap() <= 1, "registrations went first");
        let refused = outcomes.iter().filter(|outcome| is_busy(outcome)).count();
        assert_eq!(done.load(Ordering::SeqCst), JOBS - refused, "refused jobs must not run");
        assert_eq!(JOBS - refused, 51, "one second of work at 20 ms each");
    }

    #[tokio::test]
    async fn fault_02_cheap_refusals_do_not_lengthen_the_registration_queue() {
        let hasher = start(1);
        let cheap = || hasher.submit(Lane::Registration, |_| ());
        for _ in 0..60 {
            assert_eq!(cheap().await, Ok(()));
        }
        let (begun, held) = oneshot::channel();
        let (go, wait) = mpsc::channel::<()>();
        let hold = hasher.submit(Lane::SignIn, move |_| {
            let _ = begun.send(());
            let _ = wait.recv();
        });
        let flood = async {
            held.await.unwrap();
            let flood = futures_util::future::join_all((0..JOBS).map(|_| cheap()));
            let (outcomes, ()) = tokio::join!(flood, async { go.send(()).unwrap() });
            outcomes
        };
        let (_, outcomes) = tokio::join!(hold, flood);
        let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(taken, 51, "still one second of work at 20 ms each");
    }

    #[tokio::test]
    async fn fault_02_a_registration_whose_browser_hung_up_is_skipped() {
        let (hasher, go) = held().await;
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..JOBS {
            let done = Arc::clone(&done);
            let work = hasher.submit(Lane::Registration, move |_| done.fetch_add(1, Ordering::SeqCst));
            let asked = futures_util::future::select(Box::pin(work), std::future::ready(())).await;
            assert!(matches!(asked, futures_util::future::Either::Right(_)), "it was refused or has run");
        }
        go.send(()).unwrap();
        assert_eq!(hasher.submit(Lane::Registration, |_| ()).await, Ok(()));
        assert_eq!(done.load(Ordering::SeqCst), 0);
    }

    /// Niceness and scheduling class of the hashing thread (proc_pid_stat(5), fields 19 and 41).
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_threads_are_scheduled_as_configured() {
        for (scheduling, expected) in [
            (Scheduling::Nice, (NICENESS, "0")),
            (Scheduling::Batch, (NICENESS, "3")),
            (Scheduling::Idle, (0, "5")),
            (Scheduling::Normal, (0, "0")),
        ] {
            let config = HashingConfig { scheduling, ..HashingConfig::default() };
            let hasher = Hasher::start(1, &config).unwrap();
            let stat = hasher
                .submit(Lane::SignIn, |_| std::fs::read_to_string("/proc/thread-self/stat").unwrap())
                .await
                .unwrap();
            let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
            // The tests themselves may run niced, and niceness cannot be lowered.
            let (niceness, class) = (fields[16].parse::<i32>().unwrap(), fields[38]);
            assert!(niceness >= expected.0 && class == expected.1, "{scheduling:?}: {niceness} {class}");
        }
    }

    #[tokio::test]
    async fn r_32_a_panic_fails_its_own_request_and_ends_no_thread() {
        let hasher = start(1);
        for _ in 0..3 {
            let panicked: Result<(), _> = hasher.submit(Lane::SignIn, |_| panic!("deliberate panic")).await;
            assert_eq!(panicked, Err(HashError::Failed));
        }
        assert_eq!(hasher.find(Lane::SignIn, Secret::random(), [None, None]).await, Ok(None));
    }

    #[tokio::test]
    async fn find_returns_the_index_of_the_matching_hash() {
        let hasher = start(2);
        let password = || Secret::new("tinker brass umbrella".to_owned());
        let hash = |password: Secret| {
            hasher.submit(Lane::Registration, move |memory| password::hash(&password, memory).unwrap())
        };
        let (own, other) = (hash(password()).await.unwrap(), hash(Secret::random()).await.unwrap());
        for (hashes, index) in [
            ([Some(&own), None], Some(0)),
            ([None, Some(&own)], Some(1)),
            ([Some(&other), Some(&own)], Some(1)),
            ([Some(&other), None], None),
            ([None, None], None),
        ] {
            let hashes = hashes.map(Option::<&PasswordHash>::cloned);
            assert_eq!(hasher.find(Lane::SignIn, password(), hashes).await, Ok(index));
        }
    }
}
