//! Time as a value: unix milliseconds, the one unit in memory and in the database.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time, in milliseconds since 1970-01-01 UTC. Seconds appear only inside tokens ([`Timestamp::seconds`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From unix milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Unix milliseconds, as stored.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Unix seconds, rounded down: the NumericDate of RFC 7519 section 2.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This time plus a span; saturates at the end of time instead of wrapping into the past.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// This time minus a span.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// How long ago `earlier` was, seen from here; zero if it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whole minutes until `later`, rounded up and at least one, for sentences such as "wait 3 minutes".
    pub fn minutes_until(self, later: Self) -> u64 {
        later.since(self).as_millis().div_ceil(60_000).max(1) as u64
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One second.
pub const SECOND: Duration = Duration::from_secs(1);
/// Sixty seconds.
pub const MINUTE: Duration = Duration::from_secs(60);
/// Sixty minutes.
pub const HOUR: Duration = Duration::from_secs(60 * 60);
/// Twenty-four hours; no calendar, no daylight saving.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end.plus(DAY), end);
        assert_eq!(Timestamp::from_millis(0).since(end), Duration::ZERO);
    }

    #[test]
    fn seconds_round_down_also_before_1970() {
        assert_eq!(Timestamp::from_millis(1_999).seconds(), 1);
        assert_eq!(Timestamp::from_millis(-1).seconds(), -1);
    }

    #[test]
    fn a_wait_is_never_shown_as_zero_minutes() {
        let now = Timestamp::from_millis(0);
        assert_eq!(now.minutes_until(now), 1);
        assert_eq!(now.minutes_until(now.plus(SECOND * 61)), 2);
    }

    #[test]
    fn times_after_2038_keep_their_seconds() {
        assert_eq!(Timestamp::from_millis(4_102_444_800_000).seconds(), 4_102_444_800);
    }
}
