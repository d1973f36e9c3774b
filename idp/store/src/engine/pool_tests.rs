use sqlx::sqlite::SqliteConnectOptions;

use super::*;
use crate::engine::scratch_for_tests::Scratch;

const SECOND: Duration = Duration::from_secs(1);

async fn pool_of_three() -> Pool<SqliteConnection> {
    let pool = Pool::open("sqlite::memory:".parse().unwrap(), 3, ACQUIRE_TIMEOUT, PoolGeneration::default())
        .await
        .unwrap();
    let lent = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    lent.into_iter().for_each(Lent::give_back);
    pool
}

fn idle(pool: &Pool<SqliteConnection>) -> usize {
    lock(&pool.0.idle).len()
}

#[tokio::test]
async fn unneeded_connections_are_closed_while_another_is_in_constant_use() {
    let (pool, begun) = (pool_of_three().await, Instant::now());
    for seconds in [30, 59, 88] {
        let now = begun + seconds * SECOND;
        let busy = pool.take_idle(now).expect("the one that was used last");
        assert_eq!(idle(&pool), if seconds < 60 { 2 } else { 0 }, "after {seconds} s");
        lock(&pool.0.idle).push(Idle { since: now, ..busy });
    }
    assert!(pool.take_idle(begun + 150 * SECOND).is_none(), "not even the last one is kept for nothing");
}

#[tokio::test]
async fn a_connection_in_constant_use_is_replaced_in_the_end() {
    let (pool, begun) = (pool_of_three().await, Instant::now());
    let mut lived = Duration::ZERO;
    while let Some(busy) = pool.take_idle(begun + lived) {
        lock(&pool.0.idle).push(Idle { since: begun + lived, ..busy });
        lived += 30 * SECOND;
        assert!(lived <= MAX_AGE, "it lives for ever");
    }
    assert!(lived > MAX_AGE - 60 * SECOND, "{lived:?}");
}

#[tokio::test]
async fn a_read_relies_on_the_last_look_at_the_file_and_a_write_looks_for_all() {
    let scratch = Scratch::new("file-look");
    scratch.store().await.close().await;
    let generation = PoolGeneration::default();
    let options: SqliteConnectOptions = scratch.url().parse().unwrap();
    let open = || Pool::<SqliteConnection>::open(options.clone(), 1, ACQUIRE_TIMEOUT, generation.clone());
    let (readers, writers) = (open().await.unwrap(), open().await.unwrap());
    let last_look = |at| *lock(&generation.0.file) = Some((at, None));
    let later = Instant::now() + 60 * SECOND;
    // The file is there, but a look just now has missed it.
    last_look(later);
    assert!(readers.take_idle(Instant::now()).is_none(), "it looked again");
    last_look(later);
    writers.acquire().await.unwrap().give_back();
    assert_ne!(*lock(&generation.0.file), Some((later, None)), "a write looks, for all");
    readers.acquire().await.unwrap().give_back();
    last_look(Instant::now() - SECOND);
    assert!(readers.take_idle(Instant::now()).is_some(), "an old look counts for nothing");
}

/// A pool of one connection to this port, where nobody waits long.
fn hasty_pool_at(port: u16) -> Pool<PgConnection> {
    let options = format!("postgres://ada@127.0.0.1:{port}/idp?sslmode=disable").parse().unwrap();
    Pool::new(options, 1, SECOND / 5, PoolGeneration::default())
}

async fn why_not(pool: &Pool<PgConnection>) -> String {
    pool.acquire().await.map(drop).unwrap_err().to_string()
}

#[tokio::test]
async fn fault_05_a_server_that_is_away_is_named_with_the_reason() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let pool = hasty_pool_at(free);
    for why in [why_not(&pool).await, pool.connect().await.map(drop).unwrap_err().to_string()] {
        assert!(why.to_lowercase().contains("connection refused"), "{why}");
    }
}

#[tokio::test]
async fn fault_05_a_silent_server_is_called_silent() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let why = why_not(&hasty_pool_at(silent.local_addr().unwrap().port())).await;
    assert!(why.ends_with("the database server does not answer"), "{why}");
}
