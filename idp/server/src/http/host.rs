//! The host of a request. It is only checked, never used: every link starts with the configured issuer.

use axum::extract::Request;
use axum::http::{HeaderValue, Version, header};
use idp_core::authority::Authority;
use idp_core::oauth::issuer::{BadHost, HttpVersion};
use idp_core::text::Excerpt;

use crate::http::errors::{PageError, Reason};
use crate::state::Shared;

/// How many bytes of a host are shown. Host names have at most 253 characters.
const LONGEST_HOST: usize = 260;

/// Which host a request is for.
pub(crate) enum RequestedHost {
    /// The issuer's.
    Ours,
    /// Another one, or none, which only a probe may do.
    AnyOfProbe,
    /// Another one, or not exactly one: the host, safe to show, and the error.
    Refused(String, Box<PageError>),
}

/// Checks the host. Probes may name any host, such as an IP address, and in HTTP/1.0 none.
pub(crate) fn check(app: &Shared, request: &Request, is_probe: bool) -> RequestedHost {
    let version = match request.version() {
        Version::HTTP_2 => HttpVersion::V2,
        Version::HTTP_11 => HttpVersion::V1_1,
        _ => HttpVersion::V1_0,
    };
    let target = request.uri().authority().map(axum::http::uri::Authority::as_str);
    let hosts = request.headers().get_all(header::HOST).iter().map(HeaderValue::as_bytes);
    let why = match app.config.issuer.is_addressed_by(version, target, hosts) {
        Ok(true) => return RequestedHost::Ours,
        Ok(false) if is_probe => return RequestedHost::AnyOfProbe,
        Err(BadHost::Missing) if is_probe && version == HttpVersion::V1_0 => {
            return RequestedHost::AnyOfProbe;
        }
        Ok(_) => None,
        Err(why) => Some(why),
    };
    let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
    let requested = target.map(str::as_bytes).or(host).unwrap_or_default();
    // The part before an `@` may be a password.
    let requested = requested.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    let requested = Excerpt::new(requested, LONGEST_HOST).to_string();
    let error = misdirected(app, &requested, why);
    RequestedHost::Refused(requested, Box::new(error))
}

/// Says which host was requested and which is served: 421, or 400 if the request does not name one valid host.
fn misdirected(app: &Shared, requested: &str, why: Option<BadHost>) -> PageError {
    let served = app.config.issuer.authority();
    let (reason, detail) = match why {
        Some(why @ BadHost::Missing) => (Reason::BAD_HOST, format!("{why}: this is {served}")),
        Some(why @ BadHost::Repeated) => (Reason::BAD_HOST, why.to_string()),
        Some(why) => {
            (Reason::BAD_HOST, format!("{why}: the request is for '{requested}', and this is {served}"))
        }
        None if Authority::parse(requested).is_ok_and(|host| host.ends_in_dot()) => {
            let dot = "the dot at the end makes it another site to browsers";
            (
                Reason::MISDIRECTED_DOT,
                format!("the request is for '{requested}', and this is {served}: {dot}"),
            )
        }
        None => (Reason::MISDIRECTED, format!("the request is for '{requested}', and this is {served}")),
    };
    PageError::new(reason).detail(detail).action(app.config.issuer.url("/"), "action-home")
}
