//! Compares two programs by CPU time per request, in interleaved pairs of rounds. If the machine's speed drifts, it
//! affects both alike.

use std::time::Duration;

use serde::Serialize;

use crate::arguments::{CompareArguments, ServerArguments};
use crate::drive::{Pace, Schedule};
use crate::plan::{LOGINS, LoadTest};
use crate::scenarios::ScenarioKind;
use crate::stats::{median, ratio};
use crate::{process, report};

/// The scenarios to compare, and their numbers of connections.
const SCENARIOS: [(ScenarioKind, usize); 4] = [
    (ScenarioKind::Code, 16),
    (ScenarioKind::Refresh, 16),
    (ScenarioKind::Userinfo, 16),
    (ScenarioKind::Login, LOGINS),
];
/// The highest acceptable ratio of the cost now to the cost before.
const MAX_RATIO: f64 = 1.05;

/// One scenario's medians.
#[derive(Debug, Serialize)]
struct Comparison {
    scenario: ScenarioKind,
    pairs: usize,
    /// CPU time per operation, before and now.
    before_us: f64,
    now_us: f64,
    /// The median of the ratios of the pairs.
    ratio: f64,
    errors: u64,
    met: bool,
}

#[derive(Debug, Serialize)]
struct ComparisonReport {
    /// The load average before the run. With more than a few tenths, the figures are doubtful.
    load_before: f64,
    round_seconds: u64,
    most: f64,
    findings: Vec<Comparison>,
}

/// `load compare`.
pub(crate) async fn run(arguments: CompareArguments) -> anyhow::Result<()> {
    let load_before = process::load_average()?;
    let round = Duration::from_secs(arguments.seconds);
    let schedule = Schedule { warm_up: Duration::from_millis(300), round, rounds: 1 };
    let before = ServerArguments { debug_binary: Some(arguments.before), ..arguments.server.clone() };
    let tests =
        [LoadTest::start(&before, schedule).await?, LoadTest::start(&arguments.server, schedule).await?];
    let mut findings = Vec::new();
    for (scenario, connections) in SCENARIOS {
        eprintln!("comparing {}", scenario.as_str());
        findings.push(compare(&tests, scenario, connections, usize::from(arguments.pairs)).await?);
    }
    for test in tests {
        test.stop().await?;
    }
    let all = ComparisonReport { load_before, round_seconds: arguments.seconds, most: MAX_RATIO, findings };
    print(&all);
    report::write(&all, arguments.server.name.as_deref().unwrap_or("compare"))
}

/// Runs the pairs. The two programs take turns at going first.
async fn compare(
    tests: &[LoadTest; 2],
    scenario: ScenarioKind,
    connections: usize,
    pairs: usize,
) -> anyhow::Result<Comparison> {
    let mut costs = Vec::new();
    let mut errors = 0;
    for number in 0..pairs {
        let mut pair = [f64::NAN; 2];
        for side in [number % 2, 1 - number % 2] {
            let figures = tests[side].figures(scenario, connections, Pace::Closed).await?;
            errors += figures.errors.values().sum::<u64>();
            pair[side] = figures.cpu_us.unwrap_or(f64::NAN);
        }
        costs.push(pair);
    }
    let middle = |side: usize| median(costs.iter().map(|pair| pair[side])).unwrap_or(f64::NAN);
    let ratios = costs.iter().filter_map(|[before, now]| ratio(*now, *before));
    let ratio = median(ratios).unwrap_or(f64::NAN);
    let (before_us, now_us) = (middle(0), middle(1));
    Ok(Comparison {
        scenario,
        pairs,
        before_us,
        now_us,
        ratio,
        errors,
        met: ratio <= MAX_RATIO && errors == 0,
    })
}

fn print(all: &ComparisonReport) {
    println!("\nload average before: {:.2}; rounds of {} s, alternating", all.load_before, all.round_seconds);
    let rows: Vec<[String; 6]> = all.findings.iter().map(row).collect();
    report::table(["what", "before us", "now us", "now/before", "errors", ""], &rows);
}

fn row(finding: &Comparison) -> [String; 6] {
    [
        finding.scenario.as_str().to_owned(),
        format!("{:.1}", finding.before_us),
        format!("{:.1}", finding.now_us),
        format!("{:.3}", finding.ratio),
        finding.errors.to_string(),
        if finding.met { "met" } else { "MISSED" }.to_owned(),
    ]
}
