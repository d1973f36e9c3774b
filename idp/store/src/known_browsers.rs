//! Browsers in which an account has signed in, or its address was verified, within the last 180 days.

use std::time::Duration;

use idp_core::ids::UserId;
use idp_core::secret::Digest;
use idp_core::time::{DAY, Timestamp};

use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;

/// How long a browser stays known after the last sign-in or verification.
pub(crate) const KNOWN_FOR: Duration = DAY.saturating_mul(180);

impl Reader {
    /// Whether the account signed in, or its address was verified, in this browser in the last 180 days.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn knows_browser(
        &mut self,
        user: UserId,
        browser: &Digest,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM known_browsers \
            WHERE user_id = $1 AND browser_digest = $2 AND expires_at > $3";
        let found: i64 = on!(self, c => sqlx::query_scalar(SQL)
            .bind(user.to_string()).bind(browser.as_str()).bind(now.millis()).fetch_one(c).await)?;
        Ok(found == 1)
    }
}

impl Tx {
    /// Remembers that this account signed in, or its address was verified, in this browser.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remember_browser(
        &mut self,
        user: UserId,
        browser: &Digest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO known_browsers (user_id, browser_digest, expires_at) VALUES ($1, $2, $3) \
            ON CONFLICT (user_id, browser_digest) DO UPDATE SET expires_at = excluded.expires_at";
        on!(self, c => sqlx::query(SQL)
            .bind(user.to_string()).bind(browser.as_str()).bind(now.plus(KNOWN_FOR).millis())
            .execute(c).await.map(drop))?;
        Ok(())
    }
}
