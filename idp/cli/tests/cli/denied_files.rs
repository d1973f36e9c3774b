//! Files and folders that the system denies to us: the error names the owner and the command that fixes it.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use crate::container::{Container, SMTP_URL, docker, fix, kubernetes, set};

#[test]
fn fault_10_a_file_that_we_cannot_read_is_named_with_its_owner_and_the_cure() {
    let container = Container::new(docker());
    let Some(user) = container.user else { return eprintln!("not root: all files are ours") };
    let secret = container.docker_secret("/run/secrets/smtp_url", SMTP_URL);
    let key = container.docker_secret("/etc/idp/keys/kek-1.kek", &"A".repeat(43));
    container.volume("/var/lib/idp");
    let named = [
        (&secret, format!("environment variable IDP__MAIL__SMTP_URL_FILE: the file {}", secret.display())),
        (&key, format!("the key-encryption key {} of keys.dir", key.display())),
    ];
    for (file, begin) in named {
        for (group, mode, shown) in [(0, 0o400, "root"), (0, 0o600, "root"), (20_000, 0o440, "20000")] {
            chown(file, Some(0), Some(group)).unwrap();
            set(file, mode);
            let refusal = container.refusal();
            let path = file.display();
            assert_eq!(
                refusal,
                format!(
                    "{begin} cannot be read: it belongs to root:{shown} with mode {mode:04o}, and idp runs as uid {user}; \
                     as root, run `chown {user} {path} && chmod 400 {path}`"
                )
            );
            fix(&refusal);
            container.warnings();
        }
        // The folder denies access.
        let folder = file.parent().unwrap();
        set(folder, 0o700);
        let refusal = container.refusal();
        let whose =
            format!(" belongs to root:root with mode 0700, and idp runs as uid {user}; as root, run `ch");
        let named = refusal.contains(&folder.display().to_string());
        assert!(named && refusal.contains(&whose), "{refusal}");
        fix(&refusal);
        container.warnings();
    }
    // Ours, but not readable by us.
    set(&secret, 0o200);
    let refusal = container.refusal();
    assert!(refusal.contains("with mode 0200, and idp runs as uid 65532; run `chmod u+r /"), "{refusal}");
    set(&secret, 0o400);
    let config = container.docker_secret("/etc/idp/idp.toml", "[log]\nlevel = 'info'\n");
    set(&config, 0o600);
    let check =
        || container.sandbox.answer(&mut container.command("config check --config etc/idp/idp.toml"), "");
    let refusal = check().refusal();
    let begin = "etc/idp/idp.toml: this file cannot be read: it belongs to root:root with mode 0600, and idp runs as uid";
    assert!(refusal.starts_with(begin), "{refusal}");
    chown(&config, Some(user), None).unwrap();
    assert_eq!(check().code, Some(0));
}

#[test]
fn fault_10_a_secret_of_kubernetes_that_we_cannot_read_is_cured_in_the_pod() {
    let container = Container::new(kubernetes());
    if container.user.is_none() {
        return eprintln!("not root: all files are ours");
    }
    container.kubernetes_secret("/run/secrets/idp", &[("smtp_url", SMTP_URL)]);
    let file = container.at("/run/secrets/idp/smtp_url");
    chown(&file, None, Some(0)).unwrap();
    set(&file, 0o400);
    let refusal = container.refusal();
    let end = "it belongs to root:root with mode 0400, and idp runs as uid 65532; give the volume `defaultMode: 0440` and \
        the pod `securityContext: { fsGroup: 65532 }`";
    assert!(refusal.ends_with(end), "{refusal}");
}

