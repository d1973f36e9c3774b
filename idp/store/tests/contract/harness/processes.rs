//! Child processes running this test program: `spawn` starts one in a given role and talks to it in lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

/// The environment variables for the child's role and the database's URL.
const PART: &str = "IDP_CONTRACT_PART";
const URL: &str = "IDP_CONTRACT_URL";
/// The name of the test below.
const ENTRY: &str = "harness::processes::a_child_process_plays_its_part";

/// The roles of a child process. It exits when the role is finished.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Joins the race its parent names.
    Race,
    /// Writes until it is killed.
    Write,
    /// Writes once.
    WriteOnce,
}

const PARTS: [Part; 3] = [Part::Race, Part::Write, Part::WriteOnce];

/// The entry point of every child process. In the test run itself it has no role and does nothing.
#[test]
fn a_child_process_plays_its_part() {
    let (Ok(part), Ok(url)) = (std::env::var(PART), std::env::var(URL)) else { return };
    let part = PARTS.into_iter().find(|known| format!("{known:?}") == part).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!(); // the test program has begun a line
    runtime.block_on(async {
        match part {
            Part::Race => crate::races::two_processes::race(&url).await,
            Part::Write => crate::crash::write_until_killed(&url).await,
            Part::WriteOnce => crate::sync::write_once(&url).await,
        }
    });
}

/// The command that starts this program in a role, `through` another program such as a tracer.
pub(crate) fn command(part: Part, url: &str, through: &[&str]) -> Command {
    let this = std::env::current_exe().unwrap().display().to_string();
    let words = ["--exact", ENTRY, "--nocapture", "--test-threads=1"];
    let mut all = through.iter().copied().chain([this.as_str()]).chain(words);
    let mut command = Command::new(all.next().unwrap());
    command.args(all).env(PART, format!("{part:?}")).env(URL, url);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// A running child process. It is killed when this value is dropped.
pub(crate) struct Process {
    child: Child,
    orders: ChildStdin,
    says: Option<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn spawn(part: Part, url: &str) -> Self {
        let mut child = command(part, url, &[]).spawn().unwrap();
        let (orders, says) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, orders, says: Some(says) }
    }

    /// Sends it one line.
    pub(crate) fn order(&mut self, line: &str) {
        writeln!(self.orders, "{line}").unwrap();
    }

    /// Waits for its next line that begins with `word` and returns the rest.
    pub(crate) fn hear(&mut self, word: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.says.as_mut().unwrap().read_line(&mut line).unwrap();
            assert_ne!(read, 0, "the child process ended before `{word}`");
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Collects everything it prints from now on until it exits.
    pub(crate) fn listen(&mut self) -> JoinHandle<String> {
        let mut says = self.says.take().unwrap();
        std::thread::spawn(move || {
            let mut all = String::new();
            says.read_to_string(&mut all).unwrap();
            all
        })
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
