//! "Check your mail": where a registration waits for its address to be proven, here by the typed code.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use idp_core::account::registration::{ACTIVATION_LIFETIME, resend_wait};
use idp_core::ids::{FlowId, RegistrationId};
use idp_core::secret::Digest;
use idp_core::time::{HOUR, Timestamp};
use idp_core::typed_code::TypedCode;
use idp_store::{CodeTry, Registration, RegistrationState, StoreError, Tx};
use serde::{Deserialize, Serialize};

use crate::errors::{PageError, Reason};
use crate::form::{Form, with_email};
use crate::mail_limit::{self, Registrant};
use crate::mailbox;
use crate::pages::register::must_be_open;
use crate::pages::{activate, field_error};
use crate::render::{FieldError, Html, Page};
use crate::visit::{Notice, Visit};

#[derive(Serialize)]
struct CheckMailPage {
    email: String,
    code_action: String,
    resend_action: String,
    resend_wait: u64,
    change_url: String,
    expires_hours: u64,
}

impl Page for CheckMailPage {
    const TEMPLATE: &'static str = "pages/check_mail.html";
    const TITLE: &'static str = "check-mail-title";
}

/// Where a registration waits, and where it tells what became of it.
pub(crate) fn url(id: RegistrationId) -> String {
    format!("/register/{id}")
}

/// This browser's own registration, however it stands. Another browser learns nothing of it.
async fn own_attempt(visit: &Visit, id: &str) -> Result<(Registration, RegistrationState), PageError> {
    must_be_open(visit)?;
    let gone = || PageError::new(Reason::FLOW_EXPIRED).action("/signin", "action-sign-in");
    let id: RegistrationId = id.parse().map_err(|_| gone())?;
    let input = (id, visit.app.clock.now());
    let found = visit.app.store.read(input, |db, (id, now)| Box::pin(db.registration_and_state(*id, *now)));
    found.await?.filter(|(attempt, _)| attempt.browser == visit.visitor.browser()).ok_or_else(gone)
}

/// `GET /register/ID`.
pub(crate) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, PageError> {
    let (attempt, state) = own_attempt(&visit, &id).await?;
    match state {
        RegistrationState::Waiting => Ok(page(&visit, &attempt, None)?.into_response()),
        RegistrationState::Activated => activate::activated(&visit, &attempt).await,
        RegistrationState::Ended => {
            Err(PageError::new(Reason::REGISTRATION_USED).action("/signin", "action-sign-in"))
        }
        RegistrationState::Expired => Err(expired(&attempt)),
    }
}

/// The way to register again, with the address that was typed.
fn expired(attempt: &Registration) -> PageError {
    let again = with_email("/register", attempt.email.as_str());
    PageError::new(Reason::REGISTRATION_EXPIRED).action(again, "action-register")
}

