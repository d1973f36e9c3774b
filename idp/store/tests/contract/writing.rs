//! What a write is: all or nothing, whoever waits for it and whatever shares its commit.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use idp_core::ids::UserId;
use idp_core::user::User;
use idp_store::StoreError;
use tokio::sync::Barrier;

use crate::given::{a_user, email, new_user};
use crate::harness::{Db, HeldWrite, poll_once};

contract! {
    a_refusal_is_committed_and_a_failure_is_rolled_back_alone,
    r_32_a_panicking_write_changes_nothing_and_the_store_goes_on,
    r_32_a_panicking_read_leaves_the_store_as_it_was,
    r_07_reads_that_fail_or_are_abandoned_do_not_harm_the_next_ones,
    a_caller_that_goes_away_does_not_stop_its_write,
    a_write_that_ignores_a_failed_statement_reports_success_only_if_it_committed,
    every_other_node_sees_an_acknowledged_write_at_once,
    a_read_waits_for_no_write_and_sees_nothing_uncommitted,
    a_closed_store_has_finished_its_writes_and_takes_no_more,
}
contract! { postgres:
    two_writes_in_a_deadlock_are_tried_again,
    a_write_that_always_collides_is_given_up,
}

async fn a_refusal_is_committed_and_a_failure_is_rolled_back_alone(db: Db) {
    let users = ["refused@example.org", "failed@example.org", "good@example.org"].map(new_user);
    let [refused, failed, good] = &users;
    let held_write = HeldWrite::hold(&db).await;
    let mut refusal = std::pin::pin!(insert_then(&db, refused, || Ok("refused")));
    let mut failure =
        std::pin::pin!(insert_then(&db, failed, || Err::<(), _>(StoreError::Conflict("thing"))));
    let mut success = std::pin::pin!(insert_then(&db, good, || Ok("done")));
    assert!(poll_once(refusal.as_mut()).await.is_pending());
    assert!(poll_once(failure.as_mut()).await.is_pending());
    assert!(poll_once(success.as_mut()).await.is_pending());
    held_write.release().await;
    assert_eq!(refusal.await.unwrap(), "refused");
    assert!(matches!(failure.await, Err(StoreError::Conflict("thing"))));
    assert_eq!(success.await.unwrap(), "done");
    assert_eq!(users_there(&db, &users).await, [true, false, true]);
}

async fn r_32_a_panicking_write_changes_nothing_and_the_store_goes_on(db: Db) {
    let users = ["before@example.org", "panics@example.org", "after@example.org"].map(new_user);
    let held_write = HeldWrite::hold(&db).await;
    let [before, panics, after] = &users;
    let mut first = std::pin::pin!(insert_then(&db, before, || Ok(())));
    let mut second = std::pin::pin!(insert_then::<()>(&db, panics, || panic!("on purpose")));
    let mut third = std::pin::pin!(insert_then(&db, after, || Ok(())));
    let _ = poll_once(first.as_mut()).await;
    let _ = poll_once(second.as_mut()).await;
    let _ = poll_once(third.as_mut()).await;
    held_write.release().await;
    first.await.unwrap();
    assert!(matches!(second.await, Err(StoreError::Panicked)));
    third.await.unwrap();
    assert_eq!(users_there(&db, &users).await, [true, false, true]);
    a_user(&db, "later@example.org").await;
}

async fn r_32_a_panicking_read_leaves_the_store_as_it_was(db: Db) {
    for _ in 0..20 {
        let store = db.store.clone();
        let read = tokio::spawn(async move {
            let panics = store.read((), |_, ()| Box::pin(async { panic!("on purpose") }));
            panics.await as Result<(), StoreError>
        });
        assert!(read.await.unwrap_err().is_panic());
    }
    assert!(ask!(db, |r| r.users(None, 1)).found.is_empty());
}

async fn r_07_reads_that_fail_or_are_abandoned_do_not_harm_the_next_ones(db: Db) {
    a_user(&db, "ada@example.org").await;
    for _ in 0..20 {
        let fails = db.store.read((), |r, ()| {
            Box::pin(async move {
                r.users(None, 1).await?;
                Err::<(), _>(StoreError::Unavailable("on purpose".to_owned()))
            })
        });
        assert!(fails.await.is_err());
        let hangs_up = db.store.read((), |r, ()| {
            Box::pin(async move {
                r.users(None, 1).await?;
                std::future::pending::<Result<(), StoreError>>().await
            })
        });
        assert!(tokio::time::timeout(Duration::from_millis(20), hangs_up).await.is_err());
        assert_eq!(ask!(db, |r| r.users(None, 9)).found.len(), 1);
    }
}

async fn a_caller_that_goes_away_does_not_stop_its_write(db: Db) {
    let users = ["gone@example.org", "stays@example.org"].map(new_user);
    let held_write = HeldWrite::hold(&db).await;
    {
        let mut hangs_up = std::pin::pin!(insert_then(&db, &users[0], || Ok(())));
        assert!(poll_once(hangs_up.as_mut()).await.is_pending());
    }
    let mut waits = std::pin::pin!(insert_then(&db, &users[1], || Ok(())));
    assert!(poll_once(waits.as_mut()).await.is_pending());
    held_write.release().await;
    waits.await.unwrap();
    db.close().await; // nothing else tells when the absent caller's write has ended
    let reopened = Db { store: db.database.open().await, database: db.database.clone() };
    assert_eq!(users_there(&reopened, &users).await, [true, true]);
}

