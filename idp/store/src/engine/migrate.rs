//! Migrations: one set for both engines, embedded in the binary.

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::{Connection, PgConnection, SqliteConnection};

use super::pool::Pool;
use super::store::{Pools, Store};
use crate::error::{OpenError, is_broken_file};

pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// A migration and whether the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Whether it has been applied.
    pub applied: bool,
}

impl Store {
    /// Migrates the schema to this program's, or leaves a newer program's schema as it is: migrations only add, so an
    /// older node can run, and restart, beside a newer one.
    ///
    /// # Errors
    /// [`OpenError::Migrate`] if a migration fails, [`OpenError::Behind`] if one of ours is missing beside newer
    /// ones.
    pub async fn prepare(&self) -> Result<(), OpenError> {
        match self.migrate().await {
            Err(OpenError::Newer(migration)) => {
                self.require_current().await?;
                tracing::warn!(
                    migration,
                    "a newer version has migrated the database; this version can run alongside it"
                );
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Migrates the schema to this program's. Several nodes may do so at once.
    ///
    /// # Errors
    /// [`OpenError::Newer`] if a newer program has migrated it, [`OpenError::Migrate`] if a migration fails.
    pub async fn migrate(&self) -> Result<(), OpenError> {
        let outcome = match self.pools() {
            Pools::Sqlite(pool) => migrate_sqlite(pool).await,
            Pools::Postgres(pool) => migrate_postgres(pool).await,
        };
        outcome.map_err(|error| match error {
            MigrateError::VersionMissing(version) => OpenError::Newer(version),
            other => migrate_error(other),
        })
    }

    /// Which migrations the database has. Writes nothing: a database that was never migrated has no table for them.
    ///
    /// # Errors
    /// [`OpenError`], including [`OpenError::Newer`], and [`OpenError::Migrate`] if a migration was edited after it
    /// had run.
    pub async fn migrations(&self) -> Result<Vec<MigrationStatus>, OpenError> {
        let applied = self.applied().await?;
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
        if let Some(newer) = applied.iter().find(|version| **version > newest) {
            return Err(OpenError::Newer(*newer));
        }
        let status = MIGRATIONS.iter().map(|migration| MigrationStatus {
            version: migration.version,
            name: migration.description.to_string(),
            applied: applied.contains(&migration.version),
        });
        Ok(status.collect())
    }

    /// Refuses a database that lacks a migration of this program. It may have newer ones as well.
    ///
    /// # Errors
    /// [`OpenError::Behind`], and [`OpenError::Migrate`] if a migration was edited after it had run.
    pub async fn require_current(&self) -> Result<(), OpenError> {
        let applied = self.applied().await?;
        let missing = MIGRATIONS.iter().filter(|known| !applied.contains(&known.version)).count();
        if missing == 0 { Ok(()) } else { Err(OpenError::Behind(missing)) }
    }

    async fn applied(&self) -> Result<Vec<i64>, OpenError> {
        let applied = match self.readers() {
            Pools::Sqlite(pool) => applied_sqlite(pool).await,
            Pools::Postgres(pool) => applied_postgres(pool).await,
        };
        applied.map_err(migrate_error)
    }
}

/// A broken file is no failed migration: SQLite notices it only when something is read.
fn migrate_error(error: MigrateError) -> OpenError {
    match error {
        MigrateError::Execute(error) if is_broken_file(&error) => OpenError::Connect(error),
        other => OpenError::Migrate(other.to_string()),
    }
}

async fn applied_sqlite(pool: &Pool<SqliteConnection>) -> Result<Vec<i64>, MigrateError> {
    const SQL: &str = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
    let mut connection = pool.connect().await?;
    match sqlx::query_scalar::<_, i64>(SQL).fetch_one(&mut connection).await? {
        0 => Ok(Vec::new()),
        _ => applied(&mut connection).await,
    }
}

async fn applied_postgres(pool: &Pool<PgConnection>) -> Result<Vec<i64>, MigrateError> {
    const SQL: &str = "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')";
    let mut connection = pool.connect().await?;
    match sqlx::query_scalar::<_, i64>(SQL).fetch_one(&mut connection).await? {
        0 => Ok(Vec::new()),
        _ => applied(&mut connection).await,
    }
}

async fn applied<C: Migrate>(connection: &mut C) -> Result<Vec<i64>, MigrateError> {
    let applied = connection.list_applied_migrations("_sqlx_migrations").await?;
    for known in MIGRATIONS.iter() {
        if applied.iter().any(|row| row.version == known.version && row.checksum != known.checksum) {
            return Err(MigrateError::VersionMismatch(known.version));
        }
    }
    Ok(applied.into_iter().map(|migration| migration.version).collect())
}

/// Runs in one transaction that is the writer from the start, because sqlx has no lock between two programs on one
/// file. Uses the writer's own connection, because SQLite moves its log into the file when the last connection that
/// used it closes.
async fn migrate_sqlite(pool: &Pool<SqliteConnection>) -> Result<(), MigrateError> {
    let mut connection = pool.acquire().await.map_err(|error| MigrateError::Source(error.into()))?;
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    MIGRATIONS.run_direct(None, &mut *tx, false).await?;
    tx.commit().await?;
    connection.give_back();
    Ok(())
}

/// Uses a connection that is closed afterwards: migrating may take longer than a request, and sqlx leaves its lock
/// between nodes behind when a migration fails.
async fn migrate_postgres(pool: &Pool<PgConnection>) -> Result<(), MigrateError> {
    let mut connection = pool.connect().await?;
    sqlx::raw_sql("SET statement_timeout = 0; SET lock_timeout = 0").execute(&mut connection).await?;
    let outcome = MIGRATIONS.run_direct(None, &mut connection, false).await;
    connection.close().await?;
    outcome
}
