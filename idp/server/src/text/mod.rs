//! Texts and values as people read them.

pub(crate) mod catalogue;
pub(crate) mod dates;
pub(crate) mod templates;
pub(crate) mod weak_password;
