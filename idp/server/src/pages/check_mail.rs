//! "Check your mail": here a registration waits until its address is proven, by the link or by the code typed here.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use idp_core::account::registration::{resend_wait, whole_hours};
use idp_core::ids::{FlowId, RegistrationId};
use idp_core::typed_code::TypedCode;
use idp_store::{CodeTry, Registration, RegistrationState};
use serde::{Deserialize, Serialize};

use crate::accounts::registration::{self, MailAgain, must_be_open};
use crate::accounts::{activation, known_mailbox};
use crate::http::browser::Notice;
use crate::http::context::RequestContext;
use crate::http::errors::{About, PageError, Reason};
use crate::http::form::{Form, with_email};
use crate::http::html::{FieldError, Html, Page};
use crate::pages::{activated, field_error};

#[derive(Serialize)]
struct CheckMailPage {
    email: String,
    code_action: String,
    resend_action: String,
    resend_wait: u64,
    change_url: String,
    /// How long link and code still work, in whole hours.
    expires_hours: u64,
}

impl Page for CheckMailPage {
    const TEMPLATE: &'static str = "pages/check_mail.html";
    const TITLE: &'static str = "check-mail-title";
}

/// The page where a registration waits, and which later shows what became of it.
pub(crate) fn url(id: RegistrationId) -> String {
    format!("/register/{id}")
}

/// This browser's registration, in whatever state.
async fn own(context: &RequestContext, id: &str) -> Result<(Registration, RegistrationState), PageError> {
    must_be_open(context)?;
    let gone = || PageError::new(Reason::FLOW_EXPIRED).action("/signin", "action-sign-in");
    // The text is not logged: what is no ID may be a secret.
    let id: RegistrationId =
        id.parse().map_err(|_| gone().detail("the path has something else in place of an ID"))?;
    registration::own(context, id).await?.ok_or_else(|| gone().about(About::id("registration", &id)))
}

/// `GET /register/ID`.
pub(crate) async fn show(context: RequestContext, Path(id): Path<String>) -> Result<Response, PageError> {
    let (registration, state) = own(&context, &id).await?;
    match state {
        RegistrationState::Waiting => Ok(page(&context, &registration, None)?.into_response()),
        RegistrationState::Activated => activated::show(&context, &registration).await,
        RegistrationState::Ended => {
            let used = PageError::new(Reason::REGISTRATION_USED);
            Err(match &context.browser.signed_in {
                Some(_) => used.action("/account", "action-account"),
                None => used.action("/signin", "action-sign-in"),
            })
        }
        RegistrationState::Expired => Err(expired(&registration)),
    }
}

/// The error page, with a link to register the same address again.
fn expired(registration: &Registration) -> PageError {
    let again = with_email("/register", registration.email.as_str());
    PageError::new(Reason::REGISTRATION_EXPIRED).action(again, "action-register")
}

fn page(
    context: &RequestContext,
    registration: &Registration,
    error: Option<FieldError>,
) -> Result<Html, PageError> {
    let flow = registration.flow_id.map(|flow: FlowId| format!("?flow={flow}")).unwrap_or_default();
    let now = context.app.clock.now();
    let page = CheckMailPage {
        email: registration.email.to_string(),
        code_action: format!("{}/code", url(registration.id)),
        resend_action: format!("{}/resend", url(registration.id)),
        resend_wait: resend_wait(registration.mailed_at, now),
        change_url: with_email(&format!("/register{flow}"), registration.email.as_str()),
        expires_hours: whole_hours(registration.expires_at.since(now)),
    };
    context.page_with(&page, error.into_iter().collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeForm {
    #[serde(default)]
    code: String,
}

/// `POST /register/ID/code`.
pub(crate) async fn submit_code(
    context: RequestContext,
    Path(id): Path<String>,
    Form(form): Form<CodeForm>,
) -> Result<Response, PageError> {
    let (registration, state) = own(&context, &id).await?;
    let own_page = || Ok(Redirect::to(&url(registration.id)).into_response());
    if state != RegistrationState::Waiting {
        return own_page();
    }
    let wrong = |key: &str| {
        let error = field_error(&context, "code", key);
        let page = page(&context, &registration, Some(error))?;
        Ok(page.status(StatusCode::UNPROCESSABLE_ENTITY).into_response())
    };
    if form.code.trim().is_empty() {
        return wrong("code-missing");
    }
    let Some(code) = TypedCode::of_typed(&form.code) else { return wrong("code-wrong") };
    match activation::try_code(&context, registration.id, &code).await? {
        CodeTry::Right => {
            context.app.mailer.wake();
            own_page()
        }
        CodeTry::Wrong => wrong("code-wrong"),
        CodeTry::NoneLeft => wrong("code-too-many-tries"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResendForm {}

/// `POST /register/ID/resend`: requests the mail again.
pub(crate) async fn resend(
    context: RequestContext,
    Path(id): Path<String>,
    Form(ResendForm {}): Form<ResendForm>,
) -> Result<Response, PageError> {
    match own(&context, &id).await? {
        (registration, RegistrationState::Waiting) => {
            let opened_mail = known_mailbox::was_opened(&context, &registration.email);
            send_again(&context, &registration, opened_mail).await
        }
        (registration, _) => Ok(Redirect::to(&url(registration.id)).into_response()),
    }
}

/// Sends the mail again and says so, or says why not. `opened_mail` as in [`registration::mail_again`].
pub(crate) async fn send_again(
    context: &RequestContext,
    registration: &Registration,
    opened_mail: bool,
) -> Result<Response, PageError> {
    match no_mail(context, &registration::mail_again(context, registration, opened_mail).await?) {
        None => Ok(context.redirect_with(Notice::MailSent, &url(registration.id))),
        Some((text, seconds)) => {
            let error = FieldError { field: None, text };
            let page = page(context, registration, Some(error))?.status(StatusCode::TOO_MANY_REQUESTS);
            Ok(page.retry_after(Some(seconds)).into_response())
        }
    }
}

/// Why no mail was sent again, and after how many seconds to ask once more.
pub(crate) fn no_mail(context: &RequestContext, asked: &MailAgain) -> Option<(String, u64)> {
    let catalogue = &context.app.renderer.catalogue;
    match *asked {
        MailAgain::Sent => None,
        MailAgain::TooSoon { seconds } => {
            Some((catalogue.text("mail-wait", &[("seconds", seconds.into())]), seconds))
        }
        MailAgain::TooOften { minutes } => {
            Some((catalogue.text("mail-limit", &[("minutes", minutes.into())]), minutes * 60))
        }
    }
}
