//! Which hosts are this machine. Every connection that carries a secret asks here.

use std::net::IpAddr;

/// The name under which to connect, if a host is this machine: an address of 127.0.0.0/8, `::1`, or `localhost`
/// (RFC 6761 §6.3). Brackets of an IPv6 address, letter case and the root's dot make no difference.
///
/// Other names that often lead here, such as `ip6-localhost` or `*.localhost`, do not count: they lead where a name
/// server says.
pub fn loopback(host: &str) -> Option<String> {
    let bare = without_brackets(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.to_canonical().is_loopback().then(|| bare.to_owned());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    name.eq_ignore_ascii_case("localhost").then(|| "localhost".to_owned())
}

/// A host as a resolver expects it: an IPv6 address without the brackets it has in a URL (RFC 3986 §3.2.2).
pub fn without_brackets(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.filter(|inner| inner.contains(':')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_18_every_spelling_of_this_machine_is_recognised_and_no_other_host() {
        for (host, name) in [
            ("localhost", "localhost"),
            ("LocalHost", "localhost"),
            ("localhost.", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.2", "127.0.0.2"),
            ("127.255.255.254", "127.255.255.254"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[0:0:0:0:0:0:0:1]", "0:0:0:0:0:0:0:1"),
            ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ] {
            assert_eq!(loopback(host).as_deref(), Some(name), "{host}");
        }
        for host in [
            "", ".", "localhost..", "localhost.example.com", "db.localhost", "ip6-localhost",
            "127.0.0.1.example.com", "[127.0.0.1]", "[localhost]", "127.1", "127.0.0.01", "2130706433",
            "0x7f.0.0.1", "%6cocalhost", "128.0.0.1", "10.0.0.1", "0.0.0.0", "::", "[::2]",
            "[::ffff:10.0.0.1]", "::1%lo", "ⓛocalhost",
        ] {
            assert_eq!(loopback(host), None, "{host}");
        }
    }
}
