//! The state that all requests share.

use std::sync::{Arc, Once};

use arc_swap::ArcSwap;
use bytes::Bytes;
use idp_core::seal::Keyring;
use idp_store::Store;

use crate::accounts::hasher::Hasher;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::assets::Assets;
use crate::http::limits::Limiters;
use crate::http::readiness::Readiness;
use crate::http::refusal_log::RefusalLog;
use crate::keys::server_keys::ServerKeys;
use crate::mail::transport::Mailer;
use crate::text::templates::Renderer;

/// What all requests share. Lasting data is in the database; only the opened keys are cached here.
pub(crate) struct AppState {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) ring: Keyring,
    pub(crate) keys: ArcSwap<ServerKeys>,
    /// The JWK set as sent; replaced together with `keys`.
    pub(crate) jwks: ArcSwap<Bytes>,
    /// The discovery document as sent.
    pub(crate) discovery: Bytes,
    pub(crate) hasher: Hasher,
    pub(crate) renderer: Renderer,
    pub(crate) assets: Assets,
    pub(crate) limiters: Limiters,
    pub(crate) refusals: Arc<RefusalLog>,
    pub(crate) mailer: Mailer,
    pub(crate) readiness: Readiness,
    /// Whether the log has said that this server seems to be behind a proxy that it does not trust.
    pub(crate) proxy_noted: Once,
}

/// A handle to the state.
pub(crate) type Shared = Arc<AppState>;
