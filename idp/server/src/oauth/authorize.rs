//! The authorization endpoint.

use std::borrow::Cow;

use axum::http::Uri;
use axum::response::{IntoResponse, Redirect, Response};
use idp_core::client::Client;
use idp_core::flow::FlowTarget;
use idp_core::oauth::authorize::{self, AuthorizationRequest, AuthorizeRefusal, PageReason};
use idp_core::oauth::discovery::path;
use idp_core::oauth::params::Params;
use idp_core::redirect_uri::{BadRedirectUri, RedirectUri};
use idp_core::text::Excerpt;

use crate::config::shell_quoted;
use crate::flow::{self, ClientAndConsent};
use crate::http::context::RequestContext;
use crate::http::errors::{About, Explanation, Fix, PageError, Reason, Registered, Sent};
use crate::http::form::{self, ProtocolBody};
use crate::http::policy::LONGEST_TARGET;
use crate::http::refusal_log::Fault;

/// `GET /authorize`: checks the request, then goes as far as possible without a page.
pub(crate) async fn get(context: RequestContext, uri: Uri) -> Result<Response, PageError> {
    let params = form::protocol(uri.query().unwrap_or_default().as_bytes(), authorize::is_parameter)?;
    let known = match authorize::client_id(&params) {
        Some(id) => flow::client_and_consent(&context, id).await?,
        None => ClientAndConsent::default(),
    };
    let checked = authorize::check(&params, known.client.as_ref(), &context.app.keys.load().tokens);
    match checked {
        Ok(request) => {
            note_dropped_scopes(&context, &params, &request);
            flow::start(&context, FlowTarget::Client(Box::new(request)), known, None).await
        }
        Err(AuthorizeRefusal::Redirect(target, refusal)) => {
            let code = refusal.code.as_str();
            if context.app.refusals.admits(Fault::Theirs, code) {
                let About { client_id, value, .. } =
                    About::claimed(&params).parameter(refusal.parameter, &params);
                let (request_id, client_id, value) =
                    (&context.info.request_id, client_id.as_deref(), value.as_deref());
                let detail = refusal.hint;
                tracing::info!(request_id, code, client_id, detail, value, "authorization request refused");
            }
            Ok(Redirect::to(&target.error(context.app.config.issuer.as_str(), refusal)).into_response())
        }
        Err(AuthorizeRefusal::Page(reason)) => Err(refused(reason, &params, known.client.as_ref())),
    }
}

/// A scope that is not registered for the client is not granted (RFC 6749 section 3.3). The log tells its developer.
fn note_dropped_scopes(context: &RequestContext, params: &Params, request: &AuthorizationRequest) {
    let asked = params.get("scope").unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    let dropped: Vec<&str> = asked.filter(|word| !request.scope.has(word)).collect();
    if !dropped.is_empty() && context.app.refusals.admits(Fault::Theirs, "scope not registered") {
        let (request_id, client_id) = (&context.info.request_id, &request.client_id);
        let dropped = Excerpt::new(dropped.join(" "), 200);
        tracing::info!(request_id, %client_id, %dropped, "scope not registered for this client, not granted");
    }
}

/// `POST /authorize`: a form from another site does not carry our cookies, so it is turned into a GET, which does.
pub(crate) async fn post(ProtocolBody(body): ProtocolBody) -> Result<Response, PageError> {
    let params = form::protocol(&body, authorize::is_parameter)?;
    Ok(redirect_as_get(path::AUTHORIZE, &params, authorize::is_parameter))
}

/// Redirects to a GET with the form as its query. If that is too long, the parameters that nobody reads are left out.
pub(crate) fn redirect_as_get(path: &str, params: &Params, is_known: fn(&str) -> bool) -> Response {
    let whole = format!("{path}?{}", form::encode(params.iter()));
    let url = match whole.len() > LONGEST_TARGET {
        true => format!("{path}?{}", form::encode(params.iter().filter(|(name, _)| is_known(name)))),
        false => whole,
    };
    Redirect::to(&url).into_response()
}

