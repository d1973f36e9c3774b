//! The queues in front of the hashing threads, bounded by time.
//!
//! A job's wait is estimated from the jobs ahead of it and the recent cost of such jobs. When several lanes have work,
//! each gets its share of the threads' time (weighted fair queueing), so a flood in one lane delays the others by no
//! more than that lane's share.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::HashingConfig;

/// What a job is for, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A sign-in from a known browser of the account.
    KnownBrowser,
    /// Any other sign-in, or the password that proves a registration.
    SignIn,
    /// Judging and hashing a new password: expensive, and anybody may ask for it.
    Registration,
}

impl Lane {
    const ALL: [Self; 3] = [Self::KnownBrowser, Self::SignIn, Self::Registration];

    /// The share of the threads' time when every lane has work. Against `SignIn` alone, registrations get a quarter.
    fn weight(self) -> u32 {
        match self {
            Self::KnownBrowser => 6,
            Self::SignIn => 3,
            Self::Registration => 1,
        }
    }

    /// The assumed cost of a job until one has been measured: an Argon2id hash takes about 15 ms.
    fn first_cost(self) -> Duration {
        Duration::from_millis(match self {
            Self::KnownBrowser => 15,
            Self::SignIn => 30,
            Self::Registration => 20,
        })
    }
}

/// The lowest cost assumed for a job, so that a queue bounded by time is also bounded in length, and so in memory.
const LEAST_COST: Duration = Duration::from_millis(5);
/// One measurement is one part in this many of the moving average.
const SMOOTHING: u32 = 8;
/// A job that took longer than this many average ones was held up by the machine; it counts as this many.
const OUTLIER: u32 = 4;

struct Queue<J> {
    lane: Lane,
    jobs: VecDeque<J>,
    /// The cost of one job, as a moving average.
    cost: Duration,
    /// The longest time a job may wait.
    patience: Duration,
    /// The time this lane has had, divided by its weight. The lane with the least goes next.
    served: Duration,
}

/// All lanes.
pub(crate) struct Lanes<J> {
    queues: [Queue<J>; 3],
    threads: u32,
    /// The [`Queue::served`] of the lane served last. A lane that was empty starts from it, so it saves up nothing.
    present: Duration,
}

impl<J> Lanes<J> {
    /// Empty lanes in front of `threads` threads.
    pub(crate) fn new(threads: usize, config: &HashingConfig) -> Self {
        let queue = |lane: Lane| Queue {
            lane,
            jobs: VecDeque::new(),
            cost: lane.first_cost(),
            patience: match lane {
                Lane::KnownBrowser | Lane::SignIn => config.sign_in_wait,
                Lane::Registration => config.registration_wait,
            },
            served: Duration::ZERO,
        };
        let threads = u32::try_from(threads).unwrap_or(u32::MAX).max(1);
        Self { queues: Lane::ALL.map(queue), threads, present: Duration::ZERO }
    }

    /// Queues a job unless it would wait too long. Jobs that nobody waits for are dropped before it is refused.
    ///
    /// # Errors
    /// The time the job would have waited.
    pub(crate) fn push(&mut self, lane: Lane, job: J, is_gone: impl Fn(&J) -> bool) -> Result<(), Duration> {
        if self.is_full(lane) {
            self.queues.iter_mut().for_each(|queue| queue.jobs.retain(|job| !is_gone(job)));
        }
        if self.is_full(lane) {
            return Err(self.wait(lane));
        }
        let present = self.present;
        let queue = self.queue(lane);
        if queue.jobs.is_empty() {
            queue.served = queue.served.max(present);
        }
        queue.jobs.push_back(job);
        Ok(())
    }

    /// The next job: from the lane that has had the least of its share; in a tie, from the more urgent lane.
    pub(crate) fn next(&mut self) -> Option<(Lane, J)> {
        let waiting = self.queues.iter_mut().filter(|queue| !queue.jobs.is_empty());
        let queue = waiting.min_by_key(|queue| queue.served)?;
        self.present = queue.served;
        queue.served += queue.cost / queue.lane.weight();
        queue.jobs.pop_front().map(|job| (queue.lane, job))
    }

    /// Records the cost of a job that hashed a password. Other jobs cost less and must not be recorded.
    pub(crate) fn measured(&mut self, lane: Lane, took: Duration) {
        let queue = self.queue(lane);
        let took = took.min(queue.cost * OUTLIER);
        queue.cost = ((queue.cost * (SMOOTHING - 1) + took) / SMOOTHING).max(LEAST_COST);
    }

    /// How long a job would wait now: until all waiting work is done, or until its lane's share has covered the jobs
    /// ahead of it in its own lane, whichever comes first.
    fn wait(&self, lane: Lane) -> Duration {
        let own = self.queues.iter().find(|queue| queue.lane == lane).map_or(Duration::ZERO, Queue::work);
        let others = self.queues.iter().filter(|queue| queue.lane != lane && !queue.jobs.is_empty());
        let weights = lane.weight() + others.map(|queue| queue.lane.weight()).sum::<u32>();
        let all: Duration = self.queues.iter().map(Queue::work).sum();
        all.min(own * weights / lane.weight()) / self.threads
    }

