//! A pool of connections that are kept open between uses.
//!
//! A pool that checks before and after each use whether the other side is still there turns one round trip into
//! three, or on SQLite, whose connections are threads, one thread switch into three. This pool does not check.
//! Whoever finds a connection broken starts over on a fresh one, and no other of its generation is used again.

use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::error::StoreError;
use crate::lock::lock;

/// How long a request waits for a connection before it is told to come back.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a read or write starts over on a fresh connection.
pub(crate) const MAX_RECONNECTS: u32 = 2;
/// How long a connection may stay idle. After that, a device between us and the server may have forgotten it, and one
/// to a file holds memory for nothing.
const MAX_IDLE: Duration = Duration::from_secs(60);
/// How long a connection may live at all: the server may have moved, and its side of an old connection grows.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// How long reads rely on the last look at the database's file. A look before each would be a fiftieth of a request's
/// CPU time. Writes look each time, for all pools of the store.
const FILE_LOOK: Duration = Duration::from_millis(10);

/// What the pool needs from a connection of either engine.
pub(crate) trait Pooled: Connection {
    /// Whether connecting failed for a reason that goes away by itself, soon.
    fn is_transient(error: &sqlx::Error) -> bool;

    /// The file currently at the database's path; `None` if there is no file.
    fn file(options: &Self::Options) -> Option<FileIdentity>;

    /// The server this connection leads to; `None` if there is no server.
    fn server(&mut self) -> impl Future<Output = Result<Option<ServerIdentity>, sqlx::Error>> + Send;
}

/// A file regardless of its name: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity(u64, u64);

/// A server in its role. After a failover, or where the address leads to another machine, it is another one.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct ServerIdentity {
    /// Its start time: no two servers report the same, and every role may ask for it.
    pub(crate) started: String,
    pub(crate) standby: bool,
}

impl ServerIdentity {
    pub(crate) const SQL: &str =
        "SELECT CAST(pg_postmaster_start_time() AS TEXT) AS started, pg_is_in_recovery() AS standby";
}

/// Counts the moments after which older connections are not used again. A store's pools share one generation, because
/// what breaks one connection (a failover, a restart, a replaced file) breaks all.
#[derive(Clone, Default)]
pub(crate) struct PoolGeneration(Arc<GenerationInner>);

#[derive(Default)]
struct GenerationInner {
    number: AtomicU64,
    /// The server that this generation's connections lead to.
    server: Mutex<Option<ServerIdentity>>,
    /// What was at the database's path, and when.
    file: Mutex<Option<(Instant, Option<FileIdentity>)>>,
}

impl PoolGeneration {
    fn now(&self) -> u64 {
        self.0.number.load(Ordering::SeqCst)
    }

