//! Outgoing connections that carry a secret: what is refused, and what is warned about.

use std::net::{Ipv4Addr, TcpListener};

use crate::sandbox::Sandbox;

const REST: &str = "[server]\nissuer = 'http://localhost:8080'\nlisten = '127.0.0.1:0'\n\
    [mail]\nfrom = 'id@example.com'\nsmtp_url = 'smtp://localhost'\n";
const COMMANDS: [&str; 5] = ["user list", "db status", "db migrate", "serve", "config check"];

fn postgres(sandbox: &Sandbox, rest: &str) {
    sandbox.file("idp.toml", &format!("{REST}[database]\nurl = 'postgres://ada:hunter2@{rest}'\n"));
}

#[test]
fn fault_18_every_command_refuses_a_database_that_would_get_the_password_in_clear() {
    let sandbox = Sandbox::empty();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // A server that refuses TLS and must receive nothing more.
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            use std::io::{Read, Write};
            let mut request = [0; 8];
            let _ = socket.read_exact(&mut request).and_then(|()| socket.write_all(b"N"));
            let mut more = Vec::new();
            let _ = socket.read_to_end(&mut more);
            assert!(more.is_empty(), "{more:?}");
        }
    });
    // 0.0.0.0 does not count as this machine, although it leads there.
    for (query, why) in [
        ("", "it refuses TLS, and the password is not sent in clear text"),
        ("?sslmode=verify-full", "it refuses TLS, and the password is not sent in clear text"),
        ("?sslmode=prefer", "sslmode=prefer sends the password in clear text to a server that refuses TLS"),
    ] {
        postgres(&sandbox, &format!("0.0.0.0:{port}/idp{query}"));
        for verb in COMMANDS {
            for variable in ["PGSSLMODE", "UNRELATED"] {
                let mut command = sandbox.command(&format!("{verb} --config idp.toml --set log.level=error"));
                let refusal = sandbox.answer(command.env(variable, "disable"), "").refusal();
                assert!(
                    refusal.starts_with(&format!("no protected connection to 0.0.0.0:{port}: {why}")),
                    "{refusal}"
                );
                assert!(refusal.ends_with("(database.url, idp.toml line 8)"), "{refusal}");
                assert!(!refusal.contains("hunter2"));
            }
        }
    }
}

#[test]
fn fault_18_a_misspelt_parameter_and_a_file_that_is_not_there_are_told() {
    let sandbox = Sandbox::empty();
    for (query, why) in [
        ("ssl_mode=require", "there is no parameter `ssl_mode` in database.url; its name is `sslmode`"),
        ("sslmode=yes", "there is no sslmode=yes; it is one of disable, require, verify-ca and verify-full"),
        ("sslrootcert=ca.pem", "the file ca.pem cannot be read: No such file or directory (os error 2)"),
    ] {
        postgres(&sandbox, &format!("db.example.com/idp?{query}"));
        for verb in COMMANDS {
            let refusal = sandbox.idp(&format!("{verb} --config idp.toml")).refusal();
            assert!(
                refusal.contains(why) && refusal.ends_with("(database.url, idp.toml line 8)"),
                "{verb}: {refusal}"
            );
        }
    }
}

