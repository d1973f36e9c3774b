//! Every URL of the server, on one page. A route without its five classes ([`crate::http::policy`]) does not compile.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::MatchedPath;
use axum::handler::Handler;
use axum::http::{Method, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use idp_core::oauth::discovery::path;

use crate::http::enforcement;
use crate::http::errors::{PageError, Reason};
use crate::http::health;
use crate::http::policy::{ALIVE, Auth, BodyClass, Cache, Csrf, Policy, READY, Rate, speaks_json};
use crate::oauth;
use crate::pages;
use crate::state::Shared;

/// One line of the table.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) policy: Policy,
    handler: MethodRouter<Shared>,
    /// Whether HEAD is answered, as every GET should be (RFC 9110 section 9.1).
    head: bool,
}

impl Route {
    /// A GET that may issue a code or end a session. HEAD would do so unseen.
    fn without_head(self) -> Self {
        Self { head: false, ..self }
    }
}

type Classes = (Auth, Csrf, BodyClass, Cache, Rate);

fn route<T: 'static>(
    method: Method,
    path: &'static str,
    (auth, csrf, body, cache, rate): Classes,
    handler: impl Handler<T, Shared>,
) -> Route {
    let head = method == Method::GET;
    let handler = if head { get(handler) } else { post(handler) };
    Route { method, path, policy: Policy { auth, csrf, body, cache, rate }, handler, head }
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;

/// A page that anybody may open.
const PAGE: Classes = (Auth::Browser, Csrf::Safe, BodyClass::None, Cache::NoStore, Rate::Page);
/// One of our forms.
const FORM: Classes = (Auth::Browser, Csrf::Token, SMALL, Cache::NoStore, Rate::Page);
/// A form that checks a password or code.
const TRY: Classes = (Auth::Browser, Csrf::Token, SMALL, Cache::NoStore, Rate::SignIn);
/// A form that sends an email.
const MAIL: Classes = (Auth::Browser, Csrf::Token, SMALL, Cache::NoStore, Rate::Register);
/// A document made in advance.
const DOCUMENT: Classes = (Auth::Anyone, Csrf::Safe, BodyClass::None, Cache::Minutes, Rate::Unlimited);
/// A static file.
const STATIC: Classes = (Auth::Anyone, Csrf::Safe, BodyClass::None, Cache::Immutable, Rate::Unlimited);
/// A probe of a load balancer or supervisor.
const PROBE: Classes = (Auth::Probe, Csrf::Safe, BodyClass::None, Cache::NoStore, Rate::Unlimited);
/// A form that a client's page sends through the browser. It is turned into a GET, which brings the cookies.
const AS_GET: Classes = (Auth::Anyone, Csrf::NotNeeded, SMALL, Cache::NoStore, Rate::Page);
/// A request from the client itself.
const CLIENT: Classes = (Auth::Client, Csrf::NotNeeded, SMALL, Cache::NoStore, Rate::Client);
/// A request with an access token.
const BEARER: Classes = (Auth::Bearer, Csrf::Safe, BodyClass::None, Cache::NoStore, Rate::Client);
/// The same as a form.
const BEARER_FORM: Classes = (Auth::Bearer, Csrf::NotNeeded, SMALL, Cache::NoStore, Rate::Client);

const SMALL: BodyClass = BodyClass::Form(16 * 1024);
/// Enough for a form that carries a client's request: a URL of 8 KB, in which each byte may become five.
const WITH_REQUEST: BodyClass = BodyClass::Form(64 * 1024);

/// The table.
#[rustfmt::skip]
fn table() -> Vec<Route> {
    vec![
        route(GET,  "/",                           PAGE,      pages::account::home),
        route(GET,  "/account",                    (Auth::SignedIn, Csrf::Safe, BodyClass::None, Cache::NoStore, Rate::Page), pages::account::show),
        route(GET,  "/signin",                     PAGE,      pages::login::begin),
        route(GET,  "/flow/{id}",                  PAGE,      pages::flow::show).without_head(),
        route(GET,  "/flow/{id}/login",            PAGE,      pages::of_form),
        route(POST, "/flow/{id}/login",            TRY,       pages::login::submit),
        route(GET,  "/flow/{id}/consent",          PAGE,      pages::of_form),
        route(POST, "/flow/{id}/consent",          FORM,      pages::consent::submit),

        route(GET,  "/register",                   PAGE,      pages::register::show),
        route(POST, "/register",                   MAIL,      pages::register::submit),
        route(GET,  "/register/{id}",              PAGE,      pages::check_mail::show),
        route(GET,  "/register/{id}/code",         PAGE,      pages::of_form),
        route(POST, "/register/{id}/code",         TRY,       pages::check_mail::submit_code),
        route(GET,  "/register/{id}/resend",       PAGE,      pages::of_form),
        route(POST, "/register/{id}/resend",       MAIL,      pages::check_mail::resend),
        route(GET,  "/activate",                   PAGE,      pages::activate::show),
        route(POST, "/activate",                   TRY,       pages::activate::submit),
        route(GET,  "/activate/resend",            PAGE,      pages::of_form),
        route(POST, "/activate/resend",            MAIL,      pages::activate::resend),

        route(GET,  path::AUTHORIZE,               PAGE,      oauth::authorize::get).without_head(),
        route(POST, path::AUTHORIZE,               AS_GET, oauth::authorize::post),
        route(GET,  path::END_SESSION,             PAGE,      oauth::end_session::get).without_head(),
        route(POST, path::END_SESSION,             AS_GET, oauth::end_session::post),
        route(GET,  "/logout/confirm",             PAGE,      pages::of_form),
        route(POST, "/logout/confirm",             (Auth::Browser, Csrf::Token, WITH_REQUEST, Cache::NoStore, Rate::Page), oauth::end_session::confirm),
        route(GET,  "/signed-out",                 PAGE,      oauth::end_session::signed_out),

        route(POST, path::TOKEN,                   CLIENT,    oauth::token::post),
        route(GET,  path::USERINFO,                BEARER,    oauth::userinfo::answer),
        route(POST, path::USERINFO,                BEARER_FORM, oauth::userinfo::answer),
        route(GET,  path::JWKS,                    DOCUMENT,  oauth::documents::jwks),
        route(GET,  path::OPENID_CONFIGURATION,    DOCUMENT,  oauth::documents::discovery),
        route(GET,  path::OAUTH_METADATA,          DOCUMENT,  oauth::documents::discovery),

        route(GET,  "/static/{name}",              STATIC,    oauth::documents::asset),
        route(GET,  ALIVE,                         PROBE,     health::alive),
        route(GET,  READY,                         PROBE,     health::ready),
    ]
}

/// The additional routes of `idp dev`.
#[rustfmt::skip]
fn dev_table() -> Vec<Route> {
    vec![
        route(GET,  "/dev/mail",                   PAGE,      pages::dev::mailbox),
        route(GET,  "/dev/mail/{id}",              PAGE,      pages::dev::message),
        route(GET,  "/dev/mail/{id}/html",         PAGE,      pages::dev::html),
        route(GET,  "/dev/clock",                  PAGE,      pages::dev::clock),
        route(POST, "/dev/clock",                  FORM,      pages::dev::move_clock),
    ]
}

/// All routes of this server.
pub(crate) fn all(dev: bool) -> Vec<Route> {
    let mut routes = table();
    if dev {
        routes.extend(dev_table());
    }
    routes
}

/// Builds the router from the table.
pub(crate) fn router(app: &Shared) -> Router {
    let methods = Arc::new(methods(app.config.dev));
    let wrong_method = move |path: MatchedPath| {
        let allow = methods.get(path.as_str()).cloned();
        async move {
            (allow.map(|allow| [(header::ALLOW, allow)]), PageError::new(Reason::METHOD)).into_response()
        }
    };
    let mut router = Router::new();
    for route in all(app.config.dev) {
        let enforce = from_fn_with_state((Shared::clone(app), route.policy), enforcement::enforce);
        let refuses_head = route.method == Method::GET && !route.head;
        let handler = route.handler.layer(enforce);
        let handler = match app.limiters.layer(route.policy.rate) {
            Some(limit) => handler.layer(limit),
            None => handler,
        };
        // Outside the rate limit: a refused HEAD does not use up the page's requests.
        let handler = if refuses_head { handler.head(wrong_method.clone()) } else { handler };
        router = router.route(route.path, handler);
    }
    router
        .fallback(|| async { PageError::new(Reason::NOT_FOUND) })
        .method_not_allowed_fallback(wrong_method)
        .with_state(Shared::clone(app))
}

/// The methods of each path, as the `Allow` header of a 405 lists them (RFC 9110 section 15.5.6).
fn methods(dev: bool) -> HashMap<&'static str, String> {
    let mut methods: HashMap<&'static str, String> = HashMap::new();
    for route in all(dev) {
        let names = methods.entry(route.path).or_default();
        for method in [Some(&route.method), route.head.then_some(&Method::HEAD)].into_iter().flatten() {
            if !names.is_empty() {
                names.push_str(", ");
            }
            names.push_str(method.as_str());
        }
    }
    methods
}

