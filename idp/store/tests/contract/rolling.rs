//! An old node beside a new one whose migration adds columns while the old one has open connections.

use std::path::{Path, PathBuf};

use crate::given::{NOW, OFFLINE, SignedInPerson, a_key};
use crate::harness::{Db, TABLES};
use idp_store::{KeyState, Store};

contract! { r_24_columns_that_a_newer_node_adds_do_not_disturb_an_open_store }

async fn r_24_columns_that_a_newer_node_adds_do_not_disturb_an_open_store(db: Db) {
    // One connection each for reading and writing, so that later reads use the statements prepared before.
    let old = db.database.open_with(1).await;
    let (ada, key) = (SignedInPerson::new(&old).await, a_key("kid", KeyState::Active));
    assert!(tell!(old, |tx, key| tx.insert_key(key)));
    look_around(&old, &ada).await;
    for table in TABLES {
        db.database.execute(&format!("ALTER TABLE {table} ADD COLUMN of_tomorrow TEXT")).await;
    }
    look_around(&old, &ada).await;
}

async fn look_around(store: &Store, ada: &SignedInPerson) {
    let (user, client, session) = (ada.user.id, ada.client.id.clone(), ada.session.digest.clone());
    assert!(ask!(store, |r, client| r.client(client)).is_some());
    assert_eq!(ask!(store, |r| r.clients(None, 10)).found.len(), 1);
    assert!(ask!(store, |r, user| r.user(*user)).is_some());
    assert!(ask!(store, |r, session| r.signed_in(session, NOW)).is_some());
    assert_eq!(ask!(store, |r| r.keys()).len(), 1);
    let grant = ada.a_grant(store, OFFLINE).await.facts.id;
    assert!(ask!(store, |r, grant| r.grant(*grant)).unwrap().live);
    assert!(ask!(store, |r, grant| r.subject_of_grant(*grant)).is_some());
}

/// Once its result columns have changed, PostgreSQL refuses a prepared statement for ever.
#[test]
fn r_24_no_statement_selects_a_star() {
    let mut files = Vec::new();
    source_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap().to_uppercase();
        for star in ["SELECT *", "RETURNING *", ".* FROM", ".*,"] {
            assert!(!text.contains(star), "{} says `{star}`", file.display());
        }
    }
    assert!(files.len() > 20, "{files:?}");
}

fn source_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, files);
        } else {
            files.push(path);
        }
    }
}
