//! Changes to an existing account, each with its audit row in the same transaction.

use idp_core::audit::AuditEvent;
use idp_core::time::Timestamp;
use idp_core::user::{User, UserState};
use idp_store::{StoreError, Tx};
use serde_json::json;

use crate::commands::account_ref::AccountRef;
use crate::commands::new_account::{self, EVERYBODY};
use crate::failure::Failure;
use crate::operator::Operator;
use crate::{audit, output};

/// A change to an account.
#[derive(Clone, Debug)]
pub(crate) enum AccountChange {
    /// Activate or deactivate it.
    State(UserState),
    /// Forget the wrong passwords tried.
    Unlock,
    /// Grant or revoke a role.
    Role { role: String, granted: bool },
}

/// The result of a change.
enum AccountChangeOutcome {
    NoSuchAccount,
    NoSuchRole(Vec<String>),
    Done { user: Box<User>, changed: bool },
}

/// Makes the change and prints the result.
///
/// # Errors
/// [`Failure`]: no such account or role, or the database fails.
pub(crate) async fn change(
    operator: &Operator,
    account: AccountRef,
    change: AccountChange,
) -> Result<(), Failure> {
    if let AccountChange::Role { role, granted: false } = &change
        && role == EVERYBODY
    {
        let off = operator.command(&format!("user deactivate {account}"));
        return Err(Failure::new(format_args!(
            "every account has the role `user`; deactivate the account with `{off}`"
        )));
    }
    let (missing, input) = (account.not_found(operator), (account, change.clone(), operator.now));
    let write =
        operator.store.write(input, |tx, (account, change, now)| Box::pin(apply(tx, account, change, *now)));
    let (user, changed) = match write.await? {
        AccountChangeOutcome::NoSuchAccount => return Err(missing),
        AccountChangeOutcome::NoSuchRole(known) => {
            let AccountChange::Role { role, .. } = &change else { return Err(missing) };
            return Err(new_account::no_such_role(role, &known).into());
        }
        AccountChangeOutcome::Done { user, changed } => (user, changed),
    };
    let json = json!({ "id": user.id.to_string(), "email": user.email.as_str(), "changed": changed });
    output::answer(operator.format(), json, change.sentence(&user, changed));
    Ok(())
}

async fn apply(
    tx: &mut Tx,
    account: &AccountRef,
    change: &AccountChange,
    now: Timestamp,
) -> Result<AccountChangeOutcome, StoreError> {
    let Some(user) = account.find(tx).await? else { return Ok(AccountChangeOutcome::NoSuchAccount) };
    let (changed, row) = match change {
        AccountChange::State(_) if user.state == UserState::Newer => {
            return Err(StoreError::Newer { table: "users", column: "state", id: user.id.to_string() });
        }
        AccountChange::State(state) => {
            let event = match state {
                UserState::Active => AuditEvent::UserActivated,
                _ => AuditEvent::UserDeactivated,
            };
            (tx.set_user_state(user.id, *state, now).await?, audit::row(event, user.id, now))
        }
        AccountChange::Unlock => {
            (tx.unlock(&user).await?, audit::row(AuditEvent::UserUnlocked, user.id, now))
        }
        AccountChange::Role { role, granted } => {
            let known = tx.roles().await?;
            if !known.contains(role) {
                return Ok(AccountChangeOutcome::NoSuchRole(known));
            }
            let (changed, event) = match granted {
                true => (tx.grant_role(user.id, role).await?, AuditEvent::RoleGranted),
                false => (tx.revoke_role(user.id, role).await?, AuditEvent::RoleRevoked),
            };
            (changed, audit::role(event, user.id, role, now))
        }
    };
    if changed {
        tx.audit(&row).await?;
    }
    Ok(AccountChangeOutcome::Done { user: Box::new(user), changed })
}

impl AccountChange {
    fn sentence(&self, user: &User, changed: bool) -> String {
        let email = &user.email;
        match (self, changed) {
            (Self::State(UserState::Active), true) => format!("{email} may sign in again."),
            (Self::State(UserState::Active), false) => format!("{email} is already active."),
            (Self::State(_), true) => {
                format!("{email} is deactivated; its sessions are ended and its tokens revoked.")
            }
            (Self::State(_), false) => format!("{email} is already deactivated."),
            (Self::Unlock, true) => format!("{email} is unlocked."),
            (Self::Unlock, false) => format!("{email} was not locked."),
            (Self::Role { role, granted: true }, true) => format!("{email} now has the role `{role}`."),
            (Self::Role { role, granted: true }, false) => format!("{email} already has the role `{role}`."),
            (Self::Role { role, granted: false }, true) => {
                format!(
                    "{email} no longer has the role `{role}`; its sessions are ended and its tokens revoked."
                )
            }
            (Self::Role { role, granted: false }, false) => {
                format!("{email} does not have the role `{role}`.")
            }
        }
    }
}
