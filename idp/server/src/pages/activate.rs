//! The link in the activation mail. It opens a page; only the button on it activates, since mail scanners open
//! links, too.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use idp_core::audit::{Actor, AuditEvent, AuditRecord};
use idp_core::ids::{MailId, RegistrationId};
use idp_core::secret::{Digest, Secret};
use idp_core::single_use::{self, SingleUseDigest};
use idp_core::time::Timestamp;
use idp_store::{Activation, Mail, MailKind, Reader, Registration, StoreError, Tx};
use serde::{Deserialize, Serialize};

use crate::errors::PageError;
use crate::flow;
use crate::form::{Form, Query, with_email};
use crate::mailbox;
use crate::pages::check_mail::{self, TooMany};
use crate::pages::field_error;
use crate::pages::login::CLOSED_FOR_A_DAY;
use crate::pages::register::must_be_open;
use crate::render::{FieldError, Page};
use crate::sign_in::{self, Outcome};
use crate::visit::{Notice, Visit};

#[derive(Serialize)]
struct ActivatePage<'a> {
    action: &'static str,
    token: &'a str,
    email: String,
    /// Whether to ask for the password: in a browser other than the one in which the account was begun.
    foreign: bool,
    register_url: String,
}

impl Page for ActivatePage<'_> {
    const TEMPLATE: &'static str = "pages/activate.html";
    const TITLE: &'static str = "activate-title";
}

#[derive(Serialize)]
struct ActivatedPage {
    continue_url: String,
    app: Option<super::AppView>,
}

impl Page for ActivatedPage {
    const TEMPLATE: &'static str = "pages/activated.html";
    const TITLE: &'static str = "activated-title";
}

/// Why a link does not work.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum LinkProblem {
    Expired,
    Used,
    Unknown,
}

#[derive(Serialize)]
struct LinkProblemPage<'a> {
    kind: LinkProblem,
    resend_action: Option<&'static str>,
    token: Option<&'a str>,
    login_url: &'static str,
    register_url: Option<&'static str>,
}

impl Page for LinkProblemPage<'_> {
    const TEMPLATE: &'static str = "pages/link_problem.html";
    const TITLE: &'static str = "link-unknown-title";
    fn title(&self) -> &'static str {
        match self.kind {
            LinkProblem::Expired => "link-expired-title",
            LinkProblem::Used => "link-used-title",
            LinkProblem::Unknown => Self::TITLE,
        }
    }
}

/// The friendly end of a link that does not work. `token`: it can be exchanged for a fresh mail.
fn problem(visit: &Visit, kind: LinkProblem, token: Option<&str>) -> Result<Response, PageError> {
    Ok(visit.page(&problem_page(visit, kind, token))?.status(StatusCode::BAD_REQUEST).into_response())
}

