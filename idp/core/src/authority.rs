//! Hosts and client addresses in every form that others may use: the `Host` header (RFC 9110 section 7.2), an origin
//! (RFC 6454 section 6.2), and the entries of `X-Forwarded-For`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Host;

use crate::loopback::loopback;

/// `uri-host [ ":" port ]` (RFC 3986 section 3.2), without a user name. Two spellings of one host are equal: they may
/// differ in letter case, percent-encoding, the notation of an IPv6 address, and IDNA's two forms of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    host: Host<String>,
    port: Option<u16>,
}

/// Why a text is not a host with an optional port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAuthority {
    /// Nothing, or nothing before the port.
    #[error("it names no host")]
    Empty,
    /// `user@host`.
    #[error("it has a user name before the host")]
    UserInfo,
    /// Not a number up to 65535.
    #[error("its port is not a number from 0 to 65535")]
    Port,
    /// `::1` instead of `[::1]`.
    #[error("an IPv6 address must stand in brackets")]
    Brackets,
    /// Neither a name nor an address (RFC 3986 section 3.2.2).
    #[error("it is neither a host name nor an IP address")]
    Host,
}

impl Authority {
    /// Parses one.
    ///
    /// # Errors
    /// [`BadAuthority`].
    pub fn parse(text: &str) -> Result<Self, BadAuthority> {
        if text.contains('@') {
            return Err(BadAuthority::UserInfo);
        }
        let (host, port) = split(text)?;
        let is_reg_name =
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || NAME.contains(&b));
        match host {
            "" => return Err(BadAuthority::Empty),
            _ if host.starts_with('[') || is_reg_name => {}
            _ => return Err(BadAuthority::Host),
        }
        let host = Host::parse(host).map_err(|_| BadAuthority::Host)?;
        Ok(Self { host, port: port.map_or(Ok(None), read_port)? })
    }

    /// The port, if it is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether both name one host and one port; a missing port means `default_port`.
    pub fn is_same(&self, other: &Self, default_port: u16) -> bool {
        self.host == other.host && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }

    /// Whether the host is a name that ends in a dot: the same host in DNS, another site to browsers.
    pub fn ends_in_dot(&self) -> bool {
        matches!(&self.host, Host::Domain(name) if name.ends_with('.'))
    }

    /// Whether it can only be this machine: `localhost` or a loopback address.
    pub fn is_loopback(&self) -> bool {
        loopback(&self.host.to_string()).is_some()
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => self.host.fmt(f),
        }
    }
}

/// What a registered name may hold besides letters and digits: unreserved marks, sub-delimiters, percent-encoding.
const NAME: &[u8] = b"-._~!$&'()*+,;=%";

/// Whether a name is a host name: labels of letters, digits and hyphens (RFC 5890 section 2.3.1), and underscores,
/// which some hosts have anyway.
pub(crate) fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    name.len() <= 254 && name.strip_suffix('.').unwrap_or(name).split('.').all(is_label)
}

/// The host, and the port if there is a colon for one.
fn split(text: &str) -> Result<(&str, Option<&str>), BadAuthority> {
    let end = match text.starts_with('[') {
        true => text.find(']').ok_or(BadAuthority::Host)? + 1,
        false if text.matches(':').count() > 1 => return Err(BadAuthority::Brackets),
        false => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(end);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(BadAuthority::Host),
    }
}

/// `port = *DIGIT`: an empty one means the scheme's default (RFC 3986 section 3.2.3).
fn read_port(text: &str) -> Result<Option<u16>, BadAuthority> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadAuthority::Port);
    }
    match text.trim_start_matches('0') {
        "" if text.is_empty() => Ok(None),
        "" => Ok(Some(0)),
        digits => digits.parse().map(Some).map_err(|_| BadAuthority::Port),
    }
}

