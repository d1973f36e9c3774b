//! Mail: how often one may be asked for, and its way out.

pub(crate) mod delivery;
pub(crate) mod quota;
pub(crate) mod transport;
