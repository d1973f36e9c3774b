//! Parallel tries of a password are counted before they are made.

use idp_core::account::throttle::{ACCOUNT, Reservation};
use idp_store::ThrottleKey;

use super::{line_up, rounds, wide};
use crate::given::NOW;
use crate::harness::Db;

contract! { lg_06_ten_of_a_hundred_parallel_tries_may_be_made }

async fn lg_06_ten_of_a_hundred_parallel_tries_may_be_made(db: Db) {
    let store = wide(&db).await;
    for round in 0..rounds() {
        let key = ThrottleKey::Account { email_key: format!("ada{round}@example.org"), user: None };
        let reserve = |_| {
            let (store, key) = (store.clone(), key.clone());
            async move { tell!(store, |tx, key| tx.reserve(key, &ACCOUNT, NOW)) }
        };
        let got = line_up(100, reserve).go().await;
        let granted = got.iter().filter(|one| matches!(one, Reservation::Granted { .. })).count();
        let locking =
            got.iter().filter(|one| matches!(one, Reservation::Granted { locks_until: Some(_) })).count();
        assert_eq!((granted, locking), (10, 1), "round {round}");
        assert!(!got.contains(&Reservation::LockedForGood), "round {round}");
    }
    let (rounds, engine) = (rounds(), db.engine());
    println!("proof: lg_06 tries, 100 at once on {engine:?}: {rounds} rounds, 10 granted in each");
}
