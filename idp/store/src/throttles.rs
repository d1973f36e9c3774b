//! Counted tries.

use idp_core::account::throttle::{Limits, Reservation, Throttle};
use idp_core::ids::{RegistrationId, UserId};
use idp_core::secret::Digest;
use idp_core::time::{DAY, Timestamp};

use crate::db::{Reader, Tx, on};
use crate::error::StoreError;
use crate::row::moment;

/// What is counted. The stored key never shows an address in clear.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Sign-ins for an address, whether it has an account or not.
    Account {
        /// The address in lower case.
        email_key: String,
        /// An account's own count is kept until a right password or an administrator clears it.
        exists: bool,
    },
    /// Sign-ins for an account from a browser that signed in to it before.
    KnownBrowser(UserId, Digest),
    /// Sign-ins from a client address (an IPv6 one as its /64 network).
    Network(String),
    /// Mails to an address.
    Mail(String),
    /// Mails that one attempt to register asked for.
    AttemptMail(RegistrationId),
}

impl Counted {
    fn key(&self) -> String {
        match self {
            Self::Account { email_key, .. } => format!("account:{}", Digest::of(email_key).as_str()),
            Self::KnownBrowser(user, browser) => format!("browser:{user}:{}", browser.as_str()),
            Self::Network(address) => format!("network:{address}"),
            Self::Mail(email_key) => format!("mail:{}", Digest::of(email_key).as_str()),
            Self::AttemptMail(id) => format!("attempt-mail:{id}"),
        }
    }

    fn is_kept(&self) -> bool {
        matches!(self, Self::Account { exists: true, .. } | Self::KnownBrowser(..))
    }
}

#[derive(sqlx::FromRow)]
struct ThrottleRow {
    failures: i64,
    window_start: i64,
    in_a_row: i64,
    locks: i64,
    locked_until: Option<i64>,
}

impl From<ThrottleRow> for Throttle {
    fn from(row: ThrottleRow) -> Self {
        Self {
            failures: row.failures,
            window_start: moment(row.window_start),
            in_a_row: row.in_a_row,
            locks: row.locks,
            locked_until: row.locked_until.map(moment),
        }
    }
}

impl Tx {
    /// Counts one try before it is made. Parallel tries queue up at the row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reserve(
        &mut self,
        counted: &Counted,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Reservation, StoreError> {
        let mut throttle = self.lock_throttle(counted, now).await?;
        let reservation = throttle.reserve(limits, now);
        if matches!(reservation, Reservation::Granted { .. }) {
            self.save_throttle(counted, &throttle, now).await?;
        }
        Ok(reservation)
    }

    /// Takes back one counted try that was right, where others share the count.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn refund(&mut self, counted: &Counted, now: Timestamp) -> Result<(), StoreError> {
        let mut throttle = self.lock_throttle(counted, now).await?;
        throttle.refund();
        self.save_throttle(counted, &throttle, now).await
    }

    /// Forgets every try.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clear_throttle(&mut self, counted: &Counted) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM throttles WHERE id = $1";
        on!(self, c => sqlx::query(SQL).bind(counted.key()).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Whether the owner is to be told about this lock: `true` once, until the count is cleared.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tell_once(&mut self, counted: &Counted) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE throttles SET told = TRUE WHERE id = $1 AND told = FALSE";
        let changed = on!(self, c => sqlx::query(SQL)
            .bind(counted.key()).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(changed == 1)
    }

    /// Reads a count and holds its row, making it if needed: the no-op update is the lock both engines have.
    async fn lock_throttle(&mut self, counted: &Counted, now: Timestamp) -> Result<Throttle, StoreError> {
        const SQL: &str = "INSERT INTO throttles \
            (id, failures, window_start, in_a_row, locks, told, kept, expires_at) \
            VALUES ($1, 0, $2, 0, 0, FALSE, $3, $4) ON CONFLICT (id) DO UPDATE SET id = excluded.id \
            RETURNING failures, window_start, in_a_row, locks, locked_until";
        let row: ThrottleRow = on!(self, c => sqlx::query_as(SQL)
            .bind(counted.key()).bind(now.millis()).bind(counted.is_kept()).bind(now.plus(DAY).millis())
            .fetch_one(c).await)?;
        Ok(row.into())
    }

    async fn save_throttle(
        &mut self,
        counted: &Counted,
        throttle: &Throttle,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE throttles SET failures = $2, window_start = $3, in_a_row = $4, locks = $5, \
            locked_until = $6, kept = $7, expires_at = $8 WHERE id = $1";
        let expires_at = throttle.locked_until.unwrap_or(now).max(now).plus(DAY);
        on!(self, c => sqlx::query(SQL)
            .bind(counted.key()).bind(throttle.failures).bind(throttle.window_start.millis())
            .bind(throttle.in_a_row).bind(throttle.locks).bind(throttle.locked_until.map(Timestamp::millis))
            .bind(counted.is_kept()).bind(expires_at.millis())
            .execute(c).await.map(drop))?;
        Ok(())
    }
}

impl Reader {
    /// The count as it stands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn throttle(&mut self, counted: &Counted) -> Result<Option<Throttle>, StoreError> {
        const SQL: &str = "SELECT failures, window_start, in_a_row, locks, locked_until FROM throttles \
            WHERE id = $1";
        let row: Option<ThrottleRow> =
            on!(self, c => sqlx::query_as(SQL).bind(counted.key()).fetch_optional(c).await)?;
        Ok(row.map(Throttle::from))
    }
}
