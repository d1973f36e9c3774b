//! Where a browser may be redirected (RFC 6749 section 3.1.2, RFC 9700 section 2.1, RFC 8252).
//!
//! A registered URI is compared byte for byte. The one exception is a native application's loopback URI, whose port
//! is chosen when the application starts (RFC 8252 section 7.3).

use std::fmt;

use serde::{Deserialize, Serialize};

use url::{Host, Origin, ParseError, Url};

/// A redirect URI that may be registered or requested. Its text is kept as given: a URL type would add a slash to
/// `http://127.0.0.1:8000`, and then two spellings would be one.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri(String);

/// Why a URI cannot be a redirect URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRedirectUri {
    /// Not an absolute URI.
    #[error("it is not an absolute URI; write it whole, such as https://app.example.com/callback")]
    Malformed,
    /// Its host is no name that a browser would use unchanged.
    #[error("its host is not written as a browser writes it; write a name such as app.example.com")]
    HostName,
    /// Its port is 0, too high, or no number.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// A character beyond ASCII. A browser would send a different text from the one registered.
    #[error(
        "it has characters beyond ASCII; write the host in its xn-- form and percent-encode the rest, as a browser does"
    )]
    NotAscii,
    /// White space, a control character, or one that a URI must not contain (RFC 3986 section 2).
    #[error("it has a space or another character that must be percent-encoded in a URI")]
    Character,
    /// A pattern.
    #[error("its host is a pattern; register each URI by itself")]
    Wildcard,
    /// A loopback host in a spelling that browsers change, or port 0.
    #[error(
        "write its host as 127.0.0.1, [::1] or localhost, and its port, if any, as a number from 1 to 65535"
    )]
    Loopback,
    /// It has a `#` (RFC 6749 section 3.1.2).
    #[error("it has a fragment (#)")]
    Fragment,
    /// It names a user before the host.
    #[error("it has a user name before the host")]
    UserInfo,
    /// `http` is for loopback hosts only.
    #[error("http is allowed for 127.0.0.1, [::1] and localhost only; use https")]
    PlainHttp,
    /// A scheme that is neither https, nor loopback http, nor a private-use scheme with a dot
    /// (RFC 8252 section 7.1).
    #[error("use https, or a private-use scheme with a dot such as com.example.app")]
    Scheme,
    /// An IPv6 address that is not a loopback one: a page's Content-Security-Policy could not name it.
    #[error("its host is an IPv6 address; use a name")]
    Ipv6,
    /// Longer than 2,000 characters.
    #[error("it is longer than 2000 characters")]
    TooLong,
}

