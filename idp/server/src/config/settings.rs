//! The settings: one [`TABLE`] from which file, environment, flags, hints and the printed reference all follow.
//!
//! A flag wins over the environment, the environment over the file, the file over the default. Every value
//! remembers where it was given, and every error is one line: where, what, and what would be right.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use idp_core::account::password::{FLOOR, LONGEST, PasswordPolicy};
use idp_core::oauth::grant::Lifetimes;
use idp_core::oauth::issuer::Issuer;
use idp_core::secret::Secret;
use idp_core::session::SessionLifetime;
use idp_core::time::{HOUR, MINUTE};
use ipnet::IpNet;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};
use url::Url;

use super::{Config, MailConfig, MailTransport, RateLimits};

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// `section.key`, as flags and messages write it.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds when it is not given; empty when there is no such value.
    pub default: &'static str,
    /// A value as it might be.
    pub example: &'static str,
    /// Whether it may hold a password: then it can come from a file, and never from a command line.
    pub secret: bool,
    /// One line for the reference.
    pub help: &'static str,
}

/// What a setting takes.
#[derive(Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// Texts: an array in the file, separated by commas elsewhere.
    List,
    /// A whole number within bounds.
    Number(RangeInclusive<u32>),
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
}

const fn setting(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Setting {
    Setting { name, kind, default, example: default, secret: false, help }
}

impl Setting {
    const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The environment variable: `IDP__SECTION__KEY`.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "__").to_uppercase())
    }

    /// The environment variable that names a file with the value; secrets have one.
    pub fn file_variable(&self) -> Option<String> {
        self.secret.then(|| format!("{}_FILE", self.variable()))
    }

    /// Whether this very value is to be kept from others. Anything that is not readably free of a password is.
    fn conceals(&self, text: &str) -> bool {
        let harmless = |url: Url| {
            url.password().is_none()
                && url.query_pairs().all(|(name, _)| name != "password" && name != "pass")
        };
        self.secret && !Url::parse(text).is_ok_and(harmless)
    }
}

/// What every environment variable of this program begins with.
pub const PREFIX: &str = "IDP__";

const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];
const PER_MINUTE: Kind = Kind::Number(1..=1_000_000);

/// Every setting there is.
#[rustfmt::skip]
pub const TABLE: &[Setting] = &[
    setting("server.issuer", Kind::Text, "", "Where people reach this server; every token and link begins with it. Scheme and host only; required.").example("https://id.example.com"),
    setting("server.listen", Kind::List, "127.0.0.1:8080", "Addresses and ports to listen on, for the proxy that speaks TLS."),
    setting("server.trusted_proxies", Kind::List, "", "Networks of proxies whose word about the client address is taken. None by default.").example("10.0.0.0/8"),
    setting("server.name", Kind::Text, "idp", "The name people see on pages and in mails."),
    setting("server.data_dir", Kind::Text, "data", "Folder of the embedded database `idp.db`."),
    setting("database.url", Kind::Text, "", "`sqlite:FILE` or `postgres://USER:PASSWORD@HOST/NAME`. Without it, `idp.db` in `server.data_dir`.").example("postgres://idp@localhost/idp").secret(),
    setting("database.connections", Kind::Number(1..=1000), "16", "Connections to the database, for reading and for writing each."),
    setting("keys.dir", Kind::Text, "keys", "Folder of the key-encryption keys."),
    setting("mail.smtp_url", Kind::Text, "", "`smtps://USER:PASSWORD@HOST`, or `smtp://…` with STARTTLS, which only a server on this machine may lack; required.").example("smtps://USER:PASSWORD@mail.example.com").secret(),
    setting("mail.from", Kind::Text, "", "The sender of every mail; required.").example("Example <id@example.com>"),
    setting("registration.open", Kind::Switch, "true", "Whether people may register themselves."),
    setting("password.min_length", Kind::Number(FLOOR as u32..=LONGEST as u32), "15", "The least characters of a new password."),
    setting("session.idle_minutes", Kind::Number(1..=43_200), "30", "How long a session lives without use."),
    setting("session.absolute_hours", Kind::Number(1..=720), "12", "How long a session lives however much it is used."),
    setting("limits.page_per_minute", PER_MINUTE, "600", "Pages for one client address in a minute."),
    setting("limits.sign_in_per_minute", PER_MINUTE, "60", "Passwords and codes tried from one client address in a minute."),
    setting("limits.register_per_minute", PER_MINUTE, "20", "Registrations and mails asked for by one client address in a minute."),
    setting("limits.client_per_minute", PER_MINUTE, "12000", "Calls of applications (token, userinfo) from one client address in a minute."),
    setting("log.format", Kind::Word(&["auto", "text", "json"]), "auto", "How log lines look: `auto` is `text` on a terminal and `json` elsewhere."),
    setting("log.level", Kind::Word(LEVELS), "info", "The least grave events that are logged."),
];

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
    for (name, value) in env.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        reading.variable(name, value);
    }
    for (name, value) in flags {
        reading.flag(name, value);
    }
    if reading.errors.is_empty() { Ok(reading.settings) } else { Err(reading.errors) }
}

