//! Accounts created by operators. They pass the same checks as those people register themselves.

use idp_core::account::password::{self, HashMemory, MAX_LENGTH, PasswordHash, PasswordPolicy, WeakPassword};
use idp_core::audit::AuditEvent;
use idp_core::ids::UserId;
use idp_core::secret::Secret;
use idp_core::time::Timestamp;
use idp_core::user::{Email, FullName, User, UserState};
use idp_server::config::settings::unknown;
use idp_store::{Store, StoreError, Tx};

use crate::audit;
use crate::failure::Failure;

/// The role every account has.
pub(crate) const EVERYBODY: &str = "user";

/// A checked account that is not created yet.
pub(crate) struct NewAccount {
    email: Email,
    name: FullName,
    password: Secret,
    roles: Vec<String>,
}

/// The result of creating an account.
pub(crate) enum NewAccountOutcome {
    /// Created, with these roles.
    Created(Box<User>, Vec<String>),
    /// The address already has an account.
    AddressTaken,
    /// The first role does not exist; these do.
    NoSuchRole(String, Vec<String>),
}

impl NewAccount {
    /// Checks the input.
    ///
    /// # Errors
    /// One sentence.
    pub(crate) fn checked(
        email: &str,
        name: &str,
        password: Secret,
        policy: &PasswordPolicy,
    ) -> Result<Self, String> {
        let address = Email::parse(email)
            .map_err(|_| format!("`{email}` is not a plain email address; write it like ada@example.org"))?;
        let name = FullName::parse(name).map_err(|why| why.to_string())?;
        if let Some(sign) = password::untypable(password.expose()) {
            let sign = u32::from(sign);
            return Err(format!("the password contains U+{sign:04X}, which nobody can type into a form"));
        }
        let weak = policy.check(password.expose(), &[name.as_str(), address.as_str()]);
        weak.map_err(|weak| sentence(&weak))?;
        Ok(Self { email: address, name, password, roles: vec![EVERYBODY.to_owned()] })
    }

    /// Adds these roles to the one that everybody has.
    pub(crate) fn with_roles(mut self, roles: impl IntoIterator<Item = String>) -> Self {
        self.roles.extend(roles.into_iter().filter(|role| role != EVERYBODY));
        self.roles.sort();
        self.roles.dedup();
        self
    }

    /// Creates it with its audit rows in one transaction.
    ///
    /// # Errors
    /// [`Failure`] when the database fails.
    pub(crate) async fn create(self, store: &Store, now: Timestamp) -> Result<NewAccountOutcome, Failure> {
        let hash = password::hash(&self.password, &mut HashMemory::default()).map_err(Failure::new)?;
        let user = User {
            id: UserId::new(now),
            email: self.email,
            name: self.name,
            state: UserState::Active,
            epoch: 0,
            created_at: now,
            updated_at: now,
        };
        let input = (user, hash, self.roles);
        Ok(store.write(input, |tx, (user, hash, roles)| Box::pin(insert(tx, user, hash, roles))).await?)
    }
}

async fn insert(
    tx: &mut Tx,
    user: &User,
    hash: &PasswordHash,
    roles: &[String],
) -> Result<NewAccountOutcome, StoreError> {
    let known = tx.roles().await?;
    if let Some(role) = roles.iter().find(|role| !known.contains(role)) {
        return Ok(NewAccountOutcome::NoSuchRole(role.clone(), known));
    }
    if !tx.insert_user(user, Some(hash)).await? {
        return Ok(NewAccountOutcome::AddressTaken);
    }
    let now = user.created_at;
    tx.audit(&audit::row(AuditEvent::UserCreated, user.id, now)).await?;
    for role in roles {
        tx.grant_role(user.id, role).await?;
        if role != EVERYBODY {
            tx.audit(&audit::role(AuditEvent::RoleGranted, user.id, role, now)).await?;
        }
    }
    Ok(NewAccountOutcome::Created(Box::new(user.clone()), roles.to_vec()))
}

/// The sentence about a role that does not exist.
pub(crate) fn no_such_role(role: &str, known: &[String]) -> String {
    unknown(role, "role", known.iter().map(String::as_str))
}

/// Why a password is refused, and what would be better.
fn sentence(weak: &WeakPassword) -> String {
    match weak {
        WeakPassword::TooShort { min } => {
            format!("the password has fewer than {min} characters; three or four words make a good one")
        }
        WeakPassword::TooLong => {
            format!("the password has more than {MAX_LENGTH} characters; use fewer words")
        }
        WeakPassword::OwnData => {
            "the password is mostly the name, the address or the name of this service; use other words"
                .to_owned()
        }
        WeakPassword::Guessable(_) => {
            "the password is easy to guess; three or four unrelated words are better".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(email: &str, name: &str, password: &str) -> Result<NewAccount, String> {
        NewAccount::checked(email, name, Secret::new(password.to_owned()), &PasswordPolicy::new(15, "idp"))
    }

    #[test]
    fn an_operators_account_passes_the_same_checks_as_anybodys() {
        assert!(checked("ada@example.org", "Ada Lovelace", "tinker brass umbrella").is_ok());
        for (email, name, password, why) in [
            ("ada", "Ada", "tinker brass umbrella", "`ada` is not a plain email address"),
            ("ada@example.org", " ", "tinker brass umbrella", "a name is missing"),
            ("ada@example.org", "Ada", "tinker", "fewer than 15 characters"),
            ("ada@example.org", "Ada", "ada@example.org", "mostly the name, the address"),
            ("ada@example.org", "Ada", "passwordpassword", "easy to guess"),
        ] {
            let told = checked(email, name, password).err().unwrap_or_default();
            assert!(told.contains(why) && !told.contains(password) || password == email, "{told}");
        }
    }

    #[test]
    fn roles_are_each_given_once_and_everybody_is_a_user() {
        let account = checked("ada@example.org", "Ada Lovelace", "tinker brass umbrella").unwrap();
        let roles = ["user", "admin", "admin"].map(str::to_owned);
        assert_eq!(account.with_roles(roles).roles, ["admin", "user"]);
    }
}
