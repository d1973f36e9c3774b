//! ThrottleKey tries.

use idp_core::account::throttle::{ACCOUNT, Limits, NETWORK, Reservation};
use idp_core::ids::UserId;
use idp_core::time::{DAY, HOUR, MINUTE, Timestamp};
use idp_core::user::User;
use idp_store::ThrottleKey;

use crate::given::{NOW, a_user, after, new_digest};
use crate::harness::Db;

contract! {
    lg_06_the_tenth_wrong_try_locks_for_a_quarter_of_an_hour,
    lg_06_after_a_hundred_tries_in_a_row_waiting_does_not_help,
    a_refused_try_is_not_counted,
    a_refund_takes_back_one_try_and_a_lock,
    an_administrator_clears_a_counter,
    lg_09_a_network_has_its_own_limits_and_its_own_counter,
    lg_09_each_network_that_sprays_has_fifty_tries_and_its_victims_stay_open,
    everything_counted_has_its_own_counter,
    the_owner_is_told_once_about_a_lock,
    stored_counters_show_no_address,
    an_administrator_unlocks_an_account_wherever_it_is_locked,
    fault_17_a_sign_in_in_a_known_browser_changes_no_count,
    fault_17_a_count_is_remembered_equally_long_with_and_without_an_account,
}

async fn lg_06_the_tenth_wrong_try_locks_for_a_quarter_of_an_hour(db: Db) {
    let (ada, until) = (account("ada@example.org"), after(MINUTE * 15));
    for _ in 0..9 {
        assert_eq!(reserve(&db, &ada, &ACCOUNT, NOW).await, GRANTED);
    }
    let last = Reservation::Granted { locks_until: Some(until) };
    assert_eq!(reserve(&db, &ada, &ACCOUNT, NOW).await, last);
    assert_eq!(reserve(&db, &ada, &ACCOUNT, NOW).await, Reservation::Locked { until });
    let count = ask!(db, |r, ada| r.throttle(ada)).unwrap();
    assert_eq!((count.in_a_row, count.locks, count.locked_until), (10, 1, Some(until)));
    assert_eq!(reserve(&db, &ada, &ACCOUNT, until).await, GRANTED);
}

async fn lg_06_after_a_hundred_tries_in_a_row_waiting_does_not_help(db: Db) {
    let (ada, mut now) = (account("ada@example.org"), NOW);
    for _ in 0..100 {
        if let Reservation::Granted { locks_until: Some(until) } = reserve(&db, &ada, &ACCOUNT, now).await {
            now = until;
        }
    }
    assert_eq!(reserve(&db, &ada, &ACCOUNT, now.plus(HOUR * 24 * 365)).await, Reservation::LockedForGood);
}

async fn fault_17_a_count_is_remembered_equally_long_with_and_without_an_account(db: Db) {
    let user = a_user(&db, "ada@example.org").await;
    let ada = ThrottleKey::Account { email_key: user.email.key().to_owned(), user: Some(user.id) };
    let (mia, closed) = (account("mia@example.org"), account("eve@example.org"));
    let last = after(HOUR);
    for key in [&ada, &mia] {
        for _ in 0..9 {
            reserve(&db, key, &ACCOUNT, last).await;
        }
    }
    let mut now = NOW;
    for _ in 0..100 {
        if let Reservation::Granted { locks_until: Some(until) } = reserve(&db, &closed, &ACCOUNT, now).await
        {
            now = until;
        }
    }
    for (days, kept) in [(89, true), (91, false)] {
        while db.delete_expired(last.plus(DAY * days)).await.unwrap() > 0 {}
        for key in [&ada, &mia] {
            assert_eq!(ask!(db, |r, key| r.throttle(key)).is_some(), kept, "{key:?} after {days} days");
        }
    }
    while db.delete_expired(last.plus(DAY * 4000)).await.unwrap() > 0 {}
    let count = ask!(db, |r, closed| r.throttle(closed)).unwrap();
    assert!(count.is_locked_for_good(&ACCOUNT), "waiting opens nothing");
}

async fn a_refused_try_is_not_counted(db: Db) {
    let ada = account("ada@example.org");
    for _ in 0..10 {
        reserve(&db, &ada, &ACCOUNT, NOW).await;
    }
    let before = db.database.everything().await;
    reserve(&db, &ada, &ACCOUNT, NOW).await;
    assert_eq!(db.database.everything().await, before);
}

