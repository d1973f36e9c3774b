//! Commands without `--config` read `/etc/idp/idp.toml`. The tests give the program an `/etc` of its own.

use std::process::Command;

use crate::configuration::README;
use crate::container::set;
use crate::sandbox::{Answer, Sandbox};

/// Runs the program with the folder `etc` as `/etc`. `None`: this machine does not allow that.
fn idp(sandbox: &Sandbox, args: &str) -> Option<Answer> {
    let script = "mount --bind etc /etc 2>/dev/null || exit 77; exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_idp")]);
    command.args(args.split_whitespace()).current_dir(sandbox.path());
    command.env_clear().env("PATH", std::env::var("PATH").unwrap());
    let answer = sandbox.answer(&mut command, "");
    let denied = answer.code == Some(77) || answer.err.starts_with("unshare:");
    if denied {
        eprintln!("this machine allows no folder of our own over /etc: {}", answer.err);
    }
    (!denied).then_some(answer)
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::empty();
    std::fs::create_dir_all(sandbox.path().join("etc/idp")).unwrap();
    sandbox
}

const SAYS: &str = "settings are from /etc/idp/idp.toml\n";

#[test]
fn fault_22_without_config_the_file_in_etc_is_used_and_named() {
    let sandbox = sandbox();
    sandbox.file("etc/idp/idp.toml", "[server]\ndata_dir = 'elsewhere'\nissuer = 'http://localhost:8080'\n[mail]\nfrom = 'id@example.com'\nsmtp_url = 'smtp://localhost'\n");
    let Some(made) = idp(&sandbox, "db migrate") else { return };
    assert_eq!((made.code, made.err.as_str()), (Some(0), SAYS), "{}", made.out);
    assert!(sandbox.path().join("elsewhere/idp.db").exists());
    for args in ["user list", "client list", "key list", "db status"] {
        let listed = idp(&sandbox, args).unwrap();
        assert_eq!((listed.code, listed.err.as_str()), (Some(0), SAYS), "{args}");
        // For programs, standard error has nothing but errors.
        idp(&sandbox, &format!("{args} -o json")).unwrap().json();
    }
    let checked = idp(&sandbox, "config check").unwrap();
    assert!(checked.out.contains("/etc/idp/idp.toml line 2"), "{}{}", checked.out, checked.err);
    // A command that is suggested works as it is, without the option.
    let refusal = idp(&sandbox, "user show ada@example.org").unwrap().err;
    assert!(refusal.contains("with `") && !refusal.contains("--config"), "{refusal}");
    // What is named wins.
    sandbox.file("other.toml", "[server]\ndata_dir = 'third'\n");
    idp(&sandbox, "db migrate --config other.toml").unwrap().good();
    assert!(sandbox.path().join("third/idp.db").exists());
    // The database of `dev` is not a production server's.
    assert!(
        idp(&sandbox, "user list --dev").unwrap().refusal().contains("there is no database data/dev/idp.db")
    );
}

#[test]
fn fault_22_a_mistake_in_the_file_in_etc_is_reported_with_its_line() {
    let sandbox = sandbox();
    sandbox.file("etc/idp/idp.toml", "[server]\nisuer = 'x'\n");
    let Some(refused) = idp(&sandbox, "user list") else { return };
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.contains("error: /etc/idp/idp.toml line 2: there is no setting `server.isuer`"),
        "{}",
        refused.err
    );
}

#[test]
fn fault_22_a_file_in_etc_that_cannot_be_read_stops_the_command_and_says_why_it_was_read() {
    let sandbox = sandbox();
    std::os::unix::fs::symlink("nowhere", sandbox.path().join("etc/idp/idp.toml")).unwrap();
    let Some(refused) = idp(&sandbox, "db migrate") else { return };
    let lines: Vec<&str> = refused.err.lines().collect();
    assert_eq!((refused.code, lines.len()), (Some(1), 2), "{}", refused.err);
    assert!(lines[0].starts_with("error: /etc/idp/idp.toml: this file cannot be read: "), "{}", lines[0]);
    assert!(
        lines[1].contains("no --config names another file") && lines[1].contains("sudo -u USER"),
        "{}",
        lines[1]
    );
    assert!(!sandbox.path().join("data").exists());
}

#[test]
fn fault_22_a_file_in_etc_of_another_users_server_is_not_opened_to_others() {
    const SERVER: u32 = 65_531;
    const OTHER: &str = "65530";
    let sandbox = sandbox();
    let (folder, file) = (sandbox.path().join("etc/idp"), sandbox.path().join("etc/idp/idp.toml"));
    sandbox.file("etc/idp/idp.toml", "[server]\ndata_dir = 'elsewhere'\n");
    if std::os::unix::fs::chown(&folder, Some(SERVER), Some(SERVER)).is_err() {
        return eprintln!("not root: all files are ours");
    }
    // The program where anybody can reach it.
    let program = sandbox.path().join("etc/program");
    std::fs::copy(env!("CARGO_BIN_EXE_idp"), &program).unwrap();
    let script = "mount --bind etc /etc || exit 77; cd /; exec setpriv --reuid \"$1\" --clear-groups /etc/program user list";
    let run = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh", OTHER]).current_dir(sandbox.path());
        sandbox.answer(&mut command, "")
    };
    for (file_owner, file_mode, folder_mode) in
        [(SERVER, 0o600, 0o700), (SERVER, 0o600, 0o755), (0, 0o600, 0o755)]
    {
        std::os::unix::fs::chown(&file, Some(file_owner), Some(file_owner)).unwrap();
        set(&file, file_mode);
        set(&folder, folder_mode);
        let refused = run();
        if refused.code == Some(77) {
            return eprintln!("this machine allows no folder of our own over /etc: {}", refused.err);
        }
        let lines: Vec<&str> = refused.err.lines().collect();
        assert_eq!((refused.code, lines.len()), (Some(1), 2), "{}", refused.err);
        assert!(
            lines[0].starts_with("error: /etc/idp/idp.toml: this file cannot be read: ")
                && lines[0].ends_with(&format!("and idp runs as uid {OTHER}")),
            "{}",
            lines[0]
        );
        assert!(lines[1].contains("run this command as that user (`sudo -u USER`)"), "{}", lines[1]);
        assert!(!refused.err.contains("chmod") && !refused.err.contains("chown"), "{}", refused.err);
    }
}

