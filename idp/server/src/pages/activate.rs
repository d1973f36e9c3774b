//! The link in the activation mail. It opens a page, and only the button there activates, because mail scanners open
//! links too.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use idp_core::ids::RegistrationId;
use idp_core::secret::Secret;
use idp_store::{Registration, RegistrationState};
use serde::{Deserialize, Serialize};

use crate::accounts::activation::{self, LinkOutcome, LinkState, LinkToken};
use crate::accounts::known_mailbox;
use crate::accounts::proven_registration;
use crate::accounts::registration::{self, must_be_open};
use crate::accounts::sign_in::{self, LOCKED_RETRY_AFTER, SignInOutcome};
use crate::http::browser::Notice;
use crate::http::context::RequestContext;
use crate::http::errors::PageError;
use crate::http::form::{Form, Query, with_email};
use crate::http::html::{FieldError, Page};
use crate::pages::{check_mail, field_error};

#[derive(Serialize)]
struct ActivatePage<'a> {
    action: &'static str,
    token: &'a str,
    email: String,
    /// Whether to ask for the password: this browser did not register, and the password was not proven in it.
    foreign: bool,
    register_url: String,
}

impl Page for ActivatePage<'_> {
    const TEMPLATE: &'static str = "pages/activate.html";
    const TITLE: &'static str = "activate-title";
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
    /// Whether somebody is signed in: the page leads to their account instead of asking them to sign in.
    signed_in: bool,
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

/// The page for a link that does not work. With `token`, it offers to exchange the link for a fresh mail.
fn problem(context: &RequestContext, kind: LinkProblem, token: Option<&str>) -> Result<Response, PageError> {
    Ok(context.page(&problem_page(context, kind, token))?.status(StatusCode::BAD_REQUEST).into_response())
}

fn problem_page<'a>(
    context: &RequestContext,
    kind: LinkProblem,
    token: Option<&'a str>,
) -> LinkProblemPage<'a> {
    LinkProblemPage {
        kind,
        resend_action: token.map(|_| "/activate/resend"),
        token,
        login_url: "/signin",
        register_url: context.app.config.registration.then_some("/register"),
        signed_in: context.browser.signed_in.is_some(),
    }
}

#[derive(Deserialize)]
pub(crate) struct TokenQuery {
    #[serde(default)]
    token: String,
}

/// `GET /activate?token=…`: shows the button; nothing is consumed.
pub(crate) async fn show(
    context: RequestContext,
    Query(fields): Query<TokenQuery>,
) -> Result<Response, PageError> {
    must_be_open(&context)?;
    let Some(token) = LinkToken::of_presented(&fields.token) else {
        return problem(&context, LinkProblem::Unknown, None);
    };
    match activation::find_link(&context, token).await? {
        LinkState::Open(registration) => question(&context, &fields.token, &registration, None),
        LinkState::Used(id) => used(&context, id).await,
        // Without its registration there is nothing to send a new link for.
        LinkState::Expired(kept) => {
            problem(&context, LinkProblem::Expired, kept.map(|_| fields.token.as_str()))
        }
        LinkState::Unknown => problem(&context, LinkProblem::Unknown, None),
    }
}

/// Why the link cannot be used yet, and what to correct.
struct Correction {
    status: StatusCode,
    error: FieldError,
    retry_after: Option<u64>,
}

/// The page with the button. It also sets the known-mailbox cookie: whoever has the link reads the address's mail.
fn question(
    context: &RequestContext,
    token: &str,
    registration: &Registration,
    refused: Option<Correction>,
) -> Result<Response, PageError> {
    let page = ActivatePage {
        action: "/activate",
        token,
        email: registration.email.to_string(),
        foreign: activation::is_foreign(context, registration),
        register_url: with_email("/register", registration.email.as_str()),
    };
    let mut response = match refused {
        None => context.page(&page)?.into_response(),
        Some(Correction { status, error, retry_after }) => {
            let page = context.page_with(&page, vec![error])?;
            page.status(status).retry_after(retry_after).into_response()
        }
    };
    response.headers_mut().append(header::SET_COOKIE, known_mailbox::opened(context, &registration.email));
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActivateForm {
    #[serde(default)]
    token: String,
    #[serde(default)]
    password: Secret,
}

/// Whether the person proved by the password that they registered. Inner `Err`: they must, but did not; this response
/// says so.
async fn proof(
    context: &RequestContext,
    token: &LinkToken,
    form: &ActivateForm,
) -> Result<Result<bool, Response>, PageError> {
    let Some(registration) = activation::registration_to_activate(context, token).await? else {
        return Ok(Ok(false));
    };
    if !activation::is_foreign(context, &registration) {
        return Ok(Ok(proven_registration::was_proved(context, registration.id)));
    }
    let ask = |refused| question(context, &form.token, &registration, Some(refused)).map(Err);
    let refuse = |status, error| ask(Correction { status, error, retry_after: None });
    let later = |text, seconds| {
        let (status, error) = (StatusCode::TOO_MANY_REQUESTS, FieldError { field: None, text });
        ask(Correction { status, error, retry_after: Some(seconds) })
    };
    let catalogue = &context.app.renderer.catalogue;
    if form.password.expose().is_empty() {
        return refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            field_error(context, "password", "password-missing"),
        );
    }
    match sign_in::prove_registration(context, registration.clone(), form.password.clone()).await? {
        SignInOutcome::Unactivated(_) => Ok(Ok(true)),
        SignInOutcome::Throttled { minutes } => {
            later(catalogue.text("login-throttled", &[("minutes", minutes.into())]), minutes * 60)
        }
        SignInOutcome::LockedForGood => {
            let brand = [("brand", context.app.config.brand.as_str().into())];
            later(catalogue.text("login-closed", &brand), LOCKED_RETRY_AFTER)
        }
        SignInOutcome::SignedIn(_)
        | SignInOutcome::Wrong
        | SignInOutcome::Deactivated
        | SignInOutcome::Changed => {
            refuse(StatusCode::UNAUTHORIZED, field_error(context, "password", "activate-wrong"))
        }
    }
}

