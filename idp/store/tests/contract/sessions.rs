//! Sessions and known browsers.

use idp_core::ids::{SessionId, UserId};
use idp_core::secret::Digest;
use idp_core::session::{Authentication, Session, SessionLifetime};
use idp_core::time::{DAY, HOUR, MINUTE, SECOND, Timestamp};
use idp_core::user::UserState;
use idp_store::NewSession;

use crate::given::{NOW, a_session, a_user, after, begin_session, new_digest, new_session, new_user};
use crate::harness::Db;

contract! {
    a_session_is_found_by_the_digest_of_its_cookie,
    lg_11_a_forged_cookie_finds_nothing,
    a_session_begins_only_for_an_active_account,
    lg_12_an_idle_session_ends_after_half_an_hour,
    lg_12_constant_use_does_not_carry_a_session_past_twelve_hours,
    lg_12_a_late_use_does_not_revive_a_session,
    a_late_report_of_an_earlier_use_changes_nothing,
    lg_02_a_renewed_session_goes_on_with_a_new_cookie_and_its_full_lifetime,
    only_a_live_session_of_the_same_account_is_renewed,
    lo_05_an_ended_session_is_dead_and_ends_once,
    ending_one_session_leaves_the_others,
    a_browser_is_known_to_the_account_that_signed_in_with_it_for_180_days,
}

