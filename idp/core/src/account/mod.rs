//! Accounts: registering, passwords, and what stands between a stranger and a password hash.

pub mod password;
pub mod registration;
pub mod throttle;
