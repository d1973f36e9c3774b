//! Parallel registrations of one address in different letter cases: one gets it, and nobody gets an error.

use idp_core::user::User;
use idp_store::{Activation, Store};

use super::{CALLERS, RaceOutcome, line_up, report, rounds, wide, winners};
use crate::given::{NOW, a_registration, new_user};
use crate::harness::Db;

contract! {
    r_05_one_of_fifty_registrations_made_and_activated_at_once_gets_the_address,
    r_05_one_of_fifty_registrations_activated_at_once_gets_the_address,
    r_05_one_of_fifty_accounts_created_at_once_for_an_address_is_created,
}

async fn r_05_one_of_fifty_registrations_made_and_activated_at_once_gets_the_address(db: Db) {
    let store = wide(&db).await;
    for round in 0..rounds() {
        let register = |caller| {
            let (store, address) = (store.clone(), address(round, caller));
            async move {
                let registration = a_registration(&store, &address, NOW).await.id;
                activate(store, registration).await
            }
        };
        assert_eq!(winners(&line_up(CALLERS, register).go().await), 1, "round {round}");
    }
    assert_eq!(db.database.rows("users").await, rounds() as i64);
    report(&db, "r_05 registration and activation of one address");
}

async fn r_05_one_of_fifty_registrations_activated_at_once_gets_the_address(db: Db) {
    let store = wide(&db).await;
    for round in 0..rounds() {
        let mut registrations = Vec::new();
        for caller in 0..CALLERS {
            registrations.push(a_registration(&store, &address(round, caller), NOW).await.id);
        }
        let got = line_up(CALLERS, |caller| activate(store.clone(), registrations[caller])).go().await;
        assert_eq!(winners(&got), 1, "round {round}");
    }
    assert_eq!(db.database.rows("users").await, rounds() as i64);
    report(&db, "r_05 activation of registrations for one address");
}

async fn r_05_one_of_fifty_accounts_created_at_once_for_an_address_is_created(db: Db) {
    let store = wide(&db).await;
    for round in 0..rounds() {
        let make = |caller| {
            let (store, user): (Store, User) = (store.clone(), new_user(&address(round, caller)));
            async move {
                match tell!(store, |tx, user| tx.insert_user(user, None)) {
                    true => RaceOutcome::It,
                    false => RaceOutcome::Refused,
                }
            }
        };
        assert_eq!(winners(&line_up(CALLERS, make).go().await), 1, "round {round}");
    }
    assert_eq!(db.database.rows("users").await, rounds() as i64);
    report(&db, "r_05 making an account for one address");
}

/// One address per round, in letter cases that differ from caller to caller.
fn address(round: usize, caller: usize) -> String {
    let vary = |(place, c): (usize, char)| match caller >> place & 1 {
        1 => c.to_ascii_uppercase(),
        _ => c,
    };
    format!("{}{round}@example.org", "lovelace".chars().enumerate().map(vary).collect::<String>())
}

async fn activate(store: Store, registration: idp_core::ids::RegistrationId) -> RaceOutcome {
    match tell!(store, |tx, registration| tx.activate(*registration, NOW)) {
        Activation::Activated(..) => RaceOutcome::It,
        Activation::AlreadyUsed => RaceOutcome::Refused,
        Activation::Unknown => panic!("an registration that was made is not unknown"),
    }
}
