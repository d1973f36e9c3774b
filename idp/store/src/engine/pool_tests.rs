use super::*;

const SECOND: Duration = Duration::from_secs(1);

async fn pool_of_three() -> Pool<SqliteConnection> {
    let pool = Pool::open("sqlite::memory:".parse().unwrap(), 3, PATIENCE, Era::default()).await.unwrap();
    let lent = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    lent.into_iter().for_each(Lent::give_back);
    pool
}

fn resting(pool: &Pool<SqliteConnection>) -> usize {
    lock(&pool.0.resting).len()
}

#[tokio::test]
async fn unneeded_connections_are_closed_while_another_is_in_constant_use() {
    let (pool, begun) = (pool_of_three().await, Instant::now());
    for seconds in [30, 59, 88] {
        let now = begun + seconds * SECOND;
        let busy = pool.rested(now).expect("the one that was used last");
        assert_eq!(resting(&pool), if seconds < 60 { 2 } else { 0 }, "after {seconds} s");
        lock(&pool.0.resting).push(Resting { since: now, ..busy });
    }
    assert!(pool.rested(begun + 150 * SECOND).is_none(), "not even the last one is kept for nothing");
}

#[tokio::test]
async fn a_connection_in_constant_use_is_replaced_in_the_end() {
    let (pool, begun) = (pool_of_three().await, Instant::now());
    let mut lived = Duration::ZERO;
    while let Some(busy) = pool.rested(begun + lived) {
        lock(&pool.0.resting).push(Resting { since: begun + lived, ..busy });
        lived += 30 * SECOND;
        assert!(lived <= LONGEST_LIFE, "it lives for ever");
    }
    assert!(lived > LONGEST_LIFE - 60 * SECOND, "{lived:?}");
}
