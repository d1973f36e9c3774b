//! Connections to PostgreSQL that break or fall silent.

use std::time::Duration;

use futures_util::future::join_all;
use idp_core::ids::UserId;
use idp_store::{Store, StoreError};

use crate::given::a_user;
use crate::harness::{Db, Proxy};

contract! { postgres:
    r_07_connections_that_the_server_closed_are_replaced_and_nobody_notices,
    r_10_a_network_that_falls_silent_is_given_up_and_the_store_recovers,
    r_10_a_store_that_cannot_connect_any_more_says_so,
    a_connection_whose_read_was_cut_off_is_not_used_again,
}

const CALLERS: usize = 5;
/// How long the store may wait here, and how long a test waits before it decides that a call hangs.
const LIMIT: Duration = Duration::from_millis(400);
const FOR_EVER: Duration = Duration::from_secs(60);

async fn r_07_connections_that_the_server_closed_are_replaced_and_nobody_notices(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    let all_at_once = async |rounds: i64| {
        let reads = join_all((0..CALLERS).map(|_| read(&db, ada))).await;
        assert!(reads.iter().all(|epoch| *epoch.as_ref().unwrap() == rounds), "{reads:?}");
        let writes = join_all((0..CALLERS).map(|_| raise(&db, ada))).await;
        assert!(writes.iter().all(Result::is_ok), "{writes:?}");
    };
    for round in 0..5 {
        all_at_once(round * CALLERS as i64).await;
        db.database
            .execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await;
    }
    assert_eq!(read(&db, ada).await.unwrap(), 5 * CALLERS as i64, "every write counts once");
}

async fn r_10_a_network_that_falls_silent_is_given_up_and_the_store_recovers(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    let network = Proxy::start(&db.database).await;
    let store = Store::open_within(network.url(), 1, LIMIT).await.unwrap();
    raise(&store, ada).await.unwrap();
    assert_eq!(read(&store, ada).await.unwrap(), 1);
    for epoch in [1, 2, 3] {
        network.fall_silent(false);
        assert_unavailable(in_time(read(&store, ada)).await);
        assert_unavailable(in_time(raise(&store, ada)).await);
        assert_eq!(in_time(read(&store, ada)).await.unwrap(), epoch);
        in_time(raise(&store, ada)).await.unwrap();
    }
    in_time(store.close()).await;
}

async fn r_10_a_store_that_cannot_connect_any_more_says_so(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    let network = Proxy::start(&db.database).await;
    let store = Store::open_within(network.url(), 2, LIMIT).await.unwrap();
    network.fall_silent(true);
    for _ in 0..3 {
        let outcomes = in_time(join_all((0..CALLERS).map(|_| read(&store, ada)))).await;
        outcomes.into_iter().for_each(assert_unavailable);
        assert_unavailable(in_time(raise(&store, ada)).await);
    }
    network.fall_silent(false);
    assert_eq!(in_time(read(&store, ada)).await.unwrap(), 0);
    in_time(store.close()).await;
}

async fn a_connection_whose_read_was_cut_off_is_not_used_again(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    let network = Proxy::start(&db.database).await;
    let store = Store::open_within(network.url(), 1, FOR_EVER).await.unwrap();
    assert_eq!(read(&store, ada).await.unwrap(), 0);
    let before = network.connections();
    for _ in 0..3 {
        assert_eq!(read(&store, ada).await.unwrap(), 0);
    }
    assert_eq!(network.connections(), before, "it is kept");
    // An abandoned read goes on for a while and is then cut off, before others have waited too long.
    let hangs_up = store.read((), |_, ()| Box::pin(std::future::pending::<Result<(), StoreError>>()));
    assert!(tokio::time::timeout(Duration::from_millis(50), hangs_up).await.is_err());
    assert_eq!(in_time(read(&store, ada)).await.unwrap(), 0);
    assert_eq!(network.connections(), before + 1);
}

async fn read(store: &Store, user: UserId) -> Result<i64, StoreError> {
    try_ask!(store, |r, user| async move { Ok(r.user(*user).await?.unwrap().epoch) })
}

async fn raise(store: &Store, user: UserId) -> Result<(), StoreError> {
    try_tell!(store, |tx, user| tx.raise_user_epoch(*user))
}

/// Waits for a call that must return, however long it takes.
async fn in_time<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(FOR_EVER, call).await.expect("the call hangs")
}

fn assert_unavailable<T: std::fmt::Debug>(outcome: Result<T, StoreError>) {
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
}
