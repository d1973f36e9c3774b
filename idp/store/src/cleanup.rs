//! Expired rows go in small batches, by expiry index, never in a request.

use std::time::Duration;

use idp_core::time::{DAY, HOUR, Timestamp};

use crate::db::{Store, Tx, on};
use crate::error::StoreError;

/// Rows one batch may delete: one short write, so that requests are not kept waiting.
const BATCH: i64 = 500;

/// One kind of row that ends: its statement, and how long a row stays after its end, because somebody may
/// still ask about it (a replayed code, a used link).
struct Expiry {
    sql: &'static str,
    keep: Duration,
}

const EXPIRIES: [Expiry; 8] = [
    Expiry {
        sql: "DELETE FROM codes WHERE digest IN (SELECT digest FROM codes WHERE expires_at < $1 LIMIT $2)",
        keep: DAY,
    },
    Expiry {
        sql: "DELETE FROM flows WHERE id IN (SELECT id FROM flows WHERE expires_at < $1 LIMIT $2)",
        keep: HOUR,
    },
    Expiry {
        sql: "DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE idle_expires_at < $1 LIMIT $2)",
        keep: DAY,
    },
    Expiry {
        // A session that a grant still names must stay: it tells whether the grant outlived it.
        sql: "DELETE FROM sessions WHERE id IN (SELECT s.id FROM sessions s WHERE s.expires_at < $1 \
            AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.session_id = s.id) LIMIT $2)",
        keep: DAY,
    },
    Expiry {
        sql: "DELETE FROM registrations WHERE id IN (SELECT id FROM registrations WHERE expires_at < $1 LIMIT $2)",
        keep: DAY.saturating_mul(7),
    },
    Expiry {
        sql: "DELETE FROM single_use WHERE digest IN (SELECT digest FROM single_use WHERE expires_at < $1 LIMIT $2)",
        keep: DAY.saturating_mul(7),
    },
    Expiry {
        sql: "DELETE FROM throttles WHERE id IN (SELECT id FROM throttles WHERE expires_at < $1 LIMIT $2)",
        keep: Duration::ZERO,
    },
    Expiry {
        sql: "DELETE FROM known_browsers WHERE (user_id, browser_digest) IN \
            (SELECT user_id, browser_digest FROM known_browsers WHERE expires_at < $1 LIMIT $2)",
        keep: Duration::ZERO,
    },
];

impl Store {
    /// Deletes one batch of each kind of expired row. Answers how many went; call again while that is much.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_expired(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut gone = 0;
        for expiry in &EXPIRIES {
            let before = now.minus(expiry.keep).millis();
            gone += self
                .write((expiry.sql, before), |tx, (sql, before)| Box::pin(tx.delete_batch(sql, *before)))
                .await?;
        }
        Ok(gone)
    }
}

impl Tx {
    async fn delete_batch(&mut self, sql: &'static str, before: i64) -> Result<u64, StoreError> {
        Ok(on!(self, c => sqlx::query(sql)
            .bind(before).bind(BATCH).execute(c).await.map(|done| done.rows_affected()))?)
    }
}
