//! How many tests ran, read from the output of `cargo test`.

use std::fmt;
use std::ops::AddAssign;

/// Test counts: of one `test result:` line, or the sum of several.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: usize,
    /// Tests that failed.
    pub(crate) failed: usize,
    /// Tests that are marked `#[ignore]`.
    pub(crate) ignored: usize,
}

impl Tally {
    /// Reads a line such as `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; ...`.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let (_verdict, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        Some(Self {
            passed: count(counts, "passed")?,
            failed: count(counts, "failed")?,
            ignored: count(counts, "ignored")?,
        })
    }

    /// Tests that ran, passed or not.
    pub(crate) fn ran(&self) -> usize {
        self.passed + self.failed
    }
}

/// The number in front of `word` in a list that is separated by semicolons.
fn count(counts: &str, word: &str) -> Option<usize> {
    counts.split(';').find_map(|part| part.trim().strip_suffix(word)?.trim_end().parse().ok())
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    const GOOD: &str =
        "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s";
    const BAD: &str =
        "test result: FAILED. 14 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s";

    #[test]
    fn a_result_line_gives_its_counts() {
        assert_eq!(Tally::from_line(GOOD), Some(Tally { passed: 5, failed: 0, ignored: 1 }));
        assert_eq!(Tally::from_line(BAD), Some(Tally { passed: 14, failed: 2, ignored: 0 }));
    }

    #[test]
    fn results_of_several_programs_add_up() {
        let mut sum = Tally::default();
        for line in [GOOD, BAD] {
            sum += Tally::from_line(line).unwrap();
        }
        assert_eq!(sum, Tally { passed: 19, failed: 2, ignored: 1 });
        assert_eq!(sum.ran(), 21);
    }

    #[test]
    fn the_last_line_of_a_run_is_passed_and_failed() {
        let tally = Tally { passed: 14, failed: 2, ignored: 1 };
        assert_eq!(tally.to_string(), "14 passed, 2 failed");
    }

    #[test]
    fn a_line_that_only_resembles_a_result_is_not_counted() {
        for line in [
            "",
            "running 5 tests",
            "test result_is_stored ... ok",
            "  test result: ok. 5 passed; 0 failed; 1 ignored",
            "test result: ok. many passed; 0 failed; 1 ignored",
            "test result: ok",
        ] {
            assert_eq!(Tally::from_line(line), None, "{line}");
        }
    }
}