#[test]
fn fault_18_what_is_written_is_done_and_said_once_by_serve_and_config_check() {
    let Ok(server) = std::env::var("IDP_TEST_POSTGRES_URL") else {
        panic!("run `cargo xtask test`, which starts a PostgreSQL")
    };
    // The test server is on this machine. 0.0.0.0 leads there, but counts as another machine.
    let sandbox = Sandbox::empty();
    let name = format!("idp_outgoing_{}", std::process::id());
    let psql = |sql: String| {
        let made = std::process::Command::new("psql").args([&server, "-qc", &sql]).status().unwrap();
        assert!(made.success());
    };
    psql(format!("CREATE DATABASE {name}"));
    let (before, _) = server.rsplit_once('/').unwrap();
    let url = format!("{}/{name}?sslmode=disable", before.replace("127.0.0.1", "0.0.0.0"));
    sandbox.file(
        "idp.toml",
        &format!("{REST}[database]\nurl = '{url}'\n")
            .replace("smtp://localhost", "smtp://mail.example.com?tls=opportunistic"),
    );
    let check = sandbox.idp("config check --config idp.toml");
    let said: Vec<&str> = check.err.lines().collect();
    assert_eq!((check.code, said.len()), (Some(0), 2), "{}", check.err);
    assert!(
        said[0].starts_with(
            "warning: database.url says sslmode=disable: the password and all data travel in clear text"
        ),
        "{said:?}"
    );
    assert!(said[1].starts_with("warning: mail.smtp_url says tls=opportunistic: "), "{said:?}");
    let mut serve = sandbox.command("serve --config idp.toml --set log.format=json");
    let (_, log) = sandbox.start_logged(&mut serve, "listening on").stop_logged("TERM");
    for warning in said {
        let text = warning.trim_start_matches("warning: ");
        assert_eq!(
            log.lines().filter(|line| line.contains(text) && line.contains("\"WARN\"")).count(),
            1,
            "{log}"
        );
    }
    psql(format!("DROP DATABASE {name} WITH (FORCE)"));
}

#[test]
fn fault_10_a_file_that_a_variable_names_is_not_blamed_on_the_url() {
    let sandbox = Sandbox::empty();
    let config = "(database.url, idp.toml line 8)";
    let lost = "the file nowhere.pem cannot be read: No such file or directory (os error 2)";
    postgres(&sandbox, "db.example.com/idp");
    for verb in COMMANDS {
        let mut command = sandbox.command(&format!("{verb} --config idp.toml"));
        let refusal = sandbox.answer(command.env("PGSSLROOTCERT", "nowhere.pem"), "").refusal();
        assert_eq!(refusal, format!("environment variable PGSSLROOTCERT: {lost}"), "{verb}");
        let mut command = sandbox.command(&format!("{verb} --config idp.toml"));
        let refusal = sandbox.answer(command.env("PGSSLKEY", "nowhere.pem"), "").refusal();
        let begin = "environment variable PGSSLKEY: it gives a private key without its client certificate; ";
        assert!(refusal.starts_with(begin) && !refusal.contains(config), "{verb}: {refusal}");
    }
    postgres(&sandbox, "db.example.com/idp?sslrootcert=nowhere.pem");
    let refusal = sandbox.idp("config check --config idp.toml").refusal();
    assert_eq!(refusal, format!("sslrootcert in database.url: {lost} {config}"));
    postgres(&sandbox, "db.example.com/idp?sslcert=nowhere.pem");
    let refusal = sandbox.idp("config check --config idp.toml").refusal();
    assert!(refusal.contains("sslcert gives a client certificate without its private key"), "{refusal}");
    assert!(refusal.ends_with(config), "{refusal}");
}

#[test]
fn fault_10_tls_that_only_a_variable_asks_for_is_not_blamed_on_the_url() {
    let Ok(server) = std::env::var("IDP_TEST_POSTGRES_URL") else {
        panic!("run `cargo xtask test`, which starts a PostgreSQL")
    };
    let sandbox = Sandbox::empty();
    sandbox.file("idp.toml", &format!("{REST}[database]\nurl = '{server}'\n"));
    let mut command = sandbox.command("db status --config idp.toml");
    let refusal = sandbox.answer(command.env("PGSSLMODE", "require"), "").refusal();
    assert!(
        refusal.starts_with("environment variable PGSSLMODE: it asks for TLS, which the database server"),
        "{refusal}"
    );
    assert!(!refusal.contains("database.url"), "{refusal}");
}

#[test]
fn fault_10_a_variable_of_postgresql_that_is_not_unicode_stops_every_command() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::empty();
    postgres(&sandbox, "127.0.0.1:1/idp");
    for name in ["PGPASSWORD", "PGSSLMODE", "PGSSLROOTCERT", "PGHOST"] {
        for verb in COMMANDS {
            let mut command = sandbox.command(&format!("{verb} --config idp.toml"));
            command.env(name, std::ffi::OsStr::from_bytes(b"hunter\xff2"));
            let refusal = sandbox.answer(&mut command, "").refusal();
            assert_eq!(refusal, format!("environment variable {name}: its value is not UTF-8"), "{verb}");
        }
    }
}
