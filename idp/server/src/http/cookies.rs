//! Cookies: opaque values, named `__Host-…` wherever the issuer is https.

use axum::http::{HeaderMap, HeaderValue, header};
use idp_core::secret::Secret;

use crate::config::Config;

/// One of our cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// The signed-in session.
    Session,
    /// The browser: walks are bound to it, and a browser that signed in before is known by it.
    Browser,
    /// A sentence for the next page.
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
        // On http://localhost there is no Secure, and the prefix demands it.
        if https { format!("__Host-{name}") } else { name.to_owned() }
    }

    /// The cookie's value in a request. A cookie that is there twice was planted: neither counts.
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

    /// The header that sets it. Without `max_age` it lives as long as the browser runs.
    pub(crate) fn set(self, value: &Secret, max_age: Option<u64>, config: &Config) -> HeaderValue {
        let https = config.issuer.is_https();
        let age = max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
        let secure = if https { "; Secure" } else { "" };
        let text =
            format!("{}={}; Path=/; HttpOnly; SameSite=Lax{secure}{age}", self.name(https), value.expose());
        // Values are our own base64url or words: always a legal header.
        let mut header = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
        header.set_sensitive(true);
        header
    }

    /// The header that removes it.
    pub(crate) fn clear(self, config: &Config) -> HeaderValue {
        self.set(&Secret::new(String::new()), Some(0), config)
    }
}
