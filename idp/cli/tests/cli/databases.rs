//! Databases that are unreachable, readable by others, or without their keys.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use crate::sandbox::Sandbox;

const REST: &str = "[server]\nissuer = 'http://localhost:8080'\nlisten = '127.0.0.1:0'\n\
    [mail]\nfrom = 'id@example.com'\nsmtp_url = 'smtp://localhost'\n";

fn shared(sandbox: &Sandbox, file: &str) {
    set_permissions(sandbox.path().join(file), Permissions::from_mode(0o666)).unwrap();
}

fn mine(sandbox: &Sandbox, file: &str) {
    set_permissions(sandbox.path().join(file), Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn r_28_a_server_that_is_away_is_one_clear_line_with_its_setting() {
    let sandbox = Sandbox::empty();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    sandbox.file("idp.toml", &format!("{REST}[database]\nurl = 'postgres://ada:hunter2@{free}/idp'\n"));
    for verb in ["user list", "db status", "db migrate", "serve", "config check"] {
        let refusal = sandbox.idp(&format!("{verb} --config idp.toml")).refusal();
        let line = format!("cannot reach {free}: connection refused (database.url, idp.toml line 8)");
        assert_eq!(refusal, line, "{verb}");
    }
}

#[test]
fn ls_08_a_database_others_can_read_is_refused_whatever_its_name_and_with_its_companions() {
    let sandbox = Sandbox::empty();
    sandbox.file("idp.toml", &format!("{REST}[database]\nurl = 'sqlite:my%20own.db'\n"));
    sandbox.idp("db migrate --config idp.toml").good();
    for file in ["my own.db", "my own.db-wal", "my own.db-shm"] {
        if file != "my own.db" {
            sandbox.file(file, "");
        }
        shared(&sandbox, file);
        for verb in ["user list", "db status", "db migrate", "serve", "config check"] {
            let refusal = sandbox.idp(&format!("{verb} --config idp.toml")).refusal();
            let begin = format!("others can read the database {file} (database.url, idp.toml line 8; owner ");
            let end = ", mode 0666); keep them out with `chmod 600 'my own.db'*`";
            assert!(refusal.starts_with(&begin) && refusal.ends_with(end), "{refusal}");
        }
        mine(&sandbox, file);
        if file != "my own.db" {
            std::fs::remove_file(sandbox.path().join(file)).unwrap();
        }
    }
    sandbox.idp("user list --config idp.toml").good();
}

#[test]
fn r_28_config_check_refuses_what_serve_would_and_makes_nothing() {
    let sandbox = Sandbox::empty();
    sandbox.file("idp.toml", REST);
    let check = || sandbox.idp("config check --config idp.toml");
    assert!(check().good().ends_with("The configuration is valid.\n"));
    assert_eq!(std::fs::read_dir(sandbox.path()).unwrap().count(), 1, "nothing is made");

    drop(sandbox.start(&mut sandbox.command("serve --config idp.toml"), "listening on"));
    assert!(check().good().ends_with("The configuration is valid.\n"));
    let key = |folder: &str| {
        let entries = std::fs::read_dir(sandbox.path().join(folder)).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.find(|name| name.ends_with(".kek")).unwrap()
    };
    let name = key("keys");
    shared(&sandbox, &format!("keys/{name}"));
    let refusal = check().refusal();
    let (what, rest) = refusal.split_once(" (owner ").unwrap();
    let (owner, fix) = rest.split_once("); ").unwrap();
    assert_eq!(what, format!("others can read the key-encryption key keys/{name} of keys.dir"));
    assert!(owner.ends_with(", mode 0666"), "{owner}");
    assert_eq!(fix, format!("keep them out with `chmod 600 keys/{name}`"));
    assert_eq!(sandbox.idp("serve --config idp.toml").refusal(), refusal);

    std::fs::rename(sandbox.path().join("keys"), sandbox.path().join("away")).unwrap();
    let refusal = check().refusal();
    assert!(refusal.contains(&name) && refusal.contains("is not in keys"), "{refusal}");
    assert_eq!(sandbox.idp("serve --config idp.toml").refusal(), refusal);
    assert!(!sandbox.path().join("keys").exists());

    std::fs::rename(sandbox.path().join("away"), sandbox.path().join("keys")).unwrap();
    mine(&sandbox, &format!("keys/{name}"));
    shared(&sandbox, "data/idp.db");
    assert!(check().refusal().starts_with("others can read the database data/idp.db"));
}

#[test]
fn a_key_that_is_made_is_told_once_with_the_advice_to_keep_it() {
    let sandbox = Sandbox::empty();
    sandbox.file("idp.toml", REST);
    for times in [1, 0] {
        let mut command = sandbox.command("serve --config idp.toml");
        let running = sandbox.start_logged(&mut command, "listening on");
        let (_, log) = running.stop_logged("TERM");
        let told: Vec<_> =
            log.lines().filter(|line| line.contains("a key-encryption key was made")).collect();
        assert_eq!(told.len(), times, "{log}");
        assert!(
            told.iter().all(|line| line.contains("WARN")
                && line.contains("keys/kek-")
                && line.contains("back it up, apart from the database")),
            "{log}"
        );
    }
}

/// Starts a server, creates an account, and kills the server. Its latest writes are in the companion only.
fn killed_with_an_account() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.file("idp.toml", REST);
    let running = sandbox.start(&mut sandbox.command("serve --config idp.toml"), "listening on");
    let create = "user create --config idp.toml --email ada@example.org --name Ada --password-stdin";
    sandbox.pipe(create, "tinker brass umbrella").good();
    running.stop("KILL");
    assert!(sandbox.path().join("data/idp.db-wal").metadata().unwrap().len() > 0);
    sandbox
}

fn rename(sandbox: &Sandbox, from: &str, to: &str) {
    std::fs::rename(sandbox.path().join(from), sandbox.path().join(to)).unwrap();
}

const EVERY_COMMAND: [&str; 5] = ["serve", "user list", "db status", "db migrate", "config check"];

#[test]
fn fault_21_a_database_file_that_was_moved_away_is_missed_and_its_latest_writes_are_kept() {
    let sandbox = killed_with_an_account();
    rename(&sandbox, "data/idp.db", "away.db");
    for verb in EVERY_COMMAND {
        let refusal = sandbox.idp(&format!("{verb} --config idp.toml")).refusal();
        let said = "the database data/idp.db is gone: its latest writes are still in data/idp.db-wal; put the file back \
            beside it, or move that away as well to begin with an empty database";
        assert_eq!(refusal, said, "{verb}");
    }
    rename(&sandbox, "away.db", "data/idp.db");
    assert!(sandbox.idp("user list --config idp.toml").good().contains("ada@example.org"));
}

#[test]
fn fault_21_a_link_to_a_database_that_is_gone_is_not_filled() {
    let sandbox = killed_with_an_account();
    for file in ["idp.db", "idp.db-wal", "idp.db-shm"] {
        rename(&sandbox, &format!("data/{file}"), file);
    }
    std::os::unix::fs::symlink("../idp.db", sandbox.path().join("data/idp.db")).unwrap();
    assert!(sandbox.idp("user list --config idp.toml").good().contains("ada@example.org"));
    std::fs::remove_file(sandbox.path().join("idp.db")).unwrap();
    for verb in EVERY_COMMAND {
        let refusal = sandbox.idp(&format!("{verb} --config idp.toml")).refusal();
        let said = "the database data/idp.db is gone: it is a link to ../idp.db, which does not exist";
        assert_eq!(refusal, said, "{verb}");
    }
    assert!(!sandbox.path().join("idp.db").exists());
}

#[test]
fn fault_21_a_server_that_had_a_database_makes_no_empty_one_by_itself() {
    let sandbox = killed_with_an_account();
    for file in ["idp.db", "idp.db-wal", "idp.db-shm"] {
        rename(&sandbox, &format!("data/{file}"), file);
    }
    let told = ["serve", "config check", "user list", "db status"];
    for verb in told {
        let refusal = sandbox.idp(&format!("{verb} --config idp.toml")).refusal();
        let said = "the database data/idp.db is gone: it was here, as data/.idp.db.was-here says; put the file back, or \
            run `idp db migrate` with the same settings to begin with an empty database";
        assert_eq!(refusal, said, "{verb}");
    }
    assert!(!sandbox.path().join("data/idp.db").exists());
    // The folder as a whole is missing, as when a volume is not mounted. Nobody can tell whether the keys are new here.
    rename(&sandbox, "data/.idp.db.was-here", "was-here");
    for verb in told {
        let refusal = sandbox.idp(&format!("{verb} --config idp.toml")).refusal();
        let said = "there is no database data/idp.db, but the key in keys (keys.dir) was made with one; put its file there, \
            or run `idp db migrate` with the same settings to begin with an empty database";
        assert_eq!(refusal, said, "{verb}");
    }
    rename(&sandbox, "was-here", "data/.idp.db.was-here");
    // An empty file is no database either.
    sandbox.file("data/idp.db", "");
    for verb in told {
        let refusal = sandbox.idp(&format!("{verb} --config idp.toml")).refusal();
        assert!(refusal.starts_with("the database data/idp.db is gone: it was here"), "{verb}: {refusal}");
    }
    sandbox.idp("db migrate --config idp.toml").good();
    let running = sandbox.start(&mut sandbox.command("serve --config idp.toml"), "listening on");
    assert_eq!(running.stop("TERM").0, Some(0));
    // A key that somebody put there says nothing about a database.
    let other = Sandbox::empty();
    other.file("idp.toml", REST);
    std::fs::create_dir(other.path().join("keys")).unwrap();
    other.file("keys/own.kek", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
    let missing = "here is no database data/idp.db; create it with `idp db migrate --config idp.toml`";
    assert_eq!(other.idp("user list --config idp.toml").refusal(), format!("t{missing}"));
    assert_eq!(other.idp("db status --config idp.toml").good(), format!("T{missing}.\n"));
    assert_eq!(
        other.start(&mut other.command("serve --config idp.toml"), "listening on").stop("TERM").0,
        Some(0)
    );
    // From then on there was one.
    rename(&other, "data/idp.db", "idp.db");
    for verb in told {
        let refusal = other.idp(&format!("{verb} --config idp.toml")).refusal();
        assert!(refusal.starts_with("the database data/idp.db is gone: it was here"), "{verb}: {refusal}");
    }
}

#[test]
fn fault_22_what_is_no_database_is_refused_with_what_it_is_and_left_as_it_is() {
    let sandbox = Sandbox::empty();
    sandbox.file("idp.toml", REST);
    sandbox.idp("db migrate --config idp.toml").good();
    let whole = std::fs::read(sandbox.path().join("data/idp.db")).unwrap();
    let database = sandbox.path().join("data/idp.db");
    let refused = |what: &str, cure: &str| {
        for verb in EVERY_COMMAND {
            let refusal = sandbox.idp(&format!("{verb} --config idp.toml")).refusal();
            let begin =
                format!("the database data/idp.db (server.data_dir, default) cannot be used: {what} (owner ");
            assert!(refusal.starts_with(&begin) && refusal.ends_with(cure), "{verb}: {refusal}");
        }
    };
    let (away, restore) = (
        "); move it away, or change the setting",
        "); put it back from a backup, or move it away to begin with an empty one",
    );
    for text in ["notes", "These are notes of mine, and not a database.\n"] {
        sandbox.file("data/idp.db", text);
        refused("it is not an SQLite database", restore);
        assert_eq!(std::fs::read_to_string(&database).unwrap(), text);
    }
    std::fs::write(&database, &whole[..5000]).unwrap();
    refused("database disk image is malformed", restore);
    // The beginning is whole, and what follows is not.
    let zeros = vec![0; whole.len() - 4096];
    std::fs::write(&database, [&whole[..4096], &zeros].concat()).unwrap();
    refused("database disk image is malformed", restore);
    std::fs::remove_file(&database).unwrap();
    std::fs::create_dir(&database).unwrap();
    refused("it is a folder", away);
    std::fs::remove_dir(&database).unwrap();
    let pipe = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&database).status();
    assert!(pipe.unwrap().success());
    refused("it is a named pipe", away);
    std::fs::remove_file(&database).unwrap();
    std::os::unix::fs::symlink("idp.db", &database).unwrap();
    let refusal = sandbox.idp("user list --config idp.toml").refusal();
    assert!(
        refusal.contains("data/idp.db (server.data_dir, default) cannot be used: it is a link"),
        "{refusal}"
    );
    let refusal = sandbox.idp("user list --set database.url=sqlite:/dev/null").refusal();
    assert!(refusal.ends_with("mode 0666); change the setting"), "a device stays where it is: {refusal}");
}
