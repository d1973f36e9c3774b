//! The performance aims, and whether a report meets them.

use serde::Serialize;

use crate::report::{BareComparison, Measurement, Report};
use crate::scenarios::ScenarioKind;

/// Shares of the bare figures, megabytes, seconds.
const DOCUMENTS: f64 = 0.50;
const REFRESH: f64 = 0.15;
const CODE: f64 = 0.10;
const LOGIN: f64 = 0.90;
const IDLE_MB: f64 = 40.0;
const READY_SECONDS: f64 = 1.0;
/// How many times its p99 alone jwks may have beside eight sign-ins.
const SLOWDOWN: f64 = 2.0;
/// And how long it may take at all, in milliseconds.
const BESIDE_LOGINS_MS: f64 = 3.0;

/// Whether an aim is met.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Verdict {
    /// What was measured.
    pub(crate) what: String,
    /// The aim.
    pub(crate) aim: String,
    /// The figure.
    pub(crate) found: String,
    pub(crate) met: bool,
}

/// Compares every figure that has an aim.
pub(crate) fn verdicts(report: &Report) -> Vec<Verdict> {
    let shares_of_bare = report.lines.iter().flat_map(shares);
    let idle = at_most("memory idle", "MB", IDLE_MB, report.memory_idle_mb);
    let ready = at_most("ready", "s", READY_SECONDS, report.ready_seconds);
    let first = at_most("ready, first start (creates keys)", "s", READY_SECONDS, report.first_ready_seconds);
    shares_of_bare.chain([idle, ready, first]).chain(slowdown(&report.lines).into_iter().flatten()).collect()
}

/// The shares of the bare figures that have an aim. A rate with errors does not meet it.
fn shares(line: &Measurement) -> Vec<Verdict> {
    let aim = match line.scenario {
        ScenarioKind::Discovery | ScenarioKind::Jwks => DOCUMENTS,
        ScenarioKind::Refresh => REFRESH,
        ScenarioKind::Code => CODE,
        ScenarioKind::Login => LOGIN,
        ScenarioKind::Userinfo | ScenarioKind::Mixed => return Vec::new(),
    };
    let failed = line.figures.errors.values().sum::<u64>();
    let errors = if failed == 0 { String::new() } else { format!(", {failed} errors") };
    let verdict = |bare: &BareComparison| Verdict {
        what: format!("{}, {} connections", line.scenario.as_str(), line.connections),
        aim: format!(">= {} of {}", percent(aim), bare.name),
        found: format!("{}{errors}", bare.ratio.map_or("not measured".to_owned(), percent)),
        met: failed == 0 && bare.ratio.is_some_and(|ratio| ratio >= aim),
    };
    line.bare.iter().map(verdict).collect()
}

fn at_most(what: &str, unit: &str, aim: f64, found: f64) -> Verdict {
    Verdict {
        what: what.to_owned(),
        aim: format!("<= {aim} {unit}"),
        found: format!("{found:.2} {unit}"),
        met: found <= aim,
    }
}

fn slowdown(lines: &[Measurement]) -> Option<[Verdict; 2]> {
    let p99 = |beside: bool| {
        let found = |line: &&Measurement| {
            line.scenario == ScenarioKind::Jwks && line.rate.is_some() && line.beside.is_some() == beside
        };
        lines.iter().find(found)?.figures.p99_ms
    };
    let (alone, beside) = (p99(false)?, p99(true)?);
    let what = "jwks p99 during 8 logins";
    let slowdown = Verdict {
        what: what.to_owned(),
        aim: format!("<= {SLOWDOWN} x alone"),
        found: format!("{beside:.2} ms, {alone:.2} ms alone"),
        met: beside <= alone * SLOWDOWN,
    };
    Some([at_most(what, "ms", BESIDE_LOGINS_MS, beside), slowdown])
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::Figures;

    fn line(scenario: ScenarioKind, ratio: f64) -> Measurement {
        let bare = vec![BareComparison { name: "bare", rate: 1.0, ratio: Some(ratio) }];
        Measurement { scenario, connections: 16, rate: None, beside: None, figures: Figures::default(), bare }
    }

    #[test]
    fn an_aim_is_met_at_its_exact_value() {
        for (kind, aim) in [
            (ScenarioKind::Jwks, 0.5),
            (ScenarioKind::Refresh, 0.15),
            (ScenarioKind::Code, 0.1),
            (ScenarioKind::Login, 0.9),
        ] {
            assert!(shares(&line(kind, aim))[0].met, "{kind:?}");
            assert!(!shares(&line(kind, aim - 0.001))[0].met, "{kind:?}");
        }
        assert_eq!(shares(&line(ScenarioKind::Mixed, 1.0)), []);
        assert!(at_most("", "s", 1.0, 1.0).met && !at_most("", "s", 1.0, 1.001).met);
        assert!(!at_most("", "s", 1.0, f64::NAN).met);
    }

    #[test]
    fn an_aim_that_can_be_read_in_two_ways_has_two_verdicts() {
        let mut both = line(ScenarioKind::Jwks, 0.6);
        both.bare.push(BareComparison { name: "other", rate: 1.0, ratio: Some(0.4) });
        let found: Vec<_> = shares(&both).into_iter().map(|verdict| (verdict.aim, verdict.met)).collect();
        let expected = [(">= 50.0 % of bare", true), (">= 50.0 % of other", false)];
        assert_eq!(found, expected.map(|(aim, met)| (aim.to_owned(), met)));
    }

    #[test]
    fn a_rate_with_errors_meets_nothing() {
        let mut failing = line(ScenarioKind::Code, 0.9);
        failing.figures.errors = BTreeMap::from([("503".to_owned(), 1)]);
        let [verdict] = &shares(&failing)[..] else { panic!("one verdict") };
        assert!(!verdict.met && verdict.found.contains("1 errors"), "{verdict:?}");
    }

    #[test]
    fn jwks_beside_logins_is_compared_with_jwks_at_the_same_rate_alone() {
        let fixed = |beside: Option<&'static str>, p99| {
            let figures = Figures { p99_ms: Some(p99), ..Figures::default() };
            Measurement { rate: Some(2000), beside, figures, ..line(ScenarioKind::Jwks, 1.0) }
        };
        let closed = line(ScenarioKind::Jwks, 1.0);
        let met = |alone, beside| {
            let lines = [closed.clone(), fixed(None, alone), fixed(Some("8 logins"), beside)];
            slowdown(&lines).map(|verdicts| verdicts.map(|verdict| verdict.met))
        };
        assert_eq!((met(1.0, 2.0), met(1.0, 2.1)), (Some([true, true]), Some([true, false])));
        assert_eq!((met(2.0, 3.0), met(2.0, 3.1)), (Some([true, true]), Some([false, true])));
        assert_eq!(slowdown(&[closed]), None);
    }
}
