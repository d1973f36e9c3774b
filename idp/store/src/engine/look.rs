//! The readiness check of the database: which server the connections lead to, whether it accepts a write, and whether
//! it has this program's schema.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Connection, JobFuture, Reader, Tx, on};
use super::db::{Store, StoreInner};
use super::migrate::MIGRATIONS;
use super::pool::ServerIdentity;
use super::postgres;
use crate::error::StoreError;
use crate::lock::lock;

/// Why a node cannot serve.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.reason())]
pub enum Unfit {
    /// Nothing can be read.
    Silent(#[source] StoreError),
    /// SQLite's file is missing.
    Gone,
    /// The database answers, but its schema is not this program's.
    Strange(#[source] StoreError),
    /// It lacks migrations of this program.
    Behind,
    /// A replica, which accepts no writes.
    Standby,
    /// The server or this session is read-only.
    ReadOnly,
    /// A write failed.
    NoWrites(#[source] StoreError),
    /// SQLite's writer task has ended.
    NoWriter,
    /// Connections to the same address lead to different servers.
    Several,
}

impl Unfit {
    /// A few words for the operator. None of them come from the database.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Silent(_) => "the database does not answer",
            Self::Gone => "the database's file is gone",
            Self::Strange(_) => "the database has another schema",
            Self::Behind => "the database lacks migrations",
            Self::Standby => "the database is a standby",
            Self::ReadOnly => "the database is read-only",
            Self::NoWrites(_) => "the database takes no writes",
            Self::NoWriter => "the database's writer has stopped",
            Self::Several => "the database's address leads to several servers",
        }
    }
}

/// After any real write, a check need not write for this long.
const RECENTLY: Duration = Duration::from_secs(1);
/// How often a new connection is made to see whether the address still leads to the same server, and how long that
/// may take.
const FRESH_LOOK: Duration = Duration::from_secs(5);
const FRESH_LIMIT: Duration = Duration::from_secs(1);

/// What the writing connection reports.
#[derive(Clone, Debug)]
struct Writable {
    server: Option<ServerIdentity>,
    read_only: bool,
}

impl Store {
    /// Checks whether this database can be used. Connections to a former server, or to one whose role has changed,
    /// are given up. Commits one small write, unless another commit changed something just now. The check has a
    /// connection of its own, so that many requests, or the locks they wait for, are not mistaken for a database that
    /// is down. On SQLite, which has one writer, its write queues with the others.
    ///
    /// # Errors
    /// [`Unfit`]: the first problem found.
    pub async fn look(&self) -> Result<(), Unfit> {
        let began = Instant::now();
        match self.look_and_renew().await {
            // It is slow or out of connections, but it works.
            Err(Unfit::Silent(_) | Unfit::NoWrites(_)) if self.wrote_within(began.elapsed()) => Ok(()),
            outcome => outcome,
        }
    }

    async fn look_and_renew(&self) -> Result<(), Unfit> {
        self.there()?;
        self.see_where_it_leads(FRESH_LOOK).await;
        // The existing connections may be reporting on a former server.
        match self.look_once().await {
            Err(Unfit::Standby) => self.see_where_it_leads(Duration::ZERO).await,
            Err(Unfit::ReadOnly | Unfit::Several) => self.renew(),
            outcome => return outcome,
        }
        self.look_once().await
    }

    async fn look_once(&self) -> Result<(), Unfit> {
        let (read, missing) =
            self.read_apart((), |db, ()| Box::pin(db.seen())).await.map_err(|error| match error {
                StoreError::Defect(_) => Unfit::Strange(error),
                other => Unfit::Silent(other),
            })?;
        if missing > 0 {
            return Err(Unfit::Behind);
        }
        let Writable { server, read_only } = self.try_write().await.map_err(Unfit::NoWrites)?;
        if server.as_ref().is_some_and(|server| server.standby) {
            return Err(Unfit::Standby);
        }
        if read_only {
            return Err(Unfit::ReadOnly);
        }
        if read == server { Ok(()) } else { Err(Unfit::Several) }
    }

