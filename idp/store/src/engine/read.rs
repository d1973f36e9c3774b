//! Reads, which are tried again on a fresh connection where that may help.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::connection::{Connection, JobFuture, Reader};
use super::pool::{Lent, MAX_RECONNECTS, Pool, Pooled};
use super::run_to_end::RunsToEnd;
use crate::error::StoreError;

/// How often a read that collided with a write is tried again.
const TRIES: u32 = 3;

/// Reads. Starts over on a fresh connection if the current one turns out to be broken.
pub(crate) async fn read<C, I, T, F>(pool: &Pool<C>, mut input: I, mut job: F) -> Result<T, StoreError>
where
    C: Pooled + 'static,
    Lent<C>: Into<Connection>,
    I: Send + Sync + 'static,
    T: Send + 'static,
    F: for<'t> Fn(&'t mut Reader, &'t I) -> JobFuture<'t, T> + Send + Sync + 'static,
{
    let (mut tries, mut reconnects) = (0, 0);
    loop {
        let permit = pool.permit().await?;
        let attempt = RunsToEnd::new(attempt(pool.clone(), permit, input, job));
        let outcome;
        (outcome, input, job) = attempt.await;
        match outcome {
            Err(StoreError::Disconnected(_)) if reconnects < MAX_RECONNECTS => reconnects += 1,
            Err(StoreError::Retry(_)) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(u64::from(tries) * 5)).await;
            }
            outcome => return outcome.map_err(StoreError::retries_exhausted),
        }
    }
}

/// One attempt. It owns all it needs, so that it can finish after its caller has gone.
async fn attempt<C, I, T, F>(
    pool: Pool<C>,
    permit: OwnedSemaphorePermit,
    input: I,
    job: F,
) -> (Result<T, StoreError>, I, F)
where
    C: Pooled,
    Lent<C>: Into<Connection>,
    F: for<'t> Fn(&'t mut Reader, &'t I) -> JobFuture<'t, T>,
{
    let lent = match pool.lend(permit).await {
        Ok(lent) => lent,
        Err(error) => return (Err(error), input, job),
    };
    let generation = lent.generation();
    let mut reader = Reader::new(lent.into());
    let outcome = pool.within(job(&mut reader, &input)).await.unwrap_or_else(Err);
    match outcome {
        Err(StoreError::Disconnected(_)) => pool.retire_generation(generation),
        // Whatever went wrong, the connection may be the cause, so it is closed.
        Err(StoreError::Unavailable(_)) => {}
        _ => reader.give_back(),
    }
    (outcome, input, job)
}
