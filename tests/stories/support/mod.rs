//! A running product for a story: one per test, on its own port and database, with its own mail server.

pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod database;
pub(crate) mod http2;
pub(crate) mod indistinguishable;
pub(crate) mod mail;
pub(crate) mod node;
pub(crate) mod oracle;
pub(crate) mod raw;
pub(crate) mod state;
pub(crate) mod template;
pub(crate) mod wire;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use idp_core::account::password::{HashMemory, PasswordPolicy, hash};
use idp_core::client::{AuthMethod, Client, ClientId, ConsentPolicy, PkcePolicy, SigningAlg};
use idp_core::ids::UserId;
use idp_core::oauth::grant::Lifetimes;
use idp_core::oauth::issuer::Issuer;
use idp_core::redirect_uri::{RedirectMatch, RedirectUri};
use idp_core::scope::Scope;
use idp_core::secret::{Digest, Secret};
use idp_core::session::SessionLifetime;
use idp_core::text::DisplayText;
use idp_core::time::SECOND;
use idp_core::user::{Email, FullName, User, UserState};
use idp_server::App;
use idp_server::clock::Clock;
use idp_server::config::{CommandLine, Config, HashingConfig, Hsts, MailConfig, MailTransport, RateLimits};
use idp_store::Store;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

use self::browser::Browser;
use self::database::Database;
use self::mail::Sink;

/// Which database a story runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// Turns each story into two tests, one per engine.
macro_rules! on_both_engines {
    ($($(#[$meta:meta])* async fn $name:ident($engine:ident: Engine) $body:block)*) => {$(
        mod $name {
            use super::*;
            $(#[$meta])*
            async fn story($engine: Engine) $body
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() { story(Engine::Sqlite).await }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() { story(Engine::Postgres).await }
        }
    )*};
}
pub(crate) use on_both_engines;

pub(crate) const PASSWORD: &str = "tinker brass umbrella orbit";

/// The product, running.
pub(crate) struct TestApp {
    pub(crate) issuer: String,
    pub(crate) clock: Clock,
    pub(crate) sink: Sink,
    pub(crate) app: App,
    pub(crate) database: Database,
    pub(crate) config: Config,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) keys: tempfile::TempDir,
}

impl TestApp {
    /// A product with the defaults, but without limits per client address.
    pub(crate) async fn start(engine: Engine) -> Self {
        Self::start_with(engine, |_| {}).await
    }

    /// A product with another configuration.
    pub(crate) async fn start_with(engine: Engine, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_as(engine, change, true).await
    }

    /// A product that only answers requests: it sends no email and deletes nothing, so nothing changes by itself.
    pub(crate) async fn start_still(engine: Engine) -> Self {
        Self::start_still_with(engine, |_| {}).await
    }

    /// The same with another configuration.
    pub(crate) async fn start_still_with(engine: Engine, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_as(engine, change, false).await
    }

    async fn start_as(engine: Engine, change: impl FnOnce(&mut Config), tasks: bool) -> Self {
        let (database, keys) = template::copy(engine).await;
        Self::start_on(database, keys, Clock::system(), change, tasks).await
    }

    /// A product on an existing database, with the key-encryption keys in a folder.
    pub(crate) async fn start_on(
        database: Database,
        keys: tempfile::TempDir,
        clock: Clock,
        change: impl FnOnce(&mut Config),
        tasks: bool,
    ) -> Self {
        show_logs();
        let sink = Sink::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = config(address, &database, &sink.url(), keys.path());
        change(&mut config);
        let app = App::build(config.clone(), clock.clone()).await.unwrap();
        let stop = Some(serve(&app, listener, tasks));
        let issuer = config.issuer.as_str().to_owned();
        Self { issuer, clock, sink, app, database, config, stop, keys }
    }

    /// Stops the product and starts it again, with another configuration, on the same address, database and keys.
    pub(crate) async fn restart_with(&mut self, change: impl FnOnce(&mut Config)) {
        drop(self.stop.take());
        change(&mut self.config);
        let mut listener = TcpListener::bind(self.config.listen[0]).await;
        for _ in 0..400 {
            if listener.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
            listener = TcpListener::bind(self.config.listen[0]).await;
        }
        self.app = App::build(self.config.clone(), self.clock.clone()).await.unwrap();
        self.stop = Some(serve(&self.app, listener.unwrap(), true));
    }

    pub(crate) fn store(&self) -> &Store {
        self.app.store()
    }

    /// A fresh browser: no cookies.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.issuer)
    }

    /// The name of a cookie: `session`, `browser`, `notice` or `mailbox`.
    pub(crate) fn cookie(&self, what: &str) -> String {
        let (prefix, rest) = match self.issuer.strip_prefix("https://") {
            Some(rest) => ("__Host-", rest),
            None => ("", self.issuer.trim_start_matches("http://")),
        };
        let port = rest.rsplit_once(':').map_or(String::new(), |(_, port)| format!("-{port}"));
        format!("{prefix}idp-{what}{port}")
    }

    /// A URL of the product.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// Moves the product's clock forward.
    pub(crate) fn wait(&self, span: Duration) {
        self.clock.advance(span);
    }

    /// An active account with [`PASSWORD`], created without the pages.
    pub(crate) async fn user(&self, email: &str) -> User {
        let now = self.clock.now();
        let user = User {
            id: UserId::new(now),
            email: Email::parse(email).unwrap(),
            name: FullName::parse("Ada Lovelace").unwrap(),
            state: UserState::Active,
            epoch: 0,
            created_at: now,
            updated_at: now,
        };
        let hash = hash(&Secret::new(PASSWORD.to_owned()), &mut HashMemory::default()).unwrap();
        let made = self
            .store()
            .write((user.clone(), hash), |tx, (user, hash)| {
                Box::pin(async move {
                    let made = tx.insert_user(user, Some(hash)).await?;
                    tx.grant_role(user.id, "user").await?;
                    Ok(made)
                })
            })
            .await
            .unwrap();
        assert!(made, "{email} is taken");
        user
    }

    /// Puts an account into another state, as an administrator would.
    pub(crate) async fn set_state(&self, id: UserId, state: UserState) {
        let input = (id, state, self.clock.now());
        let set = self
            .store()
            .write(input, |tx, (id, state, now)| Box::pin(tx.set_user_state(*id, *state, *now)))
            .await;
        assert!(set.unwrap(), "no account {id}");
    }

    /// Registers a client.
    pub(crate) async fn register(&self, client: &Client) {
        let made = self.store().write(client.clone(), |tx, client| Box::pin(tx.insert_client(client))).await;
        assert!(made.unwrap(), "{} is taken", client.id);
    }
}

