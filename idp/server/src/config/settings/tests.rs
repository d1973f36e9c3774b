use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use idp_core::session::SessionLifetime;
use tempfile::TempDir;

use super::*;
use crate::config::{Config, MailTransport, RateLimits};

pub(super) type Pairs<'a> = &'a [(&'a str, &'a str)];

pub(super) const LEAST: &str = "[server]\nissuer = 'https://id.example.com'\n\
    [mail]\nsmtp_url = 'smtps://u:hunter2@mail.example.com'\nfrom = 'Example <id@example.com>'\n";

fn file(dir: &TempDir, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// The same as an environment.
fn environment(pairs: Pairs<'_>) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn owned(pairs: Pairs<'_>) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Reads a file of this text as `idp.toml`.
pub(super) fn read(text: &str, env: Pairs<'_>, flags: Pairs<'_>) -> Result<Settings, Vec<SettingsError>> {
    let dir = tempfile::tempdir().unwrap();
    load(Some(&file(&dir, "idp.toml", text, 0o600)), &environment(env), &owned(flags))
}

pub(super) fn config(text: &str, env: Pairs<'_>, flags: Pairs<'_>) -> Result<Config, Vec<SettingsError>> {
    Ok(read(text, env, flags)?.into_config()?.0)
}

/// Every error as one line, without the temporary folder.
pub(super) fn lines<T>(outcome: Result<T, Vec<SettingsError>>) -> Vec<String> {
    let Err(errors) = outcome else { return Vec::new() };
    let line = |error: &SettingsError| match error.to_string().split_once("/idp.toml") {
        Some((folder, rest)) if folder.starts_with('/') && !folder.contains(' ') => format!("idp.toml{rest}"),
        _ => error.to_string(),
    };
    errors.iter().map(line).collect()
}

#[test]
fn three_settings_are_enough_and_the_rest_have_defaults() {
    let config = config(LEAST, &[], &[]).unwrap();
    assert_eq!(config.issuer.as_str(), "https://id.example.com");
    assert_eq!(config.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.database_url.expose(), "sqlite:data/idp.db");
    assert_eq!((config.database_connections, config.keys_dir.as_path()), (16, Path::new("keys")));
    assert_eq!((config.brand.as_str(), config.password.min(), config.registration), ("idp", 15, true));
    assert_eq!(config.session, SessionLifetime::default());
    assert!(config.trusted_proxies.is_empty() && !config.dev);
    let (limits, default) = (config.limits, RateLimits::default());
    assert_eq!(
        (limits.page, limits.sign_in, limits.register, limits.client),
        (default.page, default.sign_in, default.register, default.client)
    );
}

#[test]
fn a_flag_overrides_the_environment_and_the_environment_the_file() {
    const NAME: &str = "[server]\nname = 'file'\n";
    for (text, env, flags, value, origin) in [
        ("", &[][..], &[][..], "idp", "default"),
        (NAME, &[], &[], "file", "idp.toml line 2"),
        (NAME, &[("IDP__SERVER__NAME", "env")], &[], "env", "environment variable IDP__SERVER__NAME"),
        (NAME, &[("IDP__SERVER__NAME", "env")], &[("server.name", "flag")], "flag", "flag --set server.name"),
    ] {
        let settings = read(text, env, flags).unwrap();
        let (_, shown, from) = settings.shown().find(|(setting, ..)| setting.name == "server.name").unwrap();
        assert_eq!(shown, value);
        assert!(from.to_string().ends_with(origin), "{from}");
    }
}

#[test]
fn every_kind_is_read_from_every_source() {
    let text = "[server]\nlisten = ['127.0.0.1:1', '[::1]:2']\ntrusted_proxies = '10.0.0.0/8, 192.0.2.7'\n\
        [database]\nconnections = 1_00\n[registration]\nopen = false\n[log]\nformat = 'json'\n";
    let settings = read(text, &[("IDP__LOG__LEVEL", "debug")], &[("limits.page_per_minute", "7")]).unwrap();
    assert_eq!(settings.log(), LogConfig { json: Some(true), level: tracing::Level::DEBUG });
    let env = [("IDP__SERVER__LISTEN", "127.0.0.1:1,[::1]:2"), ("IDP__REGISTRATION__OPEN", "false")];
    for config in [
        config(
            &text.replace(
                "[server]",
                "[mail]\nfrom='a@b.example'\nsmtp_url='smtp://h'\n[server]\nissuer='http://localhost'",
            ),
            &[],
            &[],
        ),
        config(
            LEAST,
            &env,
            &[("server.trusted_proxies", "10.0.0.0/8,192.0.2.7"), ("database.connections", "100")],
        ),
    ] {
        let config = config.unwrap();
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "192.0.2.7/32".parse().unwrap()]);
        assert_eq!((config.database_connections, config.registration), (100, false));
    }
}

