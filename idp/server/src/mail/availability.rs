//! Whether the mail server takes mail at all, and how much at once. After a failure that every mail would meet, all wait;
//! then one mail tries for all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use idp_core::mail_server::{SmtpStep, Trouble, server_wait};
use idp_core::time::{MINUTE, Timestamp};
use tokio::time::Instant;

/// How many mails are sent at once. A slow one holds up only itself, and a mail server sees few connections.
pub(crate) const AT_ONCE: usize = 8;

/// After this time without a refusal, a server that was crowded gets one connection more.
const GROWS_AFTER: Duration = MINUTE;
/// How long a server may count a connection that we have closed.
const LINGERS: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(crate) struct Availability(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Failures in a row.
    failures: i64,
    paused_until: Option<Timestamp>,
    /// What the log was told last.
    told: Option<(SmtpStep, Trouble)>,
    /// How many connections are being opened, in use, or kept for the next mail.
    open: usize,
    /// When we closed one last. `None` too if another was attempted since.
    closed: Option<Instant>,
    narrow: Option<Narrow>,
}

/// Why fewer mails than usual are sent at once.
struct Narrow {
    /// How many the server took at once, when it refused one more last.
    most: usize,
    since: Timestamp,
    /// What it said first, until the log is told.
    untold: Option<Refusal>,
}

/// A refusal to begin, while other connections were open.
pub(crate) struct Refusal {
    pub(crate) step: SmtpStep,
    pub(crate) trouble: Trouble,
    /// In words for the log.
    pub(crate) shown: String,
}

impl Narrow {
    /// How many are sent at once now: one more with each minute. It is over when more than usual could be.
    fn width(&self, now: Timestamp) -> usize {
        let minutes = now.since(self.since).as_secs() / GROWS_AFTER.as_secs();
        self.most.saturating_add(usize::try_from(minutes).unwrap_or(AT_ONCE))
    }
}

impl State {
    /// How many mails the server takes at once, as far as we know.
    fn most(&self, now: Timestamp) -> usize {
        self.narrow.as_ref().map_or(AT_ONCE, |narrow| narrow.width(now).min(AT_ONCE))
    }

    /// Whether the server may still count a connection that we have closed.
    fn one_lingers(&self) -> bool {
        self.closed.is_some_and(|closed| closed.elapsed() < LINGERS)
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection to the server, from the attempt until this is dropped.
pub(crate) struct Open {
    state: Arc<Mutex<State>>,
    /// Whether the server may have counted others when this one was attempted.
    has_others: bool,
    is_taken: bool,
}

impl Open {
    /// How many others are open now; at least one if the server may have counted any since this one was attempted.
    pub(crate) fn others(&self) -> usize {
        let state = locked(&self.state);
        state.open.saturating_sub(1).max(usize::from(self.has_others || state.one_lingers()))
    }

    /// The server has taken the connection.
    pub(crate) fn taken(&mut self) {
        self.is_taken = true;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = locked(&self.state);
        state.open = state.open.saturating_sub(1);
        if self.is_taken {
            state.closed = Some(Instant::now());
        }
    }
}

impl Availability {
    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.0)
    }

    /// How many mails may be in progress now.
    pub(crate) fn room(&self, now: Timestamp) -> usize {
        let state = self.state();
        match state.paused_until {
            Some(until) if until > now => 0,
            Some(_) => 1,
            None => state.most(now),
        }
    }

    /// Counts a connection that is about to be opened.
    pub(crate) fn attempt(&self) -> Open {
        let mut state = self.state();
        // Only this attempt is excused: if the server is away, the next one shows it.
        let has_others = state.open > 0 || state.one_lingers();
        state.closed = None;
        state.open += 1;
        Open { state: Arc::clone(&self.0), has_others, is_taken: false }
    }

    /// The server refused to begin while `others` were open (at least one), so it was one too many: no more than those are
    /// sent at once for a while. Returns how many; none while all mail waits.
    pub(crate) fn crowded(&self, others: usize, refusal: Refusal, now: Timestamp) -> usize {
        let mut state = self.state();
        if state.paused_until.is_some() {
            return 0;
        }
        let most = others.min(state.most(now));
        let untold = state.narrow.take().map_or(Some(refusal), |narrow| narrow.untold);
        state.narrow = Some(Narrow { most, since: now, untold });
        most
    }

    /// How many are sent at once because of which refusal, unless the log knows. To be asked after the server took mail:
    /// if it takes none at all, it was not crowded.
    pub(crate) fn narrowed(&self, now: Timestamp) -> Option<(usize, Refusal)> {
        let mut state = self.state();
        let most = state.most(now);
        Some((most, state.narrow.as_mut()?.untold.take()?))
    }

    /// As many as usual have been sent at once for a while without a refusal. `true`: the log still says otherwise.
    pub(crate) fn is_wide_again(&self, now: Timestamp) -> bool {
        let over = self.state().narrow.take_if(|narrow| narrow.width(now) > AT_ONCE);
        over.is_some_and(|narrow| narrow.untold.is_none())
    }

