//! Registering: a new and a known address get the same answer and cost the same work; only the mail differs.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use idp_core::account::password::{self, HashMemory, PasswordHash, WeakPassword};
use idp_core::account::registration::{self, Registration, RegistrationForm, RegistrationRefusal};
use idp_core::audit::{Actor, AuditEvent, AuditRecord};
use idp_core::ids::{FlowId, RegistrationId};
use idp_core::secret::Secret;
use idp_core::user::{BadName, Email, FullName};
use idp_store::{NewRegistration, StoreError, Tx};
use serde::{Deserialize, Serialize};

use crate::errors::{PageError, Reason};
use crate::flow;
use crate::form::{Form, Query, shown_email, with_email};
use crate::hasher::HashError;
use crate::lanes::Lane;
use crate::mail_limit::{self, Registrant};
use crate::mailbox;
use crate::pages::{AppView, app_of};
use crate::password_words;
use crate::render::{FieldError, Page};
use crate::visit::Visit;

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
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterQuery {
    /// The walk to go on with.
    flow: Option<String>,
    /// An address to fill in again.
    email: Option<String>,
}

/// `GET /register`.
pub(crate) async fn show(visit: Visit, Query(query): Query<RegisterQuery>) -> Result<Response, PageError> {
    if !visit.app.config.registration {
        let page = visit.page(&ClosedPage { login_url: "/signin" })?;
        return Ok(page.status(StatusCode::FORBIDDEN).into_response());
    }
    let email = query.email.as_deref().map(shown_email);
    let typed = Typed { name: "", email: &email.unwrap_or_default() };
    page(&visit, query.flow.as_deref(), typed, Vec::new()).await
}

struct Typed<'a> {
    name: &'a str,
    email: &'a str,
}

