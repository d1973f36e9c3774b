//! The audit trail.

use idp_core::audit::{Actor, AuditEvent, AuditRecord, AuditSource};
use idp_core::ids::UserId;
use idp_core::user::UserState;
use idp_store::StoreError;

use crate::given::{NOW, a_user, client_id};
use crate::harness::Db;

contract! {
    a_record_is_stored_completely,
    a_record_may_have_few_fields,
    records_are_counted_by_event_and_subject,
    an_action_that_is_rolled_back_leaves_no_record,
    an_action_whose_record_cannot_be_written_does_not_happen,
}

async fn a_record_is_stored_completely(db: Db) {
    let record = record(AuditEvent::CodeReplay);
    tell!(db, |tx, record| tx.audit(record));
    let sql =
        "SELECT at, event, actor, subject, client_id, client_address, request_id, detail, id = '' FROM audit";
    let [row] = db.database.dump(sql).await.try_into().unwrap();
    assert!(
        row.starts_with(
            r#"Some(1800000000000) | Some("code_replay") | Some("client:app") | Some("subject") | Some("app") | "#
        ),
        "{row}"
    );
    assert!(
        row.contains(r#" | Some("192.0.2.7") | Some("request") | Some("the code came back") | "#),
        "{row}"
    );
}

async fn a_record_may_have_few_fields(db: Db) {
    let user = UserId::new(NOW);
    let actors = [Actor::User(user), Actor::Cli, Actor::System, Actor::Anonymous];
    for actor in actors {
        let event = AuditEvent::SignInFailed;
        let source = AuditSource::default();
        let record = AuditRecord { actor, subject: None, client_id: None, source, ..record(event) };
        tell!(db, |tx, record| tx.audit(record));
    }
    let rows =
        db.database.dump("SELECT actor, subject, client_id, request_id FROM audit ORDER BY actor").await;
    let mut expected = [format!("user:{user}"), "anonymous".into(), "cli".into(), "system".into()]
        .map(|actor| format!("Some({actor:?}) | None | None | None"));
    expected.sort();
    assert_eq!(rows, expected);
}

async fn records_are_counted_by_event_and_subject(db: Db) {
    for (event, subject) in [
        (AuditEvent::SignedIn, Some("ada")),
        (AuditEvent::SignedIn, Some("ada")),
        (AuditEvent::SignedIn, Some("bob")),
        (AuditEvent::SignedIn, None),
        (AuditEvent::SignedOut, Some("ada")),
    ] {
        let record = AuditRecord { subject: subject.map(str::to_owned), ..record(event) };
        tell!(db, |tx, record| tx.audit(record));
    }
    assert_eq!(count(&db, AuditEvent::SignedIn, Some("ada")).await, 2);
    assert_eq!(count(&db, AuditEvent::SignedIn, None).await, 4);
    assert_eq!(count(&db, AuditEvent::SignedOut, Some("ada")).await, 1);
    assert_eq!(count(&db, AuditEvent::SignedOut, Some("bob")).await, 0);
    assert_eq!(count(&db, AuditEvent::KeyCreated, None).await, 0);
}

async fn an_action_that_is_rolled_back_leaves_no_record(db: Db) {
    let record = record(AuditEvent::UserDeactivated);
    let failed = try_tell!(db, |tx, record| async move {
        tx.audit(record).await?;
        Err::<(), _>(StoreError::Conflict("the action failed"))
    });
    assert!(failed.is_err());
    assert_eq!(count(&db, AuditEvent::UserDeactivated, None).await, 0);
}

async fn an_action_whose_record_cannot_be_written_does_not_happen(db: Db) {
    let (ada, record) = (a_user(&db, "ada@example.org").await.id, record(AuditEvent::UserDeactivated));
    db.database.execute("ALTER TABLE audit RENAME TO hidden").await;
    let outcome = try_tell!(db, |tx, ada, record| async move {
        tx.set_user_state(*ada, UserState::Deactivated, NOW).await?;
        tx.audit(record).await
    });
    assert!(matches!(outcome, Err(StoreError::Defect(_))), "{outcome:?}");
    assert_eq!(ask!(db, |r, ada| r.user(*ada)).unwrap().state, UserState::Active);
}

fn record(event: AuditEvent) -> AuditRecord {
    AuditRecord {
        at: NOW,
        event,
        actor: Actor::Client(client_id("app")),
        subject: Some("subject".to_owned()),
        client_id: Some(client_id("app")),
        source: AuditSource { address: Some("192.0.2.7".to_owned()), request_id: Some("request".to_owned()) },
        detail: "the code came back",
    }
}

async fn count(db: &Db, event: AuditEvent, subject: Option<&'static str>) -> i64 {
    ask!(db, |r, event, subject| r.audit_count(*event, *subject))
}