    async fn try_write(&self) -> Result<Writable, StoreError> {
        let write = !self.wrote_within(RECENTLY);
        match &*self.0 {
            StoreInner::Sqlite { .. } if !write => Ok(Writable { server: None, read_only: false }),
            StoreInner::Sqlite { writer, .. } => writer.write(write, write_if).await,
            StoreInner::Postgres { looks, .. } => postgres::write(looks, &write, &write_if).await,
        }
    }

    /// Makes a new connection if the last one was made at least `every` ago. If it leads elsewhere, the older ones
    /// are given up. If it fails, that does not mean that the existing ones do not work.
    async fn see_where_it_leads(&self, every: Duration) {
        let StoreInner::Postgres { writers, fresh_look, .. } = &*self.0 else { return };
        {
            let mut last = lock(fresh_look);
            if last.is_some_and(|at| at.elapsed() < every) {
                return;
            }
            *last = Some(Instant::now());
        }
        let seen = tokio::time::timeout(FRESH_LIMIT, writers.see_where_it_leads()).await;
        if let Ok(Err(error)) = seen {
            let why = StoreError::not_connected(error);
            tracing::debug!(%why, "no new connection to the database");
        }
    }

    /// Checks that the file, and on SQLite the writer, is there at all.
    fn there(&self) -> Result<(), Unfit> {
        match &*self.0 {
            StoreInner::Sqlite { writer, .. } if !writer.is_running() => Err(Unfit::NoWriter),
            StoreInner::Sqlite { writers, .. } if writers.is_gone() => Err(Unfit::Gone),
            _ => Ok(()),
        }
    }

    /// Whether this node committed a change within this span, whoever made it.
    pub fn wrote_within(&self, span: Duration) -> bool {
        match &*self.0 {
            StoreInner::Sqlite { writers, .. } => writers.wrote_within(span),
            StoreInner::Postgres { writers, looks, .. } => {
                writers.wrote_within(span) || looks.wrote_within(span)
            }
        }
    }

    /// Gives up all connections, in both pools.
    fn renew(&self) {
        match &*self.0 {
            StoreInner::Sqlite { readers, writers, .. } => {
                writers.renew();
                readers.renew();
            }
            StoreInner::Postgres { readers, writers, .. } => {
                writers.renew();
                readers.renew();
            }
        }
    }
}

fn write_if<'t>(tx: &'t mut Tx, write: &'t bool) -> JobFuture<'t, Writable> {
    Box::pin(tx.try_write(*write))
}

impl Reader {
    /// The server this connection leads to, and how many of this program's migrations it lacks.
    async fn seen(&mut self) -> Result<(Option<ServerIdentity>, usize), StoreError> {
        const SQL: &str = "SELECT version FROM _sqlx_migrations WHERE success = TRUE";
        let server = self.server().await?;
        let applied: Vec<i64> = on!(self, c => sqlx::query_scalar(SQL).fetch_all(c).await)?;
        let missing = MIGRATIONS.iter().filter(|known| !applied.contains(&known.version)).count();
        Ok((server, missing))
    }

    async fn server(&mut self) -> Result<Option<ServerIdentity>, StoreError> {
        match self.connection() {
            Connection::Sqlite(_) => Ok(None),
            Connection::Postgres(connection) => {
                Ok(Some(sqlx::query_as(ServerIdentity::SQL).fetch_one(&mut **connection).await?))
            }
        }
    }
}

impl Tx {
    /// Writes, if asked to, along the same path to the disk as any write.
    async fn try_write(&mut self, write: bool) -> Result<Writable, StoreError> {
        const READ_ONLY: &str = "SELECT current_setting('transaction_read_only') = 'on'";
        // The value changes, because SQLite does not write a page on which nothing changes.
        const SQL: &str = "INSERT INTO heartbeat (name, beats) VALUES ('look', 1) \
            ON CONFLICT (name) DO UPDATE SET beats = heartbeat.beats + 1";
        let server = self.server().await?;
        let read_only = match self.connection() {
            Connection::Sqlite(_) => false,
            Connection::Postgres(connection) => {
                sqlx::query_scalar(READ_ONLY).fetch_one(&mut **connection).await?
            }
        };
        let standby = server.as_ref().is_some_and(|server| server.standby);
        if write && !read_only && !standby {
            on!(self, c => sqlx::query(SQL).execute(c).await.map(drop))?;
        }
        Ok(Writable { server, read_only })
    }
}