impl RedirectUri {
    /// Checks a URI and keeps it unchanged.
    ///
    /// # Errors
    /// [`BadRedirectUri`].
    pub fn parse(text: &str) -> Result<Self, BadRedirectUri> {
        if text.len() > 2000 {
            return Err(BadRedirectUri::TooLong);
        }
        if text.contains('#') {
            return Err(BadRedirectUri::Fragment);
        }
        if !text.is_ascii() {
            return Err(BadRedirectUri::NotAscii);
        }
        // Some parsers read a backslash as a slash; quotes and angle brackets end attributes. A URI must not
        // contain any of them unescaped (RFC 3986 section 2).
        if !text.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&b)) {
            return Err(BadRedirectUri::Character);
        }
        let url = Url::parse(text).map_err(|error| match error {
            ParseError::InvalidPort => BadRedirectUri::Port,
            ParseError::IdnaError | ParseError::InvalidIpv4Address | ParseError::InvalidDomainCharacter => {
                BadRedirectUri::HostName
            }
            _ => BadRedirectUri::Malformed,
        })?;
        check_scheme(text, &url)?;
        Ok(Self(text.to_owned()))
    }

    /// Checks a URI that is to be registered. What [`Self::parse`] accepts besides, earlier versions have registered.
    ///
    /// # Errors
    /// [`BadRedirectUri`]: besides those of [`Self::parse`], a host that a browser would change, port 0, or a `%` that
    /// encodes nothing (RFC 3986 section 2.1, RFC 9110 section 4.2).
    pub fn parse_new(text: &str) -> Result<Self, BadRedirectUri> {
        let uri = Self::parse(text)?;
        let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
        let encodes = |at: usize| is_hex(text.as_bytes().get(at + 1)) && is_hex(text.as_bytes().get(at + 2));
        if !text.match_indices('%').all(|(at, _)| encodes(at)) {
            return Err(BadRedirectUri::Character);
        }
        let Some(url) = uri.url().filter(|url| url.scheme() == "https") else { return Ok(uri) };
        let (name, port) = authority(text).split_once(':').unwrap_or((authority(text), "443"));
        if !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(BadRedirectUri::Port);
        }
        let is_kept = url.host_str().is_some_and(|host| host.eq_ignore_ascii_case(name));
        let labels = name.strip_suffix('.').unwrap_or(name).split('.');
        if is_kept && labels.into_iter().all(|label| !label.is_empty()) {
            Ok(uri)
        } else {
            Err(BadRedirectUri::HostName)
        }
    }

    /// The URI exactly as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a page shows as the destination: the host, or the scheme of a private-use URI.
    pub fn host(&self) -> String {
        // In `com.example.app://cb` nobody answers at `cb`: the scheme names the application.
        let url = self.url().filter(|url| ["https", "http"].contains(&url.scheme()));
        match url.as_ref().and_then(Url::host_str) {
            Some(host) => host.to_owned(),
            None => self.scheme().to_owned(),
        }
    }

    /// Whether a web application answers there. Its callback may redirect anywhere, and browsers apply the
    /// `form-action` of the page that sent a form to every redirect that follows (CSP level 3). So no form may end
    /// there: it ends on a page of ours, and that page goes on.
    pub fn is_https(&self) -> bool {
        self.url().is_some_and(|url| url.scheme() == "https")
    }

    /// The one source that `form-action` names so that a form may end in a redirect there: a loopback origin or a
    /// private-use scheme. `None` for https, where no form ends ([`Self::is_https`]). CSP cannot express an IPv6
    /// address, so `http://[::1]` becomes any host on that port.
    pub fn form_source(&self) -> Option<String> {
        if self.is_https() {
            return None;
        }
        Some(match self.url().map(|url| url.origin()) {
            Some(Origin::Tuple(scheme, Host::Ipv6(_), port)) => format!("{scheme}://*:{port}"),
            Some(origin @ Origin::Tuple(..)) => origin.ascii_serialization(),
            _ => format!("{}:", self.scheme()),
        })
    }

    /// The URI with parameters added to its query; the existing query is kept byte for byte.
    pub fn with_params(&self, params: &[(&str, &str)]) -> String {
        let mut uri = self.0.clone();
        for (name, value) in params {
            let separator = match uri.find('?') {
                None => '?',
                Some(_) if uri.ends_with(['?', '&']) => '\0',
                Some(_) => '&',
            };
            if separator != '\0' {
                uri.push(separator);
            }
            uri.extend(form_urlencoded::byte_serialize(name.as_bytes()));
            uri.push('=');
            uri.extend(form_urlencoded::byte_serialize(value.as_bytes()));
        }
        uri
    }

    /// Whether both are loopback URIs that differ at most in the port.
    fn is_same_loopback(&self, other: &str) -> bool {
        match (loopback_parts(&self.0), loopback_parts(other)) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => false,
        }
    }

    fn scheme(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    fn url(&self) -> Option<Url> {
        Url::parse(&self.0).ok()
    }
}

/// A name in the characters that host names have, or an IPv4 address. In a page's Content-Security-Policy, `;` and `,`
/// would begin another directive or policy, `*` is any host, and an IPv6 address cannot be expressed.
fn check_host(host: Option<Host<&str>>) -> Result<(), BadRedirectUri> {
    match host {
        Some(Host::Ipv6(_)) => Err(BadRedirectUri::Ipv6),
        Some(Host::Domain(name))
            if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) =>
        {
            Ok(())
        }
        Some(Host::Ipv4(_)) => Ok(()),
        Some(Host::Domain(name)) if name.contains('*') => Err(BadRedirectUri::Wildcard),
        _ => Err(BadRedirectUri::Malformed),
    }
}

