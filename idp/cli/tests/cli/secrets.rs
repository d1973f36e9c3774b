//! Files with secrets as people, Docker and Kubernetes make them; the examples of the documents are run.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::Sandbox;

const HANDBOOK: &str = include_str!("../../../../docs/configuration.md");
const README: &str = include_str!("../../../../README.md");
/// The user of the documents' containers.
const CONTAINER: u32 = 65532;
const SMTP_URL: &str = "smtps://idp:hunter2@mail.example.com";

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A container: a sandbox with a file system of its own below `root`, and variables that lead there. Where the tests run as
/// root, the program runs as the container's user and mounted files are root's. Elsewhere both are whoever tests: mounted
/// files must be private then, and no warning comes.
struct Container {
    sandbox: Sandbox,
    env: Vec<(String, String)>,
    user: Option<u32>,
}

impl Container {
    fn new(env: Vec<(String, String)>) -> Self {
        let sandbox = Sandbox::empty();
        set(sandbox.path(), 0o755);
        let user = match sandbox.path().metadata().unwrap().uid() {
            0 => Some(CONTAINER),
            _ => {
                eprintln!("not root: mounted files are our own here");
                None
            }
        };
        // The program where another user reaches it. By a program of its own: a file that this process has open for
        // writing while another test starts a program cannot be run.
        let (built, program) = (env!("CARGO_BIN_EXE_idp"), sandbox.path().join("idp"));
        if fs::hard_link(built, &program).is_err() {
            assert!(Command::new("cp").arg(built).arg(&program).status().unwrap().success());
        }
        let env = env.into_iter().map(|(name, value)| match value.strip_prefix('/') {
            Some(path) => (name, sandbox.path().join(path).display().to_string()),
            None => (name, value),
        });
        let env = env.collect();
        Self { sandbox, env, user }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.sandbox.path().join(path.trim_start_matches('/'))
    }

    /// A folder of the container's user.
    fn volume(&self, path: &str) -> PathBuf {
        let folder = self.at(path);
        fs::create_dir_all(&folder).unwrap();
        let owner = self.user.or_else(|| (folder.metadata().unwrap().uid() == CONTAINER).then_some(0));
        chown(&folder, owner, owner).unwrap();
        folder
    }

