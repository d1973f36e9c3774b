//! Parallel changes that each take away one administrator: the last one stays, and nobody gets an error.

use idp_core::ids::UserId;
use idp_core::user::UserState;
use idp_store::{Store, StoreError};

use super::{RaceOutcome, line_up, report, rounds, wide, winners};
use crate::given::{NOW, a_user};
use crate::harness::Db;

contract! {
    fault_21_one_of_ten_administrators_who_are_taken_away_at_once_stays,
    fault_21_an_administrator_by_a_group_counts_and_a_deactivated_one_does_not,
}

const ADMINISTRATORS: usize = 10;

async fn fault_21_one_of_ten_administrators_who_are_taken_away_at_once_stays(db: Db) {
    let store = wide(&db).await;
    for round in 0..rounds() {
        let mut administrators = Vec::new();
        for number in 0..ADMINISTRATORS {
            administrators.push(an_administrator(&db, &format!("{number}-{round}@example.org")).await);
        }
        let take = |caller| take_away(store.clone(), administrators[caller], caller % 2 == 0);
        assert_eq!(winners(&line_up(ADMINISTRATORS, take).go().await), ADMINISTRATORS - 1, "round {round}");
        // The next round begins without any.
        db.database.execute("DELETE FROM user_roles").await;
    }
    report(&db, "taking away administrators");
}

async fn fault_21_an_administrator_by_a_group_counts_and_a_deactivated_one_does_not(db: Db) {
    let ada = an_administrator(&db, "ada@example.org").await;
    let bob = a_user(&db, "bob@example.org").await.id;
    let store = wide(&db).await;
    assert_eq!(take_away(store.clone(), ada, false).await, RaceOutcome::Refused);
    for sql in [
        "INSERT INTO groups VALUES ('g1', 'office', '')",
        "INSERT INTO group_roles SELECT 'g1', id FROM roles WHERE name = 'admin'",
        &format!("INSERT INTO user_groups VALUES ('{bob}', 'g1')"),
    ] {
        db.database.execute(sql).await;
    }
    assert_eq!(take_away(store.clone(), ada, false).await, RaceOutcome::It);
    assert_eq!(take_away(store.clone(), bob, true).await, RaceOutcome::Refused);
    assert!(tell!(store, |tx, ada| tx.grant_role(*ada, "admin")));
    assert!(tell!(store, |tx, ada| tx.set_user_state(*ada, UserState::Deactivated, NOW)));
    assert_eq!(take_away(store.clone(), bob, true).await, RaceOutcome::Refused);
    // Without an administrator there is nothing to keep.
    assert!(tell!(store, |tx, bob| tx.set_user_state(*bob, UserState::Deactivated, NOW)));
    assert_eq!(take_away(store, ada, false).await, RaceOutcome::It);
}

async fn an_administrator(db: &Db, email: &str) -> UserId {
    let id = a_user(db, email).await.id;
    assert!(tell!(db, |tx, id| tx.grant_role(*id, "admin")));
    id
}

async fn take_away(store: Store, user: UserId, deactivate: bool) -> RaceOutcome {
    let taken = try_tell!(store, |tx, user, deactivate| async move {
        let guard = tx.guard_administrators().await?;
        match deactivate {
            true => tx.set_user_state(*user, UserState::Deactivated, NOW).await?,
            false => tx.revoke_role(*user, "admin").await?,
        };
        guard.check(tx).await
    });
    match taken {
        Ok(()) => RaceOutcome::It,
        Err(StoreError::Conflict(_)) => RaceOutcome::Refused,
        Err(error) => panic!("{error}"),
    }
}
