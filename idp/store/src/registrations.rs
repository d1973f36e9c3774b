//! Registrations, and how one becomes an account.

use idp_core::account::password::PasswordHash;
use idp_core::account::registration::{ACTIVATION_LIFETIME, RESEND_WAIT};
use idp_core::ids::{FlowId, RegistrationId, UserId};
use idp_core::secret::Digest;
use idp_core::time::Timestamp;
use idp_core::typed_code;
use idp_core::user::{Email, FullName, User, UserState};

use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;
use crate::row::{RowRef, timestamp, unless_newer};

/// A registration to be stored.
#[derive(Clone, Debug)]
pub struct NewRegistration {
    /// Its id.
    pub id: RegistrationId,
    /// The address, not verified yet.
    pub email: Email,
    /// Full name.
    pub name: FullName,
    /// The hash of the chosen password.
    pub password: PasswordHash,
    /// The address already has an account: this registration can become nothing, but looks like any other.
    pub known_address: bool,
    /// The browser it was made in.
    pub browser: Digest,
    /// The flow to continue afterwards.
    pub flow_id: Option<FlowId>,
}

/// A registration that has neither ended nor expired.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its id.
    pub id: RegistrationId,
    /// The address.
    pub email: Email,
    /// Full name.
    pub name: FullName,
    /// The hash of the chosen password.
    pub password: PasswordHash,
    /// The address already has an account: this registration can become nothing.
    pub known_address: bool,
    /// The browser it was made in.
    pub browser: Digest,
    /// The flow to continue afterwards.
    pub flow_id: Option<FlowId>,
    /// When the last email was requested.
    pub mailed_at: Timestamp,
    /// When the registration, its link and its code expire.
    pub expires_at: Timestamp,
}

/// The state of a registration, as far as its own browser may know it. That somebody else's registration verified the
/// address is not revealed: whoever registers an address that is not theirs could tell from it when the owner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// Its address has not been verified, or was verified by another browser.
    Waiting,
    /// It became the account.
    Activated,
    /// Another registration of the same browser became the account, or the account was made otherwise.
    Ended,
    /// It expired.
    Expired,
}

/// The result of entering a typed code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeTry {
    /// The code from the newest email.
    Right,
    /// A wrong code; there are tries left.
    Wrong,
    /// A wrong code, or one that was not checked: no tries are left until the next email.
    NoneLeft,
}

/// The result of an activation.
#[derive(Clone, Debug)]
pub enum Activation {
    /// The account exists now.
    Activated(Box<User>, Option<FlowId>),
    /// The link or code was used before, or the address has an account by now.
    AlreadyUsed,
    /// It has expired, or was never made here.
    Unknown,
}

#[derive(sqlx::FromRow)]
struct RegistrationRow {
    id: String,
    email: String,
    name: String,
    password_hash: String,
    known_address: bool,
    browser_digest: String,
    flow_id: Option<String>,
    mailed_at: i64,
    expires_at: i64,
}

impl RegistrationRow {
    fn open_or_expired(&self, now: Timestamp) -> RegistrationState {
        if self.expires_at <= now.millis() { RegistrationState::Expired } else { RegistrationState::Waiting }
    }

    fn parse(self) -> Result<Registration, StoreError> {
        let row = RowRef { table: "registrations", id: &self.id };
        let flow_id = self.flow_id.map(|id| row.parsed("flow_id", &id));
        Ok(Registration {
            id: row.parsed("id", &self.id)?,
            email: row.value("email", Email::parse(&self.email).ok())?,
            name: row.value("name", FullName::from_stored(&self.name).ok())?,
            password: row.password(&self.password_hash)?,
            known_address: self.known_address,
            browser: row.value("browser_digest", Digest::from_stored(&self.browser_digest))?,
            flow_id: flow_id.transpose()?,
            mailed_at: timestamp(self.mailed_at),
            expires_at: timestamp(self.expires_at),
        })
    }
}

#[derive(sqlx::FromRow)]
struct RegistrationStateRow {
    #[sqlx(flatten)]
    registration: RegistrationRow,
    outcome: Option<String>,
}

/// It became the account.
const ACCOUNT: &str = "account";
/// Another registration of the same browser became the account, or the account was made otherwise.
const ENDED_AND_SHOWN: &str = "told";