    /// A secret as Docker mounts it.
    fn docker_secret(&self, path: &str, text: &str) -> PathBuf {
        let file = self.at(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        set(&file, if self.user.is_some() { 0o444 } else { 0o400 });
        file
    }

    /// A secret as Kubernetes mounts it, with `defaultMode: 0440` and an fsGroup.
    fn kubernetes_secret(&self, path: &str, files: &[(&str, &str)]) {
        let volume = self.at(path);
        fs::create_dir_all(&volume).unwrap();
        let folder = volume.join("..2026_11_30_10_00_00.1234567890");
        fs::create_dir(&folder).unwrap();
        symlink(folder.file_name().unwrap(), volume.join("..data")).unwrap();
        for (name, text) in files {
            let file = folder.join(name);
            fs::write(&file, text).unwrap();
            chown(&file, None, self.user).unwrap();
            set(&file, if self.user.is_some() { 0o440 } else { 0o400 });
            symlink(Path::new("..data").join(name), volume.join(name)).unwrap();
        }
        chown(&folder, None, self.user).unwrap();
        set(&folder, 0o2755);
        chown(&volume, None, self.user).unwrap();
        set(&volume, if self.user.is_some() { 0o3777 } else { 0o755 });
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(self.at("idp"));
        command.arg0("idp").args(args.split_whitespace()).current_dir(self.sandbox.path()).env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// What `config check` warns of, having found nothing wrong.
    fn warnings(&self) -> Vec<String> {
        let answer = self.sandbox.answer(&mut self.command("config check"), "");
        assert_eq!(answer.code, Some(0), "{}", answer.err);
        assert!(answer.out.ends_with("The configuration is good.\n") && !answer.out.contains("hunter2"));
        let json = self.sandbox.answer(&mut self.command("config check -o json"), "");
        let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        let lines: Vec<String> = answer.err.lines().map(str::to_owned).collect();
        let listed = json["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| format!("warning: {}", line.as_str().unwrap()));
        assert_eq!(listed.collect::<Vec<_>>(), lines);
        lines.iter().map(|line| line.strip_prefix("warning: ").unwrap().to_owned()).collect()
    }

    /// The one line with which `serve` and `config check` refuse.
    fn refusal(&self) -> String {
        let refusal = self.sandbox.answer(&mut self.command("config check"), "").refusal();
        let mut serve = self.command("serve --set server.listen=127.0.0.1:0 --set log.level=error");
        assert_eq!(self.sandbox.answer(&mut serve, "").refusal(), refusal);
        assert!(!refusal.contains("hunter2"), "{refusal}");
        refusal
    }

    /// Runs the server once; what it warns of.
    fn served(&self) -> Vec<String> {
        let mut command = self.command("serve --set server.listen=127.0.0.1:0 --set log.format=json");
        let (code, log) = self.sandbox.start_logged(&mut command, "listening on").stop_logged("TERM");
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains("hunter2"));
        let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines
            .filter(|line| line["level"] == "WARN")
            .map(|line| line["message"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// The block of a document that begins with this line.
fn block<'a>(document: &'a str, first: &str) -> &'a str {
    let (_, rest) = document.split_once(first).unwrap();
    rest.split("```").next().unwrap()
}

/// The variables of the handbook's compose file.
fn docker() -> Vec<(String, String)> {
    let lines =
        block(HANDBOOK, "```yaml\n# compose.yaml\n").lines().filter_map(|line| line.trim().split_once(": "));
    let variables = lines.filter(|(name, _)| name.starts_with("IDP__"));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The variables of the handbook's pod.
fn kubernetes() -> Vec<(String, String)> {
    let lines = block(HANDBOOK, "```yaml\n# part of a pod\n").lines();
    let variables = lines.filter_map(|line| line.trim().strip_prefix("- { name: ")?.split_once(", value: "));
    let text = |value: &str| value.trim_end_matches(" }").trim_matches('"').to_owned();
    variables.map(|(name, value)| (name.to_owned(), text(value))).collect()
}

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
                 root, mode 0444); it is taken, since root alone can write it",
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
    // The key as the document makes it.
    let make = block(HANDBOOK, "```\nhead -c 32").split_once('>').unwrap().0;
    let made = Command::new("sh").args(["-c", &format!("head -c 32{make}")]).output().unwrap();
    container
        .kubernetes_secret("/etc/idp/keys", &[("kek-1.kek", std::str::from_utf8(&made.stdout).unwrap())]);
    let warnings = container.warnings();
    assert_eq!(warnings.len(), if container.user.is_some() { 2 } else { 0 }, "{warnings:?}");
    if container.user.is_some() {
        let mode = "(owner root, group 65532, mode 0440); it is taken, since root alone can write it";
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
            refusal.contains("(owner root, group root, mode 0666); let root run `chmod go-w /"),
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
    assert!(refusal.starts_with(&begin("exchange")), "{refusal}");
    let named = format!("they can write the folder {} (owner ", folder.display());
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
                refusal.starts_with(&format!("everybody can write the folder {shown} ({setting}owner ")),
                "{refusal}"
            );
            assert!(
                refusal.ends_with(&format!("mode {mode:04o}); run `chmod o-w {shown}`, or name another one")),
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

/// Has root run the command that a refusal names.
fn cure(refusal: &str) {
    let command = refusal.rsplit_once("run `").unwrap().1.split_once('`').unwrap().0;
    let done = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(done.status.success(), "{command}: {done:?}");
}

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
                     let root run `chown {user} {path} && chmod 400 {path}`"
                )
            );
            cure(&refusal);
            container.warnings();
        }
        // The folder that denies it.
        let folder = file.parent().unwrap();
        set(folder, 0o700);
        let refusal = container.refusal();
        let whose =
            format!(" belongs to root:root with mode 0700, and idp runs as uid {user}; let root run `ch");
        let named = refusal.contains(&folder.display().to_string());
        assert!(named && refusal.contains(&whose), "{refusal}");
        cure(&refusal);
        container.warnings();
    }
    // Ours, but not readable even to us.
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
    let who = format!("with mode 0755, and idp runs as uid {user}; let root run");
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
    cure(&made);
    // As a new volume is.
    chown(&data, Some(0), Some(0)).unwrap();
    set(&data, 0o755);
    assert_eq!(container.refusal(), written);
    cure(&written);
    // A key must be made.
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
    // Root worked with the database.
    let database = data.join("idp.db");
    chown(&database, Some(0), Some(0)).unwrap();
    let shown = database.display();
    let expected = format!(
        "the database {shown} ({setting}) cannot be used: it belongs to root:root with mode 0600, and idp runs as uid \
         {user}; let root run `chown {user} {shown}*`"
    );
    assert_eq!(container.refusal(), expected);
    for command in ["user list", "db migrate", "db status"] {
        assert_eq!(container.sandbox.answer(&mut container.command(command), "").refusal(), expected);
    }
    cure(&expected);
    container.warnings();
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
                "others can exchange the folder {shown} ({setting}), for they can write the folder {at} (owner "
            );
            assert!(refusal.starts_with(&begin), "{refusal}");
            assert!(
                refusal.ends_with(&format!("mode 0777); keep them out with `chmod go-w {at}`")),
                "{refusal}"
            );
            assert_eq!((data.exists(), keys.exists()), (exist, exist), "nothing is made");
            // In a sticky one, nobody else can exchange what is root's or ours.
            set(open, 0o1777);
            container.warnings();
            set(open, 0o755);
        }
    }
    for folder in [data, keys] {
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    }
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
    // The database is away; what was said before is what counts here.
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
            group root, mode 0664); let root run `chmod go-w`, or use IDP__MAIL__SMTP_URL_FILE";
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
    // Where the tests run as root the folder of the secret is not ours to change, and neither is the sandbox's.
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

#[test]
fn the_documents_production_examples_run() {
    for (document, name) in [(HANDBOOK, "docs/configuration.md"), (README, "README.md")] {
        let sandbox = Sandbox::empty();
        let example = block(document, "```toml\n");
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