    /// Ends this generation, unless somebody else already has: of the many who meet dead connections of one age, only
    /// the first ends it, and connections made since stay.
    fn end(&self, generation: u64) {
        let _ =
            self.0.number.compare_exchange(generation, generation + 1, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// What is at the database's path, or was within the last `age`.
    fn file<C: Pooled>(&self, options: &C::Options, age: Duration) -> Option<FileIdentity> {
        let mut seen = lock(&self.0.file);
        match *seen {
            Some((at, file)) if at.elapsed() < age => file,
            _ => {
                let file = C::file(options);
                *seen = Some((Instant::now(), file));
                file
            }
        }
    }

    /// Records where a new connection leads. Connections to another server are not used again. Returns the new
    /// connection's generation.
    fn record_server(&self, server: Option<ServerIdentity>) -> u64 {
        let mut known = lock(&self.0.server);
        if known.is_some() && *known != server {
            self.end(self.now());
        }
        *known = server;
        self.now()
    }
}

impl Pooled for PgConnection {
    /// Nothing is listening yet, or the server says it is starting.
    fn is_transient(error: &sqlx::Error) -> bool {
        match error {
            sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
            other => other.as_database_error().is_some_and(|error| error.code().as_deref() == Some("57P03")),
        }
    }

    fn file(_: &Self::Options) -> Option<FileIdentity> {
        None
    }

    async fn server(&mut self) -> Result<Option<ServerIdentity>, sqlx::Error> {
        sqlx::query_as(ServerIdentity::SQL).fetch_one(self).await.map(Some)
    }
}

impl Pooled for SqliteConnection {
    /// Another program has locked the file: SQLite does not wait by itself when it switches a new file to a
    /// write-ahead log. SQLITE_BUSY of any kind: the last byte of the code.
    fn is_transient(error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
        code.is_some_and(|code| code & 0xff == 5)
    }

    /// With a write-ahead log, SQLite itself does not notice that the file at its path has been replaced.
    fn file(options: &Self::Options) -> Option<FileIdentity> {
        let facts = std::fs::metadata(options.get_filename()).ok()?;
        Some(FileIdentity(facts.dev(), facts.ino()))
    }

    async fn server(&mut self) -> Result<Option<ServerIdentity>, sqlx::Error> {
        Ok(None)
    }
}

/// At most `size` connections, in use or idle.
pub(crate) struct Pool<C: Pooled>(Arc<PoolInner<C>>);

impl<C: Pooled> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct PoolInner<C: Pooled> {
    options: C::Options,
    size: u32,
    /// Whether the database is a named file.
    has_file: bool,
    /// How long a read or an attempt at a write may take.
    limit: Duration,
    generation: PoolGeneration,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle<C>>>,
    /// When a change was last known to be committed.
    wrote: Mutex<Option<Instant>>,
}

struct Idle<C> {
    connection: C,
    made: Made,
    since: Instant,
}

/// When a connection was made, and to what.
#[derive(Clone, Copy)]
struct Made {
    at: Instant,
    generation: u64,
    file: Option<FileIdentity>,
}

/// A connection in use. It is closed when dropped.
pub(crate) struct Lent<C: Pooled> {
    connection: C,
    made: Made,
    fresh: bool,
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
    /// Returns the connection to the pool, unless its generation has ended meanwhile.
    pub(crate) fn give_back(self) {
        let Self { connection, made, pool, .. } = self;
        if made.generation == pool.0.generation.now() {
            lock(&pool.0.idle).push(Idle { connection, made, since: Instant::now() });
        }
    }

    /// The generation it was made in.
    pub(crate) fn generation(&self) -> u64 {
        self.made.generation
    }

    /// Whether it was made for this very use.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }
}

impl<C: Pooled> Pool<C> {
    /// A pool with no connections yet.
    pub(crate) fn new(options: C::Options, size: u32, limit: Duration, generation: PoolGeneration) -> Self {
        let size = size.max(1);
        Self(Arc::new(PoolInner {
            has_file: C::file(&options).is_some(),
            options,
            size,
            limit,
            generation,
            permits: Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(1))),
            idle: Mutex::new(Vec::new()),
            wrote: Mutex::new(None),
        }))
    }

    /// Creates the pool and its first connection.
    pub(crate) async fn open(
        options: C::Options,
        size: u32,
        limit: Duration,
        generation: PoolGeneration,
    ) -> Result<Self, sqlx::Error> {
        let pool = Self::new(options, size, limit, generation);
        let (connection, made) = pool.make().await?;
        lock(&pool.0.idle).push(Idle { connection, made, since: made.at });
        Ok(pool)
    }

    /// A connection outside the pool, for work that takes longer than a request.
    pub(crate) async fn connect(&self) -> Result<C, sqlx::Error> {
        let mut last = None;
        let connects = async {
            loop {
                match self.0.options.connect().await {
                    Err(error) if C::is_transient(&error) => last = Some(error),
                    outcome => return outcome,
                }
                tokio::time::sleep(ACQUIRE_TIMEOUT / 50).await;
            }
        };
        let connected = timeout(self.acquire_timeout(), connects).await;
        let silent = || {
            sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database server does not answer"))
        };
        connected.unwrap_or_else(|_| Err(last.unwrap_or_else(silent)))
    }

