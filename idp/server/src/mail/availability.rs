//! Whether the mail server takes mail at all. After a failure that every mail would meet, all wait; then one mail tries
//! for all of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use idp_core::mail_server::{Step, Trouble, server_wait};
use idp_core::time::{MINUTE, Timestamp};

/// How many mails are sent at once. A slow one holds up only itself, and a mail server sees few connections.
pub(crate) const AT_ONCE: usize = 8;

/// After this time without a refusal, a server that was crowded gets one connection more.
const GROWS_AFTER: Duration = MINUTE;

#[derive(Default)]
pub(crate) struct Availability(Mutex<State>);

#[derive(Default)]
struct State {
    /// Failures in a row.
    failures: i64,
    paused_until: Option<Timestamp>,
    /// What the log was told last.
    told: Option<(Step, Trouble)>,
    /// How many mails are being handed over.
    open: usize,
    /// How many the server takes at once, and when one more is tried. `None`: it refused none yet.
    most: Option<(usize, Timestamp)>,
}

impl State {
    /// How many mails the server takes at once, as far as we know.
    fn most(&mut self, now: Timestamp) -> usize {
        let Some((most, grows_at)) = self.most else { return AT_ONCE };
        if now < grows_at {
            return most;
        }
        self.most = (most + 1 < AT_ONCE).then(|| (most + 1, now.plus(GROWS_AFTER)));
        self.most.map_or(AT_ONCE, |(most, _)| most)
    }
}

/// A mail that is being handed over, until this is dropped.
pub(crate) struct Open<'a>(&'a Availability);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open = state.open.saturating_sub(1);
    }
}

impl Availability {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many mails may be in progress now.
    pub(crate) fn room(&self, now: Timestamp) -> usize {
        let mut state = self.state();
        match state.paused_until {
            Some(until) if until > now => 0,
            Some(_) => 1,
            None => state.most(now),
        }
    }

    /// Counts a mail as being handed over.
    pub(crate) fn begin(&self) -> Open<'_> {
        self.state().open += 1;
        Open(self)
    }

    /// The server refused to begin. `true`: others are being handed over, so it was one too many, and no more than those
    /// are sent at once for a while.
    pub(crate) fn is_crowded(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        if state.open == 0 {
            return false;
        }
        let most = state.most(now).min(state.open);
        state.most = Some((most, now.plus(GROWS_AFTER)));
        true
    }

    /// Pauses after a failure. `true`: the log does not know this one yet. Mails that were in progress together fail
    /// together, and count once.
    pub(crate) fn failed(&self, step: Step, trouble: Trouble, for_operator: bool, now: Timestamp) -> bool {
        let mut state = self.state();
        if state.paused_until.is_none_or(|until| until <= now) {
            state.failures += 1;
            state.most = None;
            state.paused_until = Some(now.plus(server_wait(state.failures, for_operator)));
        }
        state.told.replace((step, trouble)) != Some((step, trouble))
    }

    /// The server takes mail. `true`: it did not until now.
    pub(crate) fn works(&self) -> bool {
        let mut state = self.state();
        (state.paused_until, state.told) = (None, None);
        std::mem::take(&mut state.failures) > 0
    }
}

#[cfg(test)]
mod tests {
    use idp_core::time::SECOND;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const BUSY: Trouble = Trouble::Reply { code: 421, status: None };

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

    #[test]
    fn fault_20_a_crowded_server_gets_no_more_than_it_takes_and_later_one_more_at_a_time() {
        let server = Availability::default();
        assert!(!server.is_crowded(NOW), "nothing else is open");
        let open: Vec<_> = (0..3).map(|_| server.begin()).collect();
        assert!(server.is_crowded(NOW));
        assert_eq!(server.room(NOW.plus(SECOND * 59)), 3);
        drop(open);
        assert!(!server.works(), "it was never away");
        assert_eq!(server.room(NOW.plus(MINUTE)), 4);
        let open: Vec<_> = (0..3).map(|_| server.begin()).collect();
        assert!(server.is_crowded(NOW.plus(MINUTE)));
        assert_eq!(server.room(NOW.plus(MINUTE)), 3);
        let rooms: Vec<_> = (2..=8).map(|minute| server.room(NOW.plus(MINUTE * minute))).collect();
        assert_eq!(rooms, [4, 5, 6, 7, 8, 8, 8]);
        drop(open);
        assert!(!server.is_crowded(NOW), "then it is away");
    }
}
