//! `idp user`: accounts.

use std::path::PathBuf;

use clap::{ArgGroup, Subcommand};
use idp_core::account::throttle::{ACCOUNT, Throttle};
use idp_core::ids::UserId;
use idp_core::time::Timestamp;
use idp_core::user::{Email, User, UserState};
use idp_store::{Reader, StoreError};
use serde_json::{Value, json};

use crate::args::Common;
use crate::failure::Failure;
use crate::new_account::{self, NewAccount, Outcome};
use crate::operator::{self, Operator};
use crate::user_change::{Change, change};
use crate::{output, secret_input};
use idp_server::config::quoted;

/// Accounts
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an account; its address counts as proven
    Create(Create),
    /// Accounts, in the order they were made
    List(List),
    /// One account: state, roles, and whether it is locked
    Show(Account),
    /// Switch a deactivated account on again
    Activate(Account),
    /// Switch an account off; ends its sessions and tokens
    Deactivate(Account),
    /// Forget the wrong passwords tried for an account
    Unlock(Account),
    /// What an account may do
    Role {
        #[command(subcommand)]
        verb: RoleVerb,
    },
}

#[derive(Debug, Subcommand)]
enum RoleVerb {
    /// Give an account a role
    Add(AccountRole),
    /// Take a role away; ends the account's sessions and tokens
    Remove(AccountRole),
}

#[derive(Debug, clap::Args)]
struct Account {
    /// E-mail address or id of the account
    who: Who,
}

#[derive(Debug, clap::Args)]
struct AccountRole {
    /// E-mail address or id of the account
    who: Who,
    /// The role: `admin`, or another one there is
    role: String,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("given").args(["password_stdin", "password_file"]).required(true)))]
struct Create {
    /// E-mail address
    #[arg(long)]
    email: String,
    /// Full name
    #[arg(long)]
    name: String,
    /// A role besides `user`, such as `admin`; can be repeated
    #[arg(long)]
    role: Vec<String>,
    /// Read the password from standard input, first line
    #[arg(long)]
    password_stdin: bool,
    /// Read the password from a file that is private to you, or root's
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Begin behind this account
    #[arg(long, value_name = "ID")]
    after: Option<UserId>,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1000))]
    limit: i64,
}

/// An account by e-mail address or id.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    Email(Email),
    Id(UserId),
}

impl std::str::FromStr for Who {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.parse().map(Self::Id);
        id.or_else(|_| Email::parse(text).map(Self::Email)).map_err(|_| "give an e-mail address or an id")
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Email(email) => email.fmt(f),
            Self::Id(id) => id.fmt(f),
        }
    }
}

/// Runs one of the verbs.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let operator = operator::open(&args.common).await?;
    let done = match args.verb {
        Verb::Create(create) => create.run(&operator).await,
        Verb::List(list) => list.run(&operator).await,
        Verb::Show(Account { who }) => show(&operator, who).await,
        Verb::Activate(Account { who }) => change(&operator, who, Change::State(UserState::Active)).await,
        Verb::Deactivate(Account { who }) => {
            change(&operator, who, Change::State(UserState::Deactivated)).await
        }
        Verb::Unlock(Account { who }) => change(&operator, who, Change::Unlock).await,
        Verb::Role { verb: RoleVerb::Add(AccountRole { who, role }) } => {
            change(&operator, who, Change::Role { role, granted: true }).await
        }
        Verb::Role { verb: RoleVerb::Remove(AccountRole { who, role }) } => {
            change(&operator, who, Change::Role { role, granted: false }).await
        }
    };
    operator.store.close().await;
    done
}

impl Create {
    async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let password = secret_input::read(self.password_stdin, self.password_file.as_ref())?;
        let password = password
            .ok_or_else(|| Failure::new("give the password with --password-stdin or --password-file"))?;
        let account = NewAccount::checked(&self.email, &self.name, password, &operator.policy)?;
        match account.with_roles(self.role).make(&operator.store, operator.now).await? {
            Outcome::Made(user, roles) => {
                let text = format!("Made {} ({}).", user.email, user.id);
                output::answer(operator.format(), described(&user, &roles), text);
                Ok(())
            }
            Outcome::AddressTaken => Err(Failure::new(format_args!(
                "{0} has an account already; see it with `{1}`",
                self.email,
                operator.command(&format!("user show {}", quoted(&self.email)))
            ))),
            Outcome::NoSuchRole(role, known) => Err(new_account::no_such_role(&role, &known).into()),
        }
    }
}

