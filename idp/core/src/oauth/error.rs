//! Error codes of the protocol, and refusals that carry them.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// An `error` value, from RFC 6749 sections 4.1.2.1 and 5.2, RFC 6750 section 3.1, RFC 8707 section 2 and
        /// OpenID Connect Core section 3.1.2.6.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// As written in a response.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

codes! {
    /// A parameter is missing, repeated or malformed.
    InvalidRequest = "invalid_request",
    /// The client did not prove who it is.
    InvalidClient = "invalid_client",
    /// Code or refresh token is unknown, used, expired, or not this client's.
    InvalidGrant = "invalid_grant",
    /// The grant type is not supported.
    UnsupportedGrantType = "unsupported_grant_type",
    /// The scope is malformed, or more than is allowed.
    InvalidScope = "invalid_scope",
    /// The person denied the request.
    AccessDenied = "access_denied",
    /// Only `code` is supported.
    UnsupportedResponseType = "unsupported_response_type",
    /// `prompt=none`, but somebody has to sign in.
    LoginRequired = "login_required",
    /// `prompt=none`, but somebody has to be asked.
    ConsentRequired = "consent_required",
    /// The `request` parameter is not supported.
    RequestNotSupported = "request_not_supported",
    /// The `request_uri` parameter is not supported.
    RequestUriNotSupported = "request_uri_not_supported",
    /// The `registration` parameter is not supported.
    RegistrationNotSupported = "registration_not_supported",
    /// No such resource.
    InvalidTarget = "invalid_target",
    /// The access token is missing, expired, revoked or not ours.
    InvalidToken = "invalid_token",
    /// The access token does not cover this.
    InsufficientScope = "insufficient_scope",
    /// The server cannot answer at the moment.
    TemporarilyUnavailable = "temporarily_unavailable",
    /// The error is ours.
    ServerError = "server_error",
}

/// A request that is answered with an error: the code, and one sentence for the client's developer. The
/// sentence keeps to the characters RFC 6749 allows in `error_description`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .code.as_str(), .hint)]
pub struct Refusal {
    /// The `error`.
    pub code: ErrorCode,
    /// The `error_description`.
    pub hint: &'static str,
    /// The parameter that broke the rule, if it is a single one. For the log.
    pub parameter: Option<&'static str>,
}

impl Refusal {
    /// A refusal.
    pub const fn new(code: ErrorCode, hint: &'static str) -> Self {
        Self { code, hint, parameter: None }
    }

    /// The same refusal, caused by this parameter.
    pub const fn because_of(self, parameter: &'static str) -> Self {
        Self { parameter: Some(parameter), ..self }
    }
}
