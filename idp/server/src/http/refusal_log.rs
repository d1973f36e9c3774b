//! The log lines of refused requests. A stranger can cause as many refusals as the network carries, so their lines are
//! limited: some at once, then a few a second. The rest are counted and summed up in one line per interval.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::http::address::Network;

/// How often the counts are logged.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Lines at once.
const BURST: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// Lines a second after that: at worst about 150 MB a day.
const STEADY: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// Whose fault a refusal is. Our own failures have a separate limit, so that no flood of refusals hides them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Theirs,
    Ours,
}

/// A limiter of log lines.
pub(crate) fn lines() -> DefaultDirectRateLimiter {
    RateLimiter::direct(Quota::per_second(STEADY).allow_burst(BURST))
}

/// How many addresses the summary names for one reason.
const NAMED: usize = 4;

/// Limits the lines, and counts those left out.
pub(crate) struct RefusalLog {
    theirs: DefaultDirectRateLimiter,
    ours: DefaultDirectRateLimiter,
    /// Reasons are our own words, so there are few.
    left_out: Mutex<BTreeMap<&'static str, OmittedLines>>,
}

/// The count for one reason.
#[derive(Default)]
struct OmittedLines {
    count: u64,
    /// The first addresses it was counted for.
    of: Vec<Network>,
    /// Whether there were more.
    others: bool,
}

impl fmt::Display for OmittedLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count)?;
        for (number, network) in self.of.iter().enumerate() {
            write!(f, "{}{network}", if number == 0 { " (" } else { " " })?;
        }
        match (self.of.is_empty(), self.others) {
            (true, _) => Ok(()),
            (false, true) => f.write_str(" and others)"),
            (false, false) => f.write_str(")"),
        }
    }
}

impl RefusalLog {
    pub(crate) fn new() -> Self {
        Self { theirs: lines(), ours: lines(), left_out: Mutex::default() }
    }

    /// Whether this refusal may have its own line. If not, it is counted.
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

    /// Counts a refusal that never has its own line.
    pub(crate) fn count(&self, reason: &'static str) {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default().count += 1;
    }

    /// Like [`Self::count`], if the operator should know whose share is used up.
    pub(crate) fn count_of(&self, reason: &'static str, network: Network) {
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = left_out.entry(reason).or_default();
        counted.count += 1;
        match counted.of.contains(&network) {
            true => {}
            false if counted.of.len() < NAMED => counted.of.push(network),
            false => counted.others = true,
        }
    }

    /// Logs the counts since the last time, if there are any.
    pub(crate) fn tell(&self) {
        let left_out = std::mem::take(&mut *self.left_out.lock().unwrap_or_else(PoisonError::into_inner));
        if left_out.is_empty() {
            return;
        }
        let total: u64 = left_out.values().map(|counted| counted.count).sum();
        let reasons: Vec<String> =
            left_out.iter().map(|(reason, counted)| format!("{reason} {counted}")).collect();
        tracing::warn!(
            total,
            reasons = reasons.join(", "),
            "refused requests that were not logged one by one"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_03_lines_are_limited_and_the_rest_are_counted() {
        let log = RefusalLog::new();
        let lines = (0..10_000).filter(|_| log.admits(Fault::Theirs, "not-found")).count();
        // The quota restores some while the test runs, but less than a tenth of all.
        assert!((200..1_000).contains(&lines), "{lines}");
        assert_eq!(log.left_out.lock().unwrap()["not-found"].count, 10_000 - lines as u64);
        assert!(log.admits(Fault::Ours, "unavailable"), "our own failures are not hidden");
        log.tell();
        assert!(log.left_out.lock().unwrap().is_empty());
    }

    #[test]
    fn fault_04_the_first_addresses_that_used_up_their_share_are_named() {
        let log = RefusalLog::new();
        let told = |reason| log.left_out.lock().unwrap()[reason].to_string();
        for _ in 0..3 {
            log.count("not-found");
            log.count_of("requests in progress", Network::of("192.0.2.1".parse().unwrap()));
        }
        assert_eq!((told("not-found"), told("requests in progress")), ("3".into(), "3 (192.0.2.1)".into()));
        for number in 0..100u8 {
            log.count_of("requests in progress", Network::of(std::net::IpAddr::from([192, 0, 2, number])));
        }
        assert_eq!(told("requests in progress"), "103 (192.0.2.1 192.0.2.0 192.0.2.2 192.0.2.3 and others)");
    }
}
