//! PostgreSQL: connections that are kept open between uses, and reads and writes over them.
//!
//! A pool that asks the server before and after each use whether it is still there makes three round trips of one.
//! Here nobody asks. Whoever meets a dead connection starts over on a fresh one, and one whose use was broken off, by
//! a caller who hung up, a panic or a server that does not answer, is closed and not used again.

use std::ops::{Deref, DerefMut};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection as _, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::audit::AuditRecord;
use crate::db::{Connection, Job, PATIENCE, Reader, Tx};
use crate::error::StoreError;

/// How often a write that met another one is tried again.
const TRIES: u32 = 8;
/// How often a read or write starts over on a fresh connection.
const FRESH_STARTS: u32 = 2;
/// A connection that rested longer may have been forgotten by what stands between us and the server.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// Now and then a connection is made anew: the server may have moved, and its side of an old one grows.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 60);

/// At most so many connections, those that rest among them.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    options: PgConnectOptions,
    size: u32,
    /// How long a read or an attempt to write may take.
    limit: Duration,
    permits: Arc<Semaphore>,
    resting: Mutex<Vec<Resting>>,
}

struct Resting {
    connection: PgConnection,
    made_at: Instant,
    since: Instant,
}

/// A connection in use. Dropped, it is closed.
pub(crate) struct Lent {
    connection: PgConnection,
    made_at: Instant,
    pool: Pool,
    _permit: OwnedSemaphorePermit,
}

impl Deref for Lent {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Lent {
    /// Lets the connection rest until the next use.
    pub(crate) fn give_back(self) {
        let Self { connection, made_at, pool, _permit } = self;
        lock(&pool.0.resting).push(Resting { connection, made_at, since: Instant::now() });
    }
}

impl Pool {
    /// Makes the pool and its first connection.
    pub(crate) async fn open(
        options: PgConnectOptions,
        size: u32,
        limit: Duration,
    ) -> Result<Self, sqlx::Error> {
        let size = size.max(1);
        let permits = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(1)));
        let pool = Self(Arc::new(Inner { options, size, limit, permits, resting: Mutex::new(Vec::new()) }));
        let (connection, now) = (pool.connect().await?, Instant::now());
        lock(&pool.0.resting).push(Resting { connection, made_at: now, since: now });
        Ok(pool)
    }

    /// A connection beside the pool's own, for what takes longer than a request.
    pub(crate) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let connects = async {
            loop {
                match self.0.options.connect().await {
                    Err(error) if is_starting(&error) => tokio::time::sleep(PATIENCE / 50).await,
                    outcome => return outcome,
                }
            }
        };
        timeout(self.patience(), connects).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn acquire(&self) -> Result<Lent, StoreError> {
        let permit = timeout(self.patience(), Arc::clone(&self.0.permits).acquire_owned()).await;
        let permit = permit
            .map_err(|_| StoreError::Unavailable("every connection is in use".to_owned()))?
            .map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))?;
        let (connection, made_at) = match self.rested() {
            Some(resting) => (resting.connection, resting.made_at),
            None => {
                let fresh = self.connect().await;
                (fresh.map_err(|error| StoreError::from(error).given_up())?, Instant::now())
            }
        };
        Ok(Lent { connection, made_at, pool: self.clone(), _permit: permit })
    }

    /// The connection that was used last, if it did not rest too long; those that did are closed.
    fn rested(&self) -> Option<Resting> {
        let (mut resting, now) = (lock(&self.0.resting), Instant::now());
        while let Some(last) = resting.pop() {
            if now - last.since < LONGEST_REST && now - last.made_at < LONGEST_LIFE {
                return Some(last);
            }
        }
        None
    }

    /// When one connection is dead, those that rest most likely are as well.
    fn start_over(&self) {
        lock(&self.0.resting).clear();
    }

    fn patience(&self) -> Duration {
        PATIENCE.min(self.0.limit)
    }

    /// What takes longer than the limit is given up, and its connection with it.
    async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        let silent = |_| StoreError::Unavailable("the database does not answer".to_owned());
        timeout(self.0.limit, work).await.map_err(silent)
    }

    /// Waits for the uses there are and closes every connection.
    pub(crate) async fn close(&self) {
        let _all = self.0.permits.acquire_many(self.0.size).await;
        self.0.permits.close();
        let resting = std::mem::take(&mut *lock(&self.0.resting));
        for Resting { connection, .. } in resting {
            let _ = timeout(self.patience(), connection.close()).await;
        }
    }
}

/// Nobody listens yet, or the server says that it is starting.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        other => other.as_database_error().is_some_and(|error| error.code().as_deref() == Some("57P03")),
    }
}

/// A panic elsewhere while the lock was held leaves the value as it was: connections are pushed and popped whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Reads; over again on a fresh connection when the one at hand turns out to be dead.
pub(crate) async fn read<I, T, F>(pool: &Pool, input: &I, job: &F) -> Result<T, StoreError>
where
    F: for<'t> Fn(&'t mut Reader, &'t I) -> Job<'t, T>,
{
    let mut fresh_starts = 0;
    loop {
        let mut reader = Reader::new(Connection::Postgres(pool.acquire().await?));
        match pool.within(job(&mut reader, input)).await? {
            Err(StoreError::Lost(_)) if fresh_starts < FRESH_STARTS => {
                fresh_starts += 1;
                pool.start_over();
            }
            Err(StoreError::Lost(why)) => return Err(StoreError::Unavailable(why)),
            outcome => {
                reader.give_back();
                return outcome;
            }
        }
    }
}

/// Writes; over again when it met another write, or its connection broke before it could be committed.
pub(crate) async fn write<I, T, F>(pool: &Pool, input: &I, job: &F) -> Result<T, StoreError>
where
    F: for<'t> Fn(&'t mut Tx, &'t I) -> Job<'t, T>,
{
    let (mut tries, mut fresh_starts) = (0, 0);
    loop {
        tries += 1;
        let tx = Tx::new(Connection::Postgres(pool.acquire().await?));
        match pool.within(attempt(tx, input, job)).await? {
            Err(StoreError::Again(_)) if tries < TRIES => {
                tokio::time::sleep(Duration::from_millis(u64::from(tries) * 5)).await;
            }
            Err(StoreError::Lost(_)) if fresh_starts < FRESH_STARTS => {
                fresh_starts += 1;
                pool.start_over();
            }
            outcome => return outcome.map_err(StoreError::given_up),
        }
    }
}

/// [`StoreError::Lost`] only when nothing can have been committed.
async fn attempt<I, T, F>(mut tx: Tx, input: &I, job: &F) -> Result<T, StoreError>
where
    F: for<'t> Fn(&'t mut Tx, &'t I) -> Job<'t, T>,
{
    tx.steer("BEGIN").await?;
    let work = AssertUnwindSafe(async { job(&mut tx, input).await }).catch_unwind().await;
    match work.unwrap_or(Err(StoreError::Panicked)) {
        Ok(value) => {
            tx.commit_postgres().await.map_err(committed_perhaps)?;
            tx.events.iter().for_each(AuditRecord::log);
            tx.give_back();
            Ok(value)
        }
        Err(error) => {
            if tx.steer("ROLLBACK").await.is_ok() {
                tx.give_back();
            }
            Err(error)
        }
    }
}

/// A connection that breaks while it commits leaves open whether it did: this write must not be tried again.
fn committed_perhaps(error: StoreError) -> StoreError {
    match error {
        StoreError::Lost(why) => StoreError::Unavailable(why),
        other => other,
    }
}
