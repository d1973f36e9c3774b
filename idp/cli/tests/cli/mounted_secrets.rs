//! Secrets mounted by Docker and Kubernetes; runs the examples of the documentation.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::container::{Container, HANDBOOK, SMTP_URL, block, docker, kubernetes, set};

#[test]
fn fault_10_the_documents_example_for_docker_runs() {
    let env = docker();
    assert_eq!(env.len(), 6, "{env:?}");
    let container = Container::new(env);
    let secret = container.docker_secret("/run/secrets/smtp_url", &format!("{SMTP_URL}\n"));
    container.volume("/var/lib/idp");
    container.volume("/etc/idp/keys");
    let expected: Vec<String> = container
        .user
        .map(|_| {
            format!(
                "environment variable IDP__MAIL__SMTP_URL_FILE: others can read the secret in {} (owner root, group \
                 root, mode 0444); it is accepted because only root can write it",
                secret.display()
            )
        })
        .into_iter()
        .collect();
    assert_eq!(container.warnings(), expected);
    let served = container.served();
    let (made, warnings): (Vec<_>, Vec<_>) =
        served.into_iter().partition(|line| line.contains("a key-encryption key was made"));
    assert_eq!((made.len(), warnings), (1, expected));
}

#[test]
fn fault_10_the_documents_example_for_kubernetes_runs() {
    let env = kubernetes();
    assert_eq!(env.len(), 6, "{env:?}");
    let container = Container::new(env);
    container.kubernetes_secret("/run/secrets/idp", &[("smtp_url", SMTP_URL)]);
    container.volume("/var/lib/idp");
    // Make the key as the documentation says.
    let make = block(HANDBOOK, "```\nhead -c 32").split_once('>').unwrap().0;
    let made = Command::new("sh").args(["-c", &format!("head -c 32{make}")]).output().unwrap();
    container
        .kubernetes_secret("/etc/idp/keys", &[("kek-1.kek", std::str::from_utf8(&made.stdout).unwrap())]);
    let warnings = container.warnings();
    assert_eq!(warnings.len(), if container.user.is_some() { 2 } else { 0 }, "{warnings:?}");
    if container.user.is_some() {
        let mode = "(owner root, group 65532, mode 0440); it is accepted because only root can write it";
        let at = |path: &str| container.at(path).display().to_string();
        assert_eq!(
            warnings,
            [
                format!(
                    "environment variable IDP__MAIL__SMTP_URL_FILE: others can read the secret in {} {mode}",
                    at("/run/secrets/idp/smtp_url")
                ),
                format!("keys.dir: others can read the secret in {} {mode}", at("/etc/idp/keys/kek-1.kek")),
            ]
        );
    }
    assert_eq!(container.served(), warnings);
    assert_eq!(container.served(), warnings, "and again, with what is sealed under the key");
}

#[test]
fn fault_10_no_key_is_made_in_a_folder_that_kubernetes_fills() {
    let mut container = Container::new(kubernetes());
    container.kubernetes_secret("/run/secrets/idp", &[("smtp_url", SMTP_URL)]);
    container.volume("/var/lib/idp");
    container.kubernetes_secret("/etc/idp/keys", &[]);
    let keys = container.at("/etc/idp/keys");
    if container.user.is_none() {
        set(&keys, 0o555);
    }
    for user in [container.user, None] {
        container.user = user;
        container.volume("/var/lib/idp");
        let refusal = container.refusal();
        assert!(
            refusal.starts_with(&format!(
                "there is no key-encryption key in {} (keys.dir), and none can be made there",
                keys.display()
            )),
            "{refusal}"
        );
        assert!(refusal.contains("head -c 32 /dev/urandom | basenc --base64url > kek-1.kek"), "{refusal}");
        assert!(
            fs::read_dir(&keys).unwrap().all(|entry| entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .starts_with(".."))
        );
    }
    set(&keys, 0o755);
}

#[test]
fn fault_10_a_mounted_secret_works_for_root_too_and_a_file_of_its_own_stays_private() {
    let mut container = Container::new(docker());
    container.user = None;
    let secret = container.docker_secret("/run/secrets/smtp_url", SMTP_URL);
    set(&secret, 0o444);
    if secret.metadata().unwrap().uid() == 0 {
        assert_eq!(container.warnings().len(), 1);
    }
    set(&secret, 0o644);
    let refusal = container.refusal();
    assert!(
        refusal.contains("others can read the file ")
            && refusal.contains("mode 0644); keep them out with `chmod 600 /"),
        "{refusal}"
    );
}

#[test]
fn fault_10_a_configuration_file_with_a_secret_may_be_mounted() {
    let container = Container::new(Vec::new());
    let text = format!(
        "[server]\nissuer = 'https://id.example.com'\n[mail]\nfrom = 'id@example.com'\nsmtp_url = '{SMTP_URL}'\n\
        [database]\nurl = 'postgres://idp:hunter2@127.0.0.1:1/idp'\n"
    );
    container.docker_secret("/etc/idp/idp.toml", &text);
    // The database is unreachable; only what was logged before matters.
    let answer = container
        .sandbox
        .answer(&mut container.command("serve --config etc/idp/idp.toml --set log.format=text"), "");
    let warnings: Vec<&str> = answer.err.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), usize::from(container.user.is_some()), "one for the file: {}", answer.err);
    assert!(
        warnings
            .iter()
            .all(|line| line.contains("others can read the secret in etc/idp/idp.toml (owner root"))
    );
    assert!(answer.err.contains("error: cannot reach 127.0.0.1:1"), "{}", answer.err);
    if container.user.is_some() {
        set(&container.at("/etc/idp/idp.toml"), 0o664);
        let refusal =
            container.sandbox.answer(&mut container.command("config check --config etc/idp/idp.toml"), "");
        let line = "error: etc/idp/idp.toml line 5: mail.smtp_url holds a secret and others can write this file (owner root, \
            group root, mode 0664); as root, run `chmod go-w`, or use IDP__MAIL__SMTP_URL_FILE";
        assert_eq!(refusal.err.lines().next(), Some(line));
    }
}

#[test]
fn fault_10_commands_take_mounted_passwords_and_pipes() {
    let container = Container::new(Vec::new());
    chown(container.sandbox.path(), container.user, container.user).unwrap();
    let run = |args: &str| container.sandbox.answer(&mut container.command(args), "");
    run("db migrate").good();
    let password = container.docker_secret("/run/secrets/ada", "tinker brass umbrella\n");
    // If the tests run as root, the container's user can change neither the secret's folder nor the sandbox.
    let answer = run(&format!(
        "user create --email ada@example.org --name Ada --password-file {}",
        password.display()
    ));
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    let warned =
        answer.err.starts_with("warning: others can read the secret in ") && answer.err.lines().count() == 1;
    assert!(warned || container.user.is_none() && answer.err.is_empty(), "{}", answer.err);
    let line = "echo tinker brass umbrella | ./idp user create --email bob@example.org --name Bob --password-file /dev/stdin";
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(container.sandbox.path()).env_clear().env("PATH", "/usr/bin:/bin");
    if let Some(user) = container.user {
        shell.uid(user).gid(user);
    }
    container.sandbox.answer(&mut shell, "").good();
}
