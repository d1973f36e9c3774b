//! Connections: how many there may be, how long one may stay without a request, and how they end.
//!
//! One timer per connection covers a silent socket, a half-sent head, an idle connection and a peer that does not
//! read, in HTTP/1.1 and HTTP/2. (hyper's own limit for heads costs a timer per request, and starts only after the
//! peer has said which version it speaks.) What a peer can make us keep is bounded per connection. What it can have
//! in progress is bounded per client address and in total.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use ipnet::IpNet;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::http::address::{Network, is_trusted};
use crate::http::refusal_log::RefusalLog;
use crate::http::shares::{ShareKind, Shares, Taken};
use crate::http::socket::Socket;
use crate::http::traffic::{Peer, Traffic, serve_request};

/// The most connections at once, if the system lets us open as many files.
const MAX_CONNECTIONS: u32 = 10_000;
/// Files reserved for everything else: databases, mail, logs.
const OTHER_FILES: u32 = 256;
/// The longest head of an HTTP/1.1 request, in bytes. A browser with many cookies for `localhost` needs less than half.
const HTTP1_MAX_HEAD: usize = 64 * 1024;
/// The most header lines of a head.
const HEADER_LINES: usize = 100;
/// The longest head of an HTTP/2 request, in bytes as HTTP/2 counts them (RFC 9113 section 6.5.2).
const HTTP2_MAX_HEAD: u32 = 16 * 1024;
/// Requests in progress on one HTTP/2 connection. RFC 9113 section 6.5.2 recommends 100 or more, whose heads would take
/// 1.6 MB; our pages need a handful at once.
const HTTP2_MAX_STREAMS: u32 = 32;
/// Bytes of bodies that an HTTP/2 connection may send before they are read, on one stream. Every form is shorter.
const HTTP2_STREAM_WINDOW: u32 = 32 * 1024;
/// The same, on all streams together.
const HTTP2_CONNECTION_WINDOW: u32 = 64 * 1024;
/// Bytes of one HTTP/2 response that may wait for a peer that does not read.
const HTTP2_SEND_BUFFER: usize = 64 * 1024;
/// Streams that an HTTP/2 peer may reset before they are served, and streams that it may break, before its connection
/// ends.
const HTTP2_MAX_RESETS: usize = 20;

/// The response to a connection beyond its address's share.
const BUSY_RESPONSE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nCache-Control: no-store\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// How long things may take.
#[derive(Clone, Copy)]
pub(crate) struct Timeouts {
    /// The span after which a connection is checked. Without requests it is closed after one to two spans.
    pub(crate) quiet: Duration,
    /// The graceful shutdown of a connection that has nothing in progress.
    pub(crate) goodbye: Duration,
    /// The responses in progress when the server shuts down.
    pub(crate) drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { quiet: seconds(10), goodbye: seconds(1), drain: seconds(30) }
    }
}

/// How many connections there may be.
pub(crate) struct ConnectionLimits {
    /// In total.
    pub(crate) most: u32,
    /// From one client address; a quarter of all by default.
    pub(crate) per_address: Option<u32>,
    /// Proxies, which are exempt from `per_address`.
    pub(crate) trusted: Vec<IpNet>,
}

/// What happens to the connections.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// No new connections; responses in progress are finished.
    Ending,
    Cut,
}

/// All connections of a server, from all its listeners.
pub(crate) struct Connections {
    router: Router,
    http: Builder<TokioExecutor>,
    limits: ConnectionLimits,
    /// Each connection holds one permit, and so does a listener that waits for the next connection.
    slots: Arc<Semaphore>,
    shares: Arc<Shares>,
    refusals: Arc<RefusalLog>,
    phase: watch::Sender<Phase>,
    timeouts: Timeouts,
}

