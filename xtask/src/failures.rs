//! What failed tests printed, read from the output of `cargo test`: the end of a long log shows why a run failed.

/// The most lines shown of one test: a panic's message, not its backtrace, nor a page that it quotes.
const LINES: usize = 12;

/// The failed tests of a run, in the order of their reports.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    tests: Vec<Failure>,
    /// Whether the lines that follow are a report.
    reading: bool,
}

#[derive(Debug)]
struct Failure {
    test: String,
    lines: Vec<String>,
}

impl Failures {
    /// Reads the next line of the output.
    pub(crate) fn read_line(&mut self, line: &str) {
        let name = line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----"));
        if let Some(test) = name {
            self.tests.push(Failure { test: test.to_owned(), lines: Vec::new() });
            self.reading = true;
        } else if line == "stack backtrace:" || line == "failures:" {
            self.reading = false;
        } else if let (true, Some(failure)) = (self.reading, self.tests.last_mut())
            && failure.lines.len() < LINES
            && !line.trim().is_empty()
        {
            failure.lines.push(line.to_owned());
        }
    }

    /// Every failed test with the beginning of its report.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for Failure { test, lines } in &self.tests {
            text.push_str(&format!("-- {test}\n"));
            for line in lines {
                text.push_str(&format!("   {line}\n"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failed_test_is_shown_with_the_beginning_of_its_report() {
        let long = "a line of a page\n".repeat(40);
        let output = format!(
            "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\n\nthread 'a' panicked at src/a.rs:1:2:\none\nstack backtrace:\n   \
             0: frame\n\n---- b::c stdout ----\n{long}\nfailures:\n    a\n    b::c\n\ntest result: FAILED."
        );
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.read_line(line));
        let expected = format!(
            "-- a\n   thread 'a' panicked at src/a.rs:1:2:\n   one\n-- b::c\n{}",
            "   a line of a page\n".repeat(LINES)
        );
        assert_eq!(failures.summary(), expected);
    }

    #[test]
    fn a_run_that_passed_has_no_summary() {
        let mut failures = Failures::default();
        "running 1 test\ntest a ... ok\n\ntest result: ok. 1 passed"
            .lines()
            .for_each(|line| failures.read_line(line));
        assert_eq!(failures.summary(), "");
    }
}
