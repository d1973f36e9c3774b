//! Registrations and their typed codes.

use idp_core::account::password::PasswordHash;
use idp_core::ids::{FlowId, RegistrationId};
use idp_core::time::{DAY, HOUR, SECOND, Timestamp};
use idp_store::{Activation, CodeTry, NewRegistration, RegistrationState};

use crate::given::{NOW, a_hash, a_registration, after, email, new_digest, new_registration};
use crate::harness::Db;

contract! {
    a_registration_reads_back_as_written,
    rg_10_a_registration_lives_for_a_day,
    the_newest_registration_is_found_by_address,
    rg_01_a_registration_for_a_known_address_becomes_nothing,
    rg_01_the_outcome_of_a_registration_is_revealed_to_its_own_browser_only,
    another_mail_gives_the_registration_a_full_day,
    r_13_a_mail_that_is_sent_late_does_not_extend_its_registration,
    a_typed_code_works_only_for_its_own_registration,
    a_typed_code_has_five_tries_and_a_new_mail_resets_them,
    fifty_parallel_tries_of_a_typed_code_are_five,
    a_typed_code_ends_with_its_registration,
    a_registration_has_ended_when_it_or_another_for_its_address_became_an_account,
}

async fn a_registration_reads_back_as_written(db: Db) {
    let flow_id = Some(FlowId::new(NOW));
    let written = NewRegistration { flow_id, ..new_registration("Ada@Example.org") };
    tell!(db, |tx, written| tx.insert_registration(written, NOW));
    let id = written.id;
    let read = ask!(db, |r, id| r.registration(*id, NOW)).unwrap();
    assert_eq!((read.id, read.email.as_str(), read.name.as_str()), (id, "Ada@example.org", "Ada Lovelace"));
    assert_eq!(read.password.as_str(), a_hash().as_str());
    assert_eq!(read.browser.as_str(), written.browser.as_str());
    assert_eq!((read.flow_id, read.mailed_at), (flow_id, NOW));
}

async fn rg_10_a_registration_lives_for_a_day(db: Db) {
    let registration = a_registration(&db, "ada@example.org", NOW).await;
    let (last, over) = (after(DAY - SECOND), after(DAY));
    assert!(is_live(&db, registration.id, last).await);
    assert!(!is_live(&db, registration.id, over).await);
    assert_eq!(newest(&db, "ada@example.org", last).await, Some(registration.id));
    assert_eq!(newest(&db, "ada@example.org", over).await, None);
    assert!(!is_live(&db, RegistrationId::new(NOW), NOW).await, "one that was never made");
}

async fn the_newest_registration_is_found_by_address(db: Db) {
    let first = a_registration(&db, "Ada@example.org", NOW).await;
    let second = a_registration(&db, "ada@EXAMPLE.org", after(SECOND)).await;
    assert_eq!(newest(&db, "ada@example.org", after(SECOND)).await, Some(second.id));
    a_registration(&db, "bob@example.org", after(SECOND * 2)).await;
    let told = NewRegistration { known_address: true, ..new_registration("ada@example.org") };
    let latest = after(SECOND * 3);
    tell!(db, |tx, told, latest| tx.insert_registration(told, *latest));
    let (address, stranger) = (email("ADA@example.org"), new_digest());
    let found =
        ask!(db, |r, address, stranger, latest| r.newest_registration(address, Some(stranger), *latest));
    assert_eq!(found.map(|registration| registration.id), Some(told.id), "RG-01: like any other");
    assert_eq!(
        newest(&db, "ADA@example.org", latest).await,
        Some(second.id),
        "the owner may know the difference"
    );
    assert_eq!(newest(&db, "ada@example.org", latest.plus(DAY)).await, None, "all have expired");
    assert_eq!(newest(&db, "eve@example.org", NOW).await, None);
    let again = NewRegistration { browser: first.browser.clone(), ..new_registration("ada@example.org") };
    tell!(db, |tx, again, latest| tx.insert_registration(again, latest.plus(SECOND)));
    let id = first.id;
    tell!(db, |tx, id| tx.activate(*id, NOW));
    assert_eq!(newest(&db, "ada@example.org", latest).await, None, "the address has its account");
    for (browser, now, found) in [
        (&stranger, latest, Some(again.id)),
        (&told.browser, latest, Some(again.id)),
        (&first.browser, latest, Some(told.id)),
        (&stranger, after(DAY * 2), None),
    ] {
        let address = email("ada@example.org");
        let newest = ask!(db, |r, address, browser, now| r.newest_registration(address, Some(browser), *now));
        assert_eq!(
            newest.map(|registration| registration.id),
            found,
            "except for what this browser was shown, nothing has changed"
        );
    }
}

