//! The disk's limit: synced commits of one row each, through the same driver and with the same pragmas as the server's
//! store.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor};

/// Commits per second, into a database of its own in `folder`.
pub(super) async fn rate(time: Duration, folder: &Path) -> anyhow::Result<f64> {
    let file = folder.join("commits.db");
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let connected = SqliteConnection::connect_with(&options).await;
    let mut database = connected.with_context(|| format!("cannot open {}", file.display()))?;
    database.execute("CREATE TABLE IF NOT EXISTS probe (id BIGINT PRIMARY KEY, value TEXT NOT NULL)").await?;
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        let insert = sqlx::query("INSERT INTO probe (value) VALUES ($1)")
            .bind("a row of ordinary length, some sixty bytes in all");
        insert.execute(&mut database).await?;
        count += 1;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    database.close().await?;
    Ok(rate)
}