    /// Pauses after a failure. `true`: the log does not know this one yet. Mails that were in progress together fail
    /// together, and count once.
    pub(crate) fn failed(
        &self,
        step: SmtpStep,
        trouble: Trouble,
        for_operator: bool,
        now: Timestamp,
    ) -> bool {
        let mut state = self.state();
        if state.paused_until.is_none_or(|until| until <= now) {
            state.failures += 1;
            state.narrow = None;
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
        assert!(server.failed(SmtpStep::Connection, BUSY, false, NOW));
        assert!(!server.failed(SmtpStep::Connection, BUSY, false, NOW), "the log knows");
        assert_eq!(server.room(NOW.plus(SECOND * 9)), 0);
        let again = NOW.plus(SECOND * 10);
        assert_eq!(server.room(again), 1);
        assert!(server.failed(SmtpStep::Connection, Trouble::Silence, false, again), "something else");
        assert_eq!(server.room(again.plus(SECOND * 19)), 0, "longer than the first time");
        assert!(server.works());
        assert!(!server.works());
        assert_eq!(server.room(again), AT_ONCE);
    }

    fn busy() -> Refusal {
        Refusal { step: SmtpStep::Connection, trouble: BUSY, shown: "421 busy".to_owned() }
    }

    fn taken(server: &Availability) -> Open {
        let mut open = server.attempt();
        open.taken();
        open
    }

    #[test]
    fn fault_20_a_crowded_server_gets_no_more_than_it_takes_and_later_one_more_at_a_time() {
        let server = Availability::default();
        assert_eq!(server.attempt().others(), 0, "nothing else is open");
        let open: Vec<_> = (0..3).map(|_| taken(&server)).collect();
        let others = server.attempt().others();
        assert_eq!(others, 3);
        server.crowded(others, busy(), NOW);
        assert_eq!(server.room(NOW.plus(SECOND * 59)), 3);
        drop(open);
        assert!(!server.works(), "it was never away");
        assert_eq!(server.room(NOW.plus(MINUTE)), 4);
        server.crowded(3, busy(), NOW.plus(MINUTE));
        assert_eq!(server.room(NOW.plus(MINUTE)), 3);
        let rooms: Vec<_> = (2..=8).map(|minute| server.room(NOW.plus(MINUTE * minute))).collect();
        assert_eq!(rooms, [4, 5, 6, 7, 8, 8, 8]);
        assert_eq!(server.room(Timestamp::from_millis(i64::MAX)), AT_ONCE);
    }

    #[test]
    fn fault_20_a_server_that_refuses_all_that_are_attempted_together_ends_with_one_alone() {
        let server = Availability::default();
        let together: Vec<_> = (0..AT_ONCE).map(|_| server.attempt()).collect();
        let others: Vec<_> = together.into_iter().map(|refused| refused.others()).collect();
        assert_eq!(others, [7, 6, 5, 4, 3, 2, 1, 1]);
        others.into_iter().for_each(|others| assert_eq!(server.crowded(others, busy(), NOW), others));
        assert_eq!(server.room(NOW), 1, "then that one shows whether it is away");
    }

    #[test]
    fn fault_20_a_connection_that_ended_meanwhile_still_counts() {
        let server = Availability::default();
        let first = taken(&server);
        let second = server.attempt();
        drop(first);
        assert_eq!(second.others(), 1, "it was open when the second one was attempted");
        let third = server.attempt();
        assert_eq!((second.others(), third.others()), (1, 1));
        drop(third);
        assert_eq!(server.attempt().others(), 1);
        drop(second);
        assert_eq!(server.attempt().others(), 0, "refused connections count no longer");
    }

    #[test]
    fn fault_20_a_server_may_count_a_connection_that_was_just_closed() {
        let server = Availability::default();
        drop(taken(&server));
        assert_eq!(server.attempt().others(), 1, "it may not know yet that we closed it");
        assert_eq!(server.attempt().others(), 0, "that is an excuse for one refusal");
        let (first, second) = (server.attempt(), taken(&server));
        drop(second);
        assert_eq!(first.others(), 1, "it may have come first");
    }

    #[test]
    fn fault_20_the_log_is_told_once_that_fewer_are_sent_at_once_and_once_that_it_is_over() {
        let server = Availability::default();
        assert!(server.narrowed(NOW).is_none() && !server.is_wide_again(NOW));
        server.crowded(3, busy(), NOW);
        server.crowded(2, busy(), NOW);
        let (at_once, refusal) = server.narrowed(NOW).unwrap();
        assert_eq!((at_once, refusal.shown.as_str()), (2, "421 busy"));
        assert!(server.narrowed(NOW).is_none(), "it knows");
        let later = NOW.plus(MINUTE * 6);
        assert_eq!(server.room(later), 8);
        assert!(!server.is_wide_again(later), "that is a try");
        server.crowded(7, busy(), later);
        assert!(server.narrowed(later).is_none(), "it still knows");
        let end = later.plus(MINUTE * 2);
        assert!(!server.is_wide_again(end.minus(SECOND)));
        assert!(server.is_wide_again(end));
        assert!(!server.is_wide_again(end), "once");
        server.crowded(7, busy(), end);
        assert!(server.narrowed(end).is_some(), "again");
    }

    #[test]
    fn fault_20_a_server_that_is_away_is_not_called_crowded() {
        let server = Availability::default();
        server.crowded(1, busy(), NOW);
        assert!(server.failed(SmtpStep::Connection, BUSY, false, NOW));
        server.crowded(1, busy(), NOW);
        assert!(server.works());
        assert!(server.narrowed(NOW).is_none());
        assert_eq!(server.room(NOW), AT_ONCE);
        server.crowded(1, busy(), NOW);
        assert!(!server.is_wide_again(NOW.plus(MINUTE * 8)), "nobody was told, as no mail was taken");
    }
}
