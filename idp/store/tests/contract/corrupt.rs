//! A row that holds something this program never writes is an error that names table, column and row. It is never a
//! panic, and a value is never guessed.

use idp_core::ids::MailId;
use idp_core::time::MINUTE;
use idp_core::user::FullName;
use idp_store::{KeyState, Listed, Mail, MailKind, StoreError};

use crate::given::{NONE_LEFT_OUT, NOW, OFFLINE, SignedInPerson, a_key, a_registration, email};
use crate::harness::Db;

contract! {
    a_corrupt_account_is_named,
    a_corrupt_account_is_named_when_read_through_its_session_or_grant,
    a_corrupt_registration_is_named,
    a_corrupt_session_signs_nobody_in,
    a_corrupt_client_is_named,
    a_corrupt_flow_is_named,
    a_corrupt_consent_is_named_and_not_overwritten,
    a_corrupt_code_is_named_and_not_consumed,
    a_corrupt_grant_is_named,
    a_corrupt_key_is_not_used,
    a_corrupt_mail_is_named_and_waits_like_any_other,
}

contract! { sqlite: a_mail_row_of_the_wrong_column_types_holds_up_no_other_mail }

async fn a_corrupt_account_is_named(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (id, address) = (ada.user.id, ada.user.email);
    for (column, rubbish) in
        [("email", "ada"), ("name", ""), ("password_hash", "argon2i$"), ("password_hash", "")]
    {
        let corrupted = Corrupted::new(&db, "users", column, rubbish).await;
        corrupted.is_named(try_ask!(db, |r, address| r.credentials(address)), &id);
        if column != "password_hash" {
            corrupted.is_named(try_ask!(db, |r, id| r.user(*id)), &id);
            corrupted.is_left_out(ask!(db, |r| r.users(None, 10)), &id);
        }
        corrupted.heal().await;
    }
    let corrupted = Corrupted::new(&db, "users", "email", "ada").await;
    assert!(
        corrupted.heal().await == 1 && try_ask!(db, |r, id| r.user(*id)).is_ok(),
        "repaired, it can be read again"
    );
}

async fn a_corrupt_account_is_named_when_read_through_its_session_or_grant(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (grant, digest) = (ada.a_grant(&db, OFFLINE).await.facts.id, ada.session.digest.clone());
    let corrupted = Corrupted::new(&db, "users", "name", "").await;
    corrupted.is_named(try_ask!(db, |r, digest| r.signed_in(digest, NOW)), &ada.user.id);
    corrupted.is_named(try_ask!(db, |r, grant| r.subject_of_grant(*grant)), &ada.user.id);
}

async fn a_corrupt_registration_is_named(db: Db) {
    let id = a_registration(&db, "ada@example.org", NOW).await.id;
    let address = email("ada@example.org");
    for (column, rubbish) in [
        ("email", "ada@"),
        ("name", "\u{200B}"),
        ("password_hash", "secret"),
        ("browser_digest", "AAAA"),
        ("flow_id", "1"),
    ] {
        let corrupted = Corrupted::new(&db, "registrations", column, rubbish).await;
        corrupted.is_named(try_ask!(db, |r, id| r.registration(*id, NOW)), &id);
        corrupted.is_named(try_ask!(db, |r, address| r.newest_registration(address, None, NOW)), &id);
        corrupted.is_named(try_tell!(db, |tx, id| tx.activate(*id, NOW)), &id);
        corrupted.heal().await;
    }
    assert_eq!(db.database.rows("users").await, 0);
}

async fn a_corrupt_session_signs_nobody_in(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let digest = ada.session.digest;
    let corrupted = Corrupted::new(&db, "sessions", "authentication", "none").await;
    assert!(
        ask!(db, |r, digest| r.signed_in(digest, NOW)).is_none(),
        "an unknown way of signing in signs nobody in"
    );
    corrupted.heal().await;
    assert_eq!(ask!(db, |r, digest| r.signed_in(digest, NOW)).unwrap().session.id, ada.session.id);
}

async fn a_corrupt_client_is_named(db: Db) {
    let id = SignedInPerson::new(&db).await.client.id;
    for (column, rubbish) in [
        ("auth_method", "private_key_jwt"),
        ("secret_digest", "secret"),
        ("redirect_uris", "https://app.example/cb"),
        ("redirect_uris", "{\"uri\":\"https://app.example/cb\"}"),
        ("redirect_uris", "null"),
        ("post_logout_redirect_uris", "[1"),
        ("home_uri", "javascript:alert(1)"),
        ("scope", "openid  email"),
        ("pkce", ""),
        ("consent", "never"),
        ("id_token_alg", "none"),
        ("access_token_alg", "HS256"),
    ] {
        let corrupted = Corrupted::new(&db, "clients", column, rubbish).await;
        corrupted.is_named(try_ask!(db, |r, id| r.client(id)), &id);
        corrupted.is_left_out(ask!(db, |r| r.clients(None, 10)), &id);
        corrupted.heal().await;
    }
}

async fn a_corrupt_flow_is_named(db: Db) {
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
        let corrupted = Corrupted { db: &db, table: "flows", column };
        corrupted.is_named(try_ask!(db, |r, id| r.flow(*id, NOW)), &id);
        db.database.execute("DELETE FROM flows").await;
    }
}

