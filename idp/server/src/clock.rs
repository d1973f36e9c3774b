//! The clock, an input like any other. In `dev` it can be moved forward to try out expiry.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use idp_core::time::Timestamp;

/// The server's clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.machine().millis().saturating_add(self.offset.load(Ordering::Relaxed)))
    }

    /// The machine's current time, no matter how far this clock was moved.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub(crate) fn machine(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// How far the clock was moved.
    pub fn offset(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.offset.load(Ordering::Relaxed)).unwrap_or(0))
    }

    /// Moves the clock forward, together with every clone.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset.fetch_add(by, Ordering::Relaxed);
    }

    /// Returns to the machine's clock.
    pub fn reset(&self) {
        self.offset.store(0, Ordering::Relaxed);
    }
}
