//! An empty folder to run the built program in.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use idp_core::audit::AuditEvent;
use idp_store::Store;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Sandbox {
    dir: TempDir,
}

/// The result of a command.
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    /// Standard output of a command that must succeed without warnings.
    pub(crate) fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// The same, parsed as JSON.
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.good()).unwrap()
    }

    /// The error of a command that must fail with `-o json`.
    pub(crate) fn json_refusal(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""), "{}", self.err);
        let error: Value = serde_json::from_str(&self.err).unwrap();
        error["error"].as_str().unwrap().to_owned()
    }

    /// The one error line of a command that must fail.
    pub(crate) fn refusal(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""), "{}", self.err);
        assert!(self.err.starts_with("error: ") && self.err.lines().count() == 1, "{}", self.err);
        self.err.trim_end().trim_start_matches("error: ").to_owned()
    }
}

impl Sandbox {
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// With a database in `data`.
    pub(crate) fn new() -> Self {
        let sandbox = Self::empty();
        sandbox.idp("db migrate").good();
        sandbox
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn file(&self, name: &str, text: &str) {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(self.path().join(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// The program with these arguments, separated by spaces, in this folder and with an empty environment.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_idp"));
        command.arg0("idp").args(args.split_whitespace()).current_dir(self.path()).env_clear();
        command
    }

    pub(crate) fn idp(&self, args: &str) -> Answer {
        self.pipe(args, "")
    }

    /// Runs it with this standard input.
    pub(crate) fn pipe(&self, args: &str, stdin: &str) -> Answer {
        self.answer(&mut self.command(args), stdin)
    }

    pub(crate) fn answer(&self, command: &mut Command, stdin: &str) -> Answer {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads nothing may have exited already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        Answer {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The number of audit rows for an event.
    pub(crate) fn audited(&self, event: AuditEvent) -> i64 {
        self.with_store(|store| async move {
            store.read(event, |reader, event| Box::pin(reader.audit_count(*event, None))).await.unwrap()
        })
    }

    /// Opens the database in `data` directly.
    pub(crate) fn with_store<T, F: Future<Output = T>>(&self, work: impl FnOnce(Store) -> F) -> T {
        let url = format!("sqlite:{}", self.path().join("data/idp.db").display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(&url, 1).await.unwrap();
            let outcome = work(store.clone()).await;
            store.close().await;
            outcome
        })
    }

    /// Starts the program and waits for a line of standard output that contains `ready`.
    pub(crate) fn start(&self, command: &mut Command, ready: &str) -> Running {
        self.start_as(command.stderr(Stdio::null()), ready)
    }

    /// The same, but keeps the log for `stop_logged`.
    pub(crate) fn start_logged(&self, command: &mut Command, ready: &str) -> Running {
        self.start_as(command.stderr(Stdio::piped()), ready)
    }

    /// The same, for what a machine may refuse by ending with code 77, or `unshare` with 1: then `None`.
    pub(crate) fn try_start(&self, command: &mut Command, ready: &str) -> Option<Running> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains(ready) {
            if out.read_line(&mut said).unwrap() == 0 {
                let output = child.wait_with_output().unwrap();
                let errors = String::from_utf8(output.stderr).unwrap();
                let denied = output.status.code() == Some(77) || errors.starts_with("unshare:");
                assert!(denied, "it ended, saying: {said}{errors}");
                return None;
            }
        }
        Some(Running { child, out, said })
    }

    fn start_as(&self, command: &mut Command, ready: &str) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains(ready) {
            assert!(out.read_line(&mut said).unwrap() > 0, "it ended, saying: {said}");
        }
        Running { child, out, said }
    }
}

/// A running server; killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    /// What it printed until it was ready.
    pub(crate) said: String,
}

impl Running {
    /// The process ID.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The rest of the first line that contains `name`.
    pub(crate) fn line(&self, name: &str) -> &str {
        let line = self
            .said
            .lines()
            .find_map(|line| line.split_once(name))
            .unwrap_or_else(|| panic!("{}", self.said));
        line.1.trim()
    }

    /// Requests a page; returns the status line.
    pub(crate) fn get(&self, url: &str) -> String {
        self.page(url).lines().next().unwrap().to_owned()
    }

    /// Requests a page over a plain socket; returns the whole response.
    pub(crate) fn page(&self, url: &str) -> String {
        let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
        let mut socket = std::net::TcpStream::connect(host).unwrap();
        write!(socket, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut socket, &mut answer).unwrap();
        answer
    }

    /// Sends a signal and waits; returns the exit code and the log, which must fit into the pipe.
    pub(crate) fn stop_logged(mut self, signal: &str) -> (Option<i32>, String) {
        let mut log = self.child.stderr.take().unwrap();
        let (code, _) = self.stop(signal);
        let mut lines = String::new();
        std::io::Read::read_to_string(&mut log, &mut lines).unwrap();
        (code, lines)
    }

    /// Sends a signal and waits; returns the exit code and the rest of the output.
    pub(crate) fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let code = self.child.wait().unwrap().code();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.out, &mut rest).unwrap();
        (code, rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
