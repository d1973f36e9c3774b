//! Repeats scenarios on many connections, in a closed loop or at a fixed rate, and counts.
//!
//! Everything runs on one thread, without a pause between warm-up and rounds. An operation belongs to the round in
//! which it ends (closed loop) or was due to start (fixed rate), so none is lost between rounds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::task::JoinSet;

use crate::http::{Connection, Failure, Target};
use crate::people::Fixture;
use crate::process;
use crate::scenarios::{BareRequest, Scenario, ScenarioKind, VirtualUser};
use crate::stats::Histogram;

/// How long operations may outlast the last round before the run is aborted.
const GRACE: Duration = Duration::from_secs(30);
/// A connection stops after this many failures.
const MAX_FAILURES: u32 = 1_000;
/// The runtime's timer has a resolution of a millisecond. For less than this the generator busy-waits, on its own core.
const BUSY_WAIT: Duration = Duration::from_millis(2);

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) warm_up: Duration,
    pub(crate) round: Duration,
    pub(crate) rounds: usize,
}

impl Schedule {
    fn end(&self) -> Duration {
        self.warm_up + self.round * u32::try_from(self.rounds).unwrap_or(u32::MAX)
    }

    /// The round at a moment; `None` before the first and after the last.
    fn round_at(&self, since_start: Duration) -> Option<usize> {
        let within = since_start.checked_sub(self.warm_up)?;
        let round = usize::try_from(within.as_nanos() / self.round.as_nanos().max(1)).ok()?;
        (round < self.rounds).then_some(round)
    }
}

/// When the next operation starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// When the connection's previous one has ended.
    Closed,
    /// So many per second over all connections, whether or not earlier ones have ended. Latency counts from when an
    /// operation was due, so a slow response also adds to the latency of all that waited for it.
    Fixed(u32),
}

/// The results of one round, over all connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    pub(crate) latencies: Histogram,
    pub(crate) errors: BTreeMap<String, u64>,
    /// CPU seconds per second, of the server and of this generator.
    pub(crate) server_busy: f64,
    pub(crate) generator_busy: f64,
}

/// One connection and the scenario it repeats.
pub(crate) struct Worker {
    connection: Connection,
    scenario: Scenario,
    /// What it takes to start over after a failure; for a bare server, the connection is enough.
    user: Option<(ScenarioKind, Arc<Fixture>, usize)>,
}

impl Worker {
    /// Workers for the server under load.
    pub(crate) async fn for_server(
        fixture: &Arc<Fixture>,
        kind: ScenarioKind,
        count: usize,
    ) -> anyhow::Result<Vec<Self>> {
        let mut workers = Vec::with_capacity(count);
        for number in 0..count {
            let mut connection = Connection::open(&fixture.target).await?;
            let user = VirtualUser { fixture, number };
            let scenario = Scenario::prepare(kind, &user, &mut connection).await;
            let scenario = scenario.with_context(|| format!("cannot prepare {}", kind.as_str()))?;
            workers.push(Self { connection, scenario, user: Some((kind, Arc::clone(fixture), number)) });
        }
        Ok(workers)
    }

    /// Workers for a bare server.
    pub(crate) async fn for_bare_server(
        target: &Target,
        request: BareRequest,
        count: usize,
    ) -> anyhow::Result<Vec<Self>> {
        let mut workers = Vec::with_capacity(count);
        for _ in 0..count {
            let connection = Connection::open(target).await?;
            workers.push(Self { connection, scenario: Scenario::bare(target, request), user: None });
        }
        Ok(workers)
    }

    async fn restart(&mut self) -> Result<(), Failure> {
        self.connection.reopen().await?;
        if let Some((kind, fixture, number)) = &self.user {
            let user = VirtualUser { fixture, number: *number };
            self.scenario = Scenario::prepare(*kind, &user, &mut self.connection).await?;
        }
        Ok(())
    }

