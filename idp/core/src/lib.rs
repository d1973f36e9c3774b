//! Values and rules of the identity provider.
//!
//! Nothing here waits, reads a clock, opens a file or speaks HTTP: every function takes values and returns
//! values, so every rule can be tested as a table. Time comes in as [`time::Timestamp`]; the one door to
//! randomness is [`secret::random_bytes`].
//!
//! Who may use whom: `flow` > `oauth`, `account`, `audit` > `user`, `client`, `session` > `ids`, `scope`, `time`, `secret`,
//! `authority`, `text`.

pub mod account;
pub mod audit;
pub mod authority;
pub mod client;
pub mod consent;
pub mod file_access;
pub mod flow;
pub mod ids;
pub mod loopback;
pub mod oauth;
pub mod redirect_uri;
pub mod scope;
pub mod seal;
pub mod secret;
pub mod session;
pub mod single_use;
pub mod text;
pub mod time;
pub mod typed_code;
pub mod user;
