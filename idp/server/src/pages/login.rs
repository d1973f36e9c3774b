//! The sign-in page. A try is counted before the password is checked, the work is the same with and without an account,
//! and the account's state is revealed only after the right password.

use axum::extract::Path;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use idp_core::flow::{FlowTarget, SignInReason, Step};
use idp_core::redirect_uri::RedirectUri;
use idp_core::secret::Secret;
use idp_core::user::Email;
use idp_store::Flow;
use serde::{Deserialize, Serialize};

use crate::accounts::proven_registration;
use crate::accounts::sign_in::{self, LOCKED_RETRY_AFTER, SignInOutcome};
use crate::flow::{self, ClientAndConsent, FlowState, Via};
use crate::http::browser::Notice;
use crate::http::context::RequestContext;
use crate::http::cookies::Cookie;
use crate::http::errors::PageError;
use crate::http::form::{Form, LenientQuery, shown_email, with_email};
use crate::http::html::{FieldError, Html, Page};
use crate::pages::{AppView, app_of, field_error};

#[derive(Serialize)]
struct LoginPage {
    action: String,
    email: String,
    app: Option<AppView>,
    confirm_identity: bool,
    switch_url: Option<String>,
    register_url: Option<String>,
    ended: Option<EndOfSession>,
    unactivated: Option<Unactivated>,
}

/// When a session ends by itself. Which of them it was stays unsaid: nobody may learn what was behind a dead cookie.
#[derive(Serialize)]
struct EndOfSession {
    idle_minutes: u64,
    absolute_hours: u64,
}

#[derive(Serialize)]
struct Unactivated {
    action: String,
}

impl Page for LoginPage {
    const TEMPLATE: &'static str = "pages/login.html";
    const TITLE: &'static str = "login-title";
}

/// The state in which the form is shown.
#[derive(Default)]
pub(crate) struct FormState {
    /// The address to fill in; without one, the client's `login_hint`.
    pub(crate) email: Option<String>,
    /// "Please confirm it's you."
    pub(crate) confirm: bool,
    /// Where to request the activation mail again, after the right password.
    pub(crate) resend: Option<String>,
    /// What to correct.
    pub(crate) errors: Vec<FieldError>,
}

/// `GET /signin`: starts a flow to the account page. `email` in the query is filled in. HEAD starts none: it only says
/// that people can sign in here.
pub(crate) async fn begin(
    context: RequestContext,
    method: Method,
    LenientQuery(query): LenientQuery,
) -> Result<Response, PageError> {
    if method == Method::HEAD && context.browser.signed_in.is_none() {
        return Ok(StatusCode::OK.into_response());
    }
    flow::start(&context, FlowTarget::Account, ClientAndConsent::default(), query.get("email")).await
}

/// The form.
pub(crate) fn page(
    context: &RequestContext,
    flow: &Flow,
    known: &ClientAndConsent,
    filled: FormState,
) -> Result<Html, PageError> {
    let (app, uri) = app_of(&flow.target, known);
    let hint = match &flow.target {
        FlowTarget::Client(request) => request.login_hint.as_deref(),
        FlowTarget::Account => None,
    };
    let open = context.app.config.registration;
    let lifetime = &context.app.config.session;
    let email = filled.email.or_else(|| hint.map(shown_email)).unwrap_or_default();
    let ended = context.browser.session_ended() && filled.errors.is_empty();
    let page = LoginPage {
        action: format!("{}/login", flow::url(flow.id)),
        app,
        confirm_identity: filled.confirm,
        switch_url: filled.confirm.then(|| format!("{}?switch=1", flow::url(flow.id))),
        register_url: open.then(|| with_email(&format!("/register?flow={}", flow.id), &email)),
        email,
        ended: ended.then_some(EndOfSession {
            idle_minutes: lifetime.idle.as_secs() / 60,
            absolute_hours: lifetime.absolute.as_secs() / 3600,
        }),
        unactivated: filled.resend.map(|action| Unactivated { action }),
    };
    Ok(context.page_with(&page, filled.errors)?.form_target(uri.and_then(RedirectUri::form_source)))
}

