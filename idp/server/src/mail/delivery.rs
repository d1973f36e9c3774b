//! Sends the outbox: claims a mail, makes its link at the last moment, hands it to the mail server, and deletes it.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::FutureExt;
use idp_core::audit::{Actor, AuditEvent, AuditRecord, AuditSource};
use idp_core::ids::RegistrationId;
use idp_core::single_use::{Activation, SingleUse};
use idp_core::text::Excerpt;
use idp_core::time::{HOUR, MINUTE};
use idp_core::typed_code::TypedCode;
use idp_store::{ClaimedMail, Mail, MailKind, StoreError};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp;
use lettre::{Address, AsyncTransport, Message};
use serde::Serialize;
use tokio::sync::watch;

use crate::mail::transport::{SentMail, Transport};
use crate::state::{AppState, Shared};
use crate::text::catalogue::LANGUAGE;
use crate::text::dates;

/// How long a claimed mail is kept from other senders.
const LEASE: Duration = MINUTE.saturating_mul(5);

/// Sends the mails that are due. On shutdown it stops between two mails.
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
                tracing::info!(mail_id = claimed.id, kind, "mail sent");
                app.store.write(claimed.id, |tx, id| Box::pin(tx.delete_mail(id))).await?;
            }
            Err(failure) => {
                let attempt = claimed.attempts;
                tracing::warn!(mail_id = claimed.id, kind, attempt, %failure, "mail could not be sent");
                postpone(app, claimed, kind).await?;
            }
        }
    }
    Ok(())
}

/// Any error, even a panic, fails this mail only: it waits, and the others are sent.
async fn deliver(app: &Shared, claimed: &ClaimedMail) -> Result<(), Failure> {
    let mail = claimed.mail.as_ref().map_err(|error| Failure::Store(error.clone()))?;
    AssertUnwindSafe(hand_over(app, mail)).catch_unwind().await.unwrap_or(Err(Failure::Panicked))
}

/// Reschedules a mail, later each time. After a day it is given up, and that is audited.
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
        source: AuditSource::default(),
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
    #[error("the mail cannot be composed: {0}")]
    Write(String),
    #[error("composing or sending it panicked")]
    Panicked,
    #[error("its link would work for less than an hour")]
    Late,
    /// What went wrong, with which mail server, and why.
    #[error("{0} the mail server {1}: {2}")]
    Smtp(&'static str, String, String),
}

impl Failure {
    fn smtp(server: &str, error: &smtp::Error) -> Self {
        let mut why = std::error::Error::source(error);
        while let Some(deeper) = why.and_then(std::error::Error::source) {
            why = Some(deeper);
        }
        // A server may answer with text of any length.
        let why = why.map_or_else(|| error.to_string(), ToString::to_string);
        let why = Excerpt::new(why, 300).to_string();
        match error.status() {
            Some(code) => Self::Smtp("refused by", server.to_owned(), format!("{code} {why}")),
            None if error.is_tls() => Self::Smtp("no TLS with", server.to_owned(), why),
            None if error.is_client() || error.is_response() => {
                Self::Smtp("protocol error with", server.to_owned(), why)
            }
            None => Self::Smtp("no connection to", server.to_owned(), why),
        }
    }
}

impl From<tera::Error> for Failure {
    fn from(error: tera::Error) -> Self {
        let why = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        Self::Write(format!("{error}{why}"))
    }
}

/// The values for a mail's templates.
#[derive(Serialize)]
struct Contents<'a> {
    lang: &'static str,
    dir: &'static str,
    brand: &'a str,
    name: &'a str,
    link: String,
    code: String,
    /// How long link and code work, in whole hours.
    hours: u64,
    minutes: i64,
    at: String,
    issuer_host: &'a str,
}

async fn hand_over(app: &Shared, mail: &Mail) -> Result<(), Failure> {
    let FreshLink { link, code, hours } = match mail.kind {
        MailKind::Activation => match create_link_and_code(app, mail).await? {
            Some(minted) => minted,
            // The registration is over: there is nothing left to prove.
            None => return Ok(()),
        },
        MailKind::AlreadyRegistered | MailKind::Locked | MailKind::Welcome => {
            FreshLink { link: app.config.issuer.url("/signin"), code: String::new(), hours: 0 }
        }
    };
    let now = app.clock.now();
    let (lang, dir) = (LANGUAGE, "ltr");
    let contents = Contents {
        lang,
        dir,
        brand: &app.config.brand,
        name: mail.name.as_str(),
        link,
        code,
        hours,
        minutes: mail.minutes.unwrap_or_default(),
        at: dates::moment(mail.created_at),
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

/// A fresh link and code for a mail.
struct FreshLink {
    link: String,
    code: String,
    /// How long both work, in whole hours.
    hours: u64,
}

/// Makes link and code now, so that even a mail that waited an hour carries fresh ones, and stores their digests before
/// they are sent. They expire with their registration. Its lifetime is not extended for a late mail: that would reveal
/// that its address gets one. The mail states the time that is left.
async fn create_link_and_code(app: &AppState, mail: &Mail) -> Result<Option<FreshLink>, Failure> {
    let Ok(id) = mail.subject.parse::<RegistrationId>() else { return Ok(None) };
    let (link, code) = (SingleUse::<Activation>::generate(), TypedCode::generate());
    let tag = code.tag(&app.keys.load().mac, &id.to_string());
    let input = (id, link.digest(), tag, app.clock.now());
    let hours = app
        .store
        .write(input, |tx, (id, digest, tag, now)| {
            Box::pin(async move {
                let Some(registration) = tx.registration(*id, *now).await? else { return Ok(None) };
                let hours = whole_hours(registration.expires_at.since(*now));
                if hours > 0 {
                    tx.insert_single_use(digest, &id.to_string(), registration.expires_at).await?;
                    tx.set_registration_code(*id, tag).await?;
                }
                Ok(Some(hours))
            })
        })
        .await?;
    let link = app.config.issuer.url(&format!("/activate?token={}", link.expose()));
    match hours {
        None => Ok(None),
        Some(0) => Err(Failure::Late),
        Some(hours) => Ok(Some(FreshLink { link, code: code.shown(), hours })),
    }
}

/// Rounded down, after adding five minutes for the time until a mail is made.
fn whole_hours(span: Duration) -> u64 {
    (span + 5 * MINUTE).as_secs() / HOUR.as_secs()
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
    // Only a proven name goes into a header: what a stranger typed must not reach somebody's mailbox there.
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
