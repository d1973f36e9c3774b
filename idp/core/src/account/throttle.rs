//! Lock-out arithmetic. A try is counted before the password is verified, so that a hundred tries at once
//! cannot slip through together; a right password clears the counter.

use std::time::Duration;

use crate::time::{DAY, MINUTE, Timestamp};

/// How many tries a counter allows, and what follows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Wrong tries within [`Limits::window`] that cause a lock-out.
    pub tries: i64,
    /// How long wrong tries count.
    pub window: Duration,
    /// Whether the window slides: each try restarts it, so no period of this length ever holds more than `tries`.
    /// Otherwise it is fixed and begins with the first try, for counters that many people share.
    pub sliding: bool,
    /// The first lock-out; each further one is twice as long.
    pub lock: Duration,
    /// No lock-out is longer.
    pub longest_lock: Duration,
    /// Wrong tries in a row after which waiting does not help, only a reset.
    pub in_a_row: Option<i64>,
}

/// For one account, whoever tries (SP 800-63B-4 section 3.2.2: at most 100 in a row).
pub const ACCOUNT: Limits = Limits {
    tries: 10,
    window: MINUTE.saturating_mul(15),
    sliding: true,
    lock: MINUTE.saturating_mul(15),
    longest_lock: DAY,
    in_a_row: Some(100),
};
/// For one client address, whichever accounts it tries. An office shares one, so more errors are allowed, and no
/// lock-out is longer than the first: it mostly hits other people.
pub const NETWORK: Limits =
    Limits { tries: 50, sliding: false, longest_lock: ACCOUNT.lock, in_a_row: None, ..ACCOUNT };

/// The counter of one account, one known browser of an account, or one client address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Tries in the window that were not proven right.
    pub failures: i64,
    /// When the window begins.
    pub window_start: Timestamp,
    /// Tries in a row that were not proven right.
    pub in_a_row: i64,
    /// Lock-outs in a row.
    pub locks: i64,
    /// Until when it is locked.
    pub locked_until: Option<Timestamp>,
}

/// What a counted try may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// Verify the password. `locks_until`: if this try fails, the counter is locked until then.
    Granted {
        /// Set on the last try before a lock-out.
        locks_until: Option<Timestamp>,
    },
    /// Too many tries: say so, verify nothing.
    Locked {
        /// Until when.
        until: Timestamp,
    },
    /// Too many tries in a row; only a password reset or an administrator unlocks it.
    LockedForGood,
}

impl Throttle {
    /// An empty counter.
    pub fn new(now: Timestamp) -> Self {
        Self { failures: 0, window_start: now, in_a_row: 0, locks: 0, locked_until: None }
    }

    /// Counts one try, if it is allowed.
    pub fn reserve(&mut self, limits: &Limits, now: Timestamp) -> Reservation {
        if self.is_locked_for_good(limits) {
            return Reservation::LockedForGood;
        }
        if let Some(until) = self.locked_until.filter(|until| *until > now) {
            // A longer lock-out than allowed dates from a version that made such ones: shorten it.
            let until = until.min(now.plus(limits.longest_lock));
            self.locked_until = Some(until);
            return Reservation::Locked { until };
        }
        let lock_is_over = self.locked_until.take().is_some();
        if lock_is_over || now.since(self.window_start) >= limits.window || self.failures == 0 {
            (self.failures, self.window_start) = (0, now);
        }
        if limits.sliding {
            self.window_start = now;
        }
        self.failures += 1;
        self.in_a_row += 1;
        let locks = self.failures >= limits.tries || self.is_locked_for_good(limits);
        let locks_until = locks.then(|| self.lock(limits, now));
        Reservation::Granted { locks_until }
    }

    /// Whether there were too many tries in a row, so that only a reset opens it.
    pub fn is_locked_for_good(&self, limits: &Limits) -> bool {
        limits.in_a_row.is_some_and(|most| self.in_a_row >= most)
    }

    /// The reserved try was right, or was not made after all. For a counter that other people share: takes back that
    /// one try only. A lock-out is lifted only if the other tries would not have caused it: somebody who knows one
    /// right password must not lift what wrong ones caused.
    pub fn refund(&mut self, limits: &Limits, now: Timestamp) {
        self.failures = (self.failures - 1).max(0);
        self.in_a_row = (self.in_a_row - 1).max(0);
        if self.failures < limits.tries && self.locked_until.is_some_and(|until| until > now) {
            self.locked_until = None;
            self.locks = (self.locks - 1).max(0);
        }
    }