fn refused(reason: PageReason, params: &Params, client: Option<&Client>) -> PageError {
    let repeated = if params.is_repeated("client_id") { "client_id" } else { "redirect_uri" };
    let (key, differs, why): (_, _, Cow<'static, str>) = match reason {
        PageReason::MissingClient => (Reason::CLIENT_MISSING, "client_id", "client_id is missing".into()),
        // The detail is shown in `dev` only: strangers get the same page for both cases.
        PageReason::UnknownClient if client.is_some() => {
            (Reason::CLIENT_UNKNOWN, "client_id", "this client is disabled".into())
        }
        PageReason::UnknownClient => {
            (Reason::CLIENT_UNKNOWN, "client_id", "no client has this client_id".into())
        }
        PageReason::MissingRedirectUri => {
            (Reason::REDIRECT_URI_MISSING, "redirect_uri", "redirect_uri is missing".into())
        }
        PageReason::UnregisteredRedirectUri => {
            (Reason::REDIRECT_URI_MISMATCH, "redirect_uri", mismatch(params.get("redirect_uri")))
        }
        PageReason::Repeated => {
            (Reason::PARAMETER_REPEATED, repeated, "client_id and redirect_uri must each be sent once".into())
        }
    };
    let explanation = Explanation {
        reason: why.clone().into_owned(),
        sent: sent(params),
        registered: client.map(registered).unwrap_or_default(),
        // If it was sent twice, one of the values may well be registered.
        differs: (reason != PageReason::Repeated).then_some(differs),
        fix: fix(reason, params, client),
    };
    let about = About::claimed(params).parameter(Some(differs), params);
    PageError { explanation: Some(Box::new(explanation)), ..PageError::new(key).detail(why).about(about) }
}

/// Why a redirect URI is not accepted; some could not even be registered.
fn mismatch(uri: Option<&str>) -> Cow<'static, str> {
    match RedirectUri::parse_new(uri.unwrap_or_default()) {
        Ok(_) => "redirect_uri must equal a registered one, byte for byte".into(),
        Err(BadRedirectUri::PlainHttp) => {
            "http is for loopback only: 127.0.0.1, [::1] and localhost; elsewhere use https".into()
        }
        Err(why) => format!("this redirect_uri could not be registered: {why}").into(),
    }
}

/// The parameters that have a registered value come first, in the same order as those.
const FIRST: [&str; 4] = ["client_id", "redirect_uri", "post_logout_redirect_uri", "scope"];

pub(super) fn sent(params: &Params) -> Vec<Sent> {
    let mut pairs: Vec<(&str, &str)> = params.iter().collect();
    pairs.sort_by_key(|(name, _)| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
    pairs.into_iter().take(30).map(|(name, value)| Sent { name: shown(name), value: shown(value) }).collect()
}

fn registered(client: &Client) -> Vec<Registered> {
    let uris = client.redirect_uris.iter().map(ToString::to_string).collect();
    vec![
        Registered { name: "client_id", values: vec![client.id.to_string()] },
        Registered { name: "redirect_uri", values: uris },
        Registered { name: "scope", values: vec![client.scope.to_string()] },
    ]
}

/// The command that would make this request valid.
fn fix(reason: PageReason, params: &Params, client: Option<&Client>) -> Option<Fix> {
    let uri = params.get("redirect_uri").filter(|uri| RedirectUri::parse_new(uri).is_ok());
    match (reason, client) {
        (PageReason::UnknownClient, Some(client)) if !client.enabled => {
            Some(Fix::about("client enable", &[client.id.as_str()], ""))
        }
        (PageReason::UnknownClient, _) => {
            let id = authorize::client_id(params)?;
            // Without `=`, a name that begins with a dash would be taken for an option.
            let between = if id.as_str().starts_with('-') { '=' } else { ' ' };
            let options = format!("--name{between}{id} --redirect-uri {}", shell_quoted(uri?));
            Some(Fix::about("client create", &[id.as_str()], &options))
        }
        (PageReason::UnregisteredRedirectUri, Some(client)) => {
            Some(Fix::about("client add-redirect-uri", &[client.id.as_str(), uri?], ""))
        }
        _ => None,
    }
}

fn shown(text: &str) -> String {
    idp_core::text::DisplayText::new(text, 500).as_str().to_owned()
}
