//! The registration that becomes an account.

use idp_core::ids::{FlowId, RegistrationId};
use idp_core::time::{DAY, HOUR, Timestamp};
use idp_core::user::{User, UserState};
use idp_store::{Activation, NewRegistration, RegistrationState};

use crate::given::{NOW, a_hash, a_registration, a_user, after, email, new_registration};
use crate::harness::Db;

contract! {
    a_registration_becomes_an_active_account_with_the_role_user,
    a_second_activation_is_told_that_the_first_succeeded,
    the_first_activation_ends_the_other_registrations_for_the_address,
    a_registration_for_an_address_that_got_an_account_meanwhile_becomes_nothing,
    rg_10_an_expired_or_unknown_registration_changes_nothing,
    rg_01_activating_a_registration_for_a_known_address_changes_nothing,
    a_deactivated_account_is_not_reactivated_by_old_registrations,
}

async fn a_registration_becomes_an_active_account_with_the_role_user(db: Db) {
    let flow_id = Some(FlowId::new(NOW));
    let registration = NewRegistration { flow_id, ..new_registration("Ada@Example.org") };
    tell!(db, |tx, registration| tx.insert_registration(registration, NOW));
    let (user, flow) = activated(activate(&db, registration.id, after(HOUR)).await);
    assert_eq!(flow, flow_id);
    let (id, address) = (user.id, email("ada@example.org"));
    let stored = ask!(db, |r, address| r.credentials(address)).unwrap();
    assert_eq!((stored.user.id, stored.user.email.as_str()), (id, "Ada@example.org"));
    assert_eq!((stored.user.state, stored.user.epoch), (UserState::Active, 0));
    assert_eq!((stored.user.created_at, stored.user.name.as_str()), (after(HOUR), "Ada Lovelace"));
    assert_eq!(stored.password.unwrap().as_str(), a_hash().as_str());
    assert_eq!(ask!(db, |r, id| r.roles_of(*id)), ["user"]);
}

async fn a_second_activation_is_told_that_the_first_succeeded(db: Db) {
    let registration = a_registration(&db, "ada@example.org", NOW).await.id;
    activated(activate(&db, registration, NOW).await);
    let before = db.database.everything().await;
    assert!(matches!(activate(&db, registration, NOW).await, Activation::AlreadyUsed));
    assert_eq!(db.database.everything().await, before);
}

async fn the_first_activation_ends_the_other_registrations_for_the_address(db: Db) {
    let stranger = a_registration(&db, "ADA@example.org", NOW).await.id;
    let owner = a_registration(&db, "ada@example.org", NOW).await.id;
    let bystander = a_registration(&db, "bob@example.org", NOW).await.id;
    let (user, _) = activated(activate(&db, owner, NOW).await);
    assert_eq!(user.email.as_str(), "ada@example.org");
    assert!(matches!(activate(&db, stranger, NOW).await, Activation::AlreadyUsed));
    assert!(ask!(db, |r, stranger| r.registration(*stranger, NOW)).is_none());
    activated(activate(&db, bystander, NOW).await);
}

async fn a_registration_for_an_address_that_got_an_account_meanwhile_becomes_nothing(db: Db) {
    let registration = a_registration(&db, "Ada@example.org", NOW).await.id;
    let user = a_user(&db, "ada@example.org").await.id;
    assert!(matches!(activate(&db, registration, NOW).await, Activation::AlreadyUsed));
    let (_, state) = ask!(db, |r, registration| r.registration_and_state(*registration, NOW)).unwrap();
    assert_eq!(state, RegistrationState::Ended, "its password is nobody's");
    assert_eq!(db.database.rows("users").await, 1);
    assert!(ask!(db, |r, user| r.roles_of(*user)).is_empty(), "the account is not touched");
    assert!(matches!(activate(&db, registration, NOW).await, Activation::AlreadyUsed));
}

async fn rg_10_an_expired_or_unknown_registration_changes_nothing(db: Db) {
    let registration = a_registration(&db, "ada@example.org", NOW).await.id;
    let before = db.database.everything().await;
    assert!(matches!(activate(&db, registration, after(DAY)).await, Activation::Unknown));
    assert!(matches!(activate(&db, RegistrationId::new(NOW), NOW).await, Activation::Unknown));
    assert_eq!(db.database.everything().await, before);
}

async fn rg_01_activating_a_registration_for_a_known_address_changes_nothing(db: Db) {
    let told = NewRegistration { known_address: true, ..new_registration("ada@example.org") };
    tell!(db, |tx, told| tx.insert_registration(told, NOW));
    a_registration(&db, "ada@example.org", NOW).await;
    let before = db.database.everything().await;
    assert!(matches!(activate(&db, told.id, NOW).await, Activation::Unknown));
    assert_eq!(db.database.everything().await, before);
}

async fn a_deactivated_account_is_not_reactivated_by_old_registrations(db: Db) {
    let (first, second) = (
        a_registration(&db, "ada@example.org", NOW).await.id,
        a_registration(&db, "ada@example.org", NOW).await.id,
    );
    let user = activated(activate(&db, first, NOW).await).0.id;
    tell!(db, |tx, user| tx.set_user_state(*user, UserState::Deactivated, NOW));
    for link in [first, second] {
        assert!(matches!(activate(&db, link, NOW).await, Activation::AlreadyUsed));
    }
    assert_eq!(ask!(db, |r, user| r.user(*user)).unwrap().state, UserState::Deactivated);
}

async fn activate(db: &Db, id: RegistrationId, now: Timestamp) -> Activation {
    tell!(db, |tx, id, now| tx.activate(*id, *now))
}

fn activated(activation: Activation) -> (Box<User>, Option<FlowId>) {
    match activation {
        Activation::Activated(user, flow) => (user, flow),
        other => panic!("{other:?}"),
    }
}
