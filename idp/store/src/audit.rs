//! The audit trail: one row in the transaction of the action it records. If the row cannot be written, the action does
//! not happen.

use idp_core::audit::{AuditEvent, AuditRecord};
use idp_core::client::ClientId;
use idp_core::ids::AuditId;

use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;

impl Tx {
    /// Writes one record.
    ///
    /// # Errors
    /// Any [`StoreError`]; the action must then fail as well.
    pub async fn audit(&mut self, record: &AuditRecord) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO audit (id, at, event, actor, subject, client_id, client_address, \
            request_id, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let (id, actor) = (AuditId::new(record.at).to_string(), record.actor.to_stored());
        let client_id = record.client_id.as_ref().map(ClientId::as_str);
        on!(self, c => sqlx::query(SQL)
            .bind(id).bind(record.at.millis()).bind(record.event.as_str()).bind(actor)
            .bind(record.subject.as_deref()).bind(client_id).bind(record.source.address.as_deref())
            .bind(record.source.request_id.as_deref()).bind(record.detail)
            .execute(c).await.map(drop))?;
        self.events.push(record.clone());
        Ok(())
    }
}

impl Reader {
    /// How many records of an event there are about a subject, or about any when `None`. Only tests ask; the product
    /// only writes the trail.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit_count(&mut self, event: AuditEvent, subject: Option<&str>) -> Result<i64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM audit WHERE event = $1 AND ($2 IS NULL OR subject = $2)";
        Ok(on!(self, c => sqlx::query_scalar(SQL).bind(event.as_str()).bind(subject).fetch_one(c).await)?)
    }
}