fn ada_digest() -> String {
    "A".repeat(43)
}

async fn a_corrupt_consent_is_named_and_not_overwritten(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (user, client, scope) = (ada.user.id, ada.client.id.clone(), ada.client.scope.clone());
    tell!(db, |tx, user, client, scope| tx.remember_consent(*user, client, scope, NOW));
    let corrupted = Corrupted::new(&db, "consents", "scope", "a\tb").await;
    let before = db.database.everything().await;
    corrupted.is_named(try_ask!(db, |r, user, client| r.client_and_consent(client, *user)), &user);
    let written = try_tell!(db, |tx, user, client, scope| tx.remember_consent(*user, client, scope, NOW));
    corrupted.is_named(written, &user);
    assert_eq!(db.database.everything().await, before);
}

async fn a_corrupt_code_is_named_and_not_consumed(db: Db) {
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
        let corrupted = Corrupted::new(&db, "codes", column, rubbish).await;
        let before = db.database.everything().await;
        let consumed = try_tell!(db, |tx, digest, client| tx.consume_code(digest, client, NOW));
        match column {
            "grant_id" => {
                corrupted.is_named(consumed, &"1");
                corrupted.is_named(
                    try_tell!(db, |tx, digest, client| tx.revoke_replayed(digest, client, NOW)),
                    &"1",
                );
            }
            _ => corrupted.is_named(consumed, &code.facts.id),
        }
        assert_eq!(db.database.everything().await, before);
        corrupted.heal().await;
    }
    assert!(tell!(db, |tx, digest, client| tx.consume_code(digest, client, NOW)).is_some());
}

async fn a_corrupt_grant_is_named(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let id = ada.a_grant(&db, OFFLINE).await.facts.id;
    for (column, rubbish) in [("scope", " "), ("authentication", "")] {
        let corrupted = Corrupted::new(&db, "grants", column, rubbish).await;
        corrupted.is_named(try_ask!(db, |r, id| r.grant(*id)), &id);
        corrupted.heal().await;
    }
}

async fn a_corrupt_key_is_not_used(db: Db) {
    let key = a_key("kid", KeyState::Active);
    assert!(tell!(db, |tx, key| tx.insert_key(key)));
    let corrupted = Corrupted::new(&db, "keys", "state", "retired").await;
    assert!(ask!(db, |r| r.keys()).is_empty(), "a key in an unknown state is not used");
    corrupted.heal().await;
    assert_eq!(ask!(db, |r| r.keys()), [key]);
}

async fn a_corrupt_mail_is_named_and_waits_like_any_other(db: Db) {
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
        let corrupted = Corrupted::new(&db, "outbox", column, rubbish).await;
        let claimed = tell!(db, |tx, now| tx.claim_mail(MINUTE, &NONE_LEFT_OUT, *now)).unwrap();
        assert_eq!((claimed.subject.as_str(), claimed.attempts), ("whoever", tries));
        corrupted.is_named(claimed.mail, &mail.id);
        assert!(
            tell!(db, |tx, now| tx.claim_mail(MINUTE, &NONE_LEFT_OUT, *now)).is_none(),
            "its lease is kept"
        );
        let (id, later) = (claimed.id, now.plus(MINUTE * 5));
        assert!(tell!(db, |tx, id, later| tx.postpone_mail(id, *later)));
        corrupted.heal().await;
        now = later;
    }
    assert_eq!(
        tell!(db, |tx, now| tx.claim_mail(MINUTE, &NONE_LEFT_OUT, *now)).unwrap().mail.unwrap().attempts,
        4
    );
}

/// SQLite stores whatever it is given, even if it does not have the column's type.
async fn a_mail_row_of_the_wrong_column_types_holds_up_no_other_mail(db: Db) {
    let values = "'a', 'locked', X'00', 'Ada', '', 'never', 0, 0, 0, 9";
    let columns = "id, kind, recipient, name, subject, minutes, created_at, due_at, attempts, expires_at";
    db.database.execute(&format!("INSERT INTO outbox ({columns}) VALUES ({values})")).await;
    let claimed = tell!(db, |tx| tx.claim_mail(MINUTE, &NONE_LEFT_OUT, NOW)).unwrap();
    assert_eq!((claimed.id.as_str(), claimed.attempts, claimed.mail.is_err()), ("a", 1, true));
    assert!(tell!(db, |tx| tx.claim_mail(MINUTE, &NONE_LEFT_OUT, NOW)).is_none());
}

/// A column that holds garbage in every row of its table.
struct Corrupted<'a> {
    db: &'a Db,
    table: &'static str,
    column: &'a str,
}

impl<'a> Corrupted<'a> {
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

    /// Not in the list, but named beside it.
    fn is_left_out<T: std::fmt::Debug>(&self, mut list: Listed<T>, row: &dyn std::fmt::Display) {
        assert!(
            list.found.is_empty() && list.left_out.len() == 1,
            "{}.{}: {list:?}",
            self.table,
            self.column
        );
        self.is_named(Err::<T, _>(list.left_out.remove(0)), row);
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
