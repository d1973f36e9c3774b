//! Reads whose caller goes away: they finish, and their connection is used again.

use std::sync::Arc;
use std::time::Duration;

use idp_store::{Store, StoreError};
use tokio::sync::Semaphore;

use crate::given::a_user;
use crate::harness::{Db, Proxy, poll_once};

contract! {
    fault_04_a_read_finishes_although_its_caller_went_away,
    fault_04_a_caller_that_goes_away_before_its_read_began_costs_nothing,
}
contract! { postgres: fault_04_abandoned_reads_cost_no_connection }

const READS: usize = 40;

async fn fault_04_abandoned_reads_cost_no_connection(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    let network = Proxy::start(&db.database).await;
    let store = Store::open(network.url(), 3).await.unwrap();
    let all = (0..3).map(|_| async { ask!(store, |r, ada| r.user(*ada)) });
    futures_util::future::join_all(all).await;
    let before = network.connections();
    let mut abandoned = 0;
    for _ in 0..READS {
        let mut read = std::pin::pin!(async { try_ask!(store, |r, ada| r.user(*ada)) });
        // On a busy machine a read may finish before it is looked at; then it is not abandoned.
        abandoned += usize::from(poll_once(read.as_mut()).await.is_pending());
    }
    assert!(abandoned > READS / 2, "{abandoned} abandoned");
    // Callers that wait for a connection get it from an abandoned read.
    for _ in 0..READS {
        assert!(ask!(store, |r, ada| r.user(*ada)).is_some());
    }
    assert_eq!(network.connections(), before);
}

async fn fault_04_a_read_finishes_although_its_caller_went_away(db: Db) {
    let (began, go_on, ended) =
        (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    for _ in 0..10 {
        let signals = (began.clone(), go_on.clone(), ended.clone());
        let store = db.store.clone();
        let read = tokio::spawn(async move {
            store
                .read(signals, |r, (began, go_on, ended)| {
                    Box::pin(async move {
                        r.users(None, 1).await?;
                        began.add_permits(1);
                        go_on.acquire().await.unwrap().forget();
                        r.users(None, 1).await?;
                        ended.add_permits(1);
                        Ok::<_, StoreError>(())
                    })
                })
                .await
        });
        began.acquire().await.unwrap().forget();
        read.abort();
        assert!(read.await.unwrap_err().is_cancelled());
        go_on.add_permits(1);
        let end = tokio::time::timeout(Duration::from_secs(60), ended.acquire()).await;
        end.expect("it was cut off").unwrap().forget();
    }
}

/// Callers that go away while waiting for a connection leave no task behind that waits in their place.
async fn fault_04_a_caller_that_goes_away_before_its_read_began_costs_nothing(db: Db) {
    let (store, hold) = (db.database.open_with(1).await, Arc::new(Semaphore::new(0)));
    let mut holders = Vec::new();
    let began = Arc::new(Semaphore::new(0));
    for _ in 0..2 {
        // On SQLite there are at least two readers, or fewer if the settings allow no more.
        let (store, signals) = (store.clone(), (hold.clone(), began.clone()));
        holders.push(tokio::spawn(async move {
            store
                .read(signals, |_, (hold, began)| {
                    Box::pin(async move {
                        began.add_permits(1);
                        drop(hold.acquire().await.unwrap());
                        Ok(())
                    })
                })
                .await
        }));
    }
    began.acquire().await.unwrap().forget();
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for _ in 0..READS {
        let mut read = std::pin::pin!(async { try_ask!(store, |r| r.roles()) });
        assert!(poll_once(read.as_mut()).await.is_pending());
    }
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), tasks);
    hold.add_permits(2);
    for holder in holders {
        holder.await.unwrap().unwrap();
    }
}
