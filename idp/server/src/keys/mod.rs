//! The keys in the database, and the key-encryption keys on disk that seal them.

pub mod key_files;
pub(crate) mod server_keys;
