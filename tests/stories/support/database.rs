//! A database of its own for each story.

use sqlx::{Connection, Executor, PgConnection};

use super::Engine;

const FILE: &str = "idp.db";

/// Deleted when the story ends.
pub(crate) struct Database {
    kind: Kind,
}

enum Kind {
    Sqlite(tempfile::TempDir),
    Postgres { server: String, name: String },
}

impl Database {
    /// An empty database.
    pub(crate) async fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self { kind: Kind::Sqlite(tempfile::tempdir().unwrap()) },
            Engine::Postgres => Self::postgres("template1").await,
        }
    }

    /// An embedded database with this content.
    pub(crate) fn sqlite(content: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        super::template::write(&dir.path().join(FILE), content);
        Self { kind: Kind::Sqlite(dir) }
    }

    /// A copy of a database on the test server; nothing may be connected to the original.
    pub(crate) async fn postgres(template: &str) -> Self {
        let server = std::env::var("IDP_TEST_POSTGRES_URL")
            .expect("set IDP_TEST_POSTGRES_URL, or run the tests with `cargo xtask test`");
        let name = format!("story_{}", unique());
        let mut admin = PgConnection::connect(&server).await.unwrap();
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        admin.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
        Self { kind: Kind::Postgres { server, name } }
    }

    /// The name of a PostgreSQL database.
    pub(crate) fn name(&self) -> &str {
        match &self.kind {
            Kind::Sqlite(_) => panic!("an embedded database has no name"),
            Kind::Postgres { name, .. } => name,
        }
    }

    pub(crate) fn url(&self) -> String {
        match &self.kind {
            Kind::Sqlite(dir) => format!("sqlite:{}/{FILE}", dir.path().display()),
            Kind::Postgres { server, name } => {
                let mut url = url::Url::parse(server).unwrap();
                url.set_path(name);
                url.to_string()
            }
        }
    }

    /// The raw files of an embedded database: deleted data may still be in them.
    pub(crate) fn bytes(&self) -> Vec<Vec<u8>> {
        let Kind::Sqlite(dir) = &self.kind else { return Vec::new() };
        let files: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= 2, "{files:?}");
        files.iter().map(|file| std::fs::read(file).unwrap()).collect()
    }
}

fn unique() -> String {
    idp_core::secret::random_bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Drop for Database {
    fn drop(&mut self) {
        let Kind::Postgres { server, name } = &self.kind else { return };
        let (server, drop) = (server.clone(), format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        // `drop` is not async: a separate thread does it, and we wait for the thread.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                if let Ok(mut admin) = PgConnection::connect(&server).await {
                    let _ = admin.execute(sqlx::AssertSqlSafe(drop)).await;
                }
            });
        });
        let _ = thread.join();
    }
}
