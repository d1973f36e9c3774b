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
}
