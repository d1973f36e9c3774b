//! What a mail says: its link and code, made at the last moment, in its templates.

use std::time::{Duration, UNIX_EPOCH};

use idp_core::account::registration::whole_hours;
use idp_core::ids::RegistrationId;
use idp_core::single_use::{ActivationLink, SingleUse};
use idp_core::typed_code::TypedCode;
use idp_store::{Mail, MailKind, StoreError};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use serde::Serialize;

use crate::state::AppState;
use crate::text::catalogue::LANGUAGE;
use crate::text::dates;

/// Why a mail cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unmade {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the mail cannot be composed: {0}")]
    Write(String),
    #[error("its link would work for less than an hour")]
    Late,
}

impl From<tera::Error> for Unmade {
    fn from(error: tera::Error) -> Self {
        let why = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        Self::Write(format!("{error}{why}"))
    }
}

/// A mail's subject and its two bodies.
pub(crate) struct Composed {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
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
    /// How long an account is locked; `None`: until it is unlocked.
    minutes: Option<i64>,
    at: String,
    issuer_host: &'a str,
}

/// `None`: there is nothing left to say.
pub(crate) async fn compose(app: &AppState, mail: &Mail) -> Result<Option<Composed>, Unmade> {
    let Minted { link, code, hours } = match mail.kind {
        MailKind::Activation => match mint(app, mail).await? {
            Some(minted) => minted,
            // The registration is over: there is nothing left to prove.
            None => return Ok(None),
        },
        MailKind::AlreadyRegistered | MailKind::Locked | MailKind::Welcome => {
            Minted { link: app.config.issuer.url("/signin"), code: String::new(), hours: 0 }
        }
    };
    let (lang, dir) = (LANGUAGE, "ltr");
    let contents = Contents {
        lang,
        dir,
        brand: &app.config.brand,
        name: mail.name.as_str(),
        link,
        code,
        hours,
        minutes: mail.minutes,
        at: dates::moment(mail.created_at),
        issuer_host: app.config.issuer.authority(),
    };
    let fill = |part: &str| app.renderer.fill(&format!("emails/{}/{part}", mail.kind.as_str()), &[&contents]);
    let subject = fill("subject.txt")?.trim().to_owned();
    let (text, html) = (fill("body.txt")?, fill("body.html")?);
    Ok(Some(Composed { subject, text, html }))
}

/// A fresh link and code for a mail.
struct Minted {
    link: String,
    code: String,
    /// How long both work, in whole hours.
    hours: u64,
}

/// Makes link and code now, so that even a mail that waited an hour carries fresh ones, and stores their digests before
/// they are sent. They expire with their registration. Its lifetime is not extended for a late mail: that would reveal
/// that its address gets one. The mail states the time that is left.
async fn mint(app: &AppState, mail: &Mail) -> Result<Option<Minted>, Unmade> {
    let Ok(id) = mail.subject.parse::<RegistrationId>() else { return Ok(None) };
    let (link, code) = (SingleUse::<ActivationLink>::generate(), TypedCode::generate());
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
        Some(0) => Err(Unmade::Late),
        Some(hours) => Ok(Some(Minted { link, code: code.shown(), hours })),
    }
}

/// The mail as it is sent.
pub(crate) fn message(app: &AppState, mail: &Mail, composed: Composed) -> Result<Message, Unmade> {
    let Composed { subject, text, html } = composed;
    let write = |error: String| Unmade::Write(error);
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
