//! Parses the texts of settings into values.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use idp_core::authority::forwarded_address;
use idp_core::secret::Secret;
use idp_core::server_url::{BadServerUrl, server_url};
use ipnet::{IpNet, Ipv6Net};
use lettre::Address;
use lettre::message::Mailbox;
use url::Url;

use crate::config::settings::table::MAIL_SMTP_URL;

/// Makes a parser of comma-separated lists from a parser of one item.
pub(super) fn each<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl FnOnce(&str) -> Result<Vec<T>, String> {
    move |text| text.split(',').map(str::trim).map(parse).collect()
}

/// An address and port to listen on. The refusal of a near miss says what to write.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let why = |fix: String| format!("`{text}` is not an address with a port{fix}");
    text.parse().map_err(|_| why(fix_of_address(text)))
}

/// Addresses to listen on, each once.
pub(super) fn addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    let addresses = each(address)(text)?;
    for (at, address) in addresses.iter().enumerate() {
        match addresses[..at].iter().find(|other| canonical_address(other) == canonical_address(address)) {
            Some(same) if same == address => return Err(format!("`{address}` is there twice")),
            Some(other) => return Err(format!("`{other}` and `{address}` are the same address")),
            None => {}
        }
    }
    let is_covered = |address: &SocketAddr| {
        addresses
            .iter()
            .find(|other| *other != address && covers(other, address))
            .map(|other| (*address, other))
    };
    match addresses.iter().find_map(is_covered) {
        Some((address, wider)) => Err(format!("`{wider}` already includes `{address}`")),
        None => Ok(addresses),
    }
}

/// An IPv4 address written as IPv6 is the same to the system.
fn canonical_address(address: &SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether listening on `wider` leaves nothing for `address`. An IPv6 socket for all addresses takes IPv4 as well.
fn covers(wider: &SocketAddr, address: &SocketAddr) -> bool {
    let (wider, address) = (canonical_address(wider), canonical_address(address));
    let same_port = wider.port() == address.port() && wider.port() != 0;
    same_port && wider.ip().is_unspecified() && (wider.is_ipv6() || address.is_ipv4())
}

fn fix_of_address(text: &str) -> String {
    let bare = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
    let bare = bare.trim_end_matches('/');
    if let Ok(address) = bare.parse::<SocketAddr>() {
        return format!(": write {address}");
    }
    let v6 = bare.rsplit_once(':').and_then(|(host, port)| Some((host.parse().ok()?, port.parse().ok()?)));
    if let Some((ip, port)) = v6 {
        let address = SocketAddr::new(IpAddr::V6(ip), port);
        return format!(": an IPv6 address needs brackets, write {address}");
    }
    if let Ok(ip) = bare.trim_matches(['[', ']']).parse::<IpAddr>() {
        return format!(": its port is missing, write {}", SocketAddr::new(ip, 8080));
    }
    match bare.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
        Some((_, Err(_))) | None => String::new(),
        Some(("" | "*", Ok(port))) => {
            format!(
                ": write 127.0.0.1:{port} for this machine alone, 0.0.0.0:{port} or [::]:{port} for every address"
            )
        }
        Some((host, Ok(port))) if host.eq_ignore_ascii_case("localhost") => {
            format!(": it must be an IP address, write 127.0.0.1:{port}, or [::1]:{port}, or both")
        }
        Some((_, Ok(port))) => {
            format!(": it must be an IP address, write the one of this machine and :{port}")
        }
    }
}

/// A network of proxies, or the address of one. Bits after the prefix mean nothing and are dropped.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let single = |_| bare.parse::<IpAddr>().map(IpNet::from);
    let network = bare.parse::<IpNet>().or_else(single).map_err(|_| {
        let fix = match forwarded_address(text.as_bytes()) {
            Some(address) => format!(": write {address}, without a port or zone"),
            None => String::new(),
        };
        format!("`{text}` is not a network{fix}")
    })?;
    let network = canonical(network)
        .ok_or_else(|| format!("`{text}` mixes IPv4 and IPv6 addresses: write the IPv4 network as IPv4"))?;
    if network.prefix_len() == 0 {
        return Err(format!("`{text}` would trust everybody: list only your own proxies"));
    }
    Ok(network.trunc())
}

