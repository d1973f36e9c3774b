//! What surrounds every request: its id, the client's address, the host it was sent to, the headers every answer
//! carries, the page of an error, and the log line of what went wrong. A panic ends here as one 500.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use idp_core::secret::{base64url, random_bytes};
use serde::Serialize;

use crate::address::{RequestInfo, client_address};
use crate::errors::{About, Explanation, OAuthError, PageError, Reason};
use crate::form;
use crate::policy;
use crate::render::Html;
use crate::state::Shared;
use crate::{panics, render, visit};

/// Longer request targets are refused before anything of them is read.
const LONGEST_TARGET: usize = 8 * 1024;

/// A page that tells of a refusal may end a session all the same.
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// The outermost layer.
pub(crate) async fn frame(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let info = RequestInfo {
        address: client_address(peer, request.headers(), &app.config.trusted_proxies),
        request_id: base64url(&random_bytes::<12>()),
    };
    if app.config.trusted_proxies.is_empty() && request.headers().contains_key("x-forwarded-for") {
        app.proxy_noted.call_once(|| note_proxy(peer));
    }
    request.extensions_mut().insert(info.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = match request.uri().path_and_query().map_or(0, |target| target.as_str().len()) {
        _ if !host_is_ours(&app, &request) => misdirected(&app).into_response(),
        length if length > LONGEST_TARGET => PageError::new(Reason::TOO_LARGE).into_response(),
        _ if form::decode_part(path.as_bytes()).is_none() => {
            PageError::new(Reason::NOT_FOUND).into_response()
        }
        _ => run(request, next).await,
    };
    if let Some(failure) = Failure::of(&response) {
        failure.log(&info, method.as_str(), logged(&path, failure.reason));
    }
    let response = match response.extensions().get::<PageError>().cloned() {
        Some(error) => answer(&app, error, response, &info, &path),
        None => response,
    };
    with_headers(response, &info)
}

/// Behind a proxy that is not trusted everybody has one address, and shares one limit.
fn note_proxy(peer: IpAddr) {
    tracing::warn!(
        %peer,
        "a request came with X-Forwarded-For, and server.trusted_proxies is empty: if a proxy of yours stands before \
         this server, name it there, or everybody behind it counts as one address; said once"
    );
}

/// The host is checked, never used: every link starts with the configured issuer. Probes come by address.
fn host_is_ours(app: &Shared, request: &Request) -> bool {
    let headers: Vec<&HeaderValue> = request.headers().get_all(header::HOST).iter().collect();
    let named = request.uri().authority().map(axum::http::uri::Authority::as_str);
    let mut hosts = headers.iter().map(|host| host.to_str().unwrap_or_default()).chain(named).peekable();
    let ours = |host: &str| host.eq_ignore_ascii_case(app.config.issuer.authority());
    let named_once = headers.len() <= 1 && hosts.peek().is_some();
    named_once && hosts.all(ours) || policy::is_probe(request.uri().path())
}

fn misdirected(app: &Shared) -> PageError {
    let home = app.config.issuer.url("/");
    PageError::new(Reason::MISDIRECTED).detail("unknown host").action(home, "action-home")
}

async fn run(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            PageError::new(Reason::INTERNAL).detail(format!("a panic at {}", panics::place())).into_response()
        }
    }
}

/// A path for the log. Mail programs break links: where it leads nowhere, or holds escaped signs, its end may be a token.
fn logged<'a>(path: &'a str, reason: &str) -> &'a str {
    let plain = path.split('%').next().unwrap_or_default();
    let first_segment = plain.get(1..).and_then(|rest| rest.find('/')).map_or(plain, |end| &plain[..=end]);
    if reason == Reason::NOT_FOUND.key { first_segment } else { plain }
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

    fn log(&self, info: &RequestInfo, method: &str, path: &str) {
        let Self { status, reason, detail, about } = self;
        let (client_id, value) = (about.client_id.as_deref(), about.value.as_deref());
        let (status, request_id, client_address) =
            (status.as_u16(), &info.request_id, info.address.to_string());
        if status >= 500 {
            tracing::error!(
                request_id, client_address, method, path, status, reason, detail, "request failed"
            );
        } else {
            tracing::info!(
                request_id, client_address, method, path, status, reason, client_id, detail, value,
                "request refused"
            );
        }
    }
}

/// The error as a page, or as JSON where applications call.
fn answer(app: &Shared, error: PageError, bare: Response, info: &RequestInfo, path: &str) -> Response {
    let kept = [header::ALLOW, header::SET_COOKIE, CLEAR_SITE_DATA].map(|name| {
        let values: Vec<HeaderValue> = bare.headers().get_all(&name).iter().cloned().collect();
        (name, values)
    });
    let mut response = match policy::speaks_json(path) {
        true => error.as_oauth().into_response(),
        false => page(app, &error, info),
    };
    for (name, values) in kept {
        for value in values {
            response.headers_mut().append(name.clone(), value);
        }
    }
    if let Some(seconds) = error.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
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

fn page(app: &Shared, error: &PageError, info: &RequestInfo) -> Response {
    let words = &app.renderer.words;
    let key = error.reason.key;
    let domain = app.config.issuer.authority();
    let args = [
        ("seconds", error.retry_after.unwrap_or(60).into()),
        ("domain", domain.into()),
        ("brand", app.config.brand.as_str().into()),
        ("app", error.about.app.as_deref().unwrap_or_default().into()),
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
            tracing::error!(
                detail = broken.detail.as_deref().unwrap_or_default(),
                "the error page is broken"
            );
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
