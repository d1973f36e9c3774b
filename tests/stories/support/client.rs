//! The client's side: authorization URLs and token requests, written by hand so that a story can get them wrong on
//! purpose.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::browser::{Answer, Browser};
use super::{PASSWORD, SECRET, TestApp};

/// The PKCE verifier of every story.
pub(crate) const VERIFIER: &str = "a-verifier-of-the-stories-that-is-long-enough-0123456789";

/// The `state` of every story; it needs encoding.
pub(crate) const STATE: &str = "a state & more";

pub(crate) fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER.as_bytes()))
}

/// The parameters of a valid authorization request from the client `id`.
pub(crate) fn request(id: &str) -> Vec<(String, String)> {
    [
        ("response_type", "code".to_owned()),
        ("client_id", id.to_owned()),
        ("redirect_uri", format!("https://{id}.example/cb")),
        ("scope", "openid profile email".to_owned()),
        ("state", STATE.to_owned()),
        ("nonce", "a-nonce".to_owned()),
        ("code_challenge", challenge()),
        ("code_challenge_method", "S256".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// The request with some parameters changed, or left out when `None`.
pub(crate) fn changed(id: &str, changes: &[(&str, Option<&str>)]) -> Vec<(String, String)> {
    let mut pairs = request(id);
    for (name, value) in changes {
        pairs.retain(|(key, _)| key != name);
        pairs.extend(value.map(|value| ((*name).to_owned(), value.to_owned())));
    }
    pairs
}

/// The path of an authorization request.
pub(crate) fn authorize(pairs: &[(String, String)]) -> String {
    let url = url::Url::parse_with_params("http://x/authorize", pairs).unwrap();
    format!("/authorize?{}", url.query().unwrap())
}

/// The `Authorization` header of a client that authenticates with [`SECRET`].
pub(crate) fn basic(id: &str) -> String {
    basic_of(id, SECRET)
}

pub(crate) fn basic_of(id: &str, secret: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}")))
}

/// The fields that redeem a code.
pub(crate) fn redemption(id: &str, code: &str) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "authorization_code".to_owned()),
        ("code", code.to_owned()),
        ("redirect_uri", format!("https://{id}.example/cb")),
        ("code_verifier", VERIFIER.to_owned()),
    ]
}

impl TestApp {
    /// A browser in which `email` is signed in.
    pub(crate) async fn signed_in(&self, email: &str) -> Browser {
        let browser = self.browser();
        let page = browser.open("/signin").await;
        let account = browser.sign_in(&page, email, PASSWORD).await;
        assert!(account.url.ends_with("/account"), "{} {}", account.url, account.text());
        browser
    }

    /// Sends an authorization request, allows what is asked, and returns the answer that leads to the client.
    pub(crate) async fn approve(&self, browser: &Browser, pairs: &[(String, String)]) -> Answer {
        let answer = browser.open(&authorize(pairs)).await;
        if answer.leads_to().is_some() {
            return answer;
        }
        browser.submit(&answer, "/consent", &[("decision", "allow")]).await
    }

    /// A new code for this authorization request.
    pub(crate) async fn code(&self, browser: &Browser, pairs: &[(String, String)]) -> String {
        let answer = self.approve(browser, pairs).await;
        answer
            .redirect_param("code")
            .unwrap_or_else(|| panic!("no code: {} {:?} {}", answer.status, answer.location(), answer.text()))
    }

    /// [`Node::token`](super::node::Node::token) at the first node, like the methods below.
    pub(crate) async fn token(&self, id: &str, fields: &[(&str, &str)]) -> Answer {
        self.first_node().token(id, fields).await
    }

    pub(crate) async fn redeem(&self, id: &str, code: &str) -> Answer {
        self.first_node().redeem(id, code).await
    }

    pub(crate) async fn refresh(&self, id: &str, token: &str) -> Answer {
        self.first_node().refresh(id, token).await
    }

    pub(crate) async fn userinfo(&self, token: &str) -> Answer {
        self.first_node().userinfo(token).await
    }
}
