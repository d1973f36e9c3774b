//! The check of whether a database can be used.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use idp_core::audit::AuditEvent;
use idp_store::{Engine, NotReady, Store};
use tokio::sync::Semaphore;

use crate::given::{NOW, a_record, a_user};
use crate::harness::{Db, TestDatabase, sqlite};

contract! { sqlite:
    fault_05_a_check_reaches_the_log_of_the_file,
    fault_05_a_check_on_a_full_disk_says_so,
}
contract! {
    fault_05_only_a_write_that_changed_something_replaces_a_check,
    fault_05_a_check_waits_behind_no_request,
    fault_05_a_check_writes_once_unless_something_was_just_written,
    fault_05_a_check_says_what_is_wrong_and_recovers_by_itself,
    fault_05_a_check_of_a_database_without_this_programs_schema_says_so,
}

/// How many checks have written.
async fn beats(db: &Db) -> i64 {
    db.database.number("SELECT CAST(COALESCE(SUM(beats), 0) AS BIGINT) FROM heartbeat").await
}

/// Waits until an earlier write no longer counts as recent.
async fn later() {
    tokio::time::sleep(Duration::from_millis(1100)).await;
}

async fn fault_05_a_check_writes_once_unless_something_was_just_written(db: Db) {
    let before = db.database.everything().await;
    db.check_readiness().await.unwrap();
    assert_eq!(beats(&db).await, 1, "the write is really made");
    assert_eq!(db.database.everything().await, before, "and changes nothing else");
    let record = a_record(AuditEvent::SignedIn);
    for _ in 0..3 {
        tell!(db, |tx, record| tx.audit(record));
        db.check_readiness().await.unwrap();
    }
    assert_eq!(beats(&db).await, 1, "the recent write counts instead");
    later().await;
    db.check_readiness().await.unwrap();
    assert_eq!(beats(&db).await, 2);
}

async fn fault_05_only_a_write_that_changed_something_replaces_a_check(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    later().await;
    tell!(db, |tx, ada| tx.raise_user_epoch(*ada));
    db.check_readiness().await.unwrap();
    assert_eq!(beats(&db).await, 0, "no audit record is needed");
    later().await;
    assert_eq!(db.delete_expired(NOW).await.unwrap(), 0);
    db.check_readiness().await.unwrap();
    assert_eq!(beats(&db).await, 1, "empty commits do not reach the disk");
}

/// Requests that hold their connections indefinitely.
async fn fault_05_a_check_waits_behind_no_request(db: Db) {
    let store = db.database.open_with(1).await;
    let (open, held) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let mut requests = Vec::new();
    for _ in 0..32 {
        let (store, input) = (store.clone(), (Arc::clone(&open), Arc::clone(&held)));
        requests.push(tokio::spawn(async move {
            store
                .read(input, |_, (open, held)| {
                    Box::pin(async move {
                        held.add_permits(1);
                        drop(open.acquire().await);
                        Ok(())
                    })
                })
                .await
        }));
    }
    if store.engine() == Engine::Postgres {
        let (store, input) = (store.clone(), (Arc::clone(&open), Arc::clone(&held)));
        requests.push(tokio::spawn(async move {
            store
                .write(input, |tx, (open, held)| {
                    Box::pin(async move {
                        tx.audit(&a_record(AuditEvent::SignedIn)).await?;
                        held.add_permits(1);
                        drop(open.acquire().await);
                        Ok(())
                    })
                })
                .await
        }));
    }
    let connections = if store.engine() == Engine::Postgres { 2 } else { 1 };
    drop(held.acquire_many(connections).await.unwrap());
    store.check_readiness().await.unwrap();
    assert!(requests.iter().all(|request| !request.is_finished()), "they still hold every connection");
    open.close();
    for request in requests {
        let _ = request.await.unwrap();
    }
}

/// SQLite does not write a page on which nothing changes.
async fn fault_05_a_check_reaches_the_log_of_the_file(db: Db) {
    db.check_readiness().await.unwrap();
    later().await;
    let log = sqlite::file(&db.database.url).with_extension("db-wal");
    let before = std::fs::read(&log).unwrap();
    db.check_readiness().await.unwrap();
    assert!(std::fs::read(&log).unwrap() != before, "nothing was written");
}

/// A disk of its own that is really full. Mounting one takes root; where that is not possible, this says so and tests
/// nothing. A test of the program, in `idp/cli/tests/cli/full_disk.rs`, needs no disk of its own.
async fn fault_05_a_check_on_a_full_disk_says_so(db: Db) {
    let disk = sqlite::file(&db.database.url).with_file_name("disk");
    std::fs::create_dir(&disk).unwrap();
    let run = |program: &str, args: &[&str]| {
        std::process::Command::new(program)
            .args(args)
            .arg(&disk)
            .output()
            .is_ok_and(|done| done.status.success())
    };
    if !run("mount", &["-t", "tmpfs", "-o", "size=4m", "none"]) {
        println!("skipped: no disk can be mounted here");
        return;
    }
    let file = disk.join("idp.db");
    let full = async {
        let store = Store::open(&format!("sqlite:{}", file.display()), 2).await.unwrap();
        store.migrate().await.unwrap();
        store.check_readiness().await.unwrap();
        later().await;
        let filler = disk.join("filler");
        let mut writer = std::fs::File::create(&filler).unwrap();
        while writer.write_all(&[1; 512]).is_ok() {}
        let found = store.check_readiness().await;
        drop(writer);
        std::fs::remove_file(&filler).unwrap();
        let healed = store.check_readiness().await;
        store.close().await;
        (found, healed)
    };
    let (found, healed) = full.await;
    assert!(run("umount", &[]));
    assert!(matches!(found, Err(NotReady::WriteFailed(_))), "{found:?}");
    healed.unwrap();
}

async fn fault_05_a_check_says_what_is_wrong_and_recovers_by_itself(db: Db) {
    db.check_readiness().await.unwrap();
    db.database.execute("ALTER TABLE heartbeat RENAME TO gone").await;
    later().await;
    let found = db.check_readiness().await;
    assert!(matches!(found, Err(NotReady::WriteFailed(_))), "{found:?}");
    db.database.execute("ALTER TABLE gone RENAME TO heartbeat").await;
    db.check_readiness().await.unwrap();
    db.database.execute("UPDATE _sqlx_migrations SET version = 4000 WHERE version = 4").await;
    let found = db.check_readiness().await;
    assert!(matches!(found, Err(NotReady::MigrationsMissing)), "{found:?}");
    db.database.execute("UPDATE _sqlx_migrations SET version = 4 WHERE version = 4000").await;
    db.check_readiness().await.unwrap();
    db.close().await;
    let found = db.check_readiness().await;
    assert!(matches!(found, Err(NotReady::Unreachable(_) | NotReady::WriterStopped)), "{found:?}");
}

async fn fault_05_a_check_of_a_database_without_this_programs_schema_says_so(database: TestDatabase) {
    let store = database.open().await;
    let found = store.check_readiness().await;
    assert!(matches!(found, Err(NotReady::WrongSchema(_))), "{found:?}");
    store.migrate().await.unwrap();
    store.check_readiness().await.unwrap();
}
