//! Grants, which are token families.

use idp_core::ids::GrantId;
use idp_core::oauth::grant::{Grant, Lifetimes};
use idp_core::time::{DAY, MINUTE, Timestamp};

use crate::given::{NOW, OFFLINE, ONLINE, SignedInPerson, after};
use crate::harness::Db;

contract! {
    a_grant_reads_back_as_written,
    an_unknown_grant_is_none,
    a_code_becomes_one_grant,
    tk_16_a_rotation_needs_the_current_generation_and_raises_it_by_one,
    a_revoked_grant_is_dead_and_is_revoked_once,
    ui_01_the_subject_is_there_as_long_as_the_grant_lives,
}

async fn a_grant_reads_back_as_written(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    for scope in [OFFLINE, ONLINE] {
        let written = ada.a_grant(&db, scope).await;
        let read = read(&db, written.facts.id).await.unwrap();
        assert_eq!(read, (written, true));
    }
    assert_eq!(db.database.dump("SELECT offline FROM grants ORDER BY offline").await.len(), 2);
    assert_eq!(db.database.number("SELECT COUNT(*) FROM grants WHERE offline = TRUE").await, 1);
}

async fn an_unknown_grant_is_none(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    ada.a_grant(&db, OFFLINE).await;
    let before = db.database.everything().await;
    let nothing = GrantId::new(NOW);
    assert!(read(&db, nothing).await.is_none());
    assert!(subject(&db, nothing).await.is_none());
    assert!(!rotate(&db, nothing, 0, after(DAY)).await);
    assert!(!revoke(&db, nothing).await);
    assert_eq!(db.database.everything().await, before);
}

async fn a_code_becomes_one_grant(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let code = ada.a_consumed_code(&db, OFFLINE).await;
    let grant = Grant::of_code(&code.code, &Lifetimes::default(), NOW);
    assert!(tell!(db, |tx, grant, code| tx.insert_grant(grant, code, NOW)));
    assert!(try_tell!(db, |tx, grant, code| tx.insert_grant(grant, code, NOW)).is_err());
    assert_eq!(db.database.rows("grants").await, 1);
}

async fn tk_16_a_rotation_needs_the_current_generation_and_raises_it_by_one(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (grant, other) = (ada.a_grant(&db, OFFLINE).await, ada.a_grant(&db, OFFLINE).await);
    let (id, until) = (grant.facts.id, after(DAY * 31));
    assert!(rotate(&db, id, 0, until).await);
    let moved = Grant { generation: 1, idle_expires_at: until, ..grant };
    assert_eq!(read(&db, id).await, Some((moved.clone(), true)));
    for stale in [0, 2, -1, i64::MAX] {
        assert!(!rotate(&db, id, stale, after(DAY * 60)).await, "{stale}");
    }
    assert_eq!(read(&db, id).await, Some((moved, true)));
    assert!(rotate(&db, id, 1, until).await);
    assert_eq!(read(&db, other.facts.id).await, Some((other, true)), "other grants are not touched");
}

async fn a_revoked_grant_is_dead_and_is_revoked_once(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (grant, other) = (ada.a_grant(&db, OFFLINE).await, ada.a_grant(&db, OFFLINE).await.facts.id);
    let id = grant.facts.id;
    assert!(revoke(&db, id).await);
    assert!(!revoke(&db, id).await);
    assert!(!rotate(&db, id, 0, after(DAY)).await);
    assert_eq!(read(&db, id).await, Some((grant, false)));
    assert!(subject(&db, id).await.is_none());
    assert!(subject(&db, other).await.is_some(), "other grants are not touched");
}

async fn ui_01_the_subject_is_there_as_long_as_the_grant_lives(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let bob = SignedInPerson::named(&db, "bob@example.org", "other").await;
    let (hers, his) = (ada.a_grant(&db, ONLINE).await.facts.id, bob.a_grant(&db, ONLINE).await.facts.id);
    assert_eq!(subject(&db, hers).await.as_deref(), Some("ada@example.org"));
    assert_eq!(subject(&db, his).await.as_deref(), Some("bob@example.org"));
    let (id, until) = (hers, after(MINUTE));
    tell!(db, |tx, id, until| tx.revoke_grant(*id, *until));
    assert!(subject(&db, hers).await.is_none() && subject(&db, his).await.is_some());
}

async fn read(db: &Db, id: GrantId) -> Option<(Grant, bool)> {
    ask!(db, |r, id| r.grant(*id)).map(|stored| (stored.grant, stored.live))
}

async fn subject(db: &Db, id: GrantId) -> Option<String> {
    ask!(db, |r, id| r.subject_of_grant(*id)).map(|user| user.email.as_str().to_owned())
}

async fn rotate(db: &Db, id: GrantId, generation: i64, until: Timestamp) -> bool {
    tell!(db, |tx, id, generation, until| tx.rotate_grant(*id, *generation, *until))
}

async fn revoke(db: &Db, id: GrantId) -> bool {
    tell!(db, |tx, id| tx.revoke_grant(*id, NOW))
}
