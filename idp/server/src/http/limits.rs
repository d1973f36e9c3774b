//! Limits on requests per client address, by rate class (tower-governor).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::response::IntoResponse;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use tower_governor::GovernorLayer;
use tower_governor::errors::GovernorError;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;

use crate::config::RateLimits;
use crate::http::address::{Network, RequestInfo};
use crate::http::errors::{PageError, Reason};
use crate::http::policy::Rate;

/// Extracts the network of a request. The extractors of the crate would trust any header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByNetwork;

impl KeyExtractor for ByNetwork {
    type Key = Network;

    fn extract<T>(&self, request: &Request<T>) -> Result<Network, GovernorError> {
        let info = request.extensions().get::<RequestInfo>();
        info.map(RequestInfo::network).ok_or(GovernorError::UnableToExtractKey)
    }
}

type Limiter = Arc<GovernorConfig<ByNetwork, NoOpMiddleware>>;

/// One limiter per rate class.
pub(crate) struct Limiters {
    page: Limiter,
    sign_in: Limiter,
    register: Limiter,
    client: Limiter,
    unrouted: Limiter,
}

impl Limiters {
    pub(crate) fn new(limits: &RateLimits) -> Self {
        Self {
            page: limiter(limits.page),
            sign_in: limiter(limits.sign_in),
            register: limiter(limits.register),
            client: limiter(limits.client),
            unrouted: limiter(limits.unrouted),
        }
    }

    /// The middleware of a class. Documents and probes have none.
    pub(crate) fn layer(&self, rate: Rate) -> Option<GovernorLayer<ByNetwork, NoOpMiddleware, Body>> {
        Some(GovernorLayer::new(Arc::clone(self.of(rate)?)).error_handler(refuse))
    }

    /// Counts a request that no middleware counts. Beyond the limit it returns the seconds until another one may come.
    pub(crate) fn wait(&self, rate: Rate, network: Network) -> Option<u64> {
        let full = self.of(rate)?.limiter().check_key(&network).err()?;
        Some(full.wait_time_from(DefaultClock::default().now()).as_secs().max(1))
    }

    fn of(&self, rate: Rate) -> Option<&Limiter> {
        match rate {
            Rate::Unlimited => None,
            Rate::Page => Some(&self.page),
            Rate::SignIn => Some(&self.sign_in),
            Rate::Register => Some(&self.register),
            Rate::Client => Some(&self.client),
            Rate::Unrouted => Some(&self.unrouted),
        }
    }

    /// Forgets addresses without recent requests. Nothing else frees them.
    pub(crate) fn forget_quiet(&self) {
        for limiter in [&self.page, &self.sign_in, &self.register, &self.client, &self.unrouted] {
            limiter.limiter().retain_recent();
            limiter.limiter().shrink_to_fit();
        }
    }
}

/// A limiter that allows `per_minute` requests at once and restores them evenly over a minute.
fn limiter(per_minute: u32) -> Limiter {
    let burst = per_minute.max(1);
    let mut builder = GovernorConfigBuilder::default().key_extractor(ByNetwork);
    builder.period(Duration::from_secs(60) / burst).burst_size(burst);
    Arc::new(builder.finish().unwrap_or_else(|| {
        let default = GovernorConfigBuilder::default().key_extractor(ByNetwork).finish();
        default.unwrap_or_else(|| unreachable!("the default has a period and a burst"))
    }))
}

fn refuse(error: GovernorError) -> axum::http::Response<Body> {
    let error = match error {
        GovernorError::TooManyRequests { wait_time, .. } => {
            PageError { retry_after: Some(wait_time.max(1)), ..PageError::new(Reason::TOO_MANY) }
        }
        other => PageError::new(Reason::INTERNAL).detail(other.to_string()),
    };
    error.into_response()
}
