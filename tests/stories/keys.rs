//! The key-encryption keys when nodes start: made once, never in addition to another node's, and named when they are
//! missing.

use std::path::Path;

use futures_util::future::join_all;
use idp_core::secret::Secret;
use idp_server::App;
use idp_server::clock::Clock;
use idp_server::config::Config;

use crate::support::database::Database;
use crate::support::{Engine, TestApp, on_both_engines};

const NODES: usize = 4;

/// The key files of a folder, by name.
fn keys_of(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".kek")).collect()
}

/// Starts a node for each configuration, all at once.
async fn start_all(nodes: Vec<Config>) -> Vec<Result<App, String>> {
    let start = |config: Config| async move {
        tokio::spawn(App::build(config, Clock::system())).await.unwrap().map_err(|error| error.to_string())
    };
    join_all(nodes.into_iter().map(start)).await
}

on_both_engines! {
    async fn r_19_nodes_that_share_a_folder_make_one_key_between_them(engine: Engine) {
        let (app, database) = (TestApp::start(engine).await, Database::new(engine).await);
        let folder = tempfile::tempdir().unwrap();
        let keys_dir = folder.path().join("new/keys");
        let config = Config { database_url: Secret::new(database.url()), keys_dir, ..app.config.clone() };
        for node in start_all(vec![config.clone(); NODES]).await {
            assert!(node.is_ok(), "{:?}", node.err());
        }
        assert_eq!(keys_of(&config.keys_dir).len(), 1);
    }

    async fn r_19_a_node_that_lost_the_race_leaves_no_key_and_names_the_one_it_needs(engine: Engine) {
        let (app, database) = (TestApp::start(engine).await, Database::new(engine).await);
        let folders: Vec<_> = (0..NODES).map(|_| tempfile::tempdir().unwrap()).collect();
        let config = |folder: &tempfile::TempDir| Config {
            database_url: Secret::new(database.url()),
            keys_dir: folder.path().to_owned(),
            ..app.config.clone()
        };
        let nodes = start_all(folders.iter().map(config).collect()).await;
        let made: Vec<String> = folders.iter().flat_map(|folder| keys_of(folder.path())).collect();
        assert_eq!(made.len(), 1, "{made:?}");
        for (node, folder) in nodes.iter().zip(&folders) {
            match node {
                Ok(_) => assert_eq!(keys_of(folder.path()), made),
                Err(refusal) => assert!(refusal.contains(&made[0]), "{refusal}"),
            }
        }
        assert_eq!(nodes.iter().filter(|node| node.is_ok()).count(), 1);
    }

    async fn r_19_a_start_without_the_key_is_refused_with_its_name_and_makes_nothing(engine: Engine) {
        let app = TestApp::start(engine).await;
        let needed = keys_of(&app.config.keys_dir).pop().unwrap();
        let empty = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        std::fs::copy(app.config.keys_dir.join(&needed), other.path().join("kek-another.kek")).unwrap();
        for folder in [empty.path().to_owned(), empty.path().join("nowhere"), other.path().to_owned()] {
            let before = keys_of(&folder);
            let config = Config { keys_dir: folder.clone(), ..app.config.clone() };
            let refusal = App::build(config, Clock::system()).await.err().unwrap().to_string();
            assert!(refusal.contains(&needed) && refusal.contains("put it there"), "{refusal}");
            assert_eq!(keys_of(&folder), before);
        }
        assert!(!empty.path().join("nowhere").exists());
    }

    async fn r_19_an_unfinished_key_left_by_a_crash_stops_no_later_start(engine: Engine) {
        let (app, database) = (TestApp::start(engine).await, Database::new(engine).await);
        let folder = tempfile::tempdir().unwrap();
        // Whatever a crash left in these files, no start may make a key of it.
        for name in ["unfinished", ".lock"] {
            std::fs::write(folder.path().join(name), "half a ke").unwrap();
        }
        let config = Config {
            database_url: Secret::new(database.url()),
            keys_dir: folder.path().to_owned(),
            ..app.config.clone()
        };
        for _ in 0..2 {
            App::build(config.clone(), Clock::system()).await.unwrap();
            assert_eq!(keys_of(folder.path()).len(), 1);
            assert!(!folder.path().join("unfinished").exists());
        }
    }
}
