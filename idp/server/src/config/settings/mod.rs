//! The settings: one [`TABLE`] from which file, environment, flags, hints and the printed reference all follow.
//!
//! A flag wins over the environment, the environment over the file, the file over the default. Every value
//! remembers where it was given, and every error is one line: where, what, and what would be right.

mod reading;
mod table;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use idp_core::account::password::PasswordPolicy;
use idp_core::oauth::grant::Lifetimes;
use idp_core::oauth::issuer::Issuer;
use idp_core::secret::Secret;
use idp_core::session::SessionLifetime;
use idp_core::time::{HOUR, MINUTE};

use self::reading::Reading;
use self::table::find;
use self::values::{address, database_url, each, network, sender, smtp_url};
use super::{CommandLine, Config, HashingConfig, MailConfig, MailTransport, RateLimits, Scheduling};

pub use self::reading::{broken_toml, line_of};
use self::table::NEARLY_PREFIX;
pub use self::table::{Kind, PREFIX, Setting, TABLE, unknown};

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// On a line of the configuration file.
    File(PathBuf, usize),
    /// In an environment variable of this name.
    Variable(String),
    /// By `--set` with this name.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{} line {line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag --set {name}"),
        }
    }
}

/// What is wrong with the settings: one line. It never shows the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct SettingsError {
    at: String,
    what: String,
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// JSON lines, or text for people; `None` when the output decides.
    pub json: Option<bool>,
    /// The least grave events that are logged.
    pub level: tracing::Level,
}

/// The settings as given, each with its origin.
#[derive(Debug, Default)]
pub struct Settings {
    file: Option<PathBuf>,
    given: BTreeMap<&'static str, (Secret, Origin)>,
    /// What the operator should know although it keeps nothing from starting.
    warnings: Vec<String>,
}

/// Reads the settings. Environment and flags are handed in; flags are pairs of `section.key` and value.
///
/// # Errors
/// Everything that is wrong, in the order of reading: unknown names, wrong kinds, values out of bounds,
/// doubled ones, files that are not there, and secrets where others can read them.
pub fn load(
    file: Option<&Path>,
    env: &[(String, String)],
    flags: &[(String, String)],
) -> Result<Settings, Vec<SettingsError>> {
    let mut reading = Reading::default();
    if let Some(path) = file {
        reading.file(path);
    }
    for (name, value) in env.iter().filter(|(name, _)| name.starts_with(NEARLY_PREFIX)) {
        reading.variable(name, value);
    }
    for (name, value) in flags {
        reading.flag(name, value);
    }
    if reading.errors.is_empty() { Ok(reading.settings) } else { Err(reading.errors) }
}

impl Settings {
    /// Every setting with its value and origin; what must not be seen is not shown.
    pub fn shown(&self) -> impl Iterator<Item = (&'static Setting, &str, Origin)> {
        TABLE.iter().map(|setting| {
            let text = self.text(setting.name);
            let shown = if setting.conceals(text) && !text.is_empty() { "(not shown)" } else { text };
            (setting, shown, self.origin(setting.name))
        })
    }

