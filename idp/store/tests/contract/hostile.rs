//! Every text is taken literally, wherever it appears.

use idp_core::account::throttle::ACCOUNT;
use idp_core::audit::{Actor, AuditEvent, AuditRecord, AuditSource};
use idp_core::client::ClientId;
use idp_core::ids::MailId;
use idp_core::oauth::grant::IssuedCode;
use idp_core::scope::Scope;
use idp_core::single_use::{ActivationLink, SingleUse, SingleUseDigest};
use idp_core::text::DisplayText;
use idp_core::time::HOUR;
use idp_core::user::{Email, FullName, User};
use idp_store::{Engine, Mail, MailKind, NewSession, StoreError, ThrottleKey};

use crate::given::{
    NONE_LEFT_OUT, NOW, ONLINE, SignedInPerson, a_user, after, begin_session, insert_code, new_client,
    new_code_digest, new_session, new_user,
};
use crate::harness::Db;

contract! {
    lg_05_hostile_text_comes_back_as_it_went_in,
    lg_05_a_hostile_name_finds_nothing_and_nobody_elses_row,
    lg_05_an_address_with_wildcards_is_its_own_account,
    lg_05_a_nul_is_an_error_or_kept_and_never_a_panic,
}

/// Quotes, comments, wildcards, other databases' operators, four-byte characters, escapes that look unpaired, line
/// breaks.
const HOSTILE: [&str; 12] = [
    "' OR 1=1--",
    "'; DROP TABLE users; --",
    "\" OR \"\"=\"",
    "%",
    "_",
    "*",
    "$1",
    "{\"$ne\": null}",
    "\\'\\x27\\u0027",
    "😀👩‍👩‍👧‍👦 𝔘𝔫𝔦 \u{10FFFF}",
    "a\r\nb\u{2028}c\td",
    "'||(SELECT password_hash FROM users)||'",
];

async fn lg_05_hostile_text_comes_back_as_it_went_in(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    for (number, text) in HOSTILE.into_iter().enumerate() {
        as_the_nonce_of_a_code(&db, &ada, text).await;
        as_the_user_agent_of_a_session(&db, &ada, text).await;
        as_what_a_link_opens(&db, text).await;
        as_the_subject_of_a_mail(&db, text).await;
        as_the_name_of_an_application(&db, text, number).await;
        as_the_name_of_a_person(&db, text, number).await;
        as_the_subject_of_a_record(&db, text).await;
        as_what_is_counted(&db, text).await;
    }
    assert_eq!(db.database.rows("users").await, 1 + HOSTILE.len() as i64);
}

async fn as_the_nonce_of_a_code(db: &Db, ada: &SignedInPerson, text: &str) {
    let code = IssuedCode { nonce: Some(text.to_owned()), ..ada.new_code(ONLINE) };
    let (digest, client) = (new_code_digest(), ada.client.id.clone());
    assert!(insert_code(db, &digest, &code).await);
    assert_eq!(tell!(db, |tx, digest, client| tx.consume_code(digest, client, NOW)).unwrap().code, code);
}

async fn as_the_user_agent_of_a_session(db: &Db, ada: &SignedInPerson, text: &str) {
    let (address, agent) = (text.to_owned(), text.to_owned());
    let session = NewSession { client_address: address, user_agent: agent, ..new_session(ada.user.id) };
    assert!(begin_session(db, &session, NOW).await);
    let sql = format!("SELECT client_address, user_agent FROM sessions WHERE id = '{}'", session.id);
    let text = Some(text);
    assert_eq!(db.database.dump(&sql).await, [format!("{text:?} | {text:?}")]);
}

async fn as_what_a_link_opens(db: &Db, text: &str) {
    let (link, until, text): (SingleUseDigest<ActivationLink>, _, _) =
        (SingleUse::generate().digest(), after(HOUR), text.to_owned());
    tell!(db, |tx, link, text, until| tx.insert_single_use(link, text, *until));
    assert_eq!(tell!(db, |tx, link| tx.consume(link, NOW)), Some(text));
}

async fn as_the_subject_of_a_mail(db: &Db, text: &str) {
    let mail = Mail {
        id: MailId::new(NOW),
        kind: MailKind::Welcome,
        recipient: Email::parse("o'neil%_@example.org").unwrap(),
        name: as_a_name(text),
        subject: text.to_owned(),
        minutes: None,
        created_at: NOW,
        attempts: 0,
    };
    tell!(db, |tx, mail| tx.enqueue_mail(mail));
    let claimed = tell!(db, |tx| tx.claim_mail(HOUR, &NONE_LEFT_OUT, NOW)).unwrap();
    assert_eq!(claimed.mail.unwrap(), Mail { attempts: 1, ..mail });
    let id = claimed.id;
    tell!(db, |tx, id| tx.delete_mail(id));
}

