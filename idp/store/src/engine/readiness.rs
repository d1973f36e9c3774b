//! The readiness check of the database: which server the connections lead to, whether it accepts a write, and whether
//! it has this program's schema.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Connection, JobFuture, Reader, Tx, on};
use super::migrate::MIGRATIONS;
use super::pool::ServerIdentity;
use super::postgres;
use super::store::{Store, StoreInner};
use crate::error::StoreError;
use crate::lock::lock;

/// Why a node cannot serve.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.reason())]
pub enum NotReady {
    /// Nothing can be read.
    Unreachable(#[source] StoreError),
    /// SQLite's file is missing.
    FileMissing,
    /// The database answers, but its schema is not this program's.
    WrongSchema(#[source] StoreError),
    /// It lacks migrations of this program.
    MigrationsMissing,
    /// A replica, which accepts no writes.
    Standby,
    /// The server or this session is read-only.
    ReadOnly,
    /// A write failed.
    WriteFailed(#[source] StoreError),
    /// SQLite's writer task has ended.
    WriterStopped,
    /// Connections to the same address lead to different servers.
    SeveralServers,
}

impl NotReady {
    /// A few words for the operator. None of them come from the database.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "the database does not answer",
            Self::FileMissing => "the database's file is gone",
            Self::WrongSchema(_) => "the database has a different schema",
            Self::MigrationsMissing => "the database lacks migrations",
            Self::Standby => "the database is a standby",
            Self::ReadOnly => "the database is read-only",
            Self::WriteFailed(_) => "the database does not accept writes",
            Self::WriterStopped => "the database's writer has stopped",
            Self::SeveralServers => "the database's address leads to several servers",
        }
    }
}

/// After any real write, a check need not write for this long.
const RECENTLY: Duration = Duration::from_secs(1);
/// How often a new connection is made to see whether the address still leads to the same server, and how long that
/// may take.
const RECHECK_EVERY: Duration = Duration::from_secs(5);
const RECHECK_LIMIT: Duration = Duration::from_secs(1);

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
    /// [`NotReady`]: the first problem found.
    pub async fn check_readiness(&self) -> Result<(), NotReady> {
        let began = Instant::now();
        match self.check_and_reconnect().await {
            // It is slow or out of connections, but it works.
            Err(NotReady::Unreachable(_) | NotReady::WriteFailed(_))
                if self.wrote_within(began.elapsed()) =>
            {
                Ok(())
            }
            outcome => outcome,
        }
    }

    async fn check_and_reconnect(&self) -> Result<(), NotReady> {
        self.check_file_and_writer()?;
        self.reconnect_if_server_changed(RECHECK_EVERY).await;
        // The existing connections may be reporting on a former server.
        match self.check_once().await {
            Err(NotReady::Standby) => self.reconnect_if_server_changed(Duration::ZERO).await,
            Err(NotReady::ReadOnly | NotReady::SeveralServers) => self.retire_all(),
            outcome => return outcome,
        }
        self.check_once().await
    }

    async fn check_once(&self) -> Result<(), NotReady> {
        let (read, missing) = self
            .read_for_readiness((), |db, ()| Box::pin(db.server_and_missing_migrations()))
            .await
            .map_err(|error| match error {
                StoreError::Defect(_) => NotReady::WrongSchema(error),
                other => NotReady::Unreachable(other),
            })?;
        if missing > 0 {
            return Err(NotReady::MigrationsMissing);
        }
        let Writable { server, read_only } = self.try_write().await.map_err(NotReady::WriteFailed)?;
        if server.as_ref().is_some_and(|server| server.standby) {
            return Err(NotReady::Standby);
        }
        if read_only {
            return Err(NotReady::ReadOnly);
        }
        if read == server { Ok(()) } else { Err(NotReady::SeveralServers) }
    }

    async fn try_write(&self) -> Result<Writable, StoreError> {
        let write = !self.wrote_within(RECENTLY);
        match &*self.0 {
            StoreInner::Sqlite { .. } if !write => Ok(Writable { server: None, read_only: false }),
            StoreInner::Sqlite { writer, .. } => writer.write(write, write_if).await,
            StoreInner::Postgres { readiness, .. } => postgres::write(readiness, &write, &write_if).await,
        }
    }

    /// Makes a new connection if the last one was made at least `every` ago. If it leads elsewhere, the older ones
    /// are given up. If it fails, that does not mean that the existing ones do not work.
    async fn reconnect_if_server_changed(&self, every: Duration) {
        let StoreInner::Postgres { writers, last_recheck, .. } = &*self.0 else { return };
        {
            let mut last = lock(last_recheck);
            if last.is_some_and(|at| at.elapsed() < every) {
                return;
            }
            *last = Some(Instant::now());
        }
        let seen = tokio::time::timeout(RECHECK_LIMIT, writers.probe_server()).await;
        if let Ok(Err(error)) = seen {
            let why = StoreError::not_connected(error);
            tracing::debug!(%why, "no new connection to the database");
        }
    }

    /// Checks that the file, and on SQLite the writer, is there at all.
    fn check_file_and_writer(&self) -> Result<(), NotReady> {
        match &*self.0 {
            StoreInner::Sqlite { writer, .. } if !writer.is_running() => Err(NotReady::WriterStopped),
            StoreInner::Sqlite { writers, .. } if writers.is_gone() => Err(NotReady::FileMissing),
            _ => Ok(()),
        }
    }

    /// Whether this node committed a change within this span, whoever made it.
    pub fn wrote_within(&self, span: Duration) -> bool {
        match &*self.0 {
            StoreInner::Sqlite { writers, .. } => writers.wrote_within(span),
            StoreInner::Postgres { writers, readiness, .. } => {
                writers.wrote_within(span) || readiness.wrote_within(span)
            }
        }
    }

    /// Gives up all connections, in both pools.
    fn retire_all(&self) {
        match &*self.0 {
            StoreInner::Sqlite { readers, writers, .. } => {
                writers.retire_all();
                readers.retire_all();
            }
            StoreInner::Postgres { readers, writers, .. } => {
                writers.retire_all();
                readers.retire_all();
            }
        }
    }
}

fn write_if<'t>(tx: &'t mut Tx, write: &'t bool) -> JobFuture<'t, Writable> {
    Box::pin(tx.try_write(*write))
}

impl Reader {
    /// The server this connection leads to, and how many of this program's migrations it lacks.
    async fn server_and_missing_migrations(&mut self) -> Result<(Option<ServerIdentity>, usize), StoreError> {
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
        // The name is the one that earlier versions stored. The value changes, because SQLite does not write a page on
        // which nothing changes.
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
