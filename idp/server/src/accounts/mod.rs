//! Registration and sign-in, and the threads that hash passwords.

pub(crate) mod activation;
pub(crate) mod hasher;
pub(crate) mod known_mailbox;
pub(crate) mod lanes;
pub(crate) mod proven_registration;
pub(crate) mod registration;
pub(crate) mod sign_in;
mod try_counts;
