//! Connections that are kept open between uses, and reads over them.
//!
//! A pool that asks before and after each use whether the other side is still there makes three round trips of one, or
//! on SQLite, whose connections are threads, three changes of thread. Here nobody asks. Whoever meets a connection of no
//! more use starts over on a fresh one, and none of its age is used again.

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
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
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

    /// The file that is now under the database's name; `None` where there is no file.
    fn file(options: &Self::Options) -> Option<FileIdentity>;

    /// The server at the other end; `None` where there is no server.
    fn server(&mut self) -> impl Future<Output = Result<Option<ServerIdentity>, sqlx::Error>> + Send;
}

/// A file, whatever its name: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity(u64, u64);

/// A server in a role. After a failover, or where an address leads to another machine, it is another one.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct ServerIdentity {
    /// When it was started: no two servers say the same, and every user of a database may ask.
    pub(crate) started: String,
    pub(crate) standby: bool,
}

impl ServerIdentity {
    pub(crate) const SQL: &str =
        "SELECT CAST(pg_postmaster_start_time() AS TEXT) AS started, pg_is_in_recovery() AS standby";
}

/// Connections made before a certain moment are not used again: counts those moments. A store's pools share one, since
/// what ends one connection (a failover, a restart, a file that was replaced) ends all.
#[derive(Clone, Default)]
pub(crate) struct Era(Arc<EraInner>);

#[derive(Default)]
struct EraInner {
    number: AtomicU64,
    /// To which server connections of this era lead.
    server: Mutex<Option<ServerIdentity>>,
}

impl Era {
    fn now(&self) -> u64 {
        self.0.number.load(Ordering::SeqCst)
    }

    /// Ends this era, unless somebody else has done so: of many who meet dead connections of one age, only the first
    /// ends it, and what was made since stays.
    fn end(&self, era: u64) {
        let _ = self.0.number.compare_exchange(era, era + 1, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// A new connection leads to this server: those to another one are no longer to be used. Answers the era of the new
    /// one.
    fn meet(&self, server: Option<ServerIdentity>) -> u64 {
        let mut known = lock(&self.0.server);
        if known.is_some() && *known != server {
            self.end(self.now());
        }
        *known = server;
        self.now()
    }
}

impl Pooled for PgConnection {
    /// Nobody listens yet, or the server says that it is starting.
    fn passes(error: &sqlx::Error) -> bool {
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
    /// Another program has the file to itself: for the change of a new file to a write-ahead log, SQLite does not
    /// wait by itself. SQLITE_BUSY of whatever kind: the last byte of the code.
    fn passes(error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
        code.is_some_and(|code| code & 0xff == 5)
    }

    /// With a write-ahead log SQLite itself does not notice that the file under its name is another one.
    fn file(options: &Self::Options) -> Option<FileIdentity> {
        let facts = std::fs::metadata(options.get_filename()).ok()?;
        Some(FileIdentity(facts.dev(), facts.ino()))
    }

    async fn server(&mut self) -> Result<Option<ServerIdentity>, sqlx::Error> {
        Ok(None)
    }
}

/// At most so many connections, those that rest among them.
pub(crate) struct Pool<C: Pooled>(Arc<PoolInner<C>>);

impl<C: Pooled> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct PoolInner<C: Pooled> {
    options: C::Options,
    size: u32,
    /// Whether the database is a file with a name.
    has_file: bool,
    /// How long a read or an attempt to write may take.
    limit: Duration,
    era: Era,
    permits: Arc<Semaphore>,
    resting: Mutex<Vec<Resting<C>>>,
    /// When something was last written for certain.
    wrote: Mutex<Option<Instant>>,
}

struct Resting<C> {
    connection: C,
    made: Made,
    since: Instant,
}

/// When a connection was made, and to what.
#[derive(Clone, Copy)]
struct Made {
    at: Instant,
    era: u64,
    file: Option<FileIdentity>,
}

/// A connection in use. Dropped, it is closed.
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
    /// Lets the connection rest until the next use, unless its era has ended meanwhile.
    pub(crate) fn give_back(self) {
        let Self { connection, made, pool, .. } = self;
        if made.era == pool.0.era.now() {
            lock(&pool.0.resting).push(Resting { connection, made, since: Instant::now() });
        }
    }

    /// The era in which it was made.
    pub(crate) fn era(&self) -> u64 {
        self.made.era
    }

    /// Whether it was made for this very use.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }
}

impl<C: Pooled> Pool<C> {
    /// A pool without any connection yet.
    pub(crate) fn new(options: C::Options, size: u32, limit: Duration, era: Era) -> Self {
        let size = size.max(1);
        Self(Arc::new(PoolInner {
            has_file: C::file(&options).is_some(),
            options,
            size,
            limit,
            era,
            permits: Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(1))),
            resting: Mutex::new(Vec::new()),
            wrote: Mutex::new(None),
        }))
    }

