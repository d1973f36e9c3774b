//! How connections to a PostgreSQL server are protected: with TLS and full verification, unless the server is on this
//! machine.
//!
//! The driver's own default, `prefer`, sends the password in clear text to anyone who claims to have no TLS. A mode
//! written in the URL is obeyed, with a warning if it is weaker. libpq's variables (`PGSSLMODE` and others) never
//! weaken the protection.

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use idp_core::loopback::{loopback, without_brackets};
use rustls::CertificateError;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use super::postgres_files::{FileOrigin, NamedFile, TlsInput};
use super::postgres_url;
use super::postgres_variables::{Variables, refused};
use crate::error::OpenError;

/// The driver's words for a server that refuses TLS.
const NO_TLS: &str = "server does not support TLS";
/// libpq's variable for the mode.
const MODE: &str = "PGSSLMODE";

/// `sslmode` as libpq knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslMode {
    fn parse(text: &str) -> Option<Self> {
        let modes =
            [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull];
        modes.into_iter().find(|mode| text.eq_ignore_ascii_case(mode.name()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    /// The risk of writing this in a URL, for a server beyond this machine.
    fn risk(self) -> Option<&'static str> {
        match self {
            Self::Disable => Some(
                "the password and all data travel in clear text, and anyone on the network path can read them",
            ),
            Self::Require => Some(
                "the server's certificate is not checked, and anyone on the network path can impersonate the \
                 server and read the password",
            ),
            Self::VerifyCa => Some(
                "the name in the server's certificate is not checked, and anyone who has a certificate of the \
                 same authority can impersonate the server",
            ),
            Self::Allow | Self::Prefer | Self::VerifyFull => None,
        }
    }
}

impl From<SslMode> for PgSslMode {
    fn from(mode: SslMode) -> Self {
        match mode {
            SslMode::Disable => Self::Disable,
            SslMode::Allow => Self::Allow,
            SslMode::Prefer => Self::Prefer,
            SslMode::Require => Self::Require,
            SslMode::VerifyCa => Self::VerifyCa,
            SslMode::VerifyFull => Self::VerifyFull,
        }
    }
}

/// The mode for a server beyond this machine, given what its URL says.
///
/// # Errors
/// `allow` and `prefer` are refused. Anyone on the network path can switch their protection off, so they are `disable`
/// under a misleading name.
fn beyond(written: Option<SslMode>, has_root: bool) -> Result<SslMode, SslMode> {
    match written {
        None => Ok(SslMode::VerifyFull),
        Some(mode @ (SslMode::Allow | SslMode::Prefer)) => Err(mode),
        // As in libpq: whoever names an authority wants it checked. The driver would ignore the file.
        Some(SslMode::Require) if has_root => Ok(SslMode::VerifyCa),
        Some(mode) => Ok(mode),
    }
}

/// What needs to be known about a database URL before it is used.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// Sentences that tell the operator what the connection risks.
    pub warnings: Vec<String>,
    /// Files with certificates that the connection relies on.
    pub certificates: Vec<NamedFile>,
    /// The file with the private key of our client certificate.
    pub client_key: Option<NamedFile>,
}

/// Reads them from a URL and the environment. For SQLite there are none.
///
/// # Errors
/// [`OpenError`] if it is not a URL, or asks for a connection that is refused.
pub fn connection_facts(url: &str) -> Result<ConnectionFacts, OpenError> {
    match url.starts_with("postgres") {
        true => protected(url, |name| std::env::var_os(name)).map(|(_, facts)| facts),
        false => Ok(ConnectionFacts::default()),
    }
}

/// The connection options of a URL.
///
/// # Errors
/// As [`connection_facts`].
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, OpenError> {
    protected(url, |name| std::env::var_os(name)).map(|(options, _)| options)
}

