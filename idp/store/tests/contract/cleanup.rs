//! Expired rows are deleted in batches; live ones never are.

use std::sync::Arc;
use std::time::Duration;

use idp_core::account::throttle::{ACCOUNT, NETWORK};
use idp_core::audit::AuditEvent;
use idp_core::flow::FlowTarget;
use idp_core::ids::FlowId;
use idp_core::single_use::{ActivationLink, SingleUse};
use idp_core::time::{DAY, HOUR, SECOND, Timestamp};
use idp_store::{Flow, KeyState, ThrottleKey};
use tokio::sync::Barrier;

use crate::given::{
    NOW, OFFLINE, ONLINE, SignedInPerson, a_key, a_record, a_registration, after, new_digest,
};
use crate::harness::Db;

contract! {
    every_kind_of_row_is_deleted_when_nobody_can_ask_for_it_any_more,
    r_29_a_live_grant_keeps_its_session_until_both_are_deleted,
    a_counter_is_kept_equally_long_with_and_without_an_account,
    accounts_clients_consents_keys_and_audit_stay,
    rows_are_deleted_in_batches_of_five_hundred_of_a_kind,
    sessions_kept_by_grants_are_looked_at_once_and_not_in_every_pass,
}
contract! { postgres: a_row_renewed_while_cleanup_waits_for_it_stays }

/// One row of every kind that expires, in the order in which they are deleted, and the last moment at which each is
/// still there. A second later it is gone.
async fn every_kind_of_row_is_deleted_when_nobody_can_ask_for_it_any_more(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    ada.a_code(&db, OFFLINE).await;
    a_throttle(&db, &ThrottleKey::Network("192.0.2.7".to_owned())).await;
    a_flow(&db).await;
    a_registration(&db, "bob@example.org", NOW).await;
    a_link(&db, after(HOUR)).await;
    let (user, browser) = (ada.user.id, new_digest());
    tell!(db, |tx, user, browser| tx.remember_browser(*user, browser, NOW));
    for (table, last) in [
        ("flows", after(HOUR * 2)),
        ("throttles", after(DAY)),
        ("codes", after(SECOND * 60 + DAY)),
        ("sessions", after(HOUR * 12 + DAY)),
        ("single_use", after(HOUR + DAY * 7)),
        ("registrations", after(DAY * 8)),
        ("known_browsers", after(DAY * 180)),
    ] {
        assert_eq!(clean(&db, last).await, 0, "{table}");
        assert_eq!(db.database.rows(table).await, 1, "{table}");
        assert_eq!(clean(&db, last.plus(SECOND)).await, 1, "{table}");
        assert_eq!(db.database.rows(table).await, 0, "{table}");
    }
    assert_eq!(clean(&db, after(DAY * 10_000)).await, 0);
}

async fn r_29_a_live_grant_keeps_its_session_until_both_are_deleted(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let short = ada.a_grant(&db, ONLINE).await;
    let long = ada.a_grant(&db, OFFLINE).await.facts.id;
    clean(&db, short.expires_at.plus(DAY + SECOND)).await;
    assert_eq!(db.database.rows("grants").await, 1, "the one without refresh tokens is gone");
    let month = after(DAY * 30);
    clean(&db, month).await;
    assert_eq!(db.database.rows("sessions").await, 1);
    assert!(ask!(db, |r, long| r.grant(*long)).unwrap().live);
    assert!(ask!(db, |r, long| r.subject_of_grant(*long)).is_some());
    clean(&db, month.plus(DAY + SECOND)).await;
    assert_eq!((db.database.rows("grants").await, db.database.rows("sessions").await), (0, 0));
}

async fn a_counter_is_kept_equally_long_with_and_without_an_account(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let account = |email_key: &str, user| ThrottleKey::Account { email_key: email_key.to_owned(), user };
    for key in [
        account("ada@example.org", Some(ada.user.id)),
        account("nobody@example.org", None),
        ThrottleKey::KnownBrowser(ada.user.id, new_digest()),
        ThrottleKey::Network("192.0.2.7".to_owned()),
        ThrottleKey::Mail("ada@example.org".to_owned()),
    ] {
        a_throttle(&db, &key).await;
    }
    // RL-10: however long the pause between two tries is, it does not reveal which address has an account.
    for (days, left) in [(2, 3), (89, 3), (91, 1), (200, 0)] {
        clean(&db, after(DAY * days)).await;
        assert_eq!(db.database.rows("throttles").await, left, "after {days} days");
    }
}

async fn accounts_clients_consents_keys_and_audit_stay(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (user, client, scope) = (ada.user.id, ada.client.id.clone(), ada.client.scope.clone());
    tell!(db, |tx, user, client, scope| tx.remember_consent(*user, client, scope, NOW));
    let (session, last) = (ada.session.id, after(DAY * 10_000));
    tell!(db, |tx, session| tx.end_session(*session, NOW));
    let (key, record) = (a_key("kid", KeyState::Retiring), a_record(AuditEvent::SignedOut));
    assert!(tell!(db, |tx, key| tx.insert_key(key)));
    tell!(db, |tx, record| tx.audit(record));
    clean(&db, last).await;
    for table in ["users", "clients", "consents", "keys", "audit"] {
        assert_eq!(db.database.rows(table).await, 1, "{table}");
    }
    assert_eq!(db.database.rows("roles").await, 2);
    assert_eq!(db.database.rows("sessions").await, 0);
}