/// The engines differ in what survives a failed statement. Neither may report success for something that is not
/// there.
async fn a_write_that_ignores_a_failed_statement_reports_success_only_if_it_committed(db: Db) {
    let user = new_user("ada@example.org");
    let overlooks = try_tell!(db, |tx, user| async move {
        tx.insert_user(user, None).await?;
        let failed = tx.grant_role(UserId::new(user.created_at), "user").await;
        assert!(failed.is_err(), "there is no such user");
        Ok(())
    });
    let (users, done) = ([user], overlooks.is_ok());
    assert_eq!(users_there(&db, &users).await, [done], "{overlooks:?}");
    a_user(&db, "later@example.org").await;
}

async fn every_other_node_sees_an_acknowledged_write_at_once(db: Db) {
    let other = db.database.open().await;
    for number in 0..20 {
        let user = a_user(&db, &format!("u{number}@example.org")).await.id;
        assert!(ask!(other, |r, user| r.user(*user)).is_some());
        tell!(other, |tx, user| tx.raise_user_epoch(*user));
        assert_eq!(ask!(db, |r, user| r.user(*user)).unwrap().epoch, 1);
    }
}

async fn a_read_waits_for_no_write_and_sees_nothing_uncommitted(db: Db) {
    let (user, entered, open) =
        (new_user("ada@example.org"), Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let signals = (entered.clone(), open.clone());
    let (store, written) = (db.store.clone(), user.clone());
    let write = tokio::spawn(async move {
        tell!(store, |tx, written, signals| async move {
            tx.insert_user(written, None).await?;
            signals.0.wait().await;
            signals.1.wait().await;
            Ok(())
        });
    });
    entered.wait().await;
    assert_eq!(users_there(&db, std::slice::from_ref(&user)).await, [false]);
    open.wait().await;
    write.await.unwrap();
    assert_eq!(users_there(&db, &[user]).await, [true]);
}

async fn a_closed_store_has_finished_its_writes_and_takes_no_more(db: Db) {
    let user = new_user("ada@example.org");
    let held_write = HeldWrite::hold(&db).await;
    let mut write = std::pin::pin!(insert_then(&db, &user, || Ok(())));
    assert!(poll_once(write.as_mut()).await.is_pending());
    let (store, id) = (db.store.clone(), user.id);
    let closes = tokio::spawn(async move { store.close().await });
    held_write.release().await;
    write.await.unwrap();
    closes.await.unwrap();
    let late = new_user("late@example.org");
    assert!(matches!(insert_then(&db, &late, || Ok(())).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(try_ask!(db, |r, id| r.user(*id)), Err(StoreError::Unavailable(_))));
    let reopened = db.database.open().await;
    assert!(ask!(reopened, |r, id| r.user(*id)).is_some());
}

async fn two_writes_in_a_deadlock_are_tried_again(db: Db) {
    let (ada, bob) = (a_user(&db, "ada@example.org").await.id, a_user(&db, "bob@example.org").await.id);
    let (met, runs) = (Arc::new(Barrier::new(2)), Arc::new(AtomicU32::new(0)));
    let raise_both = |first: UserId, second: UserId| {
        let (store, met, runs) = (db.store.clone(), met.clone(), runs.clone());
        tokio::spawn(async move {
            try_tell!(store, |tx, first, second, met, runs| async move {
                tx.raise_user_epoch(*first).await?;
                if runs.fetch_add(1, Ordering::Relaxed) < 2 {
                    met.wait().await; // each holds what the other wants
                }
                tx.raise_user_epoch(*second).await
            })
        })
    };
    let (one, other) = (raise_both(ada, bob), raise_both(bob, ada));
    one.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 3, "one of them ran twice");
    for user in [ada, bob] {
        assert_eq!(ask!(db, |r, user| r.user(*user)).unwrap().epoch, 2);
    }
}

async fn a_write_that_always_collides_is_given_up(db: Db) {
    let runs = Arc::new(AtomicU32::new(0));
    let outcome = try_tell!(db, |_tx, runs| async move {
        runs.fetch_add(1, Ordering::Relaxed);
        Err::<(), _>(StoreError::Retry("met".to_owned()))
    });
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))));
    assert_eq!(runs.load(Ordering::Relaxed), 8);
}

/// Inserts a user and ends as told.
fn insert_then<T: Send + 'static>(
    db: &Db,
    user: &User,
    end: fn() -> Result<T, StoreError>,
) -> impl Future<Output = Result<T, StoreError>> {
    db.write((user.clone(), end), |tx, (user, end)| {
        Box::pin(async move {
            tx.insert_user(user, None).await?;
            end()
        })
    })
}

async fn users_there(db: &Db, users: &[User]) -> Vec<bool> {
    let mut there = Vec::new();
    for user in users {
        let address = email(user.email.as_str());
        there.push(ask!(db, |r, address| r.credentials(address)).is_some());
    }
    there
}