    async fn work(mut self, state: Arc<RunState>) {
        let mut failures = 0;
        while failures < MAX_FAILURES {
            let Some(due) = state.next_due().await else { return };
            let outcome = self.scenario.step(&mut self.connection).await;
            state.count(due, outcome.as_ref().err());
            if outcome.is_err() {
                failures += 1;
                if let Err(failure) = self.restart().await {
                    state.count(Instant::now(), Some(&failure));
                    failures += 1;
                    // Trying faster would not help.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
}

/// What the workers of one run share.
struct RunState {
    start: Instant,
    schedule: Schedule,
    pace: Pace,
    taken: AtomicU32,
    rounds: Mutex<Vec<Round>>,
}

impl RunState {
    /// Waits until the next operation is due, and returns when that was; `None` once time is up.
    async fn next_due(&self) -> Option<Instant> {
        let due = match self.pace {
            Pace::Closed => Instant::now(),
            Pace::Fixed(rate) => {
                let number = self.taken.fetch_add(1, Ordering::Relaxed);
                self.start + Duration::from_secs(1).mul_f64(f64::from(number) / f64::from(rate))
            }
        };
        if due >= self.start + self.schedule.end() {
            return None;
        }
        wait_until(due).await;
        Some(due)
    }

    fn count(&self, due: Instant, failure: Option<&Failure>) {
        let now = Instant::now();
        let moment = if self.pace == Pace::Closed { now } else { due };
        let Some(round) = self.schedule.round_at(moment - self.start) else { return };
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            None => rounds[round].latencies.record(now - due),
            Some(failure) => *rounds[round].errors.entry(failure.to_string()).or_default() += 1,
        }
    }
}

async fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if left > BUSY_WAIT {
        tokio::time::sleep(left - BUSY_WAIT).await;
    }
    while Instant::now() < due {
        tokio::task::yield_now().await;
    }
}

/// Runs the workers and returns the results of each round. `pid` is the server's process.
pub(crate) async fn drive(
    workers: Vec<Worker>,
    pace: Pace,
    schedule: Schedule,
    pid: u32,
) -> anyhow::Result<Vec<Round>> {
    ensure!(
        schedule.rounds > 0 && !schedule.round.is_zero(),
        "a run needs at least one round, and rounds a duration"
    );
    let state = Arc::new(RunState {
        start: Instant::now(),
        schedule,
        pace,
        taken: AtomicU32::new(0),
        rounds: Mutex::new(vec![Round::default(); schedule.rounds]),
    });
    let mut tasks = JoinSet::new();
    for worker in workers {
        tasks.spawn(worker.work(Arc::clone(&state)));
    }
    let busy = watch_cpu(&state, pid).await?;
    let ended = tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
    ended.map_err(|_| anyhow::anyhow!("operations were still running {GRACE:?} after the last round"))?;
    let mut rounds = std::mem::take(&mut *state.rounds.lock().unwrap_or_else(PoisonError::into_inner));
    for (round, (server, generator)) in rounds.iter_mut().zip(busy) {
        (round.server_busy, round.generator_busy) = (server, generator);
    }
    Ok(rounds)
}

/// CPU seconds per second of server and generator, for each round.
async fn watch_cpu(state: &RunState, pid: u32) -> anyhow::Result<Vec<(f64, f64)>> {
    let sample = || anyhow::Ok((Instant::now(), process::cpu(pid)?, process::cpu(std::process::id())?));
    let mut boundary = state.start + state.schedule.warm_up;
    tokio::time::sleep_until(boundary.into()).await;
    let mut before = sample()?;
    let mut busy = Vec::with_capacity(state.schedule.rounds);
    for _ in 0..state.schedule.rounds {
        boundary += state.schedule.round;
        tokio::time::sleep_until(boundary.into()).await;
        let now = sample()?;
        let seconds = (now.0 - before.0).as_secs_f64();
        busy.push(((now.1 - before.1).as_secs_f64() / seconds, (now.2 - before.2).as_secs_f64() / seconds));
        before = now;
    }
    Ok(busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule =
        Schedule { warm_up: Duration::from_secs(2), round: Duration::from_secs(10), rounds: 3 };

    #[test]
    fn warm_up_and_late_operations_belong_to_no_round() {
        let round_at = |millis| SCHEDULE.round_at(Duration::from_millis(millis));
        assert_eq!(
            [0, 1_999, 2_000, 11_999, 12_000, 31_999, 32_000].map(round_at),
            [None, None, Some(0), Some(0), Some(1), Some(2), None]
        );
    }

    #[tokio::test]
    async fn at_a_fixed_rate_latency_counts_from_when_an_operation_was_due() {
        let schedule = Schedule { warm_up: Duration::ZERO, round: Duration::from_secs(1), rounds: 1 };
        let start = Instant::now();
        let rounds = Mutex::new(vec![Round::default()]);
        let state = RunState { start, schedule, pace: Pace::Fixed(100), taken: AtomicU32::new(0), rounds };
        let first = state.next_due().await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
        state.count(first, None);
        let second = state.next_due().await.unwrap();
        assert_eq!(second - start, Duration::from_millis(10), "it was due while the first one stalled");
        state.count(second, None);
        let slowest = state.rounds.lock().unwrap()[0].latencies.percentile(0.5).unwrap();
        assert!(slowest >= Duration::from_millis(50), "{slowest:?}");
    }
}
