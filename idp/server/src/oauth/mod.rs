//! The protocol's endpoints, one per file: HTTP in, a rule of core asked, HTTP out.

pub(crate) mod authorize;
pub(crate) mod documents;
pub(crate) mod end_session;
pub(crate) mod token;
pub(crate) mod userinfo;
