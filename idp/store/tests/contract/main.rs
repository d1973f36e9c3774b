//! The store's contract, checked on SQLite and on PostgreSQL alike.
//!
//! A test is an `async fn` about one behaviour. `contract!` at the top of its file runs it as `…::sqlite` and as
//! `…::postgres`, each time on a database of its own. `harness` creates the databases, `given` fills them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

#[macro_use]
mod harness;
mod given;

mod activation;
mod audit;
mod cleanup;
mod clients;
mod codes;
mod connections;
mod consents;
mod corrupt;
mod crash;
mod dropped_reads;
mod epochs;
mod errors;
mod failover;
mod flows;
mod grants;
mod group_commit;
mod hostile;
mod keys;
mod migrations;
mod newer;
mod opening;
mod outbox;
mod races;
mod readiness;
mod registrations;
mod roles;
mod rolling;
mod sessions;
mod single_use;
mod sync;
mod throttles;
mod users;
mod writing;
