//! A row that holds what this program never wrote is an error that names table, column and row; never a panic, and
//! never a value that was guessed.

use idp_core::ids::MailId;
use idp_core::time::MINUTE;
use idp_core::user::FullName;
use idp_store::{KeyState, Mail, MailKind, StoreError};

use crate::given::{NOW, OFFLINE, SignedInPerson, a_key, an_attempt, email};
use crate::harness::Db;

contract! {
    a_spoilt_account_is_named,
    a_spoilt_account_is_named_also_behind_its_session_and_its_grant,
    a_spoilt_attempt_is_named,
    a_spoilt_session_is_named,
    a_spoilt_application_is_named,
    a_spoilt_walk_is_named,
    a_spoilt_consent_is_named_and_not_written_over,
    a_spoilt_code_is_named_and_not_burnt,
    a_spoilt_grant_is_named,
    a_spoilt_key_is_named,
    a_spoilt_mail_is_named_and_waits_like_any_other,
}

contract! { sqlite: a_mail_of_another_type_than_its_columns_keeps_no_other_back }

async fn a_spoilt_account_is_named(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (id, address) = (ada.user.id, ada.user.email);
    for (column, rubbish) in
        [("email", "ada"), ("name", ""), ("password_hash", "argon2i$"), ("password_hash", "")]
    {
        let spoilt = Spoilt::new(&db, "users", column, rubbish).await;
        spoilt.is_named(try_ask!(db, |r, address| r.credentials(address)), &id);
        if column != "password_hash" {
            spoilt.is_named(try_ask!(db, |r, id| r.user(*id)), &id);
            spoilt.is_named(try_ask!(db, |r| r.users(None, 10)), &id);
        }
        spoilt.heal().await;
    }
    let spoilt = Spoilt::new(&db, "users", "email", "ada").await;
    assert!(spoilt.heal().await == 1 && try_ask!(db, |r, id| r.user(*id)).is_ok(), "healed, it reads again");
}

async fn a_spoilt_account_is_named_also_behind_its_session_and_its_grant(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (grant, digest) = (ada.a_grant(&db, OFFLINE).await.facts.id, ada.session.digest.clone());
    let spoilt = Spoilt::new(&db, "users", "name", "").await;
    spoilt.is_named(try_ask!(db, |r, digest| r.signed_in(digest, NOW)), &ada.user.id);
    spoilt.is_named(try_ask!(db, |r, grant| r.subject_of_grant(*grant)), &ada.user.id);
}

async fn a_spoilt_attempt_is_named(db: Db) {
    let id = an_attempt(&db, "ada@example.org", NOW).await.id;
    let address = email("ada@example.org");
    for (column, rubbish) in [
        ("email", "ada@"),
        ("name", "\u{200B}"),
        ("password_hash", "secret"),
        ("browser_digest", "AAAA"),
        ("flow_id", "1"),
    ] {
        let spoilt = Spoilt::new(&db, "registrations", column, rubbish).await;
        spoilt.is_named(try_ask!(db, |r, id| r.attempt(*id, NOW)), &id);
        spoilt.is_named(try_ask!(db, |r, address| r.newest_attempt(address, None, NOW)), &id);
        spoilt.is_named(try_tell!(db, |tx, id| tx.activate(*id, NOW)), &id);
        spoilt.heal().await;
    }
    assert_eq!(db.database.rows("users").await, 0);
}

async fn a_spoilt_session_is_named(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let digest = ada.session.digest;
    let spoilt = Spoilt::new(&db, "sessions", "authentication", "none").await;
    assert!(
        ask!(db, |r, digest| r.signed_in(digest, NOW)).is_none(),
        "nobody is signed in by what is not known"
    );
    spoilt.heal().await;
    assert_eq!(ask!(db, |r, digest| r.signed_in(digest, NOW)).unwrap().session.id, ada.session.id);
}

