//! What surrounds every request: its id, the client's address, the host it was sent to, the limit of what no route
//! answers, the headers every answer carries, the page of an error, and the log line of what went wrong. A panic ends here
//! as one 500.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use idp_core::authority::Authority;
use idp_core::oauth::issuer::{BadHost, HttpVersion};
use idp_core::secret::{base64url, random_bytes};
use idp_core::text::Excerpt;
use serde::Serialize;

use crate::address::{RequestInfo, client_address};
use crate::errors::{About, Explanation, OAuthError, PageError, Reason};
use crate::form;
use crate::policy::{self, UNROUTED};
use crate::refusal_log::Fault;
use crate::render::Html;
use crate::shares::Caller;
use crate::state::Shared;
use crate::{panics, render, visit};

/// Longer request targets are refused before anything of them is read.
const LONGEST_TARGET: usize = 8 * 1024;
/// How much of a host is shown: names have 253 characters at most.
const LONGEST_HOST: usize = 260;
/// How much of a detail stands in the log.
const LONGEST_DETAIL: usize = 500;

/// A page that tells of a refusal may end a session all the same.
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// The outermost layer.
pub(crate) async fn frame(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let (address, admitted) = match request.extensions().get::<Caller>() {
        Some(caller) => (caller.address, caller.admitted),
        None => (client_address(peer, request.headers(), &app.config.trusted_proxies), true),
    };
    let info = RequestInfo { address, request_id: base64url(&random_bytes::<12>()) };
    if app.config.trusted_proxies.is_empty() && request.headers().contains_key("x-forwarded-for") {
        app.proxy_noted.call_once(|| note_proxy(address));
    }
    request.extensions_mut().insert(info.clone());
    let mut asked = Asked::of(&request);
    let is_probe = policy::is_probe(request.uri().path());
    if !admitted && !is_probe {
        let error = PageError { retry_after: Some(1), ..PageError::new(Reason::UNAVAILABLE) };
        app.refusals.count_of("requests under way", info.network());
        return with_headers(in_short(&app, &error, &asked), &info);
    }
    let (response, unrouted) = match unreadable(&app, &request, is_probe, &mut asked) {
        Some(error) => (error.into_response(), true),
        None => {
            let response = run(request, next).await;
            let unrouted = is_unrouted(&response);
            (response, unrouted)
        }
    };
    if unrouted && let Some(seconds) = app.limiters.wait(UNROUTED.rate, info.network()) {
        let error = PageError { retry_after: Some(seconds), ..PageError::new(Reason::TOO_MANY) };
        app.refusals.count(error.reason.key);
        return with_headers(in_short(&app, &error, &asked), &info);
    }
    if let Some(failure) = Failure::of(&response) {
        failure.log(&app, &info, &asked);
    }
    let response = match response.extensions().get::<PageError>().cloned() {
        Some(error) => answer(&app, error, response, &info, &asked),
        None => response,
    };
    with_headers(response, &info)
}

/// The methods that the log names. Others are words of a stranger's.
const METHODS: [(Method, &str); 9] = [
    (Method::GET, "GET"),
    (Method::HEAD, "HEAD"),
    (Method::POST, "POST"),
    (Method::PUT, "PUT"),
    (Method::PATCH, "PATCH"),
    (Method::DELETE, "DELETE"),
    (Method::OPTIONS, "OPTIONS"),
    (Method::TRACE, "TRACE"),
    (Method::CONNECT, "CONNECT"),
];

/// What was asked for, as far as an answer and the log must know it.
struct Asked {
    method: &'static str,
    /// The route, with its parameters in braces.
    route: Option<MatchedPath>,
    /// What the log says of a path without a route.
    beginning: String,
    /// The host, where it is not ours, as it may be shown.
    host: Option<String>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let method =
            METHODS.iter().find(|(method, _)| method == request.method()).map_or("other", |(_, name)| name);
        let route = request.extensions().get::<MatchedPath>().cloned();
        let beginning = if route.is_some() { String::new() } else { beginning(request.uri().path()) };
        Self { method, route, beginning, host: None }
    }

    fn speaks_json(&self) -> bool {
        self.route.as_ref().is_some_and(|route| policy::speaks_json(route.as_str()))
    }

    fn path(&self) -> &str {
        self.route.as_ref().map_or(&self.beginning, |route| route.as_str())
    }
}

/// The beginning of a path that is no route, for the log. Mail programs break links, so that the rest may be a token, with
/// any sign before it: ten small letters are no secret of ours, nor enough of one.
fn beginning(path: &str) -> String {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let dot = if rest.starts_with('.') { "." } else { "" };
    let letters = rest[dot.len()..].chars().take_while(char::is_ascii_lowercase).take(10);
    letters.fold(format!("/{dot}"), |mut text, letter| {
        text.push(letter);
        text
    })
}

