//! What every web application needs, however people sign in: sessions, pages, errors.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, anyhow, ensure};
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header, request::Parts};
use axum::middleware::Next;
use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use openidconnect::{
    AdditionalClaims, AsyncHttpClient, AuthorizationCode, ClientId, CsrfToken, HttpRequest, HttpResponse,
    IssuerUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tera::{Context, Tera, context};
use tokio::sync::Mutex;

use crate::{App, Config, SignedIn};

impl App {
    pub(crate) fn new(config: Config) -> Result<Self, Error> {
        let issuer = IssuerUrl::new(config.issuer.clone()).context("the issuer is not a URL")?;
        let encrypted = issuer.url().scheme() == "https";
        ensure!(
            encrypted || issuer.url().scheme() == "http" && issuer.url().host_str().is_some_and(is_loopback),
            "the issuer must be an https URL, unless it is on this machine: http would send the client secret and the tokens in clear"
        );
        let base_url = IssuerUrl::new(config.base_url.clone()).context("the base URL is not a URL")?;
        let origin = base_url.url().origin().ascii_serialization();
        ensure!(config.base_url == origin, "write the base URL as {origin}");
        let mut tera = Tera::new();
        tera.add_raw_template("page.html", include_str!("../page/page.html"))?;
        let (provider, pending, sessions) = Default::default();
        let cookies = CookieNames::of(&base_url);
        Ok(Self { config, issuer, cookies, http: Http::new(encrypted)?, tera, provider, pending, sessions })
    }

    pub(crate) fn client_id(&self) -> ClientId {
        ClientId::new(self.config.client_id.clone())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.config.base_url)
    }

    /// Sends the browser to the issuer, with a cookie that proves to us later that this browser left with this
    /// `state`. Each errand has a cookie of its own, so that several tabs do not disturb each other.
    pub(crate) fn send(&self, errand: Errand, state: &CsrfToken, to: &str) -> Response {
        let cookie = self.cookie(&self.cookies.of_errand(errand, state), "1", errand.path(), MAX_AGE);
        ([(header::SET_COOKIE, cookie)], Redirect::to(to)).into_response()
    }

    /// Removes the cookie of an errand that is over.
    pub(crate) fn forget(&self, errand: Errand, state: &CsrfToken, response: Response) -> Response {
        let cookie = self.cookie(&self.cookies.of_errand(errand, state), "", errand.path(), Duration::ZERO);
        (AppendHeaders([(header::SET_COOKIE, cookie)]), response).into_response()
    }

    /// Signs somebody in, in this browser, and shows the start page.
    pub(crate) async fn start_session(&self, browser: &Browser, user: SignedIn) -> Response {
        let id = CsrfToken::new_random_len(32).into_secret();
        let mut sessions = self.sessions.lock().await;
        sessions.take(browser.session());
        sessions.put(id.clone(), User(Arc::new(Mutex::new(user))));
        let cookie = self.cookie(&self.cookies.session(), &id, "/", MAX_AGE);
        ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
    }

    /// Scripts cannot read the cookie. With `Lax`, browsers send it when the issuer redirects back here, but
    /// not when another site posts a form.
    fn cookie(&self, name: &str, value: &str, path: &str, age: Duration) -> String {
        let secure = if self.config.base_url.starts_with("https:") { "; Secure" } else { "" };
        let age = age.as_secs();
        format!("{name}={value}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Lax{secure}")
    }

    pub(crate) fn page(&self, mut context: Context) -> Result<Response, Error> {
        context.insert("issuer", &self.config.issuer);
        context.insert("client_id", &self.config.client_id);
        context.insert("base_url", &self.config.base_url);
        Ok(Html(self.tera.render("page.html", &context)?).into_response())
    }

    /// Whether a form is our own. To a browser all ports of localhost are the same *site*, so `SameSite` does
    /// not keep out their forms. But browsers say from which *origin* a form comes; a request that does not is
    /// not from a browser.
    fn is_own(&self, headers: &HeaderMap) -> bool {
        match headers.get("sec-fetch-site") {
            Some(site) => site == "same-origin",
            None => headers.get(header::ORIGIN).is_none_or(|it| *it == self.config.base_url),
        }
    }

    /// `form-action` includes the issuer because the form to sign out ends in a redirect to it. With 'self'
    /// alone, Chromium blocks that silently.
    fn headers(&self) -> [(header::HeaderName, String); 4] {
        let issuer = self.issuer.url().origin().ascii_serialization();
        let policy = format!(
            "default-src 'none'; style-src 'self'; form-action 'self' {issuer}; \
             base-uri 'none'; frame-ancestors 'none'"
        );
        [
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::CACHE_CONTROL, "no-store".into()),
            (header::REFERRER_POLICY, "same-origin".into()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".into()),
        ]
    }
}