async fn a_spoilt_application_is_named(db: Db) {
    let id = SignedInPerson::new(&db).await.client.id;
    for (column, rubbish) in [
        ("auth_method", "private_key_jwt"),
        ("secret_digest", "secret"),
        ("redirect_uris", "https://app.example/cb"),
        ("redirect_uris", "[\"http://app.example/cb\"]"),
        ("redirect_uris", "null"),
        ("post_logout_redirect_uris", "[1]"),
        ("home_uri", "javascript:alert(1)"),
        ("scope", "openid  email"),
        ("pkce", ""),
        ("consent", "never"),
        ("id_token_alg", "none"),
        ("access_token_alg", "HS256"),
    ] {
        let spoilt = Spoilt::new(&db, "clients", column, rubbish).await;
        spoilt.is_named(try_ask!(db, |r, id| r.client(id)), &id);
        let list = try_ask!(db, |r| r.clients(None, 10));
        match matches!(column, "auth_method" | "pkce" | "consent" | "id_token_alg" | "access_token_alg") {
            // A word that is not known may be a newer node's.
            true => assert!(list.unwrap().is_empty(), "{column}"),
            false => spoilt.is_named(list, &id),
        }
        // TK-12: a wrong proof must cost nothing of what an application has beside, so no more is parsed before it.
        let claimed = try_ask!(db, |r, id| r.claimed_client(id));
        assert_eq!(claimed.is_err(), matches!(column, "auth_method" | "secret_digest"), "{column}");
        spoilt.is_named(claimed.and_then(|found| found.unwrap().client()), &id);
        spoilt.heal().await;
    }
}

