//! One run of `cargo test`: its output is passed on and its tests are counted.

use crate::failures::Failures;
use crate::tally::Tally;
use crate::testbed::Testbed;
use crate::tools;
use anyhow::{Context, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

/// How many tests run at once on each core. Many wait for a disk, a browser or a clock: with one per core, half of the
/// machine is idle.
const THREADS_PER_CORE: usize = 2;
/// How many tests run at once at most: each may take two dozen of PostgreSQL's 400 connections.
const MOST_THREADS: usize = 16;
/// The variable that says so to the test programs.
const THREADS: &str = "RUST_TEST_THREADS";

/// The result of a run.
#[derive(Default)]
pub(crate) struct TestRun {
    /// How many tests ran.
    pub(crate) tally: Tally,
    /// The tests' reports: lines that start with `proof:`.
    pub(crate) proof: Vec<String>,
    /// The tests that failed.
    pub(crate) failures: Failures,
    succeeded: bool,
}

/// `cargo test` for the workspace, in the testbed's environment. Every test program runs, even after one that failed.
pub(crate) fn command(testbed: &Testbed) -> Command {
    let mut command = tools::cargo();
    command.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    testbed.set_environment(&mut command);
    if std::env::var_os(THREADS).is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        command.env(THREADS, (cores * THREADS_PER_CORE).min(MOST_THREADS).to_string());
    }
    command
}

/// Runs `command`. An error means that it could not be run, not that tests failed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<TestRun> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start `cargo test`")?;
    let mut run = TestRun::default();
    if let Some(output) = child.stdout.take() {
        run.follow(output)?;
    }
    run.succeeded = child.wait()?.success();
    Ok(run)
}

impl TestRun {
    /// Prints `output` line by line, and keeps counts and reports.
    fn follow(&mut self, output: impl Read) -> anyhow::Result<()> {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line)? > 0 {
            std::io::stdout().write_all(&line)?;
            self.read_line(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
        Ok(())
    }

    fn read_line(&mut self, line: &str) {
        if let Some(tally) = Tally::from_line(line) {
            self.tally += tally;
        }
        self.failures.read_line(line);
        self.proof.extend(proof_line(line).map(str::to_owned));
    }

    /// An error unless tests ran and all of them passed.
    pub(crate) fn verdict(&self) -> anyhow::Result<()> {
        match (self.tally.failed, self.succeeded) {
            (0, true) if self.tally.ran() == 0 => bail!("no test ran"),
            (0, true) => Ok(()),
            (0, false) => bail!("a test program did not compile, or ended without a result"),
            (1, _) => bail!("1 test failed"),
            (failed, _) => bail!("{failed} tests failed"),
        }
    }
}

/// The report in a line of test output. With one test thread, the name of the test precedes it.
fn proof_line(line: &str) -> Option<&str> {
    let start = match line.strip_prefix("test ").and_then(|_| line.find(" ... ")) {
        Some(end_of_name) => end_of_name + " ... ".len(),
        None => 0,
    };
    line.get(start..).filter(|text| text.starts_with("proof:"))
}

#[cfg(test)]
mod tests {
    use super::{TestRun, proof_line};

    fn run_of(output: &str, succeeded: bool) -> TestRun {
        let mut run = TestRun { succeeded, ..TestRun::default() };
        output.lines().for_each(|line| run.read_line(line));
        run
    }

    fn verdict(output: &str, succeeded: bool) -> Result<(), String> {
        run_of(output, succeeded).verdict().map_err(|error| error.to_string())
    }

    #[test]
    fn a_run_passes_when_tests_ran_and_passed() {
        assert_eq!(verdict("test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured", true), Ok(()));
    }

    #[test]
    fn a_run_without_a_test_fails() {
        assert_eq!(verdict("", true), Err("no test ran".into()));
        assert_eq!(
            verdict("test result: ok. 0 passed; 0 failed; 7 ignored; 0 measured", true),
            Err("no test ran".into())
        );
    }

    #[test]
    fn failed_tests_are_counted_in_the_verdict() {
        let one = "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured";
        assert_eq!(verdict(one, false), Err("1 test failed".into()));
        assert_eq!(verdict(&format!("{one}\n{one}"), false), Err("2 tests failed".into()));
    }

    #[test]
    fn a_program_that_dies_without_a_result_fails() {
        let before = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured";
        assert!(verdict(before, false).is_err());
    }

    #[test]
    fn reports_are_gathered_with_or_without_the_name_of_their_test() {
        let run = run_of(
            "proof: 1,000 rounds\ntest race ... proof: one winner\ntest race ... ok\nno proof: none",
            true,
        );
        assert_eq!(run.proof, ["proof: 1,000 rounds", "proof: one winner"]);
        assert_eq!(proof_line("said ... proof: by whom?"), None);
    }
}
