//! The identity provider's server: routes, pages, the OpenID Connect endpoints, mail.
//!
//! Rules live in `idp-core`, storage in `idp-store`. The server translates HTTP: a query or form into a value on
//! the way in, a step or refusal into a page, a redirect or JSON on the way out.
//!
//! | folder | what is in it |
//! |---|---|
//! | `http` | connections, middleware, the request context, cookies, forms, errors, limits |
//! | `pages` | the hosted pages, each handler beside what its template needs |
//! | `oauth` | the protocol's endpoints |
//! | `accounts` | registration, activation, sign-in, and the threads that hash passwords |
//! | `mail` | how many mails one may ask for, and their delivery |
//! | `text` | the catalogue and the templates |
//! | `keys` | the keys in the database, and the key-encryption keys on disk that seal them |
//! | `config` | the settings, and the files that hold secrets |
//!
//! `routes` is the table of all URLs, `flow` the steps of an authorization request, `tasks` the work without a request,
//! `state` what all requests share. Only this file imports `routes`. A module imports only from its own layer or a
//! lower one, never in a circle; `tests/stories/layers.rs` lists the layers and checks the imports.

mod accounts;
pub mod clock;
pub mod config;
mod flow;
mod http;
mod keys;
mod mail;
mod oauth;
mod pages;
mod routes;
mod start_error;
mod state;
mod tasks;
mod text;

use std::future::Future;
use std::sync::{Arc, Once};

use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware::from_fn_with_state;
use bytes::Bytes;
use idp_core::oauth::discovery;
use idp_store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower_http::compression::CompressionLayer;

use crate::accounts::hasher::Hasher;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::assets::Assets;
use crate::http::connections::{ConnectionLimits, Connections, Timeouts};
use crate::http::limits::Limiters;
use crate::http::readiness::Readiness;
use crate::http::refusal_log::RefusalLog;
use crate::http::{connections, middleware};
use crate::keys::server_keys;
use crate::mail::transport::Mailer;
use crate::state::{AppState, Shared};
use crate::tasks::Tasks;
use crate::text::templates::Renderer;

pub use crate::config::{database_url, secret_files};
pub use crate::http::panics;
pub use crate::keys::key_files;
pub use crate::routes::{RouteFacts, facts as route_facts};
pub use crate::start_error::StartError;

/// A server, ready to serve. The program and its tests build it in the same way.
#[derive(Clone)]
pub struct App(Shared);

impl App {
    /// Opens and migrates the database, reads or makes the keys, loads the templates.
    ///
    /// # Errors
    /// [`StartError`]: what is missing or wrong, in one line.
    pub async fn build(config: Config, clock: Clock) -> Result<Self, StartError> {
        key_files::check_before(&config)?;
        for warning in database_url::check(config.database_url.expose())? {
            tracing::warn!("{warning}");
        }
        let store = Store::open(config.database_url.expose(), config.database_connections).await?;
        store.prepare().await?;
        if let Some(file) = idp_store::database_file(config.database_url.expose())?.filter(|_| !config.dev) {
            key_files::note_database(&file);
        }
        let (ring, server_keys) = server_keys::open(&store, &config, clock.now()).await?;
        let discovery = discovery::document(&config.issuer).map_err(|e| StartError::Defect(e.to_string()))?;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let mailer = Mailer::new(&config.mail)?;
        if let Some(warning) = &mailer.warning {
            tracing::warn!("{warning}");
        }
        let state = AppState {
            jwks: ArcSwap::from_pointee(Bytes::copy_from_slice(server_keys.tokens.jwks().as_bytes())),
            keys: ArcSwap::from_pointee(server_keys),
            discovery: discovery.into(),
            hasher: Hasher::start(cores, &config.hashing)?,
            renderer: Renderer::load()?,
            assets: Assets::load(),
            limiters: Limiters::new(&config.limits),
            refusals: Arc::new(RefusalLog::new()),
            mailer,
            readiness: Readiness::default(),
            proxy_noted: Once::new(),
            config,
            clock,
            store,
            ring,
        };
        Ok(Self(Arc::new(state)))
    }

    /// Checks whether [`App::build`] would succeed, as far as that shows without creating anything. Returns the
    /// warnings that it would log.
    ///
    /// # Errors
    /// [`StartError`], as from [`App::build`].
    pub async fn check(config: &Config) -> Result<Vec<String>, StartError> {
        key_files::check_before(config)?;
        let mut warnings = database_url::check(config.database_url.expose())?;
        warnings.extend(Mailer::new(&config.mail)?.warning);
        let (ring, of_keys) = key_files::read_folder(&config.keys_dir)?;
        warnings.extend(of_keys);
        let url = config.database_url.expose();
        let exists = match idp_store::database_file(url)? {
            Some(file) => idp_store::database_file_exists(&file)?,
            None => true,
        };
        if exists {
            let store = Store::open(url, 1).await?;
            let outcome = server_keys::check(&store, &ring, config).await;
            store.close().await;
            outcome?;
        }
        if ring.is_empty() {
            key_files::check_making(&config.keys_dir)?;
        }
        Ok(warnings)
    }

    /// Checks whether the folder of the keys can be used, before the data folder or anything else is created.
    ///
    /// # Errors
    /// [`StartError`], as from [`App::build`].
    pub fn check_keys_folder(config: &Config) -> Result<(), StartError> {
        key_files::check_before(config)
    }

    /// The router alone, without the bounds on connections and requests in progress. It must be served with the peer's
    /// address (`into_make_service_with_connect_info::<SocketAddr>()`).
    pub fn router(&self) -> Router {
        routes::router(&self.0)
            .layer(from_fn_with_state(Shared::clone(&self.0), middleware::outermost))
            .layer(CompressionLayer::new().quality(tower_http::CompressionLevel::Fastest))
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Serves until `shutdown` resolves. Then it accepts no more connections, starts no more mail, finishes the
    /// requests in progress, and closes the database.
    ///
    /// # Errors
    /// [`StartError::Io`] if a listener fails.
    pub async fn serve(
        self,
        listeners: Vec<TcpListener>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), StartError> {
        let (timeouts, config) = (Timeouts::default(), &self.0.config);
        let (most, trusted) = (connections::max_connections(), config.trusted_proxies.clone());
        let limits = ConnectionLimits { most, per_address: config.per_address, trusted };
        let refusals = Arc::clone(&self.0.refusals);
        let connections = Arc::new(Connections::new(self.router(), limits, timeouts, refusals));
        let mut accept_loops = JoinSet::new();
        for listener in listeners {
            accept_loops.spawn(Arc::clone(&connections).accept(listener));
        }
        let tasks = Tasks::start(&self.0);
        tokio::select! {
            () = shutdown => {}
            Some(ended) = accept_loops.join_next() => ended.map_err(std::io::Error::other)?,
        }
        if !tokio::join!(connections.end(), tasks.end(timeouts.drain)).0 {
            tracing::warn!("requests were still running after 30 seconds and were cut off");
        }
        self.0.refusals.tell();
        self.0.store.close().await;
        Ok(())
    }
}
