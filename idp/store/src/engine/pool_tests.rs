use super::*;

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