/// The HTTP client that the `openidconnect` crate uses to reach the issuer.
pub(crate) struct Http(reqwest::Client);

impl Http {
    /// Follows no redirects, which could send our secret anywhere, and has a timeout. An encrypted issuer cannot lead us
    /// to endpoints that are not.
    fn new(encrypted: bool) -> Result<Self, Error> {
        let client =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).https_only(encrypted);
        Ok(Self(client.timeout(Duration::from_secs(10)).build()?))
    }
}

/// Whether a host is this machine, so that what is sent there does not cross a network.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = reqwest::Error;
    type Future = Pin<Box<dyn Future<Output = reqwest::Result<HttpResponse>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let response = self.0.execute(request.try_into()?).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut converted = HttpResponse::new(response.bytes().await?.to_vec());
            *converted.status_mut() = status;
            *converted.headers_mut() = headers;
            Ok(converted)
        })
    }
}

/// How our cookies are called. All ports of a host share their cookies, so the names contain the port: nothing else may
/// use them, not even another example on another port. Sessions are kept in memory, so no cookie of an earlier name is
/// worth reading.
#[derive(Clone)]
pub(crate) struct CookieNames {
    /// `-4711`, or nothing for a base URL without a port.
    port: String,
}

impl CookieNames {
    fn of(base_url: &IssuerUrl) -> Self {
        Self { port: base_url.url().port().map(|port| format!("-{port}")).unwrap_or_default() }
    }

    fn session(&self) -> String {
        format!("example-session{}", self.port)
    }

    /// How the names for an errand begin; the `state` follows.
    fn prefix(&self, errand: Errand) -> String {
        match errand {
            Errand::SignIn => format!("example-sign-in{}.", self.port),
            Errand::SignOut => format!("example-sign-out{}.", self.port),
        }
    }

    fn of_errand(&self, errand: Errand, state: &CsrfToken) -> String {
        format!("{}{}", self.prefix(errand), state.secret())
    }
}

/// How long sign-ins in progress and sessions last.
const MAX_AGE: Duration = Duration::from_secs(3_600);
/// How many sign-ins one browser may have in progress. Each has a cookie, and a server refuses headers that are too long.
const MOST_SIGN_INS: usize = 10;

/// What a browser is sent to the issuer for.
#[derive(Clone, Copy)]
pub(crate) enum Errand {
    SignIn,
    SignOut,
}

impl Errand {
    /// Which pages see its cookies. A sign-in that begins looks at the earlier ones.
    fn path(self) -> &'static str {
        match self {
            Self::SignIn => "/",
            Self::SignOut => "/signed-out",
        }
    }
}

/// What is kept by a random key, oldest first. Anybody can add to it, so number and age are limited.
pub(crate) struct Kept<T>(VecDeque<(String, Instant, T)>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Kept<T> {
    const MAX_COUNT: usize = 1_000;

    pub(crate) fn put(&mut self, key: String, value: T) {
        if self.0.len() >= Self::MAX_COUNT {
            self.0.pop_front();
        }
        self.0.push_back((key, Instant::now(), value));
    }

    pub(crate) fn find(&mut self, key: &str) -> Option<&T> {
        self.remove_expired(Instant::now());
        self.0.iter().find(|(own, _, _)| own == key).map(|(_, _, value)| value)
    }

    /// The position of a key: the higher, the newer.
    fn position(&self, key: &str) -> Option<usize> {
        self.0.iter().position(|(own, _, _)| own == key)
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<T> {
        self.remove_expired(Instant::now());
        let at = self.position(key)?;
        self.0.remove(at).map(|(_, _, value)| value)
    }

    fn remove_expired(&mut self, now: Instant) {
        self.0.retain(|(_, since, _)| now.duration_since(*since) < MAX_AGE);
    }
}

/// The cookies that the browser sent.
pub(crate) struct Browser {
    /// Names and values.
    cookies: Vec<(String, String)>,
    names: CookieNames,
}

impl Browser {
    fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The session id, or nothing.
    pub(crate) fn session(&self) -> &str {
        self.cookie(&self.names.session()).unwrap_or_default()
    }

    /// Whether we sent this browser away with this `state`.
    pub(crate) fn left(&self, errand: Errand, state: &CsrfToken) -> bool {
        self.cookie(&self.names.of_errand(errand, state)).is_some()
    }

    /// The sign-ins whose cookies must go before one more begins: those that are over, and the oldest if there are too
    /// many.
    pub(crate) fn superfluous<T>(&self, pending: &Kept<T>) -> Vec<CsrfToken> {
        let prefix = self.names.prefix(Errand::SignIn);
        let names = self.cookies.iter().map(|(name, _)| name);
        let mut states: Vec<_> = names.filter_map(|name| name.strip_prefix(&prefix)).collect();
        states.sort_by_key(|state| std::cmp::Reverse(pending.position(state)));
        let old = states
            .iter()
            .enumerate()
            .filter(|(at, state)| *at + 1 >= MOST_SIGN_INS || pending.position(state).is_none());
        // A cookie's name goes back into a header: only what we made.
        let ours =
            |state: &str| state.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        old.map(|(_, state)| *state)
            .filter(|state| ours(state))
            .map(|state| CsrfToken::new(state.to_owned()))
            .collect()
    }
}

impl FromRequestParts<Arc<App>> for Browser {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let lines = parts.headers.get_all(header::COOKIE).iter();
        let pairs = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split("; "));
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        let cookies = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { cookies, names: app.cookies.clone() })
    }
}

