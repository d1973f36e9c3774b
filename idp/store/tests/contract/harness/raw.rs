//! Direct access to the tables: to corrupt rows, and to check that nothing changed.

use idp_store::Engine;
use sqlx::{
    AssertSqlSafe, ColumnIndex, Connection, Decode, Executor, PgConnection, Row, SqliteConnection, Type,
};

use super::TestDatabase;

/// Every table except `heartbeat`, which every readiness check changes.
pub(crate) const TABLES: [&str; 20] = [
    "users", "registrations", "single_use", "throttles", "sessions", "known_browsers", "roles", "groups",
    "user_roles", "user_groups", "group_roles", "clients", "epochs", "flows", "consents", "codes", "grants",
    "keys", "outbox", "audit",
];

impl TestDatabase {
    /// Runs a statement and returns how many rows it changed.
    pub(crate) async fn execute(&self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql);
        match self.engine {
            Engine::Sqlite => self.sqlite().await.execute(sql).await.unwrap().rows_affected(),
            Engine::Postgres => self.postgres().await.execute(sql).await.unwrap().rows_affected(),
        }
    }

    /// The single number a query returns.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql);
        match self.engine {
            Engine::Sqlite => sqlx::query_scalar(sql).fetch_one(&mut self.sqlite().await).await.unwrap(),
            Engine::Postgres => sqlx::query_scalar(sql).fetch_one(&mut self.postgres().await).await.unwrap(),
        }
    }

    /// How many rows a table has.
    pub(crate) async fn rows(&self, table: &str) -> i64 {
        self.number(&format!("SELECT COUNT(*) FROM {table}")).await
    }

    /// A query's result, one string per row.
    pub(crate) async fn dump(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql);
        match self.engine {
            Engine::Sqlite => {
                let rows = sqlx::query(sql).fetch_all(&mut self.sqlite().await).await.unwrap();
                rows.iter().map(shown).collect()
            }
            Engine::Postgres => {
                let rows = sqlx::query(sql).fetch_all(&mut self.postgres().await).await.unwrap();
                rows.iter().map(shown).collect()
            }
        }
    }

    /// The whole database, for checking that nothing changed.
    pub(crate) async fn everything(&self) -> Vec<String> {
        let mut all = Vec::new();
        for table in TABLES {
            let mut rows = self.dump(&format!("SELECT * FROM {table}")).await;
            rows.sort();
            all.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
        }
        all
    }

    pub(crate) async fn sqlite(&self) -> SqliteConnection {
        SqliteConnection::connect(&self.url).await.unwrap()
    }

    async fn postgres(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

fn shown<R: Row>(row: &R) -> String
where
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> bool: Decode<'r, R::Database> + Type<R::Database>,
{
    let column = |index: usize| {
        let text = row.try_get::<Option<String>, _>(index).map(|value| format!("{value:?}"));
        let number = || row.try_get::<Option<i64>, _>(index).map(|value| format!("{value:?}"));
        let truth = || row.try_get::<Option<bool>, _>(index).map(|value| format!("{value:?}"));
        text.or_else(|_| number()).or_else(|_| truth()).unwrap()
    };
    (0..row.len()).map(column).collect::<Vec<_>>().join(" | ")
}
