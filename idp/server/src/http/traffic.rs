//! What is in progress on one connection: requests with their handlers, and responses on their way to the peer.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::{Request, Response};
use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tower::Service;

use crate::http::address::{Network, client_address, is_trusted};
use crate::http::shares::{AddressShare, Share, ShareKind, Shares, Taken};

/// How many check intervals ([`Timeouts::quiet`](super::connections::Timeouts)) a request may last; then it has
/// stalled. No handler takes half as long.
const MAX_HANDLER_SPANS: usize = 13;
/// How many check intervals a peer may take to read a response. Our responses are short.
const MAX_SEND_SPANS: usize = 4;

/// Bytes that a header line takes besides its text, about: a place in `HeaderMap`, in its index, and an allocation.
const LINE_BYTES: usize = 128;

/// Bytes that the heads of requests in progress on one connection may take: two of the longest in HTTP/1.1, or 32 of 4 KB.
/// What a proxy forwards counts for the clients it names only.
const MAX_HEADS: usize = 128 * 1024;

/// The lines that the response to a refused request depends on.
const KEPT_LINES: [HeaderName; 3] =
    [header::HOST, HeaderName::from_static("x-forwarded-proto"), header::FORWARDED];
/// Bytes of each part of a refused request's head that are kept.
const LONGEST_KEPT: usize = 256;

/// Who is at the other end of a connection.
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) share: Arc<Share>,
    /// All shares and all trusted proxies, if the peer is a proxy that forwards requests of others.
    pub(super) forwards: Option<(Arc<Shares>, Vec<IpNet>)>,
}

impl Peer {
    /// Who sent a request: the address, and the share it counts against.
    fn caller(&self, headers: &HeaderMap) -> (IpAddr, Arc<Share>) {
        if let Some((shares, proxies)) = &self.forwards {
            let address = client_address(self.address, headers, proxies);
            let share = match is_trusted(address, proxies) {
                true => Arc::clone(&self.share),
                false => shares.of(Network::of(address)),
            };
            return (address, share);
        }
        (self.address, Arc::clone(&self.share))
    }
}

/// Admits a request before the first await, so that requests are admitted in order of arrival.
pub(super) fn serve_request(
    mut router: Router,
    traffic: Arc<Traffic>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<TrackedBody>, std::convert::Infallible>> {
    traffic.asked.store(true, Ordering::Relaxed);
    let mut request = request.map(Body::new);
    let (address, share) = traffic.peer.caller(request.headers());
    let taken = share.take(ShareKind::Request, 1);
    let head = traffic.take_head(&share, head_bytes(&request));
    let handled = UnderWay::begin(&traffic, RequestPhase::Handled);
    let (by_proxy, admitted) = (traffic.peer.forwards.is_some(), taken.is_some() && head.is_some());
    if !admitted && request.version() == Version::HTTP_2 {
        request = shortened(request);
    }
    request.extensions_mut().insert(AddressShare { address, share, by_proxy, admitted });
    async move {
        let response = router.call(request).await?;
        let sent = UnderWay::begin(&traffic, RequestPhase::Sent);
        drop((handled, head));
        Ok(response.map(|body| TrackedBody { body, _under_way: sent, _taken: taken }))
    }
}

/// How much memory a head takes, about. The lines of most requests are short, but a peer may send many long ones, and then
/// no body.
fn head_bytes<B>(request: &Request<B>) -> u32 {
    let uri = request.uri();
    let target = uri.authority().map_or(0, |host| host.as_str().len())
        + uri.path_and_query().map_or(0, |path| path.as_str().len());
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + LINE_BYTES);
    let bytes = request.method().as_str().len() + target + lines.sum::<usize>();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// What the refusal of a request needs of its head. HTTP/2 hands over all requests that have arrived before any of them is
/// handled, so the heads of those to be refused would add up.
fn shortened(request: Request<Body>) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    // What is kept is copied: a part of a frame would keep the whole frame in memory.
    let uri = Some(parts.uri.to_string()).filter(|uri| uri.len() <= LONGEST_KEPT);
    parts.uri = uri.and_then(|uri| uri.parse().ok()).unwrap_or_else(|| Uri::from_static("/"));
    if parts.method.as_str().len() > LONGEST_KEPT {
        parts.method = Method::GET;
    }
    let kept = KEPT_LINES.into_iter().filter_map(|name| {
        let value = parts.headers.get(&name)?.as_bytes();
        let copy = HeaderValue::from_bytes(value.get(..LONGEST_KEPT).unwrap_or(value));
        Some((name, copy.ok()?))
    });
    parts.headers = kept.collect();
    Request::from_parts(parts, body)
}

