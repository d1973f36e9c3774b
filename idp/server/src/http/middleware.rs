//! The outermost middleware. It gives each request an ID, determines the client's address, checks the host, limits
//! requests that no route answers, adds the headers of every response, renders error pages, and logs errors. A panic
//! becomes a 500 here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use idp_core::secret::{base64url, random_bytes};

use crate::http::address::{RequestInfo, came_over_http, client_address, is_trusted};
use crate::http::error_responses::{error_response, response_to_probe, short_error_response};
use crate::http::errors::{PageError, Reason};
use crate::http::host::RequestedHost;
use crate::http::policy::{self, LONGEST_TARGET, UNROUTED};
use crate::http::request_log::{LoggedError, RequestSummary};
use crate::http::shares::AddressShare;
use crate::http::{form, host, panics, security_headers};
use crate::state::Shared;

/// The outermost middleware.
pub(crate) async fn outermost(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let (address, admitted, by_proxy) = match request.extensions().get::<AddressShare>() {
        Some(caller) => (caller.address, caller.admitted, caller.by_proxy),
        None => {
            let proxies = &app.config.trusted_proxies;
            (client_address(peer, request.headers(), proxies), true, is_trusted(peer, proxies))
        }
    };
    let info = RequestInfo { address, request_id: base64url(&random_bytes::<12>()) };
    if app.config.trusted_proxies.is_empty() && request.headers().contains_key("x-forwarded-for") {
        app.proxy_noted.call_once(|| note_proxy(address));
    }
    request.extensions_mut().insert(info.clone());
    let mut summary = RequestSummary::of(&request);
    let is_probe = policy::is_probe(request.uri().path());
    let host = host::check(&app, &request, is_probe);
    let hsts = hsts(&app, &host, by_proxy, request.headers());
    let is_http1 = request.version() <= Version::HTTP_11;
    if !admitted && !is_probe {
        let error = PageError { retry_after: Some(1), ..PageError::new(Reason::UNAVAILABLE) };
        app.refusals.count_of("requests in progress", info.network());
        let ends_connection = is_http1 && has_unknown_transfer_coding(request.headers());
        let response = closing(short_error_response(&app, &error, &summary), ends_connection);
        return with_headers(response, &info, hsts);
    }
    let (response, unrouted) = match unreadable(&request, host, &mut summary) {
        Some(error) => (error.into_response(), true),
        None if request.method() == Method::OPTIONS && request.uri().path() == "*" => {
            (server_options(), true)
        }
        None => {
            let response = run(request, next).await;
            let unrouted = is_unrouted(&response);
            (response, unrouted)
        }
    };
    let reason = response.extensions().get::<PageError>().map(|error| error.reason);
    let ends_connection = is_http1 && reason.is_some_and(Reason::ends_connection);
    if unrouted && let Some(seconds) = app.limiters.wait(UNROUTED.rate, info.network()) {
        let error = PageError { retry_after: Some(seconds), ..PageError::new(Reason::TOO_MANY) };
        app.refusals.count(error.reason.key);
        let response = closing(short_error_response(&app, &error, &summary), ends_connection);
        return with_headers(response, &info, hsts);
    }
    if let Some(error) = LoggedError::of(&response) {
        error.log(&app, &info, &summary);
    }
    let response = match response.extensions().get::<PageError>().cloned() {
        Some(error) if is_probe && error.reason == Reason::BAD_HOST => {
            response_to_probe(&app, &error, &summary)
        }
        Some(error) => error_response(&app, error, response, &info, &summary),
        None => response,
    };
    with_headers(closing(response, ends_connection), &info, hsts)
}

/// The response, with the word that the connection ends if it does.
fn closing(mut response: Response, ends_connection: bool) -> Response {
    if ends_connection {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The response to `OPTIONS *`: what some resource here understands (RFC 9110 section 9.3.7).
fn server_options() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "GET, HEAD, POST, OPTIONS")]).into_response()
}

/// Whether a body's framing is in a transfer coding other than `chunked`. Only that one is decoded, so the rest of such
/// a body would be taken for a form (RFC 9112 section 6.1).
fn has_unknown_transfer_coding(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    let codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let mut codings = codings.filter(|coding| !coding.is_empty());
    let first = codings.next();
    first.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"chunked")) || codings.next().is_some()
}

/// The HSTS policy of a response. A policy binds the host that was requested, so it is sent under our own only. Over
/// plain HTTP there is none (RFC 6797 section 7.2): neither with an issuer without TLS, nor if a trusted proxy says that
/// the request came to it without.
fn hsts(app: &Shared, host: &RequestedHost, by_proxy: bool, headers: &HeaderMap) -> Option<&'static str> {
    let ours = matches!(host, RequestedHost::Ours) && app.config.issuer.is_https();
    app.config.hsts.header().filter(|_| ours && !(by_proxy && came_over_http(headers)))
}

/// Why a request is refused before any route sees it.
fn unreadable(request: &Request, host: RequestedHost, summary: &mut RequestSummary) -> Option<PageError> {
    if let RequestedHost::Refused(host, error) = host {
        summary.host = Some(host);
        return Some(*error);
    }
    if has_unknown_transfer_coding(request.headers()) {
        return Some(PageError::new(Reason::TRANSFER_CODING).detail("a transfer coding other than chunked"));
    }
    let length = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if length > LONGEST_TARGET {
        return Some(PageError::new(Reason::TOO_LONG).detail("the URL is too long"));
    }
    let path = request.uri().path();
    (path.contains('%') && form::decode_part(path.as_bytes()).is_none())
        .then(|| PageError::new(Reason::NOT_FOUND).detail("the path's percent-encoding is malformed"))
}

/// Whether [`UNROUTED`] applies to a response, because no route made it, or one without a limit of its own. A request
/// that another limit refused counts here as well, so that its error pages are limited too.
fn is_unrouted(response: &Response) -> bool {
    let reason = response.extensions().get::<PageError>().map(|error| error.reason);
    reason.is_some_and(|reason| [Reason::NOT_FOUND, Reason::METHOD, Reason::TOO_MANY].contains(&reason))
}

/// Behind a proxy that is not trusted, all clients have one address and share one limit.
fn note_proxy(peer: IpAddr) {
    tracing::warn!(
        %peer,
        "a request has X-Forwarded-For, but server.trusted_proxies is empty: if this server is behind your own proxy, \
         list the proxy there, or all clients behind it count as one address (logged only once)"
    );
}

async fn run(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            PageError::new(Reason::INTERNAL).detail(format!("panic at {}", panics::place())).into_response()
        }
    }
}

fn with_headers(mut response: Response, info: &RequestInfo, hsts: Option<&'static str>) -> Response {
    security_headers::add(&mut response, hsts);
    if let Ok(id) = HeaderValue::from_str(&info.request_id) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
    response
}

#[cfg(test)]
#[path = "middleware_tests.rs"]
mod tests;