async fn rg_01_a_registration_for_a_known_address_becomes_nothing(db: Db) {
    let told = NewRegistration { known_address: true, ..new_registration("ada@example.org") };
    tell!(db, |tx, told| tx.insert_registration(told, NOW));
    assert!(is_live(&db, told.id, NOW).await, "its browser sees the same page as any other");
    let id = told.id;
    assert!(matches!(tell!(db, |tx, id| tx.activate(*id, NOW)), Activation::Unknown));
    set_code(&db, told.id, "tag").await;
    for _ in 0..4 {
        assert_eq!(outcome(&db, told.id, "tag", NOW).await, CodeTry::Wrong);
    }
    assert_eq!(outcome(&db, told.id, "tag", NOW).await, CodeTry::NoneLeft, "counted like any other");
}

async fn rg_01_the_outcome_of_a_registration_is_revealed_to_its_own_browser_only(db: Db) {
    let (mine, other) = (new_registration("ada@example.org"), new_registration("ada@example.org"));
    let other = NewRegistration { password: another_hash(), ..other };
    let first = NewRegistration { browser: mine.browser.clone(), ..new_registration("ada@example.org") };
    for registration in [&first, &mine, &other] {
        tell!(db, |tx, registration| tx.insert_registration(registration, NOW));
    }
    let (first, mine, other) = (first.id, mine.id, other.id);
    assert_eq!(state(&db, mine, NOW).await, Some(RegistrationState::Waiting));
    assert_eq!(state(&db, mine, after(DAY)).await, Some(RegistrationState::Expired));
    assert_eq!(state(&db, RegistrationId::new(NOW), NOW).await, None);
    tell!(db, |tx, mine| tx.activate(*mine, NOW));
    for (later, of_others) in [(NOW, RegistrationState::Waiting), (after(DAY), RegistrationState::Expired)] {
        assert_eq!(state(&db, mine, later).await, Some(RegistrationState::Activated));
        assert_eq!(
            state(&db, first, later).await,
            Some(RegistrationState::Ended),
            "revealed to the browser that did it"
        );
        assert_eq!(state(&db, other, later).await, Some(of_others));
    }
    // As in an older database, before and after its migration.
    db.database.execute("UPDATE registrations SET outcome = NULL").await;
    assert_eq!(state(&db, mine, NOW).await, Some(RegistrationState::Waiting));
    let migration = include_str!("../../../../migrations/0004_registration_outcome.sql");
    db.database.execute(&migration[migration.find("UPDATE").unwrap()..]).await;
    assert_eq!(state(&db, mine, NOW).await, Some(RegistrationState::Activated));
    assert_eq!(state(&db, other, NOW).await, Some(RegistrationState::Waiting));
    set_code(&db, other, "tag").await;
    for _ in 0..4 {
        assert_eq!(outcome(&db, other, "tag", NOW).await, CodeTry::Wrong, "no code is valid any more");
    }
    assert_eq!(outcome(&db, other, "tag", NOW).await, CodeTry::NoneLeft, "counted like any other");
}

async fn another_mail_gives_the_registration_a_full_day(db: Db) {
    let registration = a_registration(&db, "ada@example.org", NOW).await;
    let (id, again) = (registration.id, after(HOUR));
    let early = after(SECOND * 59);
    assert!(!tell!(db, |tx, id, early| tx.registration_mailed(*id, *early)), "within a minute");
    assert!(tell!(db, |tx, id, again| tx.registration_mailed(*id, *again)));
    assert!(!tell!(db, |tx, id, again| tx.registration_mailed(*id, *again)), "twice at once");
    let read = ask!(db, |r, id, again| r.registration(*id, *again)).unwrap();
    assert_eq!(read.mailed_at, again);
    assert!(is_live(&db, id, again.plus(DAY - SECOND)).await);
    assert!(!is_live(&db, id, again.plus(DAY)).await);
}

async fn r_13_a_mail_that_is_sent_late_does_not_extend_its_registration(db: Db) {
    let id = a_registration(&db, "ada@example.org", NOW).await.id;
    set_code(&db, id, "tag").await;
    assert!(is_live(&db, id, after(DAY - SECOND)).await);
    assert!(!is_live(&db, id, after(DAY)).await, "just like an address that gets no such mail");
}

async fn a_typed_code_works_only_for_its_own_registration(db: Db) {
    let mine = a_registration(&db, "ada@example.org", NOW).await.id;
    let other = a_registration(&db, "bob@example.org", NOW).await.id;
    assert!(!try_code(&db, mine, "", NOW).await, "no mail has been sent yet");
    set_code(&db, mine, "tag of ada").await;
    set_code(&db, other, "tag of bob").await;
    assert!(!try_code(&db, mine, "tag of bob", NOW).await);
    assert!(!try_code(&db, RegistrationId::new(NOW), "tag of ada", NOW).await);
    assert!(try_code(&db, mine, "tag of ada", NOW).await);
    set_code(&db, mine, "a newer tag").await;
    assert!(!try_code(&db, mine, "tag of ada", NOW).await, "a newer mail invalidates the older code");
}

