//! Mail: how often it may be requested, and how it is sent.

pub(crate) mod availability;
pub(crate) mod bounded_stream;
pub(crate) mod contents;
pub(crate) mod delivery;
pub(crate) mod quota;
pub(crate) mod server;
pub(crate) mod transport;
