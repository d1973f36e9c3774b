//! The authorization endpoint.

use axum::response::{IntoResponse, Redirect, Response};
use idp_core::client::Client;
use idp_core::flow::FlowTarget;
use idp_core::oauth::authorize::{self, AuthorizeRefusal, PageReason};
use idp_core::oauth::discovery::path;
use idp_core::oauth::params::Params;

use crate::errors::{Explanation, PageError, Reason, Registered, Sent};
use crate::flow;
use crate::form::{FormBody, Protocol};
use crate::visit::Visit;

/// `GET /authorize`: checks the request, then goes as far as it can without a page.
pub(crate) async fn get(visit: Visit, Protocol(params): Protocol) -> Result<Response, PageError> {
    let client = match authorize::client_id(&params) {
        Some(id) => visit.app.store.read(id, |db, id| Box::pin(db.client(id))).await?,
        None => None,
    };
    let checked = authorize::check(&params, client.as_ref(), &visit.app.keys.load().tokens);
    match checked {
        Ok(request) => flow::begin(&visit, FlowTarget::Application(Box::new(request)), client).await,
        Err(AuthorizeRefusal::Redirect(target, refusal)) => {
            tracing::info!(
                request_id = visit.info.request_id,
                code = refusal.code.as_str(),
                hint = refusal.hint,
                "authorization request refused"
            );
            Ok(Redirect::to(&target.error(visit.app.config.issuer.as_str(), refusal)).into_response())
        }
        Err(AuthorizeRefusal::Page(reason)) => Err(refused(reason, &params, client.as_ref())),
    }
}

/// `POST /authorize`: a form from another site brings no cookie of ours along, so it is turned into a GET,
/// which does.
pub(crate) async fn post(axum::Extension(FormBody(pairs)): axum::Extension<FormBody>) -> Response {
    hand_over(path::AUTHORIZE, &pairs)
}

/// A form as the query of a GET.
pub(crate) fn hand_over(path: &str, pairs: &[(String, String)]) -> Response {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    Redirect::to(&format!("{path}?{query}")).into_response()
}

fn refused(reason: PageReason, params: &Params, client: Option<&Client>) -> PageError {
    let (key, why) = match reason {
        PageReason::UnknownClient => (Reason::CLIENT_UNKNOWN, "no enabled client has this client_id"),
        PageReason::MissingRedirectUri => (Reason::REDIRECT_URI_MISSING, "redirect_uri is missing"),
        PageReason::ForeignRedirectUri => {
            (Reason::REDIRECT_URI_MISMATCH, "redirect_uri must equal a registered one, byte by byte")
        }
    };
    let repeated = params.any_repeated(&["client_id", "redirect_uri"]);
    let why = if repeated { "client_id and redirect_uri must each be sent once" } else { why };
    let explanation = Explanation {
        reason: why.to_owned(),
        sent: sent(params),
        registered: client.map(registered).unwrap_or_default(),
        fix: fix(reason, params, client).filter(|_| !repeated),
    };
    PageError { explanation: Some(Box::new(explanation)), ..PageError::new(key).detail(why) }
}

pub(super) fn sent(params: &Params) -> Vec<Sent> {
    params.iter().take(30).map(|(name, value)| Sent { name: shown(name), value: shown(value) }).collect()
}

fn registered(client: &Client) -> Vec<Registered> {
    let uris = client.redirect_uris.iter().map(ToString::to_string).collect();
    vec![
        Registered { name: "client_id", values: vec![client.id.to_string()] },
        Registered { name: "redirect_uri", values: uris },
        Registered { name: "scope", values: vec![client.scope.to_string()] },
    ]
}

/// The command that would make this very request right.
fn fix(reason: PageReason, params: &Params, client: Option<&Client>) -> Option<String> {
    let uri =
        params.get("redirect_uri").filter(|uri| idp_core::redirect_uri::RedirectUri::parse(uri).is_ok());
    match (reason, client) {
        (PageReason::UnknownClient, Some(client)) if !client.enabled => {
            Some(format!("idp client enable {} --dev", client.id))
        }
        (PageReason::UnknownClient, _) => {
            let id = authorize::client_id(params)?;
            Some(format!("idp client create {id} --dev --name {id} --redirect-uri {}", quoted(uri?)))
        }
        (PageReason::ForeignRedirectUri, Some(client)) => {
            Some(format!("idp client add-redirect-uri {} --dev {}", client.id, quoted(uri?)))
        }
        _ => None,
    }
}

/// One word of a shell command, whatever stands in it: the URI may come from a stranger's link.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn shown(text: &str) -> String {
    idp_core::text::DisplayText::new(text, 500).as_str().to_owned()
}