async fn rows_are_deleted_in_batches_of_five_hundred_of_a_kind(db: Db) {
    let rows: Vec<String> = (0..1_101).map(|number| format!("('{number}', 'av_', '', 0)")).collect();
    let sql = "INSERT INTO single_use (digest, kind, subject, expires_at) VALUES ";
    db.database.execute(&format!("{sql}{}", rows.join(", "))).await;
    let live = a_link(&db, after(DAY * 30)).await;
    for gone in [500, 500, 101, 0] {
        assert_eq!(clean(&db, after(DAY * 8)).await, gone);
    }
    assert!(ask!(db, |r, live| r.peek(live, NOW)).is_some());
}

/// A pass handles five hundred sessions. Those it cannot delete it postpones until their grant has ended, so that the
/// next pass does not look at them again.
async fn sessions_kept_by_grants_are_looked_at_once_and_not_in_every_pass(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    ada.a_grant(&db, OFFLINE).await;
    for sql in ["DELETE FROM codes", COPY_SESSION, COPY_GRANT] {
        db.database.execute(sql).await;
    }
    let (after_both, kept) = (after(HOUR * 12 + DAY + SECOND), db.database.rows("sessions").await);
    assert_eq!(kept, 1_101);
    for visited in [500, 500, 101, 0] {
        assert_eq!(clean(&db, after_both).await, visited, "postponed");
    }
    assert_eq!(db.database.rows("sessions").await, kept, "each is referred to by a grant");
    let due = format!("SELECT COUNT(*) FROM sessions WHERE kept_until < {}", after(DAY * 30).millis());
    assert_eq!(db.database.number(&due).await, 0);
    assert_eq!(clean(&db, after(DAY * 31)).await, 0, "no session is looked at before the grants have ended");
    for pass in 0.. {
        assert!(pass < 20, "it does not end");
        if clean(&db, after(DAY * 31 + SECOND)).await == 0 {
            break;
        }
    }
    assert_eq!((db.database.rows("grants").await, db.database.rows("sessions").await), (0, 0));
}

/// How many sessions wait for a row lock.
const WAITING: &str = "SELECT COUNT(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Eleven hundred copies of the one session, and a grant for each.
const COPY_SESSION: &str = "INSERT INTO sessions (id, digest, user_id, user_epoch, global_epoch, auth_time, \
    authentication, client_address, user_agent, created_at, last_seen_at, idle_expires_at, expires_at) \
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100) \
    SELECT s.id || '-' || i, s.digest || i, user_id, user_epoch, global_epoch, auth_time, authentication, \
    client_address, user_agent, created_at, last_seen_at, idle_expires_at, expires_at FROM n, sessions s";
const COPY_GRANT: &str = "INSERT INTO grants (id, client_id, user_id, session_id, scope, auth_time, authentication, \
    generation, user_epoch, client_epoch, global_epoch, offline, created_at, idle_expires_at, expires_at) \
    SELECT 'of ' || s.id, client_id, g.user_id, s.id, scope, g.auth_time, g.authentication, generation, g.user_epoch, \
    client_epoch, g.global_epoch, offline, g.created_at, g.idle_expires_at, g.expires_at \
    FROM grants g JOIN sessions s ON s.id <> g.session_id";

async fn a_row_renewed_while_cleanup_waits_for_it_stays(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (user, browser, late) = (ada.user.id, new_digest(), after(DAY * 181));
    tell!(db, |tx, user, browser| tx.remember_browser(*user, browser, NOW));
    let (renewed, open) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (store, signals) = (db.store.clone(), (renewed.clone(), open.clone()));
    let renews = tokio::spawn(async move {
        tell!(store, |tx, user, browser, late, signals| async move {
            tx.remember_browser(*user, browser, *late).await?;
            signals.0.wait().await;
            signals.1.wait().await;
            Ok(())
        });
    });
    renewed.wait().await;
    let store = db.store.clone();
    let cleans = tokio::spawn(async move { store.delete_expired(late).await });
    while db.database.number(WAITING).await == 0 {
        assert!(!cleans.is_finished(), "it does not wait");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    open.wait().await;
    renews.await.unwrap();
    cleans.await.unwrap().unwrap();
    assert_eq!(db.database.rows("known_browsers").await, 1);
}

async fn clean(db: &Db, now: Timestamp) -> u64 {
    db.delete_expired(now).await.unwrap()
}

async fn a_throttle(db: &Db, key: &ThrottleKey) {
    let limits = if matches!(key, ThrottleKey::Network(_)) { NETWORK } else { ACCOUNT };
    tell!(db, |tx, key, limits| tx.reserve(key, limits, NOW));
}

async fn a_flow(db: &Db) {
    let flow =
        Flow { id: FlowId::new(NOW), browser: new_digest(), target: FlowTarget::Account, started_at: NOW };
    let until = after(HOUR);
    tell!(db, |tx, flow, until| tx.insert_flow(flow, *until));
}

async fn a_link(db: &Db, until: Timestamp) -> idp_core::single_use::SingleUseDigest<ActivationLink> {
    let link = SingleUse::generate().digest();
    tell!(db, |tx, link, until| tx.insert_single_use(link, "subject", *until));
    link
}
