//! Texts and values as people read them.

pub(crate) mod catalogue;
pub(crate) mod moments;
pub(crate) mod templates;
pub(crate) mod weak_password;