async fn a_refund_takes_back_one_try_and_a_lock(db: Db) {
    let network = ThrottleKey::Network("192.0.2.7".to_owned());
    for _ in 0..5 {
        reserve(&db, &network, &NETWORK, NOW).await;
    }
    tell!(db, |tx, network| tx.refund(network, &NETWORK, NOW));
    let count = ask!(db, |r, network| r.throttle(network)).unwrap();
    assert_eq!((count.failures, count.in_a_row), (4, 4));
    let few = Limits { tries: 5, ..NETWORK };
    let locking = Reservation::Granted { locks_until: Some(after(MINUTE * 15)) };
    assert_eq!(reserve(&db, &network, &few, NOW).await, locking);
    tell!(db, |tx, network, few| tx.refund(network, few, NOW));
    assert_eq!(
        reserve(&db, &network, &few, NOW).await,
        locking,
        "the try that locked was right; the others were not"
    );
}

async fn an_administrator_clears_a_counter(db: Db) {
    let (ada, bob) = (account("ada@example.org"), account("bob@example.org"));
    for key in [&ada, &bob] {
        for _ in 0..10 {
            reserve(&db, key, &ACCOUNT, NOW).await;
        }
    }
    tell!(db, |tx, ada| tx.clear_throttle(ada));
    assert_eq!(ask!(db, |r, ada| r.throttle(ada)), None);
    assert_eq!(reserve(&db, &ada, &ACCOUNT, NOW).await, GRANTED);
    assert!(matches!(reserve(&db, &bob, &ACCOUNT, NOW).await, Reservation::Locked { .. }));
}

async fn lg_09_a_network_has_its_own_limits_and_its_own_counter(db: Db) {
    let network = ThrottleKey::Network("2001:db8::/64".to_owned());
    for _ in 0..49 {
        assert_eq!(reserve(&db, &network, &NETWORK, NOW).await, GRANTED);
    }
    let last = reserve(&db, &network, &NETWORK, NOW).await;
    assert_eq!(last, Reservation::Granted { locks_until: Some(after(MINUTE * 15)) });
    assert!(matches!(reserve(&db, &network, &NETWORK, NOW).await, Reservation::Locked { .. }));
    let other = ThrottleKey::Network("2001:db8:0:1::/64".to_owned());
    assert_eq!(reserve(&db, &other, &NETWORK, NOW).await, GRANTED);
    assert_eq!(reserve(&db, &account("ada@example.org"), &ACCOUNT, NOW).await, GRANTED);
}

/// One password against 1,000 people, from one network and then from fifty more, each starting with other people.
async fn lg_09_each_network_that_sprays_has_fifty_tries_and_its_victims_stay_open(db: Db) {
    for network in 0..51_usize {
        let people = if network == 0 { 1_000 } else { 60 };
        let granted = tell!(db, |tx, network, people| async move {
            let key = ThrottleKey::Network(format!("192.0.2.{network}"));
            let mut granted = 0;
            for turn in 0..*people {
                if !matches!(tx.reserve(&key, &NETWORK, NOW).await?, Reservation::Granted { .. }) {
                    continue;
                }
                let person = account(&format!("u{}@example.org", (network * 20 + turn) % 1_000));
                assert_eq!(tx.reserve(&person, &ACCOUNT, NOW).await?, GRANTED);
                granted += 1;
            }
            Ok(granted)
        });
        assert_eq!(granted, 50, "network {network}");
    }
    for network in 0..51 {
        let key = ThrottleKey::Network(format!("192.0.2.{network}"));
        assert!(matches!(reserve(&db, &key, &NETWORK, NOW).await, Reservation::Locked { .. }), "{network}");
    }
    let tried = db.database.number("SELECT COUNT(*) FROM throttles WHERE id LIKE 'account:%'").await;
    assert_eq!(tried, 1_000);
    assert_eq!(reserve(&db, &ThrottleKey::Network("192.0.2.200".to_owned()), &NETWORK, NOW).await, GRANTED);
    for person in [0, 19, 500, 999] {
        let person = account(&format!("u{person}@example.org"));
        assert_eq!(reserve(&db, &person, &ACCOUNT, NOW).await, GRANTED, "{person:?}");
    }
}

async fn everything_counted_has_its_own_counter(db: Db) {
    let (ada, bob) = (a_user(&db, "ada@example.org").await.id, UserId::new(NOW));
    let (here, there, text) = (new_digest(), new_digest(), "ada@example.org".to_owned());
    let all = [
        ThrottleKey::Account { email_key: text.clone(), user: Some(ada) },
        ThrottleKey::Account { email_key: "bob@example.org".to_owned(), user: Some(bob) },
        ThrottleKey::KnownBrowser(ada, here.clone()),
        ThrottleKey::KnownBrowser(ada, there.clone()),
        ThrottleKey::KnownBrowser(bob, here),
        ThrottleKey::Network(text.clone()),
        ThrottleKey::Mail(text.clone()),
    ];
    for (tries, key) in all.iter().enumerate() {
        for _ in 0..=tries {
            reserve(&db, key, &NETWORK, NOW).await;
        }
    }
    for (tries, key) in all.iter().enumerate() {
        let failures = ask!(db, |r, key| r.throttle(key)).unwrap().failures;
        assert_eq!(failures, tries as i64 + 1, "{key:?}");
    }
    let now_known_as_unknown = ThrottleKey::Account { email_key: text, user: None };
    assert_eq!(ask!(db, |r, now_known_as_unknown| r.throttle(now_known_as_unknown)).unwrap().failures, 1);
}

