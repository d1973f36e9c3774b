//! Attempts to register, and the one that becomes an account.

use idp_core::account::password::PasswordHash;
use idp_core::account::registration::ACTIVATION_LIFETIME;
use idp_core::ids::{FlowId, RegistrationId, UserId};
use idp_core::secret::Digest;
use idp_core::time::Timestamp;
use idp_core::typed_code;
use idp_core::user::{Email, FullName, User, UserState};

use crate::db::{Reader, Tx, on};
use crate::error::StoreError;
use crate::row::{Origin, moment};

/// An attempt to be written.
#[derive(Clone, Debug)]
pub struct NewAttempt {
    /// Its id.
    pub id: RegistrationId,
    /// The address, not proven.
    pub email: Email,
    /// Full name.
    pub name: FullName,
    /// None: the address has an account, this attempt can become nothing.
    pub password: Option<PasswordHash>,
    /// The browser that registers.
    pub browser: Digest,
    /// The walk to go on with.
    pub flow_id: Option<FlowId>,
}

/// An attempt that is neither over nor expired.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its id.
    pub id: RegistrationId,
    /// The address.
    pub email: Email,
    /// Full name.
    pub name: FullName,
    /// None: the address has an account.
    pub password: Option<PasswordHash>,
    /// The browser that registered.
    pub browser: Digest,
    /// The walk to go on with.
    pub flow_id: Option<FlowId>,
    /// When the last mail was asked for.
    pub mailed_at: Timestamp,
}

/// What came of an activation.
#[derive(Clone, Debug)]
pub enum Activation {
    /// The account exists now.
    Activated(Box<User>, Option<FlowId>),
    /// The link or code was used before, or the address has an account by now.
    AlreadyUsed,
    /// Expired, or never made here.
    Unknown,
}

#[derive(sqlx::FromRow)]
struct AttemptRow {
    id: String,
    email: String,
    name: String,
    password_hash: Option<String>,
    browser_digest: String,
    flow_id: Option<String>,
    mailed_at: i64,
}

impl AttemptRow {
    fn parse(self) -> Result<Attempt, StoreError> {
        let row = Origin { table: "registrations", id: &self.id };
        let password =
            self.password_hash.map(|hash| row.value("password_hash", PasswordHash::parse(&hash).ok()));
        let flow_id = self.flow_id.map(|id| row.parsed("flow_id", &id));
        Ok(Attempt {
            id: row.parsed("id", &self.id)?,
            email: row.value("email", Email::parse(&self.email).ok())?,
            name: row.value("name", FullName::parse(&self.name).ok())?,
            password: password.transpose()?,
            browser: row.value("browser_digest", Digest::from_stored(&self.browser_digest))?,
            flow_id: flow_id.transpose()?,
            mailed_at: moment(self.mailed_at),
        })
    }
}

impl Reader {
    /// A live attempt by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempt(
        &mut self,
        id: RegistrationId,
        now: Timestamp,
    ) -> Result<Option<Attempt>, StoreError> {
        const SQL: &str = "SELECT id, email, name, password_hash, browser_digest, flow_id, mailed_at \
            FROM registrations WHERE id = $1 AND ended_at IS NULL AND expires_at > $2";
        let row: Option<AttemptRow> = on!(self, c => sqlx::query_as(SQL).bind(id.to_string()).bind(now.millis()).fetch_optional(c).await)?;
        row.map(AttemptRow::parse).transpose()
    }

    /// Whether an attempt is over: it, or another one for its address, became an account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempt_ended(&mut self, id: RegistrationId) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM registrations WHERE id = $1 AND ended_at IS NOT NULL";
        let ended: i64 = on!(self, c => sqlx::query_scalar(SQL).bind(id.to_string()).fetch_one(c).await)?;
        Ok(ended == 1)
    }

    /// The newest live attempt for an address that could become an account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_attempt(
        &mut self,
        email: &Email,
        now: Timestamp,
    ) -> Result<Option<Attempt>, StoreError> {
        const SQL: &str = "SELECT id, email, name, password_hash, browser_digest, flow_id, mailed_at \
            FROM registrations WHERE email_key = $1 AND ended_at IS NULL AND expires_at > $2 \
            AND password_hash IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT 1";
        let row: Option<AttemptRow> =
            on!(self, c => sqlx::query_as(SQL).bind(email.key()).bind(now.millis()).fetch_optional(c).await)?;
        row.map(AttemptRow::parse).transpose()
    }
}

