//! The look at whether a database can be worked with.

use std::time::Duration;

use idp_store::{AuditEvent, Unfit};

use crate::given::a_record;
use crate::harness::{Db, Place};

contract! {
    fault_05_a_look_writes_once_unless_something_was_just_written,
    fault_05_a_look_says_what_is_wrong_and_recovers_by_itself,
    fault_05_a_look_at_a_database_without_this_programs_schema_says_so,
}

async fn fault_05_a_look_writes_once_unless_something_was_just_written(db: Db) {
    let (count, sql) = match db.place.url.starts_with("sqlite:") {
        true => (
            "SELECT COUNT(*) FROM counted",
            &[
                "CREATE TABLE counted (one BIGINT)",
                "CREATE TRIGGER counts AFTER UPDATE ON epochs BEGIN INSERT INTO counted VALUES (1); END",
            ][..],
        ),
        false => (
            "SELECT COUNT(*) FROM counted",
            &[
                "CREATE TABLE counted (one BIGINT)",
                "CREATE FUNCTION counts() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN INSERT INTO counted VALUES (1); RETURN NEW; END $$",
                "CREATE TRIGGER counts AFTER UPDATE ON epochs FOR EACH ROW EXECUTE FUNCTION counts()",
            ][..],
        ),
    };
    let before = db.place.everything().await;
    for sql in sql {
        db.place.execute(sql).await;
    }
    db.look().await.unwrap();
    assert_eq!(db.place.number(count).await, 1, "a write that is really made");
    assert_eq!(db.place.everything().await, before, "and changes nothing");
    let record = a_record(AuditEvent::SignedIn);
    for _ in 0..3 {
        tell!(db, |tx, record| tx.audit(record));
        db.look().await.unwrap();
    }
    assert_eq!(db.place.number(count).await, 1, "what was written just now tells as much");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    db.look().await.unwrap();
    assert_eq!(db.place.number(count).await, 2);
}

async fn fault_05_a_look_says_what_is_wrong_and_recovers_by_itself(db: Db) {
    db.look().await.unwrap();
    db.place.execute("ALTER TABLE epochs RENAME TO gone").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let found = db.look().await;
    assert!(matches!(found, Err(Unfit::NoWrites(_))), "{found:?}");
    db.place.execute("ALTER TABLE gone RENAME TO epochs").await;
    db.look().await.unwrap();
    db.place.execute("UPDATE _sqlx_migrations SET version = 4000 WHERE version = 4").await;
    let found = db.look().await;
    assert!(matches!(found, Err(Unfit::Behind)), "{found:?}");
    db.place.execute("UPDATE _sqlx_migrations SET version = 4 WHERE version = 4000").await;
    db.look().await.unwrap();
    db.close().await;
    let found = db.look().await;
    assert!(matches!(found, Err(Unfit::Silent(_) | Unfit::NoWriter)), "{found:?}");
}

async fn fault_05_a_look_at_a_database_without_this_programs_schema_says_so(place: Place) {
    let store = place.open().await;
    let found = store.look().await;
    assert!(matches!(found, Err(Unfit::Strange(_))), "{found:?}");
    store.migrate().await.unwrap();
    store.look().await.unwrap();
}
