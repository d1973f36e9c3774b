//! Walks through the hosted pages.

use idp_core::flow::FlowTarget;
use idp_core::ids::FlowId;
use idp_core::secret::Digest;
use idp_core::time::Timestamp;

use crate::db::{Reader, Tx, on};
use crate::error::StoreError;
use crate::row::{Origin, moment};

/// A walk that is open.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its id, part of its URL.
    pub id: FlowId,
    /// The browser it is bound to.
    pub browser: Digest,
    /// What it is for.
    pub target: FlowTarget,
    /// When it began.
    pub started_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct FlowRow {
    id: String,
    browser_digest: String,
    target: String,
    started_at: i64,
}

impl Reader {
    /// An open walk that has not expired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn flow(&mut self, id: FlowId, now: Timestamp) -> Result<Option<Flow>, StoreError> {
        const SQL: &str = "SELECT id, browser_digest, target, started_at FROM flows \
            WHERE id = $1 AND closed_at IS NULL AND expires_at > $2";
        let row: Option<FlowRow> = on!(self, c => sqlx::query_as(SQL)
            .bind(id.to_string()).bind(now.millis()).fetch_optional(c).await)?;
        let Some(row) = row else { return Ok(None) };
        let origin = Origin { table: "flows", id: &row.id };
        Ok(Some(Flow {
            id,
            browser: origin.value("browser_digest", Digest::from_stored(&row.browser_digest))?,
            target: origin.value("target", serde_json::from_str(&row.target).ok())?,
            started_at: moment(row.started_at),
        }))
    }
}

impl Tx {
    /// Writes a new walk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_flow(&mut self, flow: &Flow, expires_at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO flows (id, browser_digest, target, started_at, expires_at) \
            VALUES ($1, $2, $3, $4, $5)";
        let target = serde_json::to_string(&flow.target)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        on!(self, c => sqlx::query(SQL)
            .bind(flow.id.to_string()).bind(flow.browser.as_str()).bind(target)
            .bind(flow.started_at.millis()).bind(expires_at.millis())
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Closes a walk. `false`: it was closed already, somebody else answered the application.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_flow(&mut self, id: FlowId, now: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE flows SET closed_at = $2 WHERE id = $1 AND closed_at IS NULL";
        let closed = on!(self, c => sqlx::query(SQL)
            .bind(id.to_string()).bind(now.millis()).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(closed == 1)
    }
}
