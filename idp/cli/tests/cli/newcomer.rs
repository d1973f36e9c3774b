//! The first ten minutes with `idp dev`.

use crate::sandbox::{Running, Sandbox};

const READY: &str = "Ctrl-C stops it.";

fn dev(sandbox: &Sandbox, more: &str) -> Running {
    sandbox.start(&mut sandbox.command(&format!("dev --port 0 --client-port 0 {more}")), READY)
}

fn password(running: &Running) -> String {
    running.line("Its password").to_owned()
}

#[test]
fn fault_22_a_second_dev_in_the_same_folder_is_refused_and_changes_nothing() {
    let sandbox = Sandbox::empty();
    let first = dev(&sandbox, "");
    let files = || {
        let read = |name| std::fs::read_to_string(sandbox.path().join("data/dev").join(name)).unwrap();
        (
            read("issuer"),
            read("example-client.secret"),
            sandbox.idp("client show example --dev -o json").json(),
        )
    };
    let before = files();
    // The folder comes first: a second one with the same ports must not be told to choose others.
    let port = first.line("Example app").trim_end_matches('/').rsplit_once(':').unwrap().1.to_owned();
    for args in ["dev --port 0 --client-port 0".to_owned(), format!("dev --port {port}")] {
        let refusal = sandbox.idp(&args).refusal();
        let at = &before.0;
        assert_eq!(
            refusal,
            format!(
                "`idp dev` is already running on the folder data/dev, at {at}; stop it, or start another one \
                 beside it with `idp dev --data-dir data/dev-2 --port 0 --client-port 0`"
            )
        );
    }
    sandbox.file("s.toml", "");
    let refusal = sandbox.idp("dev --data-dir data/dev/ --keys-dir k --seed s.toml").refusal();
    let kept = "`idp dev --data-dir data/dev-2 --port 0 --client-port 0 --keys-dir k --seed s.toml`";
    assert!(refusal.ends_with(kept), "{refusal}");
    assert_eq!(files(), before);
    let beside = dev(&sandbox, "--data-dir data/dev-2");
    assert!(beside.get(beside.line("Sign in")).starts_with("HTTP/1.1 "));
    assert_eq!(files(), before);
    drop(first);
    // A server that was killed leaves no lock behind.
    drop(dev(&sandbox, ""));
}

#[test]
fn fault_22_a_file_is_no_data_folder() {
    let sandbox = Sandbox::empty();
    sandbox.file("notes", "mine");
    for (folder, said) in [
        ("notes", "the folder notes (server.data_dir, option --data-dir) cannot be used: it is not a folder"),
        (
            "notes/data",
            "the folder notes/data (server.data_dir, option --data-dir) cannot be used: Not a directory (os error 20)",
        ),
    ] {
        let refusal = sandbox.idp(&format!("dev --port 0 --client-port 0 --data-dir {folder}")).refusal();
        assert_eq!(refusal, said);
    }
    std::fs::create_dir(sandbox.path().join("data")).unwrap();
    sandbox.file("data/dev", "mine");
    let refusal = sandbox.idp("dev --port 0 --client-port 0").refusal();
    let said =
        "the folder data/dev (server.data_dir, default of `idp dev`) cannot be used: it is not a folder";
    assert_eq!(refusal, said);
    let refusal = sandbox.idp("db migrate --dev").refusal();
    assert!(
        refusal.contains("data/dev/idp.db (server.data_dir, option --dev) cannot be used: "),
        "{refusal}"
    );
    let refusal = sandbox.idp("db migrate --dev --set server.data_dir=notes").refusal();
    assert!(
        refusal.contains("notes/idp.db (server.data_dir, flag --set server.data_dir) cannot be"),
        "{refusal}"
    );
}

#[test]
fn fault_22_dev_and_serve_do_not_share_a_folder_but_two_serve_do() {
    let sandbox = Sandbox::empty();
    sandbox.file(
        "idp.toml",
        "[server]\nissuer = 'http://localhost:8080'\nlisten = '127.0.0.1:0'\ndata_dir = 'data/dev'\n\
         [mail]\nfrom = 'id@example.com'\nsmtp_url = 'smtp://localhost'\n",
    );
    let running = dev(&sandbox, "");
    let refusal = sandbox.idp("serve --config idp.toml").err;
    assert!(
        refusal.contains("`idp dev` is running on the folder data/dev; stop it")
            && refusal.contains("server.data_dir"),
        "{refusal}"
    );
    drop(running);
    let serve = || sandbox.start(&mut sandbox.command("serve --config idp.toml"), "listening on");
    let (one, two) = (serve(), serve());
    let refusal = sandbox.idp("dev --port 0 --client-port 0").refusal();
    assert!(refusal.starts_with("`idp serve` is running on the folder data/dev; stop it, or "), "{refusal}");
    drop((one, two));
    drop(dev(&sandbox, ""));
}