/// Why a request is refused before any route sees it.
fn unreadable(app: &Shared, request: &Request, is_probe: bool, asked: &mut Asked) -> Option<PageError> {
    if let Some((host, error)) = wrong_host(app, request, is_probe) {
        asked.host = Some(host);
        return Some(error);
    }
    let length = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if length > LONGEST_TARGET {
        return Some(PageError::new(Reason::TOO_LARGE).detail("the target is too long"));
    }
    let path = request.uri().path();
    (path.contains('%') && form::decode_part(path.as_bytes()).is_none())
        .then(|| PageError::new(Reason::NOT_FOUND).detail("the path's percent-encoding is malformed"))
}

/// Whether nothing but the classes of [`UNROUTED`] holds for an answer: no route made it, or one without a limit of its
/// own. What a limit refused counts here once more, so that not even its pages are without end.
fn is_unrouted(response: &Response) -> bool {
    let reason = response.extensions().get::<PageError>().map(|error| error.reason);
    reason.is_some_and(|reason| [Reason::NOT_FOUND, Reason::METHOD, Reason::TOO_MANY].contains(&reason))
}

/// Behind a proxy that is not trusted everybody has one address, and shares one limit.
fn note_proxy(peer: IpAddr) {
    tracing::warn!(
        %peer,
        "a request came with X-Forwarded-For, and server.trusted_proxies is empty: if a proxy of yours stands before \
         this server, name it there, or everybody behind it counts as one address; said once"
    );
}

/// The host is checked, never used: every link starts with the configured issuer. Probes come by address, and in HTTP/1.0
/// without any host. Answers the host that was asked for, as it may be shown, and what is wrong with it.
fn wrong_host(app: &Shared, request: &Request, is_probe: bool) -> Option<(String, PageError)> {
    let version = match request.version() {
        Version::HTTP_2 => HttpVersion::V2,
        Version::HTTP_11 => HttpVersion::V1_1,
        _ => HttpVersion::V1_0,
    };
    let target = request.uri().authority().map(axum::http::uri::Authority::as_str);
    let hosts = request.headers().get_all(header::HOST).iter().map(HeaderValue::as_bytes);
    let why = match app.config.issuer.is_asked(version, target, hosts) {
        Ok(ours) if ours || is_probe => return None,
        Err(BadHost::Missing) if is_probe && version == HttpVersion::V1_0 => return None,
        Ok(_) => None,
        Err(why) => Some(why),
    };
    let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
    let asked = target.map(str::as_bytes).or(host).unwrap_or_default();
    // What stands before an `@` may be a password.
    let asked = asked.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    let asked = Excerpt::new(asked, LONGEST_HOST).to_string();
    let error = misdirected(app, &asked, why);
    Some((asked, error))
}

/// Says which host was asked for and which is served: 421, or 400 where the request does not name one.
fn misdirected(app: &Shared, asked: &str, why: Option<BadHost>) -> PageError {
    let served = app.config.issuer.authority();
    let (reason, detail) = match why {
        Some(why @ BadHost::Missing) => (Reason::BAD_HOST, format!("{why}: this is {served}")),
        Some(why @ BadHost::Doubled) => (Reason::BAD_HOST, why.to_string()),
        Some(why) => (Reason::BAD_HOST, format!("{why}: the request is for '{asked}', and this is {served}")),
        None if Authority::parse(asked).is_ok_and(|host| host.ends_in_dot()) => {
            let dot = "the dot at the end makes it another site to browsers";
            (Reason::MISDIRECTED_DOT, format!("the request is for '{asked}', and this is {served}: {dot}"))
        }
        None => (Reason::MISDIRECTED, format!("the request is for '{asked}', and this is {served}")),
    };
    PageError::new(reason).detail(detail).action(app.config.issuer.url("/"), "action-home")
}

async fn run(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            PageError::new(Reason::INTERNAL).detail(format!("a panic at {}", panics::place())).into_response()
        }
    }
}

/// What the log says of an answer that is an error, whoever it is for.
struct Failure {
    status: StatusCode,
    reason: &'static str,
    detail: String,
    about: Box<About>,
}

impl Failure {
    fn of(response: &Response) -> Option<Self> {
        let extensions = response.extensions();
        if let Some(OAuthError { refusal, detail, about, .. }) = extensions.get::<OAuthError>() {
            let (detail, about) = (detail.as_deref().unwrap_or(refusal.hint).to_owned(), about.clone());
            return Some(Self { status: response.status(), reason: refusal.code.as_str(), detail, about });
        }
        let error = extensions.get::<PageError>()?;
        let (detail, about) = (error.detail.clone().unwrap_or_default(), error.about.clone());
        Some(Self { status: error.reason.status, reason: error.reason.key, detail, about })
    }

