//! The client's address. It is determined only here.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;
use idp_core::authority::forwarded_address;
use ipnet::IpNet;

/// What is known about every request.
#[derive(Clone, Debug)]
pub(crate) struct RequestInfo {
    /// The client's address.
    pub(crate) address: IpAddr,
    /// The ID in log, header and error page.
    pub(crate) request_id: String,
}

impl RequestInfo {
    /// The network that the address counts as.
    pub(crate) fn network(&self) -> Network {
        Network::of(self.address)
    }

    /// The source for the audit trail.
    pub(crate) fn audit_source(&self) -> idp_core::audit::AuditSource {
        idp_core::audit::AuditSource {
            address: Some(self.address.to_string()),
            request_id: Some(self.request_id.clone()),
        }
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, which is one household.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(ip) => Self(IpAddr::V6(Ipv6Addr::from(u128::from(ip) & (u128::MAX << 64)))),
            v4 => Self(v4),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => write!(f, "{ip}"),
            IpAddr::V6(ip) => write!(f, "{ip}/64"),
        }
    }
}

/// Whether an address is one of the operator's own proxies.
pub(crate) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|net| net.contains(&address))
}

/// The client's address: the peer, unless the peer is a trusted proxy. Then `X-Forwarded-For` is read from
/// the right, and the first address that is not a trusted proxy is the client's. Anybody could have written what is
/// to the left of it.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut address = peer.to_canonical();
    if !is_trusted(address, trusted) {
        return address;
    }
    let lines: Vec<&[u8]> = headers.get_all("x-forwarded-for").iter().map(|line| line.as_bytes()).collect();
    let entries = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
    // Empty list entries do not count (RFC 9110 section 5.6.1).
    for entry in entries.filter(|entry| !entry.iter().all(|byte| b" \t".contains(byte))) {
        let Some(hop) = forwarded_address(entry) else { return address };
        address = hop;
        if !is_trusted(address, trusted) {
            return address;
        }
    }
    address
}

/// Whether a proxy says that the request came without TLS, to it or to a proxy before it: in `X-Forwarded-Proto`, or as
/// `proto` in `Forwarded` (RFC 7239 section 5.4).
pub(crate) fn came_over_http(headers: &HeaderMap) -> bool {
    let parts = |name| headers.get_all(name).iter().flat_map(|line| unquoted_parts(line.as_bytes()));
    let proto = |pair: &[u8]| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        pair[..at].trim_ascii().eq_ignore_ascii_case(b"proto").then(|| is_http(&pair[at + 1..]))
    };
    parts("x-forwarded-proto").any(is_http) || parts("forwarded").any(|pair| proto(pair) == Some(true))
}

/// The parts of a header between commas and semicolons, except those in quotes.
fn unquoted_parts(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ => {}
        }
        !quoted && b",;".contains(byte)
    })
}

/// A scheme as a token or in quotes (RFC 9110 section 5.6.4).
fn is_http(value: &[u8]) -> bool {
    let letters: Vec<u8> =
        value.trim_ascii().iter().copied().filter(|byte| !b"\"\\".contains(byte)).collect();
    letters.eq_ignore_ascii_case(b"http")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn address(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn rl_01_only_trusted_proxies_are_believed_and_only_their_own_entry() {
        let proxy: &[&str] = &["10.0.0.0/8"];
        for (peer, forwarded, trusted, client) in [
            ("203.0.113.9", vec!["198.51.100.1"], &[][..], "203.0.113.9"),
            ("203.0.113.9", vec!["198.51.100.1"], proxy, "203.0.113.9"),
            ("10.0.0.1", vec!["198.51.100.1"], proxy, "198.51.100.1"),
            ("10.0.0.1", vec!["1.1.1.1, 198.51.100.1"], proxy, "198.51.100.1"),
            ("10.0.0.1", vec!["1.1.1.1", "198.51.100.1, 10.0.0.2"], proxy, "198.51.100.1"),
            ("10.0.0.1", vec!["1.1.1.1, rubbish"], proxy, "10.0.0.1"),
            ("10.0.0.1", vec![], proxy, "10.0.0.1"),
            ("::ffff:10.0.0.1", vec!["198.51.100.1"], proxy, "198.51.100.1"),
        ] {
            assert_eq!(address(peer, &forwarded, trusted), client, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn fault_06_a_proxy_may_name_the_client_with_a_port_or_in_brackets() {
        let proxies: &[&str] = &["10.0.0.0/8", "2001:db8:ffff::/48"];
        for (forwarded, client) in [
            (vec!["198.51.100.1:5678"], "198.51.100.1"),
            (vec!["1.1.1.1, 198.51.100.1:5678, 10.0.0.2:443"], "198.51.100.1"),
            (vec!["[2001:db8::1]:443"], "2001:db8::1"),
            (vec!["\"[2001:db8::1]:443\", [2001:db8:ffff::1]"], "2001:db8::1"),
            (vec!["198.51.100.1", "", " , ,"], "198.51.100.1"),
            (vec!["198.51.100.1,,10.0.0.2"], "198.51.100.1"),
            // An unreadable entry is never skipped: anybody could have written what is to the left of it.
            (vec!["198.51.100.1, \u{e4}"], "10.0.0.1"),
            (vec!["198.51.100.1", "unknown"], "10.0.0.1"),
        ] {
            assert_eq!(address("10.0.0.1", &forwarded, proxies), client, "{forwarded:?}");
        }
    }

    #[test]
    fn an_ipv6_household_counts_as_one_client() {
        let info =
            |ip: &str| RequestInfo { address: ip.parse().unwrap(), request_id: String::new() }.network();
        assert_eq!(info("2001:db8:1:2:3:4:5:6"), info("2001:db8:1:2::1"));
        assert_ne!(info("2001:db8:1:2::1"), info("2001:db8:1:3::1"));
        assert_eq!(info("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
        assert_eq!(
            (info("192.0.2.1"), info("::ffff:192.0.2.1").to_string().as_str()),
            (info("192.0.2.1"), "192.0.2.1")
        );
    }
}
