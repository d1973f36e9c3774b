//! A throw-away PostgreSQL cluster with its own folder and port, removed when it is no longer used.

use crate::{apt, tools};
use anyhow::{Context, bail};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

/// The variable that tells the tests the cluster's URL.
pub(crate) const URL_VARIABLE: &str = "IDP_TEST_POSTGRES_URL";

const KEEPER: &str = include_str!("keep-postgres.sh");

/// `cargo xtask postgres`: starts a cluster, prints how to reach it, and keeps it running until end of input.
///
/// Ctrl-C and SIGTERM need no handler: they end this process, and the cluster's keeper notices.
pub(crate) fn run(_arguments: &[String]) -> anyhow::Result<ExitCode> {
    if binaries().is_none() {
        apt::install(&[apt::POSTGRESQL])?;
    }
    let cluster = Cluster::start()?;
    println!("{}", cluster.url());
    println!("export {URL_VARIABLE}={}", cluster.url());
    println!("(runs until Ctrl-C or end of input)");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(ExitCode::SUCCESS)
}

/// A running cluster. It is stopped and its folder removed when this value is dropped or this process ends, however it
/// ends: a separate process, the keeper, cleans up when the pipe to it closes.
pub(crate) struct Cluster {
    port: u16,
    keeper: Child,
    lifeline: Option<ChildStdin>,
}

impl Cluster {
    /// Creates and starts a cluster. Returns once it accepts connections.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let binaries = binaries().context("the PostgreSQL server is not installed")?;
        let port = free_port()?;
        let mut keeper =
            keeper_command(&binaries, port).spawn().context("cannot start the keeper of PostgreSQL")?;
        let lifeline = keeper.stdin.take();
        let stdout = keeper.stdout.take();
        let cluster = Self { port, keeper, lifeline };

        let mut first_line = String::new();
        BufReader::new(stdout.context("the keeper has no output")?).read_line(&mut first_line)?;
        if first_line.trim_end() != "ready" {
            bail!("PostgreSQL did not start; its output is above");
        }
        Ok(cluster)
    }

    /// The cluster's URL, for its superuser.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        if let Err(error) = self.keeper.wait() {
            eprintln!("lost the keeper of PostgreSQL: {error}");
        }
    }
}

/// The shell that runs the keeper. PostgreSQL refuses to run as root, so if we are root it runs as user `postgres`.
fn keeper_command(binaries: &Path, port: u16) -> Command {
    let mut command = if tools::is_root() {
        let mut runuser = Command::new("runuser");
        runuser.args(["--user", "postgres", "--", "sh"]);
        runuser
    } else {
        Command::new("sh")
    };
    command.args(["-c", KEEPER, "keep-postgres"]).arg(binaries).arg(port.to_string());
    // A process group of its own, so that Ctrl-C ends us but not the keeper, which has to clean up.
    command.process_group(0).current_dir("/").env("LC_ALL", "C");
    for (name, _) in std::env::vars_os() {
        // PGDATA, PGPORT and so on belong to some other cluster.
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// A port that is free at this moment.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The folder with the PostgreSQL server's programs: Debian's newest version, or the one on `PATH`.
pub(crate) fn binaries() -> Option<PathBuf> {
    let on_path = tools::find_on_path("initdb").and_then(|file| file.canonicalize().ok());
    let candidates =
        debian_folders().into_iter().chain(on_path.and_then(|file| file.parent().map(Path::to_path_buf)));
    candidates.into_iter().find(|folder| {
        let needed = ["initdb", "pg_ctl", "postgres"];
        needed.iter().all(|program| folder.join(program).is_file())
    })
}

/// The `bin` folders under `/usr/lib/postgresql`, newest version first.
fn debian_folders() -> Vec<PathBuf> {
    let home = Path::new("/usr/lib/postgresql");
    let entries = std::fs::read_dir(home).into_iter().flatten().flatten();
    let mut versions: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|version| home.join(version.to_string()).join("bin")).collect()
}
