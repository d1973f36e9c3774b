//! The errors of requests: [`PageError`] for people, [`OAuthError`] for clients.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use idp_core::client::ClientId;
use idp_core::flow::FlowTarget;
use idp_core::oauth::error::{ErrorCode, Refusal};
use idp_core::oauth::keys::KeyError;
use idp_core::oauth::params::Params;
use idp_core::text::Excerpt;
use idp_store::StoreError;
use serde::Serialize;

use crate::config::shell_quoted;

/// The kind of error page, which determines its texts, its status, and who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// The catalogue has the texts under `error-<key>-title` and `error-<key>`. Also the page's `data-reason`.
    pub(crate) key: &'static str,
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// Who has to fix it: the person (`yours`), the client's developer (`app`) or the operator (`ours`).
    pub(crate) kind: &'static str,
}

macro_rules! reasons {
    ($($name:ident = $key:literal, $status:ident, $kind:literal;)*) => {
        impl Reason {
            $(pub(crate) const $name: Self = Self { key: $key, status: StatusCode::$status, kind: $kind };)*
            /// All of them, for the test that renders each.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

reasons! {
    CSRF = "csrf-failed", FORBIDDEN, "yours";
    FLOW_EXPIRED = "flow-expired", BAD_REQUEST, "yours";
    FLOW_EXPIRED_APP = "flow-expired-app", BAD_REQUEST, "yours";
    FLOW_CHANGED = "flow-changed", BAD_REQUEST, "yours";
    FLOW_CLOSED = "flow-closed", BAD_REQUEST, "yours";
    FLOW_ANSWERED = "flow-answered", BAD_REQUEST, "yours";
    FLOW_FOREIGN = "flow-foreign", FORBIDDEN, "yours";
    COOKIES = "cookies-blocked", BAD_REQUEST, "yours";
    TOO_MANY = "too-many-requests", TOO_MANY_REQUESTS, "yours";
    UNAVAILABLE = "unavailable", SERVICE_UNAVAILABLE, "ours";
    INTERNAL = "internal-error", INTERNAL_SERVER_ERROR, "ours";
    NOT_FOUND = "not-found", NOT_FOUND, "yours";
    METHOD = "method-not-allowed", METHOD_NOT_ALLOWED, "yours";
    TOO_LARGE = "too-large", PAYLOAD_TOO_LARGE, "yours";
    TOO_LONG = "too-large", URI_TOO_LONG, "yours";
    MEDIA_TYPE = "unsupported-type", UNSUPPORTED_MEDIA_TYPE, "yours";
    CODING = "unsupported-coding", UNSUPPORTED_MEDIA_TYPE, "yours";
    BAD_REQUEST = "bad-request", BAD_REQUEST, "yours";
    APP_REQUEST = "app-request", BAD_REQUEST, "app";
    MISDIRECTED = "misdirected", MISDIRECTED_REQUEST, "yours";
    MISDIRECTED_DOT = "misdirected-dot", MISDIRECTED_REQUEST, "yours";
    BAD_HOST = "bad-host", BAD_REQUEST, "yours";
    TIMEOUT = "too-slow", REQUEST_TIMEOUT, "yours";
    TRANSFER_CODING = "unsupported-transfer-coding", NOT_IMPLEMENTED, "yours";
    REGISTRATION_CLOSED = "registration-closed", FORBIDDEN, "yours";
    REGISTRATION_USED = "registration-used", BAD_REQUEST, "yours";
    REGISTRATION_EXPIRED = "registration-expired", BAD_REQUEST, "yours";
    CLIENT_MISSING = "client-missing", BAD_REQUEST, "app";
    CLIENT_UNKNOWN = "client-unknown", BAD_REQUEST, "app";
    REDIRECT_URI_MISSING = "redirect-uri-missing", BAD_REQUEST, "app";
    REDIRECT_URI_MISMATCH = "redirect-uri-mismatch", BAD_REQUEST, "app";
    PARAMETER_REPEATED = "parameter-repeated", BAD_REQUEST, "app";
    POST_LOGOUT_URI = "post-logout-redirect-uri", BAD_REQUEST, "app";
    HINT_MISSING = "id-token-hint-missing", BAD_REQUEST, "app";
    HINT_INVALID = "id-token-hint-invalid", BAD_REQUEST, "app";
    HINT_CLIENT = "id-token-hint-client", BAD_REQUEST, "app";
}

impl Reason {
    /// Whether the rest of the request cannot or need not be read, so that the connection ends with the response
    /// (RFC 9110 section 15.5.9, RFC 9112 section 6.1).
    pub(crate) fn ends_connection(self) -> bool {
        self == Self::TIMEOUT || self == Self::TRANSFER_CODING
    }

    /// What the page says. At an endpoint to which clients send the browser, the client made the request, so only its
    /// makers can fix it.
    pub(crate) fn shown(self, made_by_client: bool) -> Self {
        const THEIRS: [Reason; 7] = [
            Reason::METHOD,
            Reason::TOO_LARGE,
            Reason::TOO_LONG,
            Reason::MEDIA_TYPE,
            Reason::CODING,
            Reason::TRANSFER_CODING,
            Reason::BAD_REQUEST,
        ];
        if made_by_client && THEIRS.contains(&self) { Self::APP_REQUEST } else { self }
    }
}

/// What a client is told, and the log, if a request's body does not arrive in time.
pub(crate) const TOO_SLOW: &str = "the request took too long to arrive";

/// What a refusal is about. The log shows the client and the value that broke the rule. Anybody can send either, so
/// both are escaped and truncated.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// For the log, and for pages that say that the client must mend something.
    pub(crate) client_id: Option<String>,
    /// `name=value`, for the log.
    pub(crate) value: Option<String>,
    /// The name of the client that the page is about. Such a page has no button to our own start page.
    pub(crate) app: Option<String>,
}

/// Parameters whose values may be logged. The others are secrets, identify a person, or are private to the client.
const LOGGED: [&str; 9] = [
    "client_id",
    "redirect_uri",
    "post_logout_redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "prompt",
    "max_age",
    "code_challenge_method",
];

/// What is escaped in a client ID on a page. `%` is not: it comes from the escapes of [`logged`].
const ODD_IN_IDS: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'/')
    .remove(b'@')
    .remove(b'%');

impl About {
    /// A registered client.
    pub(crate) fn client(id: &ClientId) -> Self {
        Self { client_id: Some(id.as_str().to_owned()), ..Self::default() }
    }

    /// A page whose address has a valid ID. Of any other path nothing is logged: it may contain a secret.
    pub(crate) fn id(what: &'static str, id: &impl std::fmt::Display) -> Self {
        Self { value: Some(format!("{what}={id}")), ..Self::default() }
    }

    /// The client of a flow, if the flow is for a client.
    pub(crate) fn client_of(target: &FlowTarget) -> Self {
        match target {
            FlowTarget::Client(request) => Self::client(&request.client_id),
            FlowTarget::Account => Self::default(),
        }
    }

    /// The client that a request names, which may not be registered.
    pub(crate) fn claimed(params: &Params) -> Self {
        Self { client_id: params.get("client_id").map(logged), ..Self::default() }
    }

    /// The client's ID for a page about what the client must mend, so that its people can tell which one it is. Anybody
    /// may send it, so it is cut, and every sign that such an ID does not need is escaped. No page shows another value
    /// of a request.
    pub(crate) fn shown_client(&self, kind: &str) -> Option<String> {
        let id = self.client_id.as_deref().filter(|_| kind == "app")?;
        // The log's excerpt ends in how many bytes more there were.
        let (id, cut) = id.rsplit_once("... (").map_or((id, ""), |(id, _)| (id, "…"));
        Some(format!("{}{cut}", percent_encoding::utf8_percent_encode(id, ODD_IN_IDS)))
    }

    /// With the parameter that broke the rule.
    pub(crate) fn parameter(self, name: Option<&str>, params: &Params) -> Self {
        let value = name.map(|name| match params.get(name).filter(|_| LOGGED.contains(&name)) {
            Some(value) => format!("{name}={}", logged(value)),
            None => name.to_owned(),
        });
        Self { value, ..self }
    }
}

/// A value from a request as the log shows it: escaped, and at most 120 bytes.
pub(crate) fn logged(text: &str) -> String {
    Excerpt::new(text, 120).to_string()
}

/// A request that ends on an error page. The outermost middleware ([`crate::http::middleware`]) renders the page,
/// because it shows the request ID.
#[derive(Clone, Debug)]
pub(crate) struct PageError {
    pub(crate) reason: Reason,
    /// For the log only.
    pub(crate) detail: Option<String>,
    /// Seconds after which to try again.
    pub(crate) retry_after: Option<u64>,
    /// Shown in `dev` only.
    pub(crate) explanation: Option<Box<Explanation>>,
    /// Where the page's button leads, if not to the start page.
    pub(crate) action: Option<Box<Action>>,
    pub(crate) about: Box<About>,
    /// The catalogue key of a sentence that says what has been done despite the error.
    pub(crate) notice: Option<&'static str>,
}

/// The button of an error page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Action {
    pub(crate) url: String,
    /// The catalogue key.
    pub(crate) label: &'static str,
}