    fn is_full(&self, lane: Lane) -> bool {
        self.queues.iter().any(|queue| queue.lane == lane && self.wait(lane) > queue.patience)
    }

    fn queue(&mut self, lane: Lane) -> &mut Queue<J> {
        &mut self.queues[lane as usize]
    }
}

impl<J> Queue<J> {
    /// The total cost of the jobs that wait here.
    fn work(&self) -> Duration {
        self.cost * u32::try_from(self.jobs.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(threads: usize) -> Lanes<u32> {
        Lanes::new(threads, &HashingConfig::default())
    }

    /// Pushes jobs until one is refused. Returns how many were accepted and how long that one would have waited.
    fn fill(lanes: &mut Lanes<u32>, lane: Lane) -> (u32, Duration) {
        (0..100_000)
            .find_map(|number| lanes.push(lane, number, |_| false).err().map(|wait| (number, wait)))
            .unwrap()
    }

    #[test]
    fn fault_02_a_lane_accepts_what_can_be_done_within_its_longest_wait() {
        for (lane, seconds) in [(Lane::KnownBrowser, 2), (Lane::SignIn, 2), (Lane::Registration, 1)] {
            for threads in [1, 4] {
                let mut lanes = lanes(threads);
                for _ in 0..200 {
                    lanes.measured(lane, Duration::from_millis(50));
                }
                let (taken, wait) = fill(&mut lanes, lane);
                let expected = seconds * 20 * u32::try_from(threads).unwrap();
                assert!(taken.abs_diff(expected) <= 2, "{lane:?}: {taken} on {threads} threads");
                assert!(wait > Duration::from_secs(seconds.into()) && wait.as_secs() <= seconds.into());
                // Of more expensive jobs, fewer; and of jobs that cost nothing, still a bounded number.
                let mut expensive = Lanes::<u32>::new(threads, &HashingConfig::default());
                for _ in 0..200 {
                    expensive.measured(lane, Duration::from_millis(500));
                }
                assert!(fill(&mut expensive, lane).0 <= expected / 10 + 2);
                let mut cheap = Lanes::<u32>::new(threads, &HashingConfig::default());
                for _ in 0..200 {
                    cheap.measured(lane, Duration::ZERO);
                }
                assert!(fill(&mut cheap, lane).0 <= expected * 10 + 2);
            }
        }
    }

    #[test]
    fn fault_02_a_sign_in_goes_before_every_waiting_registration() {
        let mut lanes = lanes(1);
        fill(&mut lanes, Lane::Registration);
        lanes.next();
        lanes.push(Lane::SignIn, 7, |_| false).unwrap();
        lanes.push(Lane::KnownBrowser, 8, |_| false).unwrap();
        let order: Vec<Lane> = (0..3).filter_map(|_| lanes.next()).map(|(lane, _)| lane).collect();
        assert_eq!(order, [Lane::KnownBrowser, Lane::SignIn, Lane::Registration]);
    }

    #[test]
    fn fault_02_beside_sign_ins_registrations_get_a_quarter_of_the_time() {
        let mut lanes = lanes(1);
        for lane in [Lane::SignIn, Lane::Registration] {
            for _ in 0..200 {
                lanes.measured(lane, Duration::from_millis(20));
            }
        }
        fill(&mut lanes, Lane::SignIn);
        fill(&mut lanes, Lane::Registration);
        let first: Vec<Lane> = (0..40).filter_map(|_| lanes.next()).map(|(lane, _)| lane).collect();
        let registrations = first.iter().filter(|lane| **lane == Lane::Registration).count();
        assert!((9..=11).contains(&registrations), "{registrations} of 40");
        // While sign-ins wait, fewer registrations are accepted: a quarter of a second of work.
        let waiting = lanes.queues[Lane::Registration as usize].jobs.len() + registrations;
        assert!((11..=15).contains(&waiting), "{waiting}");
    }

    #[test]
    fn fault_02_an_idle_lane_saves_up_nothing() {
        let mut lanes = lanes(1);
        fill(&mut lanes, Lane::SignIn);
        for _ in 0..30 {
            lanes.next();
        }
        for number in 0..5 {
            lanes.push(Lane::Registration, number, |_| false).unwrap();
        }
        let next: Vec<Lane> = (0..4).filter_map(|_| lanes.next()).map(|(lane, _)| lane).collect();
        assert!(next.iter().filter(|lane| **lane == Lane::Registration).count() <= 2, "{next:?}");
    }

    #[test]
    fn fault_02_abandoned_jobs_keep_nobody_out() {
        let mut lanes = lanes(1);
        let (taken, _) = fill(&mut lanes, Lane::SignIn);
        assert!(lanes.push(Lane::SignIn, 1_000, |_| false).is_err());
        assert_eq!(lanes.push(Lane::SignIn, 1_000, |job| *job < taken), Ok(()));
        assert_eq!(lanes.next(), Some((Lane::SignIn, 1_000)));
    }

    #[test]
    fn fault_02_one_slow_job_does_not_close_a_lane() {
        let mut lanes = lanes(1);
        lanes.measured(Lane::SignIn, Duration::from_secs(3600));
        let (taken, _) = fill(&mut lanes, Lane::SignIn);
        assert!(taken > 40, "{taken}");
    }
}
