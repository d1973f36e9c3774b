//! Files and folders that others could have changed are refused.

use std::fs;
use std::os::unix::fs::chown;

use crate::container::{Container, SMTP_URL, docker, fix, set};
use crate::sandbox::Sandbox;

#[test]
fn fault_10_what_others_could_have_written_is_refused_by_file_owner_and_setting() {
    let container = Container::new(docker());
    let secret = container.docker_secret("/run/secrets/smtp_url", SMTP_URL);
    container.volume("/var/lib/idp");
    container.volume("/etc/idp/keys");
    set(&secret, 0o666);
    let refusal = container.refusal();
    let begin = |what: &str| {
        format!(
            "environment variable IDP__MAIL__SMTP_URL_FILE: others can {what} the file {}",
            secret.display()
        )
    };
    if container.user.is_some() {
        assert!(refusal.starts_with(&begin("write")), "{refusal}");
        assert!(
            refusal.contains("(owner root, group root, mode 0666); as root, run `chmod go-w /"),
            "{refusal}"
        );
    } else {
        assert!(refusal.starts_with(&begin("read")), "{refusal}");
    }
    set(&secret, 0o400);
    chown(&secret, container.user, container.user).unwrap();
    let folder = secret.parent().unwrap();
    set(folder, 0o777);
    let refusal = container.refusal();
    assert!(refusal.starts_with(&begin("replace")), "{refusal}");
    let named = format!("they can write to the folder {} (owner ", folder.display());
    assert!(refusal.contains(&named), "{refusal}");
    set(folder, 0o755);
    assert_eq!(container.warnings(), [""; 0]);
    for (folder, setting) in [
        ("/etc/idp/keys", "keys.dir; "),
        ("/var/lib/idp", "server.data_dir, environment variable IDP__SERVER__DATA_DIR; "),
    ] {
        let folder = container.at(folder);
        let shown = folder.display();
        for mode in [0o777, 0o1777] {
            set(&folder, mode);
            let refusal = container.refusal();
            assert!(
                refusal.starts_with(&format!("everybody can write to the folder {shown} ({setting}owner ")),
                "{refusal}"
            );
            assert!(
                refusal.ends_with(&format!("mode {mode:04o}); run `chmod o-w {shown}`, or use another one")),
                "{refusal}"
            );
        }
        set(&folder, 0o700);
        if container.user.is_some() {
            chown(&folder, Some(20_000), Some(20_000)).unwrap();
            set(&folder, 0o755);
            let refusal = container.refusal();
            let setting = setting.trim_end_matches("; ");
            let begin = format!("the folder {shown} ({setting}) belongs to another user (owner 20000, ");
            assert!(refusal.starts_with(&begin) && refusal.contains("idp runs as 65532"), "{refusal}");
            chown(&folder, container.user, container.user).unwrap();
        }
    }
    assert_eq!(container.warnings(), [""; 0]);
}

#[test]
fn fault_10_a_folder_that_everybody_can_write_leads_to_no_keys_and_no_data() {
    let container = Container::new(docker());
    container.docker_secret("/run/secrets/smtp_url", SMTP_URL);
    let (data, keys) = (container.at("/var/lib/idp"), container.at("/etc/idp/keys"));
    let setting = "server.data_dir, environment variable IDP__SERVER__DATA_DIR";
    container.volume("/var/lib");
    container.volume("/etc/idp");
    for exist in [false, true] {
        if exist {
            container.volume("/var/lib/idp");
            container.volume("/etc/idp/keys");
        }
        for (folder, setting) in [(&data, setting), (&keys, "keys.dir")] {
            let open = folder.parent().unwrap();
            set(open, 0o777);
            let refusal = container.refusal();
            let (shown, at) = (folder.display(), open.display());
            let begin = format!(
                "others can replace the folder {shown} ({setting}), because they can write to the folder {at} (owner "
            );
            assert!(refusal.starts_with(&begin), "{refusal}");
            assert!(
                refusal.ends_with(&format!("mode 0777); keep them out with `chmod go-w {at}`")),
                "{refusal}"
            );
            assert_eq!((data.exists(), keys.exists()), (exist, exist), "nothing is made");
            // In a sticky folder, nobody else can replace what root or we own.
            set(open, 0o1777);
            container.warnings();
            set(open, 0o755);
        }
    }
    for folder in [data, keys] {
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    }
}

