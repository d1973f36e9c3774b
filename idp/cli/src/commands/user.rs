//! `idp user`: accounts.

use std::path::PathBuf;

use clap::{ArgGroup, Subcommand};
use idp_core::account::throttle::{ACCOUNT, Throttle};
use idp_core::ids::UserId;
use idp_core::time::Timestamp;
use idp_core::user::User;
use idp_store::Listed;
use serde_json::{Value, json};

use crate::commands::account_ref::AccountRef;
use crate::commands::new_account::{self, NewAccount, NewAccountOutcome};
use crate::commands::user_change::{AccountChange, change};
use crate::failure::Failure;
use crate::operator::{self, Operator};
use crate::options::CommonOptions;
use crate::output;
use crate::secret_input::SecretInput;

/// Manage accounts
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  idp user create --email ada@example.org --name \"Ada Lovelace\" --password-stdin
  idp user list
  idp user role add ada@example.org admin")]
pub(crate) struct UserArgs {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Create an account; its email address counts as verified
    #[command(after_help = "\
Examples:
  idp user create --email ada@example.org --name \"Ada Lovelace\" --role admin --password-stdin
  idp user create --email ada@example.org --name \"Ada Lovelace\" --password-file ada.password")]
    Create(CreateAccount),
    /// List accounts, oldest first
    #[command(after_help = "Examples:\n  idp user list\n  idp user list --limit 20 -o json")]
    List(ListAccounts),
    /// Show one account: state, roles, and whether it is locked
    #[command(after_help = "Example:\n  idp user show ada@example.org")]
    Show(OneAccount),
    /// Reactivate an account
    #[command(after_help = "Example:\n  idp user activate ada@example.org")]
    Activate(OneAccount),
    /// Deactivate an account: end its sessions and revoke its tokens
    #[command(after_help = "Example:\n  idp user deactivate ada@example.org")]
    Deactivate(DeactivateAccount),
    /// Unlock an account after too many wrong passwords
    #[command(after_help = "Example:\n  idp user unlock ada@example.org")]
    Unlock(OneAccount),
    /// Grant and revoke roles
    #[command(after_help = "Example:\n  idp user role add ada@example.org admin")]
    Role {
        #[command(subcommand)]
        command: RoleCommand,
    },
}

#[derive(Debug, Subcommand)]
enum RoleCommand {
    /// Grant a role to an account
    #[command(after_help = "Example:\n  idp user role add ada@example.org admin")]
    Add(AccountRole),
    /// Revoke a role; end the account's sessions and revoke its tokens
    #[command(after_help = "Example:\n  idp user role remove ada@example.org admin")]
    Remove(RemoveRole),
}

#[derive(Debug, clap::Args)]
struct OneAccount {
    /// E-mail address or id of the account
    account: AccountRef,
}

#[derive(Debug, clap::Args)]
struct DeactivateAccount {
    #[command(flatten)]
    one: OneAccount,
    /// Even if no administrator is left
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct RemoveRole {
    #[command(flatten)]
    which: AccountRole,
    /// Even if no administrator is left
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct AccountRole {
    /// E-mail address or id of the account
    account: AccountRef,
    /// An existing role, such as `admin`
    role: String,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("given").args(["password_stdin", "password_file"]).required(true)))]
struct CreateAccount {
    /// E-mail address
    #[arg(long)]
    email: String,
    /// Full name
    #[arg(long)]
    name: String,
    /// Grant this role besides `user`; can be repeated
    #[arg(long)]
    role: Vec<String>,
    /// Read the password from the first line of standard input; at a terminal, ask for it without showing it
    #[arg(long)]
    password_stdin: bool,
    /// Read the password from a file that is private to you or owned by root
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct ListAccounts {
    /// Start after this account
    #[arg(long, value_name = "ID")]
    after: Option<UserId>,
    /// Show at most this many, up to 1000
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1000))]
    limit: i64,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn run(args: UserArgs) -> Result<(), Failure> {
    let password = match &args.command {
        UserCommand::Create(create) => {
            SecretInput::new(create.password_stdin, create.password_file.as_ref())?
        }
        _ => SecretInput::Nowhere,
    };
    let operator = operator::open(&args.common).await?;
    let done = match args.command {
        UserCommand::Create(create) => create.run(&operator, password).await,
        UserCommand::List(list) => list.run(&operator).await,
        UserCommand::Show(OneAccount { account }) => show(&operator, account).await,
        UserCommand::Activate(OneAccount { account }) => {
            change(&operator, account, AccountChange::Activate).await
        }
        UserCommand::Deactivate(DeactivateAccount { one: OneAccount { account }, force }) => {
            change(&operator, account, AccountChange::Deactivate { force }).await
        }
        UserCommand::Unlock(OneAccount { account }) => {
            change(&operator, account, AccountChange::Unlock).await
        }
        UserCommand::Role { command: RoleCommand::Add(AccountRole { account, role }) } => {
            change(&operator, account, AccountChange::Grant { role }).await
        }
        UserCommand::Role { command: RoleCommand::Remove(RemoveRole { which, force }) } => {
            let AccountRole { account, role } = which;
            change(&operator, account, AccountChange::Revoke { role, force }).await
        }
    };
    operator.store.close().await;
    done
}

