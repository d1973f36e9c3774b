//! Counters of tries, which throttle and lock out.

use idp_core::account::throttle::{ACCOUNT, Limits, Reservation, Throttle};
use idp_core::ids::{RegistrationId, UserId};
use idp_core::secret::Digest;
use idp_core::time::{DAY, Timestamp};
use idp_core::user::User;

use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;
use crate::known_browsers::KNOWN_FOR;
use crate::row::timestamp;

/// Which counter. The stored key never contains an address in clear text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ThrottleKey {
    /// Sign-ins for an address, whether it has an account or not.
    Account {
        /// The address in lower case.
        email_key: String,
        /// The account, if there is one.
        user: Option<UserId>,
    },
    /// Sign-ins for an account from a browser that is known to it, because somebody signed in or verified the address
    /// there in the last 180 days.
    KnownBrowser(UserId, Digest),
    /// Sign-ins from a client address (for IPv6, from its /64 network).
    Network(String),
    /// Passwords tried for one registration, by whoever has its link.
    Registration(RegistrationId),
    /// Emails to an address, whoever requests them.
    Mail(String),
    /// Additional emails to an address, requested in browsers it is known in.
    MailIfKnown(String),
    /// Emails requested by one registration.
    RegistrationMail(RegistrationId),
}

impl ThrottleKey {
    fn to_stored(&self) -> String {
        match self {
            Self::Account { email_key, .. } => format!("account:{}", Digest::of(email_key).as_str()),
            Self::KnownBrowser(user, browser) => format!("browser:{user}:{}", browser.as_str()),
            Self::Network(address) => format!("network:{address}"),
            Self::Registration(id) => format!("registration:{id}"),
            Self::Mail(email_key) => format!("mail:{}", Digest::of(email_key).as_str()),
            Self::MailIfKnown(email_key) => format!("mail:known:{}", Digest::of(email_key).as_str()),
            Self::RegistrationMail(id) => format!("mail:attempt:{id}"),
        }
    }

    fn user(&self) -> Option<UserId> {
        match self {
            Self::Account { user, .. } => *user,
            Self::KnownBrowser(user, _) => Some(*user),
            Self::Network(_)
            | Self::Registration(_)
            | Self::Mail(_)
            | Self::MailIfKnown(_)
            | Self::RegistrationMail(_) => None,
        }
    }

    /// When an idle counter may be deleted. An address's is kept equally long whether it has an account or not, or a
    /// pause would tell; a browser's, as long as the browser is known.
    fn expires_at(&self, last_used: Timestamp) -> Timestamp {
        match self {
            Self::Account { .. } => last_used.plus(DAY * 90),
            Self::KnownBrowser(..) => last_used.plus(KNOWN_FOR),
            Self::Network(_)
            | Self::Registration(_)
            | Self::Mail(_)
            | Self::MailIfKnown(_)
            | Self::RegistrationMail(_) => last_used.plus(DAY),
        }
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
            window_start: timestamp(row.window_start),
            in_a_row: row.in_a_row,
            locks: row.locks,
            locked_until: row.locked_until.map(timestamp),
        }
    }
}

impl Tx {
    /// Counts one try before it is made. Parallel tries queue for the row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reserve(
        &mut self,
        key: &ThrottleKey,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Reservation, StoreError> {
        let before = self.lock_throttle(key, now).await?;
        let mut throttle = before;
        let reservation = throttle.reserve(limits, now);
        if throttle != before {
            self.save_throttle(key, &throttle, now).await?;
        }
        Ok(reservation)
    }

