//! `cargo xtask test`: the one command that says whether this tree passes.

use crate::failures::Failures;
use crate::steps::Steps;
use crate::tally::Tally;
use crate::testbed::Testbed;
use crate::{audit, cargo_test, tools};
use std::process::ExitCode;

/// Runs every step, or with filters the matching tests only. The last line is `N passed, N failed`.
pub(crate) fn run(filters: &[String]) -> anyhow::Result<ExitCode> {
    let mut checks = Checks::default();
    let outcome = if filters.is_empty() { checks.every_step() } else { checks.tests_only(filters) };
    checks.report(&outcome);
    Ok(if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Checks {
    steps: Steps,
    tally: Tally,
    failures: Failures,
    advisories: Option<String>,
}

impl Checks {
    /// All steps in order, up to the first that fails. The testbed lives until this function returns.
    fn every_step(&mut self) -> anyhow::Result<()> {
        let testbed = self.steps.run("set-up", Testbed::prepare)?;
        self.steps.run("format", || tools::run(tools::cargo().args(["fmt", "--all", "--check"])))?;
        self.steps.run("clippy", clippy)?;
        self.tests(&testbed, &[])?;
        self.steps.run("docs", docs)?;
        self.advisories = Some(self.steps.run("audit", audit::check)?.to_string());
        Ok(())
    }

    fn tests_only(&mut self, filters: &[String]) -> anyhow::Result<()> {
        let testbed = self.steps.run("set-up", Testbed::prepare)?;
        self.tests(&testbed, filters)
    }

    fn tests(&mut self, testbed: &Testbed, filters: &[String]) -> anyhow::Result<()> {
        let (tally, failures) = (&mut self.tally, &mut self.failures);
        self.steps.run("tests", || {
            let run = cargo_test::run(cargo_test::command(testbed).arg("--").args(filters))?;
            *tally = run.tally;
            let verdict = run.verdict();
            *failures = run.failures;
            verdict
        })
    }

    fn report(&self, outcome: &anyhow::Result<()>) {
        println!("\n{}{}", self.failures.summary(), self.steps.table());
        if let Some(advisories) = &self.advisories {
            println!("{advisories}");
        }
        if let Err(error) = outcome {
            println!("FAILED at {error:#}");
        }
        println!("{} tests ran, {} were ignored", self.tally.ran(), self.tally.ignored);
        println!("{}", self.tally);
    }
}

fn clippy() -> anyhow::Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    tools::run(tools::cargo().args(arguments))
}

fn docs() -> anyhow::Result<()> {
    let arguments = ["doc", "--workspace", "--no-deps", "--locked"];
    tools::run(tools::cargo().env("RUSTDOCFLAGS", "-D warnings").args(arguments))
}
