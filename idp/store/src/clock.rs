//! The database's own clock.

use idp_core::time::Timestamp;

use crate::engine::connection::{Connection, Reader};
use crate::error::StoreError;

impl Reader {
    /// The time by the database's clock; `None` on SQLite, which only has this machine's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clock(&mut self) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
        match self.connection() {
            Connection::Sqlite(_) => Ok(None),
            Connection::Postgres(connection) => {
                let millis = sqlx::query_scalar(SQL).fetch_one(&mut **connection).await?;
                Ok(Some(Timestamp::from_millis(millis)))
            }
        }
    }
}
