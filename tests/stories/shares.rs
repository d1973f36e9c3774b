//! No client address can use up what all share: connections, requests in progress, room for bodies.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::http2::Http2;
use crate::support::raw::{FORM, Raw, connect};
use crate::support::{Engine, TestApp, on_both_engines};

const HERE: [u8; 4] = [127, 0, 0, 1];
const THERE: [u8; 4] = [127, 0, 0, 2];

/// A connection that has sent a request and stays open, if the server accepted it.
async fn held(app: &TestApp, source: [u8; 4]) -> Option<TcpStream> {
    let mut socket = connect(app, source).await;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", app.config.issuer.authority());
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut told = [0; 15];
    socket.read_exact(&mut told).await.ok()?;
    assert!(told.starts_with(b"HTTP/1.1 200") || told.starts_with(b"HTTP/1.1 503"));
    told.starts_with(b"HTTP/1.1 200").then_some(socket)
}

/// What the server sends until the connection ends; a reset is an end as well.
async fn to_the_end(socket: &mut TcpStream) -> String {
    let mut told = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), socket.read_to_end(&mut told)).await;
    assert!(ended.is_ok(), "the connection stays open");
    String::from_utf8_lossy(&told).into_owned()
}

on_both_engines! {
    async fn fault_04_one_address_cannot_hold_all_connections(engine: Engine) {
        let app = TestApp::start_with(engine, |config| config.per_address = Some(3)).await;
        let mut mine = Vec::new();
        for _ in 0..10 {
            mine.extend(held(&app, HERE).await);
        }
        assert_eq!(mine.len(), 3);
        assert_eq!(Raw::get("/register").coming_from(THERE).send(&app).await.status, 200, "another address");
        let http = Http2::connect_from(&app, THERE).await;
        assert_eq!(http.send(Raw::get("/register")).await.status, 200, "in HTTP/2 as well");
        drop(mine);
        let mut again = None;
        for _ in 0..400 {
            // The server notices a moment later that the connections are closed.
            again = held(&app, HERE).await;
            if again.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(again.is_some(), "the room is given back");
    }

    async fn fault_04_a_trusted_proxy_may_hold_more_connections_than_one_client(engine: Engine) {
        let app = TestApp::start_with(engine, |config| {
            config.per_address = Some(3);
            config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        }).await;
        let mut mine = Vec::new();
        for _ in 0..10 {
            mine.extend(held(&app, HERE).await);
        }
        assert_eq!(mine.len(), 10);
    }

    async fn fault_04_requests_under_way_are_bounded_per_address(engine: Engine) {
        let app = TestApp::start_with(engine, |config| config.per_address = Some(4)).await;
        let http = Http2::connect(&app).await;
        let begun = || Raw::post("/token").header("Content-Type", FORM);
        let mut under_way = Vec::new();
        for _ in 0..4 {
            under_way.push(http.begin(begun(), false).await);
        }
        for (target, json) in [("/token", true), ("/register", false), ("/jwks.json", true), ("/nowhere", false)] {
            let answer = http.send(Raw::get(target)).await;
            assert_eq!(answer.status, 503, "{target}");
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{target}");
            assert!(answer.body.len() < 300 && !answer.header("x-content-type-options").is_empty(), "{}", answer.body);
            let kind = if json { "application/json" } else { "text/plain; charset=utf-8" };
            assert_eq!(answer.header("content-type"), kind);
        }
        assert_eq!(Raw::get("/register").send(&app).await.status, 503, "over HTTP/1.1 as over HTTP/2");
        assert_eq!(http.send(Raw::get("/healthz")).await.status, 200, "a probe is cheap");
        let other = Http2::connect_from(&app, THERE).await;
        assert_eq!(other.send(Raw::get("/register")).await.status, 200, "another address");
        for stream in under_way {
            assert_eq!(stream.finish("grant_type=x").await.status, 401);
        }
        assert_eq!(http.send(Raw::get("/register")).await.status, 200, "afterwards");
    }

    async fn fault_04_behind_a_trusted_proxy_requests_count_for_the_client_it_names(engine: Engine) {
        let app = TestApp::start_with(engine, |config| {
            config.per_address = Some(2);
            config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        }).await;
        let http = Http2::connect(&app).await;
        let of = |raw: Raw, client: &str| raw.header("X-Forwarded-For", client);
        let begun = || Raw::post("/token").header("Content-Type", FORM);
        let mut under_way = Vec::new();
        for port in [1, 2] {
            under_way.push(http.begin(of(begun(), &format!("192.0.2.1:{port}")), false).await);
        }
        assert_eq!(http.send(of(Raw::get("/register"), "192.0.2.1")).await.status, 503);
        assert_eq!(http.send(of(Raw::get("/register"), "9.9.9.9, 192.0.2.1")).await.status, 503);
        assert_eq!(http.send(of(Raw::get("/register"), "192.0.2.2")).await.status, 200);
        for _ in 0..8 {
            // The proxy itself has no limit of its own.
            under_way.push(http.begin(begun(), false).await);
        }
        assert_eq!(http.send(Raw::get("/register")).await.status, 200);
        for stream in under_way {
            assert_eq!(stream.finish("grant_type=x").await.status, 401);
        }
    }

    async fn fault_04_bodies_under_way_are_bounded(engine: Engine) {
        let app = TestApp::start_with(engine, |config| config.per_address = Some(5_000)).await;
        // More than 16 MB, the share of one address.
        let mut answers = JoinSet::new();
        for _ in 0..35 {
            let http = Http2::connect(&app).await;
            for _ in 0..31 {
                let body = Raw::post("/token").body(FORM, "a".repeat(16 * 1024 - 1));
                answers.spawn(http.begin(body, false).await.answer());
            }
        }
        let mut refused = answers.join_next().await.unwrap().unwrap();
        while refused.status != 503 {
            refused = answers.join_next().await.unwrap().unwrap();
        }
        refused.assert_error(503, true, "no room for a body");
        assert!(!refused.header("retry-after").is_empty());
        assert_eq!(Raw::get("/register").send(&app).await.status, 200, "requests without a body go on");
        let form = Raw::post("/token").form(&[("grant_type", "x")]);
        assert_eq!(form.coming_from(THERE).send(&app).await.status, 401, "another address");
    }

    async fn fault_04_a_body_that_is_only_announced_takes_no_room(engine: Engine) {
        let app = TestApp::start_with(engine, |config| config.per_address = Some(5_000)).await;
        let mut under_way = Vec::new();
        for _ in 0..35 {
            let http = Http2::connect(&app).await;
            for _ in 0..31 {
                under_way.push(http.begin(Raw::post("/token").announced(FORM, 16 * 1024), false).await);
            }
            let form = Raw::post("/token").form(&[("grant_type", "x")]);
            assert_eq!(http.send(form).await.status, 401);
        }
        drop(under_way);
    }

    async fn fault_04_unfinished_heads_are_bounded_and_closed(engine: Engine) {
        let app = TestApp::start(engine).await;
        let line = format!("X-Filler: {}\r\n", "a".repeat(3_980));
        let mut sockets = Vec::new();
        for _ in 0..100 {
            let mut socket = connect(&app, HERE).await;
            socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
            // 380 KB; sending more than the server reads may end in a reset.
            let _ = socket.write_all(line.repeat(95).as_bytes()).await;
            sockets.push(socket);
        }
        for socket in &mut sockets {
            let told = to_the_end(socket).await;
            assert!(told.is_empty() || told.starts_with("HTTP/1.1 431 "), "{told}");
        }
        // The request of a browser with many cookies passes.
        let cookies = (0..8).map(|number| format!("app{number}={}", "c".repeat(3_900))).collect::<Vec<_>>().join("; ");
        assert_eq!(Raw::get("/register").header("Cookie", &cookies).send(&app).await.status, 200);
    }

    async fn fault_04_an_http_2_head_is_bounded(engine: Engine) {
        let app = TestApp::start(engine).await;
        let cookies = |count: usize| (0..count).map(|number| format!("app{number}={}", "c".repeat(3_900))).collect::<Vec<_>>().join("; ");
        let http = Http2::connect(&app).await;
        assert_eq!(http.send(Raw::get("/register").header("Cookie", cookies(3))).await.status, 200);
        let refused = Http2::connect(&app).await.try_send(Raw::get("/register").header("Cookie", cookies(30))).await;
        assert!(refused.is_none_or(|answer| answer.status == 431));
        assert_eq!(http.send(Raw::get("/register")).await.status, 200, "others go on");
    }
}
