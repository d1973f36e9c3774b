//! What the identity provider remembers, on SQLite and on PostgreSQL.
//!
//! Nothing else knows SQL. Every statement is written once and runs on both engines; `read` hands a closure a
//! [`Reader`], `write` hands it a [`Tx`] that can do all a reader can and also change things. A write is one
//! transaction: `Ok` commits it, also when the value says "refused"; `Err` undoes it.

mod audit;
mod broken_off;
mod cleanup;
mod clients;
mod clock;
mod consents;
mod db;
mod error;
mod flows;
mod grants;
mod group_commit;
mod keys;
mod look;
mod migrate;
mod outbox;
mod pool;
mod postgres;
mod postgres_tls;
mod registrations;
mod roles;
mod row;
#[cfg(test)]
mod scratch;
mod sessions;
mod single_use;
mod throttles;
mod users;

pub use audit::{Actor, AuditEvent, AuditRecord, Origin};
pub use clients::{ClaimedClient, UriList};
pub use db::{Engine, Job, Reader, Store, Tx, database_file};
pub use error::{OpenError, StoreError};
pub use flows::{EndedFlow, Flow};
pub use grants::{ConsumedCode, StoredGrant};
pub use keys::{KeyListing, KeyState, StoredKey};
pub use look::Unfit;
pub use migrate::MigrationStatus;
pub use outbox::{ClaimedMail, Mail, MailKind};
pub use postgres_tls::{ConnectionFacts, connection_facts};
pub use registrations::{Activation, Attempt, AttemptState, CodeTry, NewAttempt};
pub use sessions::{NewSession, SignedIn};
pub use throttles::Counted;
pub use users::Credentials;