    fn lock(&mut self, limits: &Limits, now: Timestamp) -> Timestamp {
        let doublings = u32::try_from(self.locks.clamp(0, 20)).unwrap_or(0);
        let lock = limits.lock.saturating_mul(1 << doublings).min(limits.longest_lock);
        let until = now.plus(lock);
        self.locks += 1;
        self.locked_until = Some(until);
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn tries(throttle: &mut Throttle, count: usize, now: Timestamp) -> Vec<Reservation> {
        (0..count).map(|_| throttle.reserve(&ACCOUNT, now)).collect()
    }

    #[test]
    fn lg_06_the_tenth_wrong_try_in_a_quarter_of_an_hour_locks_for_a_quarter() {
        let mut throttle = Throttle::new(START);
        assert!(
            tries(&mut throttle, 9, START).iter().all(|r| *r == Reservation::Granted { locks_until: None })
        );
        let until = START.plus(MINUTE * 15);
        assert_eq!(throttle.reserve(&ACCOUNT, START), Reservation::Granted { locks_until: Some(until) });
        assert_eq!(throttle.reserve(&ACCOUNT, START), Reservation::Locked { until });
        assert_eq!(throttle.in_a_row, 10, "a refused try is not counted");
        assert!(matches!(throttle.reserve(&ACCOUNT, until), Reservation::Granted { .. }));
    }

    #[test]
    fn nine_wrong_tries_each_quarter_do_not_lock() {
        let mut throttle = Throttle::new(START);
        for quarter in 0..5 {
            let now = START.plus(MINUTE * 15 * quarter);
            assert!(
                tries(&mut throttle, 9, now).iter().all(|r| *r == Reservation::Granted { locks_until: None })
            );
        }
    }

    #[test]
    fn lg_06_ten_wrong_tries_lock_wherever_a_quarter_of_an_hour_begins() {
        let mut throttle = Throttle::new(START);
        tries(&mut throttle, 1, START);
        tries(&mut throttle, 8, START.plus(SECOND * 890));
        let last = throttle.reserve(&ACCOUNT, START.plus(SECOND * 905));
        assert!(matches!(last, Reservation::Granted { locks_until: Some(_) }), "{last:?}");
    }

    #[test]
    fn an_office_that_errs_now_and_then_is_never_locked() {
        let (mut throttle, mut now) = (Throttle::new(START), START);
        for _ in 0..500 {
            assert_eq!(throttle.reserve(&NETWORK, now), Reservation::Granted { locks_until: None });
            now = now.plus(SECOND * 30);
        }
    }

    #[test]
    fn each_lock_is_twice_as_long_up_to_a_day() {
        let (mut throttle, mut now, mut minutes) = (Throttle::new(START), START, Vec::new());
        for _ in 0..9 {
            throttle.in_a_row = 0;
            tries(&mut throttle, 10, now);
            let until = throttle.locked_until.unwrap();
            minutes.push(until.since(now).as_secs() / 60);
            now = until;
        }
        assert_eq!(minutes, [15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
    }

    #[test]
    fn fault_16_the_lock_of_a_network_never_grows() {
        let (mut throttle, mut now) = (Throttle::new(START), START);
        for round in 0..9 {
            for _ in 0..50 {
                assert!(matches!(throttle.reserve(&NETWORK, now), Reservation::Granted { .. }), "{round}");
            }
            let Reservation::Locked { until } = throttle.reserve(&NETWORK, now) else { panic!("{round}") };
            assert_eq!(until, now.plus(MINUTE * 15), "{round}");
            now = until;
        }
    }

    #[test]
    fn fault_16_a_longer_lock_from_an_older_version_ends_a_quarter_of_an_hour_after_the_next_try() {
        let mut throttle = Throttle { locks: 7, locked_until: Some(START.plus(DAY)), ..Throttle::new(START) };
        let until = START.plus(MINUTE * 15);
        for minutes in [0, 5, 14] {
            let met = throttle.reserve(&NETWORK, START.plus(MINUTE * minutes));
            assert_eq!(met, Reservation::Locked { until });
        }
        assert_eq!(throttle.reserve(&NETWORK, until), Reservation::Granted { locks_until: None });
        let mut account = Throttle { locks: 7, locked_until: Some(START.plus(DAY)), ..Throttle::new(START) };
        assert_eq!(account.reserve(&ACCOUNT, START), Reservation::Locked { until: START.plus(DAY) });
    }

    #[test]
    fn lg_06_after_a_hundred_wrong_tries_in_a_row_waiting_does_not_help() {
        let (mut throttle, mut now) = (Throttle::new(START), START);
        for _ in 0..10 {
            tries(&mut throttle, 10, now);
            now = throttle.locked_until.unwrap();
        }
        assert_eq!(throttle.reserve(&ACCOUNT, now.plus(DAY * 365)), Reservation::LockedForGood);
        assert_eq!(throttle.in_a_row, 100);
    }

    #[test]
    fn fault_17_the_hundredth_try_in_a_row_is_a_lock_however_far_apart_the_tries_are() {
        let mut throttle = Throttle::new(START);
        for number in 0..99 {
            let now = START.plus(MINUTE * 20 * number);
            assert_eq!(throttle.reserve(&ACCOUNT, now), Reservation::Granted { locks_until: None });
        }
        let now = START.plus(DAY * 3);
        assert!(matches!(throttle.reserve(&ACCOUNT, now), Reservation::Granted { locks_until: Some(_) }));
        assert_eq!(throttle.reserve(&ACCOUNT, now), Reservation::LockedForGood);
        throttle.refund(&ACCOUNT, now);
        assert_eq!((throttle.in_a_row, throttle.locked_until), (99, None), "it was not made after all");
    }

    #[test]
    fn a_network_is_locked_later_and_never_for_good() {
        let mut throttle = Throttle::new(START);
        throttle.in_a_row = 1_000;
        for _ in 0..49 {
            assert_eq!(throttle.reserve(&NETWORK, START), Reservation::Granted { locks_until: None });
        }
        assert!(matches!(throttle.reserve(&NETWORK, START), Reservation::Granted { locks_until: Some(_) }));
    }

    #[test]
    fn a_right_password_gives_back_its_own_try() {
        let mut throttle = Throttle::new(START);
        tries(&mut throttle, 5, START);
        throttle.refund(&ACCOUNT, START);
        assert_eq!((throttle.failures, throttle.in_a_row), (4, 4));
    }

    #[test]
    fn lg_09_a_right_password_in_between_gives_nobody_more_wrong_tries() {
        let mut throttle = Throttle::new(START);
        let wrong = |throttle: &mut Throttle| throttle.reserve(&NETWORK, START);
        for _ in 0..49 {
            assert!(matches!(wrong(&mut throttle), Reservation::Granted { locks_until: None }));
        }
        // The fiftieth is right: no lock-out, and no fresh start either.
        assert!(matches!(wrong(&mut throttle), Reservation::Granted { locks_until: Some(_) }));
        throttle.refund(&NETWORK, START);
        assert_eq!((throttle.failures, throttle.locks, throttle.locked_until), (49, 0, None));
        assert!(matches!(wrong(&mut throttle), Reservation::Granted { locks_until: Some(_) }));
        assert!(matches!(wrong(&mut throttle), Reservation::Locked { .. }));
    }

    #[test]
    fn a_right_password_under_way_does_not_lift_the_lock_that_wrong_ones_caused() {
        let mut throttle = Throttle::new(START);
        throttle.reserve(&NETWORK, START);
        let few = Limits { tries: 3, ..NETWORK };
        for _ in 0..2 {
            throttle.reserve(&few, START);
        }
        assert!(throttle.locked_until.is_some());
        // Two wrong and one right: the lock-out came too early.
        throttle.refund(&few, START);
        assert_eq!((throttle.locked_until, throttle.failures), (None, 2));
        throttle.reserve(&few, START);
        throttle.refund(&Limits { tries: 2, ..few }, START);
        assert!(throttle.locked_until.is_some(), "enough wrong ones are left");
    }

    #[test]
    fn a_clock_that_goes_backwards_opens_nothing() {
        let mut throttle = Throttle::new(START);
        tries(&mut throttle, 10, START);
        let earlier = START.minus(MINUTE * 60);
        assert!(matches!(throttle.reserve(&ACCOUNT, earlier), Reservation::Locked { .. }));
    }
}
