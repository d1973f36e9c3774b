//! Migrations.

use idp_store::{MigrationStatus, OpenError};

use crate::given::a_user;
use crate::harness::{Db, TestDatabase};

contract! {
    a_new_database_lacks_every_migration_until_it_is_migrated,
    migrating_twice_changes_nothing,
    two_nodes_migrate_one_database_at_once,
    programs_that_migrate_a_new_database_or_ask_about_it_at_once_all_succeed,
    asking_about_a_new_database_changes_nothing_in_it,
    fault_19_a_newer_schema_is_used_and_left_as_it_is,
    r_26_a_migration_edited_after_it_ran_is_refused,
    a_failed_migration_leaves_nothing_half_done,
    r_26_a_landed_migration_is_never_edited,
}

/// SHA-384 of every migration that has landed. A new migration gets a new line; a line is never changed.
const LANDED: [(i64, &str, &str); 7] = [
    (
        1,
        "accounts",
        "bea47976ce01e9f490ddf7dbb58e8888be73c92c26a72655f179d5a80aba54fd3894a574dc5f12785ed891c700a89143",
    ),
    (
        2,
        "openid",
        "8723af0edd656c3e6e38a71fdf5295232efca9012106cce6d1ae9848c362df04631eade3efbab72bd5dca665acd8a840",
    ),
    (
        3,
        "operations",
        "19317b625d85d12b61bb61c6ff7f4607a8d1dc9debc0ef38fad31416e78d78fac2b058ff632af5c38427cc3c8a95d7e2",
    ),
    (
        4,
        "registration outcome",
        "a3ffbb195b5d663780a270c68277bc9b5149e7a60fef35a15353e1c0a902baadcc3eccdb516cf785ef01a8190eb01d3c",
    ),
    (
        5,
        "authorization response",
        "b2c1b9f0d4ef8eebcc248fa77564665ba6111c0dec56026039efc04b4c24c74f429804b2036688073ff15b7d1e450c73",
    ),
    (
        6,
        "heartbeat",
        "99f87bafdd1a5c6076870131d3edc3a553d05cfb7dd0c929a23dd8d7095eaa0d936db9e66e5f19b5a6d385d9cef8bfc4",
    ),
    (
        7,
        "outbox by recipient",
        "e00e609b6b3e3f78f27ef375e133100c72ec60ae945fa6e37b3ab9d6a26091ab2ac09589117d4c79534172dc40ba55c1",
    ),
];

async fn a_new_database_lacks_every_migration_until_it_is_migrated(database: TestDatabase) {
    let store = database.open().await;
    assert_eq!(store.migrations().await.unwrap(), status(false));
    assert!(matches!(store.require_current().await, Err(OpenError::Behind(7))));
    store.migrate().await.unwrap();
    assert_eq!(store.migrations().await.unwrap(), status(true));
    store.require_current().await.unwrap();
}

async fn migrating_twice_changes_nothing(db: Db) {
    a_user(&db, "ada@example.org").await;
    let before = db.database.everything().await;
    db.migrate().await.unwrap();
    assert_eq!(db.database.everything().await, before);
    assert_eq!(db.database.rows("_sqlx_migrations").await, 7);
}

async fn two_nodes_migrate_one_database_at_once(database: TestDatabase) {
    let mut nodes = Vec::new();
    for _ in 0..4 {
        let store = database.open().await;
        nodes.push(tokio::spawn(async move { store.migrate().await }));
    }
    for node in nodes {
        node.await.unwrap().unwrap();
    }
    database.open().await.require_current().await.unwrap();
    assert_eq!(database.rows("_sqlx_migrations").await, 7);
    assert_eq!(database.rows("roles").await, 2);
}

