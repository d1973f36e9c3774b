//! Mail: how often it may be requested, and how it is sent.

pub(crate) mod delivery;
pub(crate) mod quota;
pub(crate) mod transport;
