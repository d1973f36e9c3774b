//! The issuer identifier (OpenID Connect Discovery section 3): what every token names and every link starts with.

use std::fmt;

use url::{Host, Url};

use crate::authority::{Authority, BadAuthority, is_host_name};

/// An issuer: `https` and a host, or `http` on a loopback host for trying things out. It has no trailing slash.
#[derive(Clone, PartialEq, Eq)]
pub struct Issuer {
    text: String,
    authority: String,
    host: Authority,
}

/// Why a text cannot be the issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadIssuer {
    /// Not a URL.
    #[error("it is not a URL such as https://id.example.com")]
    Malformed,
    /// A wildcard, or a name with characters that host names do not have.
    #[error("its host must be one name of letters, digits, hyphens and dots, or an IP address")]
    HostName,
    /// Port 0, at which nothing can listen.
    #[error("its port cannot be 0")]
    Port,
    /// `http` on a host that others can reach.
    #[error("it must use https; http is for localhost, 127.0.0.1 and [::1] only")]
    PlainHttp,
    /// It has a path, query, fragment or user name. With the origin to write instead.
    #[error("it must be scheme and host only, without path, query or trailing slash: write {0}")]
    MoreThanOrigin(String),
    /// The right origin in another spelling: capital letters, the scheme's default port, a name that is not ASCII.
    /// Tokens carry the issuer byte for byte, so there is only one spelling.
    #[error("write it as {0}, the form that browsers and tokens use")]
    Spelling(String),
}

/// The HTTP version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0, in which a request need not name a host.
    V1_0,
    /// HTTP/1.1.
    V1_1,
    /// HTTP/2.
    V2,
}

/// Why a request does not name one host. The response is 400 (RFC 9112 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    /// No `Host`; in HTTP/2, no `:authority` either.
    #[error("Host is missing")]
    Missing,
    /// Two or more, even of the same value.
    #[error("Host is sent more than once")]
    Repeated,
    /// In HTTP/2, `:authority` and `Host` name different hosts (RFC 9113 section 8.3.1).
    #[error(":authority and Host name different hosts")]
    Differing,
    /// Not `host[:port]`.
    #[error("Host is invalid: {0}")]
    Invalid(#[from] BadAuthority),
}

impl Issuer {
    /// Checks an issuer.
    ///
    /// # Errors
    /// [`BadIssuer`].
    pub fn parse(text: &str) -> Result<Self, BadIssuer> {
        let url = Url::parse(text).map_err(|_| BadIssuer::Malformed)?;
        let host = url.host_str().ok_or(BadIssuer::Malformed)?;
        let host = match url.port() {
            Some(port) => Authority::parse(&format!("{host}:{port}")),
            None => Authority::parse(host),
        };
        let host = host.map_err(|_| BadIssuer::Malformed)?;
        if matches!(url.host(), Some(Host::Domain(name)) if !is_host_name(name)) {
            return Err(BadIssuer::HostName);
        }
        match url.scheme() {
            "https" => {}
            "http" if host.is_loopback() => {}
            "http" => return Err(BadIssuer::PlainHttp),
            _ => return Err(BadIssuer::Malformed),
        }
        if host.port() == Some(0) {
            return Err(BadIssuer::Port);
        }
        let origin = url.origin().ascii_serialization();
        let is_more = |text: &str| {
            let rest = text.split_once("://").map_or("", |(_, rest)| rest);
            rest.contains(['/', '?', '#', '@', '\\'])
        };
        match origin == text {
            true => {}
            false if is_more(text) => return Err(BadIssuer::MoreThanOrigin(origin)),
            false => return Err(BadIssuer::Spelling(origin)),
        }
        let authority = origin.split_once("://").map_or("", |(_, rest)| rest).to_owned();
        Ok(Self { text: origin, authority, host })
    }

    /// The identifier, byte for byte as in every token.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A URL of this server.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }

    /// What a `Host` header must say: the host, and the port unless it is the scheme's default.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The port, unless it is the scheme's default.
    pub fn port(&self) -> Option<u16> {
        self.host.port()
    }

    /// Whether a `Host` header or `:authority` names this server (RFC 9110 section 7.2).
    ///
    /// # Errors
    /// [`BadAuthority`]: it does not name a host at all.
    pub fn is_host(&self, text: &str) -> Result<bool, BadAuthority> {
        // Nearly every request has exactly these bytes.
        if text == self.authority {
            return Ok(true);
        }
        Ok(self.host.is_same(&Authority::parse(text)?, self.default_port()))
    }

