//! Why the server does not start.

use idp_core::oauth::keys::KeyError;
use idp_core::seal::SealError;
use idp_store::{FileOrigin, OpenError, StoreError};

/// Why the server does not start: one clear line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file for the connection to the database.
    #[error("{origin}: {why}")]
    Files {
        /// Where it was named.
        origin: FileOrigin,
        /// One sentence that names the file.
        why: String,
    },
    /// The first read or write failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key-encryption keys.
    #[error("{0}")]
    Keys(String),
    /// A sealed row does not open.
    #[error("{0}; this database needs the key-encryption keys that it was written with")]
    Seal(#[from] SealError),
    /// A signing key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The mail transport.
    #[error("mail: {0}")]
    Mail(String),
    /// Sockets and threads.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A template or catalogue that was compiled in is broken.
    #[error("this build is broken: {0}")]
    Defect(String),
}