/// A route as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFacts {
    /// GET or POST.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// Whether a session is needed.
    pub signed_in: bool,
    /// Whether a form must carry our CSRF token.
    pub csrf: bool,
    /// The largest form body that is read, in bytes.
    pub form_limit: Option<usize>,
    /// Whether HEAD is answered.
    pub head: bool,
    /// Whether the answer is JSON.
    pub json: bool,
    /// Whether it answers under any host name.
    pub any_host: bool,
}

/// All routes, for the generated test matrix: no route goes untested.
pub fn facts(dev: bool) -> Vec<RouteFacts> {
    all(dev)
        .into_iter()
        .map(|route| RouteFacts {
            head: route.head,
            method: route.method,
            path: route.path,
            signed_in: route.policy.auth == Auth::SignedIn,
            csrf: route.policy.csrf == Csrf::Token,
            form_limit: match route.policy.body {
                BodyClass::None => None,
                BodyClass::Form(limit) => Some(limit),
            },
            json: speaks_json(route.path),
            any_host: route.policy.auth == Auth::Probe,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::policy::is_probe;

    #[test]
    fn no_post_is_declared_safe_and_cookies_count_only_with_a_token() {
        for route in all(true) {
            let policy = route.policy;
            assert_eq!(route.method == POST, policy.csrf != Csrf::Safe, "{} {}", route.method, route.path);
            assert_eq!(
                route.method == POST,
                policy.body != BodyClass::None,
                "{} {}",
                route.method,
                route.path
            );
            if policy.csrf == Csrf::NotNeeded {
                assert!(!matches!(policy.auth, Auth::Browser | Auth::SignedIn), "{}", route.path);
            }
        }
    }

    #[test]
    fn every_endpoint_of_discovery_is_a_route() {
        let issuer = idp_core::oauth::issuer::Issuer::parse("https://id.example").unwrap();
        let document = idp_core::oauth::discovery::document(&issuer).unwrap();
        let document: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&document).unwrap();
        let paths: Vec<&str> = all(false).iter().map(|route| route.path).collect();
        for (name, value) in
            document.iter().filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri")
        {
            let path = value.as_str().unwrap().strip_prefix("https://id.example").unwrap();
            assert!(paths.contains(&path), "{name}");
        }
    }

    #[test]
    fn only_probes_are_answered_under_any_host() {
        for route in all(true) {
            assert_eq!(route.policy.auth == Auth::Probe, is_probe(route.path), "{}", route.path);
        }
    }

    #[test]
    fn dev_pages_exist_in_dev_only() {
        assert!(all(false).iter().all(|route| !route.path.starts_with("/dev")));
    }
}
