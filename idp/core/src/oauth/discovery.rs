//! What clients read first (OpenID Connect Discovery section 3, RFC 8414).

use serde::Serialize;

use super::issuer::Issuer;
use crate::scope;

/// Where the endpoints are. The router takes the same constants, so the document cannot point elsewhere.
pub mod path {
    /// Discovery document.
    pub const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
    /// The same document under the name of RFC 8414.
    pub const OAUTH_METADATA: &str = "/.well-known/oauth-authorization-server";
    /// Public keys.
    pub const JWKS: &str = "/jwks.json";
    /// Authorization endpoint.
    pub const AUTHORIZE: &str = "/authorize";
    /// Token endpoint.
    pub const TOKEN: &str = "/token";
    /// Userinfo endpoint.
    pub const USERINFO: &str = "/userinfo";
    /// End-session endpoint.
    pub const END_SESSION: &str = "/logout";
}

#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: String,
    jwks_uri: String,
    end_session_endpoint: String,
    scopes_supported: [&'static str; 4],
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 2],
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: [&'static str; 2],
    token_endpoint_auth_methods_supported: [&'static str; 3],
    code_challenge_methods_supported: [&'static str; 1],
    claims_supported: [&'static str; 15],
    acr_values_supported: [&'static str; 1],
    prompt_values_supported: [&'static str; 4],
    ui_locales_supported: [&'static str; 1],
    claims_parameter_supported: bool,
    request_parameter_supported: bool,
    request_uri_parameter_supported: bool,
    authorization_response_iss_parameter_supported: bool,
}

/// The document, built once. It lists what works, and nothing else.
///
/// # Errors
/// Only if JSON cannot be written, which would be a defect.
pub fn document(issuer: &Issuer) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Metadata {
        issuer: issuer.as_str(),
        authorization_endpoint: issuer.url(path::AUTHORIZE),
        token_endpoint: issuer.url(path::TOKEN),
        userinfo_endpoint: issuer.url(path::USERINFO),
        jwks_uri: issuer.url(path::JWKS),
        end_session_endpoint: issuer.url(path::END_SESSION),
        scopes_supported: scope::KNOWN,
        response_types_supported: ["code"],
        response_modes_supported: ["query"],
        grant_types_supported: ["authorization_code", "refresh_token"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: ["RS256", "ES256"],
        token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
        code_challenge_methods_supported: ["S256"],
        claims_supported: [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "name",
            "updated_at", "email", "email_verified",
        ],
        acr_values_supported: ["1"],
        prompt_values_supported: ["none", "login", "consent", "select_account"],
        ui_locales_supported: ["en"],
        claims_parameter_supported: false,
        request_parameter_supported: false,
        request_uri_parameter_supported: false,
        authorization_response_iss_parameter_supported: true,
    })
}
