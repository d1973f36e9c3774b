//! SQLite's single writer. Writes that are waiting share one transaction and are all answered after its one commit:
//! they share the disk sync, and no result is returned before it.
//!
//! A write that fails is rolled back alone. That takes a savepoint per write, and each savepoint is a round trip to
//! the connection's thread, which costs more than the work there. Failures are rare, because refusals are results. So
//! a group first runs without savepoints. If one of its writes fails (necessarily the last, because none is started
//! after it), the whole group is rolled back and run again with savepoints.

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::connection::{JobFuture, Tx};
use super::pool::Pool;
use crate::error::StoreError;
use crate::lock::lock;

/// How many writes may share one commit.
const GROUP: usize = 100;
/// How many writes may wait. More are told to come back.
const QUEUE: usize = 1024;
/// How often a commit is checked for having changed something. The check reads a count before and after it.
const NOTE_EVERY: Duration = Duration::from_millis(500);

pub(crate) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn QueuedWrite>>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// A write in the queue, with its types erased.
trait QueuedWrite: Send {
    /// Runs it and stores the outcome.
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> futures_util::future::BoxFuture<'t, ()>;
    /// Whether its changes are to be committed.
    fn succeeded(&self) -> bool;
    /// Whether it found its connection broken.
    fn lost_connection(&self) -> bool;
    /// Answers the caller, once it is known whether the group committed.
    fn answer(self: Box<Self>, commit: Result<(), StoreError>);
}

struct PendingWrite<I, T, F> {
    input: I,
    job: F,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<I, T, F> QueuedWrite for PendingWrite<I, T, F>
where
    I: Send + Sync,
    T: Send,
    F: for<'t> Fn(&'t mut Tx, &'t I) -> JobFuture<'t, T> + Send + Sync,
{
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> futures_util::future::BoxFuture<'t, ()> {
        Box::pin(async move {
            let (job, input) = (&self.job, &self.input);
            let outcome = AssertUnwindSafe(async move { job(tx, input).await }).catch_unwind().await;
            self.outcome = Some(outcome.unwrap_or(Err(StoreError::Panicked)));
        })
    }

    fn succeeded(&self) -> bool {
        matches!(self.outcome, Some(Ok(_)))
    }

    fn lost_connection(&self) -> bool {
        matches!(self.outcome, Some(Err(StoreError::Disconnected(_))))
    }

    fn answer(self: Box<Self>, commit: Result<(), StoreError>) {
        let never = || Err(StoreError::Unavailable("the write was not run".to_owned()));
        let outcome = match (self.outcome, commit) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error),
            (None, Ok(())) => never(),
        };
        // The caller may have stopped waiting; the write stands all the same.
        let _ = self.reply.send(outcome.map_err(StoreError::retries_exhausted));
    }
}

