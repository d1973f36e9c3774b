//! What the audit trail records: who did what to whom, and where the request came from.

use crate::client::ClientId;
use crate::ids::UserId;
use crate::time::Timestamp;

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
    /// Somebody registered.
    Registered = "registration",
    /// Somebody registered an address that already has an account.
    RegisteredKnown = "registration_known_address",
    /// An address was verified and its account created.
    Activated = "activation",
    /// Somebody signed in.
    SignedIn = "sign_in",
    /// A sign-in was refused.
    SignInFailed = "sign_in_failed",
    /// Too many wrong passwords for one account or known browser.
    Throttled = "throttle",
    /// Too many wrong passwords from one client address.
    Spray = "spray",
    /// The person ended a session.
    SignedOut = "sign_out",
    /// The person consented to a client.
    ConsentGiven = "consent",
    /// The person denied a client.
    ConsentDenied = "consent_denied",
    /// A used code came back. Everything issued for it was revoked.
    CodeReplay = "code_replay",
    /// A used refresh token came back. Its grant was revoked.
    RefreshReuse = "refresh_reuse",
    /// An administrator created an account.
    UserCreated = "user_created",
    /// An account was activated.
    UserActivated = "user_activated",
    /// An account was deactivated.
    UserDeactivated = "user_deactivated",
    /// An account's lock-outs were lifted.
    UserUnlocked = "user_unlocked",
    /// An account was given a role.
    RoleGranted = "role_granted",
    /// A role was taken from an account.
    RoleRevoked = "role_revoked",
    /// A client was created.
    ClientCreated = "client_created",
    /// A client was changed.
    ClientChanged = "client_changed",
    /// A client was enabled.
    ClientEnabled = "client_enabled",
    /// A client was disabled.
    ClientDisabled = "client_disabled",
    /// A signing key or the MAC key was created.
    KeyCreated = "key_created",
    /// An email could not be delivered in time and was given up.
    MailGivenUp = "mail_given_up",
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A signed-in person.
    User(UserId),
    /// A client.
    Client(ClientId),
    /// An operator on the command line.
    Cli,
    /// This server on its own.
    System,
    /// Somebody who has not signed in.
    Anonymous,
}

impl Actor {
    /// The stored text. An ID is prefixed with its kind, because a client may be called `system`.
    pub fn to_stored(&self) -> String {
        match self {
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
pub struct AuditSource {
    /// The client address, as reported by the trusted proxies.
    pub address: Option<String>,
    /// The request's ID, which is also in its log line and on its error page.
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
    /// The ID of the account or thing it was done to.
    pub subject: Option<String>,
    /// The client through which it was done.
    pub client_id: Option<ClientId>,
    /// Where the request came from.
    pub source: AuditSource,
    /// One more word, such as the reason for a refusal.
    pub detail: &'static str,
}
