//! A seed file: accounts and applications to try things out with. Sowing it twice is harmless.

use std::path::Path;

use idp_core::account::password::PasswordPolicy;
use idp_core::client::Client;
use idp_core::secret::Secret;
use idp_core::time::Timestamp;
use idp_server::config::settings::{broken_toml, line_of, unknown};
use idp_store::Store;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::audit::BUILT_IN;
use crate::commands::new_account::{self, NewAccount, NewAccountOutcome};
use crate::commands::new_client::{self, ClientSpec};
use crate::failure::Failure;
use crate::output;
use crate::secret_input::from_file;

/// The kinds of entries.
const KINDS: [&str; 2] = ["users", "clients"];
const USER: [&str; 5] = ["email", "name", "password", "password_file", "roles"];
const CLIENT: [&str; 15] = [
    "id",
    "name",
    "secret",
    "secret_file",
    "public",
    "native",
    "redirect_uris",
    "post_logout_redirect_uris",
    "home_uri",
    "scopes",
    "auth_method",
    "pkce",
    "consent",
    "id_token_alg",
    "access_token_alg",
];

/// What a seed file holds, checked.
#[derive(Default)]
pub(crate) struct Seed {
    accounts: Vec<NewAccount>,
    clients: Vec<Client>,
}

/// Reads and checks a seed file; nothing is written.
///
/// # Errors
/// The first thing that is wrong, with file and line.
pub(crate) fn read(path: &Path, policy: &PasswordPolicy, now: Timestamp) -> Result<Seed, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(format_args!("{}: this file cannot be read: {error}", path.display()))
    })?;
    parse(&Source { path, text: &text }, policy, now)
}

fn parse(source: &Source<'_>, policy: &PasswordPolicy, now: Timestamp) -> Result<Seed, Failure> {
    let table = DeTable::parse(source.text).map_err(|error| {
        source.refuse(error.span().map_or(0, |span| span.start), broken_toml(source.text, &error))
    })?;
    let mut seed = Seed::default();
    for (kind, entries) in table.get_ref() {
        let wrong = || source.refuse(kind.span().start, unknown(kind.get_ref(), "table", KINDS.into_iter()));
        let DeValue::Array(entries) = entries.get_ref() else { return Err(wrong()) };
        for entry in entries {
            let DeValue::Table(table) = entry.get_ref() else { return Err(wrong()) };
            let entry = Entry { source, at: entry.span().start, table };
            match &**kind.get_ref() {
                "users" => seed.accounts.push(entry.account(policy)?),
                "clients" => seed.clients.push(entry.client(now)?),
                _ => return Err(wrong()),
            }
        }
    }
    Ok(seed)
}

impl Seed {
    /// Makes what is not there yet; what is there is left as it is.
    ///
    /// # Errors
    /// [`Failure`]: an unknown role, or the database fails.
    pub(crate) async fn sow(self, store: &Store, now: Timestamp) -> Result<(), Failure> {
        let (mut made, mut there) = (0, 0);
        for account in self.accounts {
            match account.make(store, now).await? {
                NewAccountOutcome::Made(..) => made += 1,
                NewAccountOutcome::AddressTaken => there += 1,
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
            *if is_new { &mut made } else { &mut there } += 1;
        }
        output::line(format_args!("Seed: {made} made, {there} there already and left as they are."));
        Ok(())
    }
}

struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn refuse(&self, at: usize, what: impl std::fmt::Display) -> Failure {
        Failure::new(format_args!("{} line {}: {what}", self.path.display(), line_of(self.text, at)))
    }
}

/// One `[[users]]` or `[[clients]]`.
struct Entry<'a> {
    source: &'a Source<'a>,
    at: usize,
    table: &'a DeTable<'a>,
}