impl Connections {
    pub(crate) fn new(
        router: Router,
        limits: ConnectionLimits,
        timeouts: Timeouts,
        refusals: Arc<RefusalLog>,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(usize::try_from(limits.most).unwrap_or(Semaphore::MAX_PERMITS)));
        let shares = Shares::new(limits.most, limits.per_address);
        let (http, phase) = (bounded(), watch::Sender::new(Phase::Open));
        Self { router, http, limits, slots, shares, refusals, phase, timeouts }
    }

    /// Accepts connections until the server shuts down.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut phase = self.phase.subscribe();
        loop {
            let next = async { (Arc::clone(&self.slots).acquire_owned().await, accepted(&listener).await) };
            let (slot, (socket, peer)) = tokio::select! {
                next = next => next,
                () = reached(&mut phase, Phase::Ending) => return,
            };
            let Some((peer, taken)) = self.admit(peer) else {
                self.refusals.count_of("connections of one address", Network::of(peer.ip()));
                turn_away(socket);
                continue;
            };
            let all = Arc::clone(&self);
            tokio::spawn(async move {
                all.serve(socket, peer).await;
                drop((slot, taken));
            });
        }
    }

    /// The peer of a new connection, if its address has room for another one.
    fn admit(&self, peer: SocketAddr) -> Option<(Peer, Taken)> {
        let address = peer.ip().to_canonical();
        let proxy = is_trusted(address, &self.limits.trusted);
        let share = if proxy { self.shares.unbounded() } else { self.shares.of(Network::of(address)) };
        let taken = share.take(ShareKind::Connection, 1)?;
        let forwards = proxy.then(|| (Arc::clone(&self.shares), self.limits.trusted.clone()));
        Some((Peer { address, share, forwards }, taken))
    }

    async fn serve(&self, socket: TcpStream, peer: Peer) {
        // A response is one write, so it need not wait for more to send.
        let _ = socket.set_nodelay(true);
        let traffic = Arc::new(Traffic::new(peer));
        let (router, requests) = (self.router.clone(), Arc::clone(&traffic));
        let service =
            service_fn(move |request| serve_request(router.clone(), Arc::clone(&requests), request));
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(Socket::new(socket)), service));
        let mut phase = self.phase.subscribe();
        tokio::select! {
            _ = connection.as_mut() => return,
            () = traffic.quiet(self.timeouts.quiet) => if traffic.is_under_way() { return },
            () = reached(&mut phase, Phase::Ending) => {}
        }
        connection.as_mut().graceful_shutdown();
        // A peer that ignores the shutdown may go on sending requests.
        let mut stalled = pin!(traffic.stalled(self.timeouts.quiet));
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                // If nothing is in progress by now, there is half a head, or the peer ignores the shutdown.
                () = sleep(self.timeouts.goodbye) => if !traffic.is_under_way() { return },
                () = stalled.as_mut() => return,
                () = reached(&mut phase, Phase::Cut) => return,
            }
        }
    }

    /// Accepts no more connections and waits for the responses in progress. `false`: some took too long and were cut
    /// off.
    pub(crate) async fn end(&self) -> bool {
        self.phase.send_replace(Phase::Ending);
        let ended = timeout(self.timeouts.drain, self.slots.acquire_many(self.limits.most)).await.is_ok();
        self.phase.send_replace(Phase::Cut);
        ended
    }
}

/// hyper, with a bound on everything that a peer can make it keep.
fn bounded() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().max_buf_size(HTTP1_MAX_HEAD).max_headers(HEADER_LINES);
    http.http2()
        .max_header_list_size(HTTP2_MAX_HEAD)
        .max_concurrent_streams(HTTP2_MAX_STREAMS)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .max_pending_accept_reset_streams(HTTP2_MAX_RESETS)
        .max_local_error_reset_streams(HTTP2_MAX_RESETS);
    http
}

/// Sends the refusal in one write, if the socket accepts it at once, and closes the connection.
fn turn_away(socket: TcpStream) {
    if let Ok(mut socket) = socket.into_std() {
        let _ = socket.write(BUSY_RESPONSE);
    }
}

async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    drop(phase.wait_for(|phase| *phase >= wanted).await);
}

async fn accepted(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The peer gave up while it waited.
            Err(error)
                if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                // Usually the process has no files left until other connections close.
                tracing::error!(%error, "a connection cannot be accepted");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// How many connections there may be. A limit above the system's limit of open files would be useless. That limit is
/// raised as far as allowed and needed.
pub(crate) fn max_connections() -> u32 {
    let wanted = u64::from(MAX_CONNECTIONS + OTHER_FILES);
    let mut files = getrlimit(Resource::Nofile);
    let allowed = files.maximum.unwrap_or(wanted).min(wanted);
    if files.current.is_some_and(|current| current < allowed) {
        files.current = Some(allowed);
        if let Err(error) = setrlimit(Resource::Nofile, files) {
            tracing::debug!(%error, "cannot raise the limit on open files");
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(wanted).min(wanted);
    // If the system allows few files, half of them are for connections.
    u32::try_from(files.saturating_sub(u64::from(OTHER_FILES)).max(files / 2)).unwrap_or(MAX_CONNECTIONS)
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