#[test]
fn r_28_errors_in_the_file_name_the_line_and_the_nearest_valid_name() {
    for (text, line) in [
        (
            "[server]\n\nisuer = 'x'",
            "idp.toml line 3: there is no setting `server.isuer`; the nearest valid name is `server.issuer`",
        ),
        (
            "[sever]\nissuer = 'x'",
            "idp.toml line 1: there is no section `sever`; the nearest valid name is `server`",
        ),
        (
            "issuer = 'x'",
            "idp.toml line 1: there is no setting or section `issuer`; the nearest valid name is `server.issuer`",
        ),
        (
            "[server]\ncolour = 'red'",
            "idp.toml line 2: there is no setting `server.colour`; valid names are `server.issuer`, `server.listen`, \
             `server.trusted_proxies`, `server.name`, `server.data_dir`, `server.hsts`",
        ),
        (
            "[colour]\nred = 1",
            "idp.toml line 1: there is no section `colour`; valid names are `server`, `database`, `keys`, `mail`, \
             `registration`, `password`, `session`, `limits`, `log`",
        ),
        ("[server]\nname = 7", "idp.toml line 2: server.name takes a string"),
        ("[server]\nlisten = [7]", "idp.toml line 2: server.listen takes a string or a list of strings"),
        ("[server]\nname = ''", "idp.toml line 2: server.name cannot be used: it is empty"),
        (
            "[password]\nmin_length = '15'",
            "idp.toml line 2: password.min_length takes a number from 8 to 256",
        ),
        (
            "[password]\nmin_length = 7",
            "idp.toml line 2: password.min_length takes a number from 8 to 256, not `7`",
        ),
        (
            "[session]\nidle_minutes = -1",
            "idp.toml line 2: session.idle_minutes takes a number from 1 to 43200, not `-1`",
        ),
        ("[registration]\nopen = 'yes'", "idp.toml line 2: registration.open takes true or false"),
        ("[log]\nformat = 'xml'", "idp.toml line 2: log.format takes one of auto, text, json, not `xml`"),
        ("[server]\nname = 'a'\nname = 'b'", "idp.toml line 3: `name` is given twice; keep one of them"),
        ("[server]\nname = 'a\n", "idp.toml line 2: invalid literal string, expected `'`"),
        ("[mail]\nsmtp_url = 7", "idp.toml line 2: mail.smtp_url takes a string"),
    ] {
        assert_eq!(lines(read(text, &[], &[])), [line], "{text}");
    }
}

#[test]
fn r_28_errors_in_environment_and_flags_are_reported() {
    for (env, flags, line) in [
        (
            &[("IDP__SERVER__ISUER", "x")][..],
            &[][..],
            "environment variable IDP__SERVER__ISUER: there is no setting `IDP__SERVER__ISUER`; the nearest valid name is `IDP__SERVER__ISSUER`",
        ),
        (
            &[("IDP__SERVER__NAME_FILE", "/dev/null")],
            &[],
            "environment variable IDP__SERVER__NAME_FILE: there is no setting `IDP__SERVER__NAME_FILE`; the nearest valid name is `IDP__SERVER__NAME`",
        ),
        (
            &[("IDP__LOG__COLOUR", "x")],
            &[],
            "environment variable IDP__LOG__COLOUR: there is no setting `IDP__LOG__COLOUR`; valid names are `IDP__LOG__FORMAT`, `IDP__LOG__LEVEL`",
        ),
        (
            &[("IDP_SERVER_ISSUER", "x")],
            &[],
            "environment variable IDP_SERVER_ISSUER: this has no effect; the right name is IDP__SERVER__ISSUER",
        ),
        (
            &[("IDP_MAIL__SMTP_URL_FILE", "x")],
            &[],
            "environment variable IDP_MAIL__SMTP_URL_FILE: this has no effect; the right name is IDP__MAIL__SMTP_URL_FILE",
        ),
        (
            &[("IDP__LIMITS__PAGE_PER_MINUTE", "many")],
            &[],
            "environment variable IDP__LIMITS__PAGE_PER_MINUTE: limits.page_per_minute takes a number from 1 to 1000000, not `many`",
        ),
        (
            &[],
            &[("server.lisen", "x")],
            "flag --set server.lisen: there is no setting `server.lisen`; the nearest valid name is `server.listen`",
        ),
        (
            &[],
            &[("server.name", "a"), ("server.name", "b")],
            "flag --set server.name: it is given twice; keep one of them",
        ),
        (
            &[],
            &[("database.url", "postgres://u:hunter2@h/n")],
            "flag --set database.url: others can see a secret on the command line; use IDP__DATABASE__URL_FILE",
        ),
    ] {
        assert_eq!(lines(read("", env, flags)), [line]);
    }
    assert!(read("", &[("PATH", "x"), ("IDP_SERVER_PORT", "x")], &[]).is_ok(), "variables of other programs");
    assert!(read("", &[], &[("database.url", "sqlite:idp.db")]).is_ok(), "it holds no secret");
}

