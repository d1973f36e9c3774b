//! Consent: the person is told in plain words what an application asks for, and says yes or no.

use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use idp_core::audit::{Actor, AuditEvent, AuditRecord};
use idp_core::flow::{Answer, FlowTarget, Step};
use idp_core::oauth::authorize::AuthorizationRequest;
use idp_core::oauth::claims::UserInfo;
use idp_core::redirect_uri::RedirectUri;
use idp_core::user::User;
use idp_store::Flow;
use serde::{Deserialize, Serialize};

use crate::errors::{PageError, Reason};
use crate::flow::{self, Found, Known, Leaving, Via};
use crate::form::Form;
use crate::pages::{AppView, app_of};
use crate::render::{Html, Page};
use crate::visit::Visit;

#[derive(Serialize)]
struct ConsentPage {
    action: String,
    app: Option<AppView>,
    email: String,
    scopes: Vec<ScopeView>,
}

#[derive(Serialize)]
struct ScopeView {
    name: String,
    text: String,
    /// What its values are called.
    label: String,
    values: Vec<String>,
}

impl Page for ConsentPage {
    const TEMPLATE: &'static str = "pages/consent.html";
    const TITLE: &'static str = "consent-title";
}

/// Who the person is comes first, and what the application may do while they are away last.
const ORDER: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// The question.
pub(crate) fn page(visit: &Visit, flow: &Flow, known: &Known) -> Result<Html, PageError> {
    let (request, user) = asked(visit, flow)?;
    let (app, uri) = app_of(&flow.target, known);
    let mut scopes: Vec<&str> = request.scope.iter().collect();
    scopes.sort_by_key(|scope| ORDER.iter().position(|known| known == scope).unwrap_or(ORDER.len()));
    let scopes = scopes.into_iter().map(|scope| scope_view(visit, user, scope)).collect();
    let action = format!("{}/consent", flow::url(flow.id));
    let page = ConsentPage { action, app, email: user.email.to_string(), scopes };
    Ok(visit.page(&page)?.form_target(uri.and_then(RedirectUri::form_source)))
}

fn scope_view(visit: &Visit, user: &User, scope: &str) -> ScopeView {
    let words = &visit.app.renderer.words;
    let key = format!("consent-scope-{}", scope.replace('_', "-"));
    let text = words.try_text(&key, &[]);
    let text = text.unwrap_or_else(|| words.text("consent-scope-other", &[("scope", scope.into())]));
    let label = words.try_text(&format!("consent-data-{scope}"), &[]).unwrap_or_default();
    ScopeView { name: scope.to_owned(), text, label, values: UserInfo::preview(user, scope) }
}

fn asked<'a>(visit: &'a Visit, flow: &'a Flow) -> Result<(&'a AuthorizationRequest, &'a User), PageError> {
    match (&flow.target, &visit.visitor.signed_in) {
        (FlowTarget::Application(request), Some(signed_in)) => Ok((request, &signed_in.user)),
        _ => Err(PageError::new(Reason::FLOW_EXPIRED).action("/signin", "action-start-again")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsentForm {
    decision: Answer,
}

/// `POST /flow/ID/consent`: the person's answer, and with it the client's.
pub(crate) async fn submit(
    visit: Visit,
    Path(id): Path<String>,
    Form(form): Form<ConsentForm>,
) -> Result<Response, PageError> {
    let flow = match flow::find(&visit, &id).await? {
        Found::Open(flow) => flow,
        Found::Over(ended) => return flow::again(&visit, &ended, Via::Form(None)).await,
    };
    let known = flow::load(&visit, &flow.target).await?;
    match flow::decide(&visit, &flow, &known, Some(form.decision)) {
        // The session ended meanwhile, or is not fresh enough any more.
        Step::SignIn(_) | Step::Consent(_) => Ok(Redirect::to(&flow::url(flow.id)).into_response()),
        step => {
            let via = Via::Form(Some(record(&visit, &flow, form.decision)?));
            Leaving { visit: &visit, flow: &flow, known: &known, via }.with(step).await
        }
    }
}

fn record(visit: &Visit, flow: &Flow, answer: Answer) -> Result<AuditRecord, PageError> {
    let (request, user) = asked(visit, flow)?;
    let event = match answer {
        Answer::Allow => AuditEvent::ConsentGiven,
        Answer::Deny => AuditEvent::ConsentDenied,
    };
    let record = visit.audit(event, Actor::User(user.id), Some(user.id.to_string()));
    Ok(AuditRecord { client_id: Some(request.client_id.clone()), ..record })
}