/// The configuration of the stories: the defaults, without limits per client address.
fn config(address: SocketAddr, database: &Database, smtp_url: &str, keys_dir: &Path) -> Config {
    let unlimited = 1_000_000;
    Config {
        issuer: Issuer::parse(&format!("http://{address}")).unwrap(),
        brand: "Lighthouse".to_owned(),
        listen: vec![address],
        trusted_proxies: vec![],
        database_url: Secret::new(database.url()),
        database_connections: 8,
        keys_dir: keys_dir.to_owned(),
        mail: MailConfig {
            from: "Lighthouse <id@lighthouse.example>".parse().unwrap(),
            transport: MailTransport::Smtp(Secret::new(smtp_url.to_owned())),
        },
        password: PasswordPolicy::new(15, "Lighthouse"),
        // Enough for a slow machine: refusals for lack of time have their own story.
        hashing: HashingConfig {
            sign_in_wait: 300 * SECOND,
            registration_wait: 300 * SECOND,
            ..HashingConfig::default()
        },
        registration: true,
        lifetimes: Lifetimes::default(),
        session: SessionLifetime::default(),
        limits: RateLimits {
            page: unlimited,
            sign_in: unlimited,
            register: unlimited,
            client: unlimited,
            unrouted: unlimited,
        },
        per_address: None,
        hsts: Hsts::default(),
        dev: false,
        command: CommandLine::default(),
    }
}

fn serve(app: &App, listener: TcpListener, tasks: bool) -> oneshot::Sender<()> {
    let (stop, stopped) = oneshot::channel();
    let end = async move { drop(stopped.await) };
    if tasks {
        tokio::spawn(app.clone().serve(vec![listener], end));
    } else {
        let service = app.router().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(axum::serve(listener, service).with_graceful_shutdown(end).into_future());
    }
    stop
}

/// Whether the long versions were asked for: `cargo xtask proof`.
pub(crate) fn is_proof() -> bool {
    std::env::var_os("IDP_PROOF").is_some_and(|asked| asked == "1")
}

/// Everything logged in this run, by all stories.
static LOGS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Keeps what the product logs; `RUST_LOG=info` shows it while a story runs.
fn show_logs() {
    let shown = std::env::var("RUST_LOG").is_ok();
    let filter = if shown {
        EnvFilter::from_default_env()
    } else {
        EnvFilter::new("info,idp_server=trace,idp_store=trace")
    };
    let _ = tracing_subscriber::fmt()
        .with_ansi(shown)
        .with_env_filter(filter)
        .with_writer(move || LogWriter { shown })
        .try_init();
}

struct LogWriter {
    shown: bool,
}

impl std::io::Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if self.shown {
            std::io::stderr().write_all(line)?;
        }
        LOGS.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The logged lines that contain a text.
pub(crate) fn logged_lines(text: &str) -> Vec<String> {
    let logs = String::from_utf8_lossy(&LOGS.lock().unwrap()).into_owned();
    logs.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

/// Whether anything logged contains a text.
pub(crate) fn is_logged(text: &str) -> bool {
    String::from_utf8_lossy(&LOGS.lock().unwrap()).contains(text)
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

/// The secret of every confidential client in these stories.
pub(crate) const SECRET: &str = "an-unreserved-secret_of.the~stories-0123456789";

/// A confidential client with every scope. Its redirect URI is on a host that does not exist: stories read the
/// redirect instead of following it.
pub(crate) fn confidential(id: &str) -> Client {
    Client {
        id: ClientId::parse(id).unwrap(),
        name: DisplayText::new("Tide Tables", 60),
        auth_method: AuthMethod::BasicOrPost,
        secret: Some(Digest::of(SECRET)),
        redirect_uris: vec![RedirectUri::parse(&format!("https://{id}.example/cb")).unwrap()],
        redirect_match: RedirectMatch::Exact,
        post_logout_redirect_uris: vec![RedirectUri::parse(&format!("https://{id}.example/bye")).unwrap()],
        home_uri: None,
        scope: Scope::of(&["openid", "profile", "email", "offline_access"]),
        pkce: PkcePolicy::OrNonce,
        consent: ConsentPolicy::Ask,
        id_token_alg: SigningAlg::Rs256,
        access_token_alg: SigningAlg::Es256,
        enabled: true,
        epoch: 0,
        created_at: idp_core::time::Timestamp::from_millis(0),
    }
}

/// A public client.
pub(crate) fn public(id: &str) -> Client {
    Client { auth_method: AuthMethod::None, secret: None, ..confidential(id) }
}