#[derive(Default)]
struct Reading {
    settings: Settings,
    errors: Vec<SettingsError>,
}

impl Reading {
    fn refuse(&mut self, at: impl fmt::Display, what: impl Into<String>) {
        self.errors.push(SettingsError { at: at.to_string(), what: what.into() });
    }

    fn file(&mut self, path: &Path) {
        self.settings.file = Some(path.to_owned());
        let read = open(path).and_then(|(mut file, shared)| {
            let mut text = String::new();
            file.read_to_string(&mut text).map(|_| (text, shared))
        });
        let (text, shared) = match read {
            Ok(read) => read,
            Err(error) => return self.refuse(path.display(), format!("this file cannot be read: {error}")),
        };
        let line = |at: usize| Origin::File(path.to_owned(), line_of(&text, at));
        let table = match DeTable::parse(&text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                return self.refuse(line(error.span().map_or(0, |span| span.start)), error.message());
            }
        };
        for (section, content) in in_order(&table) {
            let known = names().filter_map(|name| name.split('.').next());
            match content.get_ref() {
                DeValue::Table(keys) if known.clone().any(|known| known == section.get_ref()) => {
                    for (key, value) in in_order(keys) {
                        let name = format!("{}.{}", section.get_ref(), key.get_ref());
                        self.file_value(&name, value.get_ref(), line(key.span().start), shared);
                    }
                }
                DeValue::Table(_) => {
                    self.refuse(line(section.span().start), unknown(section.get_ref(), "section", known));
                }
                _ => self.refuse(line(section.span().start), unknown(section.get_ref(), "section", names())),
            }
        }
    }

    fn file_value(&mut self, name: &str, value: &DeValue<'_>, at: Origin, shared: bool) {
        let Some(setting) = find(name) else { return self.refuse(at, unknown(name, "setting", names())) };
        let Some(text) = setting.kind.text_of(value) else {
            return self.refuse(at, format!("{name} takes {}", setting.kind));
        };
        if shared && setting.conceals(&text) {
            let variable = setting.file_variable().unwrap_or_default();
            let advice = format!("keep the file from them with `chmod 600`, or use {variable}");
            self.refuse(&at, format!("{name} holds a secret and others can read this file; {advice}"));
        }
        self.put(setting, text, at);
    }

    fn variable(&mut self, name: &str, value: &str) {
        let at = Origin::Variable(name.to_owned());
        let is = |known: Option<String>| known.is_some_and(|known| known == name);
        if let Some(setting) = TABLE.iter().find(|setting| is(Some(setting.variable()))) {
            self.put(setting, value.to_owned(), at);
        } else if let Some(setting) = TABLE.iter().find(|setting| is(setting.file_variable())) {
            match read_secret_file(Path::new(value)) {
                Ok(secret) => self.put(setting, secret.expose().to_owned(), at),
                Err(what) => self.refuse(at, what),
            }
        } else {
            let known = TABLE.iter().flat_map(|it| [Some(it.variable()), it.file_variable()]).flatten();
            let known: Vec<String> = known.collect();
            self.refuse(at, unknown(name, "setting", known.iter().map(String::as_str)));
        }
    }

    fn flag(&mut self, name: &str, value: &str) {
        let at = Origin::Flag(name.to_owned());
        let Some(setting) = find(name) else { return self.refuse(at, unknown(name, "setting", names())) };
        if setting.conceals(value) {
            let variable = setting.file_variable().unwrap_or_default();
            return self.refuse(at, format!("others can see a secret on a command line; use {variable}"));
        }
        self.put(setting, value.to_owned(), at);
    }

    /// Takes a value over what was read before it. Within one source, no setting is given twice.
    fn put(&mut self, setting: &'static Setting, text: String, at: Origin) {
        if !setting.kind.fits(&text) {
            let given = if setting.secret { String::new() } else { format!(", not `{text}`") };
            return self.refuse(at, format!("{} takes {}{given}", setting.name, setting.kind));
        }
        let before = self.settings.given.get(setting.name).map(|(_, origin)| origin);
        match (before, &at) {
            (Some(Origin::Variable(other)), Origin::Variable(_)) => {
                let what = format!("{other} gives the same setting; keep one of them");
                self.refuse(at, what);
            }
            (Some(Origin::Flag(_)), Origin::Flag(_)) => {
                self.refuse(at, "it is given twice; keep one of them");
            }
            _ => drop(self.settings.given.insert(setting.name, (Secret::new(text), at))),
        }
    }
}

