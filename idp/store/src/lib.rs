//! What the identity provider remembers, on SQLite and on PostgreSQL.
//!
//! Nothing else knows SQL. Every statement is written once and runs on both engines. `read` hands a closure a
//! [`Reader`]; `write` hands it a [`Tx`], which can do everything a reader can and also make changes. A write is one
//! transaction: `Ok` commits it, even when the value says "refused"; `Err` rolls it back.
//!
//! `engine` holds connections, transactions and the [`Store`]; every other module is one topic, with its SQL as methods
//! of [`Reader`] and [`Tx`]. Who may use whom: `cleanup > engine::store`; `throttles > known_browsers`;
//! `sessions > users`; `grants > codes`, `users`; all topics `> engine::connection`, `row`; everything `> error`,
//! `lock`.

mod audit;
mod cleanup;
mod clients;
mod clock;
mod codes;
mod consents;
mod engine;
mod error;
mod flows;
mod grants;
mod keys;
mod known_browsers;
mod lock;
mod outbox;
mod registrations;
mod roles;
mod row;
mod sessions;
mod single_use;
mod throttles;
mod users;

pub use clients::UriList;
pub use codes::ConsumedCode;
pub use engine::connection::{JobFuture, Reader, Tx};
pub use engine::migrate::MigrationStatus;
pub use engine::pem::{check_certificates, check_private_key};
pub use engine::postgres_files::{FileOrigin, NamedFile};
pub use engine::postgres_tls::{ConnectionFacts, connection_facts};
pub use engine::readiness::NotReady;
pub use engine::store::{Engine, Store, database_file, database_file_exists};
pub use error::{OpenError, StoreError};
pub use flows::{EndedFlow, Flow};
pub use grants::StoredGrant;
pub use keys::{KeyListing, KeyState, StoredKey};
pub use outbox::{ClaimedMail, LeftOut, MOST_LEFT_OUT, Mail, MailKind};
pub use registrations::{Activation, CodeTry, NewRegistration, Registration, RegistrationState};
pub use roles::{ADMIN, AdministratorGuard, LAST_ADMINISTRATOR};
pub use row::Listed;
pub use sessions::{NewSession, SignedIn};
pub use throttles::ThrottleKey;
pub use users::Credentials;
