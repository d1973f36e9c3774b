//! Many at once: of what may happen only once, exactly one caller gets it, in every round.
//!
//! The server does each of these in one write, and so do the tests.

mod address;
mod administrators;
mod code;
mod link;
mod refresh;
mod throttle;
pub(crate) mod two_processes;

use std::future::Future;
use std::sync::Arc;

use idp_store::Store;
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use crate::harness::Db;

/// How many callers run at once.
pub(crate) const CALLERS: usize = 50;

/// Rounds of each race: 20, or 1,000 for the proof.
pub(crate) fn rounds() -> usize {
    if crate::harness::is_proof() { 1_000 } else { 20 }
}

/// What a caller got: the thing or a refusal. Anything else fails the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RaceOutcome {
    It,
    Refused,
}

/// A store with one connection per caller, so that they collide in the database and not in front of it.
async fn wide(db: &Db) -> Store {
    db.database.open_with(CALLERS as u32).await
}

/// Tasks waiting for the start signal.
pub(crate) struct LineUp<T> {
    word: Arc<Barrier>,
    tasks: Vec<JoinHandle<T>>,
}

/// Starts `callers` tasks that wait for the signal.
pub(crate) fn line_up<F, T>(callers: usize, caller: impl Fn(usize) -> F) -> LineUp<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let word = Arc::new(Barrier::new(callers + 1));
    let begin = |number| {
        let (word, call) = (word.clone(), caller(number));
        tokio::spawn(async move {
            word.wait().await;
            call.await
        })
    };
    let tasks = (0..callers).map(begin).collect();
    LineUp { word, tasks }
}

impl<T> LineUp<T> {
    /// Starts them all at the same moment and returns their results.
    pub(crate) async fn go(self) -> Vec<T> {
        self.word.wait().await;
        let mut got = Vec::with_capacity(self.tasks.len());
        for task in self.tasks {
            got.push(task.await.unwrap());
        }
        got
    }
}

pub(crate) fn winners(got: &[RaceOutcome]) -> usize {
    got.iter().filter(|got| **got == RaceOutcome::It).count()
}

fn report(db: &Db, what: &str) {
    let (rounds, engine) = (rounds(), db.engine());
    println!("proof: {what}, {CALLERS} at once on {engine:?}: {rounds} rounds, one success in each");
}
