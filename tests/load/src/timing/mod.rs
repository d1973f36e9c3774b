//! Whether response times tell what the responses do not. Pairs of requests that must be indistinguishable
//! are sent alternately on one connection, and their response times compared.

mod pairs;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;

use self::pairs::{Pair, create_accounts};
use crate::arguments::TimingArguments;
use crate::http::{Connection, Failure};
use crate::server::Installation;
use crate::stats::{auc, median};
use crate::{process, report};

pub(crate) use self::pairs::PairKind;

/// Above this AUC, response times tell the two sides apart.
const MAX_AUC: f64 = 0.60;
/// Rounds of a pair before timing begins.
const WARM_UP: usize = 50;

/// The result of one pair.
#[derive(Debug, Serialize)]
struct PairResult {
    pair: PairKind,
    /// What the two sides are.
    sides: [&'static str; 2],
    samples: usize,
    /// The median of each side.
    median_us: [f64; 2],
    auc: f64,
    met: bool,
}

/// The whole report.
#[derive(Debug, Serialize)]
struct TimingReport {
    engine: &'static str,
    binary: PathBuf,
    /// The load average before the run. With more than a few tenths, the times are doubtful.
    load_before: f64,
    warm_up: usize,
    most: f64,
    findings: Vec<PairResult>,
}

/// `load timing`.
pub(crate) async fn run(arguments: TimingArguments) -> anyhow::Result<()> {
    let load_before = process::load_average()?;
    let wanted = |kind: &PairKind| arguments.pairs.is_empty() || arguments.pairs.contains(kind);
    let kinds: Vec<PairKind> = PairKind::value_variants().iter().copied().filter(wanted).collect();
    let rounds = WARM_UP + usize::try_from(arguments.samples)?;
    let installation = Installation::prepare(&arguments.server).await?;
    eprintln!("creating accounts");
    create_accounts(installation.command_line(), arguments.server.id_token, &kinds, rounds)?;
    let server = installation.start().await?;
    let mut connection = Connection::open(installation.target()).await?;
    let mut findings = Vec::new();
    for kind in kinds {
        eprintln!("measuring {}", kind.as_str());
        let pair = Pair::open(kind, rounds, &mut connection, installation.target()).await?;
        let times = time(&mut connection, &pair, rounds).await.with_context(|| kind.as_str())?;
        findings.push(PairResult::of(&pair, &times)?);
    }
    let engine = if arguments.server.postgres.is_some() { "PostgreSQL" } else { "SQLite" };
    let binary = installation.command_line().binary().to_owned();
    server.stop().await?;
    installation.remove().await?;
    let all = TimingReport { engine, binary, load_before, warm_up: WARM_UP, most: MAX_AUC, findings };
    print(&all);
    report::write(&all, arguments.server.name.as_deref().unwrap_or("timing"))
}

/// The response times of each side, in microseconds. Which side goes first is random in each round, so that neither
/// gets the better moments, or always runs while the server still finishes the other's work.
async fn time(connection: &mut Connection, pair: &Pair, rounds: usize) -> anyhow::Result<[Vec<f64>; 2]> {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let first = usize::from(getrandom::u32()? % 2 == 1);
        for side in [first, 1 - first] {
            let request = pair.request(side, round);
            let taken = one(connection, &request, pair.status).await;
            let taken = taken.with_context(|| format!("{}, round {round}", pair.sides[side]))?;
            if round >= WARM_UP {
                times[side].push(taken);
            }
        }
    }
    Ok(times)
}

/// The response time from sending to the last byte, in microseconds.
async fn one(connection: &mut Connection, request: &[u8], status: u16) -> Result<f64, Failure> {
    let sent = Instant::now();
    let response = connection.send(request).await;
    let taken = sent.elapsed();
    response?.expect(status)?;
    Ok(taken.as_secs_f64() * 1e6)
}

impl PairResult {
    fn of(pair: &Pair, [first, second]: &[Vec<f64>; 2]) -> anyhow::Result<Self> {
        let auc = auc(first, second).context("nothing was timed")?;
        let middle = |times: &[f64]| median(times.iter().copied()).context("nothing was timed");
        let (samples, median_us) = (first.len(), [middle(first)?, middle(second)?]);
        Ok(Self { pair: pair.kind, sides: pair.sides, samples, median_us, auc, met: auc <= MAX_AUC })
    }

    fn row(&self) -> [String; 6] {
        let [first, second] = self.median_us;
        [
            format!("{}: {} | {}", self.pair.as_str(), self.sides[0], self.sides[1]),
            self.samples.to_string(),
            format!("{first:.1}"),
            format!("{second:.1}"),
            format!("{:.3}", self.auc),
            if self.met { "met" } else { "MISSED" }.to_owned(),
        ]
    }
}

fn print(all: &TimingReport) {
    println!("\n{} | {} | load average before: {}", all.engine, all.binary.display(), all.load_before);
    println!("met: ROC AUC at most {MAX_AUC:.2}; {WARM_UP} rounds of warm-up\n");
    let rows: Vec<_> = all.findings.iter().map(PairResult::row).collect();
    report::table(["pair", "samples", "median us", "median us", "AUC", "verdict"], &rows);
}