#[test]
fn r_28_unusable_values_are_refused_with_an_example() {
    for (name, value, why) in [
        (
            "server.issuer",
            "http://id.example.com",
            "server.issuer cannot be http://id.example.com: it must use https; http is for localhost, 127.0.0.1 and [::1] only; an example is https://id.example.com",
        ),
        ("server.issuer", "https://id.example.com/", "path, query or trailing slash"),
        ("server.issuer", "id.example.com", "it is not a URL such as"),
        ("server.listen", "8080", "`8080` is not an address with a port; an example is 127.0.0.1:8080"),
        ("server.listen", "localhost:8080", "is not an address with a port"),
        ("server.trusted_proxies", "0.0.0.0/0", "`0.0.0.0/0` would trust everybody"),
        ("server.trusted_proxies", "10.0.0.0/8,::/0", "`::/0` would trust everybody"),
        ("server.trusted_proxies", "proxy.example.com", "is not a network; an example is 10.0.0.0/8"),
        ("database.url", "mysql://h/n", "it must begin with sqlite: or postgres:"),
        ("database.url", "sqlite::memory:", "the database must be a file"),
        ("database.url", "SQLITE::memory:", "the database must be a file"),
        ("database.url", "sqlite:", "it names no file"),
        ("database.url", "postgres://h", "it names no database"),
        ("mail.smtp_url", "http://mail.example.com", "it must begin with smtps:// or smtp://"),
        ("mail.smtp_url", "smtps:", "it names no host"),
        ("mail.smtp_url", "smtp://mail.example.com?tls=none", "its only parameter is tls=required or"),
        ("mail.from", "ü@example.com", "before the @ it may have ASCII characters only"),
        (
            "mail.from",
            "nobody",
            "mail.from cannot be nobody: it is not an email address; an example is Example <id@example.com>",
        ),
        (
            "mail.smtp_url",
            "ftp://mail.example.com",
            "mail.smtp_url cannot be used: it must begin with smtps:// or smtp://; an example is smtps://",
        ),
    ] {
        let told = lines(config(LEAST, &[], &[(name, value)]));
        assert_eq!(told.len(), 1, "{name}={value}: {told:?}");
        assert!(told[0].starts_with("flag --set ") && told[0].contains(why), "{told:?}");
    }
    let told = lines(config("", &[], &[]));
    assert_eq!(told.len(), 3, "issuer, mail server and sender are missing: {told:?}");
    assert_eq!(told[0], "idp.toml: server.issuer is missing; set it, for example to https://id.example.com");
    let told = lines(load(None, &[], &[]).and_then(Settings::into_config));
    let how = "set it in /etc/idp/idp.toml or in a file named with --config, or set";
    assert_eq!(
        told[..2],
        [
            format!(
                "configuration: server.issuer is missing; {how} IDP__SERVER__ISSUER, for example to https://id.example.com"
            ),
            format!(
                "configuration: mail.smtp_url is missing; {how} IDP__MAIL__SMTP_URL or IDP__MAIL__SMTP_URL_FILE, \
                 for example to smtps://USER:PASSWORD@mail.example.com"
            ),
        ]
    );
}

