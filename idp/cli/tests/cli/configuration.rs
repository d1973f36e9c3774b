use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use crate::container::{HANDBOOK, block, set};
use crate::sandbox::Sandbox;

pub(crate) const README: &str = include_str!("../../../../README.md");
const GOOD: &str = "[server]\nissuer = 'https://id.example.com'\n[mail]\n\
    smtp_url = 'smtps://idp:hunter2@mail.example.com'\nfrom = 'id@example.com'\n";

#[test]
fn the_version_is_told() {
    let sandbox = Sandbox::empty();
    assert_eq!(sandbox.idp("version").good(), format!("idp {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(sandbox.idp("version -o json").json()["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_wrong_command_line_exits_with_two() {
    let sandbox = Sandbox::empty();
    for args in [
        "",
        "sevre",
        "user",
        "user create --email a@b.example --name A",
        "user create --email a@b.example --name A --password hunter2 --password-stdin",
        "client create app --secret hunter2",
        "user show nobody",
        "user list --dev --config idp.toml",
        "user list --limit 0",
        "serve --set server.issuer",
    ] {
        let answer = sandbox.idp(args);
        assert_eq!(answer.code, Some(2), "{args}: {}{}", answer.out, answer.err);
    }
}

#[test]
fn config_check_shows_every_value_with_its_origin_and_no_secret() {
    let sandbox = Sandbox::empty();
    sandbox.file("idp.toml", GOOD);
    let mut command = sandbox.command("config check --config idp.toml --set server.name=Acme");
    let shown = sandbox.answer(command.env("IDP__LOG__LEVEL", "warn"), "").good();
    for line in [
        "server.issuer               https://id.example.com  idp.toml line 2",
        "server.name                 Acme                    flag --set server.name",
        "log.level                   warn                    environment variable IDP__LOG__LEVEL",
        "mail.smtp_url               (not shown)             idp.toml line 4",
        "keys.dir                    keys                    default",
        "The configuration is valid.",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    let json = sandbox.idp("config check --config idp.toml -o json").json();
    assert_eq!(json["settings"][0]["origin"], "idp.toml line 2");
    assert!(!json.to_string().contains("hunter2") && !shown.contains("hunter2"));
}

#[test]
fn r_28_every_error_in_the_configuration_is_one_line_and_stops_the_start() {
    let sandbox = Sandbox::empty();
    sandbox.file("idp.toml", "[server]\nisuer = 'x'\n[log]\nformat = 'xml'\n");
    for verb in ["config check", "serve", "user list", "db migrate"] {
        let answer = sandbox.idp(&format!("{verb} --config idp.toml"));
        assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""));
        assert_eq!(
            answer.err,
            "error: idp.toml line 2: there is no setting `server.isuer`; the nearest valid name is `server.issuer`\n\
             error: idp.toml line 4: log.format takes one of auto, text, json, not `xml`\n",
        );
    }
    sandbox.file("idp.toml", &GOOD.replace("https://id", "http://id"));
    let refusal = sandbox.idp("serve --config idp.toml").refusal();
    assert!(
        refusal.starts_with("idp.toml line 2: server.issuer cannot be http://id.example.com"),
        "{refusal}"
    );
    assert!(!sandbox.path().join("data/idp.db").exists(), "nothing is made before everything is right");
    sandbox.file("idp.toml", GOOD);
    let mut command = sandbox.command("serve --config idp.toml");
    let refusal = sandbox.answer(command.env("IDP__SERVER__ISUER", "x"), "").refusal();
    assert!(refusal.ends_with("the nearest valid name is `IDP__SERVER__ISSUER`"), "{refusal}");
}

#[test]
fn ls_08_a_file_with_secrets_that_others_can_read_stops_everything() {
    let sandbox = Sandbox::new();
    set_permissions(sandbox.path().join("data/idp.db"), Permissions::from_mode(0o644)).unwrap();
    for verb in ["user list", "db status", "db migrate"] {
        let refusal = sandbox.idp(verb).refusal();
        assert!(refusal.starts_with("others can read the database data/idp.db"), "{refusal}");
    }
    sandbox.file("idp.toml", GOOD);
    set_permissions(sandbox.path().join("idp.toml"), Permissions::from_mode(0o644)).unwrap();
    let refusal = sandbox.idp("config check --config idp.toml").refusal();
    assert!(refusal.contains("holds a secret and others can read this file"), "{refusal}");
    set_permissions(sandbox.path().join("data/idp.db"), Permissions::from_mode(0o600)).unwrap();
    sandbox.file("password", "tinker brass umbrella");
    set_permissions(sandbox.path().join("password"), Permissions::from_mode(0o640)).unwrap();
    let refusal = sandbox.idp("user create --email a@b.example --name A --password-file password").refusal();
    let (what, rest) = refusal.split_once(" (owner ").unwrap();
    let (owner, fix) = rest.split_once("); ").unwrap();
    assert_eq!(what, "others can read the file password");
    assert!(owner.ends_with(", mode 0640"), "{owner}");
    assert_eq!(fix, "keep them out with `chmod 600 password`");
}

#[test]
fn a_database_is_made_by_migrate_only_and_for_its_owner_only() {
    let sandbox = Sandbox::empty();
    let refusal = sandbox.idp("user list").refusal();
    assert_eq!(
        refusal,
        "there is no database data/idp.db; create it with `idp db migrate` (no settings file was read: \
         /etc/idp/idp.toml does not exist, and --config is not given)"
    );
    assert!(sandbox.idp("user list --dev").refusal().ends_with("start `idp dev` once"));
    assert_eq!(sandbox.idp("db status -o json").json()["exists"], false);
    assert!(!sandbox.path().join("data").exists());
    let all = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations")).unwrap().count();
    let done = format!("The database is up to date; migrations run: {all}.\n");
    assert_eq!(sandbox.idp("db migrate").good(), done);
    assert_eq!(sandbox.idp("db migrate").good(), "The database is already up to date.\n");
    assert!(sandbox.idp("db status").good().ends_with("The database is up to date.\n"));
    let status = sandbox.idp("db status -o json").json();
    assert!(status["migrations"].as_array().unwrap().iter().all(|migration| migration["applied"] == true));
    for (path, mode) in [("data", 0o700), ("data/idp.db", 0o600)] {
        let facts = sandbox.path().join(path).metadata().unwrap();
        assert_eq!(facts.permissions().mode() & 0o777, mode, "{path}");
    }
    assert!(sandbox.idp("key list").good().starts_with("There are no keys yet"));
}

#[test]
fn the_documents_production_examples_run() {
    let readme = README.split_once("<< 'END'\n").unwrap().1.split_once("END\n").unwrap().0;
    for (example, name) in [(block(HANDBOOK, "```toml\n"), "docs/configuration.md"), (readme, "README.md")] {
        let sandbox = Sandbox::empty();
        let here = sandbox.path().display().to_string();
        let text = example
            .replace("\"/var/lib", &format!("\"{here}/var/lib"))
            .replace("\"/etc/idp", &format!("\"{here}/etc/idp"));
        assert_eq!(text.matches(&here).count(), 2, "{name}: keys and data");
        sandbox.file("idp.toml", &text);
        sandbox.idp("config check --config idp.toml").good();
        sandbox.idp("db migrate --config idp.toml").good();
        let mut serve = sandbox.command("serve --config idp.toml --set server.listen=127.0.0.1:0");
        drop(sandbox.start(&mut serve, "listening on"));
        set(&sandbox.path().join("idp.toml"), 0o640);
        let refusal = sandbox.idp("config check --config idp.toml").refusal();
        assert!(
            refusal.contains("mail.smtp_url holds a secret and others can read this file (owner "),
            "{name}: {refusal}"
        );
        assert!(refusal.contains("chmod 600"), "{refusal}");
    }
}

#[test]
fn fault_11_no_error_prints_what_changes_the_direction_of_text() {
    let sandbox = Sandbox::new();
    sandbox.file("password", "tinker brass umbrella");
    for args in [
        "config check --set server.name=a\u{202e}b",
        "config check --set server.listen=a\u{202e}b",
        "config check --set server.na\u{202e}me=b",
        "user create --email a\u{202e}@b.example --name A --password-file password",
        "user show a\u{202e}@b.example",
        "client create a\u{202e}b --redirect-uri https://app.example.com/",
        "us\u{202e}er",
        "user list --lim\u{202e}it 1",
        "user list --limit a\u{202e}b",
    ] {
        for args in [args.to_owned(), format!("{args} -o json")] {
            let answer = sandbox.idp(&args);
            assert_ne!(answer.code, Some(0), "{args}");
            let said = answer.out + &answer.err;
            assert!(!said.contains('\u{202e}') && !said.is_empty(), "{args}: {said:?}");
        }
    }
    let refusal = sandbox.idp("config check --set server.name=a\u{202e}b").refusal();
    let why = "server.name cannot be used: it contains U+202E, an invisible or misleading character";
    assert_eq!(refusal, format!("flag --set server.name: {why}"));
}

#[test]
fn fault_11_a_variable_that_is_not_unicode_stops_the_start() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::empty();
    let mut command = sandbox.command("config check");
    command.env("IDP__MAIL__SMTP_URL", std::ffi::OsStr::from_bytes(b"smtp://u:p\xffw@h"));
    let refusal = sandbox.answer(&mut command, "").refusal();
    assert_eq!(refusal, "environment variable IDP__MAIL__SMTP_URL: its value is not UTF-8");
    let mut command = sandbox.command("dev --port 0 --client-port 0");
    let refusal = sandbox.answer(command.env("IDP__LOG_LEVEL", "debug"), "").refusal();
    assert!(refusal.ends_with("the nearest valid name is `IDP__LOG__LEVEL`"), "{refusal}");
}