impl Reader {
    /// A registration by id, in whatever state, as long as its row is kept. The state is read from this row alone: a
    /// look-up elsewhere would take longer if the address has an account, and timing would reveal it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn registration_and_state(
        &mut self,
        id: RegistrationId,
        now: Timestamp,
    ) -> Result<Option<(Registration, RegistrationState)>, StoreError> {
        const SQL: &str = "SELECT id, email, name, password_hash, known_address, browser_digest, flow_id, mailed_at, \
            expires_at, outcome FROM registrations WHERE id = $1";
        let row: Option<RegistrationStateRow> =
            on!(self, c => sqlx::query_as(SQL).bind(id.to_string()).fetch_optional(c).await)?;
        let Some(row) = row else { return Ok(None) };
        let state = match row.outcome.as_deref() {
            Some(ACCOUNT) => RegistrationState::Activated,
            Some(ENDED_AND_SHOWN) => RegistrationState::Ended,
            Some(_) => {
                RowRef { table: "registrations", id: &row.registration.id }.log_left_alone("outcome");
                row.registration.open_or_expired(now)
            }
            None => row.registration.open_or_expired(now),
        };
        Ok(Some((row.registration.parse()?, state)))
    }

    /// A live registration by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn registration(
        &mut self,
        id: RegistrationId,
        now: Timestamp,
    ) -> Result<Option<Registration>, StoreError> {
        const SQL: &str = "SELECT id, email, name, password_hash, known_address, browser_digest, flow_id, mailed_at, \
            expires_at FROM registrations WHERE id = $1 AND ended_at IS NULL AND expires_at > $2";
        let row: Option<RegistrationRow> = on!(self, c => sqlx::query_as(SQL).bind(id.to_string()).bind(now.millis()).fetch_optional(c).await)?;
        row.map(RegistrationRow::parse).transpose()
    }

    /// Whether a registration has ended: it, or another one for its address, became an account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn registration_ended(&mut self, id: RegistrationId) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM registrations WHERE id = $1 AND ended_at IS NOT NULL";
        let ended: i64 = on!(self, c => sqlx::query_scalar(SQL).bind(id.to_string()).fetch_one(c).await)?;
        Ok(ended == 1)
    }

    /// The registration that a password is compared with at sign-in: the newest unexpired one for the address. Those
    /// that ended, and those of an address that had an account already, count only for an `unknown_browser`, which must
    /// not learn about the account, unless it has been told.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_registration(
        &mut self,
        email: &Email,
        unknown_browser: Option<&Digest>,
        now: Timestamp,
    ) -> Result<Option<Registration>, StoreError> {
        const SQL: &str = "SELECT id, email, name, password_hash, known_address, browser_digest, flow_id, mailed_at, \
            expires_at FROM registrations WHERE email_key = $1 AND expires_at > $2 \
            AND ((ended_at IS NULL AND ($3 IS NOT NULL OR NOT known_address)) OR browser_digest <> $3 OR (browser_digest = $3 AND COALESCE(outcome, '') <> $4)) ORDER BY created_at DESC, id DESC LIMIT 1";
        let row: Option<RegistrationRow> = on!(self, c => sqlx::query_as(SQL).bind(email.key()).bind(now.millis()).bind(unknown_browser.map(Digest::as_str)).bind(ENDED_AND_SHOWN).fetch_optional(c).await)?;
        let Some(row) = row else { return Ok(None) };
        unless_newer(row.parse())
    }
}