/// The address of somebody who is signed in and must sign in again: the page says so and keeps the address.
pub(crate) fn asked_again(context: &RequestContext, flow: &Flow, known: &ClientAndConsent) -> Option<String> {
    let signed_in = context.browser.signed_in.as_ref()?;
    match flow::decide(context, flow, known, None) {
        Step::SignIn(SignInReason::Prompt | SignInReason::TooOld) => Some(signed_in.user.email.to_string()),
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginForm {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: Secret,
}

/// `POST /flow/ID/login`.
pub(crate) async fn submit(
    context: RequestContext,
    Path(id): Path<String>,
    Form(form): Form<LoginForm>,
) -> Result<Response, PageError> {
    let flow = match flow::find(&context, &id).await? {
        FlowState::Open(flow) => flow,
        FlowState::Over(ended) => return flow::replay(&context, &ended, Via::Form(None)).await,
    };
    let errors = missing(&context, &form);
    let Some(email) = Email::parse(&form.email).ok().filter(|_| errors.is_empty()) else {
        return incomplete(&context, &flow, form.email, errors).await;
    };
    match sign_in::sign_in(&context, &email, form.password).await? {
        SignInOutcome::SignedIn(session) => Ok(signed_in(&context, &flow, &session)),
        SignInOutcome::Wrong => refuse(&context, &flow, form.email, RefusedLogin::wrong(&context)).await,
        SignInOutcome::Throttled { minutes } => {
            refuse(&context, &flow, form.email, RefusedLogin::throttled(&context, minutes)).await
        }
        SignInOutcome::LockedForGood => {
            refuse(
                &context,
                &flow,
                form.email,
                RefusedLogin {
                    retry_after: Some(LOCKED_RETRY_AFTER),
                    ..RefusedLogin::of(&context, "login-closed", StatusCode::TOO_MANY_REQUESTS)
                },
            )
            .await
        }
        SignInOutcome::Deactivated => {
            refuse(
                &context,
                &flow,
                form.email,
                RefusedLogin::of(&context, "login-deactivated", StatusCode::FORBIDDEN),
            )
            .await
        }
        SignInOutcome::Changed => {
            let refused = RefusedLogin::of(&context, "login-changed", StatusCode::CONFLICT);
            refuse(&context, &flow, form.email, refused).await
        }
        SignInOutcome::Unactivated(registration) => {
            let open = context.app.config.registration;
            let key = if open { "login-unactivated" } else { "login-unactivated-closed" };
            let refused = RefusedLogin::of(&context, key, StatusCode::FORBIDDEN);
            let resend = open.then(|| format!("/register/{registration}/resend"));
            let mut answer = refuse(&context, &flow, form.email, RefusedLogin { resend, ..refused }).await?;
            // From now on this browser may go on with the registration, beside the one that made it.
            let cookie = proven_registration::proved(&context, registration);
            answer.headers_mut().append(header::SET_COOKIE, cookie);
            Ok(answer)
        }
    }
}

/// What is missing or malformed, so that nothing can be tried yet.
fn missing(context: &RequestContext, form: &LoginForm) -> Vec<FieldError> {
    let email = match Email::parse(&form.email) {
        Ok(_) => None,
        Err(_) if form.email.trim().is_empty() => Some("email-missing"),
        Err(_) => Some("email-invalid"),
    };
    let password = form.password.expose().is_empty().then_some("password-missing");
    let email = email.map(|key| field_error(context, "email", key));
    email.into_iter().chain(password.map(|key| field_error(context, "password", key))).collect()
}

async fn incomplete(
    context: &RequestContext,
    flow: &Flow,
    email: String,
    errors: Vec<FieldError>,
) -> Result<Response, PageError> {
    let known = flow::load(context, &flow.target).await?;
    let confirm = asked_again(context, flow, &known).is_some_and(|asked| asked == email);
    let filled = FormState { email: Some(email), confirm, errors, ..FormState::default() };
    Ok(page(context, flow, &known, filled)?.status(StatusCode::UNPROCESSABLE_ENTITY).into_response())
}

/// Sets the cookie of the new session, and makes the browser's own cookie last, so that it stays a known browser.
fn signed_in(context: &RequestContext, flow: &Flow, session: &Secret) -> Response {
    let url = flow::url(flow.id);
    let mut response = match flow.target {
        FlowTarget::Account => context.redirect_with(Notice::SignedIn, &url),
        FlowTarget::Client(_) => Redirect::to(&url).into_response(),
    };
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, Cookie::Session.set(session, None, &context.app.config));
    headers.append(header::SET_COOKIE, context.browser.keep_cookie(&context.app));
    response
}

struct RefusedLogin {
    text: String,
    /// The field to correct; `None` if no other input would help.
    field: Option<&'static str>,
    status: StatusCode,
    retry_after: Option<u64>,
    resend: Option<String>,
}

impl RefusedLogin {
    fn of(context: &RequestContext, key: &str, status: StatusCode) -> Self {
        let args = [("brand", context.app.config.brand.as_str().into())];
        let text = context.app.renderer.catalogue.text(key, &args);
        Self { text, field: None, status, retry_after: None, resend: None }
    }

    /// The same text for an unknown address and a wrong password, whatever the state of the account.
    fn wrong(context: &RequestContext) -> Self {
        Self { field: Some("password"), ..Self::of(context, "login-wrong", StatusCode::UNAUTHORIZED) }
    }

    fn throttled(context: &RequestContext, minutes: u64) -> Self {
        let text = context.app.renderer.catalogue.text("login-throttled", &[("minutes", minutes.into())]);
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { text, field: None, status, retry_after: Some(minutes * 60), resend: None }
    }
}

async fn refuse(
    context: &RequestContext,
    flow: &Flow,
    email: String,
    refused: RefusedLogin,
) -> Result<Response, PageError> {
    let known = flow::load(context, &flow.target).await?;
    let errors = vec![FieldError { field: refused.field, text: refused.text }];
    let confirm = asked_again(context, flow, &known).is_some_and(|asked| asked == email);
    let filled = FormState { email: Some(email), confirm, resend: refused.resend, errors };
    let page = page(context, flow, &known, filled)?;
    Ok(page.status(refused.status).retry_after(refused.retry_after).into_response())
}
