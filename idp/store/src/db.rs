//! Opening a database, reading from it, writing to it.

use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, PgPool, Postgres, Sqlite, SqlitePool};

use crate::audit::AuditRecord;
use crate::error::{OpenError, StoreError};
use crate::group_commit::Writer;

/// Runs one body on whichever engine the connection belongs to: the same text is compiled once for each.
macro_rules! on {
    ($db:expr, $connection:ident => $body:expr) => {
        match $db.connection() {
            $crate::db::Connection::Sqlite(connection) => {
                let $connection = &mut **connection;
                $body
            }
            $crate::db::Connection::Postgres(connection) => {
                let $connection = &mut **connection;
                $body
            }
        }
    };
}
pub(crate) use on;

/// A connection of either engine.
pub(crate) enum Connection {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// What a closure given to [`Store::read`] reads with. It cannot change anything: on SQLite the connection
/// is opened read-only, on PostgreSQL its transactions are.
pub struct Reader(Connection);

/// What a closure given to [`Store::write`] works with: all that a [`Reader`] can, and changes.
pub struct Tx {
    reader: Reader,
    /// Audit records written here; they are logged when, and only when, they are committed.
    pub(crate) events: Vec<AuditRecord>,
}

impl Reader {
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Tx {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { reader: Reader(connection), events: Vec::new() }
    }

    /// Runs a statement that steers the transaction.
    pub(crate) async fn steer(&mut self, sql: &'static str) -> Result<(), StoreError> {
        on!(self, c => sqlx::query(sql).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Commits on PostgreSQL. After a failed statement its COMMIT undoes everything and calls that a success; the
    /// query before it fails then, in the same round trip.
    async fn commit_postgres(&mut self) -> Result<(), StoreError> {
        on!(self, c => sqlx::raw_sql("SELECT 1; COMMIT").execute(c).await.map(drop))?;
        Ok(())
    }

    /// Gives the connection up instead of returning it, its state being unknown.
    pub(crate) fn discard(self) {
        match self.reader.0 {
            Connection::Sqlite(connection) => drop(connection.detach()),
            Connection::Postgres(connection) => drop(connection.detach()),
        }
    }
}

impl std::ops::Deref for Tx {
    type Target = Reader;
    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl std::ops::DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Reader {
        &mut self.reader
    }
}

/// The future of a read or a write.
pub type Job<'t, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 't>>;

/// Which engine a store runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded, one writer, group commit.
    Sqlite,
    /// A server, several nodes.
    Postgres,
}

/// An open database. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

enum Inner {
    Sqlite { readers: SqlitePool, writer: Writer, writers: SqlitePool },
    Postgres { readers: PgPool, writers: PgPool },
}

/// How long a request waits for a connection before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a write that met another one is tried again.
const TRIES: u32 = 8;

impl Store {
    /// Opens `sqlite:FILE` or `postgres://…`. An SQLite file is made if it is not there, readable by its owner
    /// only. Nothing is migrated.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(url: &str, connections: u32) -> Result<Self, OpenError> {
        match url.split(':').next() {
            Some("sqlite") => Self::open_sqlite(url, connections).await,
            Some("postgres" | "postgresql") => Self::open_postgres(url, connections).await,
            _ => Err(OpenError::Url(url.split('@').next_back().unwrap_or_default().to_owned())),
        }
    }

