//! Accounts.

use idp_core::account::password::PasswordHash;
use idp_core::ids::UserId;
use idp_core::time::Timestamp;
use idp_core::user::{Email, FullName, User, UserState};

use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;
use crate::row::{Listed, RowRef, timestamp, unless_newer};

/// An account and its password hash.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The account.
    pub user: User,
    /// The hash of its password, if it has one.
    pub password: Option<PasswordHash>,
}

#[derive(Clone, sqlx::FromRow)]
pub(crate) struct UserRow {
    id: String,
    email: String,
    name: String,
    state: String,
    epoch: i64,
    created_at: i64,
    updated_at: i64,
}

impl UserRow {
    pub(crate) fn parse(self) -> Result<User, StoreError> {
        let row = RowRef { table: "users", id: &self.id };
        let state = UserState::from_stored(&self.state).unwrap_or_else(|| {
            row.log_left_alone("state");
            UserState::Newer
        });
        Ok(User {
            id: row.parsed("id", &self.id)?,
            email: row.value("email", Email::parse(&self.email).ok())?,
            name: row.value("name", FullName::from_stored(&self.name).ok())?,
            state,
            epoch: self.epoch,
            created_at: timestamp(self.created_at),
            updated_at: timestamp(self.updated_at),
        })
    }
}

#[derive(sqlx::FromRow)]
struct CredentialsRow {
    #[sqlx(flatten)]
    user: UserRow,
    password_hash: Option<String>,
}

/// An account joined with one of its roles.
#[derive(sqlx::FromRow)]
struct UserRoleRow {
    #[sqlx(flatten)]
    user: UserRow,
    role: Option<String>,
}

impl Reader {
    /// The account with this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn user(&mut self, id: UserId) -> Result<Option<User>, StoreError> {
        const SQL: &str =
            "SELECT id, email, name, state, epoch, created_at, updated_at FROM users WHERE id = $1";
        let row: Option<UserRow> =
            on!(self, c => sqlx::query_as(SQL).bind(id.to_string()).fetch_optional(c).await)?;
        row.map(UserRow::parse).transpose()
    }

    /// The account with this address, in whatever letter case, and its password hash.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn credentials(&mut self, email: &Email) -> Result<Option<Credentials>, StoreError> {
        const SQL: &str = "SELECT id, email, name, state, epoch, created_at, updated_at, password_hash \
            FROM users WHERE email_key = $1";
        let row: Option<CredentialsRow> =
            on!(self, c => sqlx::query_as(SQL).bind(email.key()).fetch_optional(c).await)?;
        let Some(CredentialsRow { user, password_hash }) = row else { return Ok(None) };
        let row_ref = RowRef { table: "users", id: &user.id.clone() };
        // A hash this version cannot check counts as none and looks the same from outside, so nobody learns that the
        // account exists.
        let password = match password_hash {
            Some(hash) => unless_newer(row_ref.password(&hash))?,
            None => None,
        };
        Ok(Some(Credentials { user: user.parse()?, password }))
    }

    /// Up to `limit` accounts whose id comes after `after`, in the order they were made, each with the names of its
    /// roles (its own and its groups') in alphabetical order; and why others between them are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn users(
        &mut self,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Listed<(User, Vec<String>)>, StoreError> {
        let (mut page, mut after) = (Listed::empty(), after.map(|id| id.to_string()).unwrap_or_default());
        loop {
            let rows = self.user_rows(&after, page.missing(limit)).await?;
            for account in rows.chunk_by(|one, next| one.user.id == next.user.id) {
                let roles = account.iter().filter_map(|row| row.role.clone()).collect();
                page.add(account[0].user.clone().parse().map(|user| (user, roles)))?;
            }
            match rows.into_iter().next_back() {
                Some(last) if page.missing(limit) > 0 => after = last.user.id,
                _ => return Ok(page),
            }
        }
    }

    async fn user_rows(&mut self, after: &str, limit: i64) -> Result<Vec<UserRoleRow>, StoreError> {
        const SQL: &str = "WITH page AS (SELECT id, email, name, state, epoch, created_at, updated_at FROM users \
            WHERE id > $1 ORDER BY id LIMIT $2) \
            SELECT page.id, email, page.name, state, epoch, created_at, updated_at, roles.name AS role FROM page \
            LEFT JOIN (SELECT ur.user_id, ur.role_id FROM page JOIN user_roles ur ON ur.user_id = page.id \
            UNION SELECT ug.user_id, gr.role_id FROM page JOIN user_groups ug ON ug.user_id = page.id \
            JOIN group_roles gr ON gr.group_id = ug.group_id) has ON has.user_id = page.id \
            LEFT JOIN roles ON roles.id = has.role_id ORDER BY page.id, roles.name";
        Ok(on!(self, c => sqlx::query_as(SQL).bind(after).bind(limit).fetch_all(c).await)?)
    }

    /// The oldest account with this role, its own or a group's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn first_user_with_role(&mut self, role: &str) -> Result<Option<User>, StoreError> {
        const SQL: &str = "SELECT id, email, name, state, epoch, created_at, updated_at FROM users WHERE id IN \
            (SELECT ur.user_id FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE r.name = $1 \
            UNION SELECT ug.user_id FROM user_groups ug JOIN group_roles gr ON gr.group_id = ug.group_id \
            JOIN roles r ON r.id = gr.role_id WHERE r.name = $1) ORDER BY id LIMIT 1";
        let row: Option<UserRow> = on!(self, c => sqlx::query_as(SQL).bind(role).fetch_optional(c).await)?;
        row.map(UserRow::parse).transpose()
    }
}

impl Tx {
    /// Creates an account. `false`: the address already has one, and nothing was changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_user(
        &mut self,
        user: &User,
        password: Option<&PasswordHash>,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO users \
            (id, email, email_key, name, password_hash, state, epoch, created_at, updated_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (email_key) DO NOTHING";
        let made = on!(self, c => sqlx::query(SQL)
            .bind(user.id.to_string()).bind(user.email.as_str()).bind(user.email.key())
            .bind(user.name.as_str()).bind(password.map(PasswordHash::as_str)).bind(user.state.as_str())
            .bind(user.epoch).bind(user.created_at.millis()).bind(user.updated_at.millis())
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(made == 1)
    }

    /// Activates or deactivates an account. Deactivating ends its sessions and grants. `false`: there is no such
    /// account, or it is already in that state or in one that only a newer version knows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_user_state(
        &mut self,
        id: UserId,
        state: UserState,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE users SET state = $2, epoch = epoch + 1, updated_at = $3 \
            WHERE id = $1 AND state <> $2 AND state IN ('active', 'deactivated')";
        let changed = on!(self, c => sqlx::query(SQL)
            .bind(id.to_string()).bind(state.as_str()).bind(now.millis())
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(changed == 1)
    }

    /// Ends all sessions and grants of an account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn raise_user_epoch(&mut self, id: UserId) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE users SET epoch = epoch + 1 WHERE id = $1";
        on!(self, c => sqlx::query(SQL).bind(id.to_string()).execute(c).await.map(drop))?;
        Ok(())
    }
}