    /// Makes the pool and its first connection.
    pub(crate) async fn open(
        options: C::Options,
        size: u32,
        limit: Duration,
        era: Era,
    ) -> Result<Self, sqlx::Error> {
        let pool = Self::new(options, size, limit, era);
        let (connection, made) = pool.make().await?;
        lock(&pool.0.resting).push(Resting { connection, made, since: made.at });
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

    /// Which file it is is looked at before: should it change meanwhile, the connection passes for an old one.
    async fn make(&self) -> Result<(C, Made), sqlx::Error> {
        let file = C::file(&self.0.options);
        let mut connection = self.connect().await?;
        let era = self.0.era.meet(connection.server().await?);
        Ok((connection, Made { at: Instant::now(), era, file }))
    }

    /// Makes a connection only to see where it leads, and closes it.
    pub(crate) async fn see_where_it_leads(&self) -> Result<(), sqlx::Error> {
        let (connection, _) = self.make().await?;
        connection.close().await
    }

    pub(crate) async fn acquire(&self) -> Result<Lent<C>, StoreError> {
        let permit = self.permit().await?;
        self.lend(permit).await
    }

    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let permit = timeout(self.patience(), Arc::clone(&self.0.permits).acquire_owned()).await;
        permit
            .map_err(|_| StoreError::Unavailable("every connection is in use".to_owned()))?
            .map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))
    }

    pub(crate) async fn lend(&self, permit: OwnedSemaphorePermit) -> Result<Lent<C>, StoreError> {
        let (connection, made, fresh) = match self.rested(Instant::now()) {
            Some(resting) => (resting.connection, resting.made, false),
            None => {
                let made = self.make().await;
                let (connection, made) = made.map_err(StoreError::not_connected)?;
                (connection, made, true)
            }
        };
        Ok(Lent { connection, made, fresh, pool: self.clone(), _permit: permit })
    }

    /// The connection that was used last. Those that rested too long, or lead to what is no longer the database, are
    /// closed, also while others are in use.
    fn rested(&self, now: Instant) -> Option<Resting<C>> {
        let (era, file) = (self.0.era.now(), C::file(&self.0.options));
        let mut resting = lock(&self.0.resting);
        resting.retain(|one| {
            let young = now - one.since < LONGEST_REST && now - one.made.at < LONGEST_LIFE;
            young && one.made.era == era && one.made.file == file
        });
        resting.pop()
    }

    /// Ends the era of a connection that is of no more use: the others of its age most likely are as well, those that
    /// rest and those that are in use, in this pool and in the other one.
    pub(crate) fn start_over(&self, era: u64) {
        self.0.era.end(era);
        let now = self.0.era.now();
        lock(&self.0.resting).retain(|one| one.made.era == now);
    }

    /// Makes every connection there is one of no more use.
    pub(crate) fn renew(&self) {
        self.start_over(self.0.era.now());
    }

    /// Whether there was a file, and is none now.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.has_file && C::file(&self.0.options).is_none()
    }

    /// Notes that a commit was made that changed something.
    pub(crate) fn note_write(&self) {
        *lock(&self.0.wrote) = Some(Instant::now());
    }

    /// Whether that was not longer ago than this.
    pub(crate) fn wrote_within(&self, span: Duration) -> bool {
        lock(&self.0.wrote).is_some_and(|at| at.elapsed() < span)
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

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
