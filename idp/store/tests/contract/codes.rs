//! Authorization codes.

use idp_core::client::ClientId;
use idp_core::ids::{GrantId, SessionId, UserId};
use idp_core::oauth::grant::{Grant, IssuedCode, Lifetimes};
use idp_core::scope::Scope;
use idp_core::time::{HOUR, SECOND, Timestamp};
use idp_store::ConsumedCode;

use crate::given::{
    CodeDigest, NOW, OFFLINE, ONLINE, SignedInPerson, a_session, a_user, after, client_id, insert_code,
    new_code_digest,
};
use crate::harness::Db;

contract! {
    a_consumed_code_is_what_was_issued,
    a_code_may_lack_nonce_and_challenge,
    tk_01_a_code_is_consumed_once,
    tk_01_a_replayed_code_revokes_its_grant,
    tk_03_another_client_changes_nothing,
    tk_03_another_client_cannot_revoke_by_replay,
    an_unknown_code_changes_nothing,
    an_expired_code_is_consumed_as_well,
    a_code_is_issued_only_for_users_clients_and_sessions_that_exist,
    a_code_is_not_issued_in_somebody_elses_session,
    a_code_is_not_issued_for_a_request_checked_before_the_clients_scope_was_narrowed,
    a_code_is_stored_once,
    fault_01_a_code_is_usable_until_it_is_redeemed_expires_or_loses_what_it_was_issued_under,
}

async fn a_consumed_code_is_what_was_issued(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (digest, issued) = (new_code_digest(), ada.new_code(OFFLINE));
    assert!(insert_code(&db, &digest, &issued).await);
    let code = consume(&db, &digest, &ada.client.id).await.unwrap();
    assert_eq!(code.code, issued);
}

async fn a_code_may_lack_nonce_and_challenge(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let bare = IssuedCode { nonce: None, code_challenge: None, ..ada.new_code("") };
    let digest = new_code_digest();
    assert!(insert_code(&db, &digest, &bare).await);
    assert_eq!(consume(&db, &digest, &ada.client.id).await.unwrap().code, bare);
}

async fn tk_01_a_code_is_consumed_once(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (digest, other) = (ada.a_code(&db, ONLINE).await, ada.a_code(&db, ONLINE).await);
    assert!(consume(&db, &digest, &ada.client.id).await.is_some());
    assert!(consume(&db, &digest, &ada.client.id).await.is_none());
    assert!(consume(&db, &other, &ada.client.id).await.is_some(), "other codes are not touched");
}

async fn tk_01_a_replayed_code_revokes_its_grant(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (digest, client) = (ada.a_code(&db, OFFLINE).await, ada.client.id.clone());
    let code = consume(&db, &digest, &client).await.unwrap();
    let grant = Grant::of_code(&code.code, &Lifetimes::default(), NOW);
    assert!(tell!(db, |tx, grant, code| tx.insert_grant(grant, code, NOW)));
    let bystander = ada.a_grant(&db, OFFLINE).await.facts.id;
    assert_eq!(replay(&db, &digest, &client).await, Some(grant.facts.id));
    assert!(!is_live(&db, grant.facts.id).await);
    assert!(is_live(&db, bystander).await, "the client's other grants are not touched");
    assert_eq!(replay(&db, &digest, &client).await, None, "a further replay revokes nothing");
}

async fn tk_03_another_client_changes_nothing(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let eve = SignedInPerson::named(&db, "eve@example.org", "eves-app").await.client.id;
    let digest = ada.a_code(&db, ONLINE).await;
    let before = db.database.everything().await;
    assert!(consume(&db, &digest, &eve).await.is_none());
    assert_eq!(replay(&db, &digest, &eve).await, None);
    assert_eq!(db.database.everything().await, before);
    assert!(consume(&db, &digest, &ada.client.id).await.is_some(), "the owner still gets it");
}

async fn tk_03_another_client_cannot_revoke_by_replay(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let digest = ada.a_code(&db, OFFLINE).await;
    let code = consume(&db, &digest, &ada.client.id).await.unwrap();
    let grant = Grant::of_code(&code.code, &Lifetimes::default(), NOW);
    assert!(tell!(db, |tx, grant, code| tx.insert_grant(grant, code, NOW)));
    assert_eq!(replay(&db, &digest, &client_id("eves-app")).await, None);
    assert!(is_live(&db, grant.facts.id).await);
}

async fn an_unknown_code_changes_nothing(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    ada.a_code(&db, ONLINE).await;
    let before = db.database.everything().await;
    assert!(consume(&db, &new_code_digest(), &ada.client.id).await.is_none());
    assert_eq!(replay(&db, &new_code_digest(), &ada.client.id).await, None);
    assert_eq!(db.database.everything().await, before);
}

/// Whether the code has expired is for `core::oauth::token::redeem` to decide; a code that fails is used up.
async fn an_expired_code_is_consumed_as_well(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (digest, client, late) = (ada.a_code(&db, ONLINE).await, ada.client.id.clone(), after(HOUR));
    assert!(tell!(db, |tx, digest, client, late| tx.consume_code(digest, client, *late)).is_some());
    assert!(consume(&db, &digest, &client).await.is_none());
}

