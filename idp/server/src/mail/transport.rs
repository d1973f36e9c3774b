//! How mail is sent: over connections to a mail server, or into the mailbox of `idp dev`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use idp_core::loopback::{loopback, without_brackets};
use idp_core::secret::Secret;
use idp_core::time::Timestamp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{self, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use percent_encoding::percent_decode_str;
use tokio::sync::Notify;

use crate::config::{MailConfig, MailTransport};
use crate::mail::availability::{AT_ONCE, Availability};
use crate::mail::server::MailServer;
use crate::start_error::StartError;

/// How many mails the development mailbox keeps.
const REMEMBERED: usize = 200;

/// The transport, and a bell that announces work.
pub(crate) struct Mailer {
    pub(crate) transport: Transport,
    /// A warning for the operator, if the connection is at risk.
    pub(crate) warning: Option<String>,
    bell: Notify,
    sent: Mutex<VecDeque<SentMail>>,
}

pub(crate) enum Transport {
    Smtp(Box<MailServer>),
    Mailbox,
}

/// A mail in the development mailbox.
#[derive(Clone, Debug)]
pub(crate) struct SentMail {
    pub(crate) id: String,
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
    pub(crate) at: Timestamp,
}

impl SentMail {
    /// The first link in the text.
    pub(crate) fn link(&self) -> Option<String> {
        let word = self.text.split_whitespace().find(|word| word.starts_with("http"));
        word.map(str::to_owned)
    }
}

impl Mailer {
    pub(crate) fn new(config: &MailConfig) -> Result<Self, StartError> {
        let (transport, warning) = match &config.transport {
            MailTransport::Mailbox => (Transport::Mailbox, None),
            MailTransport::Smtp(url) => smtp(url)?,
        };
        Ok(Self { transport, warning, bell: Notify::new(), sent: Mutex::default() })
    }

    /// How many mails may be in progress now.
    pub(crate) fn room(&self, now: Timestamp) -> usize {
        match &self.transport {
            Transport::Mailbox => AT_ONCE,
            Transport::Smtp(server) => server.availability.room(now),
        }
    }

    /// Announces a mail to send.
    pub(crate) fn wake(&self) {
        self.bell.notify_one();
    }

    /// Waits for the bell, but at most a few seconds: mails leased by another node may have become due again.
    pub(crate) async fn rest(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(5), self.bell.notified()).await;
    }

    /// The development mailbox, oldest first.
    pub(crate) fn sent(&self) -> Vec<SentMail> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Puts a mail into the development mailbox.
    pub(crate) fn remember(&self, mail: SentMail) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() == REMEMBERED {
            sent.pop_front();
        }
        sent.push_back(mail);
    }
}

/// Usually a bare machine or container, where nobody has installed the list of authorities.
fn no_tls(why: &lettre::transport::smtp::Error) -> StartError {
    let cause = std::error::Error::source(why).map_or_else(|| why.to_string(), ToString::to_string);
    StartError::Mail(format!(
        "TLS cannot be used: {cause}; install the certificates of the known authorities (the package ca-certificates)"
    ))
}

/// Unless its query says otherwise, `smtp://` means STARTTLS or no mail: somebody in between could remove the offer of
/// TLS, and a password must not travel in clear text. Only a server on this machine may do without.
fn smtp(url: &Secret) -> Result<(Transport, Option<String>), StartError> {
    let problem =
        |what: &str| StartError::Mail(format!("{what}; use smtp://user:password@host:587 or smtps://…"));
    let url = url::Url::parse(url.expose()).map_err(|_| problem("smtp_url is not a URL"))?;
    let unknown = || problem("smtp_url is not one the mail library knows");
    let host = url.host_str().unwrap_or_default();
    let is_local = loopback(host);
    let name = is_local.clone().unwrap_or_else(|| without_brackets(host).to_owned());
    let tls = match (url.scheme(), url.query(), &is_local) {
        ("smtps", _, _) => Protection::Always,
        ("smtp", None, Some(_)) => Protection::None,
        ("smtp", Some("tls=opportunistic"), _) => Protection::IfOffered,
        ("smtp", _, _) => Protection::Required,
        _ => return Err(unknown()),
    };
    let port = url.port().unwrap_or(tls.port());
    let shown = format!("{host}:{port}");
    let credentials = match url.password() {
        Some(password) => {
            let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
            let decoded = |text: &str| decoded(text).map_err(|_| unknown());
            Some(Credentials::new(decoded(url.username())?, decoded(password)?))
        }
        None => None,
    };
    let is_risky = tls == Protection::IfOffered && is_local.is_none();
    let warning = is_risky.then(|| {
        format!(
            "mail.smtp_url says tls=opportunistic: anyone on the network path can prevent TLS, and read the password \
             and every email ({shown})"
        )
    });
    let tls = tls.parameters(name.clone()).map_err(|why| no_tls(&why))?;
    let (availability, idle) = (Availability::default(), Mutex::default());
    let server = MailServer {
        host: name,
        port,
        tls,
        hello: ClientId::default(),
        credentials,
        shown,
        availability,
        idle,
    };
    Ok((Transport::Smtp(Box::new(server)), warning))
}

