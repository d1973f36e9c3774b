//! Authorization codes.

use idp_core::client::ClientId;
use idp_core::ids::{GrantId, SessionId, UserId};
use idp_core::oauth::grant::{GrantFacts, IssuedCode};
use idp_core::redirect_uri::RedirectUri;
use idp_core::scope::Scope;
use idp_core::session::Authentication;
use idp_core::single_use::{AuthorizationCode, SingleUseDigest};
use idp_core::time::Timestamp;

use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;
use crate::row::{RowRef, timestamp};

/// A code that was just consumed, with the epochs it was issued under.
#[derive(Clone, Debug)]
pub struct ConsumedCode {
    /// What was issued.
    pub code: IssuedCode,
    pub(crate) epochs: Epochs,
}

#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct Epochs {
    pub(crate) user_epoch: i64,
    pub(crate) client_epoch: i64,
    pub(crate) global_epoch: i64,
}

/// What a code and its grant have in common, as both tables store it.
#[derive(sqlx::FromRow)]
pub(crate) struct FactsRow {
    grant_id: String,
    client_id: String,
    user_id: String,
    session_id: String,
    scope: String,
    auth_time: i64,
    authentication: String,
}

impl FactsRow {
    /// `id` is the column that holds the grant's id.
    pub(crate) fn parse(&self, table: &'static str, id: &'static str) -> Result<GrantFacts, StoreError> {
        let row = RowRef { table, id: &self.grant_id };
        Ok(GrantFacts {
            id: row.parsed::<GrantId>(id, &self.grant_id)?,
            client_id: row.value("client_id", ClientId::parse(&self.client_id).ok())?,
            user_id: row.parsed::<UserId>("user_id", &self.user_id)?,
            session_id: row.parsed::<SessionId>("session_id", &self.session_id)?,
            scope: row.value("scope", Scope::parse(&self.scope).ok())?,
            auth_time: timestamp(self.auth_time),
            authentication: row
                .known_word("authentication", Authentication::from_stored(&self.authentication))?,
        })
    }
}

#[derive(sqlx::FromRow)]
struct CodeRow {
    #[sqlx(flatten)]
    facts: FactsRow,
    redirect_uri: String,
    nonce: Option<String>,
    code_challenge: Option<String>,
    expires_at: i64,
    #[sqlx(flatten)]
    epochs: Epochs,
}

impl Tx {
    /// Stores a code's digest together with the current epochs, provided that the user, the client and the session
    /// are all live at this moment and the client still has the epoch under which the request was checked. `false`:
    /// they are not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_code(
        &mut self,
        digest: &SingleUseDigest<AuthorizationCode>,
        code: &IssuedCode,
        client_epoch: i64,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO codes (digest, grant_id, client_id, user_id, session_id, scope, \
            redirect_uri, nonce, code_challenge, auth_time, authentication, user_epoch, client_epoch, \
            global_epoch, expires_at) \
            SELECT $1, $2, c.id, u.id, s.id, $6, $7, $8, $9, $10, $11, u.epoch, c.epoch, e.value, $12 \
            FROM clients c, users u, sessions s, epochs e \
            WHERE c.id = $3 AND c.enabled = TRUE AND c.epoch = $13 AND u.id = $4 AND u.state = 'active' \
            AND s.id = $5 AND s.user_id = u.id AND s.ended_at IS NULL AND s.user_epoch = u.epoch \
            AND e.name = 'global' AND s.global_epoch = e.value";
        let facts = &code.facts;
        let made = on!(self, c => sqlx::query(SQL)
            .bind(digest.as_str()).bind(facts.id.to_string()).bind(facts.client_id.as_str())
            .bind(facts.user_id.to_string()).bind(facts.session_id.to_string()).bind(facts.scope.to_string())
            .bind(code.redirect_uri.as_str()).bind(code.nonce.as_deref()).bind(code.code_challenge.as_deref())
            .bind(facts.auth_time.millis()).bind(facts.authentication.as_str()).bind(code.expires_at.millis()).bind(client_epoch)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(made == 1)
    }