/// What `dev` shows a developer about a refused request: what was sent, beside what is registered.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Explanation {
    pub(crate) reason: String,
    pub(crate) sent: Vec<Sent>,
    pub(crate) registered: Vec<Registered>,
    /// The parameter that differs, marked in both.
    pub(crate) differs: Option<&'static str>,
    #[serde(skip)]
    pub(crate) fix: Option<Fix>,
}

/// The command that would make the request valid, without the flags that name this database.
#[derive(Clone, Debug)]
pub(crate) struct Fix {
    pub(crate) verb: &'static str,
    pub(crate) arguments: String,
}

impl Fix {
    /// A command about these values, with more options. A value that begins with a dash goes to the end, where no option
    /// can be meant.
    pub(crate) fn about(verb: &'static str, values: &[&str], options: &str) -> Self {
        let words = values.iter().map(|value| shell_quoted(value)).collect::<Vec<_>>().join(" ");
        let arguments = match values.iter().any(|value| value.starts_with('-')) {
            true => format!("{options} -- {words}"),
            false => format!("{words} {options}"),
        };
        Self { verb, arguments: arguments.trim().to_owned() }
    }
}

/// A parameter as sent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sent {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// A registered setting.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Registered {
    pub(crate) name: &'static str,
    pub(crate) values: Vec<String>,
}

