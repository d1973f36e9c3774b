//! Grants. Whether a grant is live is decided by the same conditions everywhere: user active, client enabled, no
//! epoch raised since, not revoked, and its session not ended unless it is an offline grant.

use idp_core::ids::GrantId;
use idp_core::oauth::grant::Grant;
use idp_core::time::Timestamp;
use idp_core::user::User;

use crate::codes::{ConsumedCode, FactsRow};
use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;
use crate::row::timestamp;
use crate::users::UserRow;

/// A grant and whether it is live.
#[derive(Clone, Debug)]
pub struct StoredGrant {
    /// The grant.
    pub grant: Grant,
    /// Whether it is live, apart from its expiry.
    pub live: bool,
}

#[derive(sqlx::FromRow)]
struct GrantRow {
    #[sqlx(flatten)]
    facts: FactsRow,
    generation: i64,
    idle_expires_at: i64,
    expires_at: i64,
    live: bool,
}

#[derive(sqlx::FromRow)]
struct SubjectRow {
    #[sqlx(flatten)]
    user: UserRow,
}

impl Tx {
    /// Stores the grant of a redeemed code, provided that everything the code was issued under is still live.
    /// `false`: it is not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_grant(
        &mut self,
        grant: &Grant,
        code: &ConsumedCode,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO grants (id, client_id, user_id, session_id, scope, auth_time, \
            authentication, generation, user_epoch, client_epoch, global_epoch, offline, created_at, \
            idle_expires_at, expires_at) \
            SELECT $1, c.id, u.id, s.id, $5, $6, $7, $8, u.epoch, c.epoch, e.value, $9, $10, $11, $12 \
            FROM clients c, users u, sessions s, epochs e \
            WHERE c.id = $2 AND c.enabled = TRUE AND c.epoch = $13 AND u.id = $3 AND u.state = 'active' \
            AND u.epoch = $14 AND s.id = $4 AND s.ended_at IS NULL AND e.name = 'global' AND e.value = $15";
        let (facts, epochs) = (&grant.facts, code.epochs);
        let made = on!(self, c => sqlx::query(SQL)
            .bind(facts.id.to_string()).bind(facts.client_id.as_str()).bind(facts.user_id.to_string())
            .bind(facts.session_id.to_string()).bind(facts.scope.to_string()).bind(facts.auth_time.millis())
            .bind(facts.authentication.as_str()).bind(grant.generation).bind(facts.is_offline())
            .bind(now.millis()).bind(grant.idle_expires_at.millis()).bind(grant.expires_at.millis())
            .bind(epochs.client_epoch).bind(epochs.user_epoch).bind(epochs.global_epoch)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(made == 1)
    }

    /// Moves a grant from this generation to the next, provided that it is live at this moment. `false`: it is not,
    /// or it has another generation by now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rotate_grant(
        &mut self,
        id: GrantId,
        generation: i64,
        idle_expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE grants SET generation = generation + 1, idle_expires_at = $3 \
            WHERE id = $1 AND generation = $2 AND revoked_at IS NULL AND EXISTS (SELECT 1 \
            FROM users u, clients c, epochs e, sessions s \
            WHERE u.id = grants.user_id AND u.state = 'active' AND u.epoch = grants.user_epoch \
            AND c.id = grants.client_id AND c.enabled = TRUE AND c.epoch = grants.client_epoch \
            AND e.name = 'global' AND e.value = grants.global_epoch \
            AND s.id = grants.session_id AND (grants.offline = TRUE OR s.ended_at IS NULL))";
        let moved = on!(self, c => sqlx::query(SQL)
            .bind(id.to_string()).bind(generation).bind(idle_expires_at.millis())
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(moved == 1)
    }

    /// Revokes a grant and all its tokens. `false`: it was already revoked, or does not exist.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_grant(&mut self, id: GrantId, now: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE grants SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
        let revoked = on!(self, c => sqlx::query(SQL)
            .bind(id.to_string()).bind(now.millis()).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(revoked == 1)
    }
}

impl Reader {
    /// A grant and whether it is live.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grant(&mut self, id: GrantId) -> Result<Option<StoredGrant>, StoreError> {
        const SQL: &str = "SELECT g.id AS grant_id, g.client_id, g.user_id, g.session_id, g.scope, g.auth_time, \
            g.authentication, g.generation, g.idle_expires_at, g.expires_at, \
            (g.revoked_at IS NULL AND u.state = 'active' AND u.epoch = g.user_epoch AND c.enabled = TRUE \
            AND c.epoch = g.client_epoch AND e.value = g.global_epoch \
            AND (g.offline = TRUE OR s.ended_at IS NULL)) AS live \
            FROM grants g JOIN users u ON u.id = g.user_id JOIN clients c ON c.id = g.client_id \
            JOIN epochs e ON e.name = 'global' JOIN sessions s ON s.id = g.session_id WHERE g.id = $1";
        let row: Option<GrantRow> =
            on!(self, c => sqlx::query_as(SQL).bind(id.to_string()).fetch_optional(c).await)?;
        let Some(row) = row else { return Ok(None) };
        let grant = Grant {
            facts: row.facts.parse("grants", "id")?,
            generation: row.generation,
            idle_expires_at: timestamp(row.idle_expires_at),
            expires_at: timestamp(row.expires_at),
        };
        Ok(Some(StoredGrant { grant, live: row.live }))
    }

    /// The user of an access token of this grant, if the grant is still live: one read, by primary keys.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn subject_of_grant(&mut self, id: GrantId) -> Result<Option<User>, StoreError> {
        const SQL: &str = "SELECT u.id, u.email, u.name, u.state, u.epoch, u.created_at, u.updated_at \
            FROM grants g JOIN users u ON u.id = g.user_id JOIN clients c ON c.id = g.client_id \
            JOIN epochs e ON e.name = 'global' JOIN sessions s ON s.id = g.session_id \
            WHERE g.id = $1 AND g.revoked_at IS NULL AND u.state = 'active' AND u.epoch = g.user_epoch \
            AND c.enabled = TRUE AND c.epoch = g.client_epoch AND e.value = g.global_epoch \
            AND (g.offline = TRUE OR s.ended_at IS NULL)";
        let row: Option<SubjectRow> =
            on!(self, c => sqlx::query_as(SQL).bind(id.to_string()).fetch_optional(c).await)?;
        row.map(|row| row.user.parse()).transpose()
    }
}
