//! What the URL of a PostgreSQL server may say. The driver ignores parameters that it does not know, and of repeated
//! ones all but the last: whoever wrote them would believe in a protection that is not there.

use std::net::IpAddr;

use idp_core::server_url::{BadServerUrl, host_name, server_url};
use url::Url;

use crate::error::OpenError;

/// The parameters that the driver reads, each with its alternative spellings.
const PARAMETERS: [(&str, &[&str]); 11] = [
    ("sslmode", &["ssl-mode"]),
    ("sslrootcert", &["ssl-root-cert", "ssl-ca"]),
    ("sslcert", &["ssl-cert"]),
    ("sslkey", &["ssl-key"]),
    ("host", &["hostaddr"]),
    ("port", &[]),
    ("dbname", &[]),
    ("user", &[]),
    ("password", &[]),
    ("application_name", &[]),
    ("statement-cache-capacity", &[]),
];
/// Also read: settings of the server, as `options` or one by one as `options[NAME]`.
const OPTIONS: &str = "options";
/// How alike two names must be for one to be a likely typo of the other.
const NEAR: f64 = 0.6;

/// Parses a URL, every parameter of which is one that is obeyed.
///
/// # Errors
/// [`OpenError`]. It repeats no part of a password.
pub(crate) fn parse(text: &str) -> Result<Url, OpenError> {
    let url = server_url(text).map_err(|why| match why {
        BadServerUrl::Malformed => OpenError::Url("postgres://…".to_owned()),
        why => OpenError::BadUrl(why.to_string()),
    })?;
    check_names(&url)?;
    for (name, value) in url.query_pairs() {
        check_value(&name, &value).map_err(OpenError::BadUrl)?;
    }
    Ok(url)
}

/// A parameter, under whichever of its names, and its value.
pub(crate) fn parameter(url: &Url, wanted: &str) -> Option<(String, String)> {
    let pair = url.query_pairs().find(|(name, _)| canonical(name) == Some(wanted));
    pair.map(|(name, value)| (name.into_owned(), value.into_owned()))
}

fn check_names(url: &Url) -> Result<(), OpenError> {
    let mut seen: Vec<String> = Vec::new();
    for (name, _) in url.query_pairs() {
        let Some(canonical) = canonical(&name) else {
            // The name may then be the end of a password.
            return Err(match url.query().is_some_and(|query| query.contains('@')) {
                true => OpenError::BadUrl(BadServerUrl::CutOff.to_string()),
                false => unknown(&name),
            });
        };
        if let Some(first) = seen.iter().find(|seen| self::canonical(seen) == Some(canonical)) {
            return Err(OpenError::BadUrl(match *first == name {
                true => format!("it has the parameter `{name}` twice; keep one of them"),
                false => format!("its parameters `{first}` and `{name}` mean the same; keep one of them"),
            }));
        }
        seen.push(name.into_owned());
    }
    Ok(())
}

/// The first name of a parameter that is read; `None` if it is not.
fn canonical(name: &str) -> Option<&str> {
    let is_option = name.strip_prefix("options[").is_some_and(|rest| rest.ends_with(']'));
    if name == OPTIONS || is_option {
        return Some(name);
    }
    PARAMETERS
        .iter()
        .find(|(known, others)| *known == name || others.contains(&name))
        .map(|(known, _)| *known)
}

fn unknown(name: &str) -> OpenError {
    let plain = |name: &str| name.to_ascii_lowercase().replace(['-', '_'], "");
    let meant = |(known, others): &&(&str, &[&str])| {
        others.iter().chain([known]).any(|known| plain(known) == plain(name))
    };
    let none = format!("there is no parameter `{name}` in database.url");
    // A misspelling of these would leave the connection without the protection that was asked for.
    if let Some((known, _)) = PARAMETERS.iter().find(meant) {
        let why = format!("{none}; its name is `{known}`");
        return OpenError::Unprotected { server: "the database server".to_owned(), why };
    }
    let known: Vec<&str> = PARAMETERS.iter().map(|(known, _)| *known).chain([OPTIONS]).collect();
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(name, known);
    let nearest = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    OpenError::BadUrl(match nearest.filter(|known| likeness(known) >= NEAR) {
        Some(nearest) => format!("{none}; the nearest valid name is `{nearest}`"),
        None => format!("{none}; valid names are `{}`", known.join("`, `")),
    })
}