    async fn open_sqlite(url: &str, connections: u32) -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::from_str(url)?
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: an answer is never sent for a commit that a power cut could take back.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE)
            .pragma("cache_size", "-16000")
            .pragma("mmap_size", "268435456")
            .disable_statement_logging();
        private_file(options.get_filename())?;
        let writers = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .connect_with(options.clone().create_if_missing(true))
            .await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(connections.clamp(1, 16))
            .acquire_timeout(PATIENCE)
            .connect_with(options.read_only(true))
            .await?;
        let writer = Writer::start(writers.clone());
        Ok(Self(Arc::new(Inner::Sqlite { readers, writer, writers })))
    }

    async fn open_postgres(url: &str, connections: u32) -> Result<Self, OpenError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| OpenError::Url("postgres://…".to_owned()))?
            .options([("synchronous_commit", "on"), ("statement_timeout", "10s"), ("lock_timeout", "5s")])
            .disable_statement_logging();
        let pool = || PgPoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE);
        let read_only = options.clone().options([("default_transaction_read_only", "on")]);
        let writers = pool().connect_with(options).await?;
        let readers = pool().connect_with(read_only).await?;
        Ok(Self(Arc::new(Inner::Postgres { readers, writers })))
    }

    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        match &*self.0 {
            Inner::Sqlite { .. } => Engine::Sqlite,
            Inner::Postgres { .. } => Engine::Postgres,
        }
    }

    /// Reads. The closure owns its inputs and borrows them to the job.
    ///
    /// # Errors
    /// Whatever the job answers, or [`StoreError::Unavailable`].
    pub async fn read<I, T, F>(&self, input: I, job: F) -> Result<T, StoreError>
    where
        F: for<'t> FnOnce(&'t mut Reader, &'t I) -> Job<'t, T>,
    {
        let connection = match &*self.0 {
            Inner::Sqlite { readers, .. } => Connection::Sqlite(readers.acquire().await?),
            Inner::Postgres { readers, .. } => Connection::Postgres(readers.acquire().await?),
        };
        let mut reader = Reader(connection);
        job(&mut reader, &input).await
    }

    /// Writes in one transaction: `Ok` commits, `Err` undoes. The answer comes after the commit is on disk.
    /// The closure owns its inputs and may be run again; it ends even if the caller no longer waits for it.
    ///
    /// # Errors
    /// Whatever the job answers; [`StoreError::Unavailable`] when it could not be committed.
    pub async fn write<I, T, F>(&self, input: I, job: F) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx, &'t I) -> Job<'t, T> + Send + Sync + 'static,
    {
        match &*self.0 {
            Inner::Sqlite { writer, .. } => writer.write(input, job).await,
            Inner::Postgres { writers, .. } => {
                let pool = writers.clone();
                let write = tokio::spawn(async move { write_postgres(&pool, &input, &job).await });
                write.await.unwrap_or(Err(StoreError::Panicked))
            }
        }
    }

    /// Whether writes are taken at all. On SQLite they go through one task; without it there are none.
    pub fn takes_writes(&self) -> bool {
        match &*self.0 {
            Inner::Sqlite { writer, .. } => writer.is_running(),
            Inner::Postgres { .. } => true,
        }
    }

    pub(crate) fn pools(&self) -> Pools<'_> {
        match &*self.0 {
            Inner::Sqlite { writers, .. } => Pools::Sqlite(writers),
            Inner::Postgres { writers, .. } => Pools::Postgres(writers),
        }
    }

    /// Finishes the writes that wait and closes every connection.
    pub async fn close(&self) {
        match &*self.0 {
            Inner::Sqlite { readers, writer, writers } => {
                writer.stop().await;
                readers.close().await;
                writers.close().await;
            }
            Inner::Postgres { readers, writers } => {
                readers.close().await;
                writers.close().await;
            }
        }
    }
}

/// The pools that may change the schema.
pub(crate) enum Pools<'a> {
    Sqlite(&'a SqlitePool),
    Postgres(&'a PgPool),
}

async fn write_postgres<I, T, F>(pool: &PgPool, input: &I, job: &F) -> Result<T, StoreError>
where
    F: for<'t> Fn(&'t mut Tx, &'t I) -> Job<'t, T>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        match attempt_postgres(pool, input, job).await {
            Err(StoreError::Again(_)) if tries < TRIES => {
                tokio::time::sleep(Duration::from_millis(u64::from(tries) * 5)).await;
            }
            Err(StoreError::Again(why)) => return Err(StoreError::Unavailable(why)),
            outcome => return outcome,
        }
    }
}

async fn attempt_postgres<I, T, F>(pool: &PgPool, input: &I, job: &F) -> Result<T, StoreError>
where
    F: for<'t> Fn(&'t mut Tx, &'t I) -> Job<'t, T>,
{
    let mut tx = Tx::new(Connection::Postgres(pool.acquire().await?));
    tx.steer("BEGIN").await?;
    let work = std::panic::AssertUnwindSafe(async { job(&mut tx, input).await });
    let outcome = work.catch_unwind().await;
    let outcome = outcome.unwrap_or(Err(StoreError::Panicked));
    let end = if outcome.is_ok() { tx.commit_postgres().await } else { tx.steer("ROLLBACK").await };
    match end {
        Ok(()) => {
            if outcome.is_ok() {
                tx.events.iter().for_each(AuditRecord::log);
            }
            outcome
        }
        Err(error) => {
            tx.discard();
            outcome.and(Err(error))
        }
    }
}

/// An SQLite file and its companions are made by the first connection: make it ours alone before that.
fn private_file(path: &std::path::Path) -> Result<(), OpenError> {
    use std::os::unix::fs::OpenOptionsExt;
    if path.as_os_str().is_empty() || path.to_string_lossy().contains(":memory:") {
        return Ok(());
    }
    let made = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| OpenError::Connect(sqlx::Error::Io(error)))
}

#[cfg(test)]
#[path = "db_tests.rs"]
mod tests;
