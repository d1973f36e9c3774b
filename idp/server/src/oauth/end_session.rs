//! Signing out: the end-session endpoint (RP-Initiated Logout 1.0), the question, and the page afterwards.

use axum::Extension;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use idp_core::client::{Client, ClientId};
use idp_core::oauth::discovery::path;
use idp_core::oauth::logout::{Logout, LogoutRefusal, LogoutRequest, LogoutTarget};
use idp_core::oauth::params::Params;
use idp_core::redirect_uri::RedirectUri;
use idp_store::{Actor, AuditEvent};
use serde::{Deserialize, Serialize};

use super::authorize::{hand_over, sent};
use crate::config::quoted;
use crate::cookies::Cookie;
use crate::errors::{Explanation, Fix, PageError, Reason, Registered};
use crate::form::{self, Form, FormBody, Protocol};
use crate::i18n::Arg;
use crate::onward::Onward;
use crate::render::Page;
use crate::visit::Visit;

/// `GET /logout`: signs out at once when an application proves that it asks for this very person, else asks.
pub(crate) async fn get(visit: Visit, Protocol(params): Protocol) -> Result<Response, PageError> {
    match decide(&visit, &params).await? {
        (Logout::Now(target), client) => {
            let location = target.map_or_else(|| afterwards(client.as_ref()), |target| target.location());
            sign_out(&visit, &location).await
        }
        (Logout::Ask(target), client) => ask(&visit, &params, target, client),
    }
}

/// `POST /logout`: the same request as a form; it is turned into a GET, which brings the session's cookie.
pub(crate) async fn post(Extension(FormBody(pairs)): Extension<FormBody>) -> Response {
    hand_over(path::END_SESSION, &pairs)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmForm {
    /// The original request's query; checked again from the start.
    #[serde(default)]
    request: String,
}

/// `POST /logout/confirm`: the person said yes.
pub(crate) async fn confirm(visit: Visit, Form(form): Form<ConfirmForm>) -> Result<Response, PageError> {
    let pairs = form::decode(form.request.as_bytes()).ok_or_else(|| PageError::new(Reason::BAD_REQUEST))?;
    match decide(&visit, &Params::new(pairs)).await? {
        (Logout::Now(target) | Logout::Ask(target), client) => {
            let location = match (target, &client) {
                (Some(target), Some(client)) if target.uri().is_https() => by_our_page(client, &target),
                (Some(target), _) => target.location(),
                (None, client) => afterwards(client.as_ref()),
            };
            sign_out(&visit, &location).await
        }
    }
}

/// What to do, and for which application.
async fn decide(visit: &Visit, params: &Params) -> Result<(Logout, Option<Client>), PageError> {
    let keys = visit.app.keys.load();
    let request = LogoutRequest::read(params, &keys.tokens).map_err(|why| refused(why, params, None))?;
    let client = match request.client_id().cloned() {
        Some(id) => visit.app.store.read(id, |db, id| Box::pin(db.client(id))).await?,
        None => None,
    };
    let session = visit.visitor.signed_in.as_ref().map(|signed_in| &signed_in.session);
    let logout = request.decide(client.as_ref(), session);
    let logout = logout.map_err(|why| refused(why, params, client.as_ref()))?;
    Ok((logout, client))
}

fn refused(refusal: LogoutRefusal, params: &Params, client: Option<&Client>) -> PageError {
    let (reason, why) = match refusal {
        LogoutRefusal::ForeignRedirectUri if client.is_none() => {
            (Reason::POST_LOGOUT_URI, "post_logout_redirect_uri needs id_token_hint or client_id beside it")
        }
        LogoutRefusal::ForeignRedirectUri => {
            (Reason::POST_LOGOUT_URI, "post_logout_redirect_uri must equal a registered one, byte by byte")
        }
        LogoutRefusal::UnknownClient => (Reason::CLIENT_UNKNOWN, "no enabled application has this client_id"),
        LogoutRefusal::Repeated => (Reason::PARAMETER_REPEATED, "each parameter must be sent once"),
    };
    let explanation = Explanation {
        reason: why.to_owned(),
        sent: sent(params),
        registered: client.map(registered).unwrap_or_default(),
        differs: (refusal == LogoutRefusal::ForeignRedirectUri).then_some("post_logout_redirect_uri"),
        fix: client.filter(|client| client.enabled).and_then(|client| fix(params, client)),
    };
    PageError { explanation: Some(Box::new(explanation)), ..PageError::new(reason).detail(why) }
}

fn registered(client: &Client) -> Vec<Registered> {
    let uris = client.post_logout_redirect_uris.iter().map(ToString::to_string).collect();
    vec![
        Registered { name: "client_id", values: vec![client.id.to_string()] },
        Registered { name: "post_logout_redirect_uri", values: uris },
    ]
}

/// The command that would make this very request right.
fn fix(params: &Params, client: &Client) -> Option<Fix> {
    let uri = params.get("post_logout_redirect_uri").filter(|uri| RedirectUri::parse(uri).is_ok())?;
    let words = format!("{} {}", client.id, quoted(uri));
    Some(Fix { verb: "client add-post-logout-redirect-uri", words })
}

async fn sign_out(visit: &Visit, location: &str) -> Result<Response, PageError> {
    if let Some(signed_in) = &visit.visitor.signed_in {
        let (id, user) = (signed_in.session.id, signed_in.user.id);
        let record = visit.audit(AuditEvent::SignedOut, Actor::User(user), Some(user.to_string()));
        visit
            .app
            .store
            .write((id, record), |tx, (id, record)| {
                Box::pin(async move {
                    if tx.end_session(*id, record.at).await? {
                        tx.audit(record).await?;
                    }
                    Ok(())
                })
            })
            .await?;
    }
    let mut response = Redirect::to(location).into_response();
    response.headers_mut().append(header::SET_COOKIE, Cookie::Session.clear(&visit.app.config));
    // Whoever sits here next finds nothing of this session in the browser's cache.
    response.headers_mut().insert("clear-site-data", HeaderValue::from_static("\"cache\""));
    Ok(response)
}

/// Our own page, which leads back to the application that asked.
fn afterwards(client: Option<&Client>) -> String {
    match client {
        Some(client) => format!("/signed-out?client_id={}", client.id),
        None => "/signed-out".to_owned(),
    }
}

/// After a form of ours no redirect may lead to a web application ([`RedirectUri::is_https`]): the page that goes on to it.
fn by_our_page(client: &Client, target: &LogoutTarget) -> String {
    let pairs = std::iter::once(("client_id", client.id.as_str())).chain(target.params());
    format!("/signed-out?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
}

#[derive(Serialize)]
struct SignOutPage<'a> {
    action: &'static str,
    email: &'a str,
    request: String,
    /// For whoever came here without wanting to.
    stay_url: String,
    #[serde(skip)]
    brand_name: &'a str,
}

impl Page for SignOutPage<'_> {
    const TEMPLATE: &'static str = "pages/sign_out.html";
    const TITLE: &'static str = "sign-out-title";
    fn title_args(&self) -> Vec<Arg<'_>> {
        vec![("brand", self.brand_name.into())]
    }
}