impl Kind {
    fn text_of(&self, value: &DeValue<'_>) -> Option<String> {
        match (self, value) {
            (Self::Text | Self::Word(_) | Self::List, DeValue::String(text)) => Some(text.to_string()),
            (Self::Number(_), DeValue::Integer(number)) => Some(number.to_string()),
            (Self::Switch, DeValue::Boolean(on)) => Some(on.to_string()),
            (Self::List, DeValue::Array(items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
                texts.map(|texts| texts.join(","))
            }
            _ => None,
        }
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Text => !text.trim().is_empty() && !text.contains(char::is_control),
            Self::List => true,
            Self::Number(range) => text.parse().is_ok_and(|number| range.contains(&number)),
            Self::Switch => text.parse::<bool>().is_ok(),
            Self::Word(words) => words.contains(&text),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a text"),
            Self::List => f.write_str("a text or a list of texts"),
            Self::Number(range) => write!(f, "a number from {} to {}", range.start(), range.end()),
            Self::Switch => f.write_str("true or false"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// The entries of a table as the file has them.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn names() -> impl Iterator<Item = &'static str> + Clone {
    TABLE.iter().map(|setting| setting.name)
}

fn find(name: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.name == name)
}

/// The sentence about a word that is none of the `known` ones: it names the nearest of them.
pub fn unknown<'a>(word: &str, what: &str, known: impl Iterator<Item = &'a str>) -> String {
    let like = |name: &str| strsim::normalized_damerau_levenshtein(word, name);
    // `issuer` alone is meant to be `server.issuer`.
    let likeness = |name: &str| name.split_once('.').map_or(0.0, |(_, key)| like(key)).max(like(name));
    let nearest = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default();
    format!("there is no {what} `{word}`; the nearest valid name is `{nearest}`")
}

/// The line of a position in a text, from one on.
pub fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// Opens a file and tells whether anybody but its owner may read or write it.
fn open(path: &Path) -> std::io::Result<(File, bool)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    Ok((file, mode & 0o077 != 0))
}

