//! Whether the mail server takes mail at all. After a failure that every mail would meet, all wait; then one mail tries
//! for all of them.

use std::sync::{Mutex, PoisonError};

use idp_core::mail_server::{Step, Trouble, server_wait};
use idp_core::time::Timestamp;

/// How many mails are sent at once. A slow one holds up only itself, and a mail server sees few connections.
pub(crate) const AT_ONCE: usize = 8;

#[derive(Default)]
pub(crate) struct Availability(Mutex<State>);

#[derive(Default)]
struct State {
    /// Failures in a row.
    failures: i64,
    paused_until: Option<Timestamp>,
    /// What the log was told last.
    told: Option<(Step, Trouble)>,
}

impl Availability {
    /// How many mails may be in progress now.
    pub(crate) fn room(&self, now: Timestamp) -> usize {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.paused_until {
            Some(until) if until > now => 0,
            Some(_) => 1,
            None => AT_ONCE,
        }
    }

    /// Pauses after a failure. `true`: the log does not know this one yet. Mails that were in progress together fail
    /// together, and count once.
    pub(crate) fn failed(&self, step: Step, trouble: Trouble, for_operator: bool, now: Timestamp) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.paused_until.is_none_or(|until| until <= now) {
            state.failures += 1;
            state.paused_until = Some(now.plus(server_wait(state.failures, for_operator)));
        }
        state.told.replace((step, trouble)) != Some((step, trouble))
    }

    /// The server takes mail. `true`: it did not until now.
    pub(crate) fn works(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *state).failures > 0
    }
}

#[cfg(test)]
mod tests {
    use idp_core::time::SECOND;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const BUSY: Trouble = Trouble::Reply { code: 421, policy: false };

    #[test]
    fn fault_20_after_a_pause_one_mail_tries_for_all() {
        let server = Availability::default();
        assert_eq!(server.room(NOW), AT_ONCE);
        assert!(server.failed(Step::Connection, BUSY, false, NOW));
        assert!(!server.failed(Step::Connection, BUSY, false, NOW), "the log knows");
        assert_eq!(server.room(NOW.plus(SECOND * 9)), 0);
        let again = NOW.plus(SECOND * 10);
        assert_eq!(server.room(again), 1);
        assert!(server.failed(Step::Connection, Trouble::Silence, false, again), "something else");
        assert_eq!(server.room(again.plus(SECOND * 19)), 0, "longer than the first time");
        assert!(server.works());
        assert!(!server.works());
        assert_eq!(server.room(again), AT_ONCE);
    }
}
