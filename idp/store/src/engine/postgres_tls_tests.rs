use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use proptest::prelude::{ProptestConfig, Strategy, prop, prop_assert, prop_oneof, proptest};
use proptest::sample::select;

use super::*;

const NOTHING: [(&str, &str); 0] = [];

fn facts_with<'a>(
    url: &str,
    env: &'a [(&'a str, &'a str)],
) -> Result<(PgConnectOptions, ConnectionFacts), String> {
    let env =
        |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
    protected(url, env).map_err(|error| error.to_string())
}

/// The resulting mode, host and warnings.
fn way(url: &str) -> (String, String, Vec<String>) {
    let (options, facts) = facts_with(url, &NOTHING).unwrap_or_else(|error| panic!("{url}: {error}"));
    (format!("{:?}", options.get_ssl_mode()), options.get_host().to_owned(), facts.warnings)
}

fn in_url(path: &str, parameter: &str) -> NamedFile {
    NamedFile { path: PathBuf::from(path), origin: FileOrigin::Parameter(parameter.to_owned()) }
}

fn by_variable(path: &str, name: &'static str) -> NamedFile {
    NamedFile { path: PathBuf::from(path), origin: FileOrigin::Variable(name) }
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
    assert_eq!(facts.certificates, [by_variable("/ca.pem", "PGSSLROOTCERT")]);
    let (_, facts) =
        facts_with(&format!("{url}?sslrootcert=/own.pem"), &[("PGSSLROOTCERT", "/ca.pem")]).unwrap();
    assert_eq!((facts.warnings, facts.certificates), (Vec::new(), vec![in_url("/own.pem", "sslrootcert")]));
    let (_, facts) = facts_with("postgres://idp@127.0.0.1/idp", &[("PGSSLMODE", "disable")]).unwrap();
    assert_eq!(facts.warnings, [""; 0], "a server on this machine");
}

#[test]
fn fault_18_the_files_a_url_names_are_reported() {
    let url = "postgres://idp@db.example.com/idp?ssl-ca=/ca.pem&sslcert=/idp.pem&ssl-key=/idp.key";
    let (_, facts) = facts_with(url, &NOTHING).unwrap();
    assert_eq!(facts.certificates, [in_url("/ca.pem", "ssl-ca"), in_url("/idp.pem", "sslcert")]);
    assert_eq!(facts.client_key, Some(in_url("/idp.key", "ssl-key")));
    assert_eq!(connection_facts("sqlite:idp.db").unwrap(), ConnectionFacts::default());
}

#[test]
fn fault_10_a_file_knows_whether_a_variable_or_the_url_named_it() {
    let url = "postgres://idp@db.example.com/idp";
    let env = [("PGSSLROOTCERT", "/ca.pem"), ("PGSSLCERT", "/idp.pem"), ("PGSSLKEY", "/idp.key")];
    let (_, facts) = facts_with(url, &env).unwrap();
    assert_eq!(
        facts.certificates,
        [by_variable("/ca.pem", "PGSSLROOTCERT"), by_variable("/idp.pem", "PGSSLCERT")]
    );
    assert_eq!(facts.client_key, Some(by_variable("/idp.key", "PGSSLKEY")));
    // One of a pair may be in the URL, and the other one in the environment.
    let (_, facts) = facts_with(&format!("{url}?ssl-cert=/own.pem"), &env).unwrap();
    assert_eq!(facts.certificates[1], in_url("/own.pem", "ssl-cert"));
    assert_eq!(facts.client_key, Some(by_variable("/idp.key", "PGSSLKEY")));
    // The driver also takes the text itself from a variable.
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let (_, facts) = facts_with(url, &[("PGSSLROOTCERT", pem)]).unwrap();
    assert!(facts.certificates.is_empty() && facts.warnings.len() == 1, "{facts:?}");
    assert!(facts.warnings[0].starts_with("the authorities in PGSSLROOTCERT are trusted for "), "{facts:?}");
    assert!(facts.warnings[0].ends_with("with sslrootcert=FILE"), "{facts:?}");
}

