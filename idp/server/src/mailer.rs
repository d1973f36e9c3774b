//! Mail: taken from the outbox, given its link at the last moment, handed over, forgotten.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::FutureExt;
use idp_core::account::registration::ACTIVATION_LIFETIME;
use idp_core::ids::RegistrationId;
use idp_core::secret::Secret;
use idp_core::single_use::{Activation, SingleUse};
use idp_core::time::{HOUR, MINUTE, Timestamp};
use idp_core::typed_code::TypedCode;
use idp_store::{Actor, AuditEvent, AuditRecord, ClaimedMail, Mail, MailKind, Origin, StoreError};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::{self, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde::Serialize;
use tokio::sync::{Notify, watch};

use crate::config::{MailConfig, MailTransport};
use crate::errors::{PageError, StartError};
use crate::state::{AppState, Shared};
use crate::words;

/// Mails the development mailbox remembers.
const REMEMBERED: usize = 200;
/// How long one sender keeps a mail to itself.
const LEASE: Duration = MINUTE.saturating_mul(5);

/// The way out, and the bell that says there is work.
pub(crate) struct Mailer {
    transport: Transport,
    bell: Notify,
    sent: Mutex<VecDeque<SentMail>>,
}

enum Transport {
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

    fn remember(&self, mail: SentMail) {
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
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
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

/// Sends what is due; stops between two mails when told to.
pub(crate) async fn round(app: &Shared, stop: &watch::Receiver<bool>) {
    if let Err(error) = send_due(app, stop).await {
        tracing::error!(%error, "the outbox cannot be read");
    }
}

async fn send_due(app: &Shared, stop: &watch::Receiver<bool>) -> Result<(), StoreError> {
    while !*stop.borrow() {
        let now = app.clock.now();
        let claimed = app.store.write(now, |tx, now| Box::pin(tx.claim_mail(LEASE, *now))).await?;
        let Some(claimed) = claimed else { return Ok(()) };
        let kind = claimed.mail.as_ref().map_or("unreadable", |mail| mail.kind.as_str());
        match deliver(app, &claimed).await {
            Ok(()) => {
                tracing::info!(mail_id = claimed.id, kind, "mail handed over");
                app.store.write(claimed.id, |tx, id| Box::pin(tx.delete_mail(id))).await?;
            }
            Err(failure) => {
                let attempt = claimed.attempts;
                tracing::warn!(mail_id = claimed.id, kind, attempt, %failure, "mail not handed over");
                postpone(app, claimed, kind).await?;
            }
        }
    }
    Ok(())
}

/// Whatever is wrong with one mail is a failure of that mail: it waits, and the others go.
async fn deliver(app: &Shared, claimed: &ClaimedMail) -> Result<(), Failure> {
    let mail = claimed.mail.as_ref().map_err(|error| Failure::Store(error.clone()))?;
    AssertUnwindSafe(hand_over(app, mail)).catch_unwind().await.unwrap_or(Err(Failure::Panicked))
}

/// Later each time; after a day the mail is given up, and that is written down.
async fn postpone(app: &Shared, mail: ClaimedMail, kind: &'static str) -> Result<(), StoreError> {
    let waits = [MINUTE / 6, MINUTE, MINUTE * 5, MINUTE * 15, HOUR];
    let tries = usize::try_from(mail.attempts.max(1) - 1).unwrap_or(usize::MAX);
    let now = app.clock.now();
    let due = now.plus(waits[tries.min(waits.len() - 1)]);
    let given_up = AuditRecord {
        at: now,
        event: AuditEvent::MailGivenUp,
        actor: Actor::System,
        subject: Some(mail.subject),
        client_id: None,
        origin: Origin::default(),
        detail: kind,
    };
    app.store
        .write((mail.id, due, given_up), |tx, (id, due, given_up)| {
            Box::pin(async move {
                if !tx.postpone_mail(id, *due).await? {
                    tx.audit(given_up).await?;
                }
                Ok(())
            })
        })
        .await
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the mail cannot be written: {0}")]
    Write(String),
    #[error("a panic")]
    Panicked,
    /// What there was with which mail server, and why.
    #[error("{0} the mail server {1}: {2}")]
    Smtp(&'static str, String, String),
}

impl Failure {
    fn smtp(server: &str, error: &smtp::Error) -> Self {
        let mut why = std::error::Error::source(error);
        while let Some(deeper) = why.and_then(std::error::Error::source) {
            why = Some(deeper);
        }
        let why = why.map_or_else(|| error.to_string(), ToString::to_string);
        match error.status() {
            Some(code) => Self::Smtp("refused by", server.to_owned(), format!("{code} {why}")),
            None if error.is_tls() => Self::Smtp("no TLS with", server.to_owned(), why),
            None if error.is_client() || error.is_response() => {
                Self::Smtp("no understanding with", server.to_owned(), why)
            }
            None => Self::Smtp("no connection to", server.to_owned(), why),
        }
    }
}

impl From<PageError> for Failure {
    fn from(error: PageError) -> Self {
        Self::Write(error.detail.unwrap_or_default())
    }
}

/// What a mail's templates are filled with.
#[derive(Serialize)]
struct Contents<'a> {
    lang: &'static str,
    dir: &'static str,
    brand: &'a str,
    name: &'a str,
    link: String,
    code: String,
    hours: u64,
    minutes: i64,
    at: String,
    issuer_host: &'a str,
}

async fn hand_over(app: &Shared, mail: &Mail) -> Result<(), Failure> {
    let (link, code) = match mail.kind {
        MailKind::Activation => match mint(app, mail).await? {
            Some(minted) => minted,
            // The registration is over: there is nothing to prove any more.
            None => return Ok(()),
        },
        MailKind::AlreadyRegistered | MailKind::Locked | MailKind::Welcome => {
            (app.config.issuer.url("/signin"), String::new())
        }
    };
    let now = app.clock.now();
    let (lang, dir) = crate::render::language();
    let contents = Contents {
        lang,
        dir,
        brand: &app.config.brand,
        name: mail.name.as_str(),
        link,
        code,
        hours: ACTIVATION_LIFETIME.as_secs() / HOUR.as_secs(),
        minutes: mail.minutes.unwrap_or_default(),
        at: words::moment(mail.created_at),
        issuer_host: app.config.issuer.authority(),
    };
    let fill = |part: &str| app.renderer.fill(&format!("emails/{}/{part}", mail.kind.as_str()), &[&contents]);
    let subject = fill("subject.txt")?.trim().to_owned();
    let (text, html) = (fill("body.txt")?, fill("body.html")?);
    match &app.mailer.transport {
        Transport::Mailbox => {
            let (id, to) = (mail.id.to_string(), mail.recipient.to_string());
            app.mailer.remember(SentMail { id, to, subject, text, html, at: now });
            Ok(())
        }
        Transport::Smtp(smtp, server) => {
            let sent = smtp.send(message(app, mail, subject, text, html)?).await;
            sent.map(drop).map_err(|error| Failure::smtp(server, &error))
        }
    }
}

/// Makes the link and the code now, so that a mail that waited an hour carries fresh ones, and stores their
/// digests before they leave.
async fn mint(app: &AppState, mail: &Mail) -> Result<Option<(String, String)>, StoreError> {
    let Ok(id) = mail.subject.parse::<RegistrationId>() else { return Ok(None) };
    let (link, code) = (SingleUse::<Activation>::generate(), TypedCode::generate());
    let tag = code.tag(&app.keys.load().mac, &id.to_string());
    let input = (id, link.digest(), tag, app.clock.now());
    let live = app
        .store
        .write(input, |tx, (id, digest, tag, now)| {
            Box::pin(async move {
                if tx.attempt(*id, *now).await?.is_none() {
                    return Ok(false);
                }
                tx.insert_single_use(digest, &id.to_string(), now.plus(ACTIVATION_LIFETIME)).await?;
                tx.set_attempt_code(*id, tag, *now).await?;
                Ok(true)
            })
        })
        .await?;
    let url = app.config.issuer.url(&format!("/activate?token={}", link.expose()));
    Ok(live.then(|| (url, code.shown())))
}

fn message(
    app: &AppState,
    mail: &Mail,
    subject: String,
    text: String,
    html: String,
) -> Result<Message, Failure> {
    let write = |error: String| Failure::Write(error);
    let address: Address = mail.recipient.as_str().parse().map_err(|e| write(format!("recipient: {e}")))?;
    // Only a proven name stands in a header: what a stranger typed does not go to somebody's mailbox there.
    let name = (mail.kind != MailKind::Activation).then(|| mail.name.to_string());
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    Message::builder()
        .from(app.config.mail.from.clone())
        .to(Mailbox::new(name, address))
        .subject(subject)
        .date(UNIX_EPOCH + Duration::from_millis(u64::try_from(app.clock.now().millis()).unwrap_or_default()))
        .message_id(Some(format!("<{}@{}>", mail.id, app.config.mail.from.email.domain())))
        .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
        .multipart(MultiPart::alternative_plain_html(text, html))
        .map_err(|error| write(error.to_string()))
}
