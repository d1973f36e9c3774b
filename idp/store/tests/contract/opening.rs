//! Opening a database.

use std::os::unix::fs::PermissionsExt;

use idp_core::ids::UserId;
use idp_store::{Engine, OpenError, Store};

use crate::given::{NOW, a_user};
use crate::harness::{Db, TestDatabase, sqlite};

contract! {
    a_store_knows_its_engine,
    two_nodes_open_one_new_database_at_once,
    a_url_of_no_database_is_refused_without_repeating_a_password,
}
contract! { sqlite:
    ls_08_a_new_file_and_its_companions_are_readable_by_their_owner_only,
    a_file_is_in_write_ahead_mode,
    a_missing_folder_is_refused,
}
contract! { sqlite:
    the_file_of_a_url_is_the_one_that_is_opened,
}
contract! { postgres:
    a_missing_database_on_a_server_is_refused,
    a_server_that_cannot_be_reached_is_named_without_its_password,
}

async fn a_store_knows_its_engine(db: Db) {
    assert_eq!(db.engine(), db.database.engine);
    assert_eq!(db.engine() == Engine::Sqlite, db.database.url.starts_with("sqlite:"));
}

async fn two_nodes_open_one_new_database_at_once(database: TestDatabase) {
    let nodes: Vec<_> = (0..8)
        .map(|_| {
            let database = database.clone();
            tokio::spawn(async move { Store::open(&database.url, 2).await.map(drop) })
        })
        .collect();
    for node in nodes {
        node.await.unwrap().unwrap();
    }
}

async fn a_url_of_no_database_is_refused_without_repeating_a_password(_database: TestDatabase) {
    for url in ["", "mysql://ada:hunter2@db/idp", "idp.db", "hunter2", "postgres://ada:hunter2@[::1/idp"] {
        let Err(refused) = Store::open(url, 1).await else { panic!("{url} was opened") };
        assert!(matches!(refused, OpenError::Url(_)), "{url}: {refused:?}");
        let said = refused.to_string();
        assert!(said.contains("is not a database URL") && !said.contains("ada:"), "{said}");
    }
}

async fn ls_08_a_new_file_and_its_companions_are_readable_by_their_owner_only(database: TestDatabase) {
    let store = database.open().await;
    store.migrate().await.unwrap();
    a_user(&store, "ada@example.org").await;
    let mut files = 0;
    for file in std::fs::read_dir(sqlite::file(&database.url).parent().unwrap()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        files += 1;
    }
    assert_eq!(files, 3, "the database, its log and the log's index");
}

async fn a_file_is_in_write_ahead_mode(db: Db) {
    assert_eq!(db.database.dump("PRAGMA journal_mode").await, [r#"Some("wal")"#]);
}

async fn a_missing_folder_is_refused(database: TestDatabase) {
    let url = database.url.replace("idp.db", "nowhere/idp.db");
    assert!(matches!(Store::open(&url, 1).await.err(), Some(OpenError::Connect(_))));
}

async fn a_missing_database_on_a_server_is_refused(database: TestDatabase) {
    let no_such_name = Store::open(&format!("{}_not", database.url), 1).await;
    let said = no_such_name.err().unwrap().to_string();
    assert!(
        said.contains("refused the connection: database \"") && said.ends_with("_not\" does not exist"),
        "{said}"
    );
    let store = database.open().await;
    let id = UserId::new(NOW);
    assert!(try_ask!(store, |r, id| r.user(*id)).is_err(), "there is no schema yet, and no panic");
}

async fn a_server_that_cannot_be_reached_is_named_without_its_password(_database: TestDatabase) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, expected) in [
        (format!("postgres://ada:hunter2@{free}/idp"), format!("cannot reach {free}: connection refused")),
        (
            "postgres:///idp?host=/nowhere&port=7&user=ada&password=hunter2".to_owned(),
            "cannot reach /nowhere/.s.PGSQL.7: no such file or directory".to_owned(),
        ),
    ] {
        let refused = Store::open(&url, 1).await.err().unwrap();
        assert_eq!(refused.to_string(), expected);
        assert!(!format!("{refused:?}").contains("hunter2"));
    }
}

async fn the_file_of_a_url_is_the_one_that_is_opened(database: TestDatabase) {
    let folder = sqlite::file(&database.url).parent().unwrap().display().to_string();
    for (written, name) in
        [("my%20own.db", "my own.db"), ("a%3fb%25%23.db?mode=rw", "a?b%#.db"), ("b.db", "b.db")]
    {
        let url = format!("sqlite:{folder}/{written}");
        let file = idp_store::database_file(&url).unwrap().unwrap();
        assert_eq!(file, std::path::Path::new(&folder).join(name));
        assert!(!file.exists());
        Store::open(&url, 1).await.unwrap().close().await;
        assert!(file.exists(), "{file:?}");
    }
    assert_eq!(idp_store::database_file("postgres://idp@localhost/idp").unwrap(), None);
    // SQLite would take these for another spelling of a name, so the file that is checked would not be the one that
    // is opened.
    for url in ["sqlite:file:idp.db", "sqlite:%66ile:idp.db"] {
        assert!(matches!(idp_store::database_file(url), Err(OpenError::Url(_))), "{url}");
        assert!(matches!(Store::open(url, 1).await.err(), Some(OpenError::Url(_))), "{url}");
    }
}