impl Tx {
    /// Writes an attempt.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_attempt(&mut self, attempt: &NewAttempt, now: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO registrations (id, email, email_key, name, password_hash, browser_digest, \
            flow_id, code_tries, mailed_at, created_at, expires_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $8, $9)";
        let expires_at = now.plus(ACTIVATION_LIFETIME);
        on!(self, c => sqlx::query(SQL)
            .bind(attempt.id.to_string()).bind(attempt.email.as_str()).bind(attempt.email.key())
            .bind(attempt.name.as_str()).bind(attempt.password.as_ref().map(PasswordHash::as_str))
            .bind(attempt.browser.as_str()).bind(attempt.flow_id.map(|id| id.to_string()))
            .bind(now.millis()).bind(expires_at.millis())
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Notes that a mail was asked for again; the attempt lives its full span from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempt_mailed(&mut self, id: RegistrationId, now: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE registrations SET mailed_at = $2, expires_at = $3 WHERE id = $1";
        let expires_at = now.plus(ACTIVATION_LIFETIME);
        on!(self, c => sqlx::query(SQL)
            .bind(id.to_string()).bind(now.millis()).bind(expires_at.millis())
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Hands an attempt to another browser, whose person proved to be its owner, and gives it its full span
    /// again. `None`: it is over, or can become nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn adopt_attempt(
        &mut self,
        id: RegistrationId,
        browser: &Digest,
        now: Timestamp,
    ) -> Result<Option<Attempt>, StoreError> {
        const SQL: &str = "UPDATE registrations SET browser_digest = $2, expires_at = $3 \
            WHERE id = $1 AND ended_at IS NULL AND password_hash IS NOT NULL \
            RETURNING id, email, name, password_hash, browser_digest, flow_id, mailed_at";
        let expires_at = now.plus(ACTIVATION_LIFETIME);
        let row: Option<AttemptRow> = on!(self, c => sqlx::query_as(SQL)
            .bind(id.to_string()).bind(browser.as_str()).bind(expires_at.millis())
            .fetch_optional(c).await)?;
        row.map(AttemptRow::parse).transpose()
    }

    /// Sets the typed code of an attempt's newest mail and forgets the tries of the one before. The attempt
    /// lives its full span from now on: a mail may have waited for its server, and says how long it is good.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_attempt_code(
        &mut self,
        id: RegistrationId,
        tag: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str =
            "UPDATE registrations SET code_tag = $2, code_tries = 0, expires_at = $3 WHERE id = $1";
        let expires_at = now.plus(ACTIVATION_LIFETIME);
        on!(self, c => sqlx::query(SQL)
            .bind(id.to_string()).bind(tag).bind(expires_at.millis()).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Counts one try of a typed code and tells whether it was right. The try is counted in the same
    /// statement that reads the code, so parallel tries cannot exceed the limit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn try_attempt_code(
        &mut self,
        id: RegistrationId,
        tag: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE registrations SET code_tries = code_tries + 1 WHERE id = $1 \
            AND ended_at IS NULL AND expires_at > $2 AND code_tries < $3 AND password_hash IS NOT NULL \
            RETURNING code_tag";
        let found: Option<Option<String>> = on!(self, c => sqlx::query_scalar(SQL)
            .bind(id.to_string()).bind(now.millis()).bind(typed_code::TRIES).fetch_optional(c).await)?;
        // An HMAC is compared with an HMAC: where they differ says nothing about the code.
        Ok(found.flatten().is_some_and(|expected| expected == tag))
    }

    /// Turns an attempt whose address was just proven into an account, and ends the other attempts for the
    /// address. Its row decides the race: exactly one caller gets [`Activation::Activated`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn activate(&mut self, id: RegistrationId, now: Timestamp) -> Result<Activation, StoreError> {
        let Some(attempt) = self.attempt(id, now).await? else {
            let ended = self.attempt_ended(id).await?;
            return Ok(if ended { Activation::AlreadyUsed } else { Activation::Unknown });
        };
        let Some(password) = attempt.password.clone() else { return Ok(Activation::Unknown) };
        if !self.end_attempts(&attempt, now).await? {
            return Ok(Activation::AlreadyUsed);
        }
        let user = User {
            id: UserId::new(now),
            email: attempt.email,
            name: attempt.name,
            state: UserState::Active,
            epoch: 0,
            created_at: now,
            updated_at: now,
        };
        if !self.insert_user(&user, Some(&password)).await? {
            return Ok(Activation::AlreadyUsed);
        }
        self.grant_role(user.id, "user").await?;
        Ok(Activation::Activated(Box::new(user), attempt.flow_id))
    }

    /// Ends all attempts for an address, this one among them. `false`: somebody else ended it first. One statement:
    /// two activations of the same address that took their own row first would wait for each other.
    async fn end_attempts(&mut self, attempt: &Attempt, now: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE registrations SET ended_at = $2 WHERE email_key = $1 AND ended_at IS NULL RETURNING id";
        let ended: Vec<String> = on!(self, c => sqlx::query_scalar(SQL)
            .bind(attempt.email.key()).bind(now.millis()).fetch_all(c).await)?;
        Ok(ended.contains(&attempt.id.to_string()))
    }
}
