//! The URL of a server that we log in to: a database or a mail server. It may hold a password, so a refusal quotes
//! nothing of it but a host, and that only where it cannot be part of a password.

use std::net::{Ipv6Addr, SocketAddrV6};

use percent_encoding::percent_decode_str;
use url::{Host, ParseError, Url};
use zeroize::Zeroizing;

/// How to write what would end a user name or password.
const ENCODE: &str =
    "in user name and password, write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25";

/// Why a text cannot be such a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadServerUrl {
    /// Not a URL.
    #[error("it is not a URL; {ENCODE}")]
    Malformed,
    /// There is an `@` after the host, so a `/`, `?` or `#` in the password has ended it.
    #[error("there is an @ after the host; {ENCODE}")]
    CutOff,
    /// It has a fragment.
    #[error("the part after # means nothing here; {ENCODE}")]
    Fragment,
    /// `h1,h2`.
    #[error("it names several hosts, and only one is supported")]
    SeveralHosts,
    /// `::1` instead of `[::1]`. With what to write instead.
    #[error("an IPv6 address needs brackets, write {0}")]
    Brackets(String),
    /// There is nothing between the user name and the port or path.
    #[error("it names no host")]
    NoHost,
    /// Neither a name nor an address.
    #[error("its host is neither a host name nor an IP address")]
    Host,
    /// A name beyond ASCII, or percent-encoded. With what to write instead.
    #[error("write its host as {0}, the form that DNS uses")]
    Spelling(String),
    /// Not a number up to 65535, or 0, at which nothing can listen.
    #[error("its port is not a number from 1 to 65535; {ENCODE}")]
    Port,
    /// This part of it is not UTF-8 when decoded.
    #[error("{0} is not UTF-8 when decoded; write % as %25")]
    NotText(&'static str),
    /// This part of it has a control character when decoded. To a server, NUL ends the user name or password, or
    /// divides the one from the other.
    #[error("{0} has a control character in it when decoded; write % as %25")]
    Control(&'static str),
}

/// Parses the URL of a server.
///
/// # Errors
/// [`BadServerUrl`].
pub fn server_url(text: &str) -> Result<Url, BadServerUrl> {
    let (_, rest) = text.split_once("://").unwrap_or_default();
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if is_cut_off(after) {
        return Err(BadServerUrl::CutOff);
    }
    if after.contains('#') {
        return Err(BadServerUrl::Fragment);
    }
    hosts(authority.rsplit_once('@').map_or(authority, |(_, host)| host))?;
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::EmptyHost => BadServerUrl::NoHost,
        ParseError::InvalidPort => BadServerUrl::Port,
        _ => BadServerUrl::Malformed,
    })?;
    if url.port() == Some(0) {
        return Err(BadServerUrl::Port);
    }
    host_name(url.host_str().unwrap_or_default())?;
    check_text(&url)?;
    Ok(url)
}

/// Checks that what is percent-encoded in a URL is text.
fn check_text(url: &Url) -> Result<(), BadServerUrl> {
    const LOGIN: &str = "its user name or password";
    let parts = [
        (LOGIN, url.username()),
        (LOGIN, url.password().unwrap_or_default()),
        ("its host", url.host_str().unwrap_or_default()),
        ("its path", url.path()),
        ("one of its parameters", url.query().unwrap_or_default()),
    ];
    parts.into_iter().try_for_each(|(part, encoded)| {
        // With room for all of it, so that growing leaves no copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(encoded.len()));
        bytes.extend(percent_decode_str(encoded));
        match std::str::from_utf8(&bytes) {
            Err(_) => Err(BadServerUrl::NotText(part)),
            Ok(text) if text.contains(char::is_control) => Err(BadServerUrl::Control(part)),
            Ok(_) => Ok(()),
        }
    })
}

/// Whether there is an `@` in the path, the fragment, or the name of a parameter. In a parameter's value it may stand.
fn is_cut_off(after: &str) -> bool {
    let (before, fragment) = after.split_once('#').unwrap_or((after, ""));
    let (path, query) = before.split_once('?').unwrap_or((before, ""));
    let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
    path.contains('@') || fragment.contains('@') || names.any(|name| name.contains('@'))
}

/// Refuses what a URL parser would read as something else, or not at all: lists, and IPv6 addresses without brackets.
fn hosts(host: &str) -> Result<(), BadServerUrl> {
    if host.contains(',') {
        return Err(BadServerUrl::SeveralHosts);
    }
    let with_port = host.rsplit_once(':').and_then(|(ip, port)| Some((ip.parse().ok()?, port.parse().ok()?)));
    if let Some((ip, port)) = with_port {
        return Err(BadServerUrl::Brackets(SocketAddrV6::new(ip, port, 0, 0).to_string()));
    }
    match host.parse::<Ipv6Addr>() {
        Ok(ip) => Err(BadServerUrl::Brackets(format!("[{ip}]"))),
        Err(_) => Ok(()),
    }
}

