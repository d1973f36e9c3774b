//! The files with certificates and keys for a connection to PostgreSQL, and where each was named: by a parameter of the
//! URL, or by one of libpq's variables.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::pem::{check_certificates, check_private_key};
use super::postgres_url;
use super::postgres_variables::{Variables, refused};
use crate::error::OpenError;

/// Where a file was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOrigin {
    /// By this parameter of `database.url`.
    Parameter(String),
    /// By this environment variable.
    Variable(&'static str),
}

impl fmt::Display for FileOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(name) => write!(f, "{name} in database.url"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// A file, and where it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The file.
    pub path: PathBuf,
    /// Where it was named.
    pub origin: FileOrigin,
}

/// What gives a certificate or key.
pub(crate) struct TlsInput {
    pub(crate) origin: FileOrigin,
    /// `None`: the variable holds the certificate or key itself.
    pub(crate) path: Option<String>,
}

/// The parameter and the variable that give the same, and how the text of it is checked.
struct Names(&'static str, &'static str, fn(&str) -> Result<(), &'static str>);

const ROOT: Names = Names("sslrootcert", "PGSSLROOTCERT", check_certificates);
const CERTIFICATE: Names = Names("sslcert", "PGSSLCERT", check_certificates);
const KEY: Names = Names("sslkey", "PGSSLKEY", check_private_key);

impl TlsInput {
    /// The authorities that are trusted besides the built-in ones. An empty variable names none.
    pub(crate) fn root<E: Fn(&str) -> Option<OsString>>(
        url: &Url,
        env: &Variables<E>,
    ) -> Result<Option<Self>, OpenError> {
        const CURE: &str = "leave it out to trust the authorities that Mozilla trusts, or name a file such as \
                            /etc/ssl/certs/ca-certificates.crt";
        let Some(root) = Self::given(ROOT, url, env.set(ROOT.1), CURE)? else { return Ok(None) };
        match root.path.as_deref() {
            Some("system") => Err(root.origin.refuse("=system", &format!("names no file; {CURE}"))),
            _ => Ok(Some(root)),
        }
    }

    /// Our certificate and its key.
    pub(crate) fn of_client<E: Fn(&str) -> Option<OsString>>(
        url: &Url,
        env: &Variables<E>,
    ) -> Result<Option<(Self, Self)>, OpenError> {
        const CURE: &str = "leave it out, or name a file";
        let certificate = Self::given(CERTIFICATE, url, env.value(CERTIFICATE.1), CURE)?;
        let key = Self::given(KEY, url, env.value(KEY.1), CURE)?;
        let (given, lacks, Names(parameter, variable, _)) = match (certificate, key) {
            (Some(certificate), Some(key)) => return Ok(Some((certificate, key))),
            (None, None) => return Ok(None),
            (Some(given), None) => (given, "a client certificate without its private key", KEY),
            (None, Some(given)) => (given, "a private key without its client certificate", CERTIFICATE),
        };
        let cure = format!("give that too, with {parameter} in database.url or with {variable}");
        Err(given.origin.refuse("", &format!("gives {lacks}; {cure}")))
    }

    /// What the URL says, or else the variable.
    fn given(
        names: Names,
        url: &Url,
        variable: Option<String>,
        cure: &str,
    ) -> Result<Option<Self>, OpenError> {
        let (origin, value) = match (postgres_url::parameter(url, names.0), variable) {
            (Some((name, value)), _) => (FileOrigin::Parameter(name), value),
            (None, Some(value)) => (FileOrigin::Variable(names.1), value),
            (None, None) => return Ok(None),
        };
        let (begins, ends) = (value.trim().starts_with("-----BEGIN"), value.trim().ends_with("-----"));
        match &origin {
            // The driver's own rule for telling a text from the name of a file.
            FileOrigin::Variable(_) if begins && ends => match names.2(&value) {
                Ok(()) => Ok(Some(Self { origin, path: None })),
                Err(why) => Err(origin.refuse("", why)),
            },
            // Not shown: it may be a private key.
            _ if begins => Err(origin.refuse("", &format!("names no file and is no whole PEM text; {cure}"))),
            _ if value.is_empty() => Err(origin.refuse("=", &format!("names no file; {cure}"))),
            _ => Ok(Some(Self { origin, path: Some(value) })),
        }
    }

    /// The file, if one was named.
    pub(crate) fn file(&self) -> Option<NamedFile> {
        self.path.as_ref().map(|path| NamedFile { path: PathBuf::from(path), origin: self.origin.clone() })
    }
}

impl FileOrigin {
    /// A refusal of what was given here. `shown` is what a message may show of the parameter's value.
    pub(crate) fn refuse(&self, shown: &str, what: &str) -> OpenError {
        match self {
            Self::Parameter(name) => OpenError::Unprotected {
                server: "the database server".to_owned(),
                why: format!("{name}{shown} {what}"),
            },
            Self::Variable(name) => refused(name, format!("it {what}")),
        }
    }
}
