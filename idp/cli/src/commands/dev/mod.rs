//! `idp dev`: everything in one process, on this computer only.

mod banner;
mod example;
mod first_account;
mod kept_secret;
mod passphrase;
mod seed;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use idp_server::App;
use idp_server::clock::Clock;
use idp_server::config::settings::{self, Settings};
use idp_server::config::{CommandLine, Config, MailTransport};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::commands::dev::banner::Banner;
use crate::failure::Failure;
use crate::in_use::{self, FolderInUse, OtherServer};
use crate::operator::{self, DEV_DATA_DIR, DEV_ISSUER};
use crate::options::{CommonOptions, option, program};
use crate::{database, logging, output, signals};

/// The folder of its keys, where no other is given.
const DEV_KEYS_DIR: &str = "keys";

/// Try everything on this computer
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  idp dev
  idp dev --seed seed.toml
  idp dev --data-dir data/dev-2 --port 0 --client-port 0    a second one; 0 takes any free port

While it runs, other commands use its database with --dev: idp user list --dev")]
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
    #[arg(long, value_name = "FOLDER", default_value = DEV_KEYS_DIR)]
    keys_dir: String,
}

/// Runs everything until it is told to stop.
///
/// # Errors
/// [`Failure`]: why it cannot start.
pub(crate) async fn run(args: DevArgs) -> Result<(), Failure> {
    // Before the ports: whoever starts it twice must not be told to choose another port.
    let in_use = args.claim_folder()?;
    let server = Loopback::bind(args.port, "--port").await?;
    let client = Loopback::bind(args.client_port, "--client-port").await?;
    let (issuer, app_url) = (server.url(), client.url());
    let settings = args.settings(&issuer)?;
    let log = logging::start_quietly(settings.log(), settings.log_level_is_chosen());
    let (policy, clock) = (settings.password_policy(), Clock::system());
    let now = clock.now();
    let seed = args.seed.as_deref().map(|file| seed::read(file, &policy, now)).transpose()?;
    database::check_folder(&settings, true)?;
    database::exists(&settings)?;
    let (options, data_dir) = (options(&args.data_dir), settings.data_dir());
    let named = database::NamedBy::of(&settings)?;
    let config = config(settings, &options)?;
    App::check_keys_folder(&config)?;
    database::make_folder(data_dir.as_deref())?;
    let _in_use = if in_use.is_some() { in_use } else { args.claim_folder()? };
    let folder = Path::new(&args.data_dir);
    note_issuer(folder, &issuer)?;
    let stop = signals::stop()?;

    let app = App::build(config, clock).await.map_err(|error| named.not_started(error))?;
    let seeded = match seed {
        Some(seed) => Some(seed.apply(app.store(), now).await?),
        None => None,
    };
    let account = first_account::find_or_create(app.store(), folder, &policy, now).await?;
    let secret = example::register(app.store(), folder, &app_url, now).await?;
    let example = example::router(&issuer, &app_url, &secret)?;
    let mut examples = JoinSet::new();
    for listener in client.listeners {
        examples.spawn(axum::serve(listener, example.clone()).into_future());
    }
    let banner =
        Banner { issuer: &issuer, app_url: &app_url, account: &account, seeded, options: &options, folder };
    output::line(banner);
    log.speak();
    Ok(app.serve(server.listeners, stop).await?)
}

impl DevArgs {
    /// Takes the data folder for this server alone; `None` if it does not exist yet.
    fn claim_folder(&self) -> Result<Option<FolderInUse>, Failure> {
        let folder = Path::new(&self.data_dir);
        in_use::alone(folder).map_err(|other| already_running(folder, other, &self.beside(folder)))
    }

    /// The command for another server with the same options, in a folder beside this one.
    fn beside(&self, folder: &Path) -> String {
        // Without a slash at the end: the other folder must not be inside.
        let folder: PathBuf = folder.components().collect();
        let folder = option("--data-dir", &format!("{}-2", folder.display()));
        let mut command = format!("{} dev {folder} --port 0 --client-port 0", program());
        if self.keys_dir != DEV_KEYS_DIR {
            command.push_str(&format!(" {}", option("--keys-dir", &self.keys_dir)));
        }
        if let Some(seed) = &self.seed {
            command.push_str(&format!(" {}", option("--seed", &seed.to_string_lossy())));
        }
        command
    }

    /// The default settings of production. Only the log can be set by the environment: a production server's must
    /// not lead to its database.
    fn settings(&self, issuer: &str) -> Result<Settings, Failure> {
        let mut env = operator::environment();
        env.retain(|(name, _)| settings::letters(&name.to_string_lossy()).starts_with("idplog"));
        const ITSELF: &str = "`idp dev` itself";
        let with =
            |option, value: &str, default| if value == default { "default of `idp dev`" } else { option };
        let own = [
            ("server.issuer", issuer, ITSELF),
            ("server.data_dir", &*self.data_dir, with("option --data-dir", &self.data_dir, DEV_DATA_DIR)),
            ("keys.dir", &*self.keys_dir, with("option --keys-dir", &self.keys_dir, DEV_KEYS_DIR)),
            ("mail.from", "idp <idp@example.com>", ITSELF),
            // Required, but replaced below: no mail leaves this process.
            ("mail.smtp_url", "smtp://localhost", ITSELF),
        ];
        Ok(settings::load_for_command(&env, &[], &own)?)
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

/// Why a second server does not start in this folder, and how to start one beside it.
fn already_running(folder: &Path, other: OtherServer, beside: &str) -> Failure {
    let shown = folder.display();
    let apart = format!("stop it, or start another one beside it with `{beside}`");
    Failure::new(match (other, std::fs::read_to_string(folder.join(DEV_ISSUER))) {
        (OtherServer::Serve, _) => format!("`idp serve` is running on the folder {shown}; {apart}"),
        (OtherServer::Dev, Ok(issuer)) if !issuer.is_empty() => {
            format!("`idp dev` is already running on the folder {shown}, at {issuer}; {apart}")
        }
        (OtherServer::Dev, _) => format!("`idp dev` is already running on the folder {shown}; {apart}"),
    })
}

/// Saves the issuer for other commands, which show it to the operator.
fn note_issuer(folder: &Path, issuer: &str) -> Result<(), Failure> {
    Ok(kept_secret::write_private(&folder.join(DEV_ISSUER), issuer)?)
}

/// The options that select this database in another command.
fn options(data_dir: &str) -> CommonOptions {
    let mut common = CommonOptions { dev: true, ..CommonOptions::default() };
    if data_dir != DEV_DATA_DIR {
        common.source.set.push(("server.data_dir".to_owned(), data_dir.to_owned()));
    }
    common
}
