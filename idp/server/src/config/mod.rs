//! The configuration: what an operator decides, every value checked. [`settings`] reads it from flags, environment
//! and file.

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

pub use idp_core::text::shell_quoted;

/// The server's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The URL that every token names and every link begins with.
    pub issuer: Issuer,
    /// The name people see.
    pub brand: String,
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Proxies that are trusted to name the client's address. None by default.
    pub trusted_proxies: Vec<IpNet>,
    /// `sqlite:FILE` or `postgres://…`; may hold a password.
    pub database_url: Secret,
    /// Connections to the database: this many for reading, and as many for writing.
    pub database_connections: u32,
    /// The folder of the key-encryption keys.
    pub keys_dir: PathBuf,
    /// What browsers that came over https remember about the issuer's host.
    pub hsts: Hsts,
    /// How mail is sent.
    pub mail: MailConfig,
    /// What a new password must be.
    pub password: PasswordPolicy,
    /// How passwords are hashed.
    pub hashing: HashingConfig,
    /// Whether people may register themselves.
    pub registration: bool,
    /// How long tokens and flows live.
    pub lifetimes: Lifetimes,
    /// How long sessions live.
    pub session: SessionLifetime,
    /// Requests per minute and client address.
    pub limits: RateLimits,
    /// How many connections, and how many requests in progress, one client address may have. `None`: a quarter of all.
    pub per_address: Option<u32>,
    /// Whether this is `idp dev`: a mailbox page, a clock that can be moved, and refusals that explain
    /// themselves. No setting switches it on.
    pub dev: bool,
    /// How to call this program for the database it runs on, for the commands that refusals in `dev` show.
    pub command: CommandLine,
}

/// How to call this program for one database.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// The program, as the shell finds it.
    pub program: String,
    /// The flags that name the database.
    pub database_flags: String,
}

impl Default for CommandLine {
    fn default() -> Self {
        Self { program: "idp".to_owned(), database_flags: "--dev".to_owned() }
    }
}

impl CommandLine {
    /// A command as it can be typed: the verb, the flags that name the database, and the other arguments.
    pub(crate) fn line(&self, verb: &str, arguments: &str) -> String {
        format!("{} {verb} {} {arguments}", self.program, self.database_flags)
    }
}

/// HTTP Strict Transport Security (RFC 6797): for two years, browsers use https only. It binds more than this server:
/// every port of its host, and, if the operator says so, every host below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hsts {
    /// Not sent. A proxy may send it.
    Off,
    /// Browsers forget it: only a policy of zero seconds ends an earlier one (RFC 6797 section 6.1.1).
    Forget,
    /// For the issuer's host.
    #[default]
    Host,
    /// For its subdomains too.
    Subdomains,
    /// The same, and browsers may ship with it ([hstspreload.org](https://hstspreload.org)).
    Preload,
}

impl Hsts {
    /// The values of the setting.
    pub const WORDS: &[&str] = &["off", "forget", "host", "subdomains", "preload"];

    /// The policy that a word stands for; the default for an unknown word.
    pub(crate) fn of_word(word: &str) -> Self {
        match word {
            "off" => Self::Off,
            "forget" => Self::Forget,
            "subdomains" => Self::Subdomains,
            "preload" => Self::Preload,
            _ => Self::Host,
        }
    }

    /// The value of the header.
    pub(crate) fn header(self) -> Option<&'static str> {
        match self {
            Self::Off => None,
            Self::Forget => Some("max-age=0"),
            Self::Host => Some("max-age=63072000"),
            Self::Subdomains => Some("max-age=63072000; includeSubDomains"),
            Self::Preload => Some("max-age=63072000; includeSubDomains; preload"),
        }
    }
}

/// How passwords are judged, hashed and compared.
#[derive(Clone, Copy, Debug)]
pub struct HashingConfig {
    /// The longest that a sign-in may wait for its turn. One that would wait longer is refused at once.
    pub sign_in_wait: Duration,
    /// The same for a registration.
    pub registration_wait: Duration,
    /// How the system divides the processor between this work and everything else.
    pub scheduling: Scheduling,
}

/// How Linux schedules the threads that hash passwords (sched(7)). Other systems treat them like all other threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduling {
    /// Like all other threads.
    Normal,
    /// At a niceness of 10: they get a tenth of a core however busy it is.
    #[default]
    Nice,
    /// At a niceness of 10 and in the class `SCHED_BATCH`: a thread that wakes up does not interrupt others.
    Batch,
    /// In the class `SCHED_IDLE`: they get what nothing else on the machine uses.
    Idle,
}

impl Scheduling {
    /// The values of the setting.
    pub const WORDS: &[&str] = &["normal", "nice", "batch", "idle"];

    /// The scheduling that a word stands for; the default for an unknown word.
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

/// How mail is sent.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// The sender.
    pub from: Mailbox,
    /// Where mail goes.
    pub transport: MailTransport,
}

/// Where mail goes.
#[derive(Clone, Debug)]
pub enum MailTransport {
    /// `smtp://user:password@host:port?tls=required`, `smtps://…`; holds a password.
    Smtp(Secret),
    /// Into memory, shown at `/dev/mail`. In `dev` only.
    Mailbox,
}

/// Requests per minute from one client address (an IPv6 network of 64 bits counts as one).
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    /// Pages.
    pub page: u32,
    /// Tries at passwords and codes.
    pub sign_in: u32,
    /// Registrations and requests for mail.
    pub register: u32,
    /// Calls of clients: token, userinfo.
    pub client: u32,
    /// What no route answers: unknown paths, wrong methods and hosts.
    pub unrouted: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { page: 600, sign_in: 60, register: 20, client: 12_000, unrouted: 600 }
    }
}