fn check_scheme(text: &str, url: &Url) -> Result<(), BadRedirectUri> {
    if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
        return Err(BadRedirectUri::UserInfo);
    }
    match url.scheme() {
        "https" | "http" if !text.contains("://") => Err(BadRedirectUri::Malformed),
        "https" => check_host(url.host()),
        "http" if is_loopback(url) && loopback_parts(text).is_some() => Ok(()),
        "http" if is_loopback(url) => Err(BadRedirectUri::Loopback),
        "http" => Err(BadRedirectUri::PlainHttp),
        scheme if scheme.contains('.') => Ok(()),
        _ => Err(BadRedirectUri::Scheme),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The raw text between `//` and the path.
fn authority(text: &str) -> &str {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// A loopback URI as its host and everything after the port, from the raw text: a parser would normalise it.
fn loopback_parts(text: &str) -> Option<(&'static str, &str)> {
    let rest = text.strip_prefix("http://")?;
    let host = ["127.0.0.1", "[::1]", "localhost"].into_iter().find(|host| rest.starts_with(host))?;
    let rest = &rest[host.len()..];
    let rest = match rest.strip_prefix(':') {
        None => rest,
        Some(port) => {
            let digits = port.bytes().take_while(u8::is_ascii_digit).count();
            port[..digits].parse::<u16>().ok().filter(|port| *port > 0)?;
            &port[digits..]
        }
    };
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
}

impl TryFrom<String> for RedirectUri {
    type Error = BadRedirectUri;
    fn try_from(text: String) -> Result<Self, BadRedirectUri> {
        Self::parse(&text)
    }
}

impl From<RedirectUri> for String {
    fn from(value: RedirectUri) -> Self {
        value.0
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedirectUri({})", self.0)
    }
}

/// How a client's registered redirect URIs are compared with the requested one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectMatch {
    /// Byte by byte.
    Exact,
    /// Byte by byte, but loopback URIs may have any port: for native applications.
    LoopbackPort,
}

impl RedirectMatch {
    /// The requested URI, if it is registered.
    pub fn find(self, registered: &[RedirectUri], requested: &str) -> Option<RedirectUri> {
        let matches = |uri: &&RedirectUri| {
            uri.as_str() == requested || self == Self::LoopbackPort && uri.is_same_loopback(requested)
        };
        registered.iter().find(matches)?;
        RedirectUri::parse(requested).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> RedirectUri {
        RedirectUri::parse(text).unwrap()
    }

    #[test]
    fn az_07_az_08_fault_06_what_must_not_be_a_redirect_uri_is_refused() {
        use BadRedirectUri::*;
        for (text, why) in [
            ("javascript:alert(1)", Scheme),
            ("JavaScript:alert(1)", Scheme),
            ("data:text/html,x", Scheme),
            ("file:///etc/passwd", Scheme),
            ("blob:https://app.example/1", Scheme),
            (" javascript:alert(1)", Character),
            ("\u{1}javascript:alert(1)", Character),
            ("https://app.example/cb#x", Fragment),
            ("https://app.example/cb#", Fragment),
            ("http://app.example/cb", PlainHttp),
            ("http://127.0.0.1.evil.example/cb", PlainHttp),
            ("http://localhost:1@evil.example/", UserInfo),
            ("https://user:pw@app.example/cb", UserInfo),
            ("https://@app.example/cb", UserInfo),
            ("myapp:/cb", Scheme),
            ("com.example.app:/cb#x", Fragment),
            ("/cb", Malformed),
            ("", Malformed),
            ("https:app.example/cb", Malformed),
            ("https://", Malformed),
            ("https://*.example.org/cb", Wildcard),
            ("https://a;sandbox/cb", Malformed),
            ("https://a,sandbox/cb", Malformed),
            ("https://a'b/cb", Malformed),
            ("https://a%2Cb.example/cb", Malformed),
            ("https://[2001:db8::1]/cb", Ipv6),
            ("https://[::1]/cb", Ipv6),
            ("https://app.example/c b", Character),
            ("https://app.example\\@evil.example/", Character),
            ("https://äpp.example/cb", NotAscii),
            ("https://app.example/cb\r\nX: y", Character),
            ("http://127.0.0.1:0/cb", Loopback),
            ("http://127.1/cb", Loopback),
            ("http://LOCALHOST/cb", Loopback),
        ] {
            assert_eq!(RedirectUri::parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn fault_06_what_is_wrong_with_a_new_uri_is_said() {
        use BadRedirectUri::*;
        for (text, why) in [
            ("https:///cb", HostName),
            ("https://a..example/cb", HostName),
            ("https://.example/cb", HostName),
            ("https://0x7f.1/cb", HostName),
            ("https://127.1/cb", HostName),
            ("https://256.2.3.4/cb", HostName),
            ("https://xn--/cb", HostName),
            ("https://%61.example/cb", HostName),
            ("https://app.example:0/cb", Port),
            ("https://app.example:/cb", Port),
            ("https://app.example:99999/cb", Port),
            ("https://app.example:80a/cb", Port),
            ("https://app.example/%zz", Character),
            ("https://app.example/%4", Character),
            ("com.example.app:/%", Character),
        ] {
            assert_eq!(RedirectUri::parse_new(text), Err(why), "{text:?}");
        }
        for text in [
            "https://app.example/cb?x=%2F",
            "https://APP.example./cb",
            "https://app.example:8443",
            "https://127.0.0.1/cb",
            "com.example.app:/cb",
            "http://[::1]:9/cb",
        ] {
            assert!(RedirectUri::parse_new(text).is_ok(), "{text}");
        }
        assert_eq!(uri("com.example.app://cb").host(), "com.example.app");
    }

    #[test]
    fn a_uri_keeps_its_text() {
        for text in [
            "http://127.0.0.1:8000",
            "https://app.example",
            "https://app.example/cb?foo=bar&x=%20",
            "com.example.app:/cb",
            "http://[::1]:9/cb",
            "http://localhost:8081/callback",
        ] {
            assert_eq!(uri(text).as_str(), text);
        }
    }

    #[test]
    fn az_01_az_03_only_the_registered_bytes_match() {
        let registered = [uri("https://app.example/cb")];
        assert!(RedirectMatch::Exact.find(&registered, "https://app.example/cb").is_some());
        for other in [
            "https://app.example/cb/",
            "https://app.example/cb/x",
            "https://app.example/cbx",
            "https://app.example/cb?x=1",
            "https://app.example/cb?",
            "https://APP.example/cb",
            "HTTPS://app.example/cb",
            "https://app.example/CB",
            "https://app.example.evil.example/cb",
            "https://appaexample/cb",
            "https://app.example:443/cb",
            "https://app.example/./cb",
            "https://app.example/%63b",
            "http://app.example/cb",
            "https://app.example//cb",
            "",
            "https://evil.example/cb",
        ] {
            for how in [RedirectMatch::Exact, RedirectMatch::LoopbackPort] {
                assert_eq!(how.find(&registered, other), None, "{other}");
            }
        }
    }

    #[test]
    fn az_09_a_native_client_may_choose_its_loopback_port_and_nothing_else() {
        let registered =
            [uri("http://127.0.0.1/cb"), uri("http://[::1]:80/cb"), uri("https://127.0.0.1/tls")];
        let find = |text| RedirectMatch::LoopbackPort.find(&registered, text);
        for good in [
            "http://127.0.0.1/cb",
            "http://127.0.0.1:1/cb",
            "http://127.0.0.1:65535/cb",
            "http://[::1]:4000/cb",
        ] {
            assert_eq!(find(good).unwrap().as_str(), good);
        }
        for bad in [
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1:80.evil.example/cb",
            "http://127.0.0.1:1@evil.example/cb",
            "http://127.0.0.1:65536/cb",
            "http://127.0.0.1:/cb",
            "http://127.0.0.1:1/other",
            "http://127.0.0.1:1/cb?x=1",
            "http://localhost:1/cb",
            "http://127.0.0.2:1/cb",
            "https://127.0.0.1:8443/tls",
            "http://127.0.0.1:+1/cb",
        ] {
            assert_eq!(find(bad), None, "{bad}");
        }
        assert_eq!(RedirectMatch::Exact.find(&registered, "http://127.0.0.1:1/cb"), None);
    }

    #[test]
    fn parameters_are_added_to_the_registered_query() {
        for (base, full) in [
            ("https://a.example/cb", "https://a.example/cb?state=a+b%26c"),
            ("https://a.example/cb?x=%2F", "https://a.example/cb?x=%2F&state=a+b%26c"),
            ("https://a.example/cb?", "https://a.example/cb?state=a+b%26c"),
        ] {
            assert_eq!(uri(base).with_params(&[("state", "a b&c")]), full);
        }
    }

    #[test]
    fn fault_01_form_action_names_one_loopback_origin_or_one_private_scheme_and_never_a_web_site() {
        for (text, source) in [
            ("https://app.example/cb", None),
            ("https://app.example:8443/cb", None),
            ("HTTPS://app.example/cb", None),
            ("https://127.0.0.1/cb", None),
            ("https://localhost:8443/cb", None),
            ("http://127.0.0.1:8000", Some("http://127.0.0.1:8000")),
            ("http://localhost:8081/callback", Some("http://localhost:8081")),
            ("com.example.app:/cb", Some("com.example.app:")),
            ("http://[::1]:8000/cb", Some("http://*:8000")),
            ("http://[::1]/cb", Some("http://*:80")),
        ] {
            let uri = uri(text);
            assert_eq!((uri.form_source().as_deref(), uri.is_https()), (source, source.is_none()), "{text}");
        }
    }

    #[test]
    fn a_line_break_in_a_parameter_stays_encoded() {
        let uri = uri("https://a.example/cb").with_params(&[("state", "x\r\nSet-Cookie: y")]);
        assert!(!uri.contains(['\r', '\n']));
    }
}
