//! `idp dev`: everything in one process, on this computer only.

mod example;
mod passphrase;
mod seed;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use idp_core::account::password::PasswordPolicy;
use idp_core::secret::Secret;
use idp_core::time::Timestamp;
use idp_server::App;
use idp_server::clock::Clock;
use idp_server::config::settings::{self, Settings};
use idp_server::config::{CommandLine, Config, MailTransport};
use idp_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::commands::new_account::{self, NewAccount, NewAccountOutcome};
use crate::failure::Failure;
use crate::operator::{self, DEV_DATA_DIR, DEV_ISSUER};
use crate::options::{CommonOptions, program};
use crate::{database, logging, output, signals};

/// Try everything on this computer
#[derive(Debug, clap::Args)]
pub(crate) struct DevArgs {
    /// Create the accounts and clients in this file
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Port of the server
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Port of the example application
    #[arg(long, default_value_t = 8081)]
    client_port: u16,
    /// Folder of the database
    #[arg(long, value_name = "FOLDER", default_value = DEV_DATA_DIR)]
    data_dir: String,
    /// Folder of the key-encryption keys
    #[arg(long, value_name = "FOLDER", default_value = "keys")]
    keys_dir: String,
}

/// Runs everything until it is told to stop.
///
/// # Errors
/// [`Failure`]: why it cannot start.
pub(crate) async fn run(args: DevArgs) -> Result<(), Failure> {
    let server = Loopback::bind(args.port, "--port").await?;
    let client = Loopback::bind(args.client_port, "--client-port").await?;
    let (issuer, app_url) = (server.url(), client.url());
    let settings = args.settings(&issuer)?;
    logging::start(settings.log());
    let (policy, clock) = (settings.password_policy(), Clock::system());
    let now = clock.now();
    let seed = args.seed.as_deref().map(|file| seed::read(file, &policy, now)).transpose()?;
    database::check_folder(&settings, true)?;
    database::exists(&settings)?;
    let (options, data_dir) = (options(&args.data_dir), settings.data_dir());
    let config = config(settings, &options)?;
    App::check_keys_folder(&config)?;
    database::make_folder(data_dir.as_deref())?;
    let stop = signals::stop()?;

    let app = App::build(config, clock).await?;
    if let Some(seed) = seed {
        seed.apply(app.store(), now).await?;
    }
    let account = first_account(app.store(), &policy, now).await?;
    let secret = example::register(app.store(), Path::new(&args.data_dir), &app_url, now).await?;
    let example = example::router(&issuer, &app_url, &secret)?;
    let mut examples = JoinSet::new();
    for listener in client.listeners {
        examples.spawn(axum::serve(listener, example.clone()).into_future());
    }
    note_issuer(Path::new(&args.data_dir), &issuer)?;
    output::line(banner(&issuer, &app_url, &account, &another(&options)));
    Ok(app.serve(server.listeners, stop).await?)
}

impl DevArgs {
    /// The default settings of production. Only the log can be set by the environment: a production server's must
    /// not lead to its database.
    fn settings(&self, issuer: &str) -> Result<Settings, Failure> {
        let mut env = operator::environment();
        env.retain(|(name, _)| name.starts_with("IDP__LOG__") || name.starts_with("IDP_LOG_"));
        let flags = [
            ("server.issuer", issuer),
            ("server.data_dir", &self.data_dir),
            ("keys.dir", &self.keys_dir),
            ("mail.from", "idp <idp@example.com>"),
            // Required, but replaced below: no mail leaves this process.
            ("mail.smtp_url", "smtp://localhost"),
        ];
        let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(settings::load(None, &env, &flags)?)
    }
}

fn config(settings: Settings, options: &CommonOptions) -> Result<Config, Failure> {
    let (mut config, _) = settings.into_config()?;
    config.mail.transport = MailTransport::Mailbox;
    config.dev = true;
    config.command = CommandLine { program: program(), database_flags: options.flags() };
    Ok(config)
}

/// Listeners on one port of `localhost`, which some programs resolve to `127.0.0.1` and others to `::1`.
struct Loopback {
    port: u16,
    listeners: Vec<TcpListener>,
}

