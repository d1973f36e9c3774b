//! What the database holds, seen from outside the product: to check that nothing changed, and to break things.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use super::{Engine, TestApp};

/// Every row of every table, as text, sorted. It omits when a session was last used, because looking counts as use, and
/// the heartbeat, which changes with every probe.
pub(crate) type State = BTreeMap<String, Vec<String>>;

/// Tables whose rows may change although a request was refused.
const TRACES: [&str; 2] = ["audit", "throttles"];

enum Outside {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Outside {
    async fn open(app: &TestApp) -> Self {
        Self::connect(app.engine(), &app.database.url()).await
    }

    async fn connect(engine: Engine, url: &str) -> Self {
        match engine {
            Engine::Sqlite => Self::Sqlite(SqliteConnection::connect(url).await.unwrap()),
            Engine::Postgres => Self::Postgres(PgConnection::connect(url).await.unwrap()),
        }
    }

    async fn texts(&mut self, sql: String) -> Vec<String> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(db) => sqlx::query_scalar(sql).fetch_all(db).await.unwrap(),
            Self::Postgres(db) => sqlx::query_scalar(sql).fetch_all(db).await.unwrap(),
        }
    }

    async fn tables(&mut self) -> Vec<String> {
        let sql = match self {
            Self::Sqlite(_) => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            }
            Self::Postgres(_) => "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
        };
        let tables = self.texts(sql.to_owned()).await;
        tables.into_iter().filter(|table| !table.starts_with('_') && table != "heartbeat").collect()
    }

    async fn columns(&mut self, table: &str) -> Vec<String> {
        let sql = match self {
            Self::Sqlite(_) => format!("SELECT name FROM pragma_table_info('{table}')"),
            Self::Postgres(_) => format!(
                "SELECT column_name::text FROM information_schema.columns WHERE table_name = '{table}' \
                 ORDER BY ordinal_position"
            ),
        };
        let uses = |name: &String| {
            table.starts_with("sessions") && ["last_seen_at", "idle_expires_at"].contains(&name.as_str())
        };
        self.texts(sql).await.into_iter().filter(|name| !uses(name)).collect()
    }

    /// A query that returns every row of every table as `table row`.
    async fn everything(&mut self) -> String {
        let mut parts = Vec::new();
        for table in self.tables().await {
            let columns = self.columns(&table).await;
            let texts: Vec<_> =
                columns.iter().map(|name| format!("COALESCE(CAST({name} AS TEXT), '-')")).collect();
            parts.push(format!("SELECT '{table} ' || {} FROM {table}", texts.join(" || ' | ' || ")));
        }
        parts.join(" UNION ALL ")
    }
}

/// Looks at the same tables repeatedly, with one query each time.
pub(crate) struct Watch {
    db: Outside,
    sql: String,
}

impl Watch {
    /// A view of the tables and columns that this database has now.
    pub(crate) async fn of(engine: Engine, url: &str) -> Self {
        let mut db = Outside::connect(engine, url).await;
        let sql = db.everything().await;
        Self { db, sql }
    }

    /// Everything stored now.
    pub(crate) async fn look(&mut self) -> State {
        let mut state = State::new();
        for line in self.db.texts(self.sql.clone()).await {
            let (table, row) = line.split_once(' ').unwrap();
            state.entry(table.to_owned()).or_default().push(row.to_owned());
        }
        state.values_mut().for_each(|rows| rows.sort());
        state
    }
}

impl TestApp {
    pub(crate) fn engine(&self) -> Engine {
        match self.store().engine() {
            idp_store::Engine::Sqlite => Engine::Sqlite,
            idp_store::Engine::Postgres => Engine::Postgres,
        }
    }

    /// Everything stored, except the traces that a refused request may leave.
    pub(crate) async fn state(&self) -> State {
        let mut state = self.whole_state().await;
        state.retain(|table, _| !TRACES.contains(&table.as_str()));
        state
    }

    /// Everything stored.
    pub(crate) async fn whole_state(&self) -> State {
        self.watch().await.look().await
    }

    /// A view of everything stored.
    pub(crate) async fn watch(&self) -> Watch {
        Watch::of(self.engine(), &self.database.url()).await
    }

    /// Runs a statement behind the product's back.
    pub(crate) async fn sql(&self, sql: &str) {
        let text = AssertSqlSafe(sql.to_owned());
        match Outside::open(self).await {
            Outside::Sqlite(mut db) => {
                // References in other tables keep the old name of a renamed table.
                sqlx::raw_sql("PRAGMA legacy_alter_table = ON").execute(&mut db).await.unwrap();
                sqlx::raw_sql(text).execute(&mut db).await.unwrap();
            }
            Outside::Postgres(mut db) => drop(sqlx::raw_sql(text).execute(&mut db).await.unwrap()),
        }
    }

    /// The rows of a query with one text column.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        Outside::open(self).await.texts(sql.to_owned()).await
    }

    /// How many emails an address has received, once the outbox is empty: an email leaves it a moment after it arrives.
    pub(crate) async fn mails_in_all(&self, address: &str) -> usize {
        for _ in 0..600 {
            if self.count("outbox", "1 = 1").await == 0 {
                return self.sink.mails_to(address).len();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("a mail stays in the outbox");
    }

    /// How many rows of a table match a condition.
    pub(crate) async fn count(&self, table: &str, condition: &str) -> usize {
        self.texts(&format!("SELECT '' FROM {table} WHERE {condition}")).await.len()
    }
}
