//! The way mail leaves by: a mail server's connections, or the mailbox of `dev`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use idp_core::authority::Authority;
use idp_core::secret::Secret;
use idp_core::time::Timestamp;
use lettre::transport::smtp::{SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use lettre::{AsyncSmtpTransport, Tokio1Executor};
use tokio::sync::Notify;

use crate::config::{MailConfig, MailTransport};
use crate::errors::StartError;

/// Mails the development mailbox remembers.
const REMEMBERED: usize = 200;

/// The way out, and the bell that says there is work.
pub(crate) struct Mailer {
    pub(crate) transport: Transport,
    bell: Notify,
    sent: Mutex<VecDeque<SentMail>>,
}

pub(crate) enum Transport {
    /// The connections, and the server's host and port for the log.
    Smtp(AsyncSmtpTransport<Tokio1Executor>, String),
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
    /// The first link in it.
    pub(crate) fn link(&self) -> Option<String> {
        let word = self.text.split_whitespace().find(|word| word.starts_with("http"));
        word.map(str::to_owned)
    }
}

impl Mailer {
    pub(crate) fn new(config: &MailConfig) -> Result<Self, StartError> {
        let transport = match &config.transport {
            MailTransport::Mailbox => Transport::Mailbox,
            MailTransport::Smtp(url) => smtp(url)?,
        };
        Ok(Self { transport, bell: Notify::new(), sent: Mutex::default() })
    }

    /// There is a mail to send.
    pub(crate) fn wake(&self) {
        self.bell.notify_one();
    }

    /// Waits for the bell, or a few seconds: mail of another node's leases may have come back by then.
    pub(crate) async fn rest(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(5), self.bell.notified()).await;
    }

    /// The development mailbox, oldest first.
    pub(crate) fn sent(&self) -> Vec<SentMail> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Puts a mail into it.
    pub(crate) fn remember(&self, mail: SentMail) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() == REMEMBERED {
            sent.pop_front();
        }
        sent.push_back(mail);
    }
}

/// Without a word about TLS, `smtp://` means STARTTLS or nothing: a password must not travel in clear because
/// somebody on the way took the offer out. Only a server on this very machine may do without.
fn smtp(url: &Secret) -> Result<Transport, StartError> {
    let problem =
        |what: &str| StartError::Mail(format!("{what}; use smtp://user:password@host:587 or smtps://…"));
    let mut url = url::Url::parse(url.expose()).map_err(|_| problem("smtp_url is not a URL"))?;
    let local =
        url.host_str().and_then(|host| Authority::parse(host).ok()).is_some_and(|host| host.is_loopback());
    let says_tls = url.query_pairs().any(|(name, _)| name == "tls");
    if url.scheme() == "smtp" && !says_tls && !local {
        url.query_pairs_mut().append_pair("tls", "required");
    }
    let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str());
    let builder = builder.map_err(|_| problem("smtp_url is not one the mail library knows"))?;
    let port = url.port().unwrap_or(match (url.scheme(), local && !says_tls) {
        ("smtps", _) => SUBMISSIONS_PORT,
        (_, true) => SMTP_PORT,
        _ => SUBMISSION_PORT,
    });
    let server = format!("{}:{port}", url.host_str().unwrap_or_default());
    Ok(Transport::Smtp(builder.timeout(Some(Duration::from_secs(20))).build(), server))
}
