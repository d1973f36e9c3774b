//! Connections: how many there may be, how long one may ask nothing, and how they end.
//!
//! One timer per connection covers a silent socket, a half-sent head, an idle connection and a peer that does not
//! read, in both versions of HTTP. (hyper's own limit for heads costs a timer per request, and begins only after
//! the peer has said which version it speaks.)

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tower::Service;

/// Connections at once, where the system lets us open as many files.
const MOST: u32 = 10_000;
/// Files that are kept for everything else: databases, mail, logs.
const OTHER_FILES: u32 = 256;
/// Spans of quiet after which an answer under way is given up. No handler takes half as long.
const STALLED: u32 = 12;

/// How long things may take.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// A connection on which nothing is asked. Between one and two of these pass before it is closed.
    pub(crate) quiet: Duration,
    /// The end of a connection that has nothing under way.
    pub(crate) goodbye: Duration,
    /// Answers under way, after the server was told to stop.
    pub(crate) drain: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { quiet: seconds(10), goodbye: seconds(1), drain: seconds(30) }
    }
}

/// What becomes of the connections.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// No new ones; answers under way are finished.
    Ending,
    Cut,
}

/// All connections of a server, whichever door they come through.
pub(crate) struct Connections {
    router: Router,
    http: Builder<TokioExecutor>,
    most: u32,
    /// Each connection holds one, and so does a door that waits for the next.
    slots: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
    patience: Patience,
}

impl Connections {
    pub(crate) fn new(router: Router, most: u32, patience: Patience) -> Self {
        let slots = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS)));
        let http = Builder::new(TokioExecutor::new());
        Self { router, http, most, slots, phase: watch::Sender::new(Phase::Open), patience }
    }

    /// Takes connections until the server ends.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut phase = self.phase.subscribe();
        loop {
            let next = async { (Arc::clone(&self.slots).acquire_owned().await, accepted(&listener).await) };
            let (slot, (socket, peer)) = tokio::select! {
                next = next => next,
                () = reached(&mut phase, Phase::Ending) => return,
            };
            let all = Arc::clone(&self);
            tokio::spawn(async move {
                all.serve(socket, peer).await;
                drop(slot);
            });
        }
    }

    async fn serve(&self, socket: TcpStream, peer: SocketAddr) {
        // An answer is one write: it need not wait for more to send.
        let _ = socket.set_nodelay(true);
        let traffic = Arc::new(Traffic::default());
        let (router, requests) = (self.router.clone(), Arc::clone(&traffic));
        let service = service_fn(move |request| answer(router.clone(), Arc::clone(&requests), peer, request));
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(socket), service));
        let mut phase = self.phase.subscribe();
        tokio::select! {
            _ = connection.as_mut() => return,
            () = traffic.quiet(self.patience.quiet) => if traffic.is_under_way() { return },
            () = reached(&mut phase, Phase::Ending) => {}
        }
        connection.as_mut().graceful_shutdown();
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                // What has nothing under way by now is half a head, or a peer that does not answer the goodbye.
                () = sleep(self.patience.goodbye) => if !traffic.is_under_way() { return },
                () = reached(&mut phase, Phase::Cut) => return,
            }
        }
    }

    /// Takes no more connections and waits for the answers under way. `false`: some took too long and were cut.
    pub(crate) async fn end(&self) -> bool {
        self.phase.send_replace(Phase::Ending);
        let ended = timeout(self.patience.drain, self.slots.acquire_many(self.most)).await.is_ok();
        self.phase.send_replace(Phase::Cut);
        ended
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
                // Usually there are no files left: others must be closed first.
                tracing::error!(%error, "a connection cannot be accepted");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(
    mut router: Router,
    traffic: Arc<Traffic>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Answer>, std::convert::Infallible> {
    traffic.asked.store(true, Ordering::Relaxed);
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    let response = router.call(request).await?;
    Ok(response.map(|body| Answer { body, _under_way: traffic }))
}

/// What happens on one connection.
#[derive(Default)]
struct Traffic {
    /// Whether something was asked since this was looked at last.
    asked: AtomicBool,
}

impl Traffic {
    /// Every request holds a handle until its answer has been given to the connection; so do the connection and
    /// its service.
    fn is_under_way(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 2
    }

    /// Resolves when nothing was asked for a whole span and no answer is under way, or one has stalled.
    async fn quiet(self: &Arc<Self>, span: Duration) {
        let mut spans = 0;
        loop {
            sleep(span).await;
            spans = if self.asked.swap(false, Ordering::Relaxed) { 0 } else { spans + 1 };
            if spans >= if self.is_under_way() { STALLED } else { 1 } {
                return;
            }
        }
    }
}

/// The body of an answer, which is under way as long as this is there.
struct Answer {
    body: Body,
    _under_way: Arc<Traffic>,
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

/// How many connections there may be: a limit above the system's number of open files is none. That number is
/// raised as far as we may and need.
pub(crate) fn room() -> u32 {
    let wanted = u64::from(MOST + OTHER_FILES);
    let mut files = getrlimit(Resource::Nofile);
    let allowed = files.maximum.unwrap_or(wanted).min(wanted);
    if files.current.is_some_and(|current| current < allowed) {
        files.current = Some(allowed);
        if let Err(error) = setrlimit(Resource::Nofile, files) {
            tracing::debug!(%error, "the number of open files stays as it is");
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(wanted).min(wanted);
    // On a system of few files half of them are ours.
    u32::try_from(files.saturating_sub(u64::from(OTHER_FILES)).max(files / 2)).unwrap_or(MOST)
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