fn protected(
    text: &str,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<(PgConnectOptions, ConnectionFacts), OpenError> {
    let malformed = || OpenError::Url("postgres://…".to_owned());
    let url = postgres_url::parse(text)?;
    let env = Variables::check(env)?;
    let written = TlsParameters::read(&url, &env)?;
    let mut options = PgConnectOptions::from_str(text).map_err(|_| malformed())?;
    if written.root.is_none() {
        // Of an empty variable the driver would make a file without a name.
        options = options.ssl_root_cert_from_pem(Vec::new());
    }
    let host = options.get_host().to_owned();
    let mut facts = written.facts();
    if options.get_socket().is_some() || host.starts_with('/') {
        return Ok((options, facts));
    }
    if let Some(name) = loopback(&host) {
        return Ok((options.host(&name), facts));
    }
    options = options.host(without_brackets(&host));
    let server = format!("{host}:{}", options.get_port());
    let mode = beyond(written.mode, written.root.is_some()).map_err(|mode| OpenError::Unprotected {
        server: server.clone(),
        why: format!(
            "sslmode={} sends the password in clear text to a server that refuses TLS; leave it out, or write sslmode=disable \
             if anyone on the network path may read the password",
            mode.name()
        ),
    })?;
    if let (Some(risk), Some(written)) = (mode.risk(), written.mode) {
        facts.warnings.push(format!("database.url says sslmode={}: {risk} ({server})", written.name()));
    }
    facts.warnings.extend(written.root.as_ref().and_then(|root| warning_of_root(root, &server)));
    if let (None, Some(other)) =
        (written.mode, written.ignored_mode.filter(|mode| *mode != SslMode::VerifyFull))
    {
        facts.warnings.push(format!(
            "{MODE}={} is ignored for {server}, whose certificate is checked; set sslmode in database.url to change that",
            other.name()
        ));
    }
    Ok((options.ssl_mode(mode.into()), facts))
}

/// Authorities that a variable names are easily overlooked.
fn warning_of_root(root: &TlsInput, server: &str) -> Option<String> {
    let FileOrigin::Variable(name) = root.origin else { return None };
    let (shown, file) = match &root.path {
        Some(path) => (format!("{name}={path}"), path.as_str()),
        None => (name.to_owned(), "FILE"),
    };
    Some(format!(
        "the authorities in {shown} are trusted for {server}; better say so in database.url, with sslrootcert={file}"
    ))
}

/// What the URL and the environment say about TLS.
struct TlsParameters {
    /// As the URL says.
    mode: Option<SslMode>,
    /// As the environment says. It is ignored for a server beyond this machine.
    ignored_mode: Option<SslMode>,
    root: Option<TlsInput>,
    /// Our certificate and its key.
    client: Option<(TlsInput, TlsInput)>,
}

impl TlsParameters {
    fn read<E: Fn(&str) -> Option<OsString>>(url: &Url, env: &Variables<E>) -> Result<Self, OpenError> {
        let mode = postgres_url::parameter(url, "sslmode").map(|(_, text)| {
            SslMode::parse(&text).ok_or_else(|| OpenError::Unprotected {
                server: "the database server".to_owned(),
                why: format!(
                    "there is no sslmode={text}; it is one of disable, require, verify-ca and verify-full"
                ),
            })
        });
        // The driver takes a misspelt one for `prefer`.
        let ignored_mode = env.set(MODE).map(|text| {
            SslMode::parse(&text).ok_or_else(|| {
                refused(
                    MODE,
                    format!(
                        "there is no sslmode `{text}`; it is one of disable, allow, prefer, require, verify-ca and \
                         verify-full"
                    ),
                )
            })
        });
        Ok(Self {
            mode: mode.transpose()?,
            ignored_mode: ignored_mode.transpose()?,
            root: TlsInput::root(url, env)?,
            client: TlsInput::of_client(url, env)?,
        })
    }

    fn facts(&self) -> ConnectionFacts {
        let (certificate, key) = self.client.as_ref().map(|(certificate, key)| (certificate, key)).unzip();
        ConnectionFacts {
            warnings: Vec::new(),
            certificates: [self.root.as_ref(), certificate]
                .into_iter()
                .filter_map(|input| input.and_then(TlsInput::file))
                .collect(),
            client_key: key.and_then(TlsInput::file),
        }
    }
}

/// What we were given is to blame, and not the server: its name says where. `None` for any other error.
pub(crate) fn blamed_on_input(
    text: &str,
    options: &PgConnectOptions,
    error: &sqlx::Error,
) -> Option<OpenError> {
    let sqlx::Error::Tls(error) = error else { return None };
    let url = postgres_url::parse(text).ok()?;
    match error.downcast_ref() {
        Some(error) => {
            let env = Variables::check(|name| std::env::var_os(name)).ok()?;
            let (certificate, key) = TlsInput::of_client(&url, &env).ok()??;
            blamed_on_key(&certificate, &key, error)
        }
        None => (error.to_string() == NO_TLS && is_asked_by_variable(&url, options)).then(|| {
            refused(
                MODE,
                "it asks for TLS, which the database server on this machine refuses; enable TLS on the server \
                 (`ssl = on`), or unset it",
            )
        }),
    }
}

/// Whether only [`MODE`] can have asked for TLS: for a server on this machine nothing else does.
fn is_asked_by_variable(url: &Url, options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let is_near = options.get_socket().is_some() || host.starts_with('/') || loopback(host).is_some();
    is_near && postgres_url::parameter(url, "sslmode").is_none()
}

/// These two errors come before the conversation with the server, and only from our own key.
fn blamed_on_key(certificate: &TlsInput, key: &TlsInput, error: &rustls::Error) -> Option<OpenError> {
    let what = match error {
        rustls::Error::InconsistentKeys(_) => format!(
            "gives a private key that does not belong to the client certificate ({})",
            certificate.origin
        ),
        rustls::Error::General(_) => {
            "gives a private key that cannot be used; it must be an RSA, ECDSA or EdDSA key".to_owned()
        }
        _ => return None,
    };
    Some(key.origin.refuse("", &what))
}

/// Why a protected connection could not be made and how to fix it; `None` for any other error.
pub(crate) fn explain(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Tls(error) if error.to_string() == NO_TLS => Some(
            "it refuses TLS, and the password is not sent in clear text; enable TLS on the server (`ssl = on`), or write \
             sslmode=disable in database.url if anyone on the network path may read the password"
                .to_owned(),
        ),
        sqlx::Error::Tls(error) => Some(error.to_string()),
        sqlx::Error::Io(error) => match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(error) => Some(certificate(error)),
            error => Some(error.to_string()),
        },
        _ => None,
    }
}

fn certificate(error: &CertificateError) -> String {
    let said: &dyn fmt::Display = match error {
        CertificateError::UnknownIssuer => {
            &"its certificate is not signed by an authority that is known here; name the file with the authority's \
              certificate in database.url, with sslrootcert=FILE"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            return format!(
                "{error}; name the host in database.url as the certificate does, or give the server another one"
            );
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            &"its certificate has expired; give the server a new one"
        }
        other if other.to_string().contains("CaUsedAsEndEntity") => {
            &"its certificate is that of an authority; give the server one of its own, signed by that authority, and name \
              the authority's in database.url, with sslrootcert=FILE"
        }
        other => return format!("its certificate is not valid: {other}"),
    };
    said.to_string()
}

#[cfg(test)]
#[path = "postgres_tls_tests.rs"]
mod tests;