async fn a_session_is_found_by_the_digest_of_its_cookie(db: Db) {
    let user = a_user(&db, "ada@example.org").await.id;
    let session = new_session(user);
    assert!(begin_session(&db, &session, after(SECOND)).await);
    let digest = session.digest;
    let found = ask!(db, |r, digest| r.signed_in(digest, NOW)).unwrap();
    assert_eq!((found.session.id, found.session.user_id), (session.id, user));
    assert_eq!((found.user.id, found.user.email.as_str()), (user, "ada@example.org"));
    let moments = (found.session.auth_time, found.session.last_seen_at, found.session.created_at);
    assert_eq!(moments, (after(SECOND), after(SECOND), after(SECOND)));
    assert_eq!(found.session.authentication, Authentication::Password);
    let stored = "SELECT client_address, user_agent FROM sessions";
    assert_eq!(db.database.dump(stored).await, [r#"Some("192.0.2.7") | Some("Lynx")"#]);
}

async fn lg_11_a_forged_cookie_finds_nothing(db: Db) {
    let user = a_user(&db, "ada@example.org").await.id;
    let session = a_session(&db, user).await;
    assert!(!is_live(&db, &new_digest(), NOW).await);
    assert!(!is_live(&db, &Digest::of(session.digest.as_str()), NOW).await, "a stolen digest is no cookie");
    assert!(is_live(&db, &session.digest, NOW).await);
}

async fn a_session_begins_only_for_an_active_account(db: Db) {
    let user = a_user(&db, "ada@example.org").await.id;
    assert!(!begin_session(&db, &new_session(new_user("bob@example.org").id), NOW).await);
    tell!(db, |tx, user| tx.set_user_state(*user, UserState::Deactivated, NOW));
    let of_epoch = |user_epoch| NewSession { user_epoch, ..new_session(user) };
    assert!(!begin_session(&db, &of_epoch(1), NOW).await);
    tell!(db, |tx, user| tx.set_user_state(*user, UserState::Active, NOW));
    for read_before in [0, 1] {
        assert!(
            !begin_session(&db, &of_epoch(read_before), NOW).await,
            "the password was read before the epoch rose"
        );
    }
    assert_eq!(db.database.rows("sessions").await, 0);
    assert!(is_live(&db, &a_session(&db, user).await.digest, NOW).await);
}

async fn lg_02_a_renewed_session_goes_on_with_a_new_cookie_and_its_full_lifetime(db: Db) {
    let user = a_user(&db, "ada@example.org").await.id;
    let old = a_session(&db, user).await;
    let (new, later) = (new_session(user), after(MINUTE * 20));
    assert!(renew(&db, (old.id, NOW), &new, later).await);
    assert!(
        !renew(&db, (old.id, NOW), &new_session(user), later).await,
        "the second of two at once is too late"
    );
    assert!(!is_live(&db, &old.digest, later).await);
    let digest = new.digest;
    let found = ask!(db, |r, digest, later| r.signed_in(digest, *later)).unwrap().session;
    assert_eq!((found.id, found.auth_time, found.last_seen_at), (old.id, later, later));
    assert!(is_live(&db, &digest, later.plus(MINUTE * 30 - SECOND)).await);
    assert!(!is_live(&db, &digest, later.plus(MINUTE * 30)).await);
    assert_eq!(db.database.rows("sessions").await, 1);
}

async fn only_a_live_session_of_the_same_account_is_renewed(db: Db) {
    let user = a_user(&db, "ada@example.org").await.id;
    let other = a_user(&db, "bob@example.org").await.id;
    let (live, ended) = (a_session(&db, user).await, a_session(&db, user).await);
    let id = ended.id;
    assert!(tell!(db, |tx, id| tx.end_session(*id, NOW)));
    let of_epoch = |user_epoch| NewSession { user_epoch, ..new_session(user) };
    for (id, session, now) in [
        (ended.id, new_session(user), NOW),
        (live.id, new_session(other), NOW),
        (live.id, of_epoch(1), NOW),
        (live.id, new_session(user), after(MINUTE * 30)),
        (SessionId::new(NOW), new_session(user), NOW),
    ] {
        assert!(!renew(&db, (id, NOW), &session, now).await);
    }
    assert!(is_live(&db, &live.digest, NOW).await);
    tell!(db, |tx, user| tx.raise_user_epoch(*user));
    for user_epoch in [0, 1] {
        assert!(
            !renew(&db, (live.id, NOW), &of_epoch(user_epoch), NOW).await,
            "a session from before the epoch rose is dead"
        );
    }
    let bobs = a_session(&db, other).await;
    assert!(renew(&db, (bobs.id, NOW), &new_session(other), NOW).await);
    db.database.execute("UPDATE epochs SET value = value + 1 WHERE name = 'global'").await;
    assert!(
        !renew(&db, (bobs.id, NOW), &new_session(other), NOW).await,
        "so is one from before the global epoch rose"
    );
}

/// Renews a session that was read when it had this `auth_time`.
async fn renew(db: &Db, read: (SessionId, Timestamp), session: &NewSession, now: Timestamp) -> bool {
    let old = Session {
        id: read.0,
        user_id: session.user_id,
        auth_time: read.1,
        authentication: Authentication::Password,
        last_seen_at: read.1,
        created_at: read.1,
    };
    let (session, lifetime) = (session.clone(), SessionLifetime::default());
    tell!(db, |tx, old, session, lifetime, now| tx.renew_session(old, session, lifetime, *now))
}

async fn lg_12_an_idle_session_ends_after_half_an_hour(db: Db) {
    let user = a_user(&db, "ada@example.org").await.id;
    let session = a_session(&db, user).await;
    assert!(is_live(&db, &session.digest, after(MINUTE * 30 - SECOND)).await);
    assert!(!is_live(&db, &session.digest, after(MINUTE * 30)).await);
    touch(&db, session.id, after(MINUTE * 20)).await;
    assert!(is_live(&db, &session.digest, after(MINUTE * 50 - SECOND)).await);
    assert!(!is_live(&db, &session.digest, after(MINUTE * 50)).await);
}

async fn lg_12_constant_use_does_not_carry_a_session_past_twelve_hours(db: Db) {
    let user = a_user(&db, "ada@example.org").await.id;
    let session = a_session(&db, user).await;
    let end = after(HOUR * 12);
    for quarter in 1..48 {
        let now = after(MINUTE * 15 * quarter);
        assert!(is_live(&db, &session.digest, now).await, "{quarter}");
        touch(&db, session.id, now).await;
    }
    assert!(is_live(&db, &session.digest, end.minus(SECOND)).await);
    assert!(!is_live(&db, &session.digest, end).await);
}

async fn lg_12_a_late_use_does_not_revive_a_session(db: Db) {
    let user = a_user(&db, "ada@example.org").await.id;
    let session = a_session(&db, user).await;
    let late = after(MINUTE * 30);
    touch(&db, session.id, late).await;
    assert!(!is_live(&db, &session.digest, late).await);
}

async fn a_late_report_of_an_earlier_use_changes_nothing(db: Db) {
    let user = a_user(&db, "ada@example.org").await.id;
    let session = a_session(&db, user).await;
    touch(&db, session.id, after(MINUTE * 20)).await;
    touch(&db, session.id, after(MINUTE * 10)).await;
    assert!(is_live(&db, &session.digest, after(MINUTE * 49)).await);
    let digest = &session.digest;
    let seen = ask!(db, |r, digest| r.signed_in(digest, NOW)).unwrap().session.last_seen_at;
    assert_eq!(seen, after(MINUTE * 20));
}

async fn lo_05_an_ended_session_is_dead_and_ends_once(db: Db) {
    let user = a_user(&db, "ada@example.org").await.id;
    let session = a_session(&db, user).await;
    assert!(end(&db, session.id).await);
    assert!(!is_live(&db, &session.digest, NOW).await);
    assert!(!end(&db, session.id).await);
    assert!(!end(&db, SessionId::new(NOW)).await);
    touch(&db, session.id, after(MINUTE)).await;
    assert!(!is_live(&db, &session.digest, after(MINUTE)).await);
}

async fn ending_one_session_leaves_the_others(db: Db) {
    let user = a_user(&db, "ada@example.org").await.id;
    let (here, there): (NewSession, NewSession) = (a_session(&db, user).await, a_session(&db, user).await);
    assert!(end(&db, here.id).await);
    assert!(is_live(&db, &there.digest, NOW).await);
}

async fn a_browser_is_known_to_the_account_that_signed_in_with_it_for_180_days(db: Db) {
    let user = a_user(&db, "ada@example.org").await.id;
    let other = a_user(&db, "bob@example.org").await.id;
    let (browser, stranger) = (new_digest(), new_digest());
    assert!(!knows(&db, user, &browser, NOW).await);
    remember(&db, user, &browser, NOW).await;
    assert!(knows(&db, user, &browser, after(DAY * 180 - SECOND)).await);
    assert!(!knows(&db, user, &browser, after(DAY * 180)).await);
    assert!(!knows(&db, other, &browser, NOW).await && !knows(&db, user, &stranger, NOW).await);
    remember(&db, user, &browser, after(DAY)).await;
    assert!(knows(&db, user, &browser, after(DAY * 180)).await, "each sign-in starts the time over");
    assert_eq!(db.database.rows("known_browsers").await, 1);
}

async fn is_live(db: &Db, digest: &Digest, now: Timestamp) -> bool {
    ask!(db, |r, digest, now| r.signed_in(digest, *now)).is_some()
}

async fn touch(db: &Db, id: SessionId, now: Timestamp) {
    let lifetime = SessionLifetime::default();
    tell!(db, |tx, id, lifetime, now| tx.touch_session(*id, lifetime, *now));
}

async fn end(db: &Db, id: SessionId) -> bool {
    tell!(db, |tx, id| tx.end_session(*id, NOW))
}

async fn knows(db: &Db, user: UserId, browser: &Digest, now: Timestamp) -> bool {
    ask!(db, |r, user, browser, now| r.knows_browser(*user, browser, *now))
}

async fn remember(db: &Db, user: UserId, browser: &Digest, now: Timestamp) {
    tell!(db, |tx, user, browser, now| tx.remember_browser(*user, browser, *now));
}
