//! Guards against load on other machines: connections need a [`LoopbackAddress`], and only a loopback address becomes
//! one.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, bail, ensure};
use url::{Host, Url};

/// An address of this machine's loopback interface. Load on any other would be an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoopbackAddress(SocketAddr);

impl LoopbackAddress {
    /// Checks that the address is a loopback address.
    pub(crate) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        ensure!(address.ip().to_canonical().is_loopback(), "{address} is not on loopback");
        Ok(Self(address))
    }

    /// The address.
    pub(crate) fn address(self) -> SocketAddr {
        self.0
    }
}

/// Checks that a database is on this machine: either every address of its host is loopback, or it has a Unix socket.
pub(crate) fn check_database(text: &str) -> anyhow::Result<Url> {
    // The parse error might show the password, so it is not passed on.
    let Ok(url) = Url::parse(text) else { bail!("the database's URL is not a URL") };
    ensure!(matches!(url.scheme(), "postgres" | "postgresql"), "the database's URL is not postgres://…");
    // A parameter overrides the host before the path.
    let hosts = url.query_pairs().filter(|(name, _)| matches!(name.as_ref(), "host" | "hostaddr"));
    for (_, host) in hosts {
        ensure!(host.starts_with('/'), "put the database's host before the path, not in a parameter");
    }
    let port = url.port().unwrap_or(5432);
    let addresses = match url.host() {
        None => return Ok(url),
        Some(Host::Domain(name)) if name.starts_with("%2F") || name.starts_with("%2f") => return Ok(url),
        Some(Host::Domain(name)) => (name, port).to_socket_addrs().context("the database's host")?.collect(),
        Some(Host::Ipv4(ip)) => vec![SocketAddr::from((ip, port))],
        Some(Host::Ipv6(ip)) => vec![SocketAddr::from((ip, port))],
    };
    for address in addresses {
        LoopbackAddress::new(address)?;
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_accepted() {
        for good in ["127.0.0.1:80", "127.8.9.1:8080", "[::1]:443", "[::ffff:127.0.0.1]:80"] {
            assert!(LoopbackAddress::new(good.parse().unwrap()).is_ok(), "{good}");
        }
        for bad in
            ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "192.0.2.7:80", "128.0.0.1:80", "[::ffff:10.0.0.1]:80"]
        {
            assert!(LoopbackAddress::new(bad.parse().unwrap()).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_databases_on_this_machine_are_accepted() {
        for good in [
            "postgres://idp@127.0.0.1/idp",
            "postgresql://idp:secret@[::1]:5433/idp",
            "postgres:///idp",
            "postgres:///idp?host=/var/run/postgresql",
            "postgres://%2Fvar%2Frun%2Fpostgresql/idp",
        ] {
            assert!(check_database(good).is_ok(), "{good}");
        }
        for bad in [
            "postgres://idp@192.0.2.7/idp",
            "postgres://idp@0.0.0.0/idp",
            "postgres://127.0.0.1/idp?host=192.0.2.7",
            "postgres://127.0.0.1/idp?hostaddr=192.0.2.7",
            "sqlite:idp.db",
            "mysql://127.0.0.1/idp",
        ] {
            assert!(check_database(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_does_not_show_the_password() {
        for text in [
            "postgres://idp:hidden@192.0.2.7/idp",
            "postgres//idp:hidden@127.0.0.1",
            "postgres://idp:hidden@[::1/x",
        ] {
            let error = format!("{:#}", check_database(text).unwrap_err());
            assert!(!error.contains("hidden"), "{error}");
        }
    }
}