impl Tx {
    /// Stores a registration.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_registration(
        &mut self,
        registration: &NewRegistration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO registrations (id, email, email_key, name, password_hash, known_address, \
            browser_digest, flow_id, code_tries, mailed_at, created_at, expires_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $9, $10)";
        let expires_at = now.plus(ACTIVATION_LIFETIME);
        on!(self, c => sqlx::query(SQL)
            .bind(registration.id.to_string()).bind(registration.email.as_str()).bind(registration.email.key())
            .bind(registration.name.as_str()).bind(registration.password.as_str()).bind(registration.known_address)
            .bind(registration.browser.as_str()).bind(registration.flow_id.map(|id| id.to_string()))
            .bind(now.millis()).bind(expires_at.millis())
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Records that another email was requested, and gives the registration its full lifetime again. `false`: the last
    /// email was requested too recently. Parallel calls queue for the row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn registration_mailed(
        &mut self,
        id: RegistrationId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE registrations SET mailed_at = $2, expires_at = $3 WHERE id = $1 AND mailed_at <= $4";
        let expires_at = now.plus(ACTIVATION_LIFETIME);
        let noted = on!(self, c => sqlx::query(SQL)
            .bind(id.to_string()).bind(now.millis()).bind(expires_at.millis())
            .bind(now.minus(RESEND_WAIT).millis())
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(noted == 1)
    }

    /// Invalidates the code of the previous email and resets its tries, because a new email is on its way. Done when
    /// the email is requested, not when it is sent, so that an address that gets no code behaves the same.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_registration_code(&mut self, id: RegistrationId) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE registrations SET code_tag = NULL, code_tries = 0 WHERE id = $1";
        on!(self, c => sqlx::query(SQL).bind(id.to_string()).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Sets the typed code of a registration's newest email. The expiry stays the same: it must not reveal whether the
    /// address gets such emails.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_registration_code(&mut self, id: RegistrationId, tag: &str) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE registrations SET code_tag = $2 WHERE id = $1";
        on!(self, c => sqlx::query(SQL).bind(id.to_string()).bind(tag).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Counts one try of a typed code and returns its result. The statement that reads the code also counts the try,
    /// so parallel tries cannot exceed the limit. A registration for a known address, or one that has ended, has no
    /// valid code and counts the same.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn try_registration_code(
        &mut self,
        id: RegistrationId,
        tag: &str,
        now: Timestamp,
    ) -> Result<CodeTry, StoreError> {
        const SQL: &str = "UPDATE registrations SET code_tries = code_tries + 1 WHERE id = $1 \
            AND expires_at > $2 AND code_tries < $3 \
            RETURNING known_address OR ended_at IS NOT NULL, code_tag, code_tries";
        let found: Option<(bool, Option<String>, i64)> = on!(self, c => sqlx::query_as(SQL)
            .bind(id.to_string()).bind(now.millis()).bind(typed_code::TRIES).fetch_optional(c).await)?;
        // Both sides are HMACs: where they differ reveals nothing about the code.
        Ok(match found {
            Some((false, Some(expected), _)) if expected == tag => CodeTry::Right,
            Some((_, _, tries)) if tries < typed_code::TRIES => CodeTry::Wrong,
            _ => CodeTry::NoneLeft,
        })
    }

    /// Turns a registration whose address was just verified into an account, and ends the other registrations for the
    /// address. Its row decides the race: exactly one caller gets [`Activation::Activated`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn activate(&mut self, id: RegistrationId, now: Timestamp) -> Result<Activation, StoreError> {
        let Some(registration) = self.registration(id, now).await? else {
            let ended = self.registration_ended(id).await?;
            return Ok(if ended { Activation::AlreadyUsed } else { Activation::Unknown });
        };
        if registration.known_address {
            return Ok(Activation::Unknown);
        }
        if !self.end_registrations(&registration, now).await? {
            return Ok(Activation::AlreadyUsed);
        }
        let user = User {
            id: UserId::new(now),
            email: registration.email,
            name: registration.name,
            state: UserState::Active,
            epoch: 0,
            created_at: now,
            updated_at: now,
        };
        if !self.insert_user(&user, Some(&registration.password)).await? {
            self.set_outcome(id, ENDED_AND_SHOWN).await?;
            return Ok(Activation::AlreadyUsed);
        }
        self.keep_count(&user).await?;
        self.grant_role(user.id, "user").await?;
        Ok(Activation::Activated(Box::new(user), registration.flow_id))
    }

    async fn set_outcome(&mut self, id: RegistrationId, outcome: &str) -> Result<(), StoreError> {
        const SQL: &str =
            "UPDATE registrations SET outcome = $2 WHERE id = $1 AND (outcome IS NULL OR outcome = $3)";
        on!(self, c => sqlx::query(SQL)
            .bind(id.to_string()).bind(outcome).bind(ACCOUNT).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Ends all registrations for an address, including this one, which becomes the account. `false`: somebody else
    /// ended it first. One statement, because two activations for the same address that each locked their own row
    /// first would wait for each other.
    async fn end_registrations(
        &mut self,
        registration: &Registration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE registrations SET ended_at = $2, \
            outcome = COALESCE(outcome, CASE WHEN id = $3 THEN $4 WHEN browser_digest = $5 THEN $6 END) \
            WHERE email_key = $1 AND ended_at IS NULL RETURNING id";
        let id = registration.id.to_string();
        let ended: Vec<String> = on!(self, c => sqlx::query_scalar(SQL)
            .bind(registration.email.key()).bind(now.millis()).bind(id.as_str()).bind(ACCOUNT)
            .bind(registration.browser.as_str()).bind(ENDED_AND_SHOWN).fetch_all(c).await)?;
        Ok(ended.contains(&id))
    }
}
