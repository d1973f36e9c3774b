//! Cookies: opaque values, named `__Host-…` if the issuer is https, and with the issuer's port if it has one: all servers
//! of a host share its cookies, whatever their ports.

use axum::http::{HeaderMap, HeaderValue, header};
use idp_core::oauth::issuer::Issuer;
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
    /// That the password of a registration was proven in this browser ([`crate::accounts::proven_registration`]).
    Registration,
}

impl Cookie {
    fn base(self) -> &'static str {
        match self {
            Self::Session => "idp-session",
            Self::Browser => "idp-browser",
            Self::Notice => "idp-notice",
            Self::Mailbox => "idp-mailbox",
            Self::Registration => "idp-registration",
        }
    }

    fn name(self, issuer: &Issuer) -> String {
        let name = self.name_without_port(issuer);
        match issuer.port() {
            Some(port) => format!("{name}-{port}"),
            None => name,
        }
    }

    /// The name that earlier versions used. To an issuer without a port it is the name.
    fn name_without_port(self, issuer: &Issuer) -> String {
        let base = self.base();
        // The prefix requires `Secure`, which http://localhost does not have.
        if issuer.is_https() { format!("__Host-{base}") } else { base.to_owned() }
    }

    /// Whether a request has the cookie, with whatever value.
    pub(crate) fn is_sent(self, headers: &HeaderMap, config: &Config) -> bool {
        values(headers, &self.name(&config.issuer)).next().is_some()
    }

    /// The cookie's value in a request. If the cookie comes twice, one was planted and neither counts.
    pub(crate) fn read(self, headers: &HeaderMap, config: &Config) -> Option<Secret> {
        only_value(headers, &self.name(&config.issuer))
    }

    /// Its value under the name without the port, which earlier versions set; `None` if the issuer has no port.
    pub(crate) fn read_without_port(self, headers: &HeaderMap, config: &Config) -> Option<Secret> {
        config.issuer.port()?;
        only_value(headers, &self.name_without_port(&config.issuer))
    }

    /// The header that sets the cookie. Without `max_age` the cookie lives until the browser is closed.
    pub(crate) fn set(self, value: &Secret, max_age: Option<u64>, config: &Config) -> HeaderValue {
        header_for(&self.name(&config.issuer), value, max_age, config)
    }

    /// The header that deletes the cookie.
    pub(crate) fn clear(self, config: &Config) -> HeaderValue {
        header_for(&self.name(&config.issuer), &Secret::new(String::new()), Some(0), config)
    }

    /// The header that deletes it under the name without the port.
    pub(crate) fn clear_without_port(self, config: &Config) -> HeaderValue {
        header_for(&self.name_without_port(&config.issuer), &Secret::new(String::new()), Some(0), config)
    }
}

/// In bytes: a browser also sends what another application of this host has set, whatever it contains (RFC 6265
/// section 5.4).
fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let pairs =
        headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let (key, value) = pair.split_at_checked(pair.iter().position(|byte| *byte == b'=')?)?;
        (key.trim_ascii() == name.as_bytes()).then(|| value[1..].trim_ascii_end())
    })
}

fn only_value(headers: &HeaderMap, name: &str) -> Option<Secret> {
    let mut found = values(headers, name);
    let first = std::str::from_utf8(found.next()?).ok()?;
    let counts = found.next().is_none() && !first.is_empty() && first.len() <= 128;
    counts.then(|| Secret::new(first.to_owned()))
}

fn header_for(name: &str, value: &Secret, max_age: Option<u64>, config: &Config) -> HeaderValue {
    let age = max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let secure = if config.issuer.is_https() { "; Secure" } else { "" };
    let text = format!("{name}={}; Path=/; HttpOnly; SameSite=Lax{secure}{age}", value.expose());
    // Values are our own base64url or words, so the header is always valid.
    let mut header = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
    header.set_sensitive(true);
    header
}
