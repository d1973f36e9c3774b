//! The store: opening a database, reading from it and writing to it.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, PgConnection, SqliteConnection};
use tokio::time::Instant;

use super::connection::{JobFuture, Reader, Tx};
use super::group_commit::Writer;
use super::pool::{ACQUIRE_TIMEOUT, Pool, PoolGeneration};
use super::{postgres, postgres_tls, read};
use crate::error::{OpenError, StoreError};

/// Which engine a store runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded, with one writer and group commit.
    Sqlite,
    /// A server that several nodes share.
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
        readiness: Pool<SqliteConnection>,
    },
    Postgres {
        readers: Pool<PgConnection>,
        writers: Pool<PgConnection>,
        /// One read-write connection reserved for readiness checks, which then never wait behind a request.
        readiness: Pool<PgConnection>,
        /// When a connection was last made just to see where it leads.
        last_recheck: Mutex<Option<Instant>>,
    },
}

/// How long a read, or on PostgreSQL one attempt at a write, may take. PostgreSQL's own statement timeout is shorter,
/// so whatever takes longer than this has no server at the other end.
const LIMIT: Duration = Duration::from_secs(12);
/// The same for a readiness check, which should notice before requests do.
const READINESS_LIMIT: Duration = Duration::from_secs(3);

impl Store {
    /// Opens `sqlite:FILE` or `postgres://…`. A missing SQLite file is created, readable by its owner only. Nothing
    /// is migrated.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(url: &str, connections: u32) -> Result<Self, OpenError> {
        Self::open_within(url, connections, LIMIT).await
    }

    /// The same, with another limit for how long a read, or on PostgreSQL one attempt at a write, may take.
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
            // FULL: nothing is acknowledged that a power cut could still undo.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(ACQUIRE_TIMEOUT)
            .pragma("cache_size", "-4000")
            .disable_statement_logging();
        // The file is created only here. If it is moved away later, that is an error; no empty one takes its place.
        private_file(options.get_filename())?;
        let generation = PoolGeneration::default();
        let writers = Pool::open(options.clone(), 1, limit, generation.clone()).await?;
        let readers = connections.min(sqlite_readers());
        let options = options.read_only(true);
        let readiness = Pool::new(options.clone(), 1, limit.min(READINESS_LIMIT), generation.clone());
        let readers = Pool::open(options, readers, limit, generation).await?;
        let writer = Writer::start(writers.clone());
        Ok(Self(Arc::new(StoreInner::Sqlite { readers, writer, writers, readiness })))
    }

    async fn open_postgres(url: &str, connections: u32, limit: Duration) -> Result<Self, OpenError> {
        let options = postgres_tls::options(url)?
            .options([("synchronous_commit", "on"), ("statement_timeout", "10s"), ("lock_timeout", "5s")])
            .disable_statement_logging();
        let read_only = options.clone().options([("default_transaction_read_only", "on")]);
        check_reachable(url, &options).await?;
        let refused = |error| open_error(url, &options, &error);
        let generation = PoolGeneration::default();
        let readiness = Pool::new(options.clone(), 1, limit.min(READINESS_LIMIT), generation.clone());
        let writers =
            Pool::open(options.clone(), connections, limit, generation.clone()).await.map_err(refused)?;
        let readers = Pool::open(read_only, connections, limit, generation).await.map_err(refused)?;
        Ok(Self(Arc::new(StoreInner::Postgres {
            readers,
            writers,
            readiness,
            last_recheck: Mutex::new(None),
        })))
    }

    /// The engine of this store.
    pub fn engine(&self) -> Engine {
        match &*self.0 {
            StoreInner::Sqlite { .. } => Engine::Sqlite,
            StoreInner::Postgres { .. } => Engine::Postgres,
        }
    }

    /// Reads. The closure owns its inputs and lends them to the job. It may be run again, and it runs to its end even
    /// if the caller stops waiting.
    ///
    /// # Errors
    /// Whatever the job returns, or [`StoreError::Unavailable`].
    pub async fn read<I, T, F>(&self, input: I, job: F) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Reader, &'t I) -> JobFuture<'t, T> + Send + Sync + 'static,
    {
        match &*self.0 {
            StoreInner::Sqlite { readers, .. } => read::read(readers, input, job).await,
            StoreInner::Postgres { readers, .. } => read::read(readers, input, job).await,
        }
    }

    /// Reads on the connection reserved for readiness checks, which never waits behind a request.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read_for_readiness<I, T, F>(&self, input: I, job: F) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Reader, &'t I) -> JobFuture<'t, T> + Send + Sync + 'static,
    {
        match &*self.0 {
            StoreInner::Sqlite { readiness, .. } => read::read(readiness, input, job).await,
            StoreInner::Postgres { readiness, .. } => read::read(readiness, input, job).await,
        }
    }

    /// Writes in one transaction: `Ok` commits, `Err` rolls back. Returns after the commit is on disk. The closure
    /// owns its inputs. It may be run again, and it runs to its end even if the caller stops waiting. It must pass on
    /// every error of a statement: SQLite may have ended the transaction with it.
    ///
    /// # Errors
    /// Whatever the job returns; [`StoreError::Unavailable`] if it could not be committed.
    pub async fn write<I, T, F>(&self, input: I, job: F) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx, &'t I) -> JobFuture<'t, T> + Send + Sync + 'static,
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

    /// The pools whose connections can write.
    pub(crate) fn pools(&self) -> Pools<'_> {
        match &*self.0 {
            StoreInner::Sqlite { writers, .. } => Pools::Sqlite(writers),
            StoreInner::Postgres { writers, .. } => Pools::Postgres(writers),
        }
    }

    /// The pools whose connections can only read.
    pub(crate) fn readers(&self) -> Pools<'_> {
        match &*self.0 {
            StoreInner::Sqlite { readers, .. } => Pools::Sqlite(readers),
            StoreInner::Postgres { readers, .. } => Pools::Postgres(readers),
        }
    }

    /// Finishes waiting writes and closes all connections.
    pub async fn close(&self) {
        match &*self.0 {
            StoreInner::Sqlite { readers, writer, writers, readiness } => {
                writer.stop().await;
                readiness.close().await;
                readers.close().await;
                writers.close().await;
            }
            StoreInner::Postgres { readers, writers, readiness, .. } => {
                readiness.close().await;
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

/// The path that a `sqlite:` URL opens; `None` for another engine.
///
/// # Errors
/// [`OpenError`] if the URL names no file.
pub fn database_file(url: &str) -> Result<Option<PathBuf>, OpenError> {
    let is_sqlite = url.starts_with("sqlite:");
    is_sqlite.then(|| Ok(sqlite_options(url)?.get_filename().to_owned())).transpose()
}

/// As many as can run at once: each connection is a thread with a cache of its own, and a core that switches between
/// many of them gets less done. At least two, if the settings allow it, so that one that waits for the disk does not
/// block all reads.
fn sqlite_readers() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(u32::MAX).max(2)
}

fn sqlite_options(url: &str) -> Result<SqliteConnectOptions, OpenError> {
    let options = SqliteConnectOptions::from_str(url)?;
    // SQLite would parse the rest of such a name as a URI and open another file than the one we checked.
    match options.get_filename().as_os_str().as_encoded_bytes().starts_with(b"file:") {
        true => Err(OpenError::Url("sqlite:file:…".to_owned())),
        false => Ok(options),
    }
}

/// Connects once and disconnects. A pool would retry a server that is down and finally report a timeout instead of
/// the reason.
async fn check_reachable(url: &str, options: &PgConnectOptions) -> Result<(), OpenError> {
    match tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect()).await {
        Ok(Ok(connection)) => connection.close().await.map_err(|error| open_error(url, options, &error)),
        Ok(Err(error)) => Err(open_error(url, options, &error)),
        Err(_) => Err(OpenError::Unreachable { server: server(options), why: "no answer".to_owned() }),
    }
}

fn open_error(url: &str, options: &PgConnectOptions, error: &sqlx::Error) -> OpenError {
    if let Some(refusal) = postgres_tls::blamed_on_input(url, options, error) {
        return refusal;
    }
    let server = server(options);
    if let Some(why) = postgres_tls::explain(error) {
        return OpenError::Unprotected { server, why };
    }
    match error {
        sqlx::Error::Io(error) => OpenError::Unreachable { server, why: without_os_error_code(error) },
        sqlx::Error::Database(error) => OpenError::Refused { server, why: error.message().to_owned() },
        other => OpenError::Refused { server, why: other.to_string() },
    }
}

/// The system's message as the end of a sentence, without its number.
fn without_os_error_code(error: &std::io::Error) -> String {
    let said = error.to_string();
    let said = said.split(" (os error").next().unwrap_or_default();
    let mut chars = said.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
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

/// Whether the file of an SQLite database exists. An empty file is none yet.
///
/// # Errors
/// [`OpenError::FileMissing`]: it does not, but there was one. A new, empty file in its place would hide that, and SQLite
/// would delete the latest writes that the old one left beside it.
pub fn database_file_exists(path: &Path) -> Result<bool, OpenError> {
    let missing = |trace: String| Err(OpenError::FileMissing { file: path.display().to_string(), trace });
    if path.metadata().is_ok_and(|facts| facts.len() > 0) {
        return Ok(true);
    }
    if let Ok(target) = path.read_link()
        && !path.exists()
    {
        return missing(format!("it is a link to {}, which does not exist", target.display()));
    }
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let wal = Path::new(&wal);
    match wal.metadata() {
        Ok(facts) if facts.len() > 0 => missing(format!(
            "its latest writes are still in {}; put the file back beside it, or move that away as well to begin with an \
             empty database",
            wal.display()
        )),
        _ => Ok(false),
    }
}

/// The first connection creates an SQLite file and its companions with the file's permissions, so create it private
/// before that.
fn private_file(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::OpenOptionsExt;
    if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
        return Ok(());
    }
    database_file_exists(path)?;
    let made = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| OpenError::Connect(sqlx::Error::Io(error)))
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
