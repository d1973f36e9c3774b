//! One database per test, copied from one that was migrated once.

use std::path::Path;

use idp_store::Store;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

use super::next_number;

const VARIABLE: &str = "IDP_TEST_POSTGRES_URL";
const PREFIX: &str = "idp_contract_";

/// The migrated database that others are copied from.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

pub(crate) async fn create(migrated: bool) -> String {
    let name = new_name();
    let copied = match migrated {
        true => format!("TEMPLATE {}", TEMPLATE.get_or_init(template).await),
        false => "TEMPLATE template0".to_owned(),
    };
    administer(&format!("CREATE DATABASE {name} {copied}")).await;
    url_of(&name)
}

/// Drops a database, in a thread of its own: the server makes a checkpoint for each drop, and several that wait share
/// one. Whatever is left when the tests end is cleaned up by the next run.
pub(crate) fn remove(url: &str) {
    let (_, name) = url.rsplit_once('/').unwrap();
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(administer(&drop));
    });
}

async fn template() -> String {
    remove_left_overs().await;
    let name = new_name();
    administer(&format!("CREATE DATABASE {name} TEMPLATE template0")).await;
    let store = Store::open(&url_of(&name), 1).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await; // a database in use cannot be copied
    name
}

/// A run's template stays, because nothing runs after the last test, and so does everything of a killed run. The next
/// run removes it when it finds that the process is gone.
async fn remove_left_overs() {
    let mut admin = connect().await;
    let sql = "SELECT datname FROM pg_database WHERE datname LIKE 'idp\\_contract\\_%'";
    let names: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut admin).await.unwrap();
    for name in names {
        let process = name.trim_start_matches(PREFIX).split('_').next().unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            // Another run may be cleaning up at the same time.
            let _ = admin.execute(AssertSqlSafe(sql)).await;
        }
    }
}

fn new_name() -> String {
    format!("{PREFIX}{}_{}", std::process::id(), next_number())
}

fn server() -> String {
    let url = std::env::var(VARIABLE);
    url.unwrap_or_else(|_| panic!("{VARIABLE} is not set: run `cargo xtask test`, which starts a PostgreSQL"))
}

fn url_of(name: &str) -> String {
    format!("{}/{name}", server().rsplit_once('/').unwrap().0)
}

async fn connect() -> PgConnection {
    PgConnection::connect(&server()).await.expect("the test PostgreSQL answers")
}

async fn administer(sql: &str) {
    let mut admin = connect().await;
    admin.execute(AssertSqlSafe(sql)).await.unwrap();
    admin.close().await.unwrap();
}
