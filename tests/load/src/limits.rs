//! The limits of this machine, measured in the same run: bare servers and loops run as child processes on the server's
//! core.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::bare::Bare;
use crate::drive::{Pace, Schedule, Worker, drive};
use crate::environment;
use crate::http::{Connection, Target, get};
use crate::loopback::LoopbackAddress;
use crate::report::{Figures, summary};
use crate::scenarios::BareRequest;
use crate::server::KillOnDrop;

/// Figures of the bare servers with a given number of connections.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BareServerFigures {
    pub(crate) connections: usize,
    pub(crate) hello: Figures,
    pub(crate) hello_with_headers: Figures,
    pub(crate) form_and_sign: Figures,
}

/// Rates of the bare loops, which have no connections.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct BareLoopFigures {
    /// Argon2id hashes per second on one core.
    pub(crate) hashes: f64,
    /// Synced commits per second, one row each.
    pub(crate) commits: f64,
}

impl BareServerFigures {
    /// Measures the three bare servers. `headers` are those of the server under load.
    pub(crate) async fn measure(
        connections: usize,
        schedule: Schedule,
        headers: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let one = async |bare, input: &str, request| {
            let server = BareServer::start(&bare, input)?;
            let workers = Worker::for_bare_server(&server.target, request, connections).await?;
            let rounds = drive(workers, Pace::Closed, schedule, server.child.0.id()).await?;
            anyhow::Ok(summary(&rounds, schedule))
        };
        let headers = serde_json::to_string(headers)?;
        Ok(Self {
            connections,
            hello: one(Bare::Hello, "", BareRequest::Hello).await?,
            hello_with_headers: one(Bare::Headers, &headers, BareRequest::Hello).await?,
            form_and_sign: one(Bare::Sign, "", BareRequest::Form).await?,
        })
    }
}

impl BareLoopFigures {
    /// Measures both, one after the other. `folder` must be on the disk to be measured.
    pub(crate) fn measure(schedule: Schedule, folder: &Path) -> anyhow::Result<Self> {
        let seconds = schedule.round.as_secs().max(1);
        let hashes = rate(&Bare::Hash { seconds })?;
        let commits = rate(&Bare::Commits { seconds, folder: folder.to_owned() })?;
        Ok(Self { hashes, commits })
    }
}

fn child(bare: &Bare, stdin: Stdio) -> anyhow::Result<Child> {
    let mut command = environment::on_server_core(&std::env::current_exe()?);
    command.arg("bare").args(bare.arguments()).stdin(stdin).stdout(Stdio::piped());
    command.spawn().context("cannot start a bare process")
}

/// Runs a bare loop, which ends by itself, and returns its rate.
fn rate(bare: &Bare) -> anyhow::Result<f64> {
    let output = child(bare, Stdio::null())?.wait_with_output()?;
    ensure!(output.status.success(), "bare {bare:?} failed");
    let text = String::from_utf8(output.stdout)?;
    text.trim().parse().with_context(|| format!("bare {bare:?} printed no rate"))
}

/// A running bare server. It ends when its standard input ends.
struct BareServer {
    child: KillOnDrop,
    target: Target,
    _stdin: ChildStdin,
}

impl BareServer {
    fn start(bare: &Bare, input: &str) -> anyhow::Result<Self> {
        let mut child = child(bare, Stdio::piped())?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let child = KillOnDrop(child);
        let (mut stdin, stdout) = stdin.zip(stdout).context("a bare server without standard streams")?;
        writeln!(stdin, "{input}")?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address)?;
        let address = address.trim().parse().with_context(|| format!("bare {bare:?} printed no address"))?;
        Ok(Self { child, target: Target::new(LoopbackAddress::new(address)?), _stdin: stdin })
    }
}

/// The headers of the server's discovery document, for the bare server to send too, except those that the HTTP library
/// writes itself and those that belong to the body.
pub(crate) async fn server_headers(target: &Target) -> anyhow::Result<Vec<(String, String)>> {
    const EXCEPT: [&str; 4] = ["date", "content-length", "content-type", "connection"];
    let mut connection = Connection::open(target).await?;
    let response =
        connection.send(&get(target, "/.well-known/openid-configuration", &[])).await?.expect(200)?;
    let ours = response.headers().filter(|(name, _)| !EXCEPT.contains(&name.to_ascii_lowercase().as_str()));
    let ours: Vec<_> = ours.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let secured = ours.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-security-policy"));
    ensure!(secured, "the server sends no security headers");
    Ok(ours)
}
