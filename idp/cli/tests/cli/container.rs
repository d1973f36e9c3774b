//! A container with mounted files, as in the documentation's examples for Docker and Kubernetes.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::Sandbox;

pub(crate) const HANDBOOK: &str = include_str!("../../../../docs/configuration.md");
/// The user in those examples.
const CONTAINER: u32 = 65532;
pub(crate) const SMTP_URL: &str = "smtps://idp:hunter2@mail.example.com";

pub(crate) fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A sandbox whose folder is the container's file system; paths in variables lead there. If the tests run as root, the
/// program runs as the container's user and root owns mounted files. Otherwise the tester is both: mounted files must
/// be private then, and there are no warnings.
pub(crate) struct Container {
    pub(crate) sandbox: Sandbox,
    env: Vec<(String, String)>,
    pub(crate) user: Option<u32>,
}

impl Container {
    pub(crate) fn new(env: Vec<(String, String)>) -> Self {
        let sandbox = Sandbox::empty();
        set(sandbox.path(), 0o755);
        let user = match sandbox.path().metadata().unwrap().uid() {
            0 => Some(CONTAINER),
            _ => {
                eprintln!("not root: mounted files are our own here");
                None
            }
        };
        // Put the program where another user can reach it. `cp` copies it, not this process: a file that we hold open
        // for writing while another test forks cannot be executed.
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

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.sandbox.path().join(path.trim_start_matches('/'))
    }

    /// A folder that the container's user owns.
    pub(crate) fn volume(&self, path: &str) -> PathBuf {
        let folder = self.at(path);
        fs::create_dir_all(&folder).unwrap();
        let owner = self.user.or_else(|| (folder.metadata().unwrap().uid() == CONTAINER).then_some(0));
        chown(&folder, owner, owner).unwrap();
        folder
    }

    /// A secret as Docker mounts it.
    pub(crate) fn docker_secret(&self, path: &str, text: &str) -> PathBuf {
        let file = self.at(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        set(&file, if self.user.is_some() { 0o444 } else { 0o400 });
        file
    }

    /// A secret as Kubernetes mounts it, with `defaultMode: 0440` and an fsGroup.
    pub(crate) fn kubernetes_secret(&self, path: &str, files: &[(&str, &str)]) {
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

    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new(self.at("idp"));
        command.arg0("idp").args(args.split_whitespace()).current_dir(self.sandbox.path()).env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// The warnings of `config check`, which must succeed.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let answer = self.sandbox.answer(&mut self.command("config check"), "");
        assert_eq!(answer.code, Some(0), "{}", answer.err);
        assert!(answer.out.ends_with("The configuration is valid.\n") && !answer.out.contains("hunter2"));
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

    /// The one error line of `serve` and `config check`.
    pub(crate) fn refusal(&self) -> String {
        let refusal = self.sandbox.answer(&mut self.command("config check"), "").refusal();
        let mut serve = self.command("serve --set server.listen=127.0.0.1:0 --set log.level=error");
        assert_eq!(self.sandbox.answer(&mut serve, "").refusal(), refusal);
        assert!(!refusal.contains("hunter2"), "{refusal}");
        refusal
    }

    /// Runs the server once; its warnings.
    pub(crate) fn served(&self) -> Vec<String> {
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

/// The code block of a document that begins with these lines.
pub(crate) fn block<'a>(document: &'a str, first: &str) -> &'a str {
    let (_, rest) = document.split_once(first).unwrap();
    rest.split("```").next().unwrap()
}

/// The variables in the documentation's compose file.
pub(crate) fn docker() -> Vec<(String, String)> {
    let lines =
        block(HANDBOOK, "```yaml\n# compose.yaml\n").lines().filter_map(|line| line.trim().split_once(": "));
    let variables = lines.filter(|(name, _)| name.starts_with("IDP__"));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The variables in the documentation's pod.
pub(crate) fn kubernetes() -> Vec<(String, String)> {
    let lines = block(HANDBOOK, "```yaml\n# part of a pod\n").lines();
    let variables = lines.filter_map(|line| line.trim().strip_prefix("- { name: ")?.split_once(", value: "));
    let text = |value: &str| value.trim_end_matches(" }").trim_matches('"').to_owned();
    variables.map(|(name, value)| (name.to_owned(), text(value))).collect()
}

/// Runs the command that an error suggests, as root.
pub(crate) fn fix(refusal: &str) {
    let command = refusal.rsplit_once("run `").unwrap().1.split_once('`').unwrap().0;
    let done = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(done.status.success(), "{command}: {done:?}");
}
