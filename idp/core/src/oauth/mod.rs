//! OAuth 2 and OpenID Connect, one topic per file. Only [`code_grant`] drives oxide-auth's machines; only [`keys`]
//! uses josekit.

pub mod authorize;
pub mod claims;
pub mod client_auth;
pub mod code_grant;
pub mod discovery;
pub mod error;
pub mod grant;
pub mod issuer;
pub mod keys;
pub mod logout;
pub mod params;
pub mod response;
pub mod token;