/// An address as proxies write it into `X-Forwarded-For`: alone, with a port (`192.0.2.1:5678`, `[2001:db8::1]:443`),
/// in brackets, in quotes, with a zone (`fe80::1%eth0`). An IPv4-mapped IPv6 address is returned as IPv4.
pub fn forwarded_address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let entry = entry.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(entry);
    let v6 = |text: &str| text.split('%').next()?.parse::<Ipv6Addr>().ok();
    if let Some(rest) = entry.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| read_port(port).is_ok());
        return v6(address).filter(|_| is_port).map(|ip| IpAddr::V6(ip).to_canonical());
    }
    if let Some(ip) = v6(entry) {
        return Some(IpAddr::V6(ip).to_canonical());
    }
    let (address, port) = entry.split_once(':').unwrap_or((entry, ""));
    read_port(port).ok()?;
    address.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_06_every_spelling_of_a_host_that_the_rfcs_allow_is_equal() {
        for (issuer, port, spellings) in [
            (
                "id.example.com",
                443,
                &[
                    "id.example.com", "ID.Example.COM", "id.example.com:443", "id.example.com:",
                    "id.example.com:0443", "id%2Eexample.com", "%69d.example.com:443", "%69%64.EXAMPLE.com:",
                ][..],
            ),
            ("localhost:8080", 80, &["localhost:8080", "LOCALHOST:8080", "localhost:08080"]),
            ("localhost", 80, &["localhost:80", "localhost:", "localhost"]),
            (
                "[::1]:8080",
                80,
                &["[::1]:8080", "[0:0:0:0:0:0:0:1]:8080", "[0000::0001]:8080", "[::0.0.0.1]:8080"],
            ),
            ("[2001:db8::a]", 443, &["[2001:DB8:0::A]:443", "[2001:db8:0:0:0:0:0:a]", "[2001:db8::a]:"]),
            ("127.0.0.1", 80, &["127.0.0.1:80", "127.0.0.1:"]),
            ("xn--bcher-kva.example", 443, &["b%C3%BCcher.example", "XN--BCHER-KVA.example:443"]),
        ] {
            let issuer = Authority::parse(issuer).unwrap();
            for spelling in spellings {
                let other = Authority::parse(spelling).unwrap();
                assert!(issuer.is_same(&other, port) && other.is_same(&issuer, port), "{spelling}");
            }
        }
    }

    #[test]
    fn fault_06_another_host_or_port_is_not_equal() {
        let issuer = Authority::parse("id.example.com").unwrap();
        for other in [
            "id.example.com:80",
            "id.example.com:8443",
            "id.example.com:0",
            "id.example.com.",
            "id.example.co",
            "id-example.com",
            "example.com",
            "id.example.com.evil.example",
            "xid.example.com",
            "127.0.0.1",
            "[::1]",
            "[::ffff:7f00:1]",
            "a,b",
        ] {
            let other = Authority::parse(other).unwrap();
            assert!(!issuer.is_same(&other, 443), "{other}");
        }
        let (v4, mapped) =
            (Authority::parse("127.0.0.1").unwrap(), Authority::parse("[::ffff:127.0.0.1]").unwrap());
        assert!(!v4.is_same(&mapped, 80));
        assert!(Authority::parse("id.example.com.").unwrap().ends_in_dot() && !issuer.ends_in_dot());
    }

    #[test]
    fn fault_06_what_is_not_a_host_is_refused_with_the_reason() {
        use BadAuthority::*;
        for (text, why) in [
            ("", Empty),
            (":443", Empty),
            (":", Empty),
            ("user@id.example.com", UserInfo),
            ("@id.example.com", UserInfo),
            ("id.example.com:https", Port),
            ("id.example.com:65536", Port),
            ("id.example.com:-1", Port),
            ("id.example.com:+443", Port),
            ("id.example.com:44 3", Port),
            ("id.example.com:99999999999999999999", Port),
            ("::1", Brackets),
            ("2001:db8::1:443", Brackets),
            ("id.example.com:443:443", Brackets),
            ("[::1", Host),
            ("[::1]x", Host),
            ("[id.example.com]", Host),
            ("[fe80::1%25eth0]", Host),
            ("[]", Host),
            ("id example.com", Host),
            ("id.example.com/", Host),
            ("id.example.com?x", Host),
            ("id.example.com#x", Host),
            ("id\\example.com", Host),
            ("id.example.com, evil.example", Host),
            ("bücher.example", Host),
            ("id%2Fexample.com", Host),
            ("id%40example.com", Host),
            ("id.example.com%3A443", Host),
            ("id%zz.example.com", Host),
            ("id%", Host),
            ("id%00.example.com", Host),
            ("\"id.example.com\"", Host),
            ("id.example.com\t", Host),
        ] {
            assert_eq!(Authority::parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn fault_06_every_form_in_which_proxies_write_an_address_is_read() {
        for (entry, address) in [
            ("192.0.2.1", Some("192.0.2.1")),
            (" 192.0.2.1\t", Some("192.0.2.1")),
            ("192.0.2.1:5678", Some("192.0.2.1")),
            ("192.0.2.1:", Some("192.0.2.1")),
            ("\"192.0.2.1:5678\"", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("2001:DB8:0:0::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("\"[2001:db8::1]:443\"", Some("2001:db8::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("[fe80::1%25eth0]:443", Some("fe80::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("[::ffff:192.0.2.1]:443", Some("192.0.2.1")),
            ("", None),
            ("unknown", None),
            ("_hidden", None),
            ("192.0.2.1:http", None),
            ("192.0.2.1:99999", None),
            ("192.0.2", None),
            ("192.0.2.256", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]443", None),
            ("[192.0.2.1]", None),
            ("id.example.com", None),
            ("192.0.2.1 192.0.2.2", None),
        ] {
            let expected = address.map(|address| address.parse::<IpAddr>().unwrap());
            assert_eq!(forwarded_address(entry.as_bytes()), expected, "{entry:?}");
        }
        assert_eq!(forwarded_address(b"192.0.2.1\xff"), None);
    }

    #[test]
    fn every_loopback_host_is_recognised() {
        for (text, loopback) in [
            ("localhost", true),
            ("LOCALHOST:25", true),
            ("127.0.0.2", true),
            ("[::1]:25", true),
            ("[0:0:0:0:0:0:0:1]", true),
            ("localhost.example.com", false),
            ("10.0.0.1", false),
            ("mail.example.com", false),
        ] {
            assert_eq!(Authority::parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