/// `POST /activate`: consumes the link and creates the account, in one write.
pub(crate) async fn submit(
    context: RequestContext,
    Form(form): Form<ActivateForm>,
) -> Result<Response, PageError> {
    must_be_open(&context)?;
    let Some(token) = LinkToken::of_presented(&form.token) else {
        return problem(&context, LinkProblem::Unknown, None);
    };
    let proven = match proof(&context, &token, &form).await? {
        Ok(proven) => proven,
        Err(refusal) => return Ok(refusal),
    };
    match activation::use_link(&context, token.clone(), proven).await? {
        LinkOutcome::Activated(id) => done(&context, id).await,
        LinkOutcome::Used(id) => used(&context, id).await,
        LinkOutcome::Expired => {
            let kept = matches!(activation::find_link(&context, token).await?, LinkState::Expired(Some(_)));
            problem(&context, LinkProblem::Expired, kept.then_some(form.token.as_str()))
        }
        LinkOutcome::Unknown => problem(&context, LinkProblem::Unknown, None),
    }
}

/// After activation, redirects to the registration's page if it is this browser's, otherwise to a sign-in page that
/// says so, or to the account of whoever is signed in. Because it is a redirect, a reload activates nothing and loses nothing.
async fn done(context: &RequestContext, id: RegistrationId) -> Result<Response, PageError> {
    context.app.mailer.wake();
    match registration::own(context, id).await? {
        Some(_) => Ok(Redirect::to(&check_mail::url(id)).into_response()),
        None if context.browser.signed_in.is_some() => {
            Ok(context.redirect_with(Notice::OtherActivated, "/account"))
        }
        None => Ok(context.redirect_with(Notice::Activated, "/signin")),
    }
}

/// The response to a link whose registration has ended. A second click on the button, or the link opened once more where
/// it was used, leads to the same page as the first.
async fn used(context: &RequestContext, id: RegistrationId) -> Result<Response, PageError> {
    match registration::own(context, id).await? {
        Some((_, RegistrationState::Activated)) => Ok(Redirect::to(&check_mail::url(id)).into_response()),
        _ => problem(context, LinkProblem::Used, None),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResendForm {
    #[serde(default)]
    token: String,
}

/// `POST /activate/resend`: even an expired link proves that its holder reads the mailbox, so this requests a fresh
/// mail and sets the known-mailbox cookie. The registration stays with its own browser.
pub(crate) async fn resend(
    context: RequestContext,
    Form(fields): Form<ResendForm>,
) -> Result<Response, PageError> {
    must_be_open(&context)?;
    let Some(token) = LinkToken::of_presented(&fields.token) else {
        return problem(&context, LinkProblem::Unknown, None);
    };
    let registration = match activation::find_link(&context, token).await? {
        LinkState::Open(registration) | LinkState::Expired(Some(registration)) => registration,
        LinkState::Used(id) => return used(&context, id).await,
        LinkState::Expired(None) | LinkState::Unknown => {
            return problem(&context, LinkProblem::Unknown, None);
        }
    };
    let mut response = match activation::is_foreign(&context, &registration) {
        true => exchange(&context, &registration, &fields.token).await?,
        false => check_mail::send_again(&context, &registration, true).await?,
    };
    response.headers_mut().append(header::SET_COOKIE, known_mailbox::opened(&context, &registration.email));
    Ok(response)
}

/// Sends a fresh mail for a registration of another browser.
async fn exchange(
    context: &RequestContext,
    registration: &Registration,
    token: &str,
) -> Result<Response, PageError> {
    match check_mail::no_mail(context, &registration::mail_again(context, registration, true).await?) {
        None => Ok(context.redirect_with(Notice::MailSent, "/signin")),
        Some((text, seconds)) => {
            let error = FieldError { field: None, text };
            let page = problem_page(context, LinkProblem::Expired, Some(token));
            let page = context.page_with(&page, vec![error])?.status(StatusCode::TOO_MANY_REQUESTS);
            Ok(page.retry_after(Some(seconds)).into_response())
        }
    }
}
