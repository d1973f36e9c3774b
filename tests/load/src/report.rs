//! The results, as a table and as JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::aims::Verdict;
use crate::drive::{Round, Schedule};
use crate::environment;
use crate::limits::{BareLoopFigures, BareServerFigures};
use crate::scenarios::ScenarioKind;
use crate::stats::{median, ratio};

/// Medians over the rounds; errors are summed.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// Operations per second.
    pub(crate) rate: f64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// The server's CPU time per operation. `None` while two scenarios run at once, as it cannot be divided among them.
    pub(crate) cpu_us: Option<f64>,
    /// CPU seconds per second; near 1 the core is saturated.
    pub(crate) server_busy: f64,
    pub(crate) generator_busy: f64,
    pub(crate) errors: BTreeMap<String, u64>,
}

/// A bare rate, and the measured rate as a share of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BareComparison {
    pub(crate) name: &'static str,
    pub(crate) rate: f64,
    pub(crate) ratio: Option<f64>,
}

/// One measurement of the server under load.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    pub(crate) scenario: ScenarioKind,
    pub(crate) connections: usize,
    /// Operations per second at a fixed rate; `None` for a closed loop.
    pub(crate) rate: Option<u32>,
    /// What ran at the same time.
    pub(crate) beside: Option<&'static str>,
    pub(crate) figures: Figures,
    pub(crate) bare: Vec<BareComparison>,
}

/// The whole report.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) engine: &'static str,
    pub(crate) id_token: &'static str,
    /// The setting `password.scheduling`; `None` for the server's default.
    pub(crate) scheduling: Option<String>,
    pub(crate) binary: PathBuf,
    /// The load average before the run. With more than a few tenths, all figures are doubtful.
    pub(crate) load_before: f64,
    pub(crate) warm_up_seconds: u64,
    pub(crate) round_seconds: u64,
    pub(crate) rounds: usize,
    /// The very first start, which creates the keys, and a later one.
    pub(crate) first_ready_seconds: f64,
    pub(crate) ready_seconds: f64,
    /// Proportional set size, after the start and after all measurements.
    pub(crate) memory_idle_mb: f64,
    pub(crate) memory_after_mb: f64,
    pub(crate) bare_loops: Option<BareLoopFigures>,
    pub(crate) bare_servers: Vec<BareServerFigures>,
    pub(crate) lines: Vec<Measurement>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// Sums up the rounds.
pub(crate) fn summary(rounds: &[Round], schedule: Schedule) -> Figures {
    let rate = |round: &Round| round.latencies.count() as f64 / schedule.round.as_secs_f64();
    let percentile =
        |share| median(rounds.iter().filter_map(|round| round.latencies.percentile(share)).map(millis));
    let cpu = |round: &Round| ratio(round.server_busy * 1e6, rate(round));
    let mut errors = BTreeMap::new();
    for (what, count) in rounds.iter().flat_map(|round| &round.errors) {
        *errors.entry(what.clone()).or_default() += count;
    }
    Figures {
        rate: median(rounds.iter().map(rate)).unwrap_or_default(),
        p50_ms: percentile(0.5),
        p99_ms: percentile(0.99),
        cpu_us: median(rounds.iter().filter_map(cpu)),
        server_busy: median(rounds.iter().map(|round| round.server_busy)).unwrap_or_default(),
        generator_busy: median(rounds.iter().map(|round| round.generator_busy)).unwrap_or_default(),
        errors,
    }
}

fn millis(latency: Duration) -> f64 {
    latency.as_secs_f64() * 1e3
}

const HEAD: [&str; 10] =
    ["what", "conns", "rate/s", "of bare", "p50 ms", "p99 ms", "CPU us", "server %", "generator %", "errors"];

/// Prints the report for people.
pub(crate) fn print(report: &Report) {
    let scheduling = report.scheduling.as_deref().unwrap_or("default");
    println!(
        "\n{} | ID token {} | scheduling {scheduling} | {}",
        report.engine,
        report.id_token,
        report.binary.display()
    );
    println!(
        "warm-up {} s, {} rounds of {} s, medians",
        report.warm_up_seconds, report.rounds, report.round_seconds
    );
    println!(
        "ready: {:.3} s; first start, which creates the keys: {:.3} s",
        report.ready_seconds, report.first_ready_seconds
    );
    println!("memory (PSS): idle {:.1} MB, after {:.1} MB", report.memory_idle_mb, report.memory_after_mb);
    if let Some(loops) = report.bare_loops {
        println!("bare argon2id: {:.1}/s; disk: {:.0} synced commits/s\n", loops.hashes, loops.commits);
    }
    let bare = report.bare_servers.iter().flat_map(bare_rows);
    table(HEAD, &bare.chain(report.lines.iter().map(row)).collect::<Vec<_>>());
    println!(
        "of bare: share of bare argon2id, of bare form + sign, or of bare hello + headers / bare hello\n"
    );
    for verdict in &report.verdicts {
        let word = if verdict.met { "met   " } else { "MISSED" };
        println!("{word}  {}: {} (aim {})", verdict.what, verdict.found, verdict.aim);
    }
    if report.lines.iter().any(|line| line.figures.generator_busy > 0.95 && line.figures.server_busy < 0.9) {
        println!("note: where generator % is near 100 and server % is not, the generator was the limit");
    }
}