/// What happens on one connection.
pub(super) struct Traffic {
    /// Whether a request has come since the last check.
    asked: AtomicBool,
    peer: Peer,
    /// The bytes that further heads may take.
    heads: Arc<Semaphore>,
    /// The number of the current span.
    span: AtomicUsize,
    /// Requests with their handlers, by the span in which they came: one count for each span that a request may last.
    handled: [AtomicU32; MAX_HANDLER_SPANS],
    /// Responses not yet handed to the connection, by the span in which they were made.
    sent: [AtomicU32; MAX_SEND_SPANS],
}

impl Traffic {
    pub(super) fn new(peer: Peer) -> Self {
        let (asked, span) = (AtomicBool::default(), AtomicUsize::default());
        let heads = if peer.forwards.is_some() { Semaphore::MAX_PERMITS } else { MAX_HEADS };
        let heads = Arc::new(Semaphore::new(heads));
        Self { asked, peer, heads, span, handled: Default::default(), sent: Default::default() }
    }

    /// Counts a head until this is dropped. `None`: there is no room for it on this connection, or for its address.
    fn take_head(&self, share: &Arc<Share>, bytes: u32) -> Option<(OwnedSemaphorePermit, Taken)> {
        let here = Arc::clone(&self.heads).try_acquire_many_owned(bytes).ok()?;
        Some((here, share.take(ShareKind::Bytes, bytes.into())?))
    }

    fn counts(&self, phase: RequestPhase) -> &[AtomicU32] {
        match phase {
            RequestPhase::Handled => &self.handled,
            RequestPhase::Sent => &self.sent,
        }
    }

    /// Whether any request is with its handler, or any response not yet handed to the connection.
    pub(super) fn is_under_way(&self) -> bool {
        self.handled.iter().chain(&self.sent).any(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// Begins the next span. Returns whether something has stalled: it still holds the count that this span reuses.
    fn has_stalled(&self) -> bool {
        let next = self.span.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let oldest = |phase| {
            let counts = self.counts(phase);
            counts[next % counts.len()].load(Ordering::Relaxed)
        };
        oldest(RequestPhase::Handled) + oldest(RequestPhase::Sent) > 0
    }

    /// Resolves when something has stalled, no matter what else was requested meanwhile.
    pub(super) async fn stalled(&self, span: Duration) {
        loop {
            sleep(span).await;
            if self.has_stalled() {
                return;
            }
        }
    }

    /// Resolves when no request came for a whole span and nothing is in progress, or when something has stalled.
    pub(super) async fn quiet(&self, span: Duration) {
        loop {
            sleep(span).await;
            let asked = self.asked.swap(false, Ordering::Relaxed);
            if self.has_stalled() || !asked && !self.is_under_way() {
                return;
            }
        }
    }
}

/// What a request waits for.
#[derive(Clone, Copy)]
enum RequestPhase {
    /// Its handler.
    Handled,
    /// Its peer.
    Sent,
}

/// A request in one phase. It leaves the phase when this is dropped.
struct UnderWay {
    traffic: Arc<Traffic>,
    phase: RequestPhase,
    span: usize,
}

impl UnderWay {
    fn begin(traffic: &Arc<Traffic>, phase: RequestPhase) -> Self {
        let begun = Self { traffic: Arc::clone(traffic), phase, span: traffic.span.load(Ordering::Relaxed) };
        begun.count().fetch_add(1, Ordering::Relaxed);
        begun
    }

    fn count(&self) -> &AtomicU32 {
        let counts = self.traffic.counts(self.phase);
        &counts[self.span % counts.len()]
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.count().fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a response, which is in progress until this is dropped.
pub(super) struct TrackedBody {
    body: Body,
    _under_way: UnderWay,
    _taken: Option<Taken>,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_04_a_request_is_given_up_by_its_own_age() {
        let shares = Shares::new(8, None);
        let address = IpAddr::from([192, 0, 2, 1]);
        let peer = Peer { address, share: shares.of(Network::of(address)), forwards: None };
        let traffic = Arc::new(Traffic::new(peer));
        for (phase, spans) in
            [(RequestPhase::Handled, MAX_HANDLER_SPANS), (RequestPhase::Sent, MAX_SEND_SPANS)]
        {
            let old = UnderWay::begin(&traffic, phase);
            for _ in 1..spans {
                drop(UnderWay::begin(&traffic, phase));
                assert!(!traffic.has_stalled());
            }
            let young = UnderWay::begin(&traffic, phase);
            assert!(traffic.has_stalled() && traffic.is_under_way());
            drop(old);
            assert!(!traffic.has_stalled() && traffic.is_under_way());
            drop(young);
            assert!(!traffic.is_under_way());
        }
    }
}
