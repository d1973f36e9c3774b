//! The issuer identifier (OpenID Connect Discovery section 3): what every token names and every link starts with.

use std::fmt;

use url::{Host, Url};

/// An issuer: `https` and a host, or `http` on a loopback host for trying things out. Without trailing slash.
#[derive(Clone, PartialEq, Eq)]
pub struct Issuer {
    text: String,
    authority: String,
}

/// Why a text cannot be the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadIssuer {
    /// No URL.
    #[error("it is not a URL such as https://id.example.com")]
    Malformed,
    /// `http` on a host that others can reach.
    #[error("it must use https; http is for localhost, 127.0.0.1 and [::1] only")]
    PlainHttp,
    /// Path, query, fragment or user name.
    #[error("it must be scheme and host only, without path, query or trailing slash")]
    MoreThanOrigin,
}

impl Issuer {
    /// Checks an issuer.
    ///
    /// # Errors
    /// [`BadIssuer`].
    pub fn parse(text: &str) -> Result<Self, BadIssuer> {
        let url = Url::parse(text).map_err(|_| BadIssuer::Malformed)?;
        let host = url.host().ok_or(BadIssuer::Malformed)?;
        let loopback = match host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(ip) => ip.is_loopback(),
            Host::Ipv6(ip) => ip.is_loopback(),
        };
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(BadIssuer::PlainHttp),
            _ => return Err(BadIssuer::Malformed),
        }
        let origin = url.origin().ascii_serialization();
        if origin != text {
            return Err(BadIssuer::MoreThanOrigin);
        }
        let authority = origin.split_once("://").map_or("", |(_, rest)| rest).to_owned();
        Ok(Self { text: origin, authority })
    }

    /// The identifier, byte for byte as in every token.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A URL of this server.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }

    /// What a `Host` header must say: host, and the port where it is not the scheme's own.
    pub fn authority(&self) -> &str {
        &self.authority
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
    fn r_28_an_issuer_is_an_https_origin_or_loopback() {
        for good in [
            "https://id.example.com",
            "https://id.example.com:8443",
            "http://localhost:8080",
            "http://127.0.0.1:1",
            "http://[::1]:8080",
        ] {
            assert_eq!(Issuer::parse(good).unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("http://id.example.com", BadIssuer::PlainHttp),
            ("http://localhost.example.com", BadIssuer::PlainHttp),
            ("https://id.example.com/", BadIssuer::MoreThanOrigin),
            ("https://id.example.com/idp", BadIssuer::MoreThanOrigin),
            ("https://id.example.com?x", BadIssuer::MoreThanOrigin),
            ("https://u@id.example.com", BadIssuer::MoreThanOrigin),
            ("https://ID.example.com", BadIssuer::MoreThanOrigin),
            ("ftp://id.example.com", BadIssuer::Malformed),
            ("id.example.com", BadIssuer::Malformed),
            ("", BadIssuer::Malformed),
        ] {
            assert_eq!(Issuer::parse(bad), Err(why), "{bad}");
        }
        assert_eq!(Issuer::parse("https://id.example.com:8443").unwrap().authority(), "id.example.com:8443");
    }
}