    /// Consumes a code for the client it was issued to. Exactly one of any number of callers gets it. Another client
    /// changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn consume_code(
        &mut self,
        digest: &SingleUseDigest<AuthorizationCode>,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<Option<ConsumedCode>, StoreError> {
        const SQL: &str = "UPDATE codes SET consumed_at = $3 \
            WHERE digest = $1 AND client_id = $2 AND consumed_at IS NULL \
            RETURNING grant_id, client_id, user_id, session_id, scope, auth_time, authentication, \
            redirect_uri, nonce, code_challenge, expires_at, user_epoch, client_epoch, global_epoch";
        let row: Option<CodeRow> = on!(self, c => sqlx::query_as(SQL)
            .bind(digest.as_str()).bind(client.as_str()).bind(now.millis()).fetch_optional(c).await)?;
        let Some(row) = row else { return Ok(None) };
        let row_ref = RowRef { table: "codes", id: &row.facts.grant_id };
        let code = IssuedCode {
            facts: row.facts.parse("codes", "grant_id")?,
            redirect_uri: row_ref.value("redirect_uri", RedirectUri::parse(&row.redirect_uri).ok())?,
            nonce: row.nonce,
            code_challenge: row.code_challenge,
            expires_at: timestamp(row.expires_at),
        };
        Ok(Some(ConsumedCode { code, epochs: row.epochs }))
    }

    /// Handles a code that could not be consumed: if its own client used it before, everything issued for it is
    /// revoked (RFC 6749 section 4.1.2). Returns the grant if this replay is the one that revoked it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_replayed(
        &mut self,
        digest: &SingleUseDigest<AuthorizationCode>,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<Option<GrantId>, StoreError> {
        const SQL: &str = "SELECT grant_id FROM codes WHERE digest = $1 AND client_id = $2";
        let found: Option<String> = on!(self, c => sqlx::query_scalar(SQL)
            .bind(digest.as_str()).bind(client.as_str()).fetch_optional(c).await)?;
        let Some(id) = found else { return Ok(None) };
        let id: GrantId = RowRef { table: "codes", id: &id }.parsed("grant_id", &id)?;
        Ok(self.revoke_grant(id, now).await?.then_some(id))
    }
}

impl Reader {
    /// Whether a code issued in this session can still be redeemed: it has been neither redeemed nor expired, and
    /// everything it was issued under is live.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn code_is_usable(
        &mut self,
        digest: &SingleUseDigest<AuthorizationCode>,
        session: SessionId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM codes k JOIN users u ON u.id = k.user_id \
            JOIN clients c ON c.id = k.client_id JOIN sessions s ON s.id = k.session_id \
            JOIN epochs e ON e.name = 'global' \
            WHERE k.digest = $1 AND k.consumed_at IS NULL AND k.expires_at > $2 \
            AND u.state = 'active' AND u.epoch = k.user_epoch AND c.enabled = TRUE AND c.epoch = k.client_epoch \
            AND s.id = $3 AND s.ended_at IS NULL AND e.value = k.global_epoch";
        let found: i64 = on!(self, c => sqlx::query_scalar(SQL)
            .bind(digest.as_str()).bind(now.millis()).bind(session.to_string()).fetch_one(c).await)?;
        Ok(found > 0)
    }

    /// Whether a code issued in this session was redeemed, as long as its row is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn code_was_redeemed(
        &mut self,
        digest: &SingleUseDigest<AuthorizationCode>,
        session: SessionId,
    ) -> Result<bool, StoreError> {
        const SQL: &str =
            "SELECT COUNT(*) FROM codes WHERE digest = $1 AND session_id = $2 AND consumed_at IS NOT NULL";
        let found: i64 = on!(self, c => sqlx::query_scalar(SQL)
            .bind(digest.as_str()).bind(session.to_string()).fetch_one(c).await)?;
        Ok(found > 0)
    }
}