#[test]
fn fault_06_the_refusal_of_a_near_miss_says_what_to_write() {
    for (name, value, why) in [
        (
            "server.listen",
            "localhost:8080",
            "is not an address with a port: it must be an IP address, write 127.0.0.1:8080, or [::1]:8080, or both",
        ),
        ("server.listen", "LOCALHOST:80", "write 127.0.0.1:80, or [::1]:80, or both"),
        (
            "server.listen",
            ":8080",
            "write 127.0.0.1:8080 for this machine alone, 0.0.0.0:8080 or [::]:8080 for every address",
        ),
        ("server.listen", "*:8080", "0.0.0.0:8080 or [::]:8080 for every address"),
        ("server.listen", "::1:8080", "an IPv6 address needs brackets, write [::1]:8080"),
        ("server.listen", "127.0.0.1", "its port is missing, write 127.0.0.1:8080"),
        ("server.listen", "[::]", "its port is missing, write [::]:8080"),
        ("server.listen", "http://127.0.0.1:8080/", "write 127.0.0.1:8080"),
        ("server.listen", "id.example.com:443", "an IP address, write the one of this machine and :443"),
        ("server.listen", "127.0.0.1:99999", "`127.0.0.1:99999` is not an address with a port;"),
        (
            "server.trusted_proxies",
            "10.0.0.1:443",
            "is not a network: write 10.0.0.1, without a port or zone",
        ),
        ("server.trusted_proxies", "fe80::1%eth0", "is not a network: write fe80::1, without a port or zone"),
        ("server.trusted_proxies", "::ffff:0.0.0.0/90", "write the IPv4 network as IPv4"),
        ("server.trusted_proxies", "::ffff:0.0.0.0/96", "would trust everybody"),
        (
            "server.issuer",
            "https://ID.example.com:443",
            "write it as https://id.example.com, the form that browsers and tokens use",
        ),
        ("server.issuer", "https://id.example.com/idp", "or trailing slash: write https://id.example.com;"),
    ] {
        let told = lines(config(LEAST, &[], &[(name, value)]));
        assert!(told.len() == 1 && told[0].contains(why), "{name}={value}: {told:?}");
    }
    let told = lines(config(&LEAST.replace("hunter2", "hunter2/#"), &[], &[]));
    assert!(told[0].contains("in user name and password, write @ as %40"), "{told:?}");
}