/// Checks the values at which the driver would fail without naming the parameter.
fn check_value(name: &str, value: &str) -> Result<(), String> {
    match name {
        "port" if !value.parse::<u16>().is_ok_and(|port| port > 0) => {
            Err("the value of its parameter `port` is not a number from 1 to 65535".to_owned())
        }
        "statement-cache-capacity" if value.parse::<usize>().is_err() => {
            Err(format!("the value of its parameter `{name}` is not a number"))
        }
        "hostaddr" if value.parse::<IpAddr>().is_err() => {
            Err("the value of its parameter `hostaddr` is not an IP address; a name goes into `host`"
                .to_owned())
        }
        "host" if value.contains(',') => Err(BadServerUrl::SeveralHosts.to_string()),
        "host" if !value.starts_with('/') => host_name(value).map_err(|why| why.to_string()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(rest: &str) -> String {
        parse(&format!("postgres://{rest}")).unwrap_err().to_string()
    }

    #[test]
    fn fault_18_a_parameter_that_the_driver_would_ignore_is_refused() {
        let all = "valid names are `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `host`, `port`, `dbname`, `user`, \
            `password`, `application_name`, `statement-cache-capacity`, `options`";
        for (query, why) in [
            ("channel_binding=require", format!("no parameter `channel_binding` in database.url; {all}")),
            (
                "ssl_min_protocol_version=TLSv1.3",
                format!("no parameter `ssl_min_protocol_version` in database.url; {all}"),
            ),
            ("connect_timeout=3", format!("no parameter `connect_timeout` in database.url; {all}")),
            ("foo", format!("no parameter `foo` in database.url; {all}")),
            (
                "passwd=hunter2",
                "no parameter `passwd` in database.url; the nearest valid name is `password`".to_owned(),
            ),
            ("user_name=a", format!("no parameter `user_name` in database.url; {all}")),
            (
                "applicationname=a",
                "no parameter `applicationname` in database.url; its name is `application_name`".to_owned(),
            ),
            (
                "options[x=y",
                "no parameter `options[x` in database.url; the nearest valid name is `options`".to_owned(),
            ),
        ] {
            let said = refusal(&format!("h/x?{query}"));
            assert!(said.ends_with(&why) && !said.contains("hunter2"), "{query}: {said}");
        }
        let said = refusal("u:1/x?s3cret=w@h/x");
        assert!(said.contains("write @ as %40") && !said.contains("s3cret"), "{said}");
    }

    #[test]
    fn fault_18_a_repeated_parameter_is_refused() {
        for (query, why) in [
            ("sslmode=verify-full&sslmode=disable", "it has the parameter `sslmode` twice; keep one of them"),
            ("ssl-ca=/a&sslrootcert=/b", "its parameters `ssl-ca` and `sslrootcert` mean the same; keep one"),
            ("host=h&hostaddr=::1", "its parameters `host` and `hostaddr` mean the same"),
            ("options=-c%20a=b&options=-c%20c=d", "it has the parameter `options` twice"),
            ("options[a]=b&options[a]=c", "it has the parameter `options[a]` twice"),
        ] {
            let said = refusal(&format!("h/x?{query}"));
            assert!(said.starts_with("database.url cannot be used: ") && said.contains(why), "{said}");
        }
        assert!(parse("postgres://h/x?options=-c%20a=b&options[c]=d&options[e]=f&user=a@b&port=1").is_ok());
    }

    #[test]
    fn fault_06_fault_21_a_value_that_cannot_be_used_is_named() {
        for (query, why) in [
            ("port=0", "`port` is not a number from 1 to 65535"),
            ("port=x", "`port` is not a number from 1 to 65535"),
            ("statement-cache-capacity=many", "`statement-cache-capacity` is not a number"),
            ("hostaddr=localhost", "`hostaddr` is not an IP address; a name goes into `host`"),
            ("host=h1,h2", "it names several hosts, and only one is supported"),
            ("host=m%C3%A4il.invalid", "write its host as xn--mil-qla.invalid"),
        ] {
            let said = refusal(&format!("/x?{query}"));
            assert!(said.contains(why), "{query}: {said}");
        }
        assert!(parse("postgres:///x?host=/run/d%C3%A4/pg").is_ok());
    }
}