async fn the_owner_is_told_once_about_a_lock(db: Db) {
    let (ada, bob) = (account("ada@example.org"), account("bob@example.org"));
    assert!(!claim_lockout_notice(&db, &ada).await, "nothing was key, there is nothing to tell");
    reserve(&db, &ada, &ACCOUNT, NOW).await;
    reserve(&db, &bob, &ACCOUNT, NOW).await;
    assert!(claim_lockout_notice(&db, &ada).await);
    assert!(!claim_lockout_notice(&db, &ada).await);
    reserve(&db, &ada, &ACCOUNT, NOW).await;
    assert!(!claim_lockout_notice(&db, &ada).await, "further tries are no news");
    assert!(claim_lockout_notice(&db, &bob).await);
    tell!(db, |tx, ada| tx.clear_throttle(ada));
    reserve(&db, &ada, &ACCOUNT, NOW).await;
    assert!(claim_lockout_notice(&db, &ada).await, "a cleared counter starts over");
}

async fn an_administrator_unlocks_an_account_wherever_it_is_locked(db: Db) {
    let (ada, bob) = (a_user(&db, "ada@example.org").await, a_user(&db, "bob@example.org").await);
    let own =
        |user: &User| ThrottleKey::Account { email_key: user.email.key().to_owned(), user: Some(user.id) };
    let before = ThrottleKey::Account { email_key: ada.email.key().to_owned(), user: None };
    assert!(!tell!(db, |tx, ada| tx.unlock(ada)));
    for key in [
        before,
        ThrottleKey::KnownBrowser(ada.id, new_digest()),
        ThrottleKey::KnownBrowser(bob.id, new_digest()),
        own(&bob),
    ] {
        for _ in 0..10 {
            reserve(&db, &key, &ACCOUNT, NOW).await;
        }
    }
    let id = ada.id;
    assert_eq!(
        ask!(db, |r, id| r.throttles_of(*id)).len(),
        1,
        "tries from before the account existed are not counted as its own"
    );
    assert!(tell!(db, |tx, ada| tx.unlock(ada)));
    assert!(!tell!(db, |tx, ada| tx.unlock(ada)));
    assert_eq!(reserve(&db, &own(&ada), &ACCOUNT, NOW).await, GRANTED);
    let id = bob.id;
    assert_eq!(ask!(db, |r, id| r.throttles_of(*id)).len(), 2);
}

async fn fault_17_a_sign_in_in_a_known_browser_changes_no_count(db: Db) {
    let ada = account("ada@example.org");
    for _ in 0..10 {
        reserve(&db, &ada, &ACCOUNT, NOW).await;
    }
    assert!(claim_lockout_notice(&db, &ada).await);
    let before = ask!(db, |r, ada| r.throttle(ada)).unwrap();
    assert_eq!((before.in_a_row, before.locked_until), (10, Some(after(MINUTE * 15))));
    tell!(db, |tx, ada| tx.note_owner_sign_in(ada));
    assert_eq!(ask!(db, |r, ada| r.throttle(ada)), Some(before));
    assert!(claim_lockout_notice(&db, &ada).await, "the owner is told about the next lock again");
}

async fn stored_counters_show_no_address(db: Db) {
    reserve(&db, &account("ada@example.org"), &ACCOUNT, NOW).await;
    reserve(&db, &ThrottleKey::Mail("ada@example.org".to_owned()), &ACCOUNT, NOW).await;
    let rows = db.database.dump("SELECT * FROM throttles").await;
    assert_eq!(rows.len(), 2);
    assert!(!rows.concat().contains("ada"), "{rows:?}");
}

const GRANTED: Reservation = Reservation::Granted { locks_until: None };

fn account(address: &str) -> ThrottleKey {
    ThrottleKey::Account { email_key: address.to_owned(), user: None }
}

async fn reserve(db: &Db, key: &ThrottleKey, limits: &Limits, now: Timestamp) -> Reservation {
    tell!(db, |tx, key, limits, now| tx.reserve(key, limits, *now))
}

async fn claim_lockout_notice(db: &Db, key: &ThrottleKey) -> bool {
    tell!(db, |tx, key| tx.claim_lockout_notice(key))
}
