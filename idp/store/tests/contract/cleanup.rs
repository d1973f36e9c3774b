//! Expired rows go, in batches; live ones never do.

use idp_core::account::throttle::{ACCOUNT, NETWORK};
use idp_core::flow::FlowTarget;
use idp_core::ids::FlowId;
use idp_core::single_use::{Activation, SingleUse};
use idp_core::time::{DAY, HOUR, SECOND, Timestamp};
use idp_store::{Counted, Flow};

use crate::given::{NOW, OFFLINE, ONLINE, SignedInPerson, after, an_attempt, new_digest};
use crate::harness::Db;

contract! {
    every_kind_of_row_goes_when_nobody_can_ask_about_it_any_more,
    r_29_a_live_grant_keeps_its_session_and_goes_after_it,
    the_count_of_an_account_is_kept_for_ever,
    accounts_applications_consents_keys_and_audit_stay,
    rows_go_in_batches_of_five_hundred_of_a_kind,
}

/// One row of every kind that ends, in the order in which they go, and the moment at which each is still there.
/// A second later it is not.
async fn every_kind_of_row_goes_when_nobody_can_ask_about_it_any_more(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    ada.a_code(&db, OFFLINE).await;
    a_throttle(&db, &Counted::Network("192.0.2.7".to_owned())).await;
    a_flow(&db).await;
    an_attempt(&db, "bob@example.org", NOW).await;
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
        assert_eq!(db.place.rows(table).await, 1, "{table}");
        assert_eq!(clean(&db, last.plus(SECOND)).await, 1, "{table}");
        assert_eq!(db.place.rows(table).await, 0, "{table}");
    }
    assert_eq!(clean(&db, after(DAY * 10_000)).await, 0);
}

async fn r_29_a_live_grant_keeps_its_session_and_goes_after_it(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let short = ada.a_grant(&db, ONLINE).await;
    let long = ada.a_grant(&db, OFFLINE).await.facts.id;
    clean(&db, short.expires_at.plus(DAY + SECOND)).await;
    assert_eq!(db.place.rows("grants").await, 1, "the one without refresh tokens is gone");
    let month = after(DAY * 30);
    clean(&db, month).await;
    assert_eq!(db.place.rows("sessions").await, 1);
    assert!(ask!(db, |r, long| r.grant(*long)).unwrap().live);
    assert!(ask!(db, |r, long| r.subject_of_grant(*long)).is_some());
    clean(&db, month.plus(DAY + SECOND)).await;
    assert_eq!((db.place.rows("grants").await, db.place.rows("sessions").await), (0, 0));
}

async fn the_count_of_an_account_is_kept_for_ever(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let account = |email_key: &str, user| Counted::Account { email_key: email_key.to_owned(), user };
    for counted in [
        account("ada@example.org", Some(ada.user.id)),
        account("nobody@example.org", None),
        Counted::KnownBrowser(ada.user.id, new_digest()),
        Counted::Network("192.0.2.7".to_owned()),
        Counted::Mail("ada@example.org".to_owned()),
    ] {
        a_throttle(&db, &counted).await;
    }
    // RL-10: whoever waits a month between two tries does not learn which address has an account.
    for (days, left) in [(2, 3), (80, 3), (100, 2), (200, 1), (10_000, 1)] {
        clean(&db, after(DAY * days)).await;
        assert_eq!(db.place.rows("throttles").await, left, "after {days} days");
    }
    let ada = account("ada@example.org", Some(ada.user.id));
    assert_eq!(ask!(db, |r, ada| r.throttle(ada)).unwrap().in_a_row, 1);
}

async fn accounts_applications_consents_keys_and_audit_stay(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (user, client, scope) = (ada.user.id, ada.client.id.clone(), ada.client.scope.clone());
    tell!(db, |tx, user, client, scope| tx.remember_consent(*user, client, scope, NOW));
    let (session, last) = (ada.session.id, after(DAY * 10_000));
    tell!(db, |tx, session| tx.end_session(*session, NOW));
    clean(&db, last).await;
    for table in ["users", "clients", "consents"] {
        assert_eq!(db.place.rows(table).await, 1, "{table}");
    }
    assert_eq!(db.place.rows("roles").await, 2);
    assert_eq!(db.place.rows("sessions").await, 0);
}

async fn rows_go_in_batches_of_five_hundred_of_a_kind(db: Db) {
    let rows: Vec<String> = (0..1_101).map(|number| format!("('{number}', 'av_', '', 0)")).collect();
    let sql = "INSERT INTO single_use (digest, kind, subject, expires_at) VALUES ";
    db.place.execute(&format!("{sql}{}", rows.join(", "))).await;
    let live = a_link(&db, after(DAY * 30)).await;
    for gone in [500, 500, 101, 0] {
        assert_eq!(clean(&db, after(DAY * 8)).await, gone);
    }
    assert!(ask!(db, |r, live| r.look_at(live, NOW)).is_some());
}

async fn clean(db: &Db, now: Timestamp) -> u64 {
    db.delete_expired(now).await.unwrap()
}

async fn a_throttle(db: &Db, counted: &Counted) {
    let limits = if matches!(counted, Counted::Network(_)) { NETWORK } else { ACCOUNT };
    tell!(db, |tx, counted, limits| tx.reserve(counted, limits, NOW));
}

async fn a_flow(db: &Db) {
    let flow =
        Flow { id: FlowId::new(NOW), browser: new_digest(), target: FlowTarget::Account, started_at: NOW };
    let until = after(HOUR);
    tell!(db, |tx, flow, until| tx.insert_flow(flow, *until));
}

async fn a_link(db: &Db, until: Timestamp) -> idp_core::single_use::SingleUseDigest<Activation> {
    let link = SingleUse::generate().digest();
    tell!(db, |tx, link, until| tx.insert_single_use(link, "subject", *until));
    link
}