    /// Takes back one counted try that was right, where others share the counter, or that was not made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn refund(
        &mut self,
        key: &ThrottleKey,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut throttle = self.lock_throttle(key, now).await?;
        throttle.refund(limits, now);
        self.save_throttle(key, &throttle, now).await
    }

    /// Clears a counter.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clear_throttle(&mut self, key: &ThrottleKey) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM throttles WHERE id = $1";
        on!(self, c => sqlx::query(SQL).bind(key.to_stored()).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Clears all counters of an account, wherever the tries came from. `false`: there were none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unlock(&mut self, user: &User) -> Result<bool, StoreError> {
        // Whatever else a newer version counts is not ours to clear.
        const SQL: &str = "DELETE FROM throttles WHERE id = $2 \
            OR (user_id = $1 AND (id LIKE 'account:%' OR id LIKE 'browser:%'))";
        let account = ThrottleKey::Account { email_key: user.email.key().to_owned(), user: None }.to_stored();
        let gone = on!(self, c => sqlx::query(SQL)
            .bind(user.id.to_string()).bind(account).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(gone > 0)
    }

    /// Makes the count of wrong tries at an address the count of its new account. It goes on as it is: whoever counts
    /// their own tries must not learn when an address is activated. The owner's browsers have counters of their own.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn keep_count(&mut self, user: &User) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE throttles SET user_id = $2 WHERE id = $1";
        let key = ThrottleKey::Account { email_key: user.email.key().to_owned(), user: Some(user.id) };
        on!(self, c => sqlx::query(SQL)
            .bind(key.to_stored()).bind(user.id.to_string()).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Records that an account's owner signed in, in a browser with a counter of its own: the owner is told of the next
    /// lock again. The tries of others go on counting, or a stranger could tell by their number that somebody has an
    /// account there and uses it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_owner_sign_in(&mut self, key: &ThrottleKey) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE throttles SET told = FALSE WHERE id = $1";
        on!(self, c => sqlx::query(SQL).bind(key.to_stored()).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Whether to tell the owner about this lock: `true` once, until the counter is cleared.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_lockout_notice(&mut self, key: &ThrottleKey) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE throttles SET told = TRUE WHERE id = $1 AND told = FALSE";
        let changed = on!(self, c => sqlx::query(SQL)
            .bind(key.to_stored()).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(changed == 1)
    }

    /// Reads a counter and locks its row, creating it if needed. The no-op update is the row lock that both engines
    /// have.
    async fn lock_throttle(&mut self, key: &ThrottleKey, now: Timestamp) -> Result<Throttle, StoreError> {
        const SQL: &str = "INSERT INTO throttles \
            (id, user_id, failures, window_start, in_a_row, locks, told, expires_at) \
            VALUES ($1, $2, 0, $3, 0, 0, FALSE, $4) ON CONFLICT (id) DO UPDATE SET id = excluded.id \
            RETURNING failures, window_start, in_a_row, locks, locked_until";
        let row: ThrottleRow = on!(self, c => sqlx::query_as(SQL)
            .bind(key.to_stored()).bind(key.user().map(|id| id.to_string())).bind(now.millis())
            .bind(key.expires_at(now).millis())
            .fetch_one(c).await)?;
        Ok(row.into())
    }

    async fn save_throttle(
        &mut self,
        key: &ThrottleKey,
        throttle: &Throttle,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE throttles SET failures = $2, window_start = $3, in_a_row = $4, locks = $5, \
            locked_until = $6, user_id = $7, expires_at = $8 WHERE id = $1";
        // What is locked for good is opened by a reset only, not by waiting.
        let is_for_good = matches!(key, ThrottleKey::Account { .. }) && throttle.is_locked_for_good(&ACCOUNT);
        let expires_at = match is_for_good {
            true => Timestamp::from_millis(i64::MAX),
            false => key.expires_at(throttle.locked_until.unwrap_or(now).max(now)),
        };
        on!(self, c => sqlx::query(SQL)
            .bind(key.to_stored()).bind(throttle.failures).bind(throttle.window_start.millis())
            .bind(throttle.in_a_row).bind(throttle.locks).bind(throttle.locked_until.map(Timestamp::millis))
            .bind(key.user().map(|id| id.to_string())).bind(expires_at.millis())
            .execute(c).await.map(drop))?;
        Ok(())
    }
}

impl Reader {
    /// The counter's current value.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn throttle(&mut self, key: &ThrottleKey) -> Result<Option<Throttle>, StoreError> {
        const SQL: &str = "SELECT failures, window_start, in_a_row, locks, locked_until FROM throttles \
            WHERE id = $1";
        let row: Option<ThrottleRow> =
            on!(self, c => sqlx::query_as(SQL).bind(key.to_stored()).fetch_optional(c).await)?;
        Ok(row.map(Throttle::from))
    }

    /// All counters of an account: its own, and those of browsers it is known in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn throttles_of(&mut self, user: UserId) -> Result<Vec<Throttle>, StoreError> {
        const SQL: &str = "SELECT failures, window_start, in_a_row, locks, locked_until FROM throttles \
            WHERE user_id = $1";
        let rows: Vec<ThrottleRow> =
            on!(self, c => sqlx::query_as(SQL).bind(user.to_string()).fetch_all(c).await)?;
        Ok(rows.into_iter().map(Throttle::from).collect())
    }
}
