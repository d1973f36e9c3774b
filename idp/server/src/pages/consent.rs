//! Consent: tells the person in plain words what a client asks for; they allow or deny it.

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

use crate::flow::{self, ClientAndConsent, FlowEnd, FlowState, Via};
use crate::http::context::RequestContext;
use crate::http::errors::{PageError, Reason};
use crate::http::form::Form;
use crate::http::html::{Html, Page};
use crate::pages::{AppView, app_of};

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
    /// The label of its values.
    label: String,
    values: Vec<String>,
}

impl Page for ConsentPage {
    const TEMPLATE: &'static str = "pages/consent.html";
    const TITLE: &'static str = "consent-title";
}

/// Who the person is comes first; what the client may do while they are away comes last.
const ORDER: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// The consent page.
pub(crate) fn page(
    context: &RequestContext,
    flow: &Flow,
    known: &ClientAndConsent,
) -> Result<Html, PageError> {
    let (request, user) = asked(context, flow)?;
    let (app, uri) = app_of(&flow.target, known);
    let mut scopes: Vec<&str> = request.scope.iter().collect();
    scopes.sort_by_key(|scope| ORDER.iter().position(|known| known == scope).unwrap_or(ORDER.len()));
    let scopes = scopes.into_iter().map(|scope| scope_view(context, user, scope)).collect();
    let action = format!("{}/consent", flow::url(flow.id));
    let page = ConsentPage { action, app, email: user.email.to_string(), scopes };
    Ok(context.page(&page)?.form_target(uri.and_then(RedirectUri::form_source)))
}

fn scope_view(context: &RequestContext, user: &User, scope: &str) -> ScopeView {
    let catalogue = &context.app.renderer.catalogue;
    let key = format!("consent-scope-{}", scope.replace('_', "-"));
    let text = catalogue.try_text(&key, &[]);
    let text = text.unwrap_or_else(|| catalogue.text("consent-scope-other", &[("scope", scope.into())]));
    let label = catalogue.try_text(&format!("consent-data-{scope}"), &[]).unwrap_or_default();
    ScopeView { name: scope.to_owned(), text, label, values: UserInfo::preview(user, scope) }
}

fn asked<'a>(
    context: &'a RequestContext,
    flow: &'a Flow,
) -> Result<(&'a AuthorizationRequest, &'a User), PageError> {
    match (&flow.target, &context.browser.signed_in) {
        (FlowTarget::Client(request), Some(signed_in)) => Ok((request, &signed_in.user)),
        _ => Err(PageError::new(Reason::FLOW_EXPIRED).action("/signin", "action-start-again")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsentForm {
    decision: Answer,
}

/// `POST /flow/ID/consent`: the person's answer, which also answers the client.
pub(crate) async fn submit(
    context: RequestContext,
    Path(id): Path<String>,
    Form(form): Form<ConsentForm>,
) -> Result<Response, PageError> {
    let flow = match flow::find(&context, &id).await? {
        FlowState::Open(flow) => flow,
        FlowState::Over(ended) => return flow::replay(&context, &ended, Via::Form(None)).await,
    };
    let known = flow::load(&context, &flow.target).await?;
    match flow::decide(&context, &flow, &known, Some(form.decision)) {
        // In the meantime the session ended or became too old.
        Step::SignIn(_) | Step::Consent(_) => Ok(Redirect::to(&flow::url(flow.id)).into_response()),
        step => {
            let via = Via::Form(Some(record(&context, &flow, form.decision)?));
            FlowEnd { context: &context, flow: &flow, known: &known, via }.carry_out(step).await
        }
    }
}

fn record(context: &RequestContext, flow: &Flow, answer: Answer) -> Result<AuditRecord, PageError> {
    let (request, user) = asked(context, flow)?;
    let event = match answer {
        Answer::Allow => AuditEvent::ConsentGiven,
        Answer::Deny => AuditEvent::ConsentDenied,
    };
    let record = context.audit(event, Actor::User(user.id), Some(user.id.to_string()));
    Ok(AuditRecord { client_id: Some(request.client_id.clone()), ..record })
}