#[test]
fn fault_06_a_trusted_proxy_is_an_address_or_a_network() {
    for (value, network) in [
        ("10.0.0.1", "10.0.0.1/32"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("[2001:db8::1]", "2001:db8::1/128"),
        ("2001:DB8::1/32", "2001:db8::/32"),
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
    ] {
        let config = config(LEAST, &[], &[("server.trusted_proxies", value)]).unwrap();
        assert_eq!(config.trusted_proxies, [network.parse().unwrap()], "{value}");
    }
}

#[test]
fn fault_13_a_percent_sign_in_a_mail_password_is_named_as_the_mistake() {
    for url in ["smtp://u:100%ff@localhost", "smtps://u%ff:p@mail.example.com"] {
        let told = lines(config(LEAST, &[("IDP__MAIL__SMTP_URL", url)], &[]));
        let why = "its user name or password is not UTF-8 when decoded; write % as %25";
        assert!(told.len() == 1 && told[0].contains(why) && !told[0].contains(url), "{told:?}");
    }
}

#[test]
fn fault_10_a_mail_server_gets_a_user_name_and_a_password_or_neither() {
    const GIVE: &str = "write USER:PASSWORD@HOST, or only HOST to send without logging in; \
                        IDP__MAIL__SMTP_URL_FILE may name a file with the whole URL; an example is ";
    for (url, lacks) in [
        ("smtp://idp@mail.example.com", "it has a user name but no password"),
        ("smtps://idp:@mail.example.com", "it has a user name but no password"),
        ("smtp://idp@localhost", "it has a user name but no password"),
        ("smtp://:cret@mail.example.com", "it has a password but no user name"),
        ("smtps://:cret@localhost", "it has a password but no user name"),
        ("smtp://:@mail.example.com", "it has an @ but no user name or password before it"),
        ("smtp://@mail.example.com", "it has an @ but no user name or password before it"),
    ] {
        let said = refused("IDP__MAIL__SMTP_URL", url);
        let expected = format!("mail.smtp_url cannot be used: {lacks}; {GIVE}");
        assert!(said.contains(&expected), "{url}: {said}");
    }
    for url in ["smtp://mail.example.com", "smtp://idp:p%40w@localhost"] {
        assert_eq!(lines(config(LEAST, &[("IDP__MAIL__SMTP_URL", url)], &[])), [""; 0], "{url}");
    }
}

#[test]
fn fault_10_a_control_character_in_a_url_is_refused_and_not_repeated() {
    for code in ["%00", "%0a", "%0D", "%09", "%1b", "%7f", "%C2%85"] {
        for (user, password) in
            [(format!("u{code}cret"), "p".to_owned()), ("u".to_owned(), format!("cret{code}w"))]
        {
            let why = "its user name or password has a control character in it when decoded; write % as %25";
            for (name, value) in [
                ("mail.smtp_url", format!("smtps://{user}:{password}@mail.example.com")),
                ("database.url", format!("postgres://{user}:{password}@localhost/idp")),
            ] {
                let variable = format!("IDP__{}", name.replace('.', "__").to_uppercase());
                let said = refused(&variable, &value);
                assert!(said.contains(&format!("{name} cannot be used: {why}")), "{value}: {said}");
                assert!(!said.contains(code), "{said}");
            }
        }
    }
    for (url, part) in [
        ("postgres://localhost/idp?user=u%00cret&password=p", "one of its parameters"),
        ("postgres://localhost/idp?user=u&password=cret%0a", "one of its parameters"),
        ("postgres://localhost/idp%00cret", "its path"),
        ("postgres://%2Frun%00cret/idp", "its host"),
    ] {
        let said = refused("IDP__DATABASE__URL", url);
        let why = format!("{part} has a control character in it when decoded; write % as %25");
        assert!(said.contains(&why), "{url}: {said}");
    }
    for url in ["postgres://u:cret%ff@localhost/idp", "postgres://localhost/idp?password=cret%ff"] {
        let said = refused("IDP__DATABASE__URL", url);
        assert!(said.contains(" is not UTF-8 when decoded; write % as %25"), "{url}: {said}");
    }
}

#[test]
fn fault_06_the_scheme_of_a_database_may_be_in_capitals() {
    for (written, opened) in [
        ("SQLite:/var/lib/idp/idp.db", "sqlite:/var/lib/idp/idp.db"),
        ("POSTGRES://Ada:P@localhost/Idp", "postgres://Ada:P@localhost/Idp"),
    ] {
        let config = config(LEAST, &[("IDP__DATABASE__URL", written)], &[]).unwrap();
        assert_eq!(config.database_url.expose(), opened);
    }
}

/// The one refusal of an environment variable, which must not repeat a secret.
fn refused(name: &str, value: &str) -> String {
    let mut told = lines(config(LEAST, &[(name, value)], &[]));
    assert!(told.len() == 1 && !told[0].contains("cret"), "{value}: {told:?}");
    told.remove(0)
}

#[test]
fn fault_18_no_part_of_a_password_is_taken_for_a_host_or_path() {
    const ENCODE: &str = "write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25";
    for rest in
        ["usr:123/sEcret@h.example", "usr:sEcret#w@h", "usr:123#sEcret@h", "usr:123?sEcret@h", "u:1?a=cret@h"]
    {
        let said = refused("IDP__MAIL__SMTP_URL", &format!("smtp://{rest}"));
        assert!(said.contains("mail.smtp_url cannot be used: ") && said.contains(ENCODE), "{rest}: {said}");
    }
    for rest in ["bb2:1234/cret@127.0.0.1/bb2", "u:cret#w@h/x", "u:cret/w@h/x", "u:1?cret@h/x"] {
        let said = refused("IDP__DATABASE__URL", &format!("postgres://{rest}"));
        assert!(said.contains("database.url cannot be used: ") && said.contains(ENCODE), "{rest}: {said}");
    }
    for value in ["smtp://mail.example.com/cret", "smtps://u:p@h//cret"] {
        assert!(refused("IDP__MAIL__SMTP_URL", value).contains("the path after the host means nothing here"));
    }
    assert!(refused("IDP__MAIL__SMTP_URL", "smtps://u:p@h#cret").contains("the part after # means nothing"));
    for (name, value) in [
        ("mail.smtp_url", "smtp://usr:123/cret@h"),
        ("mail.smtp_url", "smtps:u:cret@h"),
        ("database.url", "postgres://u:12/x?a=cret@h/x"),
    ] {
        let told = lines(read("", &[], &[(name, value)]));
        assert!(told[0].contains("others can see a secret on the command line"), "{told:?}");
    }
    assert_eq!(lines(config(LEAST, &[("IDP__MAIL__SMTP_URL", "smtps://u:p@h/")], &[])), [""; 0]);
}

#[test]
fn fault_05_fault_06_fault_21_what_is_wrong_with_the_host_of_a_url_is_named() {
    for (name, value, why) in [
        ("IDP__MAIL__SMTP_URL", "smtps://u:p@mäil.invalid", "write its host as xn--mil-qla.invalid"),
        ("IDP__MAIL__SMTP_URL", "smtps://u:p@m%61il.invalid", "write its host as mail.invalid"),
        ("IDP__MAIL__SMTP_URL", "smtp://%2Frun%2Fmail", "its host is neither a host name nor an IP address"),
        ("IDP__MAIL__SMTP_URL", "smtp://u:p@", "it names no host"),
        ("IDP__MAIL__SMTP_URL", "smtp://h:0", "its port is not a number from 1 to 65535"),
        ("IDP__DATABASE__URL", "postgres://u:p@mäil.invalid/x", "write its host as xn--mil-qla.invalid"),
        ("IDP__DATABASE__URL", "postgres://u:p@fd00::2:28432/x", "needs brackets, write [fd00::2]:28432"),
        ("IDP__DATABASE__URL", "postgres://u:p@h1:1,h2:2/x", "several hosts, and only one is supported"),
        ("IDP__DATABASE__URL", "postgres://u:p@h1,h2/x", "several hosts, and only one is supported"),
        (
            "IDP__DATABASE__URL",
            "postgres://bb2:pw@/bb2",
            "it names no host after the user name: write it, or give the user name as a parameter \
             (postgres:///NAME?user=USER&password=PASSWORD) to connect to the host in PGHOST",
        ),
    ] {
        let said = refused(name, value);
        assert!(said.contains(why), "{value}: {said}");
    }
}

#[test]
fn fault_20_the_senders_domain_is_one_that_every_mail_server_understands() {
    for (written, sent) in [
        ("Exämple <id@exämple.com>", "id@xn--exmple-cua.com"),
        ("id@Example.com", "id@Example.com"),
        ("id@localhost", "id@localhost"),
    ] {
        let config = config(LEAST, &[], &[("mail.from", written)]).unwrap();
        assert_eq!(config.mail.from.email.to_string(), sent);
    }
}

#[test]
fn fault_11_a_variable_that_is_not_unicode_is_refused_by_name() {
    let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
    for (name, value, said) in [
        (
            &b"IDP__MAIL__SMTP_URL"[..],
            &b"smtp://u:p\xffw@h"[..],
            "variable IDP__MAIL__SMTP_URL: its value is not UTF-8",
        ),
        (
            b"IDP__MAIL__SMTP_URL_FILE",
            b"/run/\xff",
            "variable IDP__MAIL__SMTP_URL_FILE: its value is not UTF-8",
        ),
        (b"IDP__MAIL__SMTP_\xffRL", b"x", "variable IDP__MAIL__SMTP_\u{FFFD}RL: its name is not UTF-8"),
        (b"IDP__MAIL__SMTPURL", b"\xff", "the nearest valid name is `IDP__MAIL__SMTP_URL`"),
        (b"IDP_SERVER_NAME", b"\xff", "the right name is IDP__SERVER__NAME"),
    ] {
        let told = lines(load(None, &[(bytes(name), bytes(value))], &[]));
        assert!(told.len() == 1 && told[0].contains(said), "{told:?}");
    }
    for name in [&b"IDP_\xff"[..], b"IDP_SERVER_PORT", b"PATH"] {
        assert!(load(None, &[(bytes(name), bytes(b"\xff"))], &[]).is_ok(), "a variable of another program");
    }
}

#[test]
fn fault_11_fault_13_what_is_wrong_with_a_string_is_named() {
    for (value, why) in [
        ("", "it is empty"),
        (" ", "it is blank"),
        ("\u{3000}", "it is blank"),
        ("a\u{200b}", "it contains U+200B, an invisible or misleading character"),
        ("a\u{202e}b", "it contains U+202E, an invisible or misleading character"),
        ("\t", "it contains U+0009, an invisible or misleading character"),
        ("a@b.example\n", "it contains U+000A, an invisible or misleading character"),
        ("\u{feff}a", "it contains U+FEFF, an invisible or misleading character"),
    ] {
        for name in ["server.name", "server.issuer", "mail.from"] {
            let told = lines(read("", &[], &[(name, value)]));
            assert_eq!(told, [format!("flag --set {name}: {name} cannot be used: {why}")]);
        }
        assert_eq!(
            refused("IDP__DATABASE__URL", value),
            format!("environment variable IDP__DATABASE__URL: database.url cannot be used: {why}")
        );
    }
    let dir = tempfile::tempdir().unwrap();
    for (text, why) in [
        (" \n", "contains nothing but white space"),
        ("\u{feff}smtp://h", "begins with a byte order mark (U+FEFF); save it without one"),
    ] {
        let path = file(&dir, "smtp", text, 0o600);
        let told = lines(read("", &[("IDP__MAIL__SMTP_URL_FILE", path.to_str().unwrap())], &[]));
        assert!(told.len() == 1 && told[0].ends_with(&format!("smtp {why}")), "{told:?}");
    }
}

#[test]
fn fault_22_names_that_differ_in_underscores_and_letter_case_only_are_recognized() {
    for (name, meant) in [
        ("IDP__SERVER_ISSUER", "IDP__SERVER__ISSUER"),
        ("IDP__KEYS_DIR", "IDP__KEYS__DIR"),
        ("IDP__LOG_LEVEL", "IDP__LOG__LEVEL"),
        ("IDP__SERVER__ISSUER__", "IDP__SERVER__ISSUER"),
        ("IDP__MAIL__SMTP_URL__FILE", "IDP__MAIL__SMTP_URL_FILE"),
        ("IDP__MAIL__SMTP__URL", "IDP__MAIL__SMTP_URL"),
        ("IDP__server__issuer", "IDP__SERVER__ISSUER"),
    ] {
        let said = format!("there is no setting `{name}`; the nearest valid name is `{meant}`");
        assert_eq!(lines(read("", &[(name, "x")], &[])), [format!("environment variable {name}: {said}")]);
    }
    for name in ["IDP_SERVER_ISSUER", "idp__server__issuer", "Idp_Server_Issuer", "IDPSERVER__ISSUER"] {
        let said = "this has no effect; the right name is IDP__SERVER__ISSUER";
        assert_eq!(lines(read("", &[(name, "x")], &[])), [format!("environment variable {name}: {said}")]);
    }
    let told = lines(read("[server]\nDataDir = 'x'", &[], &[]));
    assert!(told[0].ends_with("the nearest valid name is `server.data_dir`"), "{told:?}");
}

#[test]
fn fault_22_an_error_about_a_section_does_not_contradict_itself() {
    for (text, said) in [
        ("'server.name' = 'a'", "write `server.name` without quotes, or `name` below `[server]`"),
        ("server = 1", "`server` is a section; write `[server]`, and its settings below"),
        ("[[server]]", "`server` is a section; write `[server]`, and its settings below"),
        ("name = 'a'", "there is no setting or section `name`; the nearest valid name is `server.name`"),
        ("sever = 1", "there is no setting or section `sever`; the nearest valid name is `server`"),
    ] {
        let told = lines(read(text, &[], &[]));
        assert!(told.len() == 1 && told[0].starts_with(&format!("idp.toml line 1: {said}")), "{told:?}");
    }
    assert_eq!(
        lines(config(LEAST, &[], &[("server.listen", "")])),
        ["flag --set server.listen: server.listen is empty; an example is 127.0.0.1:8080"]
    );
    let told = lines(config(&LEAST.replace("[mail]", "listen = []\n[mail]"), &[], &[]));
    assert_eq!(told, ["idp.toml line 3: server.listen is empty; an example is 127.0.0.1:8080"]);
}

#[test]
fn fault_21_what_cannot_be_listened_on_is_refused() {
    for (name, value, why) in [
        (
            "server.listen",
            "127.0.0.1:28177,[::ffff:127.0.0.1]:28177",
            "`127.0.0.1:28177` and `[::ffff:127.0.0.1]:28177` are the same address",
        ),
        ("server.listen", "0.0.0.0:80,[::ffff:127.0.0.1]:80", "`0.0.0.0:80` already includes"),
        ("server.listen", "[::ffff:0.0.0.0]:80,127.0.0.1:80", "`[::ffff:0.0.0.0]:80` already includes"),
        ("server.issuer", "https://id.example.com:0", "its port cannot be 0"),
        ("mail.smtp_url", "smtp://mail.example.com:0", "its port is not a number from 1 to 65535"),
    ] {
        let told = lines(config(LEAST, &[], &[(name, value)]));
        assert!(told.len() == 1 && told[0].contains(why), "{name}={value}: {told:?}");
    }
}

#[test]
fn a_valid_smtp_url_or_database_is_accepted() {
    for (name, value) in [
        ("mail.smtp_url", "smtp://localhost:1025"),
        ("mail.smtp_url", "smtp://mail.example.com:587?tls=required"),
        ("mail.smtp_url", "smtps://mail.example.com"),
        ("mail.smtp_url", "SMTPS://mail.example.com"),
        ("database.url", "sqlite:/var/lib/idp/idp.db"),
        ("database.url", "postgres://idp@localhost/idp"),
        ("database.url", "postgresql:///idp?host=/run/postgresql"),
    ] {
        assert_eq!(lines(config(LEAST, &[], &[(name, value)])), [""; 0], "{value}");
    }
}

#[test]
fn ls_08_a_secret_in_a_file_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o644, 0o640, 0o660, 0o604] {
        let told = lines(load(Some(&file(&dir, "idp.toml", LEAST, mode)), &[], &[]));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("idp.toml line 4: mail.smtp_url holds a secret"), "{told:?}");
        assert!(told[0].ends_with("with `chmod 600`, or use IDP__MAIL__SMTP_URL_FILE"), "{told:?}");
        let secret = file(&dir, "smtp", "smtps://u:hunter2@mail.example.com", mode);
        let env = environment(&[("IDP__MAIL__SMTP_URL_FILE", secret.to_str().unwrap())]);
        let told = lines(load(None, &env, &[]));
        assert!(told[0].contains("others can read the file"), "{told:?}");
    }
    let harmless = LEAST.replace("u:hunter2@", "");
    assert!(load(Some(&file(&dir, "idp.toml", &harmless, 0o644)), &[], &[]).is_ok());
}

