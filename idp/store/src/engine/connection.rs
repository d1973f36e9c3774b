//! What SQL runs on: a connection of either engine, as a [`Reader`] or as a [`Tx`].

use std::future::Future;
use std::pin::Pin;

use idp_core::audit::AuditRecord;
use idp_core::client::ClientId;
use sqlx::{PgConnection, Row as _, SqliteConnection};

use super::pool::Lent;
use crate::error::StoreError;

/// Runs one body on whichever engine the connection belongs to: the same text is compiled once for each.
macro_rules! on {
    ($db:expr, $connection:ident => $body:expr) => {
        match $db.connection() {
            $crate::engine::connection::Connection::Sqlite(connection) => {
                let $connection = &mut **connection;
                $body
            }
            $crate::engine::connection::Connection::Postgres(connection) => {
                let $connection = &mut **connection;
                $body
            }
        }
    };
}
pub(crate) use on;

/// A connection of either engine.
pub(crate) enum Connection {
    Sqlite(Lent<SqliteConnection>),
    Postgres(Lent<PgConnection>),
}

impl From<Lent<SqliteConnection>> for Connection {
    fn from(lent: Lent<SqliteConnection>) -> Self {
        Self::Sqlite(lent)
    }
}

impl From<Lent<PgConnection>> for Connection {
    fn from(lent: Lent<PgConnection>) -> Self {
        Self::Postgres(lent)
    }
}

/// What a closure given to `Store::read` reads with. It cannot change anything: on SQLite the connection is opened
/// read-only, on PostgreSQL its transactions are.
pub struct Reader(Connection);

/// What a closure given to `Store::write` works with: everything a [`Reader`] can do, and changes.
pub struct Tx {
    reader: Reader,
    /// Audit records written in this transaction. They are logged if and when it commits.
    pub(crate) events: Vec<AuditRecord>,
}

impl Reader {
    pub(crate) fn new(connection: Connection) -> Self {
        Self(connection)
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.0
    }

    /// Returns the connection to its pool. Only for a connection that is still in a clean state.
    pub(crate) fn give_back(self) {
        match self.0 {
            Connection::Sqlite(connection) => connection.give_back(),
            Connection::Postgres(connection) => connection.give_back(),
        }
    }
}

impl Tx {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { reader: Reader(connection), events: Vec::new() }
    }

    /// Runs a statement that controls the transaction.
    pub(crate) async fn control(&mut self, sql: &'static str) -> Result<(), StoreError> {
        on!(self, c => sqlx::query(sql).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Commits on PostgreSQL and tells whether the transaction wrote anything: only one that did has an id. After a
    /// failed statement PostgreSQL's COMMIT rolls back and reports success; the query before it then fails, in the same
    /// round trip.
    pub(crate) async fn commit_postgres(&mut self) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT txid_current_if_assigned() IS NOT NULL; COMMIT";
        // Fetch all rows: an error of the commit comes after the first one.
        let rows: Vec<bool> = match self.connection() {
            Connection::Sqlite(_) => Vec::new(),
            Connection::Postgres(connection) => {
                let rows = sqlx::raw_sql(SQL).fetch_all(&mut **connection).await?;
                rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?
            }
        };
        Ok(rows.contains(&true))
    }

    /// Runs statements that control a transaction on SQLite, one of which tells how many rows this connection has changed
    /// so far.
    pub(crate) async fn control_and_count(&mut self, sql: &'static str) -> Result<i64, StoreError> {
        match self.connection() {
            Connection::Sqlite(connection) => {
                let rows = sqlx::raw_sql(sql).fetch_all(&mut **connection).await?;
                Ok(rows.first().map_or(Ok(0), |row| row.try_get(0))?)
            }
            Connection::Postgres(_) => Ok(0),
        }
    }

    /// Logs the audit records of a transaction that has committed.
    pub(crate) fn log_events(&self) {
        for record in &self.events {
            tracing::info!(
                // Operators may filter the trail by this name, wherever the code is.
                target: "idp_store::audit",
                event = record.event.as_str(),
                actor = record.actor.to_stored(),
                subject = record.subject.as_deref(),
                client_id = record.client_id.as_ref().map(ClientId::as_str),
                client_address = record.source.address.as_deref(),
                request_id = record.source.request_id.as_deref(),
                detail = record.detail,
                "audit"
            );
        }
    }

    /// Returns the connection to its pool. Only after the transaction has ended.
    pub(crate) fn give_back(self) {
        self.reader.give_back();
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
pub type JobFuture<'t, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 't>>;
