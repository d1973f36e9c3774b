//! The settings after reading, and the configuration that follows from them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use idp_core::account::password::PasswordPolicy;
use idp_core::oauth::grant::Lifetimes;
use idp_core::oauth::issuer::Issuer;
use idp_core::secret::Secret;
use idp_core::session::SessionLifetime;
use idp_core::time::{HOUR, MINUTE};

use crate::config::secret_files::{FOR_OWNER_OR_ROOT, FOR_ROOT};
use crate::config::settings::table::{self as keys, Number, Setting, Switch, TABLE, TextSetting};
use crate::config::settings::values::{addresses, database_url, networks, sender, smtp_url};
use crate::config::{
    CommandLine, Config, HashingConfig, Hsts, MailConfig, MailTransport, RateLimits, Scheduling,
};

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingSource {
    /// Nowhere.
    Default,
    /// On this line of the configuration file.
    File(PathBuf, usize),
    /// In the environment variable of this name.
    Variable(String),
    /// With `--set` and this name.
    Flag(String),
    /// By the command itself; the text says with what, such as `option --data-dir`.
    Command(&'static str),
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{} line {line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag --set {name}"),
            Self::Command(with) => f.write_str(with),
        }
    }
}

/// What is wrong with the settings, in one line. It never shows the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct SettingsError {
    pub(super) at: String,
    pub(super) what: String,
}

impl SettingsError {
    /// The same without a command for root: where the file belongs to another user's server, its owner or mode is right.
    #[must_use]
    pub fn without_command_for_root(mut self) -> Self {
        if let Some((facts, _)) = self.what.split_once(FOR_ROOT).or(self.what.split_once(FOR_OWNER_OR_ROOT)) {
            self.what = facts.to_owned();
        }
        self
    }
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// JSON lines, or text for people. `None`: the output decides.
    pub json: Option<bool>,
    /// The minimum level.
    pub level: tracing::Level,
}

/// The settings as given, each with its source.
#[derive(Debug, Default)]
pub struct Settings {
    pub(super) file: Option<PathBuf>,
    pub(super) given: BTreeMap<&'static str, (Secret, SettingSource)>,
    /// What the operator should know although it does not prevent a start.
    pub(super) warnings: Vec<String>,
}

impl Settings {
    /// Every setting with its value and source. Secrets are not shown.
    pub fn shown(&self) -> impl Iterator<Item = (&'static Setting, &str, SettingSource)> {
        TABLE.iter().copied().map(|setting| {
            let text = self.given_or_default(setting);
            let shown = if setting.conceals(text) && !text.is_empty() { "(not shown)" } else { text };
            (setting, shown, self.source(setting))
        })
    }