async fn a_code_is_issued_only_for_users_clients_and_sessions_that_exist(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let good = ada.new_code(ONLINE);
    let with = |change: fn(&mut IssuedCode)| {
        let mut code = good.clone();
        change(&mut code);
        code
    };
    for code in [
        with(|code| code.facts.client_id = client_id("nothing")),
        with(|code| code.facts.user_id = UserId::new(NOW)),
        with(|code| code.facts.session_id = SessionId::new(NOW)),
    ] {
        assert!(!insert_code(&db, &new_code_digest(), &code).await);
    }
    assert_eq!(db.database.rows("codes").await, 0);
}

async fn a_code_is_not_issued_in_somebody_elses_session(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let bob = a_user(&db, "bob@example.org").await.id;
    let mut code = ada.new_code(ONLINE);
    code.facts.session_id = a_session(&db, bob).await.id;
    assert!(!insert_code(&db, &new_code_digest(), &code).await);
}

async fn a_code_is_not_issued_for_a_request_checked_before_the_clients_scope_was_narrowed(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let code = ada.new_code(ONLINE);
    let (id, narrow) = (code.facts.client_id.clone(), Scope::parse("openid").unwrap());
    assert!(tell!(db, |tx, id, narrow| tx.set_client_scope(id, narrow)));
    for (epoch, issued) in [(0, false), (2, false), (1, true)] {
        let digest = new_code_digest();
        let made = tell!(db, |tx, digest, code, epoch| tx.insert_code(digest, code, *epoch));
        assert_eq!(made, issued, "{epoch}");
    }
}

async fn a_code_is_stored_once(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (digest, again) = (ada.a_code(&db, ONLINE).await, ada.new_code(OFFLINE));
    assert!(try_tell!(db, |tx, digest, again| tx.insert_code(digest, again, 0)).is_err());
    let code = consume(&db, &digest, &ada.client.id).await.unwrap().code;
    assert_eq!(code.facts.scope.to_string(), ONLINE);
}

async fn fault_01_a_code_is_usable_until_it_is_redeemed_expires_or_loses_what_it_was_issued_under(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let here = ada.session.id;
    let (redeemed, waiting) = (ada.a_code(&db, ONLINE).await, ada.a_code(&db, ONLINE).await);
    assert!(usable(&db, here, &redeemed, NOW).await && usable(&db, here, &waiting, NOW).await);
    assert!(!was_redeemed(&db, here, &redeemed).await);
    consume(&db, &redeemed, &ada.client.id).await.unwrap();
    assert!(!usable(&db, here, &redeemed, NOW).await, "redeemed");
    assert!(was_redeemed(&db, here, &redeemed).await && !was_redeemed(&db, here, &waiting).await);
    assert!(!usable(&db, here, &new_code_digest(), NOW).await, "never issued");
    let elsewhere = a_session(&db, ada.user.id).await.id;
    assert!(!usable(&db, elsewhere, &waiting, NOW).await, "another session of the same person");
    assert!(!was_redeemed(&db, elsewhere, &redeemed).await, "another session of the same person");
    let ends = ada.new_code(ONLINE).expires_at;
    assert!(
        usable(&db, here, &waiting, ends.minus(SECOND)).await && !usable(&db, here, &waiting, ends).await
    );
    for (change, back) in [
        ("UPDATE users SET epoch = epoch + 1", "UPDATE users SET epoch = epoch - 1"),
        ("UPDATE users SET state = 'deactivated'", "UPDATE users SET state = 'active'"),
        ("UPDATE clients SET epoch = epoch + 1", "UPDATE clients SET epoch = epoch - 1"),
        ("UPDATE clients SET enabled = FALSE", "UPDATE clients SET enabled = TRUE"),
        ("UPDATE sessions SET ended_at = 1", "UPDATE sessions SET ended_at = NULL"),
        ("UPDATE epochs SET value = value + 1", "UPDATE epochs SET value = value - 1"),
    ] {
        db.database.execute(change).await;
        assert!(!usable(&db, here, &waiting, NOW).await, "{change}");
        db.database.execute(back).await;
        assert!(usable(&db, here, &waiting, NOW).await, "{back}");
    }
}

async fn usable(db: &Db, session: SessionId, digest: &CodeDigest, now: Timestamp) -> bool {
    ask!(db, |r, digest, session, now| r.code_is_usable(digest, *session, *now))
}

async fn was_redeemed(db: &Db, session: SessionId, digest: &CodeDigest) -> bool {
    ask!(db, |r, digest, session| r.code_was_redeemed(digest, *session))
}

async fn consume(db: &Db, digest: &CodeDigest, client: &ClientId) -> Option<ConsumedCode> {
    tell!(db, |tx, digest, client| tx.consume_code(digest, client, NOW))
}

async fn replay(db: &Db, digest: &CodeDigest, client: &ClientId) -> Option<GrantId> {
    tell!(db, |tx, digest, client| tx.revoke_replayed(digest, client, NOW))
}

async fn is_live(db: &Db, id: GrantId) -> bool {
    ask!(db, |r, id| r.subject_of_grant(*id)).is_some()
}