/// Proof that somebody is signed in. Hold the lock to use the tokens.
#[derive(Clone)]
pub(crate) struct User(pub(crate) Arc<Mutex<SignedIn>>);

impl FromRequestParts<Arc<App>> for User {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Ok(browser) = Browser::from_request_parts(parts, app).await;
        let mut sessions = app.sessions.lock().await;
        let user = sessions.find(browser.session()).cloned();
        Ok(user.context(
            "You are not signed in here. A session ends when you sign out in any tab, and after an hour.",
        )?)
    }
}

/// What the issuer sends back through the browser.
#[derive(Deserialize, FromRequestParts)]
#[from_request(via(Query), rejection(Failure))]
pub(crate) struct AuthorizationResponse {
    pub(crate) code: Option<AuthorizationCode>,
    pub(crate) state: Option<CsrfToken>,
    pub(crate) iss: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) error_description: Option<String>,
}

/// Userinfo claims that OpenID Connect does not define, kept for display.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct OtherClaims(Map<String, Value>);

impl AdditionalClaims for OtherClaims {}

/// An error for the person to see: first what happened, then what to try.
pub(crate) struct Failure(Error);

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let by_network = self.0.chain().any(|cause| cause.is::<reqwest::Error>());
        let status = if by_network { StatusCode::BAD_GATEWAY } else { StatusCode::BAD_REQUEST };
        let mut response = status.into_response();
        response.extensions_mut().insert(Arc::new(self.0)); // `guard` turns it into a page
        response
    }
}

pub(crate) async fn not_found() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, Failure(anyhow!("There is no such page. Go to the start page.")))
}

pub(crate) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css")], include_str!("../page/style.css"))
}

/// Middleware for every handler: refuses forged posts, turns errors into pages, sets headers.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::POST && !app.is_own(request.headers()) {
        let failure = Failure(anyhow!("Another site sent this form. Use the buttons on this site."));
        (StatusCode::FORBIDDEN, failure).into_response()
    } else {
        next.run(request).await
    };
    if let Some(error) = response.extensions_mut().remove::<Arc<Error>>() {
        let page = app.page(failed(&error)).map_err(|broken| broken.to_string());
        let cookies = response.headers().get_all(header::SET_COOKIE).iter().cloned();
        let cookies = AppendHeaders(cookies.map(|cookie| (header::SET_COOKIE, cookie)).collect::<Vec<_>>());
        response = (response.status(), cookies, page).into_response();
    }
    (app.headers(), response).into_response()
}

fn failed(error: &Error) -> Context {
    let message = error.to_string();
    let (what, advice) = message.split_once(". ").unwrap_or((&message, "Start again."));
    let causes = error.chain().map(ToString::to_string).filter(|cause| !message.contains(cause));
    context! { view => "failed", what, advice, why => &causes.collect::<Vec<_>>().join(": ") }
}

