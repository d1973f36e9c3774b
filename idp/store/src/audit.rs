//! The audit trail: one row in the transaction of the action it tells of. If it cannot be written, the action
//! does not happen.

use idp_core::client::ClientId;
use idp_core::ids::{AuditId, UserId};
use idp_core::time::Timestamp;

use crate::db::{Reader, Tx, on};
use crate::error::StoreError;

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum AuditEvent { $($(#[$doc])* $name,)* }

        impl AuditEvent {
            /// The stored word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

events! {
    /// Somebody asked for an account.
    Registered = "registration",
    /// Somebody asked for an account under an address that has one.
    RegisteredKnown = "registration_known_address",
    /// An address was proven, the account exists.
    Activated = "activation",
    /// Somebody signed in.
    SignedIn = "sign_in",
    /// A sign-in was refused.
    SignInFailed = "sign_in_failed",
    /// Too many wrong tries for one account or known browser.
    Throttled = "throttle",
    /// Too many wrong tries from one client address.
    Spray = "spray",
    /// A session was ended by its person.
    SignedOut = "sign_out",
    /// A person allowed an application.
    ConsentGiven = "consent",
    /// A person said no.
    ConsentDenied = "consent_denied",
    /// A used code came back; what came of it was revoked.
    CodeReplay = "code_replay",
    /// A used refresh token came back; its grant was revoked.
    RefreshReuse = "refresh_reuse",
    /// An account was made by an administrator.
    UserCreated = "user_created",
    /// An account was switched on.
    UserActivated = "user_activated",
    /// An account was switched off.
    UserDeactivated = "user_deactivated",
    /// An account's locks were lifted.
    UserUnlocked = "user_unlocked",
    /// An account got a role.
    RoleGranted = "role_granted",
    /// An account lost a role.
    RoleRevoked = "role_revoked",
    /// An application was registered.
    ClientCreated = "client_created",
    /// An application was changed.
    ClientChanged = "client_changed",
    /// An application was switched on.
    ClientEnabled = "client_enabled",
    /// An application was switched off.
    ClientDisabled = "client_disabled",
    /// A signing or server key was made.
    KeyCreated = "key_created",
    /// A mail could not be handed over in time and was given up.
    MailGivenUp = "mail_given_up",
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A signed-in person.
    User(UserId),
    /// An application.
    Client(ClientId),
    /// The command line.
    Cli,
    /// This server by itself.
    System,
    /// Somebody who has not signed in.
    Anonymous,
}

impl Actor {
    fn to_stored(&self) -> String {
        match self {
            // With its kind: an application may well be called `system`.
            Self::User(id) => format!("user:{id}"),
            Self::Client(id) => format!("client:{id}"),
            Self::Cli => "cli".to_owned(),
            Self::System => "system".to_owned(),
            Self::Anonymous => "anonymous".to_owned(),
        }
    }
}

/// Where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client address, as the trusted proxies tell it.
    pub address: Option<String>,
    /// The request's id, the one in its log line and on its error page.
    pub request_id: Option<String>,
}

/// One record. It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: AuditEvent,
    /// Who.
    pub actor: Actor,
    /// To whom or what: an id.
    pub subject: Option<String>,
    /// Through which application.
    pub client_id: Option<ClientId>,
    /// From where.
    pub origin: Origin,
    /// One more word, such as the reason of a refusal.
    pub detail: &'static str,
}

impl Tx {
    /// Writes one record.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; the action must fail with it.
    pub async fn audit(&mut self, record: &AuditRecord) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO audit (id, at, event, actor, subject, client_id, client_address, \
            request_id, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let (id, actor) = (AuditId::new(record.at).to_string(), record.actor.to_stored());
        let client_id = record.client_id.as_ref().map(ClientId::as_str);
        on!(self, c => sqlx::query(SQL)
            .bind(id).bind(record.at.millis()).bind(record.event.as_str()).bind(actor)
            .bind(record.subject.as_deref()).bind(client_id).bind(record.origin.address.as_deref())
            .bind(record.origin.request_id.as_deref()).bind(record.detail)
            .execute(c).await.map(drop))?;
        self.events.push(record.clone());
        Ok(())
    }
}

impl AuditRecord {
    /// The log line of a record that was committed.
    pub(crate) fn log(&self) {
        tracing::info!(
            event = self.event.as_str(),
            actor = self.actor.to_stored(),
            subject = self.subject.as_deref(),
            client_id = self.client_id.as_ref().map(ClientId::as_str),
            client_address = self.origin.address.as_deref(),
            request_id = self.origin.request_id.as_deref(),
            detail = self.detail,
            "audit"
        );
    }
}

impl Reader {
    /// How many records of an event there are about a subject (any, when `None`): what tests ask of the trail, which
    /// the product itself only writes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit_count(&mut self, event: AuditEvent, subject: Option<&str>) -> Result<i64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM audit WHERE event = $1 AND ($2 IS NULL OR subject = $2)";
        Ok(on!(self, c => sqlx::query_scalar(SQL).bind(event.as_str()).bind(subject).fetch_one(c).await)?)
    }
}
