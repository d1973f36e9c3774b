//! A database that moved or changed its role: old connections are not used again.

use std::time::Duration;

use idp_core::ids::UserId;
use idp_store::{NotReady, Store, StoreError};

use crate::given::a_user;
use crate::harness::{Db, Proxy, sqlite};

contract! { postgres:
    fault_05_readers_and_writers_give_up_connections_to_a_server_that_became_read_only,
    fault_05_connections_to_a_former_server_are_given_up_even_if_nobody_writes,
    fault_05_an_address_that_leads_to_another_server_is_noticed,
    fault_05_statements_prepared_for_other_columns_are_prepared_again,
}
contract! { sqlite:
    fault_05_a_file_that_is_moved_away_is_missed_and_not_recreated,
    fault_05_a_file_that_replaces_another_is_used_at_once,
}

/// From now on new connections find a server with these settings. Existing ones keep theirs.
async fn servers_are(db: &Db, settings: &[&str]) {
    let name = db.database.dump("SELECT CAST(current_database() AS TEXT)").await.remove(0);
    let name = name.trim_start_matches("Some(\"").trim_end_matches("\")");
    // This connection may itself be read-only by default.
    let alter = async |change: &str| {
        db.database.execute(&format!("BEGIN READ WRITE; ALTER DATABASE {name} {change}; COMMIT")).await;
    };
    alter("RESET ALL").await;
    for setting in settings {
        alter(&format!("SET {setting}")).await;
    }
}

const READ_ONLY: &str = "default_transaction_read_only = on";

/// Looks like another server that is a standby. Its clock stands still at a moment that is found nowhere else.
const STANDBY: &str = "search_path = standby, public, pg_catalog";

async fn make_standby(db: &Db) {
    for sql in [
        "CREATE SCHEMA standby",
        "CREATE FUNCTION standby.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'",
        "CREATE FUNCTION standby.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql \
         AS 'SELECT CAST(''2001-01-01'' AS timestamptz)'",
        "CREATE FUNCTION standby.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT to_timestamp(1)'",
    ] {
        db.database.execute(sql).await;
    }
}

async fn is_on_standby(store: &Store) -> bool {
    ask!(store, |r| r.clock()).unwrap().millis() == 1000
}

async fn raise(store: &Store, user: UserId) -> Result<(), StoreError> {
    try_tell!(store, |tx, user| tx.raise_user_epoch(*user))
}

async fn fault_05_readers_and_writers_give_up_connections_to_a_server_that_became_read_only(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    let network = Proxy::start(&db.database).await;
    servers_are(&db, &[READ_ONLY]).await;
    let store = Store::open(network.url(), 4).await.unwrap();
    let refused = raise(&store, ada).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(why)) if why.starts_with("25006")), "{refused:?}");
    assert!(matches!(store.check_readiness().await, Err(NotReady::ReadOnly)));
    assert_eq!(ask!(store, |r, ada| r.user(*ada)).unwrap().epoch, 0, "it can be read");
    assert!(
        tell!(store, |tx, ada| tx.user(*ada)).is_some(),
        "a writer can read too, and its connection becomes idle"
    );

    servers_are(&db, &[]).await;
    raise(&store, ada).await.expect("on a new connection");
    let connections = network.connections();
    assert_eq!(ask!(store, |r, ada| r.user(*ada)).unwrap().epoch, 1);
    assert_eq!(network.connections(), connections + 1, "readers reconnect as well");
    store.check_readiness().await.unwrap();
    for _ in 0..5 {
        raise(&store, ada).await.unwrap();
        assert!(ask!(store, |r, ada| r.user(*ada)).is_some());
    }
    store.check_readiness().await.unwrap();
    assert_eq!(
        network.connections(),
        connections + 2,
        "good connections stay: the readers' and the one for readiness checks"
    );
}

