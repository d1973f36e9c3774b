//! Connections that are kept open between uses, and reads over them.
//!
//! A pool that asks before and after each use whether the other side is still there makes three round trips of one, or
//! on SQLite, whose connections are threads, three changes of thread. Here nobody asks. Whoever meets a dead connection
//! starts over on a fresh one, and one whose use was broken off, by a caller who hung up, a panic or a server that
//! does not answer, is closed and not used again.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::db::{self, Job, PATIENCE, Reader};
use crate::error::StoreError;

/// How often a read or write starts over on a fresh connection.
pub(crate) const FRESH_STARTS: u32 = 2;
/// A connection that rested longer may have been forgotten by what stands between us and a server, and one to a file
/// holds memory for nothing.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// Now and then a connection is made anew: the server may have moved, and its side of an old one grows.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 60);

/// A connection of one engine, as the pool wants it.
pub(crate) trait Pooled: Connection {
    /// Whether an attempt to connect failed for a reason that passes by itself within moments.
    fn passes(error: &sqlx::Error) -> bool;
}

impl Pooled for PgConnection {
    /// Nobody listens yet, or the server says that it is starting.
    fn passes(error: &sqlx::Error) -> bool {
        match error {
            sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
            other => other.as_database_error().is_some_and(|error| error.code().as_deref() == Some("57P03")),
        }
    }
}

impl Pooled for SqliteConnection {
    /// Another program has the file to itself: for the change of a new file to a write-ahead log, SQLite does not
    /// wait by itself. SQLITE_BUSY of whatever kind: the last byte of the code.
    fn passes(error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
        code.is_some_and(|code| code & 0xff == 5)
    }
}

/// At most so many connections, those that rest among them.
pub(crate) struct Pool<C: Pooled>(Arc<Inner<C>>);

impl<C: Pooled> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<C: Pooled> {
    options: C::Options,
    size: u32,
    /// How long a read or an attempt to write may take.
    limit: Duration,
    permits: Arc<Semaphore>,
    resting: Mutex<Vec<Resting<C>>>,
}

struct Resting<C> {
    connection: C,
    made_at: Instant,
    since: Instant,
}

/// A connection in use. Dropped, it is closed.
pub(crate) struct Lent<C: Pooled> {
    connection: C,
    made_at: Instant,
    pool: Pool<C>,
    _permit: OwnedSemaphorePermit,
}

impl<C: Pooled> Deref for Lent<C> {
    type Target = C;
    fn deref(&self) -> &C {
        &self.connection
    }
}

impl<C: Pooled> DerefMut for Lent<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}

impl<C: Pooled> Lent<C> {
    /// Lets the connection rest until the next use.
    pub(crate) fn give_back(self) {
        let Self { connection, made_at, pool, _permit } = self;
        lock(&pool.0.resting).push(Resting { connection, made_at, since: Instant::now() });
    }
}

impl<C: Pooled> Pool<C> {
    /// Makes the pool and its first connection.
    pub(crate) async fn open(options: C::Options, size: u32, limit: Duration) -> Result<Self, sqlx::Error> {
        let size = size.max(1);
        let permits = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(1)));
        let pool = Self(Arc::new(Inner { options, size, limit, permits, resting: Mutex::new(Vec::new()) }));
        let (connection, now) = (pool.connect().await?, Instant::now());
        lock(&pool.0.resting).push(Resting { connection, made_at: now, since: now });
        Ok(pool)
    }

    /// A connection beside the pool's own, for what takes longer than a request.
    pub(crate) async fn connect(&self) -> Result<C, sqlx::Error> {
        let connects = async {
            loop {
                match self.0.options.connect().await {
                    Err(error) if C::passes(&error) => tokio::time::sleep(PATIENCE / 50).await,
                    outcome => return outcome,
                }
            }
        };
        timeout(self.patience(), connects).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    pub(crate) async fn acquire(&self) -> Result<Lent<C>, StoreError> {
        let permit = timeout(self.patience(), Arc::clone(&self.0.permits).acquire_owned()).await;
        let permit = permit
            .map_err(|_| StoreError::Unavailable("every connection is in use".to_owned()))?
            .map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))?;
        let (connection, made_at) = match self.rested(Instant::now()) {
            Some(resting) => (resting.connection, resting.made_at),
            None => {
                let fresh = self.connect().await;
                (fresh.map_err(|error| StoreError::from(error).given_up())?, Instant::now())
            }
        };
        Ok(Lent { connection, made_at, pool: self.clone(), _permit: permit })
    }

    /// The connection that was used last. Those that rested too long are closed, also while others are in use.
    fn rested(&self, now: Instant) -> Option<Resting<C>> {
        let mut resting = lock(&self.0.resting);
        resting.retain(|one| now - one.since < LONGEST_REST && now - one.made_at < LONGEST_LIFE);
        resting.pop()
    }

    /// When one connection is dead, those that rest most likely are as well.
    pub(crate) fn start_over(&self) {
        lock(&self.0.resting).clear();
    }

    fn patience(&self) -> Duration {
        PATIENCE.min(self.0.limit)
    }

    /// What takes longer than the limit is given up, and its connection with it.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
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

/// A panic elsewhere while the lock was held leaves the value as it was: what we lock is pushed, popped and taken whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Reads; over again on a fresh connection when the one at hand turns out to be dead.
pub(crate) async fn read<C, I, T, F>(pool: &Pool<C>, input: &I, job: &F) -> Result<T, StoreError>
where
    C: Pooled,
    Lent<C>: Into<db::Connection>,
    F: for<'t> Fn(&'t mut Reader, &'t I) -> Job<'t, T>,
{
    let mut fresh_starts = 0;
    loop {
        let mut reader = Reader::new(pool.acquire().await?.into());
        match pool.within(job(&mut reader, input)).await? {
            Err(StoreError::Lost(_)) if fresh_starts < FRESH_STARTS => {
                fresh_starts += 1;
                pool.start_over();
            }
            // Whatever else went wrong, the connection may be the reason.
            Err(StoreError::Lost(why) | StoreError::Unavailable(why)) => {
                return Err(StoreError::Unavailable(why));
            }
            outcome => {
                reader.give_back();
                return outcome;
            }
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
