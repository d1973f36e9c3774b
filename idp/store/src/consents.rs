//! What people consented to.

use idp_core::client::ClientId;
use idp_core::ids::UserId;
use idp_core::scope::Scope;
use idp_core::time::Timestamp;

use crate::engine::connection::{Tx, on};
use crate::error::StoreError;
use crate::row::RowRef;

impl Tx {
    /// Adds a scope to what a person has consented to for a client.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remember_consent(
        &mut self,
        user: UserId,
        client: &ClientId,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // Locks the row, so that of two simultaneous consents the second adds to the first.
        const LOCK: &str = "INSERT INTO consents (user_id, client_id, scope, granted_at) VALUES ($1, $2, '', $3) \
            ON CONFLICT (user_id, client_id) DO UPDATE SET user_id = excluded.user_id RETURNING scope";
        const SAVE: &str =
            "UPDATE consents SET scope = $3, granted_at = $4 WHERE user_id = $1 AND client_id = $2";
        let id = user.to_string();
        let before: String = on!(self, c => sqlx::query_scalar(LOCK)
            .bind(id.as_str()).bind(client.as_str()).bind(now.millis()).fetch_one(c).await)?;
        let row_ref = RowRef { table: "consents", id: &id };
        let before = row_ref.value("scope", Scope::parse(&before).ok())?;
        on!(self, c => sqlx::query(SAVE)
            .bind(id.as_str()).bind(client.as_str()).bind(before.united(scope).to_string()).bind(now.millis())
            .execute(c).await.map(drop))?;
        Ok(())
    }
}