fn problem_page<'a>(visit: &Visit, kind: LinkProblem, token: Option<&'a str>) -> LinkProblemPage<'a> {
    LinkProblemPage {
        kind,
        resend_action: token.map(|_| "/activate/resend"),
        token,
        login_url: "/signin",
        register_url: visit.app.config.registration.then_some("/register"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenFields {
    #[serde(default)]
    token: String,
}

type Token = SingleUseDigest<single_use::Activation>;

/// `GET /activate?token=…`: shows the button; nothing is consumed.
pub(crate) async fn show(visit: Visit, Query(fields): Query<TokenFields>) -> Result<Response, PageError> {
    must_be_open(&visit)?;
    let Some(digest) = Token::of_presented(&fields.token) else {
        return problem(&visit, LinkProblem::Unknown, None);
    };
    let now = visit.app.clock.now();
    let found = visit
        .app
        .store
        .read((digest, now), |db, (digest, now)| {
            Box::pin(async move {
                let Some((subject, usable)) = db.look_at(digest, *now).await? else { return Ok(None) };
                let Ok(id) = subject.parse::<RegistrationId>() else { return Ok(None) };
                Ok(Some((usable, db.registration(id, *now).await?, db.registration_ended(id).await?)))
            })
        })
        .await?;
    match found {
        None => problem(&visit, LinkProblem::Unknown, None),
        Some((_, _, true)) => problem(&visit, LinkProblem::Used, None),
        Some((true, Some(attempt), _)) => question(&visit, &fields.token, &attempt, None),
        Some(_) => problem(&visit, LinkProblem::Expired, Some(&fields.token)),
    }
}

/// Why a link is not taken yet.
struct Refused {
    status: StatusCode,
    error: FieldError,
    retry_after: Option<u64>,
}

/// The page with the button. From now on the address is known in this browser: whoever has the link reads its mail.
fn question(
    visit: &Visit,
    token: &str,
    attempt: &Registration,
    refused: Option<Refused>,
) -> Result<Response, PageError> {
    let page = ActivatePage {
        action: "/activate",
        token,
        email: attempt.email.to_string(),
        foreign: is_foreign(visit, attempt),
        register_url: with_email("/register", attempt.email.as_str()),
    };
    let mut response = match refused {
        None => visit.page(&page)?.into_response(),
        Some(Refused { status, error, retry_after }) => {
            let page = visit.page_with(&page, vec![error])?;
            page.status(status).retry_after(retry_after).into_response()
        }
    };
    response.headers_mut().append(header::SET_COOKIE, mailbox::opened(visit, &attempt.email));
    Ok(response)
}

/// Whoever reads a mailbox need not be the one who registered its address. The account gets the password that was
/// chosen then, so that a click on a stranger's mail would give the stranger an account in somebody else's name: in
/// another browser the password is asked for.
fn is_foreign(visit: &Visit, attempt: &Registration) -> bool {
    attempt.browser != visit.visitor.browser()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActivateForm {
    #[serde(default)]
    token: String,
    #[serde(default)]
    password: String,
}

/// Whether the person proved to be the one who registered, by the password. `Err`: they must, and did not; the answer
/// says so.
async fn proof(
    visit: &Visit,
    digest: &Token,
    form: &ActivateForm,
) -> Result<Result<bool, Response>, PageError> {
    let input = (digest.clone(), visit.app.clock.now());
    let found = visit.app.store.read(input, |db, (digest, now)| Box::pin(waiting(db, digest, *now))).await?;
    let Some(attempt) = found.filter(|attempt| is_foreign(visit, attempt)) else { return Ok(Ok(false)) };
    let ask = |refused| question(visit, &form.token, &attempt, Some(refused)).map(Err);
    let refuse = |status, error| ask(Refused { status, error, retry_after: None });
    let later = |text, seconds| {
        let (status, error) = (StatusCode::TOO_MANY_REQUESTS, FieldError { field: None, text });
        ask(Refused { status, error, retry_after: Some(seconds) })
    };
    let words = &visit.app.renderer.words;
    if form.password.is_empty() {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, field_error(visit, "password", "password-missing"));
    }
    match sign_in::prove_registration(visit, attempt.clone(), Secret::new(form.password.clone())).await? {
        Outcome::Unactivated(_) => Ok(Ok(true)),
        Outcome::Throttled { minutes } => {
            later(words.text("login-throttled", &[("minutes", minutes.into())]), minutes * 60)
        }
        Outcome::Closed => {
            let brand = [("brand", visit.app.config.brand.as_str().into())];
            later(words.text("login-closed", &brand), CLOSED_FOR_A_DAY)
        }
        Outcome::SignedIn(_) | Outcome::Wrong | Outcome::Deactivated => {
            refuse(StatusCode::UNAUTHORIZED, field_error(visit, "password", "activate-wrong"))
        }
    }
}

/// The registration whose link this is, while both work.
async fn waiting(
    db: &mut Reader,
    digest: &Token,
    now: Timestamp,
) -> Result<Option<Registration>, StoreError> {
    let Some((subject, true)) = db.look_at(digest, now).await? else { return Ok(None) };
    match subject.parse::<RegistrationId>() {
        Ok(id) => db.registration(id, now).await,
        Err(_) => Ok(None),
    }
}

/// `POST /activate`: consumes the link and makes the account, in one write.
pub(crate) async fn submit(visit: Visit, Form(form): Form<ActivateForm>) -> Result<Response, PageError> {
    must_be_open(&visit)?;
    let Some(digest) = Token::of_presented(&form.token) else {
        return problem(&visit, LinkProblem::Unknown, None);
    };
    let proven = match proof(&visit, &digest, &form).await? {
        Ok(proven) => proven,
        Err(refusal) => return Ok(refusal),
    };
    let record = visit.audit(AuditEvent::Activated, Actor::Anonymous, None);
    let outcome = visit
        .app
        .store
        .write((digest, visit.visitor.browser(), proven, record), |tx, (digest, browser, proven, record)| {
            Box::pin(consume(tx, digest, browser, *proven, record))
        })
        .await?;
    match outcome {
        Consumed::Activation(id, Activation::Activated(..)) => done(&visit, id).await,
        Consumed::Activation(_, Activation::AlreadyUsed) | Consumed::Used => {
            problem(&visit, LinkProblem::Used, None)
        }
        Consumed::Activation(_, Activation::Unknown) | Consumed::Expired => {
            problem(&visit, LinkProblem::Expired, Some(&form.token))
        }
        Consumed::Unknown | Consumed::Unproven => problem(&visit, LinkProblem::Unknown, None),
    }
}

enum Consumed {
    Activation(RegistrationId, Activation),
    Used,
    Expired,
    Unknown,
    /// In another browser, without the password.
    Unproven,
}

/// `proven`: by the password; in the browser that registered there is nothing to prove.
async fn consume(
    tx: &mut Tx,
    digest: &Token,
    browser: &Digest,
    proven: bool,
    record: &AuditRecord,
) -> Result<Consumed, StoreError> {
    let now = record.at;
    if !proven && waiting(tx, digest, now).await?.is_some_and(|attempt| attempt.browser != *browser) {
        return Ok(Consumed::Unproven);
    }
    if let Some(subject) = tx.consume(digest, now).await? {
        let Ok(id) = subject.parse::<RegistrationId>() else { return Ok(Consumed::Unknown) };
        return Ok(Consumed::Activation(id, activate(tx, id, browser, record).await?));
    }
    let Some((subject, _)) = tx.look_at(digest, now).await? else { return Ok(Consumed::Unknown) };
    let ended = match subject.parse::<RegistrationId>() {
        Ok(id) => tx.registration_ended(id).await?,
        Err(_) => false,
    };
    Ok(if ended { Consumed::Used } else { Consumed::Expired })
}

/// The record of an activation.
pub(crate) fn record(visit: &Visit, id: RegistrationId) -> AuditRecord {
    visit.audit(AuditEvent::Activated, Actor::Anonymous, Some(id.to_string()))
}

/// Makes the account, writes it down, and puts the welcome mail into the outbox.
pub(crate) async fn activate(
    tx: &mut Tx,
    id: RegistrationId,
    browser: &Digest,
    record: &AuditRecord,
) -> Result<Activation, StoreError> {
    let activation = tx.activate(id, record.at).await?;
    if let Activation::Activated(user, _) = &activation {
        // Whoever reads the mailbox is the owner: strangers' tries do not keep this browser out.
        tx.remember_browser(user.id, browser, record.at).await?;
        let subject = Some(user.id.to_string());
        tx.audit(&AuditRecord { subject, actor: Actor::User(user.id), ..record.clone() }).await?;
        tx.enqueue_mail(&Mail {
            id: MailId::new(record.at),
            kind: MailKind::Welcome,
            recipient: user.email.clone(),
            name: user.name.clone(),
            subject: user.id.to_string(),
            minutes: None,
            created_at: record.at,
            attempts: 0,
        })
        .await?;
    }
    Ok(activation)
}

/// After the activation: the registration's own page where it is this browser's, else a sign-in page that says
/// so. Both are pages of their own, so that a reload activates nothing and loses nothing.
async fn done(visit: &Visit, id: RegistrationId) -> Result<Response, PageError> {
    visit.app.mailer.wake();
    let input = (id, visit.app.clock.now());
    let found =
        visit.app.store.read(input, |db, (id, now)| Box::pin(db.registration_and_state(*id, *now))).await?;
    match found {
        Some((attempt, _)) if attempt.browser == visit.visitor.browser() => {
            Ok(Redirect::to(&check_mail::url(id)).into_response())
        }
        _ => Ok(visit.redirect_with(Notice::Activated, "/signin")),
    }
}

/// "Your account is active": on with the walk that began before, while it is open.
pub(crate) async fn activated(visit: &Visit, attempt: &Registration) -> Result<Response, PageError> {
    let id = attempt.flow_id.map(|id| id.to_string());
    let (continue_url, app) = match flow::under_way(visit, id.as_deref()).await {
        Some((flow, known)) => (flow::url(flow.id), super::app_of(&flow.target, &known).0),
        None => ("/signin".to_owned(), None),
    };
    let page = ActivatedPage { continue_url: with_email(&continue_url, attempt.email.as_str()), app };
    Ok(visit.page(&page)?.into_response())
}

/// `POST /activate/resend`: an expired link still shows that its bearer reads the mailbox, so a fresh mail is sent
/// there, and the address is known in this browser. The registration stays with its own browser.
pub(crate) async fn resend(visit: Visit, Form(fields): Form<TokenFields>) -> Result<Response, PageError> {
    must_be_open(&visit)?;
    let Some(digest) = Token::of_presented(&fields.token) else {
        return problem(&visit, LinkProblem::Unknown, None);
    };
    let found = visit.app.store.read((digest, visit.app.clock.now()), |db, (digest, now)| {
        Box::pin(async move {
            let Some((subject, _)) = db.look_at(digest, *now).await? else { return Ok(None) };
            let Ok(id) = subject.parse::<RegistrationId>() else { return Ok(None) };
            // Whoever reads the mailbox may know what came of it.
            let ended = db.registration_ended(id).await?;
            Ok(db.registration_and_state(id, *now).await?.map(|(attempt, _)| (attempt, ended)))
        })
    });
    let attempt = match found.await? {
        None => return problem(&visit, LinkProblem::Unknown, None),
        Some((_, true)) => return problem(&visit, LinkProblem::Used, None),
        Some((attempt, _)) => attempt,
    };
    let mut response = match is_foreign(&visit, &attempt) {
        true => exchange(&visit, &attempt, &fields.token).await?,
        false => check_mail::send_again(&visit, &attempt, true).await?,
    };
    response.headers_mut().append(header::SET_COOKIE, mailbox::opened(&visit, &attempt.email));
    Ok(response)
}

/// Sends a fresh mail for a registration of another browser.
async fn exchange(visit: &Visit, attempt: &Registration, token: &str) -> Result<Response, PageError> {
    match check_mail::ask_again(visit, attempt, true).await? {
        Ok(()) => Ok(visit.redirect_with(Notice::MailSent, "/signin")),
        Err(TooMany { text, seconds }) => {
            let error = FieldError { field: None, text };
            let page = problem_page(visit, LinkProblem::Expired, Some(token));
            let page = visit.page_with(&page, vec![error])?.status(StatusCode::TOO_MANY_REQUESTS);
            Ok(page.retry_after(Some(seconds)).into_response())
        }
    }
}