async fn a_typed_code_has_five_tries_and_a_new_mail_resets_them(db: Db) {
    let id = a_registration(&db, "ada@example.org", NOW).await.id;
    set_code(&db, id, "right").await;
    for _ in 0..4 {
        assert_eq!(outcome(&db, id, "wrong", NOW).await, CodeTry::Wrong);
    }
    assert_eq!(outcome(&db, id, "wrong", NOW).await, CodeTry::NoneLeft, "the fifth is the last");
    assert_eq!(outcome(&db, id, "right", NOW).await, CodeTry::NoneLeft, "the sixth is not checked");
    set_code(&db, id, "right").await;
    assert_eq!(outcome(&db, id, "right", NOW).await, CodeTry::NoneLeft, "sending the mail once more");
    tell!(db, |tx, id| tx.forget_registration_code(*id));
    assert_eq!(outcome(&db, id, "right", NOW).await, CodeTry::Wrong, "before the new mail is sent");
    set_code(&db, id, "new").await;
    assert_eq!(outcome(&db, id, "new", NOW).await, CodeTry::Right);
}

async fn fifty_parallel_tries_of_a_typed_code_are_five(db: Db) {
    let id = a_registration(&db, "ada@example.org", NOW).await.id;
    set_code(&db, id, "right").await;
    let tries: Vec<_> = (0..50)
        .map(|_| {
            let store = db.store.clone();
            tokio::spawn(async move { try_code(&store, id, "right", NOW).await })
        })
        .collect();
    let mut counted = 0;
    for one in tries {
        counted += i32::from(one.await.unwrap());
    }
    assert_eq!(counted, 5, "more comparisons than tries would help a guesser");
}

async fn a_typed_code_ends_with_its_registration(db: Db) {
    let expired = a_registration(&db, "ada@example.org", NOW).await.id;
    let ended = a_registration(&db, "bob@example.org", NOW).await.id;
    set_code(&db, expired, "tag").await;
    set_code(&db, ended, "tag").await;
    tell!(db, |tx, ended| tx.activate(*ended, NOW));
    assert!(!try_code(&db, expired, "tag", after(DAY)).await);
    assert!(!try_code(&db, ended, "tag", NOW).await);
}

async fn a_registration_has_ended_when_it_or_another_for_its_address_became_an_account(db: Db) {
    let (mine, other) =
        (a_registration(&db, "ada@example.org", NOW).await.id, new_registration("ADA@example.org"));
    tell!(db, |tx, other| tx.insert_registration(other, NOW));
    let (other, nobody) = (other.id, RegistrationId::new(NOW));
    assert!(!ended(&db, mine).await && !ended(&db, other).await);
    tell!(db, |tx, mine| tx.activate(*mine, NOW));
    assert!(ended(&db, mine).await && ended(&db, other).await && !ended(&db, nobody).await);
}

async fn ended(db: &Db, id: RegistrationId) -> bool {
    ask!(db, |r, id| r.registration_ended(*id))
}

async fn is_live(db: &Db, id: RegistrationId, now: Timestamp) -> bool {
    ask!(db, |r, id, now| r.registration(*id, *now)).is_some()
}

async fn newest(db: &Db, address: &str, now: Timestamp) -> Option<RegistrationId> {
    let address = email(address);
    ask!(db, |r, address, now| r.newest_registration(address, None, *now)).map(|registration| registration.id)
}

async fn set_code(db: &Db, id: RegistrationId, tag: &'static str) {
    tell!(db, |tx, id, tag| tx.set_registration_code(*id, tag));
}

async fn try_code(store: &idp_store::Store, id: RegistrationId, tag: &'static str, now: Timestamp) -> bool {
    outcome(store, id, tag, now).await == CodeTry::Right
}

async fn outcome(store: &idp_store::Store, id: RegistrationId, tag: &'static str, now: Timestamp) -> CodeTry {
    tell!(store, |tx, id, tag, now| tx.try_registration_code(*id, tag, *now))
}

async fn state(db: &Db, id: RegistrationId, now: Timestamp) -> Option<RegistrationState> {
    ask!(db, |r, id, now| r.registration_and_state(*id, *now)).map(|(_, state)| state)
}

/// The hash of another password.
fn another_hash() -> PasswordHash {
    PasswordHash::parse(&a_hash().as_str().replace("AAAA", "BBBB")).unwrap()
}
