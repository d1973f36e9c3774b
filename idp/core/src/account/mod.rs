//! Accounts: registering, passwords, and what stands between a stranger and a password hash.

mod judgement;
pub mod password;
pub mod registration;
pub mod throttle;
