//! Expired rows are deleted in small batches, found by an index on their expiry, and never within a request.

use std::time::Duration;

use idp_core::time::{DAY, HOUR, Timestamp};

use crate::engine::connection::{Tx, on};
use crate::engine::store::Store;
use crate::error::StoreError;

/// How many rows one batch may delete: few enough for a short write that keeps no request waiting.
const BATCH: i64 = 500;

/// A statement that deletes one kind of expired row, and how long such rows are kept after they expire because they
/// may still be asked for (a replayed code, a used link).
struct Expiry {
    sql: &'static str,
    keep: Duration,
}

/// The condition is there twice: the inner one finds a batch, the outer one checks again for rows that were renewed
/// while we waited for their lock.
const EXPIRIES: [Expiry; 9] = [
    Expiry {
        sql: "DELETE FROM codes WHERE digest IN (SELECT digest FROM codes WHERE expires_at < $1 LIMIT $2) \
            AND expires_at < $1",
        keep: DAY,
    },
    Expiry {
        sql: "DELETE FROM flows WHERE id IN (SELECT id FROM flows WHERE expires_at < $1 LIMIT $2) \
            AND expires_at < $1",
        keep: HOUR,
    },
    Expiry {
        sql: "DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE idle_expires_at < $1 LIMIT $2) \
            AND idle_expires_at < $1",
        keep: DAY,
    },
    // A session that a grant still refers to must stay, because it tells whether the grant outlived it. It is
    // postponed until the grant has ended, so that no pass looks at it before.
    Expiry {
        sql: "UPDATE sessions SET kept_until = \
            (SELECT MAX(g.idle_expires_at) FROM grants g WHERE g.session_id = sessions.id) \
            WHERE id IN (SELECT id FROM sessions WHERE COALESCE(kept_until, expires_at) < $1 \
            ORDER BY COALESCE(kept_until, expires_at) LIMIT $2) AND COALESCE(kept_until, expires_at) < $1 \
            AND EXISTS (SELECT 1 FROM grants g WHERE g.session_id = sessions.id)",
        keep: DAY,
    },
    Expiry {
        sql: "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE COALESCE(kept_until, expires_at) < $1 \
            ORDER BY COALESCE(kept_until, expires_at) LIMIT $2) AND COALESCE(kept_until, expires_at) < $1 \
            AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.session_id = sessions.id)",
        keep: DAY,
    },
    Expiry {
        sql: "DELETE FROM registrations WHERE id IN \
            (SELECT id FROM registrations WHERE expires_at < $1 LIMIT $2) AND expires_at < $1",
        keep: DAY.saturating_mul(7),
    },
    Expiry {
        sql: "DELETE FROM single_use WHERE digest IN \
            (SELECT digest FROM single_use WHERE expires_at < $1 LIMIT $2) AND expires_at < $1",
        keep: DAY.saturating_mul(7),
    },
    Expiry {
        sql: "DELETE FROM throttles WHERE id IN (SELECT id FROM throttles WHERE expires_at < $1 LIMIT $2) \
            AND expires_at < $1",
        keep: Duration::ZERO,
    },
    Expiry {
        sql: "DELETE FROM known_browsers WHERE (user_id, browser_digest) IN \
            (SELECT user_id, browser_digest FROM known_browsers WHERE expires_at < $1 LIMIT $2) \
            AND expires_at < $1",
        keep: Duration::ZERO,
    },
];

impl Store {
    /// Deletes one batch of each kind of expired row. Returns how many rows were deleted or postponed; call it again
    /// until that is zero.
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

#[cfg(test)]
#[path = "cleanup_tests.rs"]
mod tests;
