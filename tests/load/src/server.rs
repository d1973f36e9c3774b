//! The server under load: a child process on its own core, with a generated configuration. It is stopped by SIGTERM
//! and its folder removed.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use crate::arguments::ServerArguments;
use crate::database::Database;
use crate::environment;
use crate::http::{Connection, Target, get};
use crate::loopback::LoopbackAddress;

/// How long the server may take to become ready or to stop.
const START_STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// The highest limit of requests per minute and address that the server's settings allow.
const UNLIMITED: u32 = 1_000_000;

/// What a server runs from: binary, configuration, folder, database.
pub(crate) struct Installation {
    idp: CommandLine,
    target: Target,
    folder: TempDir,
    database: Option<Database>,
}

/// The server's command line, with its configuration.
pub(crate) struct CommandLine {
    binary: PathBuf,
    config: PathBuf,
}

impl Installation {
    /// Creates a throw-away folder with a configuration, and a migrated database.
    pub(crate) async fn prepare(arguments: &ServerArguments) -> anyhow::Result<Self> {
        let binary = match &arguments.debug_binary {
            Some(path) => {
                path.canonicalize().with_context(|| format!("{} does not exist", path.display()))?
            }
            None => environment::release_binary()?,
        };
        let folder = environment::temporary_folder()?;
        let database = match &arguments.postgres {
            Some(server) => Some(Database::create(server).await?),
            None => None,
        };
        let target = Target::new(free_address()?);
        let config = folder.path().join("idp.toml");
        let scheduling = arguments.scheduling.as_deref();
        let text = configuration(&target, folder.path(), database.as_ref(), scheduling);
        private(&config)?.write_all(text.as_bytes())?;
        let installation = Self { idp: CommandLine { binary, config }, target, folder, database };
        installation.idp.run(&["db", "migrate"], "")?;
        Ok(installation)
    }

    /// The server's command line.
    pub(crate) fn command_line(&self) -> &CommandLine {
        &self.idp
    }

    /// The folder, on the disk to be measured.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server and waits until it is ready.
    pub(crate) async fn start(&self) -> anyhow::Result<Server> {
        let log = self.folder.path().join("server.log");
        let started = Instant::now();
        let mut command = environment::on_server_core(&self.idp.binary);
        command.args(["serve", "--config"]).arg(&self.idp.config);
        let child =
            without_settings(&mut command).stdin(Stdio::null()).stdout(private(&log)?).stderr(private(&log)?);
        let child = child.spawn().context("cannot start the server")?;
        let mut server = Server { child: KillOnDrop(child), ready: Duration::ZERO };
        if let Err(error) = server.wait_until_ready(&self.target, started).await {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            bail!(
                "{error:#}; its log ends with:\n{}",
                log.lines().rev().take(5).collect::<Vec<_>>().join("\n")
            );
        }
        Ok(server)
    }

    /// The server's address.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Removes the database, which `Drop` cannot do.
    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        match self.database {
            Some(database) => database.drop().await,
            None => Ok(()),
        }
    }
}

impl CommandLine {
    /// The program.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Runs a command of an operator, with `input` on standard input.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> anyhow::Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(arguments).arg("--config").arg(&self.config);
        let streams =
            without_settings(&mut command).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = streams.spawn().with_context(|| format!("cannot run {}", self.binary.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // This fails if the command does not read it and has already ended.
            let _ = writeln!(stdin, "{input}");
        }
        let output = child.wait_with_output()?;
        let verbs = arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        ensure!(output.status.success(), "idp {verbs}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }
}

/// Removes settings from the environment, which would override the file.
fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("IDP__") {
            command.env_remove(name);
        }
    }
    command
}

/// An address with a port that is free now. Nothing else is expected to take it within the next second.
fn free_address() -> anyhow::Result<LoopbackAddress> {
    let listener = TcpListener::bind("127.0.0.1:0").context("there is no free port on loopback")?;
    LoopbackAddress::new(listener.local_addr()?)
}

fn private(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).mode(0o600).open(path);
    opened.with_context(|| format!("cannot write {}", path.display()))
}

/// The defaults of production, except for the limits per client address, because all load comes from one. Where it must
/// appear to come from many, the requests say so as a proxy would.
fn configuration(
    target: &Target,
    folder: &Path,
    database: Option<&Database>,
    scheduling: Option<&str>,
) -> String {
    let authority = &target.authority;
    let quoted = |path: PathBuf| toml_string(&path.to_string_lossy());
    let (data, keys) = (quoted(folder.join("data")), quoted(folder.join("keys")));
    let database =
        database.map(|it| format!("[database]\nurl = {}\n", toml_string(it.url()))).unwrap_or_default();
    let password = scheduling
        .map(|word| format!("[password]\nscheduling = {}\n", toml_string(word)))
        .unwrap_or_default();
    // Registering sends email. Nothing listens on the discard port of this machine, so it stays in the outbox.
    format!(
        "[server]\nissuer = \"http://{authority}\"\nlisten = [\"{authority}\"]\ndata_dir = {data}\n\
         trusted_proxies = \"127.0.0.1\"\n{database}{password}\
         [keys]\ndir = {keys}\n\
         [mail]\nsmtp_url = \"smtp://127.0.0.1:9\"\nfrom = \"Load <load@load.example>\"\n\
         [limits]\npage_per_minute = {UNLIMITED}\nsign_in_per_minute = {UNLIMITED}\n\
         register_per_minute = {UNLIMITED}\nclient_per_minute = {UNLIMITED}\n"
    )
}

/// A TOML basic string. JSON's escapes are valid there, too.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A running server.
pub(crate) struct Server {
    child: KillOnDrop,
    /// From the start of the process to the first 200 of `/readyz`.
    pub(crate) ready: Duration,
}

impl Server {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    async fn wait_until_ready(&mut self, target: &Target, started: Instant) -> anyhow::Result<()> {
        let request = get(target, "/readyz", &[]);
        while started.elapsed() < START_STOP_TIMEOUT {
            if let Some(status) = self.child.0.try_wait()? {
                bail!("the server ended ({status})");
            }
            if is_ready(target, &request).await {
                self.ready = started.elapsed();
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!("the server was not ready after {START_STOP_TIMEOUT:?}")
    }

    /// Stops it as an operator would.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.child.terminate()?;
        let told = Instant::now();
        while told.elapsed() < START_STOP_TIMEOUT {
            if let Some(status) = self.child.0.try_wait()? {
                ensure!(status.success(), "the server ended with {status} after SIGTERM");
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("the server did not stop within {START_STOP_TIMEOUT:?} after SIGTERM")
    }
}

async fn is_ready(target: &Target, request: &[u8]) -> bool {
    let Ok(mut connection) = Connection::open(target).await else { return false };
    connection.send(request).await.is_ok_and(|response| response.status() == 200)
}

/// A child process that is killed when this value is dropped.
pub(crate) struct KillOnDrop(pub(crate) Child);

impl KillOnDrop {
    fn terminate(&self) -> anyhow::Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        kill_process(Pid::from_child(&self.0), Signal::TERM).context("cannot send SIGTERM to the server")
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // Both fail for a child that has already ended, and that is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
