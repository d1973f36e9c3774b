use proptest::prelude::{ProptestConfig, Strategy, prop, prop_assert, prop_oneof, proptest};
use proptest::sample::select;

use super::*;

const NOTHING: [(&str, &str); 0] = [];

fn facts_with<'a>(
    url: &str,
    env: &'a [(&'a str, &'a str)],
) -> Result<(PgConnectOptions, ConnectionFacts), String> {
    let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    protected(url, env).map_err(|error| error.to_string())
}

/// The resulting mode, host and warnings.
fn way(url: &str) -> (String, String, Vec<String>) {
    let (options, facts) = facts_with(url, &NOTHING).unwrap_or_else(|error| panic!("{url}: {error}"));
    (format!("{:?}", options.get_ssl_mode()), options.get_host().to_owned(), facts.warnings)
}

fn refusal(url: &str) -> String {
    facts_with(url, &NOTHING).map(|_| ()).unwrap_err()
}

#[test]
fn fault_18_a_server_beyond_this_machine_is_fully_verified() {
    for (url, host) in [
        ("postgres://idp:hunter2@db.example.com/idp", "db.example.com"),
        ("postgresql://idp:hunter2@db.example.com:6432/idp", "db.example.com"),
        ("postgres://idp@DB.Example.COM/idp", "DB.Example.COM"),
        ("postgres://idp@10.0.0.5/idp", "10.0.0.5"),
        ("postgres://idp@[2001:db8::5]/idp", "2001:db8::5"),
        ("postgres://idp@0.0.0.0/idp", "0.0.0.0"),
        ("postgres://idp@127.1/idp", "127.1"),
        ("postgres://idp@localhost.example.com/idp", "localhost.example.com"),
        ("postgres://idp@ip6-localhost/idp", "ip6-localhost"),
        // The driver connects to the host in the query, and the rule looks at the same.
        ("postgres://idp@localhost/idp?host=db.example.com", "db.example.com"),
        ("postgres:///idp?host=db.example.com", "db.example.com"),
        ("postgres://idp@localhost/idp?hostaddr=10.0.0.5", "10.0.0.5"),
        ("postgres://idp@db.example.com/idp?sslmode=verify-full", "db.example.com"),
        ("postgres://idp@db.example.com/idp?ssl-mode=VERIFY-FULL", "db.example.com"),
        ("postgres://idp@db.example.com/idp?sslrootcert=/etc/ssl/db.pem", "db.example.com"),
    ] {
        assert_eq!(way(url), ("VerifyFull".to_owned(), host.to_owned(), Vec::new()), "{url}");
    }
}

#[test]
fn fault_18_this_machine_and_sockets_need_no_tls() {
    for (url, host) in [
        ("postgres://idp@localhost/idp", "localhost"),
        ("postgres://idp@LOCALHOST./idp", "localhost"),
        ("postgres://idp@127.0.0.1:5433/idp", "127.0.0.1"),
        ("postgres://idp@127.8.9.10/idp", "127.8.9.10"),
        ("postgres://idp@[::1]/idp", "::1"),
        ("postgres://idp@db.example.com/idp?host=localhost", "localhost"),
        ("postgres://idp@localhost/idp?sslmode=prefer", "localhost"),
    ] {
        assert_eq!(way(url), ("Prefer".to_owned(), host.to_owned(), Vec::new()), "{url}");
    }
    for url in ["postgres://idp@%2Frun%2Fpostgresql/idp", "postgres:///idp?host=/run/postgresql"] {
        let (options, facts) = facts_with(url, &NOTHING).unwrap();
        assert!(options.get_socket().is_some() && facts == ConnectionFacts::default(), "{url}");
    }
    // A mode written in the URL is obeyed here as well.
    let (mode, _, warnings) = way("postgres://idp@127.0.0.1/idp?sslmode=verify-full");
    assert_eq!((mode.as_str(), warnings), ("VerifyFull", Vec::new()));
}

#[test]
fn fault_18_a_weaker_mode_in_the_url_is_obeyed_with_a_warning() {
    for (said, mode, risk) in [
        ("sslmode=disable", "Disable", "travel in clear text"),
        ("ssl-mode=Disable", "Disable", "travel in clear text"),
        ("sslmode=require", "Require", "certificate is not checked"),
        ("sslmode=verify-ca", "VerifyCa", "the name in the server's certificate is not checked"),
        // Whoever names an authority wants it checked, as with libpq. The driver would not.
        (
            "sslmode=require&sslrootcert=/ca.pem",
            "VerifyCa",
            "the name in the server's certificate is not checked",
        ),
    ] {
        let (used, _, warnings) = way(&format!("postgres://idp:hunter2@db.example.com/idp?{said}"));
        assert_eq!((used.as_str(), warnings.len()), (mode, 1), "{said}: {warnings:?}");
        let written = said.split(['=', '&']).nth(1).unwrap().to_ascii_lowercase();
        assert!(warnings[0].starts_with(&format!("database.url says sslmode={written}: ")), "{warnings:?}");
        assert!(warnings[0].contains(risk) && warnings[0].ends_with("(db.example.com:5432)"), "{warnings:?}");
        assert!(!warnings[0].contains("hunter2"));
    }
}

