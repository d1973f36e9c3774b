//! What the log says of requests that were refused. A stranger can cause as many refusals as the network carries, so their
//! lines are bounded: some at once, then a few a second. The rest is counted, and told in one line per interval.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// How often what was counted is told.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Lines at once.
const BURST: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// Lines a second after that: about 150 MB a day at the worst.
const STEADY: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// Whose fault a refusal is: failures of ours have lines of their own, so that no flood of others hides them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Theirs,
    Ours,
}

/// A bucket of lines.
pub(crate) fn lines() -> DefaultDirectRateLimiter {
    RateLimiter::direct(Quota::per_second(STEADY).allow_burst(BURST))
}

/// The lines there may be, and the count of those there were not.
pub(crate) struct RefusalLog {
    theirs: DefaultDirectRateLimiter,
    ours: DefaultDirectRateLimiter,
    /// Reasons are words of ours, so there are few.
    left_out: Mutex<BTreeMap<&'static str, u64>>,
}

impl RefusalLog {
    pub(crate) fn new() -> Self {
        Self { theirs: lines(), ours: lines(), left_out: Mutex::default() }
    }

    /// Whether this refusal may have a line of its own. If not, it is counted.
    pub(crate) fn admits(&self, fault: Fault, reason: &'static str) -> bool {
        let lines = match fault {
            Fault::Theirs => &self.theirs,
            Fault::Ours => &self.ours,
        };
        let admitted = lines.check().is_ok();
        if !admitted {
            self.count(reason);
        }
        admitted
    }

    /// Counts what never has a line of its own.
    pub(crate) fn count(&self, reason: &'static str) {
        *self.left_out.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// Tells what was counted since the last time, if there is anything.
    pub(crate) fn tell(&self) {
        let left_out = std::mem::take(&mut *self.left_out.lock().unwrap_or_else(PoisonError::into_inner));
        if left_out.is_empty() {
            return;
        }
        let total: u64 = left_out.values().sum();
        let reasons: Vec<String> =
            left_out.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        tracing::warn!(total, reasons = reasons.join(", "), "requests refused without a line each");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_03_lines_are_bounded_and_the_rest_is_counted() {
        let log = RefusalLog::new();
        let lines = (0..10_000).filter(|_| log.admits(Fault::Theirs, "not-found")).count();
        // The quota gives some back while the test runs; that is no tenth of what was asked for.
        assert!((200..1_000).contains(&lines), "{lines}");
        assert_eq!(log.left_out.lock().unwrap()["not-found"], 10_000 - lines as u64);
        assert!(log.admits(Fault::Ours, "unavailable"), "ours are not hidden");
        log.tell();
        assert!(log.left_out.lock().unwrap().is_empty());
    }
}
