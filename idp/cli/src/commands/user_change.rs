//! Changes to an existing account, each with its audit row in the same transaction.

use idp_core::audit::AuditEvent;
use idp_core::time::Timestamp;
use idp_core::user::{User, UserState};
use idp_store::{ADMIN, LAST_ADMINISTRATOR, StoreError, Tx};
use serde_json::json;

use crate::commands::account_ref::AccountRef;
use crate::commands::new_account::{self, EVERYBODY};
use crate::failure::Failure;
use crate::operator::Operator;
use crate::{audit, output};

/// A change to an account.
#[derive(Clone, Debug)]
pub(crate) enum AccountChange {
    /// Activate it.
    Activate,
    /// Deactivate it; with `force`, even the last administrator.
    Deactivate { force: bool },
    /// Forget the wrong passwords tried.
    Unlock,
    /// Grant a role.
    Grant { role: String },
    /// Revoke a role; with `force`, even the last administrator's.
    Revoke { role: String, force: bool },
}

/// The result of a change.
enum AccountChangeOutcome {
    NoSuchAccount,
    NoSuchRole(String, Vec<String>),
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
    if let AccountChange::Revoke { role, .. } = &change
        && role == EVERYBODY
    {
        let off = operator.command_about("user deactivate", &[&account.to_string()], "");
        return Err(Failure::new(format_args!(
            "every account has the role `user`; deactivate the account with `{off}`"
        )));
    }
    let (missing, last) = (account.not_found(operator), change.last_administrator(&account, operator));
    let input = (account, change.clone(), operator.now);
    let write = operator.store.write(input, |tx, (account, change, now)| {
        Box::pin(async move {
            if !change.may_take_an_administrator() {
                return apply(tx, account, change, *now).await;
            }
            let guard = tx.guard_administrators().await?;
            let outcome = apply(tx, account, change, *now).await?;
            guard.check(tx).await.map(|()| outcome)
        })
    });
    let outcome = match write.await {
        Err(StoreError::Conflict(LAST_ADMINISTRATOR)) => return Err(last),
        outcome => outcome?,
    };
    let (user, changed) = match outcome {
        AccountChangeOutcome::NoSuchAccount => return Err(missing),
        AccountChangeOutcome::NoSuchRole(role, known) => {
            return Err(new_account::no_such_role(&role, &known).into());
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
        AccountChange::Activate | AccountChange::Deactivate { .. } if user.state == UserState::Newer => {
            return Err(StoreError::Newer { table: "users", column: "state", id: user.id.to_string() });
        }
        AccountChange::Activate => {
            let changed = tx.set_user_state(user.id, UserState::Active, now).await?;
            (changed, audit::row(AuditEvent::UserActivated, user.id, now))
        }
        AccountChange::Deactivate { .. } => {
            let changed = tx.set_user_state(user.id, UserState::Deactivated, now).await?;
            (changed, audit::row(AuditEvent::UserDeactivated, user.id, now))
        }
        AccountChange::Unlock => {
            (tx.unlock(&user).await?, audit::row(AuditEvent::UserUnlocked, user.id, now))
        }
        AccountChange::Grant { role } | AccountChange::Revoke { role, .. } => {
            let known = tx.roles().await?;
            if !known.contains(role) {
                return Ok(AccountChangeOutcome::NoSuchRole(role.clone(), known));
            }
            let (changed, event) = match change {
                AccountChange::Grant { .. } => (tx.grant_role(user.id, role).await?, AuditEvent::RoleGranted),
                _ => (tx.revoke_role(user.id, role).await?, AuditEvent::RoleRevoked),
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
    /// Whether it must leave an administrator, and might not.
    fn may_take_an_administrator(&self) -> bool {
        match self {
            Self::Deactivate { force } => !force,
            Self::Revoke { role, force } => !force && role == ADMIN,
            Self::Activate | Self::Unlock | Self::Grant { .. } => false,
        }
    }

    /// Why the change is refused if no administrator would be left.
    fn last_administrator(&self, account: &AccountRef, operator: &Operator) -> Failure {
        let named = account.to_string();
        let (verb, values) = match self {
            Self::Revoke { role, .. } => ("user role remove", vec![&*named, role]),
            _ => ("user deactivate", vec![&*named]),
        };
        Failure::new(format_args!(
            "{account} is the only active account with the role `{ADMIN}`; give it to another account first, or use `{}`",
            operator.command_about(verb, &values, "--force")
        ))
    }

    fn sentence(&self, user: &User, changed: bool) -> String {
        let email = &user.email;
        match (self, changed) {
            (Self::Activate, true) => format!("{email} may sign in again."),
            (Self::Activate, false) => format!("{email} is already active."),
            (Self::Deactivate { .. }, true) => {
                format!("{email} is deactivated; its sessions are ended and its tokens revoked.")
            }
            (Self::Deactivate { .. }, false) => format!("{email} is already deactivated."),
            (Self::Unlock, true) => format!("{email} is unlocked."),
            (Self::Unlock, false) => format!("{email} was not locked."),
            (Self::Grant { role }, true) => format!("{email} now has the role `{role}`."),
            (Self::Grant { role }, false) => format!("{email} already has the role `{role}`."),
            (Self::Revoke { role, .. }, true) => {
                format!(
                    "{email} no longer has the role `{role}`; its sessions are ended and its tokens revoked."
                )
            }
            (Self::Revoke { role, .. }, false) => format!("{email} does not have the role `{role}`."),
        }
    }
}