#[test]
fn fault_18_modes_that_look_like_tls_but_are_not_are_refused() {
    for (query, why) in [
        (
            "sslmode=prefer",
            "to db.example.com:5432: sslmode=prefer sends the password in clear text to a server that refuses TLS; leave it out",
        ),
        ("sslmode=allow", "sslmode=allow sends the password in clear text"),
        ("sslmode=Prefer", "sslmode=prefer sends the password in clear text"),
        ("sslmode=on", "there is no sslmode=on; it is one of disable, require, verify-ca and verify-full"),
        ("sslmode=", "there is no sslmode=;"),
        ("ssl_mode=require", "there is no parameter `ssl_mode` in database.url; its name is `sslmode`"),
        ("SSLMODE=require", "its name is `sslmode`"),
        ("ssl_ca=/ca.pem", "its name is `sslrootcert`"),
        ("sslRootCert=/ca.pem", "its name is `sslrootcert`"),
        (
            "sslrootcert=system",
            "sslrootcert=system names no file; leave it out to trust the authorities that Mozilla trusts",
        ),
        ("sslrootcert=", "sslrootcert= names no file"),
    ] {
        let said = refusal(&format!("postgres://idp:hunter2@db.example.com/idp?{query}"));
        assert!(said.starts_with("no protected connection to ") && said.contains(why), "{query}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(refusal("postgres://x y").contains("is not a database URL"));
}

#[test]
fn fault_18_the_environment_never_weakens_the_protection() {
    let url = "postgres://idp@db.example.com/idp";
    let (options, facts) = facts_with(url, &[("PGSSLMODE", "disable")]).unwrap();
    assert_eq!(format!("{:?}", options.get_ssl_mode()), "VerifyFull");
    assert_eq!(facts.warnings.len(), 1);
    assert!(
        facts.warnings[0].starts_with("PGSSLMODE=disable is ignored for db.example.com:5432"),
        "{facts:?}"
    );
    for env in [("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", "")] {
        assert_eq!(facts_with(url, &[env]).unwrap().1, ConnectionFacts::default());
    }
    let (_, facts) = facts_with(url, &[("PGSSLROOTCERT", "/ca.pem")]).unwrap();
    assert!(
        facts.warnings[0].starts_with("the authorities in PGSSLROOTCERT=/ca.pem are trusted"),
        "{facts:?}"
    );
    assert_eq!(facts.certificates, [PathBuf::from("/ca.pem")]);
    let (_, facts) =
        facts_with(&format!("{url}?sslrootcert=/own.pem"), &[("PGSSLROOTCERT", "/ca.pem")]).unwrap();
    assert_eq!((facts.warnings, facts.certificates), (Vec::new(), vec![PathBuf::from("/own.pem")]));
    let (_, facts) = facts_with("postgres://idp@127.0.0.1/idp", &[("PGSSLMODE", "disable")]).unwrap();
    assert_eq!(facts.warnings, [""; 0], "a server on this machine");
}

#[test]
fn fault_18_the_files_a_url_names_are_reported() {
    let url = "postgres://idp@db.example.com/idp?ssl-ca=/ca.pem&sslcert=/idp.pem&ssl-key=/idp.key";
    let (_, facts) = facts_with(url, &NOTHING).unwrap();
    assert_eq!(facts.certificates, [PathBuf::from("/ca.pem"), PathBuf::from("/idp.pem")]);
    assert_eq!(facts.client_key, Some(PathBuf::from("/idp.key")));
    assert_eq!(connection_facts("sqlite:idp.db").unwrap(), ConnectionFacts::default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the URL, a password is sent in clear text only to this machine, or if the URL says `disable`.
    #[test]
    fn fault_18_no_url_sends_a_password_in_clear_by_accident(
        host in prop_oneof![
            select(vec!["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "0.0.0.0", "db.example.com", "%2frun", "%6cocalhost", "127.1", ""]).prop_map(str::to_owned),
            "[a-zA-Z0-9.%:-]{0,10}",
        ],
        query in prop::collection::vec(select(vec![
            "sslmode=disable", "sslmode=DISABLE", "sslmode=prefer", "sslmode=allow", "sslmode=require", "sslmode=verify-full",
            "ssl-mode=disable", "sslmode", "SSLMODE=disable", "ssl_mode=disable", "ssl%6dode=disable", "sslmode=%64isable",
            "host=db.example.com", "host=localhost", "hostaddr=10.0.0.5", "hostaddr=127.0.0.1", "host=/run/postgresql",
            "sslrootcert=/ca.pem", "x=sslmode=disable", "x",
        ]), 0..4),
        env in select(vec!["disable", "prefer", "allow", "verify-full"]),
    ) {
        let text = format!("postgres://ada:hunter2@{host}/idp?{}", query.join("&"));
        let Ok((options, facts)) = facts_with(&text, &[("PGSSLMODE", env)]) else { return Ok(()) };
        let is_local = options.get_socket().is_some() || loopback(options.get_host()).is_some();
        let written = |mode: &str| {
            let url = Url::parse(&text).unwrap();
            let last = url.query_pairs().filter(|(name, _)| name == "sslmode" || name == "ssl-mode").last();
            last.is_some_and(|(_, value)| value.eq_ignore_ascii_case(mode))
        };
        match options.get_ssl_mode() {
            _ if is_local => {}
            PgSslMode::Disable => prop_assert!(written("disable")),
            PgSslMode::Require => prop_assert!(written("require")),
            PgSslMode::VerifyCa => prop_assert!(written("require") && text.contains("sslrootcert")),
            PgSslMode::VerifyFull => {}
            mode => prop_assert!(false, "{text}: {mode:?}"),
        }
        prop_assert!(is_local || matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) || !facts.warnings.is_empty());
    }
}
