//! The two database engines: connections, transactions, and the [`db::Store`] that hands them out.
//!
//! Who may use whom: `look > migrate > db > read, group_commit, postgres > connection > pool`; `db > postgres_tls`;
//! `read > run_to_end`. The topics of this crate, which hold the SQL, see only `connection`.

pub(crate) mod connection;
pub(crate) mod db;
mod group_commit;
pub(crate) mod look;
pub(crate) mod migrate;
mod pool;
mod postgres;
pub(crate) mod postgres_tls;
mod read;
mod run_to_end;
#[cfg(test)]
pub(crate) mod scratch_for_tests;