async fn page(
    visit: &Visit,
    flow: Option<&str>,
    typed: Typed<'_>,
    errors: Vec<FieldError>,
) -> Result<Response, PageError> {
    // A walk that is over is no reason not to register; the page then speaks of no application.
    let (flow, app) = match flow::under_way(visit, flow).await {
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
        min_length: visit.app.config.password.min(),
        login_url: with_email(&flow.map_or("/signin".to_owned(), flow::url), typed.email),
        app,
    };
    Ok(visit.page_with(&page, errors)?.status(status).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    password_confirm: String,
}

/// `POST /register`.
pub(crate) async fn submit(
    visit: Visit,
    Query(query): Query<RegisterQuery>,
    Form(form): Form<RegisterForm>,
) -> Result<Response, PageError> {
    must_be_open(&visit)?;
    let (name, email, checked) = check(&visit, form).await?;
    match checked {
        Ok(registrant) => {
            let id = register(&visit, query.flow.as_deref(), registrant).await?;
            Ok(Redirect::to(&format!("/register/{id}")).into_response())
        }
        Err(refusals) => {
            let errors = refusals.iter().map(|refusal| tell(&visit, refusal)).collect();
            let typed = Typed { name: &name, email: &email };
            page(&visit, query.flow.as_deref(), typed, errors).await
        }
    }
}

/// Whoever may be registered.
struct Checked {
    name: FullName,
    email: Email,
    password: PasswordHash,
}

/// Checks the form and hashes the password, where passwords are hashed: judging one costs about as much. Gives back what
/// may be shown again.
async fn check(
    visit: &Visit,
    form: RegisterForm,
) -> Result<(String, String, Result<Checked, Vec<RegistrationRefusal>>), PageError> {
    let RegisterForm { name, email, password, password_confirm } = form;
    // Wiped wherever the work ends, also while it waits.
    let (password, confirm) = (Secret::new(password), Secret::new(password_confirm));
    let policy = visit.app.config.password.clone();
    let work = move |memory: &mut HashMemory| {
        let fields = RegistrationForm {
            name: &name,
            email: &email,
            password: password.expose(),
            password_confirm: confirm.expose(),
        };
        let checked = match registration::check(&fields, &policy) {
            Ok(Registration { name, email, password }) => {
                password::hash(&password, memory).map(|password| Ok(Checked { name, email, password }))
            }
            Err(refusals) => Ok(Err(refusals)),
        };
        checked.map(|checked| (name, email, checked)).map_err(|_| HashError::Failed)
    };
    Ok(visit.app.hasher.submit(Lane::Registration, work).await??)
}

/// Where registration is closed, nothing that was begun before goes on either.
pub(crate) fn must_be_open(visit: &Visit) -> Result<(), PageError> {
    match visit.app.config.registration {
        true => Ok(()),
        false => Err(PageError::new(Reason::REGISTRATION_CLOSED)),
    }
}

async fn register(
    visit: &Visit,
    flow: Option<&str>,
    Checked { name, email, password }: Checked,
) -> Result<RegistrationId, PageError> {
    let now = visit.app.clock.now();
    let attempt = NewRegistration {
        id: RegistrationId::new(now),
        email,
        name,
        password,
        known_address: false,
        browser: visit.visitor.browser(),
        flow_id: flow.and_then(|id| id.parse::<FlowId>().ok()),
    };
    let id = attempt.id;
    let opened_mail = mailbox::was_opened(visit, &attempt.email);
    let record = visit.audit(AuditEvent::Registered, Actor::Anonymous, Some(id.to_string()));
    visit
        .app
        .store
        .write((attempt, opened_mail, record), |tx, (attempt, opened_mail, record)| {
            Box::pin(save(tx, attempt, *opened_mail, record))
        })
        .await?;
    visit.app.mailer.wake();
    Ok(id)
}

/// Either way one attempt, one mail, one record. For a known address the attempt can become nothing, and the
/// mail goes to the owner, who learns that somebody tried.
async fn save(
    tx: &mut Tx,
    attempt: &NewRegistration,
    opened_mail: bool,
    record: &AuditRecord,
) -> Result<(), StoreError> {
    let now = record.at;
    let owner = tx.credentials(&attempt.email).await?.map(|credentials| credentials.user);
    let mut attempt = attempt.clone();
    let mut record = record.clone();
    if owner.is_some() {
        attempt.known_address = true;
        record.event = AuditEvent::RegisteredKnown;
    }
    tx.insert_registration(&attempt, now).await?;
    let NewRegistration { id, email, name, browser, .. } = &attempt;
    let registrant = Registrant { id: *id, email, name, browser, opened_mail };
    mail_limit::enqueue(tx, registrant, owner.as_ref(), now).await?;
    tx.audit(&record).await
}

fn tell(visit: &Visit, refusal: &RegistrationRefusal) -> FieldError {
    let words = &visit.app.renderer.words;
    let (field, text) = match refusal {
        RegistrationRefusal::Name(BadName::Missing) => ("name", words.text("name-missing", &[])),
        RegistrationRefusal::Name(BadName::TooLong) => {
            ("name", words.text("name-too-long", &[("max", FullName::LONGEST.into())]))
        }
        RegistrationRefusal::Name(BadName::Unreadable(sign)) => {
            ("name", words.text("name-unreadable", &[("code", sign.code().into())]))
        }
        RegistrationRefusal::EmailMissing => ("email", words.text("email-missing", &[])),
        RegistrationRefusal::EmailInvalid => ("email", words.text("email-invalid", &[])),
        RegistrationRefusal::PasswordMissing => ("password", words.text("password-missing", &[])),
        RegistrationRefusal::Password(weak) => ("password", weak_password(visit, *weak)),
        RegistrationRefusal::ConfirmMissing => {
            ("password_confirm", words.text("password-confirm-missing", &[]))
        }
        RegistrationRefusal::PasswordMismatch => ("password_confirm", words.text("password-mismatch", &[])),
    };
    FieldError { field: Some(field), text }
}

fn weak_password(visit: &Visit, weak: WeakPassword) -> String {
    password_words::tell(&visit.app.renderer.words, weak)
}