impl Loopback {
    async fn bind(port: u16, flag: &str) -> Result<Self, Failure> {
        let refuse = |error: std::io::Error| match error.kind() {
            ErrorKind::AddrInUse => format!("port {port} is in use; choose another one with {flag}"),
            _ => format!("cannot listen on port {port}: {error}; choose another one with {flag}"),
        };
        let v4 = TcpListener::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
            .await
            .map_err(refuse)?;
        // Port 0 means any free port: use the same one for both addresses.
        let port = v4.local_addr().map_err(refuse)?.port();
        let mut listeners = vec![v4];
        match TcpListener::bind(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port)).await {
            Ok(v6) => listeners.push(v6),
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(refuse(error).into()),
            // Many containers have no IPv6.
            Err(_) => {}
        }
        Ok(Self { port, listeners })
    }

    fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }
}

const FIRST_EMAIL: &str = "admin@example.com";
const ADMIN: &str = "admin";

/// The account to sign in with first.
enum FirstAccount {
    /// Created just now, with this password.
    Created(Secret),
    /// An account with the role exists already.
    Exists(String),
    /// An account without the role has its address.
    Taken,
}

async fn first_account(
    store: &Store,
    policy: &PasswordPolicy,
    now: Timestamp,
) -> Result<FirstAccount, Failure> {
    if let Some(email) = an_admin(store).await? {
        return Ok(FirstAccount::Exists(email));
    }
    let password = passphrase::random();
    let account = NewAccount::checked(FIRST_EMAIL, "Admin", password.clone(), policy)?;
    match account.with_roles([ADMIN.to_owned()]).create(store, now).await? {
        NewAccountOutcome::Created(..) => Ok(FirstAccount::Created(password)),
        NewAccountOutcome::AddressTaken => Ok(FirstAccount::Taken),
        NewAccountOutcome::NoSuchRole(role, known) => Err(new_account::no_such_role(&role, &known).into()),
    }
}

/// The address of the oldest account with the role `admin`.
async fn an_admin(store: &Store) -> Result<Option<String>, StoreError> {
    let found = store.read((), |reader, ()| Box::pin(reader.first_user_with_role(ADMIN))).await?;
    Ok(found.map(|user| user.email.to_string()))
}

/// Saves the issuer for other commands, which show it to the operator.
fn note_issuer(folder: &Path, issuer: &str) -> Result<(), Failure> {
    let file = folder.join(DEV_ISSUER);
    let written = std::fs::write(&file, issuer);
    Ok(written.map_err(|error| format!("{} cannot be written: {error}", file.display()))?)
}

/// The options that select this database in another command.
fn options(data_dir: &str) -> CommonOptions {
    let mut common = CommonOptions { dev: true, ..CommonOptions::default() };
    if data_dir != DEV_DATA_DIR {
        common.source.set.push(("server.data_dir".to_owned(), data_dir.to_owned()));
    }
    common
}

/// The command that creates another account.
fn another(options: &CommonOptions) -> String {
    let more = "--email you@example.com --name You --role admin --password-stdin";
    format!("{} {more}", options.command("user create"))
}

fn banner(issuer: &str, app_url: &str, account: &FirstAccount, another: &str) -> String {
    let account = match account {
        FirstAccount::Created(password) => format!(
            "  First account    {FIRST_EMAIL}, with the role admin\n  \
               Its password     {} (shown only once)",
            password.expose()
        ),
        FirstAccount::Exists(email) => {
            format!("  Account          {email}, with the role admin\n  Create another   {another}")
        }
        FirstAccount::Taken => format!("  Create an admin  {another}"),
    };
    format!(
        "idp dev is ready. Everything stays on this computer.\n\n  \
           Example app      {app_url}/\n  \
           Sign in          {issuer}/signin\n  \
           Create account   {issuer}/register\n  \
           Mailbox          {issuer}/dev/mail\n  \
           Clock            {issuer}/dev/clock\n  \
           Discovery        {issuer}/.well-known/openid-configuration\n\n\
         {account}\n\nCtrl-C stops it."
    )
}