    /// Whether a request is for this server. It names its host in `Host` headers, in its target, or in both: in
    /// HTTP/1.1 the target counts, but `Host` must be there as well (RFC 9112 section 3.2.2).
    ///
    /// # Errors
    /// [`BadHost`]: it does not name one host.
    pub fn is_addressed_by<'a>(
        &self,
        version: HttpVersion,
        target: Option<&str>,
        mut hosts: impl Iterator<Item = &'a [u8]>,
    ) -> Result<bool, BadHost> {
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err(BadHost::Repeated);
        }
        let is_ours = |host| self.is_host(std::str::from_utf8(host).map_err(|_| BadAuthority::Host)?);
        let (host, target) =
            (host.map(is_ours).transpose()?, target.map(|target| self.is_host(target)).transpose()?);
        match (version, target, host) {
            (HttpVersion::V1_1, _, None) | (_, None, None) => Err(BadHost::Missing),
            (HttpVersion::V2, Some(target), Some(host)) if target != host => Err(BadHost::Differing),
            (_, Some(ours), _) | (_, None, Some(ours)) => Ok(ours),
        }
    }

    /// Whether an `Origin` header names this server and no other (RFC 6454 section 7.1).
    pub fn is_origin(&self, text: &str) -> bool {
        let is_ours = |origin: &str| {
            let Some((scheme, host)) = origin.split_once("://") else { return false };
            scheme.eq_ignore_ascii_case(self.scheme()) && self.is_host(host) == Ok(true)
        };
        text == self.text || text.split(' ').all(is_ours)
    }

    fn scheme(&self) -> &str {
        self.text.split(':').next().unwrap_or_default()
    }

    fn default_port(&self) -> u16 {
        if self.is_https() { 443 } else { 80 }
    }

    /// Whether browsers reach it over TLS, so that cookies can be `Secure` and `__Host-`.
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https:")
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_28_fault_06_an_issuer_is_an_https_origin_or_loopback() {
        let more = || BadIssuer::MoreThanOrigin("https://id.example.com".to_owned());
        let spelling = |origin: &str| BadIssuer::Spelling(origin.to_owned());
        for good in [
            "https://id.example.com",
            "https://id.example.com:8443",
            "https://my_id.example.com.",
            "http://localhost:8080",
            "http://127.0.0.1:1",
            "http://[::1]:8080",
        ] {
            assert_eq!(Issuer::parse(good).unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("http://id.example.com", BadIssuer::PlainHttp),
            ("http://localhost.example.com", BadIssuer::PlainHttp),
            ("https://id.example.com/", more()),
            ("https://id.example.com/idp", more()),
            ("https://id.example.com?x", more()),
            ("https://u@id.example.com", more()),
            ("https://ID.example.com/", more()),
            ("https://ID.example.com", spelling("https://id.example.com")),
            ("HTTPS://id.example.com", spelling("https://id.example.com")),
            ("https://id.example.com:443", spelling("https://id.example.com")),
            ("https://id.example.com:", spelling("https://id.example.com")),
            ("https://id.example.com:0", BadIssuer::Port),
            ("https://bücher.example", spelling("https://xn--bcher-kva.example")),
            ("http://localhost:80", spelling("http://localhost")),
            ("http://[0:0:0:0:0:0:0:1]:8080", spelling("http://[::1]:8080")),
            ("http://127.1:8080", spelling("http://127.0.0.1:8080")),
            ("https://*.example.com", BadIssuer::HostName),
            ("https://a$b.example", BadIssuer::HostName),
            ("https://a;b.example:8443", BadIssuer::HostName),
            ("https://a,b.example", BadIssuer::HostName),
            ("https://a..example", BadIssuer::HostName),
            ("https://.example", BadIssuer::HostName),
            ("ftp://id.example.com", BadIssuer::Malformed),
            ("id.example.com", BadIssuer::Malformed),
            ("", BadIssuer::Malformed),
        ] {
            assert_eq!(Issuer::parse(bad), Err(why), "{bad}");
        }
        assert_eq!(
            more().to_string(),
            "it must be scheme and host only, without path, query or trailing slash: write https://id.example.com"
        );
        assert_eq!(Issuer::parse("https://id.example.com:8443").unwrap().authority(), "id.example.com:8443");
    }

    #[test]
    fn fault_06_a_request_names_one_host() {
        use HttpVersion::*;
        let issuer = Issuer::parse("https://id.example.com").unwrap();
        let (ours, evil) = ("id.example.com", "evil.example");
        for (version, target, hosts, asked) in [
            (V1_1, None, &[ours][..], Ok(true)),
            (V1_1, None, &["ID.example.com:443"], Ok(true)),
            (V1_1, None, &[evil], Ok(false)),
            (V1_1, None, &["id.example.com."], Ok(false)),
            (V1_1, None, &[], Err(BadHost::Missing)),
            (V1_1, None, &[ours, ours], Err(BadHost::Repeated)),
            (V1_1, None, &[""], Err(BadHost::Invalid(BadAuthority::Empty))),
            (V1_1, None, &["u@id.example.com"], Err(BadHost::Invalid(BadAuthority::UserInfo))),
            (V1_1, None, &["b\u{fc}cher.example"], Err(BadHost::Invalid(BadAuthority::Host))),
            (V1_1, Some(ours), &[evil], Ok(true)),
            (V1_1, Some(evil), &[ours], Ok(false)),
            (V1_1, Some(ours), &[], Err(BadHost::Missing)),
            (V1_1, Some(ours), &["a b"], Err(BadHost::Invalid(BadAuthority::Host))),
            (V1_1, Some("u@id.example.com"), &[ours], Err(BadHost::Invalid(BadAuthority::UserInfo))),
            (V1_0, None, &[ours], Ok(true)),
            (V1_0, None, &[], Err(BadHost::Missing)),
            (V1_0, Some(ours), &[], Ok(true)),
            (V2, Some(ours), &[], Ok(true)),
            (V2, None, &[ours], Ok(true)),
            (V2, Some(ours), &["id.example.com:443"], Ok(true)),
            (V2, Some(ours), &[evil], Err(BadHost::Differing)),
            (V2, Some(evil), &[ours], Err(BadHost::Differing)),
            (V2, Some(evil), &[], Ok(false)),
            (V2, Some(ours), &[ours, ours], Err(BadHost::Repeated)),
            (V2, None, &[], Err(BadHost::Missing)),
        ] {
            let found = issuer.is_addressed_by(version, target, hosts.iter().map(|host| host.as_bytes()));
            assert_eq!(found, asked, "{version:?} {target:?} {hosts:?}");
        }
        assert!(issuer.is_addressed_by(V1_1, None, [&b"id\xff"[..]].into_iter()).is_err());
    }

    #[test]
    fn fault_06_the_schemes_default_port_is_the_same_host_and_origin() {
        for (issuer, own, foreign) in
            [("https://id.example.com", 443, 80), ("http://localhost", 80, 443), ("http://[::1]", 80, 443)]
        {
            let issuer = Issuer::parse(issuer).unwrap();
            let (host, origin) = (issuer.authority(), issuer.as_str());
            for same in [host.to_owned(), format!("{host}:{own}"), format!("{host}:"), host.to_uppercase()] {
                assert_eq!(issuer.is_host(&same), Ok(true), "{same}");
            }
            assert_eq!(issuer.is_host(&format!("{host}:{foreign}")), Ok(false));
            assert_eq!(issuer.is_host(&format!("u@{host}")), Err(BadAuthority::UserInfo));
            let same = [
                origin.to_owned(),
                format!("{origin}:{own}"),
                origin.to_uppercase(),
                format!("{origin} {origin}"),
            ];
            for same in same {
                assert!(issuer.is_origin(&same), "{same}");
            }
            let other = if issuer.is_https() {
                origin.replace("https:", "http:")
            } else {
                origin.replace("http:", "https:")
            };
            for other in [
                "null",
                "",
                "?",
                host,
                &other,
                &format!("{origin}:{foreign}"),
                &format!("{origin}/"),
                &format!("{origin}.evil.example"),
                &format!("{origin} https://evil.example"),
                &format!("https://evil.example {origin}"),
                &format!("{origin}, {origin}"),
                &format!("{}://u@{host}", issuer.scheme()),
            ] {
                assert!(!issuer.is_origin(other), "{other}");
            }
        }
    }
}