#[test]
fn fault_22_an_address_that_the_seed_took_leaves_no_password_that_is_nobodys() {
    let sandbox = Sandbox::empty();
    sandbox.file(
        "seed.toml",
        "[[users]]\nemail = 'admin@example.com'\nname = 'Ada Lovelace'\npassword = 'tinker brass umbrella'\n",
    );
    let running = dev(&sandbox, "--seed seed.toml");
    let kept = sandbox.path().join("data/dev/first-account.password");
    assert!(!running.said.contains("Its password") && !kept.exists(), "{}", running.said);
}

#[test]
fn fault_22_the_first_password_is_shown_as_long_as_it_is_the_accounts() {
    let sandbox = Sandbox::empty();
    let first = dev(&sandbox, "");
    let shown = password(&first);
    assert_eq!(shown.split('-').count(), 5, "{shown}");
    drop(first);
    let second = dev(&sandbox, "");
    assert_eq!(
        (password(&second), second.line("Account ")),
        (shown, "admin@example.com, with the role admin")
    );
    drop(second);
    use std::os::unix::fs::PermissionsExt;
    let kept = sandbox.path().join("data/dev/first-account.password");
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    // One that is not the account's is never shown.
    sandbox.file("data/dev/first-account.password", "tinker-brass-umbrella-violet-lantern");
    let other = dev(&sandbox, "");
    assert!(!other.said.contains("Its password") && !other.said.contains("tinker"), "{}", other.said);
    assert!(other.line("Create another").starts_with("idp user create --dev "));
    drop(other);
    // As in a folder from an earlier version.
    std::fs::remove_file(&kept).unwrap();
    let older = dev(&sandbox, "");
    assert!(older.line("Start over").contains("remove the folder data/dev"), "{}", older.said);
}

#[test]
fn fault_22_a_command_that_misses_the_option_for_dev_is_told_about_it() {
    let sandbox = Sandbox::empty();
    let told = |sandbox: &Sandbox| {
        sandbox.idp("user list").refusal().contains("add --dev to use the one of `idp dev`")
    };
    assert!(!told(&sandbox), "there is none");
    drop(dev(&sandbox, ""));
    assert!(told(&sandbox));
}

#[test]
fn fault_22_nothing_stands_above_or_below_the_banner() {
    let sandbox = Sandbox::empty();
    sandbox.file(
        "seed.toml",
        "[[users]]\nemail = 'ada@example.org'\nname = 'Ada'\npassword = 'tinker brass umbrella'\n",
    );
    for _ in 0..2 {
        let mut command = sandbox.command("dev --port 0 --client-port 0 --seed seed.toml");
        let running = sandbox.start_logged(&mut command, READY);
        assert!(running.said.starts_with("idp dev is ready. "), "{}", running.said);
        let (code, log) = running.stop_logged("TERM");
        assert_eq!(code, Some(0));
        assert_eq!(log.lines().count(), 1, "only that it stops: {log}");
    }
    // Somebody who asks for a level wants the log of the start.
    std::fs::remove_dir_all(sandbox.path().join("data")).unwrap();
    let mut command = sandbox.command("dev --port 0 --client-port 0");
    let running = sandbox.start_logged(command.env("IDP__LOG__LEVEL", "info"), READY);
    assert!(running.stop_logged("TERM").1.contains("user_created"));
}

#[test]
fn fault_10_whatever_the_umask_only_we_can_use_what_dev_makes() {
    use std::os::unix::fs::PermissionsExt;
    fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            if mode != if path.is_dir() { 0o700 } else { 0o600 } {
                found.push(format!("{} {mode:o}", path.display()));
            }
            if path.is_dir() {
                walk(&path, found);
            }
        }
    }
    for umask in ["000", "022", "077"] {
        let sandbox = Sandbox::empty();
        let mut shell = std::process::Command::new("sh");
        let line = format!("umask {umask}; exec {} dev --port 0 --client-port 0", env!("CARGO_BIN_EXE_idp"));
        shell.args(["-c", &line]).current_dir(sandbox.path()).env_clear();
        let running = sandbox.start(&mut shell, READY);
        let mut found = Vec::new();
        walk(sandbox.path(), &mut found);
        assert_eq!(found, [""; 0], "umask {umask}");
        drop(running);
    }
}