    fn log(&self, app: &Shared, info: &RequestInfo, asked: &Asked) {
        let Self { status, reason, detail, about } = self;
        let fault = if status.is_server_error() { Fault::Ours } else { Fault::Theirs };
        if !app.refusals.admits(fault, reason) {
            return;
        }
        let detail = Excerpt::new(detail, LONGEST_DETAIL);
        let (status, request_id, client_address, detail) =
            (status.as_u16(), &info.request_id, info.address.to_string(), detail.as_str());
        let (method, path) = (asked.method, asked.path());
        let (client_id, value) = (about.client_id.as_deref(), about.value.as_deref());
        match fault {
            Fault::Ours => tracing::error!(
                request_id, client_address, method, path, status, reason, detail, "request failed"
            ),
            Fault::Theirs => tracing::info!(
                request_id, client_address, method, path, status, reason, client_id, detail, value,
                "request refused"
            ),
        }
    }
}

/// The error as a page, or as JSON where applications call.
fn answer(app: &Shared, error: PageError, bare: Response, info: &RequestInfo, asked: &Asked) -> Response {
    let kept = [header::ALLOW, header::SET_COOKIE, CLEAR_SITE_DATA].map(|name| {
        let values: Vec<HeaderValue> = bare.headers().get_all(&name).iter().cloned().collect();
        (name, values)
    });
    let mut response = match asked.speaks_json() {
        true => {
            // Its developer is told what the log is.
            let told = error.detail.as_deref().filter(|_| asked.host.is_some()).map(Box::from);
            OAuthError { told, ..error.as_oauth() }.into_response()
        }
        false => page(app, &error, info, asked),
    };
    for (name, values) in kept {
        for value in values {
            response.headers_mut().append(name.clone(), value);
        }
    }
    retry_after(&mut response, &error);
    response
}

fn retry_after(response: &mut Response, error: &PageError) {
    if let Some(seconds) = error.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// The error where there may be very many of it: one sentence instead of a page.
fn in_short(app: &Shared, error: &PageError, asked: &Asked) -> Response {
    if asked.speaks_json() {
        return error.as_oauth().into_response();
    }
    let seconds = [("seconds", error.retry_after.unwrap_or(60).into())];
    let text = app.renderer.words.text(&format!("error-{}", error.reason.key), &seconds);
    let mut response = (error.reason.status, render::without_marks(&text)).into_response();
    retry_after(&mut response, error);
    response
}

#[derive(Serialize)]
struct ErrorPage<'a> {
    kind: &'static str,
    reason: &'static str,
    heading: String,
    text: String,
    action: Option<Button<'a>>,
    reference: &'a str,
    at: String,
    dev_detail: Option<&'a Explanation>,
    dev_fix: Option<String>,
}

#[derive(Serialize)]
struct Button<'a> {
    url: &'a str,
    label: String,
}

fn page(app: &Shared, error: &PageError, info: &RequestInfo, asked: &Asked) -> Response {
    let words = &app.renderer.words;
    let key = error.reason.key;
    let domain = app.config.issuer.authority();
    let args = [
        ("seconds", error.retry_after.unwrap_or(60).into()),
        ("domain", domain.into()),
        ("brand", app.config.brand.as_str().into()),
        ("app", error.about.app.as_deref().unwrap_or_default().into()),
        ("asked", asked.host.as_deref().unwrap_or_default().into()),
    ];
    let heading = words.text(&format!("error-{key}-title"), &args);
    let action = match (&error.action, &error.about.app) {
        (Some(action), _) => Some(Button { url: &action.url, label: words.text(action.label, &args) }),
        (None, Some(_)) => None,
        (None, None) => Some(Button { url: "/", label: words.text("action-home", &args) }),
    };
    let dev_detail = error.explanation.as_deref().filter(|_| app.config.dev);
    let fix = dev_detail.and_then(|detail| detail.fix.as_ref());
    let content = ErrorPage {
        kind: error.reason.kind,
        reason: key,
        text: words.text(&format!("error-{key}"), &args),
        heading,
        action,
        reference: &info.request_id,
        at: crate::words::moment(app.clock.now()),
        dev_detail,
        dev_fix: fix.map(|fix| app.config.command.line(fix.verb, &fix.words)),
    };
    let frame = render::Frame {
        title: visit::title(app, &format!("error-{key}-title"), &args, false),
        notice: error.notice.map(|key| words.text(key, &args)),
        ..visit::frame(app)
    };
    match app.renderer.fill("pages/error.html", &[&frame, &content]) {
        Ok(body) => Html::new(body).status(error.reason.status).into_response(),
        Err(broken) => {
            if app.refusals.admits(Fault::Ours, "broken error page") {
                let detail = Excerpt::new(broken.detail.unwrap_or_default(), LONGEST_DETAIL);
                tracing::error!(%detail, "the error page is broken");
            }
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("Something went wrong. Reference: {}", info.request_id),
            )
                .into_response()
        }
    }
}

/// What every answer carries, whatever made it (OWASP ASVS 3.4).
const HEADERS: [(HeaderName, &str); 8] = [
    (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000; includeSubDomains"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()",
    ),
    (header::CACHE_CONTROL, "no-store"),
];

const NOTHING: &str =
    "default-src 'none'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; form-action 'none'";

fn with_headers(mut response: Response, info: &RequestInfo) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NOTHING));
    if let Ok(id) = HeaderValue::from_str(&info.request_id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    response
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
