//! A seed file: accounts and clients to try things out with. Applying it twice is harmless.

use std::path::{Path, PathBuf};

use idp_core::account::password::PasswordPolicy;
use idp_core::client::Client;
use idp_core::secret::Secret;
use idp_core::time::Timestamp;
use idp_server::config::secret_files;
use idp_server::config::settings::{broken_toml, line_of, unknown};
use idp_store::Store;
use serde::Deserialize;
use serde_path_to_error::Segment;
use toml::Spanned;

use crate::audit::BUILT_IN;
use crate::commands::new_account::{self, NewAccount, NewAccountOutcome};
use crate::commands::new_client::{self, ClientSpec};
use crate::failure::Failure;
use crate::secret_input::from_file;

/// The longest seed file, in bytes.
const LONGEST_FILE: u64 = 1024 * 1024;

/// The format of a seed file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedFile {
    #[serde(default)]
    users: Vec<Spanned<SeedUser>>,
    #[serde(default)]
    clients: Vec<Spanned<ClientSpec>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedUser {
    email: String,
    name: String,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
    #[serde(default)]
    roles: Vec<Spanned<String>>,
}

/// The checked content of a seed file.
pub(crate) struct Seed {
    accounts: Vec<NewAccount>,
    clients: Vec<Client>,
}

/// Reads and checks a seed file. Writes nothing.
///
/// # Errors
/// The first error, with file and line.
pub(crate) fn read(path: &Path, policy: &PasswordPolicy, now: Timestamp) -> Result<Seed, Failure> {
    let text = secret_files::read_trusted(path, LONGEST_FILE)
        .map_err(|why| Failure::new(format_args!("{}: {why}", path.display())))?;
    parse(&SeedText { path, text: &text }, policy, now)
}

fn parse(source: &SeedText<'_>, policy: &PasswordPolicy, now: Timestamp) -> Result<Seed, Failure> {
    let at = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    let toml = toml::Deserializer::parse(source.text)
        .map_err(|error| source.refuse(at(&error), broken_toml(source.text, &error)))?;
    let file: SeedFile = serde_path_to_error::deserialize(toml)
        .map_err(|error| source.refuse(at(error.inner()), explain(&error)))?;
    let accounts = file.users.into_iter().map(|user| source.account(user, policy));
    let clients = file.clients.into_iter().map(|client| source.client(client, now));
    Ok(Seed { accounts: accounts.collect::<Result<_, _>>()?, clients: clients.collect::<Result<_, _>>()? })
}

/// An error of serde in our words. Serde's message quotes the value, which can be a password: take only the names of
/// keys and the expected type from it.
fn explain(error: &serde_path_to_error::Error<toml::de::Error>) -> String {
    let message = error.inner().message();
    if let Some(key) = message.strip_prefix("missing field `") {
        return format!("{} is missing", key.trim_end_matches('`'));
    }
    let unknown_key = message.strip_prefix("unknown field `");
    if let Some((key, known)) = unknown_key.and_then(|rest| rest.rsplit_once("`, expected ")) {
        return unknown(key, "key", known.split('`').skip(1).step_by(2));
    }
    let mut path: Vec<&Segment> = error.path().iter().collect();
    // `Spanned` adds keys of its own, which begin with `$`.
    path.retain(|segment| !segment.to_string().starts_with('$'));
    let in_list =
        matches!(path.last(), Some(Segment::Seq { .. })) || message.ends_with("expected a sequence");
    let key = path.into_iter().rev().find(|segment| matches!(segment, Segment::Map { .. }));
    match key.map(ToString::to_string).unwrap_or_default().as_str() {
        key @ ("users" | "clients") => format!("write each entry of {key} as a table `[[{key}]]`"),
        key if in_list => format!("{key} takes a list of strings"),
        key if message.ends_with("expected a boolean") => format!("{key} takes true or false"),
        key => format!("{key} takes a string"),
    }
}

impl Seed {
    /// Creates what does not exist yet, and leaves the rest unchanged. Returns a sentence about it.
    ///
    /// # Errors
    /// [`Failure`]: an unknown role, or the database fails.
    pub(crate) async fn apply(self, store: &Store, now: Timestamp) -> Result<String, Failure> {
        let (mut created, mut existing) = (0, 0);
        for account in self.accounts {
            match account.create(store, now).await? {
                NewAccountOutcome::Created(..) => created += 1,
                NewAccountOutcome::AddressTaken => existing += 1,
                NewAccountOutcome::NoSuchRole(role, known) => {
                    return Err(Failure::new(format_args!(
                        "seed: {}",
                        new_account::no_such_role(&role, &known)
                    )));
                }
            }
        }
        for client in self.clients {
            let is_new = new_client::register(store, client).await?;
            *if is_new { &mut created } else { &mut existing } += 1;
        }
        Ok(format!("{created} created, {existing} already there and left unchanged"))
    }
}

struct SeedText<'a> {
    path: &'a Path,
    text: &'a str,
}

impl SeedText<'_> {
    fn refuse(&self, at: usize, what: impl std::fmt::Display) -> Failure {
        Failure::new(format_args!("{} line {}: {what}", self.path.display(), line_of(self.text, at)))
    }

    fn account(&self, user: Spanned<SeedUser>, policy: &PasswordPolicy) -> Result<NewAccount, Failure> {
        let (at, user) = (user.span().start, user.into_inner());
        let refuse = |why| self.refuse(at, why);
        // Only built-in roles: nobody can have created others before the seed is applied.
        if let Some(role) = user.roles.iter().find(|role| !BUILT_IN.contains(&role.get_ref().as_str())) {
            return Err(self.refuse(role.span().start, unknown(role.get_ref(), "role", BUILT_IN.into_iter())));
        }
        let password = self.secret("password", user.password, user.password_file);
        let password =
            password.and_then(|given| given.ok_or("password or password_file is missing".to_owned()));
        let account = NewAccount::checked(&user.email, &user.name, password.map_err(refuse)?, policy);
        Ok(account.map_err(refuse)?.with_roles(user.roles.into_iter().map(Spanned::into_inner)))
    }

    fn client(&self, client: Spanned<ClientSpec>, now: Timestamp) -> Result<Client, Failure> {
        let (at, mut spec) = (client.span().start, client.into_inner());
        let secret = self.secret("secret", spec.secret.take(), spec.secret_file.take());
        let client = secret.and_then(|secret| ClientSpec { secret, ..spec }.checked(now));
        client.map_err(|why| self.refuse(at, why))
    }

    /// A secret, from the seed itself or from a file beside it.
    fn secret(
        &self,
        key: &str,
        given: Option<Secret>,
        file: Option<PathBuf>,
    ) -> Result<Option<Secret>, String> {
        let Some(file) = file else { return Ok(given) };
        if given.is_some() {
            return Err(format!("keep one of {key} and {key}_file"));
        }
        from_file(&self.path.parent().unwrap_or(Path::new("")).join(file)).map(Some)
    }
}

#[cfg(test)]
#[path = "seed_tests.rs"]
mod tests;
