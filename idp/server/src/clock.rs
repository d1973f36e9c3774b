//! The clock: an input like any other. In `dev` it can be moved forward, so that expiry can be tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use idp_core::time::Timestamp;

/// What the server takes for the present moment.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.machine().millis().saturating_add(self.offset.load(Ordering::Relaxed)))
    }

    /// What the machine takes for the present moment, however far this clock was moved.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub(crate) fn machine(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// How far it was moved.
    pub fn offset(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.offset.load(Ordering::Relaxed)).unwrap_or(0))
    }

    /// Moves it forward; every copy moves with it.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset.fetch_add(by, Ordering::Relaxed);
    }

    /// Back to the machine's clock.
    pub fn reset(&self) {
        self.offset.store(0, Ordering::Relaxed);
    }
}
