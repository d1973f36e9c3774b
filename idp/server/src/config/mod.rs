//! What an operator decides. [`settings`] reads it from flags, environment and file; this is the result, every
//! value checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use idp_core::account::password::PasswordPolicy;
use idp_core::oauth::grant::Lifetimes;
use idp_core::oauth::issuer::Issuer;
use idp_core::secret::Secret;
use idp_core::session::SessionLifetime;
use ipnet::IpNet;
use lettre::message::Mailbox;

pub mod database_url;
pub mod secret_files;
pub mod settings;

pub use idp_core::text::quoted;

/// Everything the server is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every token names and every link starts with.
    pub issuer: Issuer,
    /// The name people see.
    pub brand: String,
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Proxies whose word about the client address is taken. None by default.
    pub trusted_proxies: Vec<IpNet>,
    /// `sqlite:FILE` or `postgres://…`; may hold a password.
    pub database_url: Secret,
    /// Connections to the database, for reading and for writing each.
    pub database_connections: u32,
    /// Where the key-encryption keys lie.
    pub keys_dir: PathBuf,
    /// How mail leaves.
    pub mail: MailConfig,
    /// What a new password must be.
    pub password: PasswordPolicy,
    /// How passwords are worked on.
    pub hashing: HashingConfig,
    /// Whether people may register themselves.
    pub registration: bool,
    /// How long tokens and flows live.
    pub lifetimes: Lifetimes,
    /// How long sessions live.
    pub session: SessionLifetime,
    /// Requests per minute and client address.
    pub limits: RateLimits,
    /// Connections, and requests under way, of one client address at once. `None`: a quarter of all.
    pub per_address: Option<u32>,
    /// Whether this is `idp dev`: a mailbox page, a clock that can be moved, and refusals that explain
    /// themselves. No setting switches it on.
    pub dev: bool,
    /// How this program is called for the very database it runs on: what a refusal in `dev` shows to be typed.
    pub command: CommandLine,
}

/// How this program is called for one database.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// As the shell finds it.
    pub program: String,
    /// The flags that lead to the database.
    pub place: String,
}

impl Default for CommandLine {
    fn default() -> Self {
        Self { program: "idp".to_owned(), place: "--dev".to_owned() }
    }
}

impl CommandLine {
    /// A command as it can be typed: the verb, the place, and what else there is to say.
    pub(crate) fn line(&self, verb: &str, words: &str) -> String {
        format!("{} {verb} {} {words}", self.program, self.place)
    }
}

/// How passwords are worked on: judged, hashed and compared.
#[derive(Clone, Copy, Debug)]
pub struct HashingConfig {
    /// The longest that a sign-in may wait for its turn; one that would wait longer is sent away at once.
    pub sign_in_wait: Duration,
    /// The same for a registration.
    pub registration_wait: Duration,
    /// How the system shares the processor between this work and everything else.
    pub scheduling: Scheduling,
}

/// How Linux schedules the threads that work on passwords (sched(7)); elsewhere they are like all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduling {
    /// Like all other threads.
    Normal,
    /// At a niceness of 10: a tenth of a core is theirs however busy it is.
    #[default]
    Nice,
    /// At a niceness of 10 and in the class `SCHED_BATCH`: a thread that wakes up does not interrupt others.
    Batch,
    /// In the class `SCHED_IDLE`: they get what nothing else on the machine wants.
    Idle,
}

impl Scheduling {
    /// The words an operator chooses from.
    pub const WORDS: &[&str] = &["normal", "nice", "batch", "idle"];

    /// The one that a word stands for; the default for any other.
    pub(crate) fn of_word(word: &str) -> Self {
        match word {
            "normal" => Self::Normal,
            "batch" => Self::Batch,
            "idle" => Self::Idle,
            _ => Self::Nice,
        }
    }
}

impl Default for HashingConfig {
    fn default() -> Self {
        Self {
            sign_in_wait: Duration::from_secs(2),
            registration_wait: Duration::from_secs(1),
            scheduling: Scheduling::default(),
        }
    }
}

/// How mail leaves.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// The sender.
    pub from: Mailbox,
    /// The way.
    pub transport: MailTransport,
}

/// The way mail takes.
#[derive(Clone, Debug)]
pub enum MailTransport {
    /// `smtp://user:password@host:port?tls=required`, `smtps://…`; holds a password.
    Smtp(Secret),
    /// Into memory, shown at `/dev/mail`: in `dev` only.
    Mailbox,
}

/// Requests per minute from one client address (an IPv6 network of 64 bits counts as one).
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    /// Pages.
    pub page: u32,
    /// Passwords and codes that are tried.
    pub sign_in: u32,
    /// Registrations and mails asked for.
    pub register: u32,
    /// Calls of applications: token, userinfo.
    pub client: u32,
    /// What no route answers: unknown paths, wrong methods and hosts.
    pub unrouted: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { page: 600, sign_in: 60, register: 20, client: 12_000, unrouted: 600 }
    }
}