const HARMLESS: &str = "[server]\nissuer = 'https://id.example.com'\n\
    [mail]\nfrom = 'id@example.com'\nsmtp_url = 'smtp://localhost'\n";

#[test]
fn fault_10_a_configuration_file_that_others_could_have_written_is_refused_by_every_command() {
    let container = Container::new(Vec::new());
    chown(container.sandbox.path(), container.user, container.user).unwrap();
    let file = container.at("/etc/idp/idp.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, HARMLESS).unwrap();
    let refusal = |command: &str| {
        let mut command = container.command(&format!("{command} --config etc/idp/idp.toml"));
        container.sandbox.answer(&mut command, "").refusal()
    };
    let config = file.display();
    for (uid, mode, said) in [
        (0, 0o666, "others can write this file (owner root, group root, mode 0666); "),
        (0, 0o646, "others can write this file (owner root, group root, mode 0646); "),
        (65532, 0o646, "others can write this file (owner 65532, group 65532, mode 0646); "),
        (
            1000,
            0o644,
            "this file belongs to another user (owner 1000, group 1000, mode 0644; idp runs as 65532); ",
        ),
        (
            1000,
            0o666,
            "this file belongs to another user (owner 1000, group 1000, mode 0666; idp runs as 65532); ",
        ),
    ] {
        if container.user.is_none() && uid != 0 {
            continue;
        }
        if container.user.is_some() {
            chown(&file, Some(uid), Some(uid)).unwrap();
        }
        set(&file, mode);
        for command in ["config check", "serve", "db migrate", "user list"] {
            let refusal = refusal(command);
            let said = format!("etc/idp/idp.toml: {said}");
            assert!(refusal.starts_with(&said) || container.user.is_none(), "{command}: {refusal}");
        }
        // The cure works.
        let suggested = refusal("config check").rsplit_once("; ").unwrap().1.replace("etc/idp", "/etc/idp");
        let cured =
            suggested.replace("/etc/idp/idp.toml", &config.to_string()).replace("keep them out with", "run");
        fix(&cured);
        let check =
            container.sandbox.answer(&mut container.command("config check --config etc/idp/idp.toml"), "");
        check.good();
    }
    // The folder.
    let folder = file.parent().unwrap();
    set(folder, 0o777);
    let said = "others can replace this file, because they can write to the folder ";
    assert!(refusal("config check").contains(said), "{}", refusal("config check"));
    set(folder, 0o1777);
    container.sandbox.answer(&mut container.command("config check --config etc/idp/idp.toml"), "").good();
}

#[test]
fn fault_10_a_seed_that_others_could_have_written_is_refused() {
    let sandbox = Sandbox::empty();
    sandbox.file("seed.toml", "# nothing yet\n");
    let seed = sandbox.path().join("seed.toml");
    set(&seed, 0o646);
    let refusal = sandbox.idp("dev --port 0 --client-port 0 --seed seed.toml").refusal();
    assert!(refusal.starts_with("seed.toml: others can write this file (owner "), "{refusal}");
    assert!(refusal.ends_with("mode 0646); keep them out with `chmod go-w seed.toml`"), "{refusal}");
    // Its passwords are for trying things out on this computer: others may read them.
    set(&seed, 0o644);
    let mut command = sandbox.command("dev --port 0 --client-port 0 --seed seed.toml");
    drop(sandbox.start(&mut command, "Ctrl-C stops it."));
}
