//! Databases for tests on either engine, and short ways to use them.

#[macro_use]
mod calls;
mod held_write;
mod postgres;
pub(crate) mod processes;
mod proxy;
mod raw;
pub(crate) mod sqlite;

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use idp_store::{Engine, Store};

pub(crate) use held_write::{HeldWrite, poll_once};
pub(crate) use proxy::Proxy;
pub(crate) use raw::TABLES;

/// How many connections per pool a test's store may have.
const CONNECTIONS: u32 = 5;

/// One test's database.
#[derive(Clone, Debug)]
pub(crate) struct TestDatabase {
    pub(crate) engine: Engine,
    pub(crate) url: String,
}

impl TestDatabase {
    /// Opens another store on the same database, as another node would.
    pub(crate) async fn open(&self) -> Store {
        self.open_with(CONNECTIONS).await
    }

    /// The same with another number of connections.
    pub(crate) async fn open_with(&self, connections: u32) -> Store {
        Store::open(&self.url, connections).await.unwrap()
    }
}

/// A migrated database and an open store on it.
pub(crate) struct Db {
    pub(crate) database: TestDatabase,
    pub(crate) store: Store,
}

impl Deref for Db {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

/// What a test starts with.
pub(crate) trait Start: Sized {
    /// Whether the database has a schema.
    const MIGRATED: bool;
    /// Opens what the test needs.
    async fn start(database: TestDatabase) -> Self;
}

impl Start for TestDatabase {
    const MIGRATED: bool = false;
    async fn start(database: TestDatabase) -> Self {
        database
    }
}

impl Start for Db {
    const MIGRATED: bool = true;
    async fn start(database: TestDatabase) -> Self {
        Self { store: database.open().await, database }
    }
}

/// Runs one test on a database of its own and removes the database afterwards, whatever the result.
pub(crate) fn run<S: Start>(engine: Engine, story: impl AsyncFnOnce(S)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let database = runtime.block_on(create(engine, S::MIGRATED));
    let told = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async { story(S::start(database.clone()).await).await });
    }));
    remove(&database);
    if let Err(panic) = told {
        resume_unwind(panic);
    }
}

async fn create(engine: Engine, migrated: bool) -> TestDatabase {
    let url = match engine {
        Engine::Sqlite => sqlite::create(migrated).await,
        Engine::Postgres => postgres::create(migrated).await,
    };
    TestDatabase { engine, url }
}

fn remove(database: &TestDatabase) {
    match database.engine {
        Engine::Sqlite => sqlite::remove(&database.url),
        Engine::Postgres => postgres::remove(&database.url),
    }
}

/// Whether `cargo xtask proof` asked for the long versions.
pub(crate) fn is_proof() -> bool {
    std::env::var_os("IDP_PROOF").is_some_and(|asked| asked == "1")
}

/// A number that no other database of this process has.
fn next_number() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