impl PageError {
    /// An error of this kind.
    pub(crate) fn new(reason: Reason) -> Self {
        Self {
            reason,
            detail: None,
            retry_after: None,
            explanation: None,
            action: None,
            about: Box::default(),
            notice: None,
        }
    }

    /// A defect on our side, logged with its causes.
    pub(crate) fn broken(what: &str, error: &dyn std::error::Error) -> Self {
        let mut chain = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            chain.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self { detail: Some(chain), ..Self::new(Reason::INTERNAL) }
    }

    /// With a detail for the log.
    pub(crate) fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// With what it is about, for the log.
    pub(crate) fn about(self, about: About) -> Self {
        Self { about: Box::new(about), ..self }
    }

    /// With another button.
    pub(crate) fn action(self, url: impl Into<String>, label: &'static str) -> Self {
        Self { action: Some(Box::new(Action { url: url.into(), label })), ..self }
    }

    /// The same error for a client, which cannot read pages.
    pub(crate) fn as_oauth(&self) -> OAuthError {
        let (code, hint) = match self.reason.status {
            StatusCode::SERVICE_UNAVAILABLE => (ErrorCode::TemporarilyUnavailable, "try again in a moment"),
            StatusCode::TOO_MANY_REQUESTS => (ErrorCode::TemporarilyUnavailable, "too many requests"),
            StatusCode::INTERNAL_SERVER_ERROR => (ErrorCode::ServerError, "something went wrong here"),
            StatusCode::METHOD_NOT_ALLOWED => (ErrorCode::InvalidRequest, "this method is not allowed here"),
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::URI_TOO_LONG => {
                (ErrorCode::InvalidRequest, "the request is too large")
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                (ErrorCode::InvalidRequest, "send application/x-www-form-urlencoded")
            }
            StatusCode::REQUEST_TIMEOUT => (ErrorCode::InvalidRequest, TOO_SLOW),
            StatusCode::NOT_IMPLEMENTED => {
                (ErrorCode::InvalidRequest, "the only transfer coding that is understood is chunked")
            }
            _ => (ErrorCode::InvalidRequest, "the request is malformed"),
        };
        OAuthError {
            status: self.reason.status,
            refusal: Refusal::new(code, hint),
            description: None,
            challenge: None,
            retry_after: self.retry_after,
            detail: self.detail.as_deref().map(Box::from),
            about: self.about.clone(),
        }
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        match error {
            // Another node, of the newer version, can serve a newer row.
            StoreError::Unavailable(_)
            | StoreError::Retry(_)
            | StoreError::Disconnected(_)
            | StoreError::Newer { .. } => {
                let retry_after = Some(5);
                Self { detail: Some(error.to_string()), retry_after, ..Self::new(Reason::UNAVAILABLE) }
            }
            other => Self::broken("store", &other),
        }
    }
}