#[test]
fn a_secret_may_come_from_a_file_of_its_own_but_then_only_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let secret = file(&dir, "smtp", "smtps://u:hunter2@mail.example.com\n", 0o600);
    let path = secret.to_str().unwrap();
    let env = [("IDP__MAIL__SMTP_URL_FILE", path)];
    let MailTransport::Smtp(url) = config(LEAST, &env, &[]).unwrap().mail.transport else { panic!() };
    assert_eq!(url.expose(), "smtps://u:hunter2@mail.example.com", "without the line end");
    let both = [("IDP__MAIL__SMTP_URL_FILE", path), ("IDP__MAIL__SMTP_URL", "smtp://localhost")];
    assert!(lines(read("", &both, &[]))[0].contains("sets the same setting; keep one of them"));
    for (name, text) in [("empty", Some("\n")), ("missing", None)] {
        let path = dir.path().join(name);
        text.map(|text| file(&dir, name, text, 0o600));
        let told = lines(read("", &[("IDP__MAIL__SMTP_URL_FILE", path.to_str().unwrap())], &[]));
        assert!(told[0].contains(name) && told[0].contains("the file"), "{told:?}");
    }
}

#[test]
fn ls_01_no_error_and_no_listing_shows_a_secret() {
    for value in [
        "smtps:u:hunter2@x?y",
        "http://u:hunter2@x",
        "hunter2",
        "smtp://u:hunter2@x?tls=none",
        "\u{1b}hunter2",
    ] {
        let text = format!("[mail]\nsmtp_url = {value:?}\n[database]\nurl = {value:?}\n");
        let told = lines(config(&text.replace("\\u{1b}", "\\u001b"), &[], &[]));
        assert!(!told.is_empty() && !told.concat().contains("hunter2"), "{told:?}");
    }
    let settings = read(LEAST, &[], &[]).unwrap();
    let listing: String =
        settings.shown().map(|(setting, value, at)| format!("{setting:?}{value}{at}")).collect();
    assert!(!format!("{settings:?}{listing}").contains("hunter2"));
}

