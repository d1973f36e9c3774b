//! Cookies: opaque values, named `__Host-…` if the issuer is https.

use axum::http::{HeaderMap, HeaderValue, header};
use idp_core::secret::Secret;

use crate::config::Config;

/// One of our cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// The session.
    Session,
    /// The browser. Flows are bound to it, and it identifies browsers in which an account is known.
    Browser,
    /// A success that the next page reports.
    Notice,
    /// That a link mailed to an address was opened in this browser ([`crate::accounts::known_mailbox`]).
    Mailbox,
}

impl Cookie {
    fn name(self, https: bool) -> String {
        let name = match self {
            Self::Session => "idp-session",
            Self::Browser => "idp-browser",
            Self::Notice => "idp-notice",
            Self::Mailbox => "idp-mailbox",
        };
        // The prefix requires `Secure`, which http://localhost does not have.
        if https { format!("__Host-{name}") } else { name.to_owned() }
    }

    /// The cookie's value in a request. If the cookie comes twice, one was planted and neither counts.
    pub(crate) fn read(self, headers: &HeaderMap, config: &Config) -> Option<String> {
        let name = self.name(config.issuer.is_https());
        let mut found = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned());
        let first = found.next()?;
        (found.next().is_none() && !first.is_empty() && first.len() <= 128).then_some(first)
    }

    /// The header that sets the cookie. Without `max_age` the cookie lives until the browser is closed.
    pub(crate) fn set(self, value: &Secret, max_age: Option<u64>, config: &Config) -> HeaderValue {
        let https = config.issuer.is_https();
        let age = max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
        let secure = if https { "; Secure" } else { "" };
        let text =
            format!("{}={}; Path=/; HttpOnly; SameSite=Lax{secure}{age}", self.name(https), value.expose());
        // Values are our own base64url or words, so the header is always valid.
        let mut header = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
        header.set_sensitive(true);
        header
    }

    /// The header that deletes the cookie.
    pub(crate) fn clear(self, config: &Config) -> HeaderValue {
        self.set(&Secret::new(String::new()), Some(0), config)
    }
}
