//! Registration: a new and a known address get the same answer and cost the same work; only the mail differs.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use idp_core::account::password::WeakPassword;
use idp_core::account::registration::RegistrationRefusal;
use idp_core::secret::Secret;
use idp_core::user::{BadName, FullName};
use serde::{Deserialize, Serialize};

use crate::accounts::registration::{self, must_be_open};
use crate::flow;
use crate::http::context::RequestContext;
use crate::http::errors::PageError;
use crate::http::form::{Form, LenientQuery, Query, shown_email, with_email};
use crate::http::html::{FieldError, Page};
use crate::pages::{AppView, app_of};
use crate::text::weak_password;

#[derive(Serialize)]
struct RegisterPage {
    action: String,
    name: String,
    email: String,
    min_length: usize,
    login_url: String,
    app: Option<AppView>,
}

impl Page for RegisterPage {
    const TEMPLATE: &'static str = "pages/register.html";
    const TITLE: &'static str = "register-title";
}

#[derive(Serialize)]
struct ClosedPage {
    login_url: &'static str,
}

impl Page for ClosedPage {
    const TEMPLATE: &'static str = "pages/register_closed.html";
    const TITLE: &'static str = "register-closed-title";
}

#[derive(Deserialize)]
pub(crate) struct RegisterQuery {
    /// The flow to go on with.
    flow: Option<String>,
}

/// `GET /register`. `email` in the query is filled in.
pub(crate) async fn show(
    context: RequestContext,
    Query(query): Query<RegisterQuery>,
    LenientQuery(typed): LenientQuery,
) -> Result<Response, PageError> {
    if !context.app.config.registration {
        let page = context.page(&ClosedPage { login_url: "/signin" })?;
        return Ok(page.status(StatusCode::FORBIDDEN).into_response());
    }
    let email = typed.get("email").map(shown_email);
    let typed = Shown { name: "", email: &email.unwrap_or_default() };
    page(&context, query.flow.as_deref(), typed, Vec::new()).await
}

struct Shown<'a> {
    name: &'a str,
    email: &'a str,
}

async fn page(
    context: &RequestContext,
    flow: Option<&str>,
    typed: Shown<'_>,
    errors: Vec<FieldError>,
) -> Result<Response, PageError> {
    // Registering works even if the flow is over; the page then names no client.
    let (flow, app) = match flow::find_open(context, flow).await {
        Some((flow, known)) => (Some(flow.id), app_of(&flow.target, &known).0),
        None => (None, None),
    };
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = RegisterPage {
        action: match flow {
            Some(flow) => format!("/register?flow={flow}"),
            None => "/register".to_owned(),
        },
        name: typed.name.chars().take(200).collect(),
        email: typed.email.chars().take(254).collect(),
        min_length: context.app.config.password.min(),
        login_url: with_email(&flow.map_or("/signin".to_owned(), flow::url), typed.email),
        app,
    };
    Ok(context.page_with(&page, errors)?.status(status).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: Secret,
    #[serde(default)]
    password_confirm: Secret,
}

/// `POST /register`.
pub(crate) async fn submit(
    context: RequestContext,
    Query(query): Query<RegisterQuery>,
    Form(form): Form<RegisterForm>,
) -> Result<Response, PageError> {
    must_be_open(&context)?;
    let RegisterForm { name, email, password, password_confirm } = form;
    let typed = registration::TypedForm { name, email, password, password_confirm };
    let (name, email, checked) = registration::check(&context, typed).await?;
    match checked {
        Ok(registrant) => {
            let id = registration::register(&context, query.flow.as_deref(), registrant).await?;
            Ok(Redirect::to(&format!("/register/{id}")).into_response())
        }
        Err(refusals) => {
            let errors = refusals.iter().map(|refusal| tell(&context, refusal)).collect();
            let typed = Shown { name: &name, email: &email };
            page(&context, query.flow.as_deref(), typed, errors).await
        }
    }
}

fn tell(context: &RequestContext, refusal: &RegistrationRefusal) -> FieldError {
    let catalogue = &context.app.renderer.catalogue;
    let (field, text) = match refusal {
        RegistrationRefusal::Name(BadName::Missing) => ("name", catalogue.text("name-missing", &[])),
        RegistrationRefusal::Name(BadName::TooLong) => {
            ("name", catalogue.text("name-too-long", &[("max", FullName::LONGEST.into())]))
        }
        RegistrationRefusal::Name(BadName::Unreadable(sign)) => {
            ("name", catalogue.text("name-unreadable", &[("code", sign.code().into())]))
        }
        RegistrationRefusal::EmailMissing => ("email", catalogue.text("email-missing", &[])),
        RegistrationRefusal::EmailInvalid => ("email", catalogue.text("email-invalid", &[])),
        RegistrationRefusal::PasswordMissing => ("password", catalogue.text("password-missing", &[])),
        RegistrationRefusal::Password(weak) => ("password", weak_password(context, *weak)),
        RegistrationRefusal::ConfirmMissing => {
            ("password_confirm", catalogue.text("password-confirm-missing", &[]))
        }
        RegistrationRefusal::PasswordMismatch => {
            ("password_confirm", catalogue.text("password-mismatch", &[]))
        }
    };
    FieldError { field: Some(field), text }
}

fn weak_password(context: &RequestContext, weak: WeakPassword) -> String {
    weak_password::tell(&context.app.renderer.catalogue, weak)
}
