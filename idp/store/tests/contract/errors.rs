//! Database errors, provoked: each becomes one that its caller can act on.

use idp_core::single_use::{ActivationLink, SingleUse};
use idp_core::time::HOUR;
use idp_store::StoreError;

use crate::given::{NOW, a_user, after};
use crate::harness::Db;

contract! {
    fault_05_a_wrong_statement_is_a_defect_and_costs_no_connection,
    fault_05_what_the_schema_forbids_is_a_defect,
}
contract! { postgres: fault_05_each_postgresql_code_becomes_the_right_error }
contract! { sqlite:
    fault_05_a_column_of_the_wrong_type_is_a_defect,
    fault_05_a_file_that_is_no_database_is_no_defect_of_ours,
}

async fn fault_05_a_wrong_statement_is_a_defect_and_costs_no_connection(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    db.database.execute("ALTER TABLE users RENAME TO people").await;
    for _ in 0..20 {
        let read = try_ask!(db, |r, ada| r.user(*ada));
        assert!(matches!(&read, Err(StoreError::Defect(why)) if why.contains("users")), "{read:?}");
        let written = try_tell!(db, |tx, ada| tx.raise_user_epoch(*ada));
        assert!(matches!(&written, Err(StoreError::Defect(why)) if why.contains("users")), "{written:?}");
    }
    db.database.execute("ALTER TABLE people RENAME TO users").await;
    tell!(db, |tx, ada| tx.raise_user_epoch(*ada));
    assert_eq!(ask!(db, |r, ada| r.user(*ada)).unwrap().epoch, 1);
}

/// The log text names the constraint. The row's content would be in PostgreSQL's DETAIL.
async fn fault_05_what_the_schema_forbids_is_a_defect(db: Db) {
    let (link, until) = (SingleUse::<ActivationLink>::generate().digest(), after(HOUR));
    tell!(db, |tx, link, until| tx.insert_single_use(link, "subject", *until));
    let again = try_tell!(db, |tx, link, until| tx.insert_single_use(link, "subject", *until));
    let Err(StoreError::Defect(why)) = again else { panic!("{again:?}") };
    assert!(why.contains("single_use") && !why.contains(link.as_str()), "{why}");
}

async fn fault_05_each_postgresql_code_becomes_the_right_error(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    let raises = async |code: &str| {
        db.database
            .execute(&format!(
                "CREATE OR REPLACE FUNCTION raises() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 RAISE EXCEPTION 'a value: %', repeat('x', 1000) USING ERRCODE = '{code}', DETAIL = 'detail'; \
                 END $$"
            ))
            .await;
    };
    raises("53100").await;
    db.database
        .execute("CREATE TRIGGER raises BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION raises()")
        .await;
    for (code, defect) in [
        ("53100", false),
        ("53200", false),
        ("57014", false),
        ("58030", false),
        ("55P03", false),
        ("40001", false),
        ("40P01", false),
        ("25006", false),
        ("57P01", false),
        ("08006", false),
        ("22P02", true),
        ("23514", true),
        ("42601", true),
        ("P0001", true),
    ] {
        raises(code).await;
        let written = try_tell!(db, |tx, ada| tx.raise_user_epoch(*ada));
        let why = match (&written, defect) {
            (Err(StoreError::Unavailable(why)), false) | (Err(StoreError::Defect(why)), true) => why,
            _ => panic!("{code}: {written:?}"),
        };
        assert!(why.starts_with(code) && why.len() < 300 && !why.contains("detail"), "{why}");
    }
    db.database.execute("DROP TRIGGER raises ON users").await;
    tell!(db, |tx, ada| tx.raise_user_epoch(*ada));
    assert_eq!(ask!(db, |r, ada| r.user(*ada)).unwrap().epoch, 1);
}

async fn fault_05_a_column_of_the_wrong_type_is_a_defect(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    db.database.execute("UPDATE users SET epoch = 'often'").await;
    let read = try_ask!(db, |r, ada| r.user(*ada));
    assert!(matches!(read, Err(StoreError::Defect(_))), "{read:?}");
    db.database.execute("UPDATE users SET epoch = 0").await;
    assert!(ask!(db, |r, ada| r.user(*ada)).is_some());
    assert!(ask!(db, |r| r.users(None, NOW.millis())).found.len() == 1);
}

async fn fault_05_a_file_that_is_no_database_is_no_defect_of_ours(db: Db) {
    let ada = a_user(&db, "ada@example.org").await.id;
    db.close().await;
    let file = crate::harness::sqlite::file(&db.database.url);
    let sound = std::fs::read(file).unwrap();
    let store = db.database.open().await;
    std::fs::write(file, "no database. ".repeat(1000)).unwrap();
    let read = try_ask!(store, |r, ada| r.user(*ada));
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    std::fs::write(file, sound).unwrap();
    assert!(ask!(store, |r, ada| r.user(*ada)).is_some());
}
