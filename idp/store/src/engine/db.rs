//! Opening a database, reading from it, writing to it.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, PgConnection, SqliteConnection};
use tokio::time::Instant;

use super::connection::{Job, Reader, Tx};
use super::group_commit::Writer;
use super::pool::{Era, PATIENCE, Pool};
use super::{postgres, postgres_tls, read};
use crate::error::{OpenError, StoreError};

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
pub struct Store(pub(crate) Arc<StoreInner>);

pub(crate) enum StoreInner {
    Sqlite {
        readers: Pool<SqliteConnection>,
        writer: Writer,
        writers: Pool<SqliteConnection>,
        looks: Pool<SqliteConnection>,
    },
    Postgres {
        readers: Pool<PgConnection>,
        writers: Pool<PgConnection>,
        /// One connection kept for looks, which wait behind no request; it reads and writes.
        looks: Pool<PgConnection>,
        /// When a connection was last made only to see where it leads.
        fresh_look: Mutex<Option<Instant>>,
    },
}

/// How long a read, or on PostgreSQL one attempt to write, may take. PostgreSQL's own limit for a statement is shorter:
/// what takes longer than this has no server at the other end.
const LIMIT: Duration = Duration::from_secs(12);
/// The same for a look, which is to be told before requests are.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

impl Store {
    /// Opens `sqlite:FILE` or `postgres://…`. An SQLite file is made if it is not there, readable by its owner
    /// only. Nothing is migrated.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(url: &str, connections: u32) -> Result<Self, OpenError> {
        Self::open_within(url, connections, LIMIT).await
    }

    /// The same, with another limit for how long a read, or on PostgreSQL one attempt to write, may take.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_within(url: &str, connections: u32, limit: Duration) -> Result<Self, OpenError> {
        match url.split(':').next() {
            Some("sqlite") => Self::open_sqlite(url, connections, limit).await,
            Some("postgres" | "postgresql") => Self::open_postgres(url, connections, limit).await,
            _ => Err(OpenError::Url(url.split('@').next_back().unwrap_or_default().to_owned())),
        }
    }

    async fn open_sqlite(url: &str, connections: u32, limit: Duration) -> Result<Self, OpenError> {
        let options = sqlite_options(url)?
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: an answer is never sent for a commit that a power cut could take back.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE)
            .pragma("cache_size", "-4000")
            .disable_statement_logging();
        // The file is made here and only here: one that is moved away later is missed, not made anew and empty.
        private_file(options.get_filename())?;
        let era = Era::default();
        let writers = Pool::open(options.clone(), 1, limit, era.clone()).await?;
        let readers = connections.min(sqlite_readers());
        let options = options.read_only(true);
        let looks = Pool::new(options.clone(), 1, limit.min(LOOK_LIMIT), era.clone());
        let readers = Pool::open(options, readers, limit, era).await?;
        let writer = Writer::start(writers.clone());
        Ok(Self(Arc::new(StoreInner::Sqlite { readers, writer, writers, looks })))
    }

    async fn open_postgres(url: &str, connections: u32, limit: Duration) -> Result<Self, OpenError> {
        let options = postgres_tls::options(url)?
            .options([("synchronous_commit", "on"), ("statement_timeout", "10s"), ("lock_timeout", "5s")])
            .disable_statement_logging();
        let read_only = options.clone().options([("default_transaction_read_only", "on")]);
        reach(&options).await?;
        let refused = |error| refusal(&options, &error);
        let era = Era::default();
        let looks = Pool::new(options.clone(), 1, limit.min(LOOK_LIMIT), era.clone());
        let writers = Pool::open(options.clone(), connections, limit, era.clone()).await.map_err(refused)?;
        let readers = Pool::open(read_only, connections, limit, era).await.map_err(refused)?;
        Ok(Self(Arc::new(StoreInner::Postgres { readers, writers, looks, fresh_look: Mutex::new(None) })))
    }

    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        match &*self.0 {
            StoreInner::Sqlite { .. } => Engine::Sqlite,
            StoreInner::Postgres { .. } => Engine::Postgres,
        }
    }

    /// Reads. The closure owns its inputs, borrows them to the job, and may be run again; it ends even if the caller no
    /// longer waits for it.
    ///
    /// # Errors
    /// Whatever the job answers, or [`StoreError::Unavailable`].
    pub async fn read<I, T, F>(&self, input: I, job: F) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Reader, &'t I) -> Job<'t, T> + Send + Sync + 'static,
    {
        match &*self.0 {
            StoreInner::Sqlite { readers, .. } => read::read(readers, input, job).await,
            StoreInner::Postgres { readers, .. } => read::read(readers, input, job).await,
        }
    }

    /// Reads on the connection that is kept for looks: it waits behind no request.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read_apart<I, T, F>(&self, input: I, job: F) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Reader, &'t I) -> Job<'t, T> + Send + Sync + 'static,
    {
        match &*self.0 {
            StoreInner::Sqlite { looks, .. } => read::read(looks, input, job).await,
            StoreInner::Postgres { looks, .. } => read::read(looks, input, job).await,
        }
    }

    /// Writes in one transaction: `Ok` commits, `Err` undoes. The answer comes after the commit is on disk.
    /// The closure owns its inputs and may be run again; it ends even if the caller no longer waits for it. It must pass
    /// on every error of a statement: SQLite may have ended the transaction with it.
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
            StoreInner::Sqlite { writer, .. } => writer.write(input, job).await,
            StoreInner::Postgres { writers, .. } => {
                let pool = writers.clone();
                let write = tokio::spawn(async move { postgres::write(&pool, &input, &job).await });
                write.await.unwrap_or(Err(StoreError::Panicked))
            }
        }
    }

    /// The pools that may change the schema.
    pub(crate) fn pools(&self) -> Pools<'_> {
        match &*self.0 {
            StoreInner::Sqlite { writers, .. } => Pools::Sqlite(writers),
            StoreInner::Postgres { writers, .. } => Pools::Postgres(writers),
        }
    }

    /// The pools that can change nothing.
    pub(crate) fn readers(&self) -> Pools<'_> {
        match &*self.0 {
            StoreInner::Sqlite { readers, .. } => Pools::Sqlite(readers),
            StoreInner::Postgres { readers, .. } => Pools::Postgres(readers),
        }
    }

    /// Finishes the writes that wait and closes every connection.
    pub async fn close(&self) {
        match &*self.0 {
            StoreInner::Sqlite { readers, writer, writers, looks } => {
                writer.stop().await;
                looks.close().await;
                readers.close().await;
                writers.close().await;
            }
            StoreInner::Postgres { readers, writers, looks, .. } => {
                looks.close().await;
                readers.close().await;
                writers.close().await;
            }
        }
    }
}

