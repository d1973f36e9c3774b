//! A throw-away database on a PostgreSQL server of this machine.

use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use url::Url;

use crate::loopback::check_database;

/// The database of this run.
pub(crate) struct Database {
    server: Url,
    name: String,
    url: String,
}

impl Database {
    /// Creates an empty database. The server must be on this machine.
    pub(crate) async fn create(server: &str) -> anyhow::Result<Self> {
        let server = check_database(server)?;
        let name = format!("idp_load_{}", std::process::id());
        let mut url = server.clone();
        url.set_path(&name);
        let database = Self { server, name, url: url.into() };
        database.administer("CREATE DATABASE").await?;
        Ok(database)
    }

    /// Its URL, which may contain a password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Drops the database.
    pub(crate) async fn drop(self) -> anyhow::Result<()> {
        self.administer("DROP DATABASE IF EXISTS").await
    }

    async fn administer(&self, statement: &str) -> anyhow::Result<()> {
        let connected = PgConnection::connect(self.server.as_str()).await;
        let mut connection = connected.context("the PostgreSQL server cannot be reached")?;
        // The name consists of a constant and a process id.
        let sql = format!("{statement} {}", self.name);
        connection.execute(AssertSqlSafe(sql)).await.with_context(|| statement.to_owned())?;
        connection.close().await.context("closing the connection")
    }
}