    /// The file is looked up before connecting: if it is replaced in between, the connection counts as outdated.
    async fn make(&self) -> Result<(C, Made), sqlx::Error> {
        let file = self.look_at_file(Duration::ZERO);
        let mut connection = self.connect().await?;
        let generation = self.0.generation.record_server(connection.server().await?);
        Ok((connection, Made { at: Instant::now(), generation, file }))
    }

    /// Makes a connection just to see where it leads, and closes it.
    pub(crate) async fn probe_server(&self) -> Result<(), sqlx::Error> {
        let (connection, _) = self.make().await?;
        connection.close().await
    }

    /// A connection for a write.
    pub(crate) async fn acquire(&self) -> Result<Lent<C>, StoreError> {
        let permit = self.permit().await?;
        self.look_at_file(Duration::ZERO);
        self.lend(permit).await
    }

    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let permit = timeout(self.acquire_timeout(), Arc::clone(&self.0.permits).acquire_owned()).await;
        permit
            .map_err(|_| StoreError::Unavailable("every connection is in use".to_owned()))?
            .map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))
    }

    pub(crate) async fn lend(&self, permit: OwnedSemaphorePermit) -> Result<Lent<C>, StoreError> {
        let (connection, made, fresh) = match self.take_idle(Instant::now()) {
            Some(idle) => (idle.connection, idle.made, false),
            None => {
                let made = self.make().await;
                let (connection, made) = made.map_err(StoreError::not_connected)?;
                (connection, made, true)
            }
        };
        Ok(Lent { connection, made, fresh, pool: self.clone(), _permit: permit })
    }

    /// The most recently used idle connection. Those that have been idle too long, or lead to what is no longer the
    /// database, are closed, even while others are in use.
    fn take_idle(&self, now: Instant) -> Option<Idle<C>> {
        let (generation, file) = (self.0.generation.now(), self.look_at_file(FILE_LOOK));
        let mut idle = lock(&self.0.idle);
        idle.retain(|one| {
            let young = now - one.since < MAX_IDLE && now - one.made.at < MAX_AGE;
            young && one.made.generation == generation && one.made.file == file
        });
        idle.pop()
    }

    fn look_at_file(&self, age: Duration) -> Option<FileIdentity> {
        self.0.generation.file::<C>(&self.0.options, age)
    }

    /// Ends the generation of a broken connection: the others of its age are most likely broken too, idle or in use, in
    /// this pool and in the other one.
    pub(crate) fn retire_generation(&self, generation: u64) {
        self.0.generation.end(generation);
        let now = self.0.generation.now();
        lock(&self.0.idle).retain(|one| one.made.generation == now);
    }

    /// Makes sure that no existing connection is used again.
    pub(crate) fn retire_all(&self) {
        self.retire_generation(self.0.generation.now());
    }

    /// Whether there was a file and is none now.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.has_file && C::file(&self.0.options).is_none()
    }

    /// Records that a commit changed something.
    pub(crate) fn note_write(&self) {
        *lock(&self.0.wrote) = Some(Instant::now());
    }

    /// Whether a commit changed something within this span.
    pub(crate) fn wrote_within(&self, span: Duration) -> bool {
        lock(&self.0.wrote).is_some_and(|at| at.elapsed() < span)
    }

    fn acquire_timeout(&self) -> Duration {
        ACQUIRE_TIMEOUT.min(self.0.limit)
    }

    /// Gives up work that takes longer than the limit, and its connection with it.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        let silent = |_| StoreError::Unavailable("the database does not answer".to_owned());
        timeout(self.0.limit, work).await.map_err(silent)
    }

    /// Waits until no connection is in use and closes them all.
    pub(crate) async fn close(&self) {
        let _all = self.0.permits.acquire_many(self.0.size).await;
        self.0.permits.close();
        let idle = std::mem::take(&mut *lock(&self.0.idle));
        for Idle { connection, .. } in idle {
            let _ = timeout(self.acquire_timeout(), connection.close()).await;
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