fn ask(
    visit: &Visit,
    params: &Params,
    target: Option<LogoutTarget>,
    client: Option<Client>,
) -> Result<Response, PageError> {
    let home = client.and_then(|client| client.home_uri);
    let email = visit.visitor.signed_in.as_ref().map(|signed_in| signed_in.user.email.as_str());
    // Without a way back the request is worth nothing; its hint, forged perhaps, is not carried on.
    let kept = match &target {
        Some(_) => form_urlencoded::Serializer::new(String::new()).extend_pairs(params.iter()).finish(),
        None => String::new(),
    };
    let page = SignOutPage {
        action: "/logout/confirm",
        email: email.unwrap_or_default(),
        request: kept,
        stay_url: home.map_or_else(|| "/account".to_owned(), |home| home.as_str().to_owned()),
        brand_name: &visit.app.config.brand,
    };
    let source = target.and_then(|target| target.uri().form_source());
    Ok(visit.page(&page)?.form_target(source).into_response())
}

#[derive(Serialize)]
struct SignedOutPage {
    app: Option<AppLink>,
    login_url: &'static str,
}

#[derive(Serialize)]
struct AppLink {
    name: String,
    url: String,
}

impl Page for SignedOutPage {
    const TEMPLATE: &'static str = "pages/signed_out.html";
    const TITLE: &'static str = "signed-out-title";
}

/// `GET /signed-out`: goes on to the registered URI that the sign-out was asked to end at, or has a link to the named
/// application's registered start page.
pub(crate) async fn signed_out(visit: Visit, Protocol(query): Protocol) -> Result<Response, PageError> {
    // Somebody has signed in since, or followed somebody's link: nobody is sent anywhere.
    if visit.visitor.signed_in.is_none()
        && let Ok((Logout::Now(Some(target)), Some(client))) = decide(&visit, &query).await
        && target.uri().is_https()
    {
        return Onward::signed_out(client.name.to_string(), &target.location()).show(&visit);
    }
    let client = match query.get("client_id").and_then(|id| ClientId::parse(id).ok()) {
        Some(id) => visit.app.store.read(id, |db, id| Box::pin(db.client(id))).await?,
        None => None,
    };
    let app = client.filter(|client| client.enabled).and_then(|client| {
        let home = client.home_uri?;
        Some(AppLink { name: client.name.to_string(), url: home.as_str().to_owned() })
    });
    Ok(visit.page(&SignedOutPage { app, login_url: "/signin" })?.into_response())
}
