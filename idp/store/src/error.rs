//! What can go wrong in the store. "Not found" is no error but an `Option`.

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
    /// The database cannot be used at present: it is away, full, or too busy.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Two transactions met; the write can be tried again.
    #[error("the database asked for another try: {0}")]
    Again(String),
    /// The connection broke; the read or write can be tried again on another one.
    #[error("the connection to the database broke: {0}")]
    Lost(String),
    /// The write panicked and was undone.
    #[error("a write panicked and was undone")]
    Panicked,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|e| e.code()).unwrap_or_default();
        match code.as_ref() {
            // serialization_failure, deadlock_detected
            "40001" | "40P01" => Self::Again(error.to_string()),
            // admin_shutdown, crash_shutdown, idle_session_timeout
            "57P01" | "57P02" | "57P05" => Self::Lost(error.to_string()),
            _ if matches!(error, sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed) => {
                Self::Lost(error.to_string())
            }
            _ => Self::Unavailable(error.to_string()),
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
