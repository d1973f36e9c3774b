//! PostgreSQL's writes, each on a connection and in a transaction of its own.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::PgConnection;

use super::connection::{Connection, JobFuture, Tx};
use super::pool::{MAX_RECONNECTS, Pool};
use crate::error::StoreError;

/// How often a write that collided with another one is tried again.
const TRIES: u32 = 8;

/// Writes. Tries again if it collides with another write, or if its connection turns out to be broken before the
/// commit.
pub(crate) async fn write<I, T, F>(pool: &Pool<PgConnection>, input: &I, job: &F) -> Result<T, StoreError>
where
    F: for<'t> Fn(&'t mut Tx, &'t I) -> JobFuture<'t, T>,
{
    let (mut tries, mut reconnects) = (0, 0);
    loop {
        tries += 1;
        let lent = pool.acquire().await?;
        let (generation, fresh) = (lent.generation(), lent.is_fresh());
        let tx = Tx::new(Connection::Postgres(lent));
        match pool.within(attempt(pool, tx, input, job)).await? {
            Err(StoreError::Retry(_)) if tries < TRIES => {
                tokio::time::sleep(Duration::from_millis(u64::from(tries) * 5)).await;
            }
            Err(StoreError::Disconnected(why)) => {
                // What a fresh connection reports is true of the server, for instance that it has become read-only.
                // Other connections are no worse for it.
                if !fresh {
                    pool.retire_generation(generation);
                }
                reconnects += if fresh { MAX_RECONNECTS } else { 1 };
                if reconnects > MAX_RECONNECTS {
                    return Err(StoreError::Unavailable(why));
                }
            }
            outcome => return outcome.map_err(StoreError::retries_exhausted),
        }
    }
}

/// Returns [`StoreError::Disconnected`] only if nothing can have been committed.
async fn attempt<I, T, F>(pool: &Pool<PgConnection>, mut tx: Tx, input: &I, job: &F) -> Result<T, StoreError>
where
    F: for<'t> Fn(&'t mut Tx, &'t I) -> JobFuture<'t, T>,
{
    tx.control("BEGIN").await?;
    let work = AssertUnwindSafe(async { job(&mut tx, input).await }).catch_unwind().await;
    match work.unwrap_or(Err(StoreError::Panicked)) {
        Ok(value) => {
            if tx.commit_postgres().await.map_err(committed_perhaps)? {
                pool.note_write();
            }
            tx.log_events();
            tx.give_back();
            Ok(value)
        }
        Err(error) => {
            let lost = matches!(error, StoreError::Disconnected(_));
            if !lost && tx.control("ROLLBACK").await.is_ok() {
                tx.give_back();
            }
            Err(error)
        }
    }
}

/// If a connection breaks during the commit, it is unknown whether it committed. Such a write must not be tried
/// again.
fn committed_perhaps(error: StoreError) -> StoreError {
    match error {
        StoreError::Disconnected(why) => StoreError::Unavailable(why),
        other => other,
    }
}
