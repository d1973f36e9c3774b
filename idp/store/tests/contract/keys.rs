//! Signing keys and MAC keys.

use idp_core::time::{SECOND, Timestamp};
use idp_store::{KeyState, Store, StoredKey};

use crate::given::{NOW, a_key, after};
use crate::harness::Db;

contract! {
    keys_read_back_oldest_first,
    a_purpose_has_one_active_and_one_next_key,
    a_key_id_is_unique,
    fifty_nodes_that_start_at_once_agree_on_one_key,
}

async fn keys_read_back_oldest_first(db: Db) {
    let newer = key("newer", "RS256", KeyState::Next, after(SECOND));
    let older = StoredKey {
        activated_at: Some(NOW),
        retired_at: Some(after(SECOND)),
        ..key("older", "RS256", KeyState::Retiring, NOW)
    };
    let mac = StoredKey { public_jwk: None, ..key("mac", "mac", KeyState::Active, after(SECOND * 2)) };
    for key in [&newer, &older, &mac] {
        assert!(insert(&db, key).await);
    }
    assert_eq!(ask!(db, |r| r.keys()), [older, newer, mac]);
}

async fn a_purpose_has_one_active_and_one_next_key(db: Db) {
    assert!(insert(&db, &key("first", "RS256", KeyState::Active, NOW)).await);
    let before = db.database.everything().await;
    assert!(!insert(&db, &key("second", "RS256", KeyState::Active, NOW)).await);
    assert_eq!(db.database.everything().await, before);
    assert!(insert(&db, &key("other", "ES256", KeyState::Active, NOW)).await);
    for (id, state) in
        [("next", KeyState::Next), ("gone", KeyState::Retiring), ("long gone", KeyState::Retiring)]
    {
        assert!(insert(&db, &key(id, "RS256", state, NOW)).await, "{id}");
    }
    assert!(
        !insert(&db, &key("after next", "RS256", KeyState::Next, NOW)).await,
        "only one next key as well"
    );
    assert!(insert(&db, &key("other next", "ES256", KeyState::Next, NOW)).await);
}

async fn a_key_id_is_unique(db: Db) {
    let first = key("id", "RS256", KeyState::Retiring, NOW);
    assert!(insert(&db, &first).await);
    assert!(!insert(&db, &key("id", "ES256", KeyState::Active, after(SECOND))).await);
    assert_eq!(ask!(db, |r| r.keys()), [first]);
}

async fn fifty_nodes_that_start_at_once_agree_on_one_key(db: Db) {
    let nodes: Vec<_> = (0..50)
        .map(|number| {
            let store = db.store.clone();
            let key = key(&number.to_string(), "ES256", KeyState::Active, NOW);
            tokio::spawn(async move { insert(&store, &key).await })
        })
        .collect();
    let mut made = 0;
    for node in nodes {
        made += i32::from(node.await.unwrap());
    }
    assert_eq!((made, db.database.rows("keys").await), (1, 1));
}

fn key(id: &str, purpose: &str, state: KeyState, created_at: Timestamp) -> StoredKey {
    StoredKey { purpose: purpose.to_owned(), created_at, ..a_key(id, state) }
}

async fn insert(store: &Store, key: &StoredKey) -> bool {
    tell!(store, |tx, key| tx.insert_key(key))
}
