//! The application's side: authorization URLs and token requests, written by hand so that a story can get them
//! wrong on purpose.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::browser::{Answer, Browser};
use super::{PASSWORD, SECRET, TestApp};

/// The verifier of every story.
pub(crate) const VERIFIER: &str = "a-verifier-of-the-stories-that-is-long-enough-0123456789";

pub(crate) fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER.as_bytes()))
}

/// The parameters of a good authorization request of the client `id`.
pub(crate) fn request(id: &str) -> Vec<(String, String)> {
    [
        ("response_type", "code".to_owned()),
        ("client_id", id.to_owned()),
        ("redirect_uri", format!("https://{id}.example/cb")),
        ("scope", "openid profile email".to_owned()),
        ("state", "a state & more".to_owned()),
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

impl TestApp {
    /// A browser that is signed in as `email` and has allowed `client` the given scope.
    pub(crate) async fn signed_in(&self, email: &str) -> Browser {
        let browser = self.browser();
        let page = browser.open("/signin").await;
        let account = browser.sign_in(&page, email, PASSWORD).await;
        assert!(account.url.ends_with("/account"), "{} {}", account.url, account.text());
        browser
    }

    /// Walks from an authorization request to the redirect that carries the answer, allowing what is asked.
    pub(crate) async fn approve(&self, browser: &Browser, pairs: &[(String, String)]) -> Answer {
        let answer = browser.open(&authorize(pairs)).await;
        if answer.location().is_some() {
            return answer;
        }
        browser.submit(&answer, "/consent", &[("decision", "allow")]).await
    }

    /// A fresh code for the client `id`.
    pub(crate) async fn code(&self, browser: &Browser, pairs: &[(String, String)]) -> String {
        let answer = self.approve(browser, pairs).await;
        answer.redirect_param("code").unwrap_or_else(|| panic!("no code: {} {:?} {}", answer.status, answer.location(), answer.text()))
    }

    /// A token request with the client's secret in a Basic header.
    pub(crate) async fn token(&self, id: &str, fields: &[(&str, &str)]) -> Answer {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{SECRET}"));
        let header = format!("Basic {basic}");
        let headers = [("authorization", header.as_str())];
        self.browser().send(reqwest::Method::POST, "/token", Some(fields), &headers).await
    }

    /// Redeems a code as its client would.
    pub(crate) async fn redeem(&self, id: &str, code: &str) -> Answer {
        let redirect_uri = format!("https://{id}.example/cb");
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri.as_str()),
            ("code_verifier", VERIFIER),
        ];
        self.token(id, &fields).await
    }

    /// Refreshes as the client would.
    pub(crate) async fn refresh(&self, id: &str, token: &str) -> Answer {
        self.token(id, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Asks userinfo.
    pub(crate) async fn userinfo(&self, token: &str) -> Answer {
        let header = format!("Bearer {token}");
        let headers = [("authorization", header.as_str())];
        self.browser().send(reqwest::Method::GET, "/userinfo", None, &headers).await
    }
}
