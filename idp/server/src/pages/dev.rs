//! The additional pages of `idp dev`: the mailbox, and a clock that can be moved.

use std::time::Duration;

use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};

use crate::http::context::RequestContext;
use crate::http::errors::{PageError, Reason};
use crate::http::form::Form;
use crate::http::html::{Html, Page};
use crate::mail::transport::SentMail;
use crate::text::dates;

#[derive(Serialize)]
struct MailboxPage {
    messages: Vec<MessageLine>,
}

#[derive(Serialize)]
struct MessageLine {
    id: String,
    to: String,
    subject: String,
    at: String,
    link: Option<String>,
}

impl Page for MailboxPage {
    const TEMPLATE: &'static str = "dev/mailbox.html";
    const TITLE: &'static str = "dev-mailbox-title";
}

/// `GET /dev/mail`.
pub(crate) async fn mailbox(context: RequestContext) -> Result<Response, PageError> {
    let line = |mail: &SentMail| MessageLine {
        id: mail.id.clone(),
        to: mail.to.clone(),
        subject: mail.subject.clone(),
        at: dates::moment(mail.at),
        link: mail.link(),
    };
    let messages = context.app.mailer.sent().iter().rev().map(line).collect();
    Ok(context.page(&MailboxPage { messages })?.into_response())
}

#[derive(Serialize)]
struct MessagePage {
    to: String,
    from: String,
    subject: String,
    at: String,
    text: String,
    html_url: String,
    link: Option<String>,
}

impl Page for MessagePage {
    const TEMPLATE: &'static str = "dev/message.html";
    const TITLE: &'static str = "dev-mailbox-title";
}

/// `GET /dev/mail/ID`.
pub(crate) async fn message(context: RequestContext, Path(id): Path<String>) -> Result<Response, PageError> {
    let mail = sent(&context, &id)?;
    let page = MessagePage {
        to: mail.to.clone(),
        from: context.app.config.mail.from.to_string(),
        subject: mail.subject.clone(),
        at: dates::moment(mail.at),
        text: mail.text.clone(),
        html_url: format!("/dev/mail/{}/html", mail.id),
        link: mail.link(),
    };
    Ok(context.page(&page)?.into_response())
}

fn sent(context: &RequestContext, id: &str) -> Result<SentMail, PageError> {
    let mail = context.app.mailer.sent().into_iter().find(|mail| mail.id == id);
    mail.ok_or_else(|| PageError::new(Reason::NOT_FOUND))
}

/// `GET /dev/mail/ID/html`: the HTML part, as a mail program shows it.
pub(crate) async fn html(context: RequestContext, Path(id): Path<String>) -> Result<Response, PageError> {
    Ok(Html::mail(sent(&context, &id)?.html).into_response())
}

#[derive(Serialize)]
struct ClockPage {
    now: String,
    offset: String,
    moved: bool,
    action: &'static str,
}

impl Page for ClockPage {
    const TEMPLATE: &'static str = "dev/clock.html";
    const TITLE: &'static str = "dev-clock-title";
}

/// `GET /dev/clock`.
pub(crate) async fn clock(context: RequestContext) -> Result<Response, PageError> {
    let clock = &context.app.clock;
    let page = ClockPage {
        now: dates::moment(clock.now()),
        offset: dates::span(clock.offset()),
        moved: !clock.offset().is_zero(),
        action: "/dev/clock",
    };
    Ok(context.page(&page)?.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClockForm {
    advance: String,
}

/// `POST /dev/clock`: moves the clock forward by `advance` seconds; 0 resets it to the real time.
pub(crate) async fn move_clock(
    context: RequestContext,
    Form(form): Form<ClockForm>,
) -> Result<Response, PageError> {
    const YEAR: u64 = 366 * 24 * 60 * 60;
    match form.advance.parse::<u64>() {
        Ok(0) => context.app.clock.reset(),
        Ok(seconds) if seconds <= YEAR => context.app.clock.advance(Duration::from_secs(seconds)),
        _ => return Err(PageError::new(Reason::BAD_REQUEST)),
    }
    Ok(Redirect::to("/dev/clock").into_response())
}
