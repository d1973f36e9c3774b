//! Digests of values that can be used once.

use idp_core::single_use::{SingleUseDigest, SingleUseKind};
use idp_core::time::Timestamp;

use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;

impl Tx {
    /// Stores the digest of a new value.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_single_use<K: SingleUseKind>(
        &mut self,
        digest: &SingleUseDigest<K>,
        subject: &str,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str =
            "INSERT INTO single_use (digest, kind, subject, expires_at) VALUES ($1, $2, $3, $4)";
        on!(self, c => sqlx::query(SQL)
            .bind(digest.as_str()).bind(K::PREFIX).bind(subject).bind(expires_at.millis())
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Consumes a value and returns its subject; `None` if it is unknown, used or expired. Exactly one of any number
    /// of simultaneous callers gets it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn consume<K: SingleUseKind>(
        &mut self,
        digest: &SingleUseDigest<K>,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        const SQL: &str = "UPDATE single_use SET consumed_at = $3 \
            WHERE digest = $1 AND kind = $2 AND consumed_at IS NULL AND expires_at > $3 RETURNING subject";
        Ok(on!(self, c => sqlx::query_scalar(SQL)
            .bind(digest.as_str()).bind(K::PREFIX).bind(now.millis()).fetch_optional(c).await)?)
    }
}

impl Reader {
    /// A value's subject, and whether the value can still be consumed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn peek<K: SingleUseKind>(
        &mut self,
        digest: &SingleUseDigest<K>,
        now: Timestamp,
    ) -> Result<Option<(String, bool)>, StoreError> {
        const SQL: &str = "SELECT subject, consumed_at IS NULL AND expires_at > $3 FROM single_use \
            WHERE digest = $1 AND kind = $2";
        Ok(on!(self, c => sqlx::query_as(SQL)
            .bind(digest.as_str()).bind(K::PREFIX).bind(now.millis()).fetch_optional(c).await)?)
    }
}
