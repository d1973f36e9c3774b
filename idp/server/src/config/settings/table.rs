//! The table of all settings.

use std::fmt;
use std::ops::RangeInclusive;

use idp_core::account::password::{LOWEST_MIN_LENGTH, MAX_LENGTH};
use idp_core::server_url::server_url;
use idp_core::text::{Unreadable, readable};
use toml::de::DeValue;
use url::Url;

use crate::config::{Hsts, Scheduling};

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// `section.key`, as in flags and messages.
    pub name: &'static str,
    /// What it takes.
    pub kind: ValueKind,
    /// The value when it is not given; empty if there is none.
    pub default: &'static str,
    /// An example of a value.
    pub example: &'static str,
    /// Whether it may hold a password. Then it may come from a file, but not from the command line.
    pub secret: bool,
    /// One line for the reference.
    pub help: &'static str,
}

/// What a setting takes.
#[derive(Debug)]
pub enum ValueKind {
    /// Any string.
    Text,
    /// Strings: an array in the file, separated by commas elsewhere.
    List,
    /// A whole number within bounds.
    Number(RangeInclusive<u32>),
    /// `true` or `false`.
    Switch,
    /// One of these.
    Choice(&'static [&'static str]),
}

/// One type of setting per kind: [`super::Settings`] reads each with its own method, so a wrong name or kind does not
/// compile.
macro_rules! typed {
    ($($kind:ident)*) => {$(
        pub(super) struct $kind(pub(super) Setting);
    )*};
}

typed! { Text List Number Switch Choice }

/// A setting whose value is used as text.
pub(super) trait TextSetting {
    fn setting(&self) -> &Setting;
}

macro_rules! read_as_text {
    ($($kind:ident)*) => {$(
        impl TextSetting for $kind {
            fn setting(&self) -> &Setting {
                &self.0
            }
        }
    )*};
}

read_as_text! { Text List Choice }

const fn setting(name: &'static str, kind: ValueKind, default: &'static str, help: &'static str) -> Setting {
    Setting { name, kind, default, example: default, secret: false, help }
}

const fn text(name: &'static str, default: &'static str, help: &'static str) -> Text {
    Text(setting(name, ValueKind::Text, default, help))
}

const fn list(name: &'static str, default: &'static str, help: &'static str) -> List {
    List(setting(name, ValueKind::List, default, help))
}

const fn number(
    name: &'static str,
    range: RangeInclusive<u32>,
    default: &'static str,
    help: &'static str,
) -> Number {
    Number(setting(name, ValueKind::Number(range), default, help))
}

const fn switch(name: &'static str, default: &'static str, help: &'static str) -> Switch {
    Switch(setting(name, ValueKind::Switch, default, help))
}

const fn choice(
    name: &'static str,
    options: &'static [&'static str],
    default: &'static str,
    help: &'static str,
) -> Choice {
    Choice(setting(name, ValueKind::Choice(options), default, help))
}

macro_rules! with_example {
    ($($kind:ident)*) => {$(
        impl $kind {
            /// With an example, if there is no default to show.
            const fn example(mut self, example: &'static str) -> Self {
                self.0.example = example;
                self
            }
        }
    )*};
}

with_example! { Text List Number }

impl Text {
    const fn secret(mut self) -> Self {
        self.0.secret = true;
        self
    }
}

/// The file that is read when no other is named.
pub const DEFAULT_FILE: &str = "/etc/idp/idp.toml";

impl Setting {
    /// The environment variable: `IDP__SECTION__KEY`.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "__").to_uppercase())
    }

    /// The environment variable that names a file with the value. Only secrets have one.
    pub fn file_variable(&self) -> Option<String> {
        self.secret.then(|| format!("{}_FILE", self.variable()))
    }

    /// How to give the setting when there is no configuration file.
    pub(super) fn how_to_give(&self) -> String {
        let by_file = self.file_variable().map(|file| format!(" or {file}")).unwrap_or_default();
        format!(
            "set it in {DEFAULT_FILE} or in a file named with --config, or set {}{by_file}",
            self.variable()
        )
    }

    /// Whether this value must be kept from others. It must, unless it is plainly a URL without a password.
    pub(super) fn conceals(&self, text: &str) -> bool {
        let harmless = |url: Url| {
            let names = || url.query_pairs().map(|(name, _)| name);
            url.password().is_none()
                && names().all(|name| name != "password" && name != "pass")
                && (url.scheme() == "sqlite" || !may_hide_a_password(text))
        };
        self.secret && !Url::parse(text).is_ok_and(harmless)
    }
}

/// An `@` beyond the host of a server may be the end of a password.
fn may_hide_a_password(text: &str) -> bool {
    let after_host = |url: Url| url.query().is_some_and(|query| query.contains('@'));
    text.contains('@') && (!text.contains("://") || server_url(text).map_or(true, after_host))
}

