//! What can go wrong in the store, and what to do about it. "Not found" is an `Option`, not an error.

use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

/// A failed read or write.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The row changed between reading and writing, or a precondition no longer holds.
    #[error("conflicting change: {0}")]
    Conflict(&'static str),
    /// A row holds something this version never writes: it is damaged, or a newer node wrote it.
    #[error("{table}.{column} of row {id} holds a value that this version cannot read")]
    Corrupt {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Primary key, or as much of it as is known.
        id: String,
    },
    /// A row holds a word this version does not know: a newer node wrote it. The row is left as it is.
    #[error("{table}.{column} of row {id} holds a value that this version does not know")]
    Newer {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Primary key, or as much of it as is known.
        id: String,
    },
    /// Come back later: the database is down, full, read-only or overloaded.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Try again: two transactions collided.
    #[error("the database asked for another try: {0}")]
    Retry(String),
    /// The connection is broken. The read or write can be tried again on another one.
    #[error("the connection to the database is broken: {0}")]
    Disconnected(String),
    /// A bug of ours: the database rejects the statement, or its result cannot be decoded. Trying again does not
    /// help.
    #[error("a statement failed: {0}")]
    Defect(String),
    /// The write panicked and was rolled back.
    #[error("a write panicked and was undone")]
    Panicked,
}

/// What a database error calls for. All of them are classified here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorClass {
    /// The connection is broken.
    Disconnected,
    /// Try the same again.
    Retry,
    /// Only time or the operator can help.
    Later,
    /// A bug of ours.
    Defect,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let text = described(&error);
        match classify(&error) {
            ErrorClass::Disconnected => Self::Disconnected(text),
            ErrorClass::Retry => Self::Retry(text),
            ErrorClass::Later => Self::Unavailable(text),
            ErrorClass::Defect => Self::Defect(text),
        }
    }
}

impl StoreError {
    /// Turns "try again" into "unavailable" for the caller: it has been tried often enough.
    pub(crate) fn retries_exhausted(self) -> Self {
        match self {
            Self::Retry(why) | Self::Disconnected(why) => Self::Unavailable(why),
            other => other,
        }
    }

    /// A failed attempt to connect is never a bug of ours: no statement has been sent yet.
    pub(crate) fn not_connected(error: sqlx::Error) -> Self {
        Self::Unavailable(described(&error))
    }
}

fn classify(error: &sqlx::Error) -> ErrorClass {
    match error {
        sqlx::Error::Database(error) => {
            if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
                return postgres_class(error.code(), error.routine());
            }
            let sqlite = error.try_downcast_ref::<SqliteError>();
            let code = sqlite.and_then(|_| error.code()?.parse().ok());
            code.map_or(ErrorClass::Defect, sqlite_class)
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => ErrorClass::Disconnected,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Configuration(_) => {
            ErrorClass::Later
        }
        _ => ErrorClass::Defect,
    }
}

/// PostgreSQL's error codes (its Appendix A). The first two characters are the class.
fn postgres_class(code: &str, routine: Option<&str>) -> ErrorClass {
    match code {
        // "cached plan must not change result type". The message may be translated; the routine's name is not.
        "0A000" if routine == Some("RevalidateCachedQuery") => ErrorClass::Disconnected,
        // This session lost its prepared statements, or has somebody else's: a proxy switched sessions.
        "26000" | "42P05" => ErrorClass::Disconnected,
        // The server is read-only now. It was the primary when we connected.
        "25006" => ErrorClass::Disconnected,
        // The server ended the session for being idle or slow in a transaction.
        "25P03" | "25P04" => ErrorClass::Disconnected,
        // Shutting down, crashed, starting up, database dropped, session idle for too long.
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => ErrorClass::Disconnected,
        // It is unknown whether the transaction committed.
        "40003" => ErrorClass::Later,
        // Our role lacks a grant, or there is no such schema. The operator has to fix it.
        "42501" | "3F000" => ErrorClass::Later,
        // Snapshot too old.
        "72000" => ErrorClass::Retry,
        _ => match code.get(..2) {
            Some("08") => ErrorClass::Disconnected,
            Some("40") => ErrorClass::Retry,
            // Login refused (28), no such database (3D), out of resources (53), lock timeout (55), cancelled (57), a
            // failing disk or file (58), the server's configuration (F0), a bug in the server (XX).
            Some("28" | "3D" | "53" | "55" | "57" | "58" | "F0" | "XX") => ErrorClass::Later,
            _ => ErrorClass::Defect,
        },
    }
}

