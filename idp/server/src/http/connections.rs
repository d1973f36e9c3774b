//! Connections: how many there may be, how long one may stay without a request, and how they end.
//!
//! One timer per connection covers a silent socket, a half-sent head, an idle connection and a peer that does not
//! read, in HTTP/1.1 and HTTP/2. (hyper's own limit for heads costs a timer per request, and starts only after the
//! peer has said which version it speaks.) What a peer can make us keep is bounded per connection. What it can have
//! under way is bounded per client address and in total.

use std::io::{ErrorKind, IoSlice, Write};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use ipnet::IpNet;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tower::Service;

use crate::http::address::{Network, client_address, is_trusted};
use crate::http::refusal_log::RefusalLog;
use crate::http::shares::{AddressShare, Share, ShareKind, Shares, Taken};

/// The most connections at once, if the system lets us open as many files.
const MOST: u32 = 10_000;
/// Files reserved for everything else: databases, mail, logs.
const OTHER_FILES: u32 = 256;
/// A request is given up this many spans after the one in which it came. No handler takes half as long.
const STALLED: usize = 13;
/// A response that its peer does not read is given up this many spans after the one in which it was made. Our responses
/// are short.
const UNREAD: usize = 4;

/// The longest head of an HTTP/1.1 request, in bytes. A browser with many cookies for `localhost` needs less than half.
const HEAD: usize = 64 * 1024;
/// The most header lines of a head.
const HEADER_LINES: usize = 100;
/// The most bytes read at once. Without it, hyper doubles its buffer and reads beyond the longest head.
const PIECE: u64 = 8 * 1024;
/// The longest head of an HTTP/2 request, in bytes as HTTP/2 counts them (RFC 9113 section 6.5.2).
const HEAD_2: u32 = 16 * 1024;
/// Requests under way on one HTTP/2 connection. RFC 9113 section 6.5.2 recommends 100 or more, whose heads would take
/// 1.6 MB; our pages need a handful at once.
const STREAMS: u32 = 32;
/// Bytes of bodies that an HTTP/2 connection may send before they are read, on one stream. Every form is shorter.
const WINDOW: u32 = 32 * 1024;
/// The same, on all streams together.
const WINDOWS: u32 = 64 * 1024;
/// Bytes of one HTTP/2 response that may wait for a peer that does not read.
const UNSENT: usize = 64 * 1024;
/// Streams that an HTTP/2 peer may reset before they are served, and streams that it may break, before its connection
/// ends.
const TAKEN_BACK: usize = 20;

/// The response to a connection beyond its address's share.
const TURNED_AWAY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nCache-Control: no-store\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// How long things may take.
#[derive(Clone, Copy)]
pub(crate) struct Timeouts {
    /// The span after which a connection is checked. Without requests it is closed after one to two spans.
    pub(crate) quiet: Duration,
    /// The graceful shutdown of a connection that has nothing under way.
    pub(crate) goodbye: Duration,
    /// The responses under way when the server shuts down.
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
    /// No new connections; responses under way are finished.
    Ending,
    Cut,
}

/// All connections of a server, from all its listeners.
pub(crate) struct Connections {
    router: Router,
    http: Builder<TokioExecutor>,
    room: ConnectionLimits,
    /// Each connection holds one permit, and so does a listener that waits for the next connection.
    slots: Arc<Semaphore>,
    shares: Arc<Shares>,
    refusals: Arc<RefusalLog>,
    phase: watch::Sender<Phase>,
    patience: Timeouts,
}

impl Connections {
    pub(crate) fn new(
        router: Router,
        room: ConnectionLimits,
        patience: Timeouts,
        refusals: Arc<RefusalLog>,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(usize::try_from(room.most).unwrap_or(Semaphore::MAX_PERMITS)));
        let shares = Shares::new(room.most, room.per_address);
        let (http, phase) = (bounded(), watch::Sender::new(Phase::Open));
        Self { router, http, room, slots, shares, refusals, phase, patience }
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
        let proxy = is_trusted(address, &self.room.trusted);
        let share = if proxy { self.shares.unbounded() } else { self.shares.of(Network::of(address)) };
        let taken = share.take(ShareKind::Connection, 1)?;
        let forwards = proxy.then(|| (Arc::clone(&self.shares), self.room.trusted.clone()));
        Some((Peer { address, share, forwards }, taken))
    }

    async fn serve(&self, socket: TcpStream, peer: Peer) {
        // A response is one write, so it need not wait for more to send.
        let _ = socket.set_nodelay(true);
        let traffic = Arc::new(Traffic::new(peer));
        let (router, requests) = (self.router.clone(), Arc::clone(&traffic));
        let service = service_fn(move |request| answer(router.clone(), Arc::clone(&requests), request));
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(Socket::new(socket)), service));
        let mut phase = self.phase.subscribe();
        tokio::select! {
            _ = connection.as_mut() => return,
            () = traffic.quiet(self.patience.quiet) => if traffic.is_under_way() { return },
            () = reached(&mut phase, Phase::Ending) => {}
        }
        connection.as_mut().graceful_shutdown();
        // A peer that ignores the shutdown may go on sending requests.
        let mut stalled = pin!(traffic.stalled(self.patience.quiet));
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                // If nothing is under way by now, there is half a head, or the peer ignores the shutdown.
                () = sleep(self.patience.goodbye) => if !traffic.is_under_way() { return },
                () = stalled.as_mut() => return,
                () = reached(&mut phase, Phase::Cut) => return,
            }
        }
    }

    /// Accepts no more connections and waits for the responses under way. `false`: some took too long and were cut off.
    pub(crate) async fn end(&self) -> bool {
        self.phase.send_replace(Phase::Ending);
        let ended = timeout(self.patience.drain, self.slots.acquire_many(self.room.most)).await.is_ok();
        self.phase.send_replace(Phase::Cut);
        ended
    }
}

