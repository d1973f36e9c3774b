//! What can go wrong in the store, and what is to be done about it. "Not found" is no error but an `Option`.

use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

/// A failed read or write.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Something of this name exists already.
    #[error("there is already such a {0}")]
    Conflict(&'static str),
    /// A row holds what this program never wrote.
    #[error("{table}.{column} of row {id} is corrupt")]
    Corrupt {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Primary key, or what is known of it.
        id: String,
    },
    /// A row holds a word that this version does not know: a newer node wrote it. The row stays as it is.
    #[error("{table}.{column} of row {id} holds a value that this version does not know")]
    Newer {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Primary key, or what is known of it.
        id: String,
    },
    /// Come back later: the database is away, full, read-only or too busy.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Try again: two transactions met.
    #[error("the database asked for another try: {0}")]
    Again(String),
    /// The connection is of no more use; the read or write can be tried again on another one.
    #[error("the connection to the database is of no more use: {0}")]
    Lost(String),
    /// A defect of ours: the database refuses the statement, or its answer cannot be read. Trying again does not help.
    #[error("a statement failed: {0}")]
    Defect(String),
    /// The write panicked and was undone.
    #[error("a write panicked and was undone")]
    Panicked,
}

/// What a database error calls for. Every one is sorted here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorClass {
    /// This connection is of no more use.
    Lost,
    /// The same once more.
    Again,
    /// Nothing helps but time, or the operator.
    Later,
    /// A defect of ours.
    Defect,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let text = described(&error);
        match classify(&error) {
            ErrorClass::Lost => Self::Lost(text),
            ErrorClass::Again => Self::Again(text),
            ErrorClass::Later => Self::Unavailable(text),
            ErrorClass::Defect => Self::Defect(text),
        }
    }
}

impl StoreError {
    /// For a caller that can do nothing about "once more": it was tried often enough.
    pub(crate) fn given_up(self) -> Self {
        match self {
            Self::Again(why) | Self::Lost(why) => Self::Unavailable(why),
            other => other,
        }
    }

    /// Whoever cannot even connect has sent no statement that could be wrong.
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
        | sqlx::Error::BeginFailed => ErrorClass::Lost,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Configuration(_) => {
            ErrorClass::Later
        }
        _ => ErrorClass::Defect,
    }
}

/// PostgreSQL's Appendix A: the first two characters of a code are its class.
fn postgres_class(code: &str, routine: Option<&str>) -> ErrorClass {
    match code {
        // "cached plan must not change result type": the message may be translated, the routine's name is not.
        "0A000" if routine == Some("RevalidateCachedQuery") => ErrorClass::Lost,
        // Prepared statements that this session lost, or has from somebody else: a proxy swapped the session.
        "26000" | "42P05" => ErrorClass::Lost,
        // The server is read-only: it was the primary when we connected.
        "25006" => ErrorClass::Lost,
        // It ended the session for being idle or slow in a transaction.
        "25P03" | "25P04" => ErrorClass::Lost,
        // Shutting down, crashed, starting up, database dropped, session idle for too long.
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => ErrorClass::Lost,
        // Whether it was committed is not known.
        "40003" => ErrorClass::Later,
        // Our role may not (a grant is missing), or there is no such schema: the operator's to mend.
        "42501" | "3F000" => ErrorClass::Later,
        // Snapshot too old.
        "72000" => ErrorClass::Again,
        _ => match code.get(..2) {
            Some("08") => ErrorClass::Lost,
            Some("40") => ErrorClass::Again,
            // Not let in (28), no such database (3D), no resources (53), a lock that was waited for (55), cancelled
            // (57), a disk or file that fails (58), the server's configuration (F0), the server's own defects (XX).
            Some("28" | "3D" | "53" | "55" | "57" | "58" | "F0" | "XX") => ErrorClass::Later,
            _ => ErrorClass::Defect,
        },
    }
}

/// SQLite's extended codes. The last byte is the primary one.
fn sqlite_class(code: i32) -> ErrorClass {
    const READONLY_DBMOVED: i32 = 1032;
    match (code, code & 0xff) {
        (READONLY_DBMOVED, _) => ErrorClass::Lost,
        // CORRUPT, NOTADB: a file that was replaced under this connection may look like it.
        (_, 11 | 26) => ErrorClass::Lost,
        // BUSY, LOCKED, PROTOCOL (a lock), SCHEMA
        (_, 5 | 6 | 15 | 17) => ErrorClass::Again,
        // PERM, ABORT, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, AUTH
        (_, 3 | 4 | 7 | 8 | 9 | 10 | 13 | 14 | 23) => ErrorClass::Later,
        // ERROR, CONSTRAINT, MISMATCH, MISUSE, RANGE and the like.
        _ => ErrorClass::Defect,
    }
}

/// For the log: code and message. Not PostgreSQL's DETAIL, which quotes whole rows.
fn described(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(error) => {
            let code = error.code().unwrap_or_default();
            format!("{code}: {}", shortened(error.message()))
        }
        None => shortened(&error.to_string()),
    }
}

/// Messages quote values, which come from outside: not at length, on one line, and with quotation marks that the log
/// leaves as they are.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    let plain = |sign: char| match sign {
        '"' => '\'',
        sign if sign.is_control() => ' ',
        sign => sign,
    };
    let mut short: String = text.chars().take(LONGEST).map(plain).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a URL this program knows.
    #[error("`{0}` is not a database URL; use sqlite:FILE or postgres://USER@HOST/NAME")]
    Url(String),
    /// Nobody answers where the server should be.
    #[error("cannot reach {server}: {why}")]
    Unreachable {
        /// Host and port, or a socket's path.
        server: String,
        /// In the system's words.
        why: String,
    },
    /// The server answers, but not for us: wrong password, no such database, too many connections.
    #[error("the database server {server} refuses: {why}")]
    Refused {
        /// Host and port, or a socket's path.
        server: String,
        /// In the server's words, which hold no password.
        why: String,
    },
    /// The connection would not be protected as it must be.
    #[error("no protected connection to {server}: {why}")]
    Unprotected {
        /// Host and port.
        server: String,
        /// What is wrong, and the cure.
        why: String,
    },
    /// The file does not open.
    #[error("the database does not open: {0}")]
    Connect(#[from] sqlx::Error),
    /// A newer program has been here.
    #[error(
        "the database has migration {0}, which this program does not know: it was made by a newer version"
    )]
    Newer(i64),
    /// A migration failed, or was edited after it ran.
    #[error("migration failed: {0}")]
    Migrate(String),
    /// It must be migrated first.
    #[error("the database lacks {0} migration(s); run `idp db migrate`")]
    Behind(usize),
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