/// Reads a secret from a file that is its owner's alone. The line end that editors leave is cut off.
///
/// # Errors
/// One sentence, naming the file.
pub fn read_secret_file(path: &Path) -> Result<Secret, String> {
    const LONGEST_FILE: u64 = 64 * 1024;
    let shown = path.display();
    let unreadable = |error| format!("the file {shown} cannot be read: {error}");
    let (file, shared) = open(path).map_err(unreadable)?;
    if shared {
        return Err(format!("others can read the file {shown}; keep them out with `chmod 600 {shown}`"));
    }
    let mut text = String::new();
    file.take(LONGEST_FILE).read_to_string(&mut text).map_err(unreadable)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() { Err(format!("the file {shown} is empty")) } else { Ok(Secret::new(text)) }
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
        let from = noted(&mut errors, self.parsed("mail.from", str::parse));
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
            },
            dev: false,
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

    fn text(&self, name: &str) -> &str {
        match self.given.get(name) {
            Some((text, _)) => text.expose(),
            None => find(name).map_or("", |setting| setting.default),
        }
    }

    fn origin(&self, name: &str) -> Origin {
        self.given.get(name).map_or(Origin::Default, |(_, origin)| origin.clone())
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
        let Setting { example, secret, .. } = find(name).unwrap_or(&TABLE[0]);
        match self.text(name) {
            "" => {
                let at = self.file.as_ref().map(|path| path.display().to_string());
                let what = format!("{name} is missing; set it, for example to {example}");
                Err(SettingsError { at: at.unwrap_or_else(|| "configuration".to_owned()), what })
            }
            text => parse(text).map_err(|why| {
                let shown = if *secret { "its value" } else { text };
                let what = format!("{name} cannot be {shown}: {why}; an example is {example}");
                SettingsError { at: self.origin(name).to_string(), what }
            }),
        }
    }
}

/// A parser of lists, from one of their parts.
fn each<T>(parse: impl Fn(&str) -> Result<T, String>) -> impl FnOnce(&str) -> Result<Vec<T>, String> {
    move |text| text.split(',').map(str::trim).map(parse).collect()
}

fn noted<T>(errors: &mut Vec<SettingsError>, outcome: Result<T, SettingsError>) -> Option<T> {
    outcome.map_err(|error| errors.push(error)).ok()
}

fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an address with a port"))
}

fn network(text: &str) -> Result<IpNet, String> {
    let single = |_| text.parse::<std::net::IpAddr>().map(IpNet::from);
    let network = text.parse::<IpNet>().or_else(single);
    let network = network.map_err(|_| format!("`{text}` is not a network"))?;
    if network.prefix_len() == 0 {
        return Err(format!("`{text}` would trust everybody, name your own proxies only"));
    }
    Ok(network)
}

fn database_url(text: &str) -> Result<Secret, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not a URL")?;
    match url.scheme() {
        "sqlite" if text.contains("memory") => Err("the database must be a file"),
        "sqlite" if url.path().is_empty() => Err("it names no file"),
        "postgres" | "postgresql" if url.path().len() < 2 => Err("it names no database"),
        "sqlite" | "postgres" | "postgresql" => Ok(Secret::new(text.to_owned())),
        _ => Err("it must begin with sqlite: or postgres:"),
    }
}

fn smtp_url(text: &str) -> Result<Secret, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not a URL")?;
    match (url.scheme(), url.query()) {
        ("smtp" | "smtps", _) if url.host_str().is_none_or(str::is_empty) => Err("it names no host"),
        ("smtp", None | Some("tls=required" | "tls=opportunistic")) | ("smtps", None) => {
            Ok(Secret::new(text.to_owned()))
        }
        ("smtp" | "smtps", _) => Err("its only parameter is tls=required or tls=opportunistic, for smtp://"),
        _ => Err("it must begin with smtps:// or smtp://"),
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