    /// Sentences about what is accepted but deserves a look: one for each file with secrets that others can read.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The folder of the embedded database. `None`: another database is used.
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.text(&keys::DATABASE_URL).is_empty().then(|| PathBuf::from(self.text(&keys::SERVER_DATA_DIR)))
    }

    /// The folder of the key-encryption keys.
    pub fn keys_dir(&self) -> PathBuf {
        PathBuf::from(self.text(&keys::KEYS_DIR))
    }

    /// Whether the log's level was chosen, and is not the default.
    pub fn log_level_is_chosen(&self) -> bool {
        self.source(keys::LOG_LEVEL.setting()) != SettingSource::Default
    }

    /// Warns of a setting that another one makes useless.
    pub(super) fn warn_of_contradictions(&mut self) {
        if self.given.contains_key(keys::SERVER_DATA_DIR.0.name) && self.data_dir().is_none() {
            let (folder, url) = (keys::SERVER_DATA_DIR.0.name, keys::DATABASE_URL.0.name);
            self.warnings.push(format!("{folder} has no effect: {url} names another database"));
        }
        let hsts = keys::SERVER_HSTS.setting().name;
        if self.given.contains_key(hsts) && self.issuer().is_some_and(|issuer| !issuer.is_https()) {
            self.warnings.push(format!("{hsts} has no effect: the issuer is not https"));
        }
    }

    /// How to log.
    pub fn log(&self) -> LogConfig {
        let json = match self.text(&keys::LOG_FORMAT) {
            "json" => Some(true),
            "text" => Some(false),
            _ => None,
        };
        LogConfig { json, level: self.text(&keys::LOG_LEVEL).parse().unwrap_or(tracing::Level::INFO) }
    }

    /// The server's configuration, for production: `dev` is off.
    ///
    /// # Errors
    /// Every setting that is missing or has an unusable value.
    pub fn into_config(self) -> Result<(Config, LogConfig), Vec<SettingsError>> {
        let mut errors = Vec::new();
        let issuer = noted(&mut errors, self.parsed(&keys::SERVER_ISSUER, Issuer::parse));
        let listen = noted(&mut errors, self.parsed(&keys::SERVER_LISTEN, addresses));
        let trusted_proxies = match self.text(&keys::SERVER_TRUSTED_PROXIES) {
            "" => Some(Vec::new()),
            _ => noted(&mut errors, self.parsed(&keys::SERVER_TRUSTED_PROXIES, networks)),
        };
        let database_url = noted(&mut errors, self.database_url());
        let smtp = noted(&mut errors, self.parsed(&keys::MAIL_SMTP_URL, smtp_url));
        let from = noted(&mut errors, self.parsed(&keys::MAIL_FROM, sender));
        let session = noted(&mut errors, self.session());
        let (Some(issuer), Some(listen), Some(trusted_proxies), Some(database_url)) =
            (issuer, listen, trusted_proxies, database_url)
        else {
            return Err(errors);
        };
        let (Some(smtp), Some(from), Some(session)) = (smtp, from, session) else { return Err(errors) };
        let config = Config {
            issuer,
            brand: self.text(&keys::SERVER_NAME).to_owned(),
            listen,
            trusted_proxies,
            database_url,
            database_connections: self.database_connections(),
            keys_dir: self.keys_dir(),
            hsts: Hsts::of_word(self.text(&keys::SERVER_HSTS)),
            mail: MailConfig { from, transport: MailTransport::Smtp(smtp) },
            password: self.password_policy(),
            hashing: HashingConfig {
                scheduling: Scheduling::of_word(self.text(&keys::PASSWORD_SCHEDULING)),
                ..HashingConfig::default()
            },
            registration: self.switch(&keys::REGISTRATION_OPEN),
            lifetimes: Lifetimes::default(),
            session,
            limits: RateLimits {
                page: self.number(&keys::LIMITS_PAGE),
                sign_in: self.number(&keys::LIMITS_SIGN_IN),
                register: self.number(&keys::LIMITS_REGISTER),
                client: self.number(&keys::LIMITS_CLIENT),
                unrouted: self.number(&keys::LIMITS_UNROUTED),
            },
            per_address: self.optional_number(&keys::LIMITS_CONNECTIONS),
            dev: false,
            command: CommandLine::default(),
        };
        Ok((config, self.log()))
    }

    /// How long sessions live. A longer wait than the whole life would never end one.
    fn session(&self) -> Result<SessionLifetime, SettingsError> {
        let (minutes, hours) =
            (self.number(&keys::SESSION_IDLE_MINUTES), self.number(&keys::SESSION_ABSOLUTE_HOURS));
        let (idle, absolute) = (MINUTE * minutes, HOUR * hours);
        if idle <= absolute {
            return Ok(SessionLifetime { idle, absolute });
        }
        let (idle, absolute) = (&keys::SESSION_IDLE_MINUTES.0, &keys::SESSION_ABSOLUTE_HOURS.0);
        let plural = if hours == 1 { "" } else { "s" };
        let what = format!(
            "{} cannot be {minutes}: a session ends after {}, {hours} hour{plural}, in any case; an example is {}",
            idle.name, absolute.name, idle.example
        );
        Err(SettingsError { at: self.source(idle).to_string(), what })
    }

    /// What a new password must be.
    pub fn password_policy(&self) -> PasswordPolicy {
        PasswordPolicy::new(self.number(&keys::PASSWORD_MIN_LENGTH) as usize, self.text(&keys::SERVER_NAME))
    }

    /// Connections to the database: this many for reading, and as many for writing.
    pub fn database_connections(&self) -> u32 {
        self.number(&keys::DATABASE_CONNECTIONS)
    }

    /// The database: the one that `database.url` names, or the embedded one in the data folder.
    ///
    /// # Errors
    /// When the setting does not name a usable database.
    pub fn database_url(&self) -> Result<Secret, SettingsError> {
        let Some(folder) = self.data_dir() else { return self.parsed(&keys::DATABASE_URL, database_url) };
        // At the beginning, `//` would be taken for the URL's, and `file:` for a URL of its own.
        let folder: PathBuf = folder.components().collect();
        let folder = match folder.as_os_str().as_encoded_bytes().starts_with(b"file:") {
            true => Path::new(".").join(folder),
            false => folder,
        };
        // In a URL, these two would end the file name.
        let file = folder.join("idp.db").to_string_lossy().replace('%', "%25").replace('?', "%3f");
        Ok(Secret::new(format!("sqlite:{file}")))
    }

    /// The issuer, if it is given and valid.
    pub fn issuer(&self) -> Option<Issuer> {
        Issuer::parse(self.text(&keys::SERVER_ISSUER)).ok()
    }

    /// Where a setting was given.
    fn source(&self, setting: &Setting) -> SettingSource {
        self.given.get(setting.name).map_or(SettingSource::Default, |(_, source)| source.clone())
    }

    /// `database.url`, and where it was given.
    pub fn database_url_setting(&self) -> String {
        self.named(&keys::DATABASE_URL.0)
    }

    /// The setting that names the folder of an embedded database, and where it was given.
    pub fn database_folder_setting(&self) -> String {
        let key = if self.data_dir().is_some() { &keys::SERVER_DATA_DIR } else { &keys::DATABASE_URL };
        self.named(&key.0)
    }

    fn named(&self, setting: &Setting) -> String {
        format!("{}, {}", setting.name, self.source(setting))
    }

    fn given_or_default(&self, setting: &Setting) -> &str {
        self.given.get(setting.name).map_or(setting.default, |(text, _)| text.expose())
    }

    fn text(&self, key: &impl TextSetting) -> &str {
        self.given_or_default(key.setting())
    }

    fn switch(&self, key: &Switch) -> bool {
        self.given_or_default(&key.0) == "true"
    }

    /// A number. Its bounds were checked when it was read.
    fn number(&self, key: &Number) -> u32 {
        self.optional_number(key).unwrap_or_default()
    }

    fn optional_number(&self, key: &Number) -> Option<u32> {
        self.given_or_default(&key.0).parse().ok()
    }

    fn parsed<T, E: fmt::Display>(
        &self,
        key: &impl TextSetting,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, SettingsError> {
        let setting = key.setting();
        let Setting { name, example, secret, .. } = setting;
        match self.text(key) {
            "" if self.given.contains_key(name) => {
                let what = format!("{name} is empty; an example is {example}");
                Err(SettingsError { at: self.source(setting).to_string(), what })
            }
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
                SettingsError { at: self.source(setting).to_string(), what }
            }),
        }
    }
}

fn noted<T>(errors: &mut Vec<SettingsError>, outcome: Result<T, SettingsError>) -> Option<T> {
    outcome.map_err(|error| errors.push(error)).ok()
}
