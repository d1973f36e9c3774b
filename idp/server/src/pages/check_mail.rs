//! "Check your mail": where a registration waits for its address to be proven, here by the typed code.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use idp_core::account::registration::{ACTIVATION_LIFETIME, resend_wait};
use idp_core::ids::{FlowId, RegistrationId};
use idp_core::time::HOUR;
use idp_core::typed_code::TypedCode;
use idp_store::{Activation, Attempt};
use serde::{Deserialize, Serialize};

use crate::errors::{PageError, Reason};
use crate::form::Form;
use crate::mail_limit::{self, Registrant};
use crate::pages::register::must_be_open;
use crate::pages::{activate, field_error};
use crate::render::{FieldError, Page};
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

/// This browser's own registration, while it waits.
async fn own_attempt(visit: &Visit, id: &str) -> Result<Attempt, PageError> {
    must_be_open(visit)?;
    let gone = || PageError::new(Reason::FLOW_EXPIRED).action("/signin", "action-sign-in");
    let id: RegistrationId = id.parse().map_err(|_| gone())?;
    let now = visit.app.clock.now();
    let attempt = visit.app.store.read((id, now), |db, (id, now)| Box::pin(db.attempt(*id, *now))).await?;
    attempt.filter(|attempt| attempt.browser == visit.visitor.browser()).ok_or_else(gone)
}

/// `GET /register/ID`.
pub(crate) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, PageError> {
    let attempt = own_attempt(&visit, &id).await?;
    page(&visit, &attempt, Vec::new())
}

fn page(visit: &Visit, attempt: &Attempt, errors: Vec<FieldError>) -> Result<Response, PageError> {
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let flow = attempt.flow_id.map(|flow: FlowId| format!("?flow={flow}")).unwrap_or_default();
    let page = CheckMailPage {
        email: attempt.email.to_string(),
        code_action: format!("/register/{}/code", attempt.id),
        resend_action: format!("/register/{}/resend", attempt.id),
        resend_wait: resend_wait(attempt.mailed_at, visit.app.clock.now()),
        change_url: format!("/register{flow}"),
        expires_hours: ACTIVATION_LIFETIME.as_secs() / HOUR.as_secs(),
    };
    Ok(visit.page_with(&page, errors)?.status(status).into_response())
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
    let attempt = own_attempt(&visit, &id).await?;
    if form.code.trim().is_empty() {
        return page(&visit, &attempt, vec![field_error(&visit, "code", "code-missing")]);
    }
    let Some(code) = TypedCode::of_typed(&form.code) else {
        return page(&visit, &attempt, vec![field_error(&visit, "code", "code-wrong")]);
    };
    let tag = code.tag(&visit.app.keys.load().mac, &attempt.id.to_string());
    let input = (attempt.id, tag, visit.visitor.browser(), activate::record(&visit, attempt.id));
    let activation = visit
        .app
        .store
        .write(input, |tx, (id, tag, browser, record)| {
            Box::pin(async move {
                match tx.try_attempt_code(*id, tag, record.at).await? {
                    true => activate::activate(tx, *id, browser, record).await.map(Some),
                    false => Ok(None),
                }
            })
        })
        .await?;
    match activation {
        Some(Activation::Activated(_, flow)) => activate::done(&visit, flow).await,
        Some(Activation::AlreadyUsed | Activation::Unknown) => Err(PageError::new(Reason::FLOW_EXPIRED)),
        None => page(&visit, &attempt, vec![field_error(&visit, "code", "code-wrong")]),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResendForm {}

/// `POST /register/ID/resend`: asks for the mail again; the answer is the same whether one is sent or not.
pub(crate) async fn resend(
    visit: Visit,
    Path(id): Path<String>,
    Form(ResendForm {}): Form<ResendForm>,
) -> Result<Response, PageError> {
    let attempt = own_attempt(&visit, &id).await?;
    send_again(&visit, &attempt).await?;
    Ok(visit.redirect_with(Notice::MailSent, &format!("/register/{}", attempt.id)))
}

/// Enqueues the attempt's mail once more: for a known address, the owner's.
pub(crate) async fn send_again(visit: &Visit, attempt: &Attempt) -> Result<(), PageError> {
    let now = visit.app.clock.now();
    visit
        .app
        .store
        .write((attempt.clone(), now), |tx, (attempt, now)| {
            Box::pin(async move {
                let owner = match attempt.known_address {
                    false => None,
                    true => tx.credentials(&attempt.email).await?.map(|credentials| credentials.user),
                };
                tx.attempt_mailed(attempt.id, *now).await?;
                let registrant = Registrant { id: attempt.id, email: &attempt.email, name: &attempt.name };
                mail_limit::enqueue(tx, registrant, owner.as_ref(), *now).await
            })
        })
        .await?;
    visit.app.mailer.wake();
    Ok(())
}