impl Writer {
    pub(crate) fn start(pool: Pool<SqliteConnection>) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        let task = tokio::spawn(work(pool, queue));
        Self { queue: Mutex::new(Some(sender)), task: Mutex::new(Some(task)) }
    }

    pub(crate) async fn write<I, T, F>(&self, input: I, job: F) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx, &'t I) -> JobFuture<'t, T> + Send + Sync + 'static,
    {
        let stopped = || StoreError::Unavailable("the writer has stopped".to_owned());
        let (reply, answer) = oneshot::channel();
        let sender = lock(&self.queue).clone().ok_or_else(stopped)?;
        sender
            .try_send(Box::new(PendingWrite { input, job, outcome: None, reply }))
            .map_err(|_| StoreError::Unavailable("too many writes are waiting".to_owned()))?;
        drop(sender);
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Whether the task that serves the queue is running.
    pub(crate) fn is_running(&self) -> bool {
        lock(&self.task).as_ref().is_some_and(|task| !task.is_finished())
    }

    /// Accepts no more writes and finishes those in the queue.
    pub(crate) async fn stop(&self) {
        drop(lock(&self.queue).take());
        let task = lock(&self.task).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

async fn work(pool: Pool<SqliteConnection>, mut queue: mpsc::Receiver<Box<dyn QueuedWrite>>) {
    while let Some(first) = queue.recv().await {
        let mut group = vec![first];
        let commit = commit_group(&pool, &mut queue, &mut group).await;
        for write in group {
            write.answer(commit.clone());
        }
    }
}

async fn commit_group(
    pool: &Pool<SqliteConnection>,
    queue: &mut mpsc::Receiver<Box<dyn QueuedWrite>>,
    group: &mut Vec<Box<dyn QueuedWrite>>,
) -> Result<(), StoreError> {
    let lent = pool.acquire().await?;
    let generation = lent.generation();
    let mut tx = Tx::new(lent.into());
    let counts = !pool.wrote_within(NOTE_EVERY);
    let end = run_group(&mut tx, queue, group, counts).await;
    if let Ok(wrote) = end {
        if wrote {
            pool.note_write();
        }
        tx.log_events();
    }
    if matches!(end, Err(StoreError::Disconnected(_))) || group.iter().any(|write| write.lost_connection()) {
        pool.retire_generation(generation);
    }
    // A connection whose transaction cannot be ended is closed, not returned.
    if end.is_ok() || tx.control("ROLLBACK").await.is_ok() {
        tx.give_back();
    }
    end.map(drop)
}

/// Returns whether the commit is known to have changed anything.
async fn run_group(
    tx: &mut Tx,
    queue: &mut mpsc::Receiver<Box<dyn QueuedWrite>>,
    group: &mut Vec<Box<dyn QueuedWrite>>,
    counts: bool,
) -> Result<bool, StoreError> {
    if let Some(wrote) = run_without_savepoints(tx, queue, group, counts).await? {
        return Ok(wrote);
    }
    tx.events.clear();
    tx.control("ROLLBACK").await?;
    match group.len() {
        1 => Ok(false),
        _ => run_with_savepoints(tx, group).await,
    }
}

// IMMEDIATE: a transaction that begins as a reader may be unable to become the writer later.
const BEGIN: &str = "BEGIN IMMEDIATE";
// The number of changed rows, in the same round trip to the connection's thread.
const BEGIN_AND_COUNT: &str = "BEGIN IMMEDIATE; SELECT total_changes()";
const COUNT_AND_COMMIT: &str = "SELECT total_changes(); COMMIT";

/// Begins, runs the writes and those that arrive meanwhile, and commits. `None`: one of them failed.
async fn run_without_savepoints(
    tx: &mut Tx,
    queue: &mut mpsc::Receiver<Box<dyn QueuedWrite>>,
    group: &mut Vec<Box<dyn QueuedWrite>>,
    counts: bool,
) -> Result<Option<bool>, StoreError> {
    let before = match counts {
        true => Some(tx.control_and_count(BEGIN_AND_COUNT).await?),
        false => {
            tx.control(BEGIN).await?;
            None
        }
    };
    let mut next = 0;
    while next < group.len() {
        group[next].run(tx).await;
        if !group[next].succeeded() {
            return Ok(None);
        }
        next += 1;
        if next == group.len() && next < GROUP {
            group.extend(queue.try_recv());
        }
    }
    match before {
        Some(before) => Ok(Some(tx.control_and_count(COUNT_AND_COMMIT).await? > before)),
        None => tx.control("COMMIT").await.map(|()| Some(false)),
    }
}

/// Begins, runs each write in a savepoint, which is rolled back if the write fails, and commits. SQLite counts
/// rolled-back changes too, so only an audit record proves that something was written.
async fn run_with_savepoints(tx: &mut Tx, group: &mut [Box<dyn QueuedWrite>]) -> Result<bool, StoreError> {
    tx.control(BEGIN).await?;
    for write in group {
        tx.control("SAVEPOINT write").await?;
        let events = tx.events.len();
        write.run(tx).await;
        if !write.succeeded() {
            tx.events.truncate(events);
            tx.control("ROLLBACK TO write").await?;
        }
        tx.control("RELEASE write").await?;
    }
    tx.control("COMMIT").await?;
    Ok(!tx.events.is_empty())
}

#[cfg(test)]
#[path = "group_commit_tests.rs"]
mod tests;