impl From<tera::Error> for PageError {
    fn from(error: tera::Error) -> Self {
        Self::broken("template", &error)
    }
}

impl From<KeyError> for PageError {
    fn from(error: KeyError) -> Self {
        Self::broken("keys", &error)
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = self.reason.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A refusal at an endpoint that clients call (RFC 6749 section 5.2, RFC 6750 section 3).
#[derive(Clone, Debug)]
pub(crate) struct OAuthError {
    pub(crate) status: StatusCode,
    pub(crate) refusal: Refusal,
    /// The description, if it is not the refusal's own.
    pub(crate) description: Option<Box<str>>,
    /// `WWW-Authenticate`.
    pub(crate) challenge: Option<&'static str>,
    pub(crate) retry_after: Option<u64>,
    /// For the log only.
    pub(crate) detail: Option<Box<str>>,
    pub(crate) about: Box<About>,
}

impl OAuthError {
    /// With what it is about, for the log.
    pub(crate) fn about(self, about: About) -> Self {
        Self { about: Box::new(about), ..self }
    }
}

impl From<Refusal> for OAuthError {
    fn from(refusal: Refusal) -> Self {
        let (status, challenge) = match refusal.code {
            ErrorCode::InvalidClient => (StatusCode::UNAUTHORIZED, Some("Basic realm=\"token\"")),
            _ => (StatusCode::BAD_REQUEST, None),
        };
        let about = Box::default();
        Self { status, refusal, description: None, challenge, retry_after: None, detail: None, about }
    }
}

impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        PageError::from(error).as_oauth()
    }
}

impl From<KeyError> for OAuthError {
    fn from(error: KeyError) -> Self {
        PageError::from(error).as_oauth()
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'static str,
    error_description: &'a str,
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let error_description = self.description.as_deref().unwrap_or(self.refusal.hint);
        let body = ErrorBody { error: self.refusal.code.as_str(), error_description };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_22_a_client_that_begins_with_a_dash_is_no_option_in_the_command_that_is_shown() {
        for (values, options, arguments) in [
            (&["app"][..], "", "app"),
            (&["-x"], "", "-- -x"),
            (&["app", "https://a.example/c?d"], "", "app 'https://a.example/c?d'"),
            (&["-x", "https://a.example/cb"], "", "-- -x https://a.example/cb"),
            (&["app"], "--name app", "app --name app"),
            (&["-x"], "--name=-x", "--name=-x -- -x"),
        ] {
            assert_eq!(Fix::about("client show", values, options).arguments, arguments);
        }
    }
}
