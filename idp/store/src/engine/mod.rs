//! The two database engines: connections, transactions, and the [`store::Store`] that hands them out.
//!
//! Who may use whom: `readiness > migrate > store > read, group_commit, postgres > connection > pool`; `store >
//! postgres_tls > postgres_files > postgres_url, postgres_variables, pem`; `read > run_to_end`. The topics of this crate, which hold the SQL, see only `connection`.

pub(crate) mod connection;
mod group_commit;
pub(crate) mod migrate;
pub(crate) mod pem;
mod pool;
mod postgres;
pub(crate) mod postgres_files;
pub(crate) mod postgres_tls;
mod postgres_url;
mod postgres_variables;
mod read;
pub(crate) mod readiness;
mod run_to_end;
#[cfg(test)]
pub(crate) mod scratch_for_tests;
pub(crate) mod store;
