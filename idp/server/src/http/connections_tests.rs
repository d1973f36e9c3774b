//! Connections that send no request, half of one, or are shut down, with plain sockets on loopback.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::http::HeaderMap;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::http::shares::AddressShare;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
const H2: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(40);

/// A server with a quick page and a slow one that answers when told.
struct Server {
    connections: Arc<Connections>,
    door: JoinHandle<()>,
    address: SocketAddr,
    begun: Arc<AtomicUsize>,
    finish: Arc<Notify>,
}

impl Server {
    async fn start(most: u32, timeouts: Timeouts) -> Self {
        Self::start_with(ConnectionLimits { most, per_address: Some(most), trusted: vec![] }, timeouts).await
    }

    async fn start_with(limits: ConnectionLimits, timeouts: Timeouts) -> Self {
        let (begun, finish) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, told) = (Arc::clone(&begun), Arc::clone(&finish));
        let slow = move || async move {
            count.fetch_add(1, Ordering::SeqCst);
            told.notified().await;
            "slow answer"
        };
        // Whether there was room for the request, and whether its handler sees the line "x" of its head.
        let admitted = |Extension(share): Extension<AddressShare>, headers: HeaderMap| async move {
            format!("{}, {}", share.admitted, headers.contains_key("x"))
        };
        let router = Router::new()
            .route("/", get(|| async { "quick" }))
            .route("/slow", get(slow))
            .route("/admitted", get(admitted));
        let connections = Arc::new(Connections::new(router, limits, timeouts, Arc::new(RefusalLog::new())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = tokio::spawn(Arc::clone(&connections).accept(listener));
        Self { connections, door, address, begun, finish }
    }

    /// A connection that sends this first.
    async fn says(&self, text: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(text.as_bytes()).await.unwrap();
        socket
    }

    /// A connection with a request whose handler is running.
    async fn asks_slowly(&self) -> TcpStream {
        let before = self.begun.load(Ordering::SeqCst);
        let socket = self.says(&REQUEST.replace("GET /", "GET /slow")).await;
        for _ in 0..1000 {
            if self.begun.load(Ordering::SeqCst) > before {
                return socket;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("the handler did not begin");
    }
}

/// Everything that the server sends until it closes or resets the connection.
async fn to_the_end(socket: &mut TcpStream) -> String {
    let mut read = Vec::new();
    // Not a limit on the server: it only makes a test that hangs fail.
    let ended = timeout(Duration::from_secs(60), socket.read_to_end(&mut read)).await;
    assert!(ended.is_ok(), "the connection stays open");
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn rl_07_a_connection_without_a_whole_request_is_closed() {
    let server = Server::start(100, Timeouts { quiet: SHORT, goodbye: SHORT, drain: LONG }).await;
    for said in
        ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nHo", "GET / HTTP/1.1\r\nHost: here\r\n", H2]
    {
        let told = to_the_end(&mut server.says(said).await).await;
        assert!(!told.contains("quick"), "{said:?}: {told}");
    }
    let idle = to_the_end(&mut server.says(REQUEST).await).await;
    assert!(idle.starts_with("HTTP/1.1 200 OK\r\n") && idle.ends_with("quick"), "{idle}");
    let half = to_the_end(&mut server.says(&format!("{REQUEST}GET / HT")).await).await;
    assert_eq!(half.matches("quick").count(), 1, "{half}");
}

#[tokio::test]
async fn a_response_under_way_is_finished_and_both_http_versions_are_served() {
    let server = Server::start(100, Timeouts { quiet: SHORT, goodbye: SHORT, drain: LONG }).await;
    let mut slow = server.asks_slowly().await;
    sleep(SHORT * 4).await;
    server.finish.notify_waiters();
    assert!(to_the_end(&mut slow).await.ends_with("slow answer"));
    let mut frame = [0; 9];
    server.says(H2).await.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "SETTINGS");
}

#[tokio::test]
async fn r_27_a_shutdown_closes_connections_without_requests_and_cuts_no_response() {
    let server = Server::start(100, Timeouts { quiet: LONG, goodbye: SHORT, drain: LONG }).await;
    let mut slow = server.asks_slowly().await;
    let mut idle = server.says(REQUEST).await;
    idle.read_exact(&mut [0; 15]).await.unwrap();
    let mut others = Vec::new();
    for said in ["", "GET / HTTP/1.1\r\nHo", &format!("{REQUEST}GET / HT"), H2] {
        others.push(server.says(said).await);
    }
    let connections = Arc::clone(&server.connections);
    let ended = tokio::spawn(async move { connections.end().await });
    for socket in others.iter_mut().chain([&mut idle]) {
        to_the_end(socket).await;
    }
    assert!(!ended.is_finished(), "a response is in progress");
    server.finish.notify_waiters();
    assert!(to_the_end(&mut slow).await.ends_with("slow answer"));
    assert!(ended.await.unwrap());
    server.door.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn r_27_a_response_that_does_not_end_is_cut_off() {
    let server = Server::start(100, Timeouts { quiet: LONG, goodbye: SHORT, drain: SHORT }).await;
    let mut slow = server.asks_slowly().await;
    assert!(!server.connections.end().await);
    assert_eq!(to_the_end(&mut slow).await, "");
}

#[tokio::test]
async fn rl_07_no_more_connections_than_there_is_room_for() {
    let server = Server::start(2, Timeouts { quiet: LONG, goodbye: SHORT, drain: LONG }).await;
    let (_first, second) = (server.asks_slowly().await, server.asks_slowly().await);
    let mut third = server.says(REQUEST).await;
    sleep(SHORT * 4).await;
    assert!(third.try_read(&mut [0; 1]).is_err(), "answered beyond the limit");
    drop(second);
    third.read_exact(&mut [0; 15]).await.unwrap();
    assert!((1..=MAX_CONNECTIONS).contains(&super::max_connections()));
}

/// A connection from another address of this machine.
async fn from(source: [u8; 4], to: SocketAddr, text: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    let mut socket = socket.connect(to).await.unwrap();
    // The server may already have closed a connection that it refuses.
    let _ = socket.write_all(text.as_bytes()).await;
    socket
}

#[tokio::test]
async fn fault_04_one_address_cannot_take_all_connections() {
    for (trusted, of_one) in [(vec![], 2), (vec!["127.0.0.1/32".parse().unwrap()], 4)] {
        let limits = ConnectionLimits { most: 8, per_address: None, trusted };
        let server = Server::start_with(limits, Timeouts { quiet: LONG, goodbye: SHORT, drain: LONG }).await;
        let mut held = Vec::new();
        for _ in 0..of_one {
            let (mut socket, mut told) = (server.says(REQUEST).await, [0; 15]);
            socket.read_exact(&mut told).await.unwrap();
            assert!(told.starts_with(b"HTTP/1.1 200 "));
            held.push(socket);
        }
        if of_one == 2 {
            for said in ["", "GET / HTTP/1.1\r\nHo", REQUEST, H2] {
                let told = to_the_end(&mut from([127, 0, 0, 1], server.address, said).await).await;
                assert!(
                    told.is_empty() || told.starts_with("HTTP/1.1 503 ") && told.contains("Retry-After: "),
                    "{told}"
                );
            }
        }
        let mut other = from([127, 0, 0, 2], server.address, REQUEST).await;
        other.read_exact(&mut [0; 15]).await.unwrap();
        held.pop();
        let mut again = None;
        for _ in 0..1000 {
            // The server notices a closed connection a moment later.
            let (mut socket, mut told) = (from([127, 0, 0, 1], server.address, REQUEST).await, [0; 15]);
            if socket.read_exact(&mut told).await.is_ok() && told.starts_with(b"HTTP/1.1 200 ") {
                again = Some(socket);
                break;
            }
        }
        assert!(again.is_some(), "room that was given back");
    }
}

#[tokio::test]
async fn fault_04_the_head_of_a_request_is_bounded() {
    let server = Server::start(100, Timeouts { quiet: LONG, goodbye: SHORT, drain: LONG }).await;
    let lines = |count: usize, length: usize| format!("x: {}\r\n", "a".repeat(length)).repeat(count);
    // A browser with many cookies.
    let mut socket =
        server.says(&REQUEST.replace("\r\n\r\n", &format!("\r\n{}\r\n", lines(15, 4_000)))).await;
    socket.read_exact(&mut [0; 15]).await.unwrap();
    for unfinished in [lines(90, 4_000), lines(1, 400_000), lines(5_000, 20), "a".repeat(400_000)] {
        let mut socket = server.says("GET / HTTP/1.1\r\nHost: here\r\n").await;
        let _ = socket.write_all(unfinished.as_bytes()).await;
        let told = to_the_end(&mut socket).await;
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 431 "), "{told}");
    }
    assert_eq!(server.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn fault_04_the_heads_of_requests_in_progress_count_for_their_address() {
    let server = Server::start(1_000, Timeouts { quiet: LONG, goodbye: SHORT, drain: LONG }).await;
    // Each is about a 267th of what one address may have.
    let long = format!("\r\n{}\r\n", format!("x: {}\r\n", "a".repeat(6_000)).repeat(10));
    let ask = |path: &str| REQUEST.replace("GET /", &format!("GET /{path}")).replace("\r\n\r\n", &long);
    let admitted = async || {
        let mut socket = server.says(&ask("admitted").replace("Host", "Connection: close\r\nHost")).await;
        to_the_end(&mut socket).await.ends_with("true, true")
    };
    assert!(admitted().await);
    let mut slow = Vec::new();
    while admitted().await {
        let before = server.begun.load(Ordering::SeqCst);
        slow.push(server.says(&ask("slow")).await);
        while server.begun.load(Ordering::SeqCst) == before {
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert!((250..300).contains(&slow.len()), "{}", slow.len());
    server.finish.notify_waiters();
    for socket in &mut slow {
        socket.read_exact(&mut [0; 15]).await.unwrap();
    }
    assert!(admitted().await, "an answered request gives back what its head took");
}

#[tokio::test]
async fn fault_04_the_heads_on_one_http_2_connection_are_bounded() {
    let server = Server::start(100, Timeouts { quiet: LONG, goodbye: SHORT, drain: LONG }).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket
        .write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat())
        .await
        .unwrap();
    // Without a name that the table has, 15 KB each.
    let long = [&[0x00, 1, b'x', 0x7f][..], &[0xf1, 0x73], &[b'a'; 14_960]].concat();
    let ask = |stream: u32, path: &str| {
        let whole = headers(stream, "GET", path);
        frame(1, 5, stream, &[&whole[9..], &long].concat())
    };
    for number in 0..8 {
        socket.write_all(&ask(2 * number + 1, "/slow")).await.unwrap();
    }
    while server.begun.load(Ordering::SeqCst) < 8 {
        sleep(Duration::from_millis(1)).await;
    }
    let mut answer = async |stream: u32, request: Vec<u8>| {
        socket.write_all(&request).await.unwrap();
        loop {
            let mut head = [0; 9];
            socket.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(head[1]) * 256 + usize::from(head[2])];
            socket.read_exact(&mut payload).await.unwrap();
            if head[3] == 0 && head[5..] == stream.to_be_bytes() {
                return String::from_utf8(payload).unwrap();
            }
        }
    };
    let ninth = answer(17, ask(17, "/admitted")).await;
    assert_eq!(ninth, "false, false", "no room for a ninth of 15 KB, so it is not kept until it is refused");
    let long_target = format!("/admitted?{}", "a".repeat(15_000));
    assert_eq!(
        answer(19, headers(19, "GET", &long_target)).await,
        "quick",
        "a target counts and is let go, too"
    );
    assert_eq!(answer(21, headers(21, "GET", "/admitted")).await, "true, false", "a short one has room");
}

/// One frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A whole HTTP/2 request.
fn headers(stream: u32, method: &str, path: &str) -> Vec<u8> {
    let text = |index: u8, text: &str| [&[index], &length(text)[..], text.as_bytes()].concat();
    // Literals with names from HPACK's static table (`:method`, `:path`, `:authority`), and `:scheme` http.
    let block = [text(0x02, method), text(0x04, path), text(0x01, "here"), vec![0x86]].concat();
    frame(1, 5, stream, &block)
}

/// The length of a string in HPACK: seven bits, then the rest (RFC 7541 section 5.1).
fn length(text: &str) -> Vec<u8> {
    match text.len() {
        short @ 0..127 => vec![short as u8],
        long => vec![127, 128 | (long - 127) as u8, u8::try_from((long - 127) >> 7).unwrap()],
    }
}

impl Server {
    /// An HTTP/2 peer sends this request, for whose response there is no window, and goes on sending requests whose
    /// responses have no body. Returns whether its connection ends meanwhile.
    async fn ends_although_asked(&self, path: Option<&str>) -> bool {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let no_window = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
        socket.write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &no_window].concat()).await.unwrap();
        if let Some(path) = path {
            socket.write_all(&headers(1, "GET", path)).await.unwrap();
        }
        let (mut told, mut buffer) = (Vec::new(), [0; 4096]);
        for number in 1..200 {
            if socket.write_all(&headers(2 * number + 1, "HEAD", "/")).await.is_err() {
                return true;
            }
            sleep(SHORT / 4).await;
            match socket.try_read(&mut buffer) {
                Ok(0) => return true,
                Ok(read) => told.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return true,
            }
        }
        assert!(told.len() > 9, "nothing was answered");
        false
    }
}

#[tokio::test]
async fn fault_04_a_stalled_request_is_given_up_whatever_else_is_requested() {
    let server = Server::start(100, Timeouts { quiet: SHORT, goodbye: SHORT, drain: LONG }).await;
    assert!(server.ends_although_asked(Some("/")).await, "a response that nobody reads");
    assert!(server.ends_although_asked(Some("/slow")).await, "a handler that does not end");
    assert_eq!(server.begun.load(Ordering::SeqCst), 1);
    // Twice as long, and a busy machine may hold the peer up for a while.
    let patient = Server::start(100, Timeouts { quiet: SHORT * 25, goodbye: SHORT, drain: LONG }).await;
    assert!(!patient.ends_although_asked(None).await, "with nothing stalled the connection stays");
}

#[tokio::test]
async fn fault_04_http_2_peers_are_told_the_bounds() {
    let server = Server::start(100, Timeouts { quiet: LONG, goodbye: SHORT, drain: LONG }).await;
    let (mut socket, mut head) = (server.says(H2).await, [0; 9]);
    socket.read_exact(&mut head).await.unwrap();
    let mut settings = vec![0; usize::from(head[2])];
    socket.read_exact(&mut settings).await.unwrap();
    for (setting, value) in [(3u16, 32u32), (6, 16 * 1024)] {
        let told = [&setting.to_be_bytes()[..], &value.to_be_bytes()].concat();
        assert!(settings.chunks(6).any(|chunk| chunk == told), "{settings:?}");
    }
}