/// The prefix of all environment variables of this program.
pub const PREFIX: &str = "IDP__";

const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];
const PER_MINUTE: RangeInclusive<u32> = 1..=1_000_000;

macro_rules! settings {
    ($($key:ident: $kind:ident = $setting:expr;)*) => {
        $(pub(super) static $key: $kind = $setting;)*

        /// Every setting.
        pub static TABLE: &[&Setting] = &[$(&$key.0),*];
    };
}

#[rustfmt::skip]
settings! {
    SERVER_ISSUER: Text = text("server.issuer", "", "The URL at which people reach this server. Every token names it, every link begins with it. Scheme and host only; required.").example("https://id.example.com");
    SERVER_LISTEN: List = list("server.listen", "127.0.0.1:8080", "Addresses and ports to listen on, behind the proxy that terminates TLS.");
    SERVER_TRUSTED_PROXIES: List = list("server.trusted_proxies", "", "Networks of the proxies that are trusted to name the client's address, in `X-Forwarded-For`; `for=` in `Forwarded` is not read. None by default; together less than half of all IPv4 addresses and of the public IPv6 addresses (`2000::/3`).").example("10.0.0.0/8");
    SERVER_NAME: Text = text("server.name", "idp", "The name people see on pages and in emails.");
    SERVER_DATA_DIR: Text = text("server.data_dir", "data", "Folder of the embedded database `idp.db`.");
    SERVER_HSTS: Choice = choice("server.hsts", Hsts::WORDS, "host", "What browsers are told to use over https only, for two years (HSTS), if the issuer is https: `host`, every port of the issuer's host; `subdomains`, the hosts below it too; `preload`, the same, and browsers may ship with it; `off`, nothing; `forget`, to end an earlier policy of this server. Not sent under another host, nor if a trusted proxy says `http` in `X-Forwarded-Proto` or `Forwarded`.");
    DATABASE_URL: Text = text("database.url", "", "`sqlite:FILE` or `postgres://USER:PASSWORD@HOST/NAME`, with TLS unless the host is this machine. Without it, `idp.db` in `server.data_dir`.").example("postgres://idp@localhost/idp").secret();
    DATABASE_CONNECTIONS: Number = number("database.connections", 1..=1000, "16", "Connections to the database: this many for reading, and as many for writing. SQLite uses one connection for writing and one per core for reading (at least two), up to this number.");
    KEYS_DIR: Text = text("keys.dir", "keys", "Folder of the key-encryption keys.");
    MAIL_SMTP_URL: Text = text("mail.smtp_url", "", "`smtps://USER:PASSWORD@HOST`, or `smtp://USER:PASSWORD@HOST`, which requires STARTTLS unless the mail server is on this machine. Required.").example("smtps://USER:PASSWORD@mail.example.com").secret();
    MAIL_FROM: Text = text("mail.from", "", "The sender of every email; required.").example("Example <id@example.com>");
    REGISTRATION_OPEN: Switch = switch("registration.open", "true", "Whether people may register themselves.");
    PASSWORD_MIN_LENGTH: Number = number("password.min_length", LOWEST_MIN_LENGTH as u32..=MAX_LENGTH as u32, "15", "The minimum length of a new password, in characters.");
    PASSWORD_SCHEDULING: Choice = choice("password.scheduling", Scheduling::WORDS, "nice", "How Linux schedules the threads that hash passwords: `normal`, like all other threads; `nice`, at niceness 10; `batch`, at niceness 10 and in the class SCHED_BATCH; `idle`, in the class SCHED_IDLE. With `idle` nobody can sign in while anything else keeps the machine busy.");
    SESSION_IDLE_MINUTES: Number = number("session.idle_minutes", 1..=43_200, "30", "A session ends after this many minutes without use; no more than `session.absolute_hours`.");
    SESSION_ABSOLUTE_HOURS: Number = number("session.absolute_hours", 1..=720, "12", "A session ends after this many hours, however much it is used.");
    LIMITS_PAGE: Number = number("limits.page_per_minute", PER_MINUTE, "600", "Pages per minute for one client address.");
    LIMITS_SIGN_IN: Number = number("limits.sign_in_per_minute", PER_MINUTE, "60", "Tries at passwords and codes per minute from one client address.");
    LIMITS_REGISTER: Number = number("limits.register_per_minute", PER_MINUTE, "20", "Registrations and requests for email per minute from one client address.");
    LIMITS_CLIENT: Number = number("limits.client_per_minute", PER_MINUTE, "12000", "Calls to the token and userinfo endpoints per minute from one client address.");
    LIMITS_UNROUTED: Number = number("limits.unrouted_per_minute", PER_MINUTE, "600", "Requests per minute from one client address that no route answers: unknown paths, wrong methods, other hosts.");
    LIMITS_CONNECTIONS: Number = number("limits.connections_per_ip", 1..=10_000, "", "How many connections, and how many requests in progress, one client address may have. The default is a quarter of all connections. Connections from `server.trusted_proxies` are exempt: their requests count for the client that the proxy names.").example("2500");
    LOG_FORMAT: Choice = choice("log.format", &["auto", "text", "json"], "auto", "How log lines look: `auto` is `text` on a terminal and `json` elsewhere.");
    LOG_LEVEL: Choice = choice("log.level", LEVELS, "info", "The minimum level of the events that are logged.");
}