impl List {
    async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let input = (self.after, self.limit);
        let read =
            operator.store.read(input, |reader, (after, limit)| Box::pin(reader.users(*after, *limit)));
        let users = read.await?;
        let json: Value = users.iter().map(|(user, roles)| described(user, roles)).collect();
        output::answer(operator.format(), json, list(&users, self.limit, operator));
        Ok(())
    }
}

fn list(users: &[(User, Vec<String>)], limit: i64, operator: &Operator) -> String {
    let row = |(user, roles): &(User, Vec<String>)| {
        let state = user.state.as_str().to_owned();
        [user.id.to_string(), user.email.to_string(), user.name.to_string(), state, roles.join(", ")]
    };
    let rows: Vec<_> = users.iter().map(row).collect();
    let table = output::table(["id", "email", "name", "state", "roles"], &rows);
    match users.last() {
        None => "There are no accounts here.".to_owned(),
        Some((last, _)) if i64::try_from(users.len()) == Ok(limit) => {
            let more = operator.command(&format!("user list --limit {limit} --after {}", last.id));
            format!("{table}\nFor more: {more}")
        }
        Some(_) => table,
    }
}

/// What is shown of an account.
fn described(user: &User, roles: &[String]) -> Value {
    json!({
        "id": user.id.to_string(),
        "email": user.email.as_str(),
        "name": user.name.as_str(),
        "state": user.state.as_str(),
        "roles": roles,
        "created_at": output::moment(user.created_at),
        "updated_at": output::moment(user.updated_at),
    })
}

async fn show(operator: &Operator, who: Who) -> Result<(), Failure> {
    let missing = nobody(operator, &who);
    let read = operator.store.read(who, |reader, who| {
        Box::pin(async move {
            let Some(user) = find(reader, who).await? else { return Ok(None) };
            let roles = reader.roles_of(user.id).await?;
            let throttles = reader.throttles_of(user.id).await?;
            Ok(Some((user, roles, throttles)))
        })
    });
    let (user, roles, throttles) = read.await?.ok_or(missing)?;
    let lock = throttles.iter().map(|throttle| Lock::of(throttle, operator.now)).max().unwrap_or(Lock::Open);
    let wrong_passwords = throttles.iter().map(|throttle| throttle.in_a_row).max().unwrap_or(0);
    let mut json = described(&user, &roles);
    json["wrong_passwords"] = json!(wrong_passwords);
    json["locked_until"] = json!(lock.until());
    json["closed"] = json!(lock == Lock::Closed);
    let text = output::facts(&[
        ("id", user.id.to_string()),
        ("email", user.email.to_string()),
        ("name", user.name.to_string()),
        ("state", user.state.as_str().to_owned()),
        ("roles", roles.join(", ")),
        (
            "sign-in",
            lock.sentence(&operator.command(&format!("user unlock {}", quoted(user.email.as_str())))),
        ),
        ("created", output::moment(user.created_at)),
        ("updated", output::moment(user.updated_at)),
    ]);
    output::answer(operator.format(), json, text);
    Ok(())
}

/// Whether wrong passwords keep an account from signing in, somewhere at least; the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lock {
    Open,
    Until(Timestamp),
    Closed,
}

impl Lock {
    fn of(throttle: &Throttle, now: Timestamp) -> Self {
        match throttle.locked_until.filter(|until| *until > now) {
            _ if ACCOUNT.in_a_row.is_some_and(|most| throttle.in_a_row >= most) => Self::Closed,
            Some(until) => Self::Until(until),
            None => Self::Open,
        }
    }

    fn until(self) -> Option<String> {
        if let Self::Until(at) = self { Some(output::moment(at)) } else { None }
    }

    /// What is said of it; `unlock` is the command that ends it.
    fn sentence(self, unlock: &str) -> String {
        let end = format!("`{unlock}` ends that");
        match self {
            Self::Open => "not locked".to_owned(),
            Self::Until(at) => format!("locked until {} after wrong passwords; {end}", output::moment(at)),
            Self::Closed => format!("closed after too many wrong passwords in a row; {end}"),
        }
    }
}

/// The account, if there is one.
pub(crate) async fn find(reader: &mut Reader, who: &Who) -> Result<Option<User>, StoreError> {
    match who {
        Who::Id(id) => reader.user(*id).await,
        Who::Email(email) => Ok(reader.credentials(email).await?.map(|credentials| credentials.user)),
    }
}

/// The refusal when there is none.
pub(crate) fn nobody(operator: &Operator, who: &Who) -> Failure {
    let list = operator.command("user list");
    Failure::new(format_args!("there is no account {who}; `{list}` shows those there are"))
}