/// Pools of either engine.
pub(crate) enum Pools<'a> {
    Sqlite(&'a Pool<SqliteConnection>),
    Postgres(&'a Pool<PgConnection>),
}

/// The file of a `sqlite:` URL, by the name under which it is opened; `None` for another engine.
///
/// # Errors
/// [`OpenError`]: it names no file.
pub fn database_file(url: &str) -> Result<Option<PathBuf>, OpenError> {
    let is_sqlite = url.starts_with("sqlite:");
    is_sqlite.then(|| Ok(sqlite_options(url)?.get_filename().to_owned())).transpose()
}

/// As many as can run at once: a connection is a thread with a cache of its own, and a core that changes between many of
/// them does less. Two, where the settings allow it, so that one that waits for the disk does not stop all.
fn sqlite_readers() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(u32::MAX).max(2)
}

fn sqlite_options(url: &str) -> Result<SqliteConnectOptions, OpenError> {
    let options = SqliteConnectOptions::from_str(url)?;
    // SQLite itself would read the rest of such a name as a URI, and open another file than the one named here.
    match options.get_filename().as_os_str().as_encoded_bytes().starts_with(b"file:") {
        true => Err(OpenError::Url("sqlite:file:…".to_owned())),
        false => Ok(options),
    }
}

/// Connects once and hangs up. A pool would try a server that is away again and again, and say in the end that
/// it waited.
async fn reach(options: &PgConnectOptions) -> Result<(), OpenError> {
    match tokio::time::timeout(PATIENCE, options.connect()).await {
        Ok(Ok(connection)) => connection.close().await.map_err(|error| refusal(options, &error)),
        Ok(Err(error)) => Err(refusal(options, &error)),
        Err(_) => Err(OpenError::Unreachable { server: server(options), why: "no answer".to_owned() }),
    }
}

fn refusal(options: &PgConnectOptions, error: &sqlx::Error) -> OpenError {
    let server = server(options);
    if let Some(why) = postgres_tls::explain(error) {
        return OpenError::Unprotected { server, why };
    }
    match error {
        sqlx::Error::Io(error) => OpenError::Unreachable { server, why: plainly(error) },
        sqlx::Error::Database(error) => OpenError::Refused { server, why: error.message().to_owned() },
        other => OpenError::Refused { server, why: other.to_string() },
    }
}

/// What the system says, as the end of a sentence and without its number.
fn plainly(error: &std::io::Error) -> String {
    let said = error.to_string();
    let said = said.split(" (os error").next().unwrap_or_default();
    let mut signs = said.chars();
    signs.next().map_or_else(String::new, |first| first.to_lowercase().chain(signs).collect())
}

fn server(options: &PgConnectOptions) -> String {
    let (host, port) = (options.get_host(), options.get_port());
    match options.get_socket() {
        Some(folder) => folder.join(format!(".s.PGSQL.{port}")).display().to_string(),
        None if host.starts_with('/') => format!("{host}/.s.PGSQL.{port}"),
        None if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        None => format!("{host}:{port}"),
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
