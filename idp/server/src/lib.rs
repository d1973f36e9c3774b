//! The identity provider's server: routes, pages, the OpenID endpoints, mail.
//!
//! Rules live in `idp-core`, memory in `idp-store`; here HTTP is translated: a query or form into a value on
//! the way in, a step or refusal into a page, a redirect or JSON on the way out.
//!
//! Who may use whom: `routes`, `tasks` > `pages`, `oauth`, `outbox` > `flow`, `sign_in` > `gate`, `frame` > `visit` >
//! `state` > `mailer`, `limits` > `render` > `i18n`, `form` > `errors` > `policy`, `config`. `routes` is imported by
//! this file alone, and there is no circle; a test looks at the imports.

mod address;
mod assets;
pub mod clock;
pub mod config;
mod connections;
mod cookies;
mod errors;
mod flow;
mod form;
mod frame;
mod gate;
mod hasher;
mod health;
mod i18n;
pub mod keyring;
mod keys;
mod limits;
mod mail_limit;
mod mailer;
mod oauth;
mod outbox;
mod pages;
pub mod panics;
mod password_words;
mod policy;
mod readiness;
mod render;
mod routes;
mod sign_in;
mod state;
mod tasks;
mod visit;
mod words;

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

use crate::assets::Assets;
use crate::clock::Clock;
use crate::config::Config;
use crate::connections::{Connections, Patience};
use crate::hasher::Hasher;
use crate::limits::Limiters;
use crate::mailer::Mailer;
use crate::readiness::Readiness;
use crate::render::Renderer;
use crate::state::{AppState, Shared};
use crate::tasks::Tasks;

pub use crate::errors::StartError;
pub use crate::routes::{RouteFacts, facts as route_facts};

/// A server, ready to serve. Built in one way only, for the program and for its tests.
#[derive(Clone)]
pub struct App(Shared);

impl App {
    /// Opens and migrates the database, reads or makes the keys, loads the pages.
    ///
    /// # Errors
    /// [`StartError`]: whatever is missing or wrong, in one line.
    pub async fn build(config: Config, clock: Clock) -> Result<Self, StartError> {
        let store = Store::open(config.database_url.expose(), config.database_connections).await?;
        store.prepare().await?;
        let (ring, server_keys) = keys::open(&store, &config, clock.now()).await?;
        let discovery = discovery::document(&config.issuer).map_err(|e| StartError::Defect(e.to_string()))?;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let state = AppState {
            jwks: ArcSwap::from_pointee(Bytes::copy_from_slice(server_keys.tokens.jwks().as_bytes())),
            keys: ArcSwap::from_pointee(server_keys),
            discovery: discovery.into(),
            hasher: Hasher::start(cores)?,
            renderer: Renderer::load()?,
            assets: Assets::load(),
            limiters: Limiters::new(&config.limits),
            mailer: Mailer::new(&config.mail)?,
            readiness: Readiness::default(),
            proxy_noted: Once::new(),
            config,
            clock,
            store,
            ring,
        };
        Ok(Self(Arc::new(state)))
    }

    /// Whether [`App::build`] would do, as far as that can be seen without making anything.
    ///
    /// # Errors
    /// [`StartError`], as it would be.
    pub async fn check(config: &Config) -> Result<(), StartError> {
        Mailer::new(&config.mail)?;
        let ring = keyring::load(&config.keys_dir)?;
        let url = config.database_url.expose();
        if idp_store::database_file(url)?.is_some_and(|file| !file.exists()) {
            return Ok(());
        }
        let store = Store::open(url, 1).await?;
        let outcome = keys::check(&store, &ring, config).await;
        store.close().await;
        outcome
    }

    /// The router. It wants to be served with the peer's address
    /// (`into_make_service_with_connect_info::<SocketAddr>()`).
    pub fn router(&self) -> Router {
        routes::router(&self.0)
            .layer(from_fn_with_state(Shared::clone(&self.0), frame::frame))
            .layer(CompressionLayer::new().quality(tower_http::CompressionLevel::Fastest))
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Serves until `shutdown` resolves; then takes no more connections, ends what is in flight, begins no more
    /// mail, and closes the database.
    ///
    /// # Errors
    /// [`StartError::Io`] when taking connections failed.
    pub async fn serve(
        self,
        listeners: Vec<TcpListener>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), StartError> {
        let patience = Patience::default();
        let connections = Arc::new(Connections::new(self.router(), connections::room(), patience));
        let mut doors = JoinSet::new();
        for listener in listeners {
            doors.spawn(Arc::clone(&connections).accept(listener));
        }
        let tasks = Tasks::start(&self.0);
        tokio::select! {
            () = shutdown => {}
            Some(ended) = doors.join_next() => ended.map_err(std::io::Error::other)?,
        }
        if !tokio::join!(connections.end(), tasks.end(patience.drain)).0 {
            tracing::warn!("requests were still running after 30 seconds and were cut off");
        }
        self.0.store.close().await;
        Ok(())
    }
}