async fn programs_that_migrate_a_new_database_or_ask_about_it_at_once_all_succeed(database: TestDatabase) {
    let mut programs = Vec::new();
    for number in 0..12 {
        let database = database.clone();
        // As `db migrate` and `db status` do it: each opens the database and asks, and every third one migrates.
        programs.push(tokio::spawn(async move {
            let store = database.open_with(2).await;
            let before = store.migrations().await?;
            if number % 3 == 0 {
                store.migrate().await?;
                store.require_current().await?;
            }
            store.close().await;
            Ok::<_, OpenError>(before.len())
        }));
    }
    for program in programs {
        assert_eq!(program.await.unwrap().unwrap(), LANDED.len());
    }
    assert_eq!(database.rows("_sqlx_migrations").await, 7);
}

async fn asking_about_a_new_database_changes_nothing_in_it(database: TestDatabase) {
    let store = database.open().await;
    assert_eq!(store.migrations().await.unwrap(), status(false));
    assert!(matches!(store.require_current().await, Err(OpenError::Behind(7))));
    assert!(!has_table(&database, "_sqlx_migrations").await);
}

/// An older node restarts beside a newer one.
async fn fault_19_a_newer_schema_is_used_and_left_as_it_is(db: Db) {
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        SELECT 4000, 'of tomorrow', TRUE, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
    db.database.execute(newer).await;
    let before = db.database.everything().await;
    for refused in
        [db.migrate().await, db.migrations().await.map(drop), db.database.open().await.migrate().await]
    {
        assert!(matches!(refused, Err(OpenError::Newer(4000))), "{refused:?}");
    }
    for store in [&db.store, &db.database.open().await] {
        store.require_current().await.unwrap();
        store.prepare().await.unwrap();
        store.check_readiness().await.unwrap();
    }
    assert_eq!(db.database.everything().await, before);
    db.database.execute("DELETE FROM _sqlx_migrations WHERE version = 3").await;
    assert!(matches!(db.prepare().await, Err(OpenError::Behind(1))));
}

async fn r_26_a_migration_edited_after_it_ran_is_refused(db: Db) {
    let edited = "UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 1) \
        WHERE version = 2";
    db.database.execute(edited).await;
    assert_names_the_second(&db.migrate().await);
    assert_names_the_second(&db.require_current().await);
}

fn assert_names_the_second(refused: &Result<(), OpenError>) {
    let Err(OpenError::Migrate(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains('2'), "{why}");
}

async fn a_failed_migration_leaves_nothing_half_done(database: TestDatabase) {
    let store = database.open().await;
    database.execute("CREATE TABLE grants (in_the_way TEXT)").await;
    let failed = store.migrate().await;
    assert!(matches!(failed, Err(OpenError::Migrate(_))), "{failed:?}");
    assert!(!has_table(&database, "codes").await, "made by the same migration, before it failed");
    database.execute("DROP TABLE grants").await;
    store.migrate().await.unwrap();
    store.require_current().await.unwrap();
}

async fn r_26_a_landed_migration_is_never_edited(db: Db) {
    let sql = match db.database.url.starts_with("sqlite:") {
        true => "SELECT version, lower(hex(checksum)) FROM _sqlx_migrations ORDER BY version",
        false => "SELECT version, encode(checksum, 'hex') FROM _sqlx_migrations ORDER BY version",
    };
    let landed = LANDED.map(|(version, _, checksum)| format!("Some({version}) | Some({checksum:?})"));
    assert_eq!(db.database.dump(sql).await, landed);
}

fn status(applied: bool) -> Vec<MigrationStatus> {
    let one =
        |(version, name, _): (i64, &str, &str)| MigrationStatus { version, name: name.to_owned(), applied };
    LANDED.map(one).to_vec()
}

async fn has_table(database: &TestDatabase, table: &str) -> bool {
    let sql = match database.url.starts_with("sqlite:") {
        true => format!("SELECT COUNT(*) FROM sqlite_master WHERE name = '{table}'"),
        false => format!("SELECT COUNT(*) FROM pg_class WHERE relname = '{table}'"),
    };
    database.number(&sql).await > 0
}
