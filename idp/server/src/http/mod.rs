//! HTTP: from the socket to the handler, and what all responses have in common.

pub(crate) mod address;
pub(crate) mod assets;
pub(crate) mod browser;
pub(crate) mod connections;
pub(crate) mod context;
pub(crate) mod cookies;
pub(crate) mod csrf;
pub(crate) mod enforcement;
pub(crate) mod error_responses;
pub(crate) mod errors;
pub(crate) mod field_value;
pub(crate) mod form;
pub(crate) mod health;
pub(crate) mod host;
pub(crate) mod html;
pub(crate) mod limits;
pub(crate) mod media_type;
pub(crate) mod middleware;
pub mod panics;
pub(crate) mod policy;
pub(crate) mod readiness;
pub(crate) mod refusal_log;
pub(crate) mod request_log;
pub(crate) mod security_headers;
pub(crate) mod shares;
mod socket;
mod traffic;
