//! What people allowed applications.

use idp_core::client::ClientId;
use idp_core::flow::Consent;
use idp_core::ids::UserId;
use idp_core::oauth::scope::Scope;
use idp_core::time::Timestamp;

use crate::db::{Reader, Tx, on};
use crate::error::StoreError;
use crate::row::{Origin, moment};

impl Reader {
    /// What a person allowed an application.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn consent(&mut self, user: UserId, client: &ClientId) -> Result<Option<Consent>, StoreError> {
        const SQL: &str = "SELECT scope, granted_at FROM consents WHERE user_id = $1 AND client_id = $2";
        let id = user.to_string();
        let row: Option<(String, i64)> = on!(self, c => sqlx::query_as(SQL)
            .bind(id.as_str()).bind(client.as_str()).fetch_optional(c).await)?;
        let Some((scope, granted_at)) = row else { return Ok(None) };
        let origin = Origin { table: "consents", id: &id };
        Ok(Some(Consent {
            scope: origin.value("scope", Scope::parse(&scope).ok())?,
            granted_at: moment(granted_at),
        }))
    }
}

impl Tx {
    /// Remembers that a person allowed an application this scope, beside what was allowed before.
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
        const SQL: &str = "INSERT INTO consents (user_id, client_id, scope, granted_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (user_id, client_id) DO UPDATE SET scope = excluded.scope, granted_at = excluded.granted_at";
        let before = self.consent(user, client).await?.map(|consent| consent.scope).unwrap_or_default();
        let scope = before.united(scope).to_string();
        on!(self, c => sqlx::query(SQL)
            .bind(user.to_string()).bind(client.as_str()).bind(scope).bind(now.millis())
            .execute(c).await.map(drop))?;
        Ok(())
    }
}
