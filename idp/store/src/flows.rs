//! Flows: one browser's way through the hosted pages, and what it is for.

use idp_core::flow::FlowTarget;
use idp_core::ids::FlowId;
use idp_core::secret::Digest;
use idp_core::time::Timestamp;
use serde_json::Value;

use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;
use crate::row::{RowRef, note_members, timestamp, unless_newer};

/// An open flow.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its id, part of its URL.
    pub id: FlowId,
    /// The browser it belongs to.
    pub browser: Digest,
    /// What it is for.
    pub target: FlowTarget,
    /// When it began.
    pub started_at: Timestamp,
}

/// A flow that has ended. Its row is kept for a while, so that a page that is requested again can say what became of
/// it.
#[derive(Clone, Debug)]
pub struct EndedFlow {
    /// The flow as it was.
    pub flow: Flow,
    /// Whether it was answered; otherwise it expired.
    pub answered: bool,
    /// The response, sealed for this row. `None` if an older node closed the flow.
    pub sealed_response: Option<String>,
}

#[derive(sqlx::FromRow)]
struct FlowRow {
    id: String,
    browser_digest: String,
    target: String,
    started_at: i64,
    closed_at: Option<i64>,
    sealed_response: Option<String>,
}

impl FlowRow {
    fn parse(self, id: FlowId) -> Result<Flow, StoreError> {
        let row_ref = RowRef { table: "flows", id: &self.id };
        Ok(Flow {
            id,
            browser: row_ref.value("browser_digest", Digest::from_stored(&self.browser_digest))?,
            target: self.target(row_ref)?,
            started_at: timestamp(self.started_at),
        })
    }
}

impl FlowRow {
    fn target(&self, row_ref: RowRef<'_>) -> Result<FlowTarget, StoreError> {
        let stored: Value = row_ref.value("target", serde_json::from_str(&self.target).ok())?;
        if let Some(kind) = stored.get("for").and_then(Value::as_str) {
            row_ref.known_word("target", FlowTarget::KINDS.contains(&kind).then_some(()))?;
        }
        let target: FlowTarget = row_ref.value("target", serde_json::from_value(stored.clone()).ok())?;
        if let Ok(read) = serde_json::to_value(&target) {
            note_members("flows", "target", &stored, &read);
        }
        Ok(target)
    }
}

impl Reader {
    /// An open flow that has not expired. A newer node's flow for a target this version does not know counts as none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn flow(&mut self, id: FlowId, now: Timestamp) -> Result<Option<Flow>, StoreError> {
        const SQL: &str = "SELECT id, browser_digest, target, started_at, closed_at, sealed_response FROM flows \
            WHERE id = $1 AND closed_at IS NULL AND expires_at > $2";
        let row: Option<FlowRow> = on!(self, c => sqlx::query_as(SQL)
            .bind(id.to_string()).bind(now.millis()).fetch_optional(c).await)?;
        let Some(row) = row else { return Ok(None) };
        unless_newer(row.parse(id))
    }

    /// A flow that was answered or has expired, as long as its row is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ended_flow(&mut self, id: FlowId, now: Timestamp) -> Result<Option<EndedFlow>, StoreError> {
        const SQL: &str = "SELECT id, browser_digest, target, started_at, closed_at, sealed_response FROM flows \
            WHERE id = $1 AND (closed_at IS NOT NULL OR expires_at <= $2)";
        let row: Option<FlowRow> = on!(self, c => sqlx::query_as(SQL)
            .bind(id.to_string()).bind(now.millis()).fetch_optional(c).await)?;
        let Some(row) = row else { return Ok(None) };
        let (answered, sealed_response) = (row.closed_at.is_some(), row.sealed_response.clone());
        let flow = unless_newer(row.parse(id))?;
        Ok(flow.map(|flow| EndedFlow { flow, answered, sealed_response }))
    }
}

impl Tx {
    /// Writes a new flow.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_flow(&mut self, flow: &Flow, expires_at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO flows (id, browser_digest, target, started_at, expires_at) \
            VALUES ($1, $2, $3, $4, $5)";
        let target =
            serde_json::to_string(&flow.target).map_err(|error| StoreError::Defect(error.to_string()))?;
        on!(self, c => sqlx::query(SQL)
            .bind(flow.id.to_string()).bind(flow.browser.as_str()).bind(target)
            .bind(flow.started_at.millis()).bind(expires_at.millis())
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Closes a flow and stores its sealed response with it, in one statement. `false`: it was already closed, and
    /// somebody else answered the client.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_flow(
        &mut self,
        id: FlowId,
        sealed_response: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE flows SET closed_at = $2, sealed_response = $3 WHERE id = $1 AND closed_at IS NULL";
        let closed = on!(self, c => sqlx::query(SQL)
            .bind(id.to_string()).bind(now.millis()).bind(sealed_response)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(closed == 1)
    }
}
