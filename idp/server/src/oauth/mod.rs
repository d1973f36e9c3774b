//! The protocol endpoints, one per file: read HTTP, ask a rule of core, answer over HTTP.

pub(crate) mod authorize;
pub(crate) mod documents;
pub(crate) mod end_session;
pub(crate) mod token;
pub(crate) mod userinfo;
