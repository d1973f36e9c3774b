//! `cargo xtask proof`: runs the long versions of the tests and collects their reports.

use crate::cargo_test::{self, TestRun};
use crate::steps::Steps;
use crate::testbed::Testbed;
use std::process::ExitCode;

/// Tells the tests to run their long versions: thousands of rounds instead of tens.
const PROOF_VARIABLE: &str = "IDP_PROOF";

/// Runs the tests, or those that match the filters, and prints their `proof:` lines.
pub(crate) fn run(filters: &[String]) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::default();
    let testbed = steps.run("set-up", Testbed::prepare)?;
    let run = steps.run("tests", || {
        let mut command = cargo_test::command(&testbed);
        // Reports go to standard output, which a passing test hides without this option.
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