impl CreateAccount {
    async fn run(self, operator: &Operator, password: SecretInput) -> Result<(), Failure> {
        let password = password
            .read("password")?
            .ok_or_else(|| Failure::new("give the password with --password-stdin or --password-file"))?;
        let account = NewAccount::checked(&self.email, &self.name, password, &operator.policy)?;
        match account.with_roles(self.role).create(&operator.store, operator.now).await? {
            NewAccountOutcome::Created(user, roles) => {
                let text = format!("Created {} ({}).", user.email, user.id);
                output::answer(operator.format(), described(&user, &roles), text);
                Ok(())
            }
            NewAccountOutcome::AddressTaken => Err(Failure::new(format_args!(
                "{0} already has an account; see it with `{1}`",
                self.email,
                operator.command_about("user show", &[&self.email], "")
            ))),
            NewAccountOutcome::NoSuchRole(role, known) => {
                Err(new_account::no_such_role(&role, &known).into())
            }
        }
    }
}

impl ListAccounts {
    async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let is_first = self.after.is_none();
        let input = (self.after, self.limit);
        let read =
            operator.store.read(input, |reader, (after, limit)| Box::pin(reader.users(*after, *limit)));
        let page = read.await?;
        let json: Value = page.found.iter().map(|(user, roles)| described(user, roles)).collect();
        output::answer(operator.format(), json, list(&page, self.limit, is_first, operator));
        output::unread(&page.left_out, &page.incomplete);
        Ok(())
    }
}

fn list(page: &Listed<(User, Vec<String>)>, limit: i64, is_first: bool, operator: &Operator) -> String {
    let row = |(user, roles): &(User, Vec<String>)| {
        let state = user.state.as_str().to_owned();
        [user.id.to_string(), user.email.to_string(), user.name.to_string(), state, roles.join(", ")]
    };
    let rows: Vec<_> = page.found.iter().map(row).collect();
    let table = output::table(["id", "email", "name", "state", "roles"], &rows);
    match page.found.last() {
        None if !page.left_out.is_empty() => "There are no accounts that this version can show.".to_owned(),
        None if is_first => "There are no accounts.".to_owned(),
        None => "There are no more accounts.".to_owned(),
        Some((last, _)) if i64::try_from(rows.len()) == Ok(limit) => {
            let more = operator.command(&format!("user list --limit {limit} --after {}", last.id));
            format!("{table}\nFor more: {more}")
        }
        Some(_) => table,
    }
}

/// An account as JSON.
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

async fn show(operator: &Operator, account: AccountRef) -> Result<(), Failure> {
    let missing = account.not_found(operator);
    let read = operator.store.read(account, |reader, account| {
        Box::pin(async move {
            let Some(user) = account.find(reader).await? else { return Ok(None) };
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
    json["closed"] = json!(lock == Lock::LockedForGood);
    let text = output::facts(&[
        ("id", user.id.to_string()),
        ("email", user.email.to_string()),
        ("name", user.name.to_string()),
        ("state", user.state.as_str().to_owned()),
        ("roles", roles.join(", ")),
        ("sign-in", lock.sentence(&operator.command_about("user unlock", &[user.email.as_str()], ""))),
        ("created", output::moment(user.created_at)),
        ("updated", output::moment(user.updated_at)),
    ]);
    output::answer(operator.format(), json, text);
    Ok(())
}

/// Whether wrong passwords lock an account, at least in some browser. Ordered: the strictest is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lock {
    Open,
    Until(Timestamp),
    LockedForGood,
}

impl Lock {
    fn of(throttle: &Throttle, now: Timestamp) -> Self {
        match throttle.locked_until.filter(|until| *until > now) {
            _ if ACCOUNT.in_a_row.is_some_and(|most| throttle.in_a_row >= most) => Self::LockedForGood,
            Some(until) => Self::Until(until),
            None => Self::Open,
        }
    }

    fn until(self) -> Option<String> {
        if let Self::Until(at) = self { Some(output::moment(at)) } else { None }
    }

    /// The sentence to show; `unlock` is the command that unlocks the account.
    fn sentence(self, unlock: &str) -> String {
        let end = format!("unlock it with `{unlock}`");
        match self {
            Self::Open => "not locked".to_owned(),
            Self::Until(at) => format!("locked until {} after wrong passwords; {end}", output::moment(at)),
            Self::LockedForGood => format!("locked for good after too many wrong passwords in a row; {end}"),
        }
    }
}
