//! Dead is dead: what ends an account, a client, a session or everything ends all that was issued under it, at the
//! next read and for good.

use idp_core::oauth::grant::{Grant, IssuedCode, Lifetimes};
use idp_core::user::UserState;
use idp_store::ConsumedCode;

use crate::given::{CodeDigest, NOW, OFFLINE, ONLINE, SignedInPerson, a_session, new_code_digest};
use crate::harness::Db;

contract! {
    everything_lives_until_something_ends_it,
    tk_21_deactivation_ends_everything_and_activation_revives_nothing,
    tk_21_losing_a_role_ends_what_was_issued_with_it,
    tk_21_a_raised_epoch_ends_sessions_and_grants,
    tk_21_a_disabled_client_has_no_grants_and_enabling_revives_none,
    tk_21_a_raised_global_epoch_ends_everything,
    an_ended_session_ends_its_codes_and_grants_except_offline_ones,
}

async fn everything_lives_until_something_ends_it(db: Db) {
    let (ada, bob) = both(&db).await;
    assert_eq!(ada.alive(&db).await, ALL_ALIVE);
    assert_eq!(bob.alive(&db).await, ALL_ALIVE);
}

async fn tk_21_deactivation_ends_everything_and_activation_revives_nothing(db: Db) {
    let (ada, bob) = both(&db).await;
    let user = ada.person.user.id;
    for state in [UserState::Deactivated, UserState::Active] {
        tell!(db, |tx, user, state| tx.set_user_state(*user, *state, NOW));
        assert_eq!(ada.alive(&db).await, NOTHING, "{state:?}");
    }
    assert_eq!(bob.alive(&db).await, ALL_ALIVE);
}

async fn tk_21_losing_a_role_ends_what_was_issued_with_it(db: Db) {
    let (ada, bob) = both(&db).await;
    let user = ada.person.user.id;
    assert!(!tell!(db, |tx, user| tx.revoke_role(*user, "admin")));
    assert!(tell!(db, |tx, user| tx.grant_role(*user, "admin")));
    assert_eq!(
        ada.alive(&db).await,
        ALL_ALIVE,
        "losing a role that was not there ends nothing, nor does a new role"
    );
    let (ada, user) = (Everything::of(ada.person, &db).await, user);
    assert!(tell!(db, |tx, user| tx.revoke_role(*user, "admin")));
    assert_eq!(ada.alive(&db).await, NOTHING);
    assert_eq!(bob.alive(&db).await, ALL_ALIVE);
}

async fn tk_21_a_raised_epoch_ends_sessions_and_grants(db: Db) {
    let (ada, bob) = both(&db).await;
    let user = ada.person.user.id;
    tell!(db, |tx, user| tx.raise_user_epoch(*user));
    assert_eq!(ada.alive(&db).await, NOTHING);
    assert_eq!(bob.alive(&db).await, ALL_ALIVE);
    let again = SignedInPerson { session: a_session(&db, user).await, ..ada.person };
    assert_eq!(
        Everything::of(again, &db).await.alive(&db).await,
        ALL_ALIVE,
        "after a new sign-in everything works again"
    );
}

async fn tk_21_a_disabled_client_has_no_grants_and_enabling_revives_none(db: Db) {
    let (ada, bob) = both(&db).await;
    let client = ada.person.client.id.clone();
    tell!(db, |tx, client| tx.set_client_enabled(client, false));
    assert_eq!(ada.alive(&db).await, Alive { session: true, ..NOTHING });
    tell!(db, |tx, client| tx.set_client_enabled(client, true));
    assert_eq!(ada.alive(&db).await, Alive { session: true, new_code: true, ..NOTHING });
    assert_eq!(bob.alive(&db).await, ALL_ALIVE);
}

async fn tk_21_a_raised_global_epoch_ends_everything(db: Db) {
    let (ada, bob) = both(&db).await;
    db.database.execute("UPDATE epochs SET value = value + 1 WHERE name = 'global'").await;
    assert_eq!(ada.alive(&db).await, NOTHING);
    assert_eq!(bob.alive(&db).await, NOTHING);
}

