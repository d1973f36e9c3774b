//! What people consented to.

use idp_core::client::ClientId;
use idp_core::ids::UserId;
use idp_core::scope::Scope;
use idp_core::time::{HOUR, Timestamp};
use idp_store::Store;

use crate::given::{NOW, SignedInPerson, a_client, a_user, after};
use crate::harness::Db;

contract! {
    a_consent_reads_back_for_its_user_and_client_only,
    a_later_consent_adds_to_the_earlier_one,
    simultaneous_consents_are_all_remembered,
    nothing_is_remembered_for_an_unknown_user_or_client,
}

async fn a_consent_reads_back_for_its_user_and_client_only(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (bob, other) = (a_user(&db, "bob@example.org").await.id, a_client(&db, "other").await.id);
    assert_eq!(consent(&db, ada.user.id, &ada.client.id).await, None);
    allow(&db, ada.user.id, &ada.client.id, "openid email", NOW).await;
    let given = Some(("email openid".to_owned(), NOW));
    assert_eq!(consent(&db, ada.user.id, &ada.client.id).await, given);
    assert_eq!(consent(&db, bob, &ada.client.id).await, None);
    assert_eq!(consent(&db, ada.user.id, &other).await, None);
    let nothing = ClientId::parse("nothing").unwrap();
    assert!(ask!(db, |r, nothing, bob| r.client_and_consent(nothing, *bob)).is_none());
}

async fn a_later_consent_adds_to_the_earlier_one(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (user, client) = (ada.user.id, ada.client.id);
    allow(&db, user, &client, "openid email", NOW).await;
    allow(&db, user, &client, "openid profile", after(HOUR)).await;
    assert_eq!(consent(&db, user, &client).await, Some(("email openid profile".to_owned(), after(HOUR))));
    assert_eq!(db.database.rows("consents").await, 1);
}

async fn simultaneous_consents_are_all_remembered(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (user, client) = (ada.user.id, ada.client.id);
    let mut words: Vec<String> = (0..20).map(|number| format!("scope{number:02}")).collect();
    let tabs: Vec<_> = words
        .iter()
        .cloned()
        .map(|word| {
            let (store, client) = (db.store.clone(), client.clone());
            tokio::spawn(async move { allow(&store, user, &client, &word, NOW).await })
        })
        .collect();
    for tab in tabs {
        tab.await.unwrap();
    }
    words.sort();
    assert_eq!(consent(&db, user, &client).await, Some((words.join(" "), NOW)));
}

async fn nothing_is_remembered_for_an_unknown_user_or_client(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (nobody, scope) = (UserId::new(NOW), Scope::default());
    let nothing = ClientId::parse("nothing").unwrap();
    let (user, client) = (ada.user.id, ada.client.id);
    let before = db.database.everything().await;
    assert!(
        try_tell!(db, |tx, nobody, client, scope| tx.remember_consent(*nobody, client, scope, NOW)).is_err()
    );
    assert!(
        try_tell!(db, |tx, user, nothing, scope| tx.remember_consent(*user, nothing, scope, NOW)).is_err()
    );
    assert_eq!(db.database.everything().await, before);
}

async fn allow(store: &Store, user: UserId, client: &ClientId, scope: &str, now: Timestamp) {
    let scope = Scope::parse(scope).unwrap();
    tell!(store, |tx, user, client, scope, now| tx.remember_consent(*user, client, scope, *now));
}

async fn consent(db: &Db, user: UserId, client: &ClientId) -> Option<(String, Timestamp)> {
    let (found, consent) = ask!(db, |r, user, client| r.client_and_consent(client, *user)).unwrap();
    let alone = ask!(db, |r, client| r.client(client)).unwrap();
    assert_eq!(format!("{found:?}"), format!("{alone:?}"));
    consent.map(|consent| (consent.scope.to_string(), consent.granted_at))
}
