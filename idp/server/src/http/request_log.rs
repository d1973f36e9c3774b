//! The log line of a request that failed or was refused.

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use idp_core::text::Excerpt;

use crate::http::address::RequestInfo;
use crate::http::errors::{About, OAuthError, PageError};
use crate::http::policy;
use crate::http::refusal_log::Fault;
use crate::state::Shared;

/// How many bytes of a detail are logged.
pub(crate) const LONGEST_DETAIL: usize = 500;

/// The methods that the log names. Any other is a word from a stranger.
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

/// What was requested, as far as the response and the log need it.
pub(crate) struct RequestSummary {
    pub(crate) method: &'static str,
    /// The route, with its parameters in braces.
    route: Option<MatchedPath>,
    /// What the log shows of a path without a route.
    beginning: String,
    /// The requested host if it is not ours, safe to show.
    pub(crate) host: Option<String>,
}

impl RequestSummary {
    pub(crate) fn of(request: &Request) -> Self {
        let method =
            METHODS.iter().find(|(method, _)| method == request.method()).map_or("other", |(_, name)| name);
        let route = request.extensions().get::<MatchedPath>().cloned();
        let beginning = if route.is_some() { String::new() } else { beginning(request.uri().path()) };
        Self { method, route, beginning, host: None }
    }

    pub(crate) fn speaks_json(&self) -> bool {
        self.route.as_ref().is_some_and(|route| policy::speaks_json(route.as_str()))
    }

    /// Whether the request was made by a client that sends the browser here.
    pub(crate) fn is_of_client(&self) -> bool {
        self.route.as_ref().is_some_and(|route| policy::is_of_client(route.as_str()))
    }

    pub(crate) fn path(&self) -> &str {
        self.route.as_ref().map_or(&self.beginning, |route| route.as_str())
    }
}

/// The beginning of a path without a route, for the log. Mail programs break links, so a token may follow any
/// character. Ten lower-case letters are neither one of our secrets nor enough of one.
fn beginning(path: &str) -> String {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let dot = if rest.starts_with('.') { "." } else { "" };
    let letters = rest[dot.len()..].chars().take_while(char::is_ascii_lowercase).take(10);
    letters.fold(format!("/{dot}"), |mut text, letter| {
        text.push(letter);
        text
    })
}

/// What the log says about an error response, whether a page or JSON.
pub(crate) struct LoggedError {
    status: StatusCode,
    reason: &'static str,
    detail: String,
    about: Box<About>,
}

impl LoggedError {
    pub(crate) fn of(response: &Response) -> Option<Self> {
        let extensions = response.extensions();
        if let Some(OAuthError { refusal, detail, about, .. }) = extensions.get::<OAuthError>() {
            let (detail, about) = (detail.as_deref().unwrap_or(refusal.hint).to_owned(), about.clone());
            return Some(Self { status: response.status(), reason: refusal.code.as_str(), detail, about });
        }
        let error = extensions.get::<PageError>()?;
        let (detail, about) = (error.detail.clone().unwrap_or_default(), error.about.clone());
        Some(Self { status: error.reason.status, reason: error.reason.key, detail, about })
    }

    pub(crate) fn log(&self, app: &Shared, info: &RequestInfo, summary: &RequestSummary) {
        let Self { status, reason, detail, about } = self;
        // A 501 is about what was sent.
        let ours = status.is_server_error() && *status != StatusCode::NOT_IMPLEMENTED;
        let fault = if ours { Fault::Ours } else { Fault::Theirs };
        if !app.refusals.admits(fault, reason) {
            return;
        }
        let detail = Excerpt::new(detail, LONGEST_DETAIL);
        let (status, request_id, client_address, detail) =
            (status.as_u16(), &info.request_id, info.address.to_string(), detail.as_str());
        let (method, path) = (summary.method, summary.path());
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
