//! The client's side of OpenID Connect. Requests are built by hand so that they cost little.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::arguments::Algorithm;
use crate::http::{Connection, Failure, Response, Target, get, post};

/// One PKCE verifier for all: fresh ones would cost the generator more, and the server the same.
const VERIFIER: &str = "the-verifier-of-the-load-tool-which-is-long-enough-0123456789";
/// Every scope, so that ID token, userinfo and refresh are as large as they get.
pub(crate) const SCOPE: &str = "openid profile email offline_access";

/// A registered client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// `client_id`.
    pub(crate) id: String,
    /// Nothing listens there: the redirect is read, not followed.
    pub(crate) redirect_uri: String,
    /// The Authorization header that authenticates it.
    basic: String,
}

/// A token response, as far as we read it.
#[derive(Debug, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    id_token: String,
}

impl Client {
    /// A client whose secret has unreserved characters only, which Basic does not escape.
    pub(crate) fn new(id: &str, redirect_uri: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), redirect_uri: redirect_uri.to_owned(), basic: basic(id, secret) }
    }

    /// An authorization request from a browser with these cookies.
    pub(crate) fn authorize(&self, target: &Target, cookies: &str) -> Vec<u8> {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("scope", SCOPE)
            .append_pair("state", "a-state-of-the-load-tool")
            .append_pair("nonce", "a-nonce-of-the-load-tool")
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish();
        get(target, &format!("/authorize?{query}"), &[("cookie", cookies)])
    }

    /// Redeems a code.
    pub(crate) fn redeem(&self, target: &Target, code: &str) -> Vec<u8> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", VERIFIER),
        ];
        self.token(target, &fields)
    }

    /// Exchanges a refresh token for the next.
    pub(crate) fn refresh(&self, target: &Target, token: &str) -> Vec<u8> {
        self.token(target, &[("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    fn token(&self, target: &Target, fields: &[(&str, &str)]) -> Vec<u8> {
        post(target, "/token", &[("authorization", &self.basic)], fields)
    }
}

/// The Authorization header of a client. Both parts must have unreserved characters only.
pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// The code in a successful authorization response: 43 characters of base64url, never escaped.
pub(crate) fn code<'a>(response: &Response<'a>) -> Result<&'a str, Failure> {
    let query = response.location()?.split_once('?').map_or("", |(_, query)| query);
    let code = query.split('&').find_map(|pair| pair.strip_prefix("code="));
    code.ok_or(Failure::Unexpected("a redirect without a code"))
}

/// The tokens in a successful response.
pub(crate) fn tokens(response: &Response<'_>) -> Result<Tokens, Failure> {
    let body = response.body();
    let tokens: Tokens =
        serde_json::from_slice(body).map_err(|_| Failure::Unexpected("a response without tokens"))?;
    if tokens.id_token.is_empty() { Err(Failure::Unexpected("an empty ID token")) } else { Ok(tokens) }
}

/// The whole code flow of somebody who is signed in and has given consent before.
pub(crate) async fn code_flow(
    connection: &mut Connection,
    target: &Target,
    client: &Client,
    authorize: &[u8],
) -> Result<Tokens, Failure> {
    let response = connection.send(authorize).await?.expect(303)?;
    let redeem = client.redeem(target, code(&response)?);
    tokens(&connection.send(&redeem).await?.expect(200)?)
}

/// Checks that an ID token is signed as the report claims. Done once, before measuring.
pub(crate) fn check_algorithm(tokens: &Tokens, wanted: Algorithm) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Header {
        alg: String,
    }
    let header = tokens.id_token.split('.').next().unwrap_or_default();
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
    anyhow::ensure!(
        header.alg == wanted.as_str(),
        "ID tokens are signed with {}, not {}",
        header.alg,
        wanted.as_str()
    );
    Ok(())
}
