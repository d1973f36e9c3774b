//! Accounts: registration, passwords, and the throttle between a stranger and a password hash.

mod judgement;
pub mod password;
pub mod registration;
pub mod throttle;