async fn fault_05_connections_to_a_former_server_are_given_up_even_if_nobody_writes(db: Db) {
    make_standby(&db).await;
    servers_are(&db, &[STANDBY]).await;
    let store = db.database.open().await;
    assert!(is_on_standby(&store).await);
    assert!(matches!(store.check_readiness().await, Err(NotReady::Standby)));
    assert!(matches!(store.check_readiness().await, Err(NotReady::Standby)));
    servers_are(&db, &[]).await;
    store.check_readiness().await.expect("one check finds the current server");
    assert!(!is_on_standby(&store).await);
}

/// Existing connections go on as if nothing had happened; only a new one can tell.
async fn fault_05_an_address_that_leads_to_another_server_is_noticed(db: Db) {
    make_standby(&db).await;
    db.database.execute("DROP FUNCTION standby.pg_is_in_recovery()").await;
    servers_are(&db, &[STANDBY]).await;
    let store = db.database.open().await;
    assert!(is_on_standby(&store).await);
    servers_are(&db, &[]).await;
    assert!(is_on_standby(&store).await);
    store.check_readiness().await.unwrap();
    assert!(!is_on_standby(&store).await);
}

async fn fault_05_statements_prepared_for_other_columns_are_prepared_again(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    assert!(ask!(db, |r, ada| r.user(*ada)).is_some());
    raise(&db, ada).await.unwrap();
    db.database.execute("ALTER TABLE users ALTER COLUMN name TYPE VARCHAR(200)").await;
    assert_eq!(ask!(db, |r, ada| r.user(*ada)).unwrap().epoch, 1);
    // As when a proxy hands a session to somebody else.
    db.database.execute("ALTER TABLE users ALTER COLUMN name TYPE TEXT").await;
    raise(&db, ada).await.unwrap();
    assert_eq!(ask!(db, |r, ada| r.user(*ada)).unwrap().epoch, 2);
}

fn move_all(from: &std::path::Path, to: &std::path::Path) {
    for companion in ["", "-wal", "-shm"] {
        let name = |path: &std::path::Path| format!("{}{companion}", path.display());
        if std::fs::exists(name(from)).unwrap() {
            std::fs::rename(name(from), name(to)).unwrap();
        }
    }
}

async fn fault_05_a_file_that_is_moved_away_is_missed_and_not_recreated(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    let (file, away) =
        (sqlite::file(&db.database.url), sqlite::file(&db.database.url).with_extension("away"));
    db.check_readiness().await.unwrap();
    move_all(file, &away);
    for _ in 0..2 {
        // A write looks at the file for all; a read may rely on a look of the last few milliseconds.
        let (written, read) = (raise(&db, ada).await, try_ask!(db, |r, ada| r.user(*ada)));
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
        assert!(matches!(written, Err(StoreError::Unavailable(_))), "{written:?}");
        assert!(matches!(db.check_readiness().await, Err(NotReady::FileMissing)));
    }
    assert!(!file.exists(), "recreated, and empty");
    move_all(&away, file);
    db.check_readiness().await.unwrap();
    raise(&db, ada).await.unwrap();
    assert_eq!(ask!(db, |r, ada| r.user(*ada)).unwrap().epoch, 1);
}

async fn fault_05_a_file_that_replaces_another_is_used_at_once(db: Db) {
    let (file, away) =
        (sqlite::file(&db.database.url), sqlite::file(&db.database.url).with_extension("away"));
    let backup = db.database.open().await;
    backup.close().await;
    let ada = a_user(&db, "ada@example.org").await.id;
    move_all(file, &away);
    std::fs::write(file, sqlite::migrated().await).unwrap();
    let mia = a_user(&db, "mia@example.org").await.id;
    assert!(ask!(db, |r, ada| r.user(*ada)).is_none(), "read from the old file");
    assert!(ask!(db, |r, mia| r.user(*mia)).is_some(), "written to the old file");
    move_all(file, &file.with_extension("second"));
    move_all(&away, file);
    // Without a write, a read finds it a moment later.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(ask!(db, |r, ada| r.user(*ada)).is_some(), "read from the second file");
    db.check_readiness().await.unwrap();
}
