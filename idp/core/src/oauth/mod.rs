//! OAuth 2 and OpenID Connect, one topic per file. oxide-auth's machines are driven in [`code_grant`] only,
//! josekit signs in [`keys`] only.

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
