//! Sessions of signed-in browsers.

use idp_core::ids::{SessionId, UserId};
use idp_core::secret::Digest;
use idp_core::session::{Authentication, Session, SessionLifetime};
use idp_core::time::Timestamp;
use idp_core::user::User;

use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;
use crate::row::{RowRef, timestamp, unless_newer};
use crate::users::UserRow;

/// A session to be stored.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// The digest of its cookie.
    pub digest: Digest,
    /// Whose it is.
    pub user_id: UserId,
    /// The account's epoch when its password was read. If it has been raised since, the password proves nothing.
    pub user_epoch: i64,
    /// How the person signed in.
    pub authentication: Authentication,
    /// The client address.
    pub client_address: String,
    /// The user agent, cleaned and capped.
    pub user_agent: String,
}

/// A live session and its active account.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The session.
    pub session: Session,
    /// The account.
    pub user: User,
}

#[derive(sqlx::FromRow)]
struct SignedInRow {
    session_id: String,
    auth_time: i64,
    authentication: String,
    last_seen_at: i64,
    session_created_at: i64,
    #[sqlx(flatten)]
    user: UserRow,
}

impl SignedInRow {
    fn parse(self) -> Result<SignedIn, StoreError> {
        let user = self.user.parse()?;
        let row = RowRef { table: "sessions", id: &self.session_id };
        let session = Session {
            id: row.parsed("id", &self.session_id)?,
            user_id: user.id,
            auth_time: timestamp(self.auth_time),
            authentication: row
                .known_word("authentication", Authentication::from_stored(&self.authentication))?,
            last_seen_at: timestamp(self.last_seen_at),
            created_at: timestamp(self.session_created_at),
        };
        Ok(SignedIn { session, user })
    }
}

impl Reader {
    /// The live session of a cookie: not ended, not expired, its account active, no epoch raised since. A session
    /// that began on a newer node in a way this version does not know counts as none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn signed_in(
        &mut self,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Option<SignedIn>, StoreError> {
        const SQL: &str = "SELECT s.id AS session_id, s.auth_time, s.authentication, s.last_seen_at, \
            s.created_at AS session_created_at, \
            u.id, u.email, u.name, u.state, u.epoch, u.created_at, u.updated_at \
            FROM sessions s JOIN users u ON u.id = s.user_id JOIN epochs e ON e.name = 'global' \
            WHERE s.digest = $1 AND s.ended_at IS NULL AND s.idle_expires_at > $2 AND s.expires_at > $2 \
            AND u.state = 'active' AND u.epoch = s.user_epoch AND e.value = s.global_epoch";
        let row: Option<SignedInRow> = on!(self, c => sqlx::query_as(SQL)
            .bind(digest.as_str()).bind(now.millis()).fetch_optional(c).await)?;
        let Some(row) = row else { return Ok(None) };
        unless_newer(row.parse())
    }
}

impl Tx {
    /// Begins a session, provided that the account is active at this moment and still has the same epoch. `false`: it
    /// is not, or has not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_session(
        &mut self,
        session: &NewSession,
        lifetime: &SessionLifetime,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO sessions (id, digest, user_id, user_epoch, global_epoch, auth_time, \
            authentication, client_address, user_agent, created_at, last_seen_at, idle_expires_at, expires_at) \
            SELECT $1, $2, u.id, u.epoch, e.value, $4, $5, $6, $7, $4, $4, $8, $9 FROM users u, epochs e \
            WHERE u.id = $3 AND u.state = 'active' AND u.epoch = $10 AND e.name = 'global'";
        let made = on!(self, c => sqlx::query(SQL)
            .bind(session.id.to_string()).bind(session.digest.as_str()).bind(session.user_id.to_string())
            .bind(now.millis()).bind(session.authentication.as_str()).bind(session.client_address.as_str())
            .bind(session.user_agent.as_str()).bind(now.plus(lifetime.idle).millis())
            .bind(now.plus(lifetime.absolute).millis()).bind(session.user_epoch)
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(made == 1)
    }

    /// Renews a session because its person signed in again: it gets a new cookie, a new `auth_time` and its full
    /// lifetime, and keeps what was issued in it. `false`: it has ended or was renewed since it was read, or the
    /// account has changed since its password was read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renew_session(
        &mut self,
        old: &Session,
        session: &NewSession,
        lifetime: &SessionLifetime,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE sessions SET digest = $2, auth_time = $3, authentication = $4, \
            client_address = $5, user_agent = $6, last_seen_at = $3, idle_expires_at = $7, expires_at = $8 \
            WHERE id = $1 AND user_id = $9 AND user_epoch = $10 AND ended_at IS NULL AND expires_at > $3 \
            AND idle_expires_at > $3 AND auth_time = $11 \
            AND EXISTS (SELECT 1 FROM users u WHERE u.id = $9 AND u.state = 'active' AND u.epoch = $10) \
            AND global_epoch = (SELECT value FROM epochs WHERE name = 'global')";
        let renewed = on!(self, c => sqlx::query(SQL)
            .bind(old.id.to_string()).bind(session.digest.as_str()).bind(now.millis())
            .bind(session.authentication.as_str()).bind(session.client_address.as_str())
            .bind(session.user_agent.as_str()).bind(now.plus(lifetime.idle).millis())
            .bind(now.plus(lifetime.absolute).millis()).bind(session.user_id.to_string())
            .bind(session.user_epoch).bind(old.auth_time.millis())
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(renewed == 1)
    }

    /// Records that a session was used, which extends its idle lifetime unless that has already run out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn touch_session(
        &mut self,
        id: SessionId,
        lifetime: &SessionLifetime,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE sessions SET last_seen_at = $2, idle_expires_at = $3 \
            WHERE id = $1 AND last_seen_at < $2 AND idle_expires_at > $2 AND ended_at IS NULL";
        on!(self, c => sqlx::query(SQL)
            .bind(id.to_string()).bind(now.millis()).bind(now.plus(lifetime.idle).millis())
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Ends a session. `false`: it had already ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_session(&mut self, id: SessionId, now: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";
        let ended = on!(self, c => sqlx::query(SQL)
            .bind(id.to_string()).bind(now.millis()).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(ended == 1)
    }
}