async fn a_spoilt_walk_is_named(db: Db) {
    let id = idp_core::ids::FlowId::new(NOW);
    let far = i64::MAX;
    for (column, digest, target) in [
        ("browser_digest", "", r#"{"for":"account"}"#),
        ("target", ada_digest().as_str(), "{}"),
        ("target", ada_digest().as_str(), r#"{"for":1}"#),
        ("target", ada_digest().as_str(), r#"{"for":"application"}"#),
    ] {
        let values = format!("('{id}', '{digest}', '{target}', 0, {far}, NULL, NULL)");
        db.database.execute(&format!("INSERT INTO flows VALUES {values}")).await;
        let spoilt = Spoilt { db: &db, table: "flows", column };
        spoilt.is_named(try_ask!(db, |r, id| r.flow(*id, NOW)), &id);
        db.database.execute("DELETE FROM flows").await;
    }
}

fn ada_digest() -> String {
    "A".repeat(43)
}

async fn a_spoilt_consent_is_named_and_not_written_over(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (user, client, scope) = (ada.user.id, ada.client.id.clone(), ada.client.scope.clone());
    tell!(db, |tx, user, client, scope| tx.remember_consent(*user, client, scope, NOW));
    let spoilt = Spoilt::new(&db, "consents", "scope", "a\tb").await;
    let before = db.database.everything().await;
    spoilt.is_named(try_ask!(db, |r, user, client| r.client_and_consent(client, *user)), &user);
    let written = try_tell!(db, |tx, user, client, scope| tx.remember_consent(*user, client, scope, NOW));
    spoilt.is_named(written, &user);
    assert_eq!(db.database.everything().await, before);
}

async fn a_spoilt_code_is_named_and_not_burnt(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (digest, code, client) =
        (crate::given::new_code_digest(), ada.new_code(OFFLINE), ada.client.id.clone());
    assert!(crate::given::insert_code(&db, &digest, &code).await);
    for (column, rubbish) in [
        ("grant_id", "1"),
        ("user_id", "ada"),
        ("session_id", ""),
        ("scope", "\""),
        ("redirect_uri", "data:text/html,"),
        ("authentication", "magic"),
    ] {
        let spoilt = Spoilt::new(&db, "codes", column, rubbish).await;
        let before = db.database.everything().await;
        let consumed = try_tell!(db, |tx, digest, client| tx.consume_code(digest, client, NOW));
        match column {
            "grant_id" => {
                spoilt.is_named(consumed, &"1");
                spoilt.is_named(
                    try_tell!(db, |tx, digest, client| tx.revoke_replayed(digest, client, NOW)),
                    &"1",
                );
            }
            _ => spoilt.is_named(consumed, &code.facts.id),
        }
        assert_eq!(db.database.everything().await, before);
        spoilt.heal().await;
    }
    assert!(tell!(db, |tx, digest, client| tx.consume_code(digest, client, NOW)).is_some());
}

async fn a_spoilt_grant_is_named(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let id = ada.a_grant(&db, OFFLINE).await.facts.id;
    for (column, rubbish) in [("scope", " "), ("authentication", "")] {
        let spoilt = Spoilt::new(&db, "grants", column, rubbish).await;
        spoilt.is_named(try_ask!(db, |r, id| r.grant(*id)), &id);
        spoilt.heal().await;
    }
}

async fn a_spoilt_key_is_named(db: Db) {
    let key = a_key("kid", KeyState::Active);
    assert!(tell!(db, |tx, key| tx.insert_key(key)));
    let spoilt = Spoilt::new(&db, "keys", "state", "retired").await;
    assert!(ask!(db, |r| r.keys()).is_empty(), "a key in a state that is not known is not used");
    spoilt.heal().await;
    assert_eq!(ask!(db, |r| r.keys()), [key]);
}

async fn a_spoilt_mail_is_named_and_waits_like_any_other(db: Db) {
    let mail = Mail {
        id: MailId::new(NOW),
        kind: MailKind::Locked,
        recipient: email("ada@example.org"),
        name: FullName::parse("Ada").unwrap(),
        subject: "whoever".to_owned(),
        minutes: None,
        created_at: NOW,
        attempts: 0,
    };
    tell!(db, |tx, mail| tx.enqueue_mail(mail));
    let mut now = NOW;
    for (tries, (column, rubbish)) in
        (1..).zip([("recipient", ""), ("recipient", "a@b.c, d@e.f"), ("name", "")])
    {
        let spoilt = Spoilt::new(&db, "outbox", column, rubbish).await;
        let claimed = tell!(db, |tx, now| tx.claim_mail(MINUTE, *now)).unwrap();
        assert_eq!((claimed.subject.as_str(), claimed.attempts), ("whoever", tries));
        spoilt.is_named(claimed.mail, &mail.id);
        assert!(tell!(db, |tx, now| tx.claim_mail(MINUTE, *now)).is_none(), "its lease is kept");
        let (id, later) = (claimed.id, now.plus(MINUTE * 5));
        assert!(tell!(db, |tx, id, later| tx.postpone_mail(id, *later)));
        spoilt.heal().await;
        now = later;
    }
    assert_eq!(tell!(db, |tx, now| tx.claim_mail(MINUTE, *now)).unwrap().mail.unwrap().attempts, 4);
}

/// SQLite keeps whatever it is given, also where it is of another type than its column.
async fn a_mail_of_another_type_than_its_columns_keeps_no_other_back(db: Db) {
    let values = "'a', 'locked', X'00', 'Ada', '', 'never', 0, 0, 0, 9";
    let columns = "id, kind, recipient, name, subject, minutes, created_at, due_at, attempts, expires_at";
    db.database.execute(&format!("INSERT INTO outbox ({columns}) VALUES ({values})")).await;
    let claimed = tell!(db, |tx| tx.claim_mail(MINUTE, NOW)).unwrap();
    assert_eq!((claimed.id.as_str(), claimed.attempts, claimed.mail.is_err()), ("a", 1, true));
    assert!(tell!(db, |tx| tx.claim_mail(MINUTE, NOW)).is_none());
}

/// A column that holds rubbish in every row of its table.
struct Spoilt<'a> {
    db: &'a Db,
    table: &'static str,
    column: &'a str,
}

impl<'a> Spoilt<'a> {
    async fn new(db: &'a Db, table: &'static str, column: &'a str, rubbish: &str) -> Self {
        for sql in [
            format!("CREATE TABLE sound AS SELECT {column} AS value FROM {table}"),
            format!("UPDATE {table} SET {column} = '{rubbish}'"),
        ] {
            db.database.execute(&sql).await;
        }
        Self { db, table, column }
    }

    async fn heal(&self) -> u64 {
        let sql = format!("UPDATE {} SET {} = (SELECT value FROM sound)", self.table, self.column);
        let healed = self.db.database.execute(&sql).await;
        self.db.database.execute("DROP TABLE sound").await;
        healed
    }

    fn is_named<T: std::fmt::Debug>(&self, read: Result<T, StoreError>, row: &dyn std::fmt::Display) {
        match read {
            Err(StoreError::Corrupt { table, column, id } | StoreError::Newer { table, column, id }) => {
                assert_eq!((table, column, id), (self.table, self.column, row.to_string()));
            }
            other => panic!("{}.{}: {other:?}", self.table, self.column),
        }
    }
}
