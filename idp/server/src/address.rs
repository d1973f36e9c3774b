//! Who is calling: the one place that reads the client's address.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// What is known of a request before it is looked at.
#[derive(Clone, Debug)]
pub(crate) struct RequestInfo {
    /// The client's address.
    pub(crate) address: IpAddr,
    /// The id in log, header and error page.
    pub(crate) request_id: String,
}

impl RequestInfo {
    /// The address for counting: an IPv6 network of 64 bits is one household.
    pub(crate) fn network(&self) -> String {
        match self.address {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => {
                let bits = u128::from(ip) & (u128::MAX << 64);
                format!("{}/64", Ipv6Addr::from(bits))
            }
        }
    }

    /// For the audit trail.
    pub(crate) fn origin(&self) -> idp_store::Origin {
        idp_store::Origin {
            address: Some(self.address.to_string()),
            request_id: Some(self.request_id.clone()),
        }
    }
}

/// The client's address: the peer, unless the peer is a trusted proxy. Then `X-Forwarded-For` is read from
/// the right, and the first address that is no trusted proxy is the client's; what stands left of it anybody
/// could have written.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    let mut address = peer.to_canonical();
    if !is_trusted(&address) {
        return address;
    }
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Ok(hop) = hop.trim().parse::<IpAddr>() else { return address };
        address = hop.to_canonical();
        if !is_trusted(&address) {
            return address;
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn rl_01_only_a_trusted_proxy_is_believed_and_only_its_own_word() {
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
    fn an_ipv6_household_counts_as_one() {
        let info =
            |ip: &str| RequestInfo { address: ip.parse().unwrap(), request_id: String::new() }.network();
        assert_eq!(info("2001:db8:1:2:3:4:5:6"), info("2001:db8:1:2::1"));
        assert_ne!(info("2001:db8:1:2::1"), info("2001:db8:1:3::1"));
    }
}