fn page(visit: &Visit, attempt: &Registration, error: Option<FieldError>) -> Result<Html, PageError> {
    let flow = attempt.flow_id.map(|flow: FlowId| format!("?flow={flow}")).unwrap_or_default();
    let page = CheckMailPage {
        email: attempt.email.to_string(),
        code_action: format!("{}/code", url(attempt.id)),
        resend_action: format!("{}/resend", url(attempt.id)),
        resend_wait: resend_wait(attempt.mailed_at, visit.app.clock.now()),
        change_url: with_email(&format!("/register{flow}"), attempt.email.as_str()),
        expires_hours: ACTIVATION_LIFETIME.as_secs() / HOUR.as_secs(),
    };
    visit.page_with(&page, error.into_iter().collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeForm {
    #[serde(default)]
    code: String,
}

/// `POST /register/ID/code`.
pub(crate) async fn submit_code(
    visit: Visit,
    Path(id): Path<String>,
    Form(form): Form<CodeForm>,
) -> Result<Response, PageError> {
    let (attempt, state) = own_attempt(&visit, &id).await?;
    let own_page = || Ok(Redirect::to(&url(attempt.id)).into_response());
    if state != RegistrationState::Waiting {
        return own_page();
    }
    let wrong = |key: &str| {
        let error = field_error(&visit, "code", key);
        let page = page(&visit, &attempt, Some(error))?;
        Ok(page.status(StatusCode::UNPROCESSABLE_ENTITY).into_response())
    };
    if form.code.trim().is_empty() {
        return wrong("code-missing");
    }
    let Some(code) = TypedCode::of_typed(&form.code) else { return wrong("code-wrong") };
    match try_code(&visit, attempt.id, &code).await? {
        CodeTry::Right => {
            visit.app.mailer.wake();
            own_page()
        }
        CodeTry::Wrong => wrong("code-wrong"),
        CodeTry::NoneLeft => wrong("code-too-many-tries"),
    }
}

/// Tries a code and, where it is right, activates, in one write. The registration's page tells what came of it.
async fn try_code(visit: &Visit, id: RegistrationId, code: &TypedCode) -> Result<CodeTry, PageError> {
    let tag = code.tag(&visit.app.keys.load().mac, &id.to_string());
    let input = (id, tag, visit.visitor.browser(), activate::record(visit, id));
    let tried = visit
        .app
        .store
        .write(input, |tx, (id, tag, browser, record)| {
            Box::pin(async move {
                let tried = tx.try_registration_code(*id, tag, record.at).await?;
                if tried == CodeTry::Right {
                    activate::activate(tx, *id, browser, record).await?;
                }
                Ok(tried)
            })
        })
        .await?;
    Ok(tried)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResendForm {}

/// `POST /register/ID/resend`: asks for the mail again.
pub(crate) async fn resend(
    visit: Visit,
    Path(id): Path<String>,
    Form(ResendForm {}): Form<ResendForm>,
) -> Result<Response, PageError> {
    match own_attempt(&visit, &id).await? {
        (attempt, RegistrationState::Waiting) => {
            let opened_mail = mailbox::was_opened(&visit, &attempt.email);
            send_again(&visit, &attempt, opened_mail).await
        }
        (attempt, _) => Ok(Redirect::to(&url(attempt.id)).into_response()),
    }
}

/// Sends the mail again and says so, or says why not. `opened_mail` as in [`ask_again`].
pub(crate) async fn send_again(
    visit: &Visit,
    attempt: &Registration,
    opened_mail: bool,
) -> Result<Response, PageError> {
    match ask_again(visit, attempt, opened_mail).await? {
        Ok(()) => Ok(visit.redirect_with(Notice::MailSent, &url(attempt.id))),
        Err(TooMany { text, seconds }) => {
            let error = FieldError { field: None, text };
            let page = page(visit, attempt, Some(error))?.status(StatusCode::TOO_MANY_REQUESTS);
            Ok(page.retry_after(Some(seconds)).into_response())
        }
    }
}

/// Why no mail is sent again, and for how long.
pub(crate) struct TooMany {
    pub(crate) text: String,
    pub(crate) seconds: u64,
}

/// Asks for the mail again. What comes of it depends on what this registration asked for itself, so it is the same for
/// every address; whether the address had enough mails is told to nobody. `opened_mail`: a link mailed to it was opened
/// in this browser.
pub(crate) async fn ask_again(
    visit: &Visit,
    attempt: &Registration,
    opened_mail: bool,
) -> Result<Result<(), TooMany>, PageError> {
    let now = visit.app.clock.now();
    let from = AskedFrom { browser: visit.visitor.browser(), opened_mail };
    let asked = visit
        .app
        .store
        .write((attempt.clone(), from, now), |tx, (attempt, from, now)| {
            Box::pin(ask(tx, attempt, from, *now))
        })
        .await?;
    let words = &visit.app.renderer.words;
    Ok(match asked {
        Asked::Sent => {
            visit.app.mailer.wake();
            Ok(())
        }
        Asked::TooSoon => {
            let seconds = resend_wait(attempt.mailed_at, now).max(1);
            Err(TooMany { text: words.text("mail-wait", &[("seconds", seconds.into())]), seconds })
        }
        Asked::TooOften { until } => {
            let minutes = now.minutes_until(until);
            Err(TooMany {
                text: words.text("mail-limit", &[("minutes", minutes.into())]),
                seconds: minutes * 60,
            })
        }
    })
}

/// What came of asking for a mail.
enum Asked {
    Sent,
    TooSoon,
    TooOften { until: Timestamp },
}

/// The browser that asks for a mail.
struct AskedFrom {
    browser: Digest,
    opened_mail: bool,
}

async fn ask(
    tx: &mut Tx,
    attempt: &Registration,
    from: &AskedFrom,
    now: Timestamp,
) -> Result<Asked, StoreError> {
    if let Some(until) = mail_limit::closed_until(tx, attempt.id, now).await? {
        return Ok(Asked::TooOften { until });
    }
    if !tx.registration_mailed(attempt.id, now).await? {
        return Ok(Asked::TooSoon);
    }
    // Asked for every address: one that was free when it was registered may have an account by now.
    let owner = tx.credentials(&attempt.email).await?.map(|credentials| credentials.user);
    tx.forget_registration_code(attempt.id).await?;
    let Registration { id, email, name, .. } = attempt;
    let registrant =
        Registrant { id: *id, email, name, browser: &from.browser, opened_mail: from.opened_mail };
    mail_limit::enqueue(tx, registrant, owner.as_ref(), now).await?;
    Ok(Asked::Sent)
}
