//! Roles, groups, and who has which.

use idp_core::ids::UserId;

use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;

impl Reader {
    /// The names of all roles, in alphabetical order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn roles(&mut self) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "SELECT name FROM roles ORDER BY name";
        Ok(on!(self, c => sqlx::query_scalar(SQL).fetch_all(c).await)?)
    }

    /// The names of a user's roles, their own and their groups'.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn roles_of(&mut self, user: UserId) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "SELECT r.name FROM roles r JOIN user_roles ur ON ur.role_id = r.id \
            WHERE ur.user_id = $1 UNION SELECT r.name FROM roles r JOIN group_roles gr ON gr.role_id = r.id \
            JOIN user_groups ug ON ug.group_id = gr.group_id WHERE ug.user_id = $1 ORDER BY 1";
        Ok(on!(self, c => sqlx::query_scalar(SQL).bind(user.to_string()).fetch_all(c).await)?)
    }
}

/// The role of administrators.
pub const ADMIN: &str = "admin";

impl Tx {
    /// Gives a user a role. `false`: there is no such role, or the user already has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grant_role(&mut self, user: UserId, role: &str) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO user_roles (user_id, role_id) SELECT $1, id FROM roles WHERE name = $2 \
            ON CONFLICT (user_id, role_id) DO NOTHING";
        let made = on!(self, c => sqlx::query(SQL)
            .bind(user.to_string()).bind(role).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(made == 1)
    }

    /// Takes a role from a user and ends their sessions and grants, which were made with it. `false`: the user did
    /// not have it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_role(&mut self, user: UserId, role: &str) -> Result<bool, StoreError> {
        const SQL: &str = "DELETE FROM user_roles WHERE user_id = $1 \
            AND role_id IN (SELECT id FROM roles WHERE name = $2)";
        let gone = on!(self, c => sqlx::query(SQL)
            .bind(user.to_string()).bind(role).execute(c).await.map(|done| done.rows_affected()))?;
        if gone == 1 {
            self.raise_user_epoch(user).await?;
        }
        Ok(gone == 1)
    }

    /// Begins a change that may take away the last administrator. Other changes that begin so wait for the end of this
    /// transaction: two of them would each see the administrator whom the other takes away.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn guard_administrators(&mut self) -> Result<AdministratorGuard, StoreError> {
        const SQL: &str = "UPDATE roles SET name = name WHERE name = $1";
        on!(self, c => sqlx::query(SQL).bind(ADMIN).execute(c).await.map(drop))?;
        Ok(AdministratorGuard { before: self.has_administrator().await? })
    }

    /// Whether an active account has the role of administrators, its own or a group's.
    async fn has_administrator(&mut self) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT 1 FROM users WHERE state = 'active' AND id IN \
            (SELECT ur.user_id FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE r.name = $1 \
            UNION SELECT ug.user_id FROM user_groups ug JOIN group_roles gr ON gr.group_id = ug.group_id \
            JOIN roles r ON r.id = gr.role_id WHERE r.name = $1) LIMIT 1";
        let found: Option<i32> = on!(self, c => sqlx::query_scalar(SQL).bind(ADMIN).fetch_optional(c).await)?;
        Ok(found.is_some())
    }
}

/// Whether there was an administrator before a change.
#[must_use]
#[derive(Debug)]
pub struct AdministratorGuard {
    before: bool,
}

impl AdministratorGuard {
    /// Ends the change.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if it took away the last administrator: then nothing of the transaction may be kept.
    pub async fn check(self, tx: &mut Tx) -> Result<(), StoreError> {
        match self.before && !tx.has_administrator().await? {
            true => Err(StoreError::Conflict(LAST_ADMINISTRATOR)),
            false => Ok(()),
        }
    }
}

/// What [`AdministratorGuard::check`] says is missing.
pub const LAST_ADMINISTRATOR: &str = "other administrator";
