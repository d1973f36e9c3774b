//! How connections to a PostgreSQL server are protected: with TLS and full verification, unless the server is on this
//! machine.
//!
//! The driver's own default, `prefer`, sends the password in clear text to anyone who claims to have no TLS. A mode
//! written in the URL is obeyed, with a warning if it is weaker. libpq's variables (`PGSSLMODE` and others) never
//! weaken the protection.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use idp_core::loopback::{loopback, without_brackets};
use rustls::CertificateError;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use super::postgres_url;
use crate::error::OpenError;

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
    pub certificates: Vec<PathBuf>,
    /// The file with the private key of our client certificate.
    pub client_key: Option<PathBuf>,
}

/// Reads them from a URL and the environment. For SQLite there are none.
///
/// # Errors
/// [`OpenError`] if it is not a URL, or asks for a connection that is refused.
pub fn connection_facts(url: &str) -> Result<ConnectionFacts, OpenError> {
    match url.starts_with("postgres") {
        true => protected(url, |name| std::env::var(name).ok()).map(|(_, facts)| facts),
        false => Ok(ConnectionFacts::default()),
    }
}

/// The connection options of a URL.
///
/// # Errors
/// As [`connection_facts`].
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, OpenError> {
    protected(url, |name| std::env::var(name).ok()).map(|(options, _)| options)
}

fn protected(
    text: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<(PgConnectOptions, ConnectionFacts), OpenError> {
    let malformed = || OpenError::Url("postgres://…".to_owned());
    let url = postgres_url::parse(text)?;
    let written = TlsParameters::read(&url, &env)?;
    let mut options = PgConnectOptions::from_str(text).map_err(|_| malformed())?;
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
    if let (Some(path), true) = (&written.root, written.root_is_from_environment) {
        facts.warnings.push(format!(
            "the authorities in PGSSLROOTCERT={path} are trusted for {server}; better say so in database.url, with \
             sslrootcert={path}"
        ));
    }
    if let (None, Some(other)) =
        (written.mode, env("PGSSLMODE").filter(|mode| !mode.eq_ignore_ascii_case("verify-full")))
    {
        facts.warnings.push(format!(
            "PGSSLMODE={other} is ignored for {server}, whose certificate is checked; set sslmode in database.url to \
             change that"
        ));
    }
    Ok((options.ssl_mode(mode.into()), facts))
}

/// What the URL and the environment say about TLS.
struct TlsParameters {
    /// As the URL says; the environment is ignored.
    mode: Option<SslMode>,
    root: Option<String>,
    root_is_from_environment: bool,
    certificate: Option<String>,
    key: Option<String>,
}

impl TlsParameters {
    fn read(url: &Url, env: &impl Fn(&str) -> Option<String>) -> Result<Self, OpenError> {
        let refuse = |why: String| OpenError::Unprotected { server: "the database server".to_owned(), why };
        let written = |wanted: &str| postgres_url::parameter(url, wanted);
        let mode = written("sslmode").map(|text| {
            SslMode::parse(&text).ok_or_else(|| {
                refuse(format!(
                    "there is no sslmode={text}; it is one of disable, require, verify-ca and verify-full"
                ))
            })
        });
        let written_root = written("sslrootcert");
        let root = written_root.clone().or_else(|| env("PGSSLROOTCERT").filter(|path| !path.is_empty()));
        if let Some(name) = root.as_deref().filter(|root| root.is_empty() || *root == "system") {
            return Err(refuse(format!(
                "sslrootcert={name} names no file; leave it out to trust the authorities that Mozilla trusts, or name a \
                 file such as /etc/ssl/certs/ca-certificates.crt"
            )));
        }
        Ok(Self {
            mode: mode.transpose()?,
            root_is_from_environment: written_root.is_none(),
            root,
            certificate: written("sslcert").or_else(|| env("PGSSLCERT")),
            key: written("sslkey").or_else(|| env("PGSSLKEY")),
        })
    }

    fn facts(&self) -> ConnectionFacts {
        let file = |value: &Option<String>| {
            // The driver also accepts the certificate itself in the environment.
            let value = value.as_deref().filter(|value| !value.trim_start().starts_with("-----BEGIN"));
            value.map(PathBuf::from)
        };
        ConnectionFacts {
            warnings: Vec::new(),
            certificates: [file(&self.root), file(&self.certificate)].into_iter().flatten().collect(),
            client_key: file(&self.key),
        }
    }
}

/// Why a protected connection could not be made and how to fix it; `None` for any other error.
pub(crate) fn explain(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Tls(error) if error.to_string() == "server does not support TLS" => Some(
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
