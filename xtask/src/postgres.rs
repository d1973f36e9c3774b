//! A throwaway PostgreSQL cluster: its own folder, its own port, gone when nobody holds it any more.

use crate::{apt, tools};
use anyhow::{Context, bail};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

/// The variable by which the tests find the cluster.
pub(crate) const URL_VARIABLE: &str = "IDP_TEST_POSTGRES_URL";

const KEEPER: &str = include_str!("keep-postgres.sh");

/// `cargo xtask postgres`: starts a cluster, says how to reach it, and keeps it until the end of input.
///
/// Ctrl-C and SIGTERM need no handler: they end this process, and that is what the cluster's keeper waits for.
pub(crate) fn run(_arguments: &[String]) -> anyhow::Result<ExitCode> {
    if binaries().is_none() {
        apt::install(&[apt::POSTGRESQL])?;
    }
    let cluster = Cluster::start()?;
    println!("{}", cluster.url());
    println!("export {URL_VARIABLE}={}", cluster.url());
    println!("(runs until Ctrl-C or the end of input)");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(ExitCode::SUCCESS)
}

/// A running cluster. It is stopped and its folder removed when this value is dropped or this process ends, in
/// whatever way: a separate process keeps it, and cleans up when the pipe to it closes.
pub(crate) struct Cluster {
    port: u16,
    keeper: Child,
    lifeline: Option<ChildStdin>,
}

impl Cluster {
    /// Creates and starts a cluster, and returns when it accepts connections.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let binaries = binaries().context("the PostgreSQL server is not installed")?;
        let port = free_port()?;
        let mut keeper =
            keeper_command(&binaries, port).spawn().context("cannot start the keeper of PostgreSQL")?;
        let lifeline = keeper.stdin.take();
        let stdout = keeper.stdout.take();
        let cluster = Self { port, keeper, lifeline };

        let mut said = String::new();
        BufReader::new(stdout.context("the keeper has no output")?).read_line(&mut said)?;
        if said.trim_end() != "ready" {
            bail!("PostgreSQL did not start; what it said stands above");
        }
        Ok(cluster)
    }

    /// Where the cluster answers, as its superuser.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        if let Err(error) = self.keeper.wait() {
            eprintln!("the keeper of PostgreSQL was lost: {error}");
        }
    }
}

/// The shell that keeps the cluster; as user `postgres` when we are root, which the server refuses to run as.
fn keeper_command(binaries: &Path, port: u16) -> Command {
    let mut command = if tools::is_root() {
        let mut runuser = Command::new("runuser");
        runuser.args(["--user", "postgres", "--", "sh"]);
        runuser
    } else {
        Command::new("sh")
    };
    command.args(["-c", KEEPER, "keep-postgres"]).arg(binaries).arg(port.to_string());
    // A process group of its own, so that Ctrl-C ends us and not the one that has to clean up after us.
    command.process_group(0).current_dir("/").env("LC_ALL", "C");
    for (name, _) in std::env::vars_os() {
        // PGDATA, PGPORT and the like are about some other cluster.
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// A port nobody listens on at this moment.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The folder of the PostgreSQL server's programs: the newest that Debian installed, or the one `PATH` leads to.
pub(crate) fn binaries() -> Option<PathBuf> {
    let on_path = tools::find_on_path("initdb").and_then(|file| file.canonicalize().ok());
    let candidates =
        debian_folders().into_iter().chain(on_path.and_then(|file| file.parent().map(Path::to_path_buf)));
    candidates.into_iter().find(|folder| {
        let needed = ["initdb", "pg_ctl", "postgres"];
        needed.iter().all(|program| folder.join(program).is_file())
    })
}

/// The `bin` folders below `/usr/lib/postgresql`, newest version first.
fn debian_folders() -> Vec<PathBuf> {
    let home = Path::new("/usr/lib/postgresql");
    let entries = std::fs::read_dir(home).into_iter().flatten().flatten();
    let mut versions: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|version| home.join(version.to_string()).join("bin")).collect()
}