#[test]
fn fault_10_a_certificate_without_its_key_is_refused_and_so_is_a_key_alone() {
    let url = "postgres://idp@db.example.com/idp";
    const CERTIFICATE: &str = "gives a client certificate without its private key; give that too, with sslkey in \
                               database.url or with PGSSLKEY";
    const KEY: &str = "gives a private key without its client certificate; give that too, with sslcert in \
                       database.url or with PGSSLCERT";
    for (url, env, said) in [
        (url, ("PGSSLCERT", "/a"), format!("environment variable PGSSLCERT: it {CERTIFICATE}")),
        (url, ("PGSSLKEY", "/a"), format!("environment variable PGSSLKEY: it {KEY}")),
        (&format!("{url}?ssl-cert=/a"), ("X", ""), format!("to the database server: ssl-cert {CERTIFICATE}")),
        (&format!("{url}?sslkey=/a"), ("X", ""), format!("to the database server: sslkey {KEY}")),
        ("postgres:///idp?host=/run&sslkey=/a", ("X", ""), format!("sslkey {KEY}")),
        ("postgres://idp@localhost/idp?sslmode=disable", ("PGSSLKEY", "/a"), format!("PGSSLKEY: it {KEY}")),
    ] {
        let refusal = facts_with(url, &[env]).unwrap_err();
        assert!(refusal.ends_with(&said), "{url} {env:?}: {refusal}");
    }
}

#[test]
fn fault_10_a_variable_that_cannot_be_used_is_named() {
    let url = "postgres://idp@localhost/idp";
    for (name, value, why) in [
        ("PGSSLROOTCERT", "system", "it names no file; leave it out to trust the authorities"),
        ("PGSSLCERT", "", "it names no file; leave it out, or name a file"),
        ("PGSSLKEY", "", "it names no file; leave it out, or name a file"),
        ("PGSSLKEY", "-----BEGIN PRIVATE KEY-----hunter2", "it names no file and is no whole PEM text"),
        (
            "PGSSLKEY",
            "-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----",
            "it contains a damaged private key",
        ),
        (
            "PGSSLKEY",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            "it contains no private key: it must be PEM",
        ),
        (
            "PGSSLROOTCERT",
            "-----BEGIN CERTIFICATE-----\nhunter2!\n-----END CERTIFICATE-----",
            "it contains a damaged certificate",
        ),
        ("PGSSLMODE", "verify_full", "there is no sslmode `verify_full`; it is one of disable, allow, "),
        ("PGPORT", "hunter2", "its value is not a number from 1 to 65535"),
        ("PGPORT", "0", "its value is not a number from 1 to 65535"),
    ] {
        let refusal = facts_with(url, &[(name, value)]).unwrap_err();
        assert!(refusal.starts_with(&format!("environment variable {name}: {why}")), "{value}: {refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
    for name in ["PGSSLMODE", "PGSSLROOTCERT", "PGPORT"] {
        assert_eq!(facts_with(url, &[(name, "")]).unwrap().1, ConnectionFacts::default(), "{name}");
    }
    let key = "postgres://idp@localhost/idp?sslkey=-----BEGIN%20PRIVATE%20KEY-----hunter2-----";
    let refusal = refusal(key);
    assert!(refusal.contains("sslkey names no file") && !refusal.contains("hunter2"), "{refusal}");
}

#[test]
fn fault_10_a_key_that_does_not_fit_is_not_blamed_on_the_server() {
    let input = |origin| TlsInput { origin, path: Some("/a".to_owned()) };
    let certificate = input(FileOrigin::Parameter("sslcert".to_owned()));
    let by_variable = input(FileOrigin::Variable("PGSSLKEY"));
    let in_url = input(FileOrigin::Parameter("sslkey".to_owned()));
    let mismatch = rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch);
    let said = |key, error| blamed_on_key(&certificate, key, error).map(|refusal| refusal.to_string());
    let why = "gives a private key that does not belong to the client certificate (sslcert in database.url)";
    assert_eq!(said(&by_variable, &mismatch), Some(format!("environment variable PGSSLKEY: it {why}")));
    assert!(said(&in_url, &mismatch).unwrap().ends_with(&format!(": sslkey {why}")));
    let unusable = rustls::Error::General("failed to parse private key".to_owned());
    assert!(said(&in_url, &unusable).unwrap().contains("sslkey gives a private key that cannot be used"));
    assert_eq!(said(&in_url, &rustls::Error::DecryptError), None);
}

#[test]
fn fault_10_a_variable_that_is_not_unicode_is_refused_and_not_repeated() {
    let value = || OsString::from_vec(b"hunter\xff2".to_vec());
    for name in [
        "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGAPPNAME", "PGOPTIONS",
        "PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY",
    ] {
        for url in ["postgres://ada:pw@localhost/idp", "postgres://ada:pw@db.example.com/idp"] {
            let refused = protected(url, |known| (known == name).then(value)).map(|_| ()).unwrap_err();
            assert_eq!(refused.to_string(), format!("environment variable {name}: its value is not UTF-8"));
        }
    }
    let others = |name: &str| (name == "PGTZ").then(value);
    assert!(protected("postgres://ada:pw@localhost/idp", others).is_ok(), "the driver does not read it");
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