impl ValueKind {
    /// A value of a TOML file as text. `None`: it has another type.
    pub(super) fn text_of(&self, value: &DeValue<'_>) -> Option<String> {
        match (self, value) {
            (Self::Text | Self::Choice(_) | Self::List, DeValue::String(text)) => Some(text.to_string()),
            (Self::Number(_), DeValue::Integer(number)) => Some(number.to_string()),
            (Self::Switch, DeValue::Boolean(on)) => Some(on.to_string()),
            (Self::List, DeValue::Array(items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
                texts.map(|texts| texts.join(","))
            }
            _ => None,
        }
    }

    /// Whether a text is a value of this kind.
    pub(super) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Text => text_problem(text).is_none(),
            Self::List => true,
            Self::Number(range) => text.parse().is_ok_and(|number| range.contains(&number)),
            Self::Switch => text.parse::<bool>().is_ok(),
            Self::Choice(options) => options.contains(&text),
        }
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a string"),
            Self::List => f.write_str("a string or a list of strings"),
            Self::Number(range) => write!(f, "a number from {} to {}", range.start(), range.end()),
            Self::Switch => f.write_str("true or false"),
            Self::Choice(options) => write!(f, "one of {}", options.join(", ")),
        }
    }
}

/// What is wrong with a string, as the end of a sentence. Invisible characters are a mistake that nobody would find.
pub(super) fn text_problem(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("it is empty".to_owned());
    }
    // A line end at the end is no more visible than one within.
    if let Some(c) = text.chars().find(|c| c.is_control()) {
        return Some(Unreadable(c).to_string());
    }
    match readable(text) {
        Ok(text) if text.is_empty() => Some("it is blank".to_owned()),
        Ok(_) => None,
        Err(why) => Some(why.to_string()),
    }
}

pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
    TABLE.iter().map(|setting| setting.name)
}

pub(super) fn find(name: &str) -> Option<&'static Setting> {
    TABLE.iter().copied().find(|setting| setting.name == name)
}

/// Every environment variable.
pub(super) fn variables() -> Vec<String> {
    TABLE.iter().flat_map(|it| [Some(it.variable()), it.file_variable()]).flatten().collect()
}

/// How alike two names must be for one to be a likely typo of the other.
const NEAR: f64 = 0.6;

/// The sentence about an unknown word. It names the nearest of the `known` words, or lists them if none is near.
pub fn unknown<'a>(word: &str, what: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.collect();
    known.dedup();
    let nearest = known.iter().max_by(|a, b| likeness(word, a).total_cmp(&likeness(word, b)));
    let same_letters = known.iter().find(|name| letters(name) == letters(word));
    if let Some(nearest) = same_letters.or(nearest.filter(|name| likeness(word, name) >= NEAR)) {
        return format!("there is no {what} `{word}`; the nearest valid name is `{nearest}`");
    }
    let (section, _) = parts(word);
    if known.iter().any(|name| parts(name).0 == section) {
        known.retain(|name| parts(name).0 == section);
    }
    format!("there is no {what} `{word}`; valid names are `{}`", known.join("`, `"))
}

/// A name without what is easily confused: letter case, underscores and other signs.
pub fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Section and key of a setting or variable; other words have no section.
fn parts(name: &str) -> (&str, &str) {
    name.rsplit_once("__").or_else(|| name.split_once('.')).unwrap_or(("", name))
}

/// From 0 to 1. Sections and keys are compared separately, because a common section would make any two keys alike.
fn likeness(word: &str, name: &str) -> f64 {
    let like = strsim::normalized_damerau_levenshtein;
    let ((word_section, word_key), (section, key)) = (parts(word), parts(name));
    let begins = |long: &str, short: &str| short.len() >= 3 && long.starts_with(short);
    let keys = match begins(word_key, key) || begins(key, word_key) {
        true => like(word_key, key).max(NEAR),
        false => like(word_key, key),
    };
    // `issuer` alone means `server.issuer`, and so does `mail.issuer`.
    let alone = if word_section.is_empty() || word_key == key { keys.min(0.9) } else { 0.0 };
    keys.min(like(word_section, section)).max(alone).max(like(word, key))
}