    /// Sentences about what is taken but deserves a look: one for each file with secrets that others can read.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The folder that the embedded database needs; `None` when another database is used.
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.text("database.url").is_empty().then(|| PathBuf::from(self.text("server.data_dir")))
    }

    /// How to log.
    pub fn log(&self) -> LogConfig {
        let json = match self.text("log.format") {
            "json" => Some(true),
            "text" => Some(false),
            _ => None,
        };
        LogConfig { json, level: self.text("log.level").parse().unwrap_or(tracing::Level::INFO) }
    }

    /// What the server needs, for production: `dev` is off.
    ///
    /// # Errors
    /// Every setting that is missing or has a value that cannot be used.
    pub fn into_config(self) -> Result<(Config, LogConfig), Vec<SettingsError>> {
        let mut errors = Vec::new();
        let issuer = noted(&mut errors, self.parsed("server.issuer", Issuer::parse));
        let listen = noted(&mut errors, self.parsed("server.listen", each(address)));
        let trusted_proxies = match self.text("server.trusted_proxies") {
            "" => Some(Vec::new()),
            _ => noted(&mut errors, self.parsed("server.trusted_proxies", each(network))),
        };
        let database_url = noted(&mut errors, self.database_url());
        let smtp = noted(&mut errors, self.parsed("mail.smtp_url", smtp_url));
        let from = noted(&mut errors, self.parsed("mail.from", sender));
        let (Some(issuer), Some(listen), Some(trusted_proxies), Some(database_url), Some(smtp), Some(from)) =
            (issuer, listen, trusted_proxies, database_url, smtp, from)
        else {
            return Err(errors);
        };
        let config = Config {
            issuer,
            brand: self.text("server.name").to_owned(),
            listen,
            trusted_proxies,
            database_url,
            database_connections: self.database_connections(),
            keys_dir: PathBuf::from(self.text("keys.dir")),
            mail: MailConfig { from, transport: MailTransport::Smtp(smtp) },
            password: self.password_policy(),
            hashing: HashingConfig {
                scheduling: Scheduling::of_word(self.text("password.scheduling")),
                ..HashingConfig::default()
            },
            registration: self.text("registration.open") == "true",
            lifetimes: Lifetimes::default(),
            session: SessionLifetime {
                idle: MINUTE * self.number("session.idle_minutes"),
                absolute: HOUR * self.number("session.absolute_hours"),
            },
            limits: RateLimits {
                page: self.number("limits.page_per_minute"),
                sign_in: self.number("limits.sign_in_per_minute"),
                register: self.number("limits.register_per_minute"),
                client: self.number("limits.client_per_minute"),
                unrouted: self.number("limits.unrouted_per_minute"),
            },
            per_address: self.text("limits.connections_per_ip").parse().ok(),
            dev: false,
            command: CommandLine::default(),
        };
        Ok((config, self.log()))
    }

    /// What a new password must be.
    pub fn password_policy(&self) -> PasswordPolicy {
        PasswordPolicy::new(self.number("password.min_length") as usize, self.text("server.name"))
    }

    /// Connections to the database, for reading and for writing each.
    pub fn database_connections(&self) -> u32 {
        self.number("database.connections")
    }

    /// The database: the one that is named, or the embedded one in the data folder.
    ///
    /// # Errors
    /// When the setting cannot be a database.
    pub fn database_url(&self) -> Result<Secret, SettingsError> {
        let Some(folder) = self.data_dir() else { return self.parsed("database.url", database_url) };
        // In a URL, these two would end the file name.
        let file = folder.join("idp.db").to_string_lossy().replace('%', "%25").replace('?', "%3f");
        Ok(Secret::new(format!("sqlite:{file}")))
    }

    /// The issuer, if it is given and can be one.
    pub fn issuer(&self) -> Option<Issuer> {
        Issuer::parse(self.text("server.issuer")).ok()
    }

    /// Where a setting was given.
    pub fn origin(&self, name: &str) -> Origin {
        self.given.get(name).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    fn text(&self, name: &str) -> &str {
        match self.given.get(name) {
            Some((text, _)) => text.expose(),
            None => find(name).map_or("", |setting| setting.default),
        }
    }

    /// A number; its bounds were checked when it was read.
    fn number(&self, name: &str) -> u32 {
        self.text(name).parse().unwrap_or_default()
    }

    fn parsed<T, E: fmt::Display>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, SettingsError> {
        let setting = find(name).unwrap_or(&TABLE[0]);
        let Setting { example, secret, .. } = setting;
        match self.text(name) {
            "" => {
                let (at, how) = match &self.file {
                    Some(path) => (path.display().to_string(), "set it".to_owned()),
                    None => ("configuration".to_owned(), setting.how_to_give()),
                };
                Err(SettingsError { at, what: format!("{name} is missing; {how}, for example to {example}") })
            }
            text => parse(text).map_err(|why| {
                let shown = if *secret { "be used" } else { &format!("be {text}") };
                let what = format!("{name} cannot {shown}: {why}; an example is {example}");
                SettingsError { at: self.origin(name).to_string(), what }
            }),
        }
    }
}

fn noted<T>(errors: &mut Vec<SettingsError>, outcome: Result<T, SettingsError>) -> Option<T> {
    outcome.map_err(|error| errors.push(error)).ok()
}

#[cfg(test)]
mod tests;