async fn an_ended_session_ends_its_codes_and_grants_except_offline_ones(db: Db) {
    let (ada, bob) = both(&db).await;
    let session = ada.person.session.id;
    tell!(db, |tx, session| tx.end_session(*session, NOW));
    assert_eq!(ada.alive(&db).await, Alive { offline_grant: true, ..NOTHING });
    assert_eq!(bob.alive(&db).await, ALL_ALIVE);
}

async fn both(db: &Db) -> (Everything, Everything) {
    let ada = SignedInPerson::new(db).await;
    let bob = SignedInPerson::named(db, "bob@example.org", "other").await;
    (Everything::of(ada, db).await, Everything::of(bob, db).await)
}

/// Everything a signed-in person can have.
struct Everything {
    person: SignedInPerson,
    consumed: ConsumedCode,
    offline: Grant,
    online: Grant,
    unredeemed: CodeDigest,
}

/// Which of it is alive.
#[derive(Debug, PartialEq, Eq)]
struct Alive {
    session: bool,
    new_code: bool,
    consumed_code: bool,
    unredeemed_code: bool,
    offline_grant: bool,
    online_grant: bool,
}

const ALL_ALIVE: Alive = Alive {
    session: true,
    new_code: true,
    consumed_code: true,
    unredeemed_code: true,
    offline_grant: true,
    online_grant: true,
};
const NOTHING: Alive = Alive {
    session: false,
    new_code: false,
    consumed_code: false,
    unredeemed_code: false,
    offline_grant: false,
    online_grant: false,
};

impl Everything {
    async fn of(person: SignedInPerson, db: &Db) -> Self {
        Self {
            consumed: person.a_consumed_code(db, OFFLINE).await,
            offline: person.a_grant(db, OFFLINE).await,
            online: person.a_grant(db, ONLINE).await,
            unredeemed: person.a_code(db, OFFLINE).await,
            person,
        }
    }

    /// Tries everything, in writes that are rolled back, so that it can be tried again.
    async fn alive(&self, db: &Db) -> Alive {
        let digest = &self.person.session.digest;
        Alive {
            session: ask!(db, |r, digest| r.signed_in(digest, NOW)).is_some(),
            new_code: new_code_is_taken(db, &self.person.new_code(OFFLINE)).await,
            consumed_code: becomes_a_grant(db, &self.consumed).await,
            unredeemed_code: self.is_redeemable(db).await,
            offline_grant: grant_lives(db, &self.offline).await,
            online_grant: grant_lives(db, &self.online).await,
        }
    }

    async fn is_redeemable(&self, db: &Db) -> bool {
        let (digest, client) = (&self.unredeemed, &self.person.client.id);
        undone!(db, |tx, digest, client| async move {
            let Some(code) = tx.consume_code(digest, client, NOW).await? else { return Ok(false) };
            let grant = Grant::of_code(&code.code, &Lifetimes::default(), NOW);
            tx.insert_grant(&grant, &code, NOW).await
        })
    }
}

async fn new_code_is_taken(db: &Db, code: &IssuedCode) -> bool {
    let digest = new_code_digest();
    undone!(db, |tx, digest, code| async move {
        let client = tx.client(&code.facts.client_id).await?;
        tx.insert_code(digest, code, client.map_or(0, |client| client.epoch)).await
    })
}

async fn becomes_a_grant(db: &Db, code: &ConsumedCode) -> bool {
    let grant = Grant::of_code(&code.code, &Lifetimes::default(), NOW);
    undone!(db, |tx, grant, code| tx.insert_grant(grant, code, NOW))
}

/// All questions about a grant have the same answer.
async fn grant_lives(db: &Db, grant: &Grant) -> bool {
    let id = grant.facts.id;
    let live = ask!(db, |r, id| r.grant(*id)).unwrap().live;
    assert_eq!(ask!(db, |r, id| r.subject_of_grant(*id)).is_some(), live);
    let (generation, until) = (grant.generation, grant.idle_expires_at);
    let rotates = undone!(db, |tx, id, generation, until| tx.rotate_grant(*id, *generation, *until));
    assert_eq!(rotates, live, "the rotation decides the same");
    live
}