#[test]
fn fault_22_without_any_file_the_message_says_where_it_was_looked_for() {
    let sandbox = sandbox();
    let Some(refused) = idp(&sandbox, "serve") else { return };
    assert!(
        refused.err.contains(
            "server.issuer is missing; set it in /etc/idp/idp.toml or in a file named with --config"
        ),
        "{}",
        refused.err
    );
    let refusal = idp(&sandbox, "user list").unwrap().refusal();
    assert!(
        refusal.contains("there is no database data/idp.db; create it with `")
            && refusal.contains("/etc/idp/idp.toml does not exist"),
        "{refusal}"
    );
    // Flags alone are enough, as before.
    idp(&sandbox, "db migrate --set server.data_dir=own").unwrap().good();
}

#[test]
fn fault_22_a_machine_without_authorities_is_told_so_and_not_that_its_url_is_wrong() {
    let sandbox = sandbox();
    sandbox.file(
        "etc/idp/idp.toml",
        "[server]\nissuer = 'http://localhost:8080'\n[mail]\nfrom = 'id@example.com'\nsmtp_url = 'smtps://mail.example.com'\n",
    );
    let Some(checked) = idp(&sandbox, "config check") else { return };
    assert_eq!(checked.code, Some(1), "{}", checked.out);
    assert!(
        checked.err.contains("mail: TLS cannot be used: ")
            && checked.err.contains("the package ca-certificates"),
        "{}",
        checked.err
    );
}

/// The shell lines of the README's section on production, one text for each block.
fn production_lines() -> Vec<&'static str> {
    let section = README.split_once("\n## In production\n").unwrap().1.split_once("\n### ").unwrap().0;
    section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn fault_22_the_readmes_production_lines_survive_copy_and_paste() {
    let sandbox = Sandbox::empty();
    // An empty machine: a file system for /var/lib, a user `idp`, the authorities' certificates, and programs that
    // stand for what a test must not do.
    for folder in ["etc", "bin", "etc/ssl"] {
        std::fs::create_dir(sandbox.path().join(folder)).unwrap();
    }
    let copied =
        Command::new("cp").args(["-rL", "/etc/ssl/certs"]).arg(sandbox.path().join("etc/ssl")).status();
    assert!(copied.unwrap().success());
    sandbox.file("etc/passwd", "root:x:0:0::/:/bin/sh\nidp:x:0:0::/:/bin/sh\n");
    sandbox.file("etc/group", "root:x:0:\nidp:x:0:\n");
    let programs = [
        ("sudo", "if [ \"$1\" = -u ]; then shift 2; fi; exec \"$@\""),
        ("useradd", "exit 0"),
        ("idp", &format!("exec {} \"$@\"", env!("CARGO_BIN_EXE_idp"))),
    ];
    for (name, script) in programs {
        sandbox.file(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
        set(&sandbox.path().join("bin").join(name), 0o755);
    }
    let blocks = production_lines();
    let [build, settings, account, serve] = blocks[..] else { panic!("{blocks:?}") };
    assert!(build.starts_with("cargo build --release --locked\n"), "{build}");
    assert_eq!(serve, "sudo -u idp idp serve\n");
    let lines = format!(
        "set -e\nmount --bind etc /etc 2>/dev/null && mount -t tmpfs none /var/lib 2>/dev/null || exit 77\n\
         {}\necho 'tinker brass umbrella' | {account}\nexec {serve}",
        settings.replace("127.0.0.1:8080", "127.0.0.1:0"),
    );
    let mut shell = Command::new("unshare");
    shell.args(["--user", "--map-root-user", "--mount", "sh", "-c", &lines]).current_dir(sandbox.path());
    let path = format!("{}/bin:{}", sandbox.path().display(), std::env::var("PATH").unwrap());
    shell.env_clear().env("PATH", path);
    let started = sandbox.try_start(&mut shell, "listening on");
    let Some(running) = started else {
        eprintln!("this machine allows no folders of our own over /etc and /var/lib");
        return;
    };
    assert!(running.said.contains("The configuration is valid.\n"), "{}", running.said);
    assert!(running.said.contains("Created you@example.com ("), "{}", running.said);
    let address = running.line("idp is ready: https://id.example.com, listening on ");
    assert!(running.get(&format!("http://{address}/healthz")).starts_with("HTTP/1.1 200"));
}