/// The networks of proxies. Together they must not be so many that everybody is trusted, in however many pieces.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let networks = each(network)(text)?;
    let together = IpNet::aggregate(&networks);
    match half_of(&together) {
        Some(whom) => Err(format!(
            "they are half of all {whom} addresses or more, and would trust nearly everybody: list only your own proxies"
        )),
        None => Ok(networks),
    }
}

/// The public addresses of IPv6 (RFC 4291 section 2.4). The rest is private, reserved or local.
const PUBLIC_IPV6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The addresses of which these networks, which do not overlap, contain at least half.
fn half_of(networks: &[IpNet]) -> Option<&'static str> {
    // In 2^-64 of all addresses: no network in use is smaller than that.
    let part = |prefix: u8, of: u8| 1_u128 << 64_u8.saturating_sub(prefix.saturating_sub(of));
    let (mut v4, mut v6) = (0, 0);
    for network in networks {
        match network {
            IpNet::V4(network) => v4 += part(network.prefix_len(), 0),
            IpNet::V6(network) if PUBLIC_IPV6.contains(network) || network.contains(&PUBLIC_IPV6) => {
                v6 += part(network.prefix_len(), PUBLIC_IPV6.prefix_len());
            }
            IpNet::V6(_) => {}
        }
    }
    [(v4, "IPv4"), (v6, "public IPv6")]
        .into_iter()
        .find(|(parts, _)| *parts >= 1 << 63)
        .map(|(_, family)| family)
}

/// A network inside `::ffff:0:0/96` as the IPv4 network that it is, because addresses are compared in that form.
fn canonical(network: IpNet) -> Option<IpNet> {
    match network.addr().to_canonical() {
        IpAddr::V4(ip) if network.addr().is_ipv6() => {
            let prefix = network.prefix_len().checked_sub(96)?;
            IpNet::new(IpAddr::V4(ip), prefix).ok()
        }
        _ => Some(network),
    }
}

/// A database. Of the parameters of a PostgreSQL URL, what opens the database knows more.
pub(super) fn database_url(text: &str) -> Result<Secret, String> {
    // A scheme may be in any case (RFC 3986 section 3.1); what opens the database knows one.
    let (scheme, rest) = text.split_once(':').unwrap_or_default();
    let scheme = scheme.to_ascii_lowercase();
    let text = format!("{scheme}:{rest}");
    match scheme.as_str() {
        "sqlite" => sqlite_url(&text)?,
        "postgres" | "postgresql" => postgres_url(&text)?,
        "" => return Err("it is not a URL".to_owned()),
        _ => return Err("it must begin with sqlite: or postgres:".to_owned()),
    }
    Ok(Secret::new(text))
}

fn postgres_url(text: &str) -> Result<(), String> {
    let url = server_url(text).map_err(|why| match why {
        BadServerUrl::NoHost => format!(
            "{why} after the user name: write it, or give the user name as a parameter \
             (postgres:///NAME?user=USER&password=PASSWORD) to connect to the host in PGHOST"
        ),
        why => why.to_string(),
    })?;
    let names_a_database = url.path().len() > 1 || url.query_pairs().any(|(name, _)| name == "dbname");
    names_a_database.then_some(()).ok_or_else(|| "it names no database".to_owned())
}

fn sqlite_url(text: &str) -> Result<(), &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not a URL")?;
    if is_in_memory(text) {
        return Err("the database must be a file");
    }
    if url.path().is_empty() {
        return Err("it names no file");
    }
    match keeps_a_file(&url) {
        true => Ok(()),
        false => Err("of the parameters after the file, only mode=rwc, mode=rw and cache can be used here"),
    }
}