/// How TLS protects a connection to a mail server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protection {
    None,
    IfOffered,
    /// STARTTLS, or no mail (RFC 3207).
    Required,
    /// From the first byte (RFC 8314).
    Always,
}

impl Protection {
    fn port(self) -> u16 {
        match self {
            Self::None => SMTP_PORT,
            Self::IfOffered | Self::Required => SUBMISSION_PORT,
            Self::Always => SUBMISSIONS_PORT,
        }
    }

    fn parameters(self, host: String) -> Result<Tls, smtp::Error> {
        let parameters = || TlsParameters::new(host);
        Ok(match self {
            Self::None => Tls::None,
            Self::IfOffered => Tls::Opportunistic(parameters()?),
            Self::Required => Tls::Required(parameters()?),
            Self::Always => Tls::Wrapper(parameters()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server's name for the log, the TLS mode, and the warning.
    fn parsed(url: &str) -> (String, String, Option<String>) {
        let (transport, warning) = smtp(&Secret::new(url.to_owned())).unwrap();
        let Transport::Smtp(server) = transport else { panic!() };
        let tls = match server.tls {
            Tls::None => "None",
            Tls::Opportunistic(_) => "Opportunistic",
            Tls::Required(_) => "Required",
            Tls::Wrapper(_) => "Wrapper",
        };
        (server.shown, tls.to_owned(), warning)
    }

    #[tokio::test]
    async fn fault_18_only_a_mail_server_on_this_machine_may_do_without_tls() {
        for (url, server, tls) in [
            ("smtp://localhost", "localhost:25", "None"),
            ("smtp://LOCALHOST:1025", "LOCALHOST:1025", "None"),
            ("smtp://localhost.", "localhost.:25", "None"),
            ("smtp://127.0.0.2", "127.0.0.2:25", "None"),
            ("smtp://[::1]:2525", "[::1]:2525", "None"),
            ("smtp://localhost?tls=required", "localhost:587", "Required"),
            ("smtp://localhost?tls=opportunistic", "localhost:587", "Opportunistic"),
            ("smtp://ip6-localhost", "ip6-localhost:587", "Required"),
            ("smtp://mail.localhost", "mail.localhost:587", "Required"),
            ("smtp://mail.example.com", "mail.example.com:587", "Required"),
            ("smtp://mail.example.com:25", "mail.example.com:25", "Required"),
            ("smtp://127.1", "127.1:587", "Required"),
            ("smtp://0.0.0.0", "0.0.0.0:587", "Required"),
            ("smtp://[2001:db8::1]", "[2001:db8::1]:587", "Required"),
            ("smtps://mail.example.com", "mail.example.com:465", "Wrapper"),
            ("smtps://localhost", "localhost:465", "Wrapper"),
        ] {
            assert_eq!(parsed(url), (server.to_owned(), tls.to_owned(), None), "{url}");
        }
    }

    #[tokio::test]
    async fn fault_18_opportunistic_tls_gives_a_warning() {
        let (_, tls, warning) = parsed("smtp://idp:hunter2@mail.example.com?tls=opportunistic");
        assert_eq!(tls, "Opportunistic");
        let warning = warning.unwrap();
        assert!(
            warning.starts_with("mail.smtp_url says tls=opportunistic: ") && !warning.contains("hunter2")
        );
        assert!(warning.ends_with("(mail.example.com:587)"), "{warning}");
    }
}