/// Checks a host that is connected to as it is written. The folder of a socket, which begins with a slash, is one.
///
/// # Errors
/// [`BadServerUrl::Spelling`] and [`BadServerUrl::Host`].
pub fn host_name(host: &str) -> Result<(), BadServerUrl> {
    let is_folder = percent_decode_str(host).next() == Some(b'/');
    if is_folder || (host.is_ascii() && !host.contains('%')) {
        return Ok(());
    }
    match Host::parse(host) {
        Ok(host) => Err(BadServerUrl::Spelling(host.to_string())),
        Err(_) => Err(BadServerUrl::Host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_18_a_password_that_was_cut_off_is_noticed_and_not_repeated() {
        for rest in [
            "u:1234/s3cret@h/x",
            "u:1234/s3cret@h",
            "u:s3cret/w@h/x",
            "u:1234?s3cret@h/x",
            "u:1234?s3cret@h/x?sslmode=disable",
            "u:1234#s3cret@h/x",
            "u:s3cret#w@h",
            "u:s3@1/cret@h/x",
            "u:s3@1?cret@h/x",
            "u:1,2/s3cret@h/x",
            "::1/s3cret@h",
        ] {
            let why = server_url(&format!("postgres://{rest}")).unwrap_err();
            assert_eq!(why, BadServerUrl::CutOff, "{rest}");
            assert!(why.to_string().contains("write @ as %40") && !why.to_string().contains("cret"), "{why}");
        }
        assert_eq!(server_url("smtp://u:p@h#x").unwrap_err(), BadServerUrl::Fragment);
        for rest in ["u:p%2F%40@h/x", "u:p@w@h/x", "h/x%40y", "h/x?application_name=a@b", "/x", "h", "h/"] {
            assert!(server_url(&format!("postgres://{rest}")).is_ok(), "{rest}");
        }
    }

    #[test]
    fn fault_10_what_is_encoded_must_be_text() {
        use BadServerUrl::{Control, NotText};
        const LOGIN: &str = "its user name or password";
        const PARAMETERS: &str = "one of its parameters";
        for (rest, why) in [
            ("u%00:p@h/x", Control(LOGIN)),
            ("u:p%00w@h/x", Control(LOGIN)),
            ("u:p%0Aw@h", Control(LOGIN)),
            ("u:p%7fw@h", Control(LOGIN)),
            ("u:p%c2%9fw@h", Control(LOGIN)),
            ("u%ff:p@h/x", NotText(LOGIN)),
            ("u:100%ff@h/x", NotText(LOGIN)),
            ("%2Frun%00/x", Control("its host")),
            ("%2Frun%ff/x", NotText("its host")),
            ("h/x%00", Control("its path")),
            ("h/x?password=p%00w", Control(PARAMETERS)),
            ("h/x?a=b&password=%ff", NotText(PARAMETERS)),
            ("h/x?%0d=b", Control(PARAMETERS)),
        ] {
            assert_eq!(server_url(&format!("postgres://{rest}")).unwrap_err(), why, "{rest}");
        }
        for rest in ["u:p%2500w@h/x", "%C3%A4:p%20%C3%B6@h/x", "h/x?password=p%2500w+%C3%A4"] {
            assert!(server_url(&format!("postgres://{rest}")).is_ok(), "{rest}");
        }
    }

    #[test]
    fn fault_05_fault_06_fault_21_what_is_wrong_with_the_host_is_named() {
        use BadServerUrl::*;
        let spelling = |host: &str| Spelling(host.to_owned());
        let brackets = |host: &str| Brackets(host.to_owned());
        for (rest, why) in [
            ("u:p@fd00::2:28432/x", brackets("[fd00::2]:28432")),
            ("u:p@fd00::2/x", brackets("[fd00::2]")),
            ("::1/x", brackets("[::1]")),
            ("h1:1,h2:2/x", SeveralHosts),
            ("u:p@h1,h2/x", SeveralHosts),
            ("u:p@/x", NoHost),
            ("u@:5432/x", NoHost),
            ("u:p@mäil.invalid/x", spelling("xn--mil-qla.invalid")),
            ("u:p@m%C3%A4il.invalid:25", spelling("xn--mil-qla.invalid")),
            ("u:p@%6cocalhost/x", spelling("localhost")),
            ("u:p@h%20x/x", Host),
            ("u:p@h%ff/x", Host),
            ("h:0/x", Port),
            ("h:65536/x", Port),
            ("h:p/x", Port),
            ("[::1/x", Malformed),
            ("h x/x", Malformed),
        ] {
            assert_eq!(server_url(&format!("postgres://{rest}")).unwrap_err(), why, "{rest}");
        }
        for rest in ["[fd00::2]:28432/x", "u:p@[::1]/x", "%2Frun%2Fpostgresql/x", "127.1/x", "u,v:p,w@h/x"] {
            assert!(server_url(&format!("postgres://{rest}")).is_ok(), "{rest}");
        }
    }
}