/// Whether SQLite would keep the database in memory: the file is `:memory:`, or a parameter says so, in the URL or in a
/// `file:` name, which SQLite reads as a URI of its own.
fn is_in_memory(url: &str) -> bool {
    let (name, parameters) = in_parts(url.trim_start_matches("sqlite:").trim_start_matches("//"));
    let inner = name.strip_prefix("file:").map(in_parts);
    let (inner_name, inner_parameters) = inner.unwrap_or_default();
    let asks = |parameters: &str| {
        form_urlencoded::parse(parameters.as_bytes()).any(|(name, value)| name == "mode" && value == "memory")
    };
    name == ":memory:" || inner_name == ":memory:" || asks(&parameters) || asks(&inner_parameters)
}

/// Whether SQLite's parameters leave the database a file that it writes.
fn keeps_a_file(url: &Url) -> bool {
    url.query_pairs().all(|(name, value)| match &*name {
        "mode" => value == "rwc" || value == "rw",
        name => name == "cache",
    })
}

/// The decoded path of a URL without its scheme, and its parameters.
fn in_parts(rest: &str) -> (String, String) {
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    (path, parameters.to_owned())
}

/// A sender, with its domain in the ASCII form that every mail server understands.
pub(super) fn sender(text: &str) -> Result<Mailbox, &'static str> {
    let Mailbox { name, email } = text.parse().map_err(|_| "it is not an email address")?;
    if !email.user().is_ascii() {
        return Err("before the @ it may have ASCII characters only");
    }
    let domain = match url::Host::parse(email.domain()) {
        _ if email.domain().is_ascii() => email.domain().to_owned(),
        Ok(url::Host::Domain(ascii)) => ascii,
        _ => return Err("its domain is not one"),
    };
    let email = Address::new(email.user(), domain).map_err(|_| "its domain is not one")?;
    Ok(Mailbox { name, email })
}

/// A mail server. Does not quote the text, which may hold a password.
pub(super) fn smtp_url(text: &str) -> Result<Secret, String> {
    let scheme = text.split_once(':').unwrap_or_default().0.to_ascii_lowercase();
    if !scheme.is_empty() && !["smtp", "smtps"].contains(&scheme.as_str()) {
        return Err("it must begin with smtps:// or smtp://".to_owned());
    }
    let url = server_url(text).map_err(|why| why.to_string())?;
    let is_folder = || url.host_str().is_some_and(|host| host.contains('%'));
    if url.host_str().is_none_or(str::is_empty) {
        return Err(BadServerUrl::NoHost.to_string());
    }
    if is_folder() {
        return Err(BadServerUrl::Host.to_string());
    }
    smtp_details(&url)?;
    if let Some(lacks) = incomplete_login(&url, text) {
        let file = MAIL_SMTP_URL.0.file_variable().unwrap_or_default();
        return Err(format!(
            "{lacks}; write USER:PASSWORD@HOST, or only HOST to send without logging in; {file} may name a file with \
             the whole URL"
        ));
    }
    Ok(Secret::new(text.to_owned()))
}

/// What half a login lacks. With it we would send without logging in, and nobody asked for that.
fn incomplete_login(url: &Url, text: &str) -> Option<&'static str> {
    match (url.username(), url.password()) {
        // The parser drops what is empty.
        ("", None) => text.contains('@').then_some("it has an @ but no user name or password before it"),
        ("", Some(_)) => Some("it has a password but no user name"),
        (_, None) => Some("it has a user name but no password"),
        (_, Some(_)) => None,
    }
}

fn smtp_details(url: &Url) -> Result<(), String> {
    if !url.path().trim_start_matches('/').is_empty() {
        return Err("the path after the host means nothing here; leave it out".to_owned());
    }
    match (url.scheme(), url.query()) {
        ("smtp", None | Some("tls=required" | "tls=opportunistic")) | ("smtps", None) => Ok(()),
        (_, Some(query)) if query.contains('@') => Err(BadServerUrl::CutOff.to_string()),
        _ => Err("its only parameter is tls=required or tls=opportunistic, for smtp://".to_owned()),
    }
}