#[test]
fn fault_10_folders_and_a_database_that_we_cannot_write_are_named_with_the_cure() {
    let container = Container::new(docker());
    let Some(user) = container.user else { return eprintln!("not root: all files are ours") };
    container.docker_secret("/run/secrets/smtp_url", SMTP_URL);
    let (data, keys) = (container.at("/var/lib/idp"), container.at("/etc/idp/keys"));
    for folder in [&data, &keys] {
        fs::create_dir_all(folder.parent().unwrap()).unwrap();
    }
    let setting = "server.data_dir, environment variable IDP__SERVER__DATA_DIR";
    let who = format!("with mode 0755, and idp runs as uid {user}; as root, run");
    let parent = |folder: &Path| folder.parent().unwrap().display().to_string();
    let (shown, up) = (data.display(), parent(&data));
    let made = format!(
        "the folder {shown} ({setting}) cannot be made: the folder {up} belongs to root:root {who} \
         `install -d -o {user} -m 700 {shown}`"
    );
    let written = format!(
        "the folder {shown} ({setting}) cannot be written: it belongs to root:root {who} `chown {user} {shown}`"
    );
    assert_eq!(container.refusal(), made);
    fix(&made);
    // Like a new volume.
    chown(&data, Some(0), Some(0)).unwrap();
    set(&data, 0o755);
    assert_eq!(container.refusal(), written);
    fix(&written);
    // A key must be created.
    let (shown, up) = (keys.display(), parent(&keys));
    let begin = format!("there is no key-encryption key in {shown} (keys.dir), and none can be made there: ");
    let refusal = container.refusal();
    let made = format!(
        "{begin}the folder {up} belongs to root:root {who} `install -d -o {user} -m 700 {shown}`; or put "
    );
    assert!(refusal.starts_with(&made), "{refusal}");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "and no database is made before");
    fs::create_dir(&keys).unwrap();
    let refusal = container.refusal();
    let written = format!(
        "{begin}it belongs to root:root {who} `chown {user} {shown}`; or put one there, made with `head "
    );
    assert!(refusal.starts_with(&written), "{refusal}");
    chown(&keys, Some(user), None).unwrap();
    container.warnings();
    container.served();
    // Root has used the database.
    let database = data.join("idp.db");
    chown(&database, Some(0), Some(0)).unwrap();
    let shown = database.display();
    let expected = format!(
        "the database {shown} ({setting}) cannot be used: it belongs to root:root with mode 0600, and idp runs as uid \
         {user}; as root, run `chown {user} {shown}*`"
    );
    assert_eq!(container.refusal(), expected);
    for command in ["user list", "db migrate", "db status"] {
        assert_eq!(container.sandbox.answer(&mut container.command(command), "").refusal(), expected);
    }
    fix(&expected);
    container.warnings();
}

#[test]
fn fault_22_the_cure_for_a_database_is_one_that_its_reader_can_carry_out() {
    let container = Container::new(docker());
    let Some(user) = container.user else { return eprintln!("not root: all files are ours") };
    container.docker_secret("/run/secrets/smtp_url", SMTP_URL);
    container.volume("/etc/idp/keys");
    let data = container.volume("/var/lib/idp");
    container.served();
    let database = data.join("idp.db");
    let shown = database.display();
    let setting = "server.data_dir, environment variable IDP__SERVER__DATA_DIR";
    let refused = |expected: &str| {
        assert_eq!(container.refusal(), expected);
        for command in ["user list", "db migrate", "db status"] {
            assert_eq!(container.sandbox.answer(&mut container.command(command), "").refusal(), expected);
        }
    };
    set(&database, 0o644);
    for (owner, name, cure) in [
        (
            20_000,
            "20000",
            format!("run idp as its owner, uid 20000, who can keep them out with `chmod 600 {shown}*`"),
        ),
        (0, "root", format!("as root, run `chown {user} {shown}* && chmod 600 {shown}*`")),
    ] {
        chown(&database, Some(owner), Some(0)).unwrap();
        refused(&format!(
            "others can read the database {shown} ({setting}; owner {name}, group root, mode 0644); {cure}"
        ));
    }
    fix(&container.refusal());
    container.warnings();
    // The folder keeps us out: to let us through it would not let us write.
    set(&data, 0o700);
    chown(&data, Some(0), Some(0)).unwrap();
    refused(&format!(
        "the folder {} ({setting}) cannot be written: it belongs to root:root with mode 0700, and idp runs as uid {user}; \
         as root, run `chown {user} {}`",
        data.display(),
        data.display()
    ));
    fix(&container.refusal());
    container.warnings();
}

#[test]
fn fault_22_folders_of_the_system_are_left_as_they_are() {
    let container = Container::new(docker());
    let Some(user) = container.user else { return eprintln!("not root: all files are ours") };
    container.docker_secret("/run/secrets/smtp_url", SMTP_URL);
    container.volume("/etc/idp/keys");
    let data = container.volume("/var/lib/idp");
    let own = format!("use a folder that only the user {user} can write");
    let run = |args: &str| container.sandbox.answer(&mut container.command(args), "").refusal();
    for setting in
        ["keys.dir=/tmp", "keys.dir=/usr/share", "keys.dir=/", "database.url=sqlite:/usr/share/idp.db"]
    {
        let refusal = run(&format!("config check --set {setting}"));
        assert!(refusal.contains(&own), "{refusal}");
        assert!(!refusal.contains("chmod") && !refusal.contains("chown"), "{refusal}");
    }
    // A folder of root's that is not for us alone.
    chown(&data, Some(0), Some(0)).unwrap();
    fs::write(data.join("notes"), "").unwrap();
    let refusal = container.refusal();
    assert!(refusal.ends_with(&own), "{refusal}");
    fs::remove_file(data.join("notes")).unwrap();
    // To root, the folder of a service is not root's to take.
    chown(&data, Some(user), Some(user)).unwrap();
    let mut as_root = container.command("config check");
    std::os::unix::process::CommandExt::uid(&mut as_root, 0);
    let refusal = container.sandbox.answer(&mut as_root, "").refusal();
    assert!(refusal.ends_with("; idp runs as root); run idp as its owner"), "{refusal}");
}