/// The page for somebody who is signed in.
pub(crate) fn signed_in(user: &SignedIn) -> Context {
    let id_token = user.id_token.to_string();
    let claims = decode(&id_token).and_then(|[_, payload]| payload.as_object().cloned());
    let claims = claims.iter().flatten().map(|(name, value)| (name, readable(name, value)));
    let who = |name| user.userinfo.as_ref().and_then(|claims| claims[name].as_str());
    context! {
        view => "signed_in",
        name => &who("name").unwrap_or(user.subject.as_str()),
        email => &who("email"),
        notice => user.notice,
        claims => &claims.collect::<Vec<_>>(),
        tokens => &[token("ID token", &id_token), token("Access token", user.access_token.secret())],
        userinfo => &user.userinfo.as_ref().map(|claims| format!("{claims:#}")),
        can_refresh => &user.refresh_token.is_some(),
    }
}

/// A claim's value. A time (in seconds, RFC 7519) is also shown as people write it.
fn readable(name: &str, value: &Value) -> String {
    let seconds = value.as_i64().filter(|_| ["exp", "iat", "auth_time"].contains(&name));
    match seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()) {
        Some(moment) => format!("{value} = {}", moment.strftime("%-d %B %Y, %H:%M:%S UTC")),
        None => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

fn token(name: &str, raw: &str) -> Value {
    json!({ "name": name, "raw": raw, "parts": decode(raw).map(|it| it.map(|it| format!("{it:#}"))) })
}

/// Header and payload of a JWT, for display. Nothing is verified here.
fn decode(jwt: &str) -> Option<[Value; 2]> {
    let json = |part| serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    match jwt.split('.').collect::<Vec<_>>()[..] {
        [header, payload, _signature] => Some([json(header)?, json(payload)?]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_for_the_newest() {
        let mut kept = Kept::default();
        for number in 0..=Kept::<usize>::MAX_COUNT {
            kept.put(number.to_string(), number);
        }
        assert_eq!(kept.0.len(), Kept::<usize>::MAX_COUNT);
        let found = ["0", "1", ""].map(|key| kept.find(key).copied());
        assert_eq!(found, [None, Some(1), None]);
        assert_eq!((kept.take("1"), kept.take("1")), (Some(1), None));
    }

    #[test]
    fn fault_21_the_cookies_name_contains_the_port() {
        for (url, name) in [
            ("http://localhost:8081", "example-session-8081"),
            ("https://app.example:8443", "example-session-8443"),
            ("https://app.example", "example-session"),
        ] {
            assert_eq!(CookieNames::of(&IssuerUrl::new(url.to_owned()).unwrap()).session(), name);
        }
    }

    #[test]
    fn fault_18_the_secret_is_sent_in_clear_to_this_machine_only() {
        let app = |issuer: &str| {
            let (client_id, client_secret) = ("example".to_owned(), Some("secret".to_owned()));
            let base_url = "http://localhost:8081".to_owned();
            App::new(Config { issuer: issuer.to_owned(), client_id, client_secret, base_url })
        };
        for issuer in ["https://id.example", "http://localhost:4711", "http://127.0.0.2", "http://[::1]:4711"]
        {
            assert!(app(issuer).is_ok(), "{issuer}");
        }
        for issuer in ["http://id.example", "http://localhost.example", "http://192.0.2.1", "ftp://localhost"]
        {
            assert!(app(issuer).is_err(), "{issuer}");
        }
    }

    #[test]
    fn a_session_ends_after_an_hour() {
        let mut kept = Kept::default();
        kept.put("key".to_owned(), ());
        let end = Instant::now() + MAX_AGE;
        kept.remove_expired(end - Duration::from_secs(60));
        assert!(kept.find("key").is_some());
        kept.remove_expired(end);
        assert!(kept.find("key").is_none());
    }

    #[test]
    fn times_are_readable_and_other_values_unchanged() {
        assert_eq!(readable("exp", &json!(1_000_000_000)), "1000000000 = 9 September 2001, 01:46:40 UTC");
        assert_eq!(readable("sub", &json!("ada")), "ada");
        assert_eq!(readable("amr", &json!(["pwd"])), "[\"pwd\"]");
        assert_eq!(readable("max", &json!(5)), "5");
    }

    #[test]
    fn a_jwt_is_decoded_and_an_opaque_token_is_not() {
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2ln";
        assert_eq!(decode(jwt), Some([json!({ "alg": "RS256" }), json!({ "sub": "ada" })]));
        for opaque in ["", "opaque", "a.b", "a.b.c", &format!("{jwt}.x")] {
            assert_eq!(decode(opaque), None, "{opaque}");
        }
    }
}
