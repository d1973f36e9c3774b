//! `cargo xtask proof`: the tests in their long versions, and what they have to report.

use crate::cargo_test::{self, TestRun};
use crate::steps::Steps;
use crate::testbed::Testbed;
use std::process::ExitCode;

/// Tells the tests to run their long versions: thousands of rounds where the gate runs tens.
const PROOF_VARIABLE: &str = "IDP_PROOF";

/// Runs the tests, or those that match the filters, and prints the lines they began with `proof:`.
pub(crate) fn run(filters: &[String]) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::default();
    let testbed = steps.take("set-up", Testbed::prepare)?;
    let run = steps.take("tests", || {
        let mut command = cargo_test::command(&testbed);
        // The reports are printed, and a passing test's output is only shown on request.
        command.env(PROOF_VARIABLE, "1").args(["--", "--nocapture"]).args(filters);
        cargo_test::run(&mut command)
    })?;
    let verdict = run.verdict();
    report(&steps, &run, &verdict);
    Ok(if verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(steps: &Steps, run: &TestRun, verdict: &anyhow::Result<()>) {
    println!("\n{}", steps.table());
    println!("== report");
    for line in &run.proof {
        println!("{line}");
    }
    if run.proof.is_empty() {
        println!("no test reported anything");
    }
    if let Err(error) = verdict {
        println!("FAILED: {error:#}");
    }
    println!("{}", run.tally);
}