impl Entry<'_> {
    fn account(&self, policy: &PasswordPolicy) -> Result<NewAccount, Failure> {
        self.only(&USER)?;
        let (email, name) = (self.needed("email")?, self.needed("name")?);
        let password = self.secret("password", "password_file")?;
        let password = password.ok_or_else(|| self.refuse("password or password_file is missing"))?;
        let account = NewAccount::checked(&email, &name, password, policy).map_err(|why| self.refuse(why))?;
        Ok(account.with_roles(self.roles()?))
    }

    /// Roles that are there from the start; a seed comes before anybody could make others.
    fn roles(&self) -> Result<Vec<String>, Failure> {
        let roles = self.texts("roles")?;
        let stranger = roles.iter().find(|role| !BUILT_IN.contains(&role.as_str()));
        stranger.map_or(Ok(roles.clone()), |role| {
            let what = unknown(role, "role", BUILT_IN.into_iter());
            let value = self.table.iter().find(|(key, _)| key.get_ref() == "roles");
            Err(self.source.refuse(value.map_or(self.at, |(key, _)| key.span().start), what))
        })
    }

    fn client(&self, now: Timestamp) -> Result<Client, Failure> {
        self.only(&CLIENT)?;
        let spec = ClientSpec {
            id: self.needed("id")?,
            name: self.text("name")?,
            public: self.switch("public")?,
            native: self.switch("native")?,
            redirect_uris: self.texts("redirect_uris")?,
            post_logout_redirect_uris: self.texts("post_logout_redirect_uris")?,
            home_uri: self.text("home_uri")?,
            scopes: self.texts("scopes")?,
            auth_method: self.text("auth_method")?,
            pkce: self.text("pkce")?,
            consent: self.text("consent")?,
            id_token_alg: self.text("id_token_alg")?,
            access_token_alg: self.text("access_token_alg")?,
            secret: self.secret("secret", "secret_file")?,
        };
        spec.checked(now).map_err(|why| self.refuse(why))
    }

    fn refuse(&self, what: impl std::fmt::Display) -> Failure {
        self.source.refuse(self.at, what)
    }

    fn only(&self, known: &[&str]) -> Result<(), Failure> {
        match self.table.iter().find(|(key, _)| !known.contains(&&**key.get_ref())) {
            None => Ok(()),
            Some((key, _)) => {
                let what = unknown(key.get_ref(), "key", known.iter().copied());
                Err(self.source.refuse(key.span().start, what))
            }
        }
    }

    /// A value read by `read`; which is to answer `None` for the wrong type. The value itself is not told, it
    /// may be a password.
    fn get<T>(
        &self,
        key: &str,
        wanted: &str,
        read: impl Fn(&DeValue<'_>) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let Some((_, value)) = self.table.iter().find(|(known, _)| known.get_ref() == key) else {
            return Ok(None);
        };
        let wrong = || self.source.refuse(value.span().start, format_args!("{key} takes {wanted}"));
        read(value.get_ref()).map(Some).ok_or_else(wrong)
    }

    fn text(&self, key: &str) -> Result<Option<String>, Failure> {
        self.get(key, "a text", |value| value.as_str().map(str::to_owned))
    }

    fn needed(&self, key: &str) -> Result<String, Failure> {
        self.text(key)?.ok_or_else(|| self.refuse(format_args!("{key} is missing")))
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, Failure> {
        let text = |item: &Spanned<DeValue<'_>>| item.get_ref().as_str().map(str::to_owned);
        let read = |value: &DeValue<'_>| value.as_array()?.iter().map(text).collect();
        Ok(self.get(key, "a list of texts", read)?.unwrap_or_default())
    }

    fn switch(&self, key: &str) -> Result<bool, Failure> {
        Ok(self.get(key, "true or false", |value| value.as_bool())?.unwrap_or_default())
    }

    /// A secret, written here or in a file beside this one.
    fn secret(&self, key: &str, file_key: &str) -> Result<Option<Secret>, Failure> {
        match (self.text(key)?, self.text(file_key)?) {
            (Some(_), Some(_)) => Err(self.refuse(format_args!("keep one of {key} and {file_key}"))),
            (Some(text), None) => Ok(Some(Secret::new(text))),
            (None, Some(file)) => {
                let path = self.source.path.parent().unwrap_or(Path::new("")).join(file);
                from_file(&path).map(Some).map_err(|why| self.refuse(why))
            }
            (None, None) => Ok(None),
        }
    }
}

#[cfg(test)]
#[path = "seed_tests.rs"]
mod tests;
