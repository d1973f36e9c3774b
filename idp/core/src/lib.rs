//! Values and rules of the identity provider.
//!
//! Nothing here waits, reads a clock, opens a file or speaks HTTP: every function takes values and returns
//! values, so every rule can be tested as a table. Time comes in as [`time::Timestamp`], randomness only from
//! [`secret::random_bytes`].
//!
//! Imports point to the right only: `flow` > `oauth`, `account` > `audit`, `client`, `consent`, `session`, `user` >
//! `redirect_uri`, `scope`, `single_use`, `typed_code`, `seal`, `ids` > `secret`, `time`, `text`, `authority`,
//! `loopback`, `server_url`, `file_access`. `tests/stories/layers.rs` checks this.

pub mod account;
pub mod audit;
pub mod authority;
pub mod client;
pub mod consent;
pub mod file_access;
pub mod flow;
pub mod ids;
pub mod loopback;
pub mod mail_server;
pub mod oauth;
pub mod redirect_uri;
pub mod scope;
pub mod seal;
pub mod secret;
pub mod server_url;
pub mod session;
pub mod single_use;
pub mod text;
pub mod time;
pub mod typed_code;
pub mod user;