#[test]
fn a_missing_file_is_reported() {
    let told = lines(load(Some(Path::new("/nowhere/idp.toml")), &[], &[]));
    assert_eq!(told, ["idp.toml: this file cannot be read: No such file or directory (os error 2)"]);
}

#[test]
fn every_setting_in_the_table_is_valid() {
    for setting in TABLE {
        assert_eq!(setting.name.split('.').count(), 2, "{}", setting.name);
        assert!(setting.default.is_empty() || setting.kind.fits(setting.default), "{}", setting.name);
        assert!(setting.kind.fits(setting.example) && !setting.help.is_empty(), "{}", setting.name);
        assert_eq!(TABLE.iter().filter(|other| other.name == setting.name).count(), 1);
    }
}

/// The reference as docs/configuration.md prints it.
fn reference() -> String {
    let mut text = "| Setting | Environment | Takes | Default | |\n|---|---|---|---|---|\n".to_owned();
    for setting in TABLE {
        let variable = setting.file_variable().map_or_else(
            || format!("`{}`", setting.variable()),
            |file| format!("`{}`, `{file}`", setting.variable()),
        );
        let default =
            if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
        let Setting { name, kind, help, .. } = setting;
        text.push_str(&format!("| `{name}` | {variable} | {kind} | {default} | {help} |\n"));
    }
    text
}

#[test]
fn the_handbook_contains_the_reference() {
    let handbook = include_str!("../../../../../docs/configuration.md");
    assert!(handbook.contains(&reference()), "docs/configuration.md must hold this:\n{}", reference());
}

#[test]
fn the_handbooks_example_is_a_valid_configuration() {
    let handbook = include_str!("../../../../../docs/configuration.md");
    let example = handbook.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(example.lines().filter(|line| line.contains(" = ")).count(), 6);
    assert_eq!(lines(config(example, &[], &[])), [""; 0]);
}

#[test]
fn fault_09_hsts_binds_more_than_the_host_only_if_the_operator_says_so() {
    let header = |word: &str| config(LEAST, &[], &[("server.hsts", word)]).map(|config| config.hsts.header());
    assert_eq!(config(LEAST, &[], &[]).unwrap().hsts.header(), Some("max-age=63072000"));
    assert_eq!((header("host"), header("off")), (Ok(Some("max-age=63072000")), Ok(None)));
    assert_eq!(header("forget"), Ok(Some("max-age=0")));
    assert_eq!(header("subdomains"), Ok(Some("max-age=63072000; includeSubDomains")));
    assert_eq!(header("preload"), Ok(Some("max-age=63072000; includeSubDomains; preload")));
}
