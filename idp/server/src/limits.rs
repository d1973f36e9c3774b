//! Requests per client address, by rate class (tower-governor).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::response::IntoResponse;
use governor::middleware::NoOpMiddleware;
use tower_governor::GovernorLayer;
use tower_governor::errors::GovernorError;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;

use crate::address::RequestInfo;
use crate::config::RateLimits;
use crate::errors::{PageError, Reason};
use crate::policy::Rate;

/// The network of the request, found by our own extractor: those that come with the crate believe any header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network;

impl KeyExtractor for Network {
    type Key = String;

    fn extract<T>(&self, request: &Request<T>) -> Result<String, GovernorError> {
        let info = request.extensions().get::<RequestInfo>();
        info.map(RequestInfo::network).ok_or(GovernorError::UnableToExtractKey)
    }
}

type Limiter = Arc<GovernorConfig<Network, NoOpMiddleware>>;

/// One limiter per rate class.
pub(crate) struct Limiters {
    page: Limiter,
    sign_in: Limiter,
    register: Limiter,
    client: Limiter,
}

impl Limiters {
    pub(crate) fn new(limits: &RateLimits) -> Self {
        Self {
            page: limiter(limits.page),
            sign_in: limiter(limits.sign_in),
            register: limiter(limits.register),
            client: limiter(limits.client),
        }
    }

    /// The layer of a class; documents and probes have none.
    pub(crate) fn layer(&self, rate: Rate) -> Option<GovernorLayer<Network, NoOpMiddleware, Body>> {
        let limiter = match rate {
            Rate::Unlimited => return None,
            Rate::Page => &self.page,
            Rate::SignIn => &self.sign_in,
            Rate::Register => &self.register,
            Rate::Client => &self.client,
        };
        Some(GovernorLayer::new(Arc::clone(limiter)).error_handler(refuse))
    }

    /// Forgets addresses that have been quiet: nothing is freed otherwise.
    pub(crate) fn forget_quiet(&self) {
        for limiter in [&self.page, &self.sign_in, &self.register, &self.client] {
            limiter.limiter().retain_recent();
            limiter.limiter().shrink_to_fit();
        }
    }
}

/// `per_minute` requests may come at once; they are given back evenly over a minute.
fn limiter(per_minute: u32) -> Limiter {
    let burst = per_minute.max(1);
    let mut builder = GovernorConfigBuilder::default().key_extractor(Network);
    builder.period(Duration::from_secs(60) / burst).burst_size(burst);
    Arc::new(builder.finish().unwrap_or_else(|| {
        let default = GovernorConfigBuilder::default().key_extractor(Network).finish();
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
