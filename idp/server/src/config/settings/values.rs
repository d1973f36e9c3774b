//! The texts of settings as the values they mean.

use idp_core::secret::Secret;
use ipnet::IpNet;
use lettre::message::Mailbox;
use url::Url;

/// A parser of lists, from one of their parts.
pub(super) fn each<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl FnOnce(&str) -> Result<Vec<T>, String> {
    move |text| text.split(',').map(str::trim).map(parse).collect()
}

pub(super) fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an address with a port"))
}

pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let single = |_| text.parse::<std::net::IpAddr>().map(IpNet::from);
    let network = text.parse::<IpNet>().or_else(single);
    let network = network.map_err(|_| format!("`{text}` is not a network"))?;
    if network.prefix_len() == 0 {
        return Err(format!("`{text}` would trust everybody, name your own proxies only"));
    }
    Ok(network)
}

pub(super) fn database_url(text: &str) -> Result<Secret, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not a URL")?;
    match url.scheme() {
        "sqlite" if text.contains("memory") => Err("the database must be a file"),
        "sqlite" if url.path().is_empty() => Err("it names no file"),
        "postgres" | "postgresql" if url.path().len() < 2 => Err("it names no database"),
        "sqlite" | "postgres" | "postgresql" => Ok(Secret::new(text.to_owned())),
        _ => Err("it must begin with sqlite: or postgres:"),
    }
}

pub(super) fn sender(text: &str) -> Result<Mailbox, &'static str> {
    text.parse().map_err(|_| "it is no e-mail address")
}

pub(super) fn smtp_url(text: &str) -> Result<Secret, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not a URL")?;
    match (url.scheme(), url.query()) {
        ("smtp" | "smtps", _) if url.host_str().is_none_or(str::is_empty) => Err("it names no host"),
        ("smtp", None | Some("tls=required" | "tls=opportunistic")) | ("smtps", None) => {
            Ok(Secret::new(text.to_owned()))
        }
        ("smtp" | "smtps", _) => Err("its only parameter is tls=required or tls=opportunistic, for smtp://"),
        _ => Err("it must begin with smtps:// or smtp://"),
    }
}