/// SQLite's extended error codes. The last byte is the primary code.
fn sqlite_class(code: i32) -> ErrorClass {
    const READONLY_DBMOVED: i32 = 1032;
    match (code, code & 0xff) {
        (READONLY_DBMOVED, _) => ErrorClass::Disconnected,
        // CORRUPT, NOTADB: a file replaced under this connection can look like this.
        (_, 11 | 26) => ErrorClass::Disconnected,
        // BUSY, LOCKED, PROTOCOL (a locking error), SCHEMA
        (_, 5 | 6 | 15 | 17) => ErrorClass::Retry,
        // PERM, ABORT, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, AUTH
        (_, 3 | 4 | 7 | 8 | 9 | 10 | 13 | 14 | 23) => ErrorClass::Later,
        // ERROR, CONSTRAINT, MISMATCH, MISUSE, RANGE and the like.
        _ => ErrorClass::Defect,
    }
}

/// Whether SQLite says that the file is damaged (CORRUPT), or no database (NOTADB).
pub(crate) fn is_broken_file(error: &sqlx::Error) -> bool {
    let of_sqlite =
        error.as_database_error().filter(|error| error.try_downcast_ref::<SqliteError>().is_some());
    let code = of_sqlite.and_then(|error| error.code()?.parse::<i32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 11 | 26))
}

/// Code and message for the log. Not PostgreSQL's DETAIL, which quotes whole rows.
fn described(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(error) => {
            let code = error.code().unwrap_or_default();
            format!("{code}: {}", shortened(error.message()))
        }
        None => shortened(&error.to_string()),
    }
}

/// Messages quote values from outside, so they are cut to one short line, with quotation marks that the log does not
/// escape.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    let plain = |c: char| match c {
        '"' => '\'',
        c if c.is_control() => ' ',
        c => c,
    };
    let mut short: String = text.chars().take(LONGEST).map(plain).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

impl OpenError {
    /// Whether the file is damaged, so that only another one helps.
    pub fn is_broken_file(&self) -> bool {
        matches!(self, Self::Connect(error) if is_broken_file(error))
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a database URL this program knows.
    #[error("`{0}` is not a database URL; use sqlite:FILE or postgres://USER@HOST/NAME")]
    Url(String),
    /// The URL of a database server, but one that cannot be used.
    #[error("database.url cannot be used: {0}")]
    BadUrl(String),
    /// Nothing answers at the server's address.
    #[error("cannot reach {server}: {why}")]
    Unreachable {
        /// Host and port, or a socket's path.
        server: String,
        /// The operating system's words.
        why: String,
    },
    /// The server answers but refuses us: wrong password, no such database, too many connections.
    #[error("the database server {server} refused the connection: {why}")]
    Refused {
        /// Host and port, or a socket's path.
        server: String,
        /// The server's words, which contain no password.
        why: String,
    },
    /// The connection would not be protected as required.
    #[error("no protected connection to {server}: {why}")]
    Unprotected {
        /// Host and port.
        server: String,
        /// What is wrong and how to fix it.
        why: String,
    },
    /// One of libpq's environment variables cannot be used.
    #[error("environment variable {name}: {why}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What is wrong with it, without its value if that may be a secret.
        why: String,
    },
    /// There was a file, but it was moved or deleted.
    #[error("the database {file} is gone: {trace}")]
    FileMissing {
        /// The file's path.
        file: String,
        /// What shows that it existed, and what to do.
        trace: String,
    },
    /// The file cannot be opened.
    #[error("the database does not open: {0}")]
    Connect(#[from] sqlx::Error),
    /// A newer version has migrated this database.
    #[error(
        "the database has migration {0}, which this program does not know: it was made by a newer version"
    )]
    Newer(i64),
    /// A migration failed, or was edited after it had run.
    #[error("migration failed: {0}")]
    Migrate(String),
    /// It has to be migrated first.
    #[error("the database lacks {0} migration(s); run `idp db migrate`")]
    Behind(usize),
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