fn bare_rows(bare: &BareServerFigures) -> [[String; 10]; 3] {
    [
        ("bare hello", &bare.hello),
        ("bare hello + headers", &bare.hello_with_headers),
        ("bare form + sign", &bare.form_and_sign),
    ]
    .map(|(name, figures)| cells(name.to_owned(), bare.connections, &[], figures))
}

fn row(line: &Measurement) -> [String; 10] {
    let mut name = line.scenario.as_str().to_owned();
    if let Some(rate) = line.rate {
        name.push_str(&format!(" at {rate}/s"));
    }
    if let Some(beside) = line.beside {
        name.push_str(&format!(" beside {beside}"));
    }
    cells(name, line.connections, &line.bare, &line.figures)
}

fn cells(name: String, connections: usize, bare: &[BareComparison], figures: &Figures) -> [String; 10] {
    let number =
        |value: Option<f64>, digits| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
    let shares: Vec<String> =
        bare.iter().filter_map(|bare| Some(format!("{:.1} %", bare.ratio? * 100.0))).collect();
    let errors: Vec<String> = figures.errors.iter().map(|(what, count)| format!("{what}: {count}")).collect();
    [
        name,
        connections.to_string(),
        number(Some(figures.rate), if figures.rate < 1000.0 { 1 } else { 0 }),
        if shares.is_empty() { "-".to_owned() } else { shares.join(" / ") },
        number(figures.p50_ms, 3),
        number(figures.p99_ms, 3),
        number(figures.cpu_us, 1),
        number(Some(figures.server_busy * 100.0), 0),
        number(Some(figures.generator_busy * 100.0), 0),
        if errors.is_empty() { "-".to_owned() } else { errors.join(", ") },
    ]
}

/// Prints a table. Columns are as wide as their widest cell; all but the first and the last are aligned right.
pub(crate) fn table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: &[[String; COLUMNS]]) {
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    for row in all() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            last if last + 1 == COLUMNS => cell.clone(),
            _ => format!("{cell:>width$}"),
        });
        println!("{}", cells.collect::<Vec<_>>().join("  "));
    }
    println!();
}

/// Writes the report as JSON.
pub(crate) fn write(report: &impl Serialize, name: &str) -> anyhow::Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    anyhow::ensure!(
        !name.is_empty() && name.chars().all(plain),
        "a name may only have letters, digits, - and _"
    );
    let path = environment::output_folder()?.join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(report)?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(operations: u64, server_busy: f64) -> Round {
        let mut round = Round { server_busy, ..Round::default() };
        (0..operations).for_each(|_| round.latencies.record(Duration::from_millis(4)));
        round
    }

    #[test]
    fn a_summary_is_the_median_round_and_the_sum_of_errors() {
        let schedule = Schedule { warm_up: Duration::ZERO, round: Duration::from_secs(2), rounds: 3 };
        let mut rounds = [round(200, 0.5), round(100, 0.5), round(2_000, 0.5)];
        rounds[0].errors.insert("503".to_owned(), 2);
        rounds[2].errors.insert("503".to_owned(), 3);
        let figures = summary(&rounds, schedule);
        assert_eq!(figures.rate, 100.0);
        assert_eq!(
            figures.cpu_us.map(f64::round),
            Some(5_000.0),
            "half a core for a hundred operations a second"
        );
        assert_eq!(figures.errors, BTreeMap::from([("503".to_owned(), 5)]));
        assert!(figures.p99_ms.is_some_and(|ms| (4.0..4.1).contains(&ms)));
    }

    #[test]
    fn rounds_without_an_operation_have_no_latency_and_no_cost() {
        let schedule = Schedule { warm_up: Duration::ZERO, round: Duration::from_secs(1), rounds: 1 };
        let figures = summary(&[round(0, 0.5)], schedule);
        assert_eq!((figures.rate, figures.p99_ms, figures.cpu_us), (0.0, None, None));
    }
}
