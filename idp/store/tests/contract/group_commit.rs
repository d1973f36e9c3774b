//! SQLite's group commit: writes that wait together share one sync of the disk. The tests count commits in the
//! write-ahead log, by its file format (<https://www.sqlite.org/fileformat2.html#walformat>).

use std::path::PathBuf;
use std::pin::Pin;

use idp_store::StoreError;

use crate::given::{a_user, new_user};
use crate::harness::{Db, HeldWrite, TestDatabase, poll_once, sqlite};

contract! { sqlite:
    consecutive_writes_are_one_commit_each,
    a_hundred_waiting_writes_share_one_commit,
    a_group_has_at_most_a_hundred_writes,
    r_11_a_full_queue_refuses_and_loses_nothing_it_accepted,
}
contract! { postgres: r_11_without_a_free_connection_a_write_is_refused }
contract! { r_12_two_hundred_writers_on_two_nodes_all_succeed }

async fn consecutive_writes_are_one_commit_each(db: Db) {
    let before = commits(&db.database);
    for number in 0..10 {
        a_user(&db, &format!("u{number}@example.org")).await;
    }
    assert_eq!(commits(&db.database) - before, 10);
}

async fn a_hundred_waiting_writes_share_one_commit(db: Db) {
    let before = commits(&db.database);
    let answers = write_together(&db, 99).await; // the held_write is the hundredth
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(commits(&db.database) - before, 1);
    assert_eq!(db.database.rows("users").await, 99);
}

async fn a_group_has_at_most_a_hundred_writes(db: Db) {
    let before = commits(&db.database);
    let answers = write_together(&db, 250).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(commits(&db.database) - before, 3);
    assert_eq!(db.database.rows("users").await, 250);
}

async fn r_11_a_full_queue_refuses_and_loses_nothing_it_accepted(db: Db) {
    let answers = write_together(&db, 1_100).await;
    let (taken, refused) = answers.split_at(1_024);
    assert!(taken.iter().all(Result::is_ok));
    assert!(refused.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable(_)))));
    assert_eq!(db.database.rows("users").await, 1_024);
    a_user(&db, "later@example.org").await;
}

async fn r_11_without_a_free_connection_a_write_is_refused(database: TestDatabase) {
    let store = database.open_with(1).await;
    store.migrate().await.unwrap();
    let held_write = HeldWrite::hold(&store).await;
    let user = new_user("ada@example.org");
    let answer = try_tell!(store, |tx, user| tx.insert_user(user, None));
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    held_write.release().await;
    a_user(&store, "ada@example.org").await;
}

async fn r_12_two_hundred_writers_on_two_nodes_all_succeed(db: Db) {
    let nodes = [db.store.clone(), db.database.open().await];
    let writers: Vec<_> = (0..200)
        .map(|number| {
            let node = nodes[number % 2].clone();
            tokio::spawn(async move {
                for turn in 0..5 {
                    a_user(&node, &format!("u{number}-{turn}@example.org")).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(db.database.rows("users").await, 1_000);
}

/// Queues writes while another one holds the connection, and returns their results.
async fn write_together(db: &Db, count: usize) -> Vec<Result<bool, StoreError>> {
    let held_write = HeldWrite::hold(db).await;
    let mut waiting = Vec::new();
    let mut answers = Vec::new();
    for number in 0..count {
        let user = new_user(&format!("u{number}@example.org"));
        let mut write = Box::pin(db.write(user, |tx, user| Box::pin(tx.insert_user(user, None))));
        match poll_once(Pin::as_mut(&mut write)).await {
            std::task::Poll::Ready(answer) => answers.push(answer),
            std::task::Poll::Pending => waiting.push(write),
        }
    }
    held_write.release().await;
    let mut all = Vec::new();
    for write in waiting {
        all.push(write.await);
    }
    all.append(&mut answers);
    all
}

/// How many commits the log holds: frames of its current generation that end a transaction.
fn commits(database: &TestDatabase) -> usize {
    let log = std::fs::read(PathBuf::from(format!("{}-wal", sqlite::file(&database.url).display())));
    let log = log.unwrap_or_default();
    let word = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    if log.len() < 32 {
        return 0;
    }
    let (page, salt) = (word(8) as usize, (word(16), word(20)));
    let frames = (32..).step_by(24 + page).take_while(|at| at + 24 + page <= log.len());
    let ends_a_transaction = |at: &usize| word(at + 4) != 0 && (word(at + 8), word(at + 12)) == salt;
    frames.filter(ends_a_transaction).count()
}