/// hyper, with a bound on everything that a peer can make it keep.
fn bounded() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().max_buf_size(HEAD).max_headers(HEADER_LINES);
    http.http2()
        .max_header_list_size(HEAD_2)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOWS)
        .max_send_buf_size(UNSENT)
        .max_pending_accept_reset_streams(TAKEN_BACK)
        .max_local_error_reset_streams(TAKEN_BACK);
    http
}

/// Sends the refusal in one write, if the socket accepts it at once, and closes the connection.
fn turn_away(socket: TcpStream) {
    if let Ok(mut socket) = socket.into_std() {
        let _ = socket.write(TURNED_AWAY);
    }
}

/// A socket that is read in pieces.
struct Socket {
    read: Take<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Socket {
    fn new(socket: TcpStream) -> Self {
        let (read, write) = socket.into_split();
        Self { read: read.take(PIECE), write }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.read.set_limit(PIECE);
        Pin::new(&mut self.read).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.write).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.write.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(cx)
    }
}

/// Who is at the other end of a connection.
struct Peer {
    address: IpAddr,
    share: Arc<Share>,
    /// All shares and all trusted proxies, if the peer is a proxy that forwards requests of others.
    forwards: Option<(Arc<Shares>, Vec<IpNet>)>,
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

/// Admits a request before the first await, so that requests are admitted in order of arrival.
fn answer(
    mut router: Router,
    traffic: Arc<Traffic>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Answer>, std::convert::Infallible>> {
    traffic.asked.store(true, Ordering::Relaxed);
    let mut request = request.map(Body::new);
    let (address, share) = traffic.peer.caller(request.headers());
    let taken = share.take(ShareKind::Request, 1);
    let handled = UnderWay::begin(&traffic, Stage::Handled);
    request.extensions_mut().insert(AddressShare { address, share, admitted: taken.is_some() });
    async move {
        let response = router.call(request).await?;
        let sent = UnderWay::begin(&traffic, Stage::Sent);
        drop(handled);
        Ok(response.map(|body| Answer { body, _under_way: sent, _taken: taken }))
    }
}

/// What happens on one connection.
struct Traffic {
    /// Whether a request has come since the last check.
    asked: AtomicBool,
    peer: Peer,
    /// The number of the current span.
    span: AtomicUsize,
    /// Requests with their handlers, by the span in which they came: one count for each span that a request may last.
    handled: [AtomicU32; STALLED],
    /// Responses not yet handed to the connection, by the span in which they were made.
    sent: [AtomicU32; UNREAD],
}

impl Traffic {
    fn new(peer: Peer) -> Self {
        let (asked, span) = (AtomicBool::default(), AtomicUsize::default());
        Self { asked, peer, span, handled: Default::default(), sent: Default::default() }
    }

    fn counts(&self, stage: Stage) -> &[AtomicU32] {
        match stage {
            Stage::Handled => &self.handled,
            Stage::Sent => &self.sent,
        }
    }

    /// Whether any request is with its handler, or any response not yet handed to the connection.
    fn is_under_way(&self) -> bool {
        self.handled.iter().chain(&self.sent).any(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// Begins the next span. Returns whether something has stalled: it still holds the count that this span reuses.
    fn has_stalled(&self) -> bool {
        let next = self.span.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let oldest = |stage| {
            let counts = self.counts(stage);
            counts[next % counts.len()].load(Ordering::Relaxed)
        };
        oldest(Stage::Handled) + oldest(Stage::Sent) > 0
    }

    /// Resolves when something has stalled, no matter what else was requested meanwhile.
    async fn stalled(&self, span: Duration) {
        loop {
            sleep(span).await;
            if self.has_stalled() {
                return;
            }
        }
    }

    /// Resolves when no request came for a whole span and nothing is under way, or when something has stalled.
    async fn quiet(&self, span: Duration) {
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
enum Stage {
    /// Its handler.
    Handled,
    /// Its peer.
    Sent,
}

/// A request in one stage. It leaves the stage when this is dropped.
struct UnderWay {
    traffic: Arc<Traffic>,
    stage: Stage,
    span: usize,
}

impl UnderWay {
    fn begin(traffic: &Arc<Traffic>, stage: Stage) -> Self {
        let begun = Self { traffic: Arc::clone(traffic), stage, span: traffic.span.load(Ordering::Relaxed) };
        begun.count().fetch_add(1, Ordering::Relaxed);
        begun
    }

    fn count(&self) -> &AtomicU32 {
        let counts = self.traffic.counts(self.stage);
        &counts[self.span % counts.len()]
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.count().fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a response, which is under way until this is dropped.
struct Answer {
    body: Body,
    _under_way: UnderWay,
    _taken: Option<Taken>,
}

impl HttpBody for Answer {
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

/// How many connections there may be. A limit above the system's limit of open files would be useless. That limit is
/// raised as far as allowed and needed.
pub(crate) fn room() -> u32 {
    let wanted = u64::from(MOST + OTHER_FILES);
    let mut files = getrlimit(Resource::Nofile);
    let allowed = files.maximum.unwrap_or(wanted).min(wanted);
    if files.current.is_some_and(|current| current < allowed) {
        files.current = Some(allowed);
        if let Err(error) = setrlimit(Resource::Nofile, files) {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(wanted).min(wanted);
    // If the system allows few files, half of them are for connections.
    u32::try_from(files.saturating_sub(u64::from(OTHER_FILES)).max(files / 2)).unwrap_or(MOST)
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
