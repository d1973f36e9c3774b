//! One module per command, and what only commands use.

mod account_ref;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod db;
pub(crate) mod dev;
pub(crate) mod key;
mod new_account;
mod new_client;
pub(crate) mod serve;
pub(crate) mod user;
mod user_change;
pub(crate) mod version;
