//! The account to sign in with first. Its password is kept beside the database, so that each start can show it.

use std::path::Path;

use idp_core::account::password::{self, HashMemory, PasswordPolicy};
use idp_core::secret::Secret;
use idp_core::time::Timestamp;
use idp_core::user::{Email, UserState};
use idp_store::{Credentials, Store, StoreError};

use crate::commands::dev::{kept_secret, passphrase};
use crate::commands::new_account::{self, NewAccount, NewAccountOutcome};
use crate::failure::Failure;

pub(crate) const FIRST_EMAIL: &str = "admin@example.com";
const ADMIN: &str = "admin";
/// The file with its password.
const PASSWORD_FILE: &str = "first-account.password";

/// The account to sign in with first.
pub(crate) enum FirstAccount {
    /// The one that `dev` created, active and with the password it still has.
    OfDev(Secret),
    /// An account with the role, whose password only its owner knows.
    Exists(String),
    /// An account without the role has its address.
    Taken,
}

/// Finds it, or creates it at the first start.
///
/// # Errors
/// [`Failure`]: the file of its password cannot be used, or the database fails.
pub(crate) async fn find_or_create(
    store: &Store,
    folder: &Path,
    policy: &PasswordPolicy,
    now: Timestamp,
) -> Result<FirstAccount, Failure> {
    let file = folder.join(PASSWORD_FILE);
    if let Some(email) = an_admin(store).await? {
        let kept = if email == FIRST_EMAIL { kept_secret::find(&file)? } else { None };
        return Ok(match kept {
            Some(password) if is_password_of(store, FIRST_EMAIL, &password).await? => {
                FirstAccount::OfDev(password)
            }
            _ => FirstAccount::Exists(email),
        });
    }
    if find(store, FIRST_EMAIL).await?.is_some() {
        return Ok(FirstAccount::Taken);
    }
    let password = kept_secret::find_or_make(&file, passphrase::random)?;
    let account = NewAccount::checked(FIRST_EMAIL, "Admin", password.clone(), policy)?;
    match account.with_roles([ADMIN.to_owned()]).create(store, now).await? {
        NewAccountOutcome::Created(..) => Ok(FirstAccount::OfDev(password)),
        NewAccountOutcome::AddressTaken => Ok(FirstAccount::Taken),
        NewAccountOutcome::NoSuchRole(role, known) => Err(new_account::no_such_role(&role, &known).into()),
    }
}

/// The address of the oldest account with the role `admin`.
async fn an_admin(store: &Store) -> Result<Option<String>, StoreError> {
    let found = store.read((), |reader, ()| Box::pin(reader.first_user_with_role(ADMIN))).await?;
    Ok(found.map(|user| user.email.to_string()))
}

/// Whether somebody can sign in with it.
async fn is_password_of(store: &Store, email: &str, password: &Secret) -> Result<bool, StoreError> {
    let found = find(store, email).await?.filter(|found| found.user.state == UserState::Active);
    let hash = found.and_then(|credentials| credentials.password);
    Ok(hash.is_some_and(|hash| password::verify(password, &hash, &mut HashMemory::default())))
}

async fn find(store: &Store, email: &str) -> Result<Option<Credentials>, StoreError> {
    let Ok(email) = Email::parse(email) else { return Ok(None) };
    store.read(email, |reader, email| Box::pin(reader.credentials(email))).await
}