async fn as_the_name_of_an_application(db: &Db, text: &str, number: usize) {
    let mut client = new_client(&format!("app-{number}"));
    (client.name, client.scope) = (DisplayText::new(text, 60), Scope::of(&["'--", "%", "_"]));
    assert!(tell!(db, |tx, client| tx.insert_client(client)));
    let id = client.id;
    let read = ask!(db, |r, id| r.client(id)).unwrap();
    assert_eq!((read.name, read.scope), (client.name, client.scope));
}

/// A name as earlier versions stored it: what no name may contain any more is taken out of it.
fn as_a_name(text: &str) -> FullName {
    FullName::from_stored(text).unwrap()
}

async fn as_the_name_of_a_person(db: &Db, text: &str, number: usize) {
    let name = as_a_name(text);
    let user = User { name, ..new_user(&format!("u{number}@example.org")) };
    assert!(tell!(db, |tx, user| tx.insert_user(user, None)));
    let id = user.id;
    assert_eq!(ask!(db, |r, id| r.user(*id)).unwrap().name, user.name);
}

async fn as_the_subject_of_a_record(db: &Db, text: &str) {
    let record = AuditRecord {
        at: NOW,
        event: AuditEvent::SignInFailed,
        actor: Actor::Anonymous,
        subject: Some(text.to_owned()),
        client_id: None,
        source: AuditSource { address: Some(text.to_owned()), request_id: Some(text.to_owned()) },
        detail: "",
    };
    tell!(db, |tx, record| tx.audit(record));
    let count = ask!(db, |r, record| r.audit_count(record.event, record.subject.as_deref()));
    assert_eq!(count, 1, "{text}");
}

async fn as_what_is_counted(db: &Db, text: &str) {
    let key = ThrottleKey::Network(text.to_owned());
    tell!(db, |tx, key| tx.reserve(key, &ACCOUNT, NOW));
    assert_eq!(ask!(db, |r, key| r.throttle(key)).unwrap().failures, 1, "{text}");
}

async fn lg_05_a_hostile_name_finds_nothing_and_nobody_elses_row(db: Db) {
    let user = SignedInPerson::new(&db).await.user.id;
    let before = db.database.everything().await;
    for text in HOSTILE {
        assert!(!tell!(db, |tx, user, text| tx.grant_role(*user, text)), "{text}");
        assert!(!tell!(db, |tx, user, text| tx.revoke_role(*user, text)), "{text}");
        assert_eq!(ask!(db, |r, text| r.audit_count(AuditEvent::SignedIn, Some(*text))), 0, "{text}");
        let key = ThrottleKey::Network(text.to_owned());
        assert_eq!(ask!(db, |r, key| r.throttle(key)), None);
        assert!(ClientId::parse(text).is_err() || text == "_", "{text}");
    }
    let wildcard = ClientId::parse("_").unwrap();
    assert!(ask!(db, |r, wildcard| r.client(wildcard)).is_none());
    assert_eq!(db.database.everything().await, before);
}

async fn lg_05_an_address_with_wildcards_is_its_own_account(db: Db) {
    let plain = a_user(&db, "aXb@example.org").await.id;
    for address in
        ["a_b@example.org", "a%b@example.org", "%@example.org", "a'b@example.org", "a*b@example.org"]
    {
        let address = Email::parse(address).unwrap();
        assert!(ask!(db, |r, address| r.credentials(address)).is_none(), "{address}");
        let own = a_user(&db, address.as_str()).await.id;
        assert_eq!(ask!(db, |r, address| r.credentials(address)).unwrap().user.id, own);
        assert_ne!(own, plain);
    }
}

/// PostgreSQL's texts cannot contain NUL, SQLite's can. The server accepts none; here nothing panics and no text is
/// cut.
async fn lg_05_a_nul_is_an_error_or_kept_and_never_a_panic(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let text = "before\0after";
    let code = IssuedCode { nonce: Some(text.to_owned()), ..ada.new_code(ONLINE) };
    let (digest, client, user) = (new_code_digest(), ada.client.id.clone(), ada.user.id);
    let written = try_tell!(db, |tx, digest, code| tx.insert_code(digest, code, 0));
    let role = try_tell!(db, |tx, user| tx.grant_role(*user, "admin\0"));
    match db.engine() {
        Engine::Sqlite => {
            assert!(written.unwrap());
            let read = tell!(db, |tx, digest, client| tx.consume_code(digest, client, NOW)).unwrap();
            assert_eq!(read.code.nonce.as_deref(), Some(text));
            assert!(!role.unwrap(), "it is not the name of a role");
        }
        Engine::Postgres => {
            assert!(matches!(written, Err(StoreError::Defect(_))), "{written:?}");
            assert!(matches!(role, Err(StoreError::Defect(_))), "{role:?}");
        }
    }
    assert!(ask!(db, |r, user| r.roles_of(*user)).is_empty());
    a_user(&db, "later@example.org").await;
}
