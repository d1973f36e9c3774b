//! The real middleware, around the real router or around one that panics.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use http_body_util::BodyExt;
use idp_core::account::password::PasswordPolicy;
use idp_core::oauth::grant::Lifetimes;
use idp_core::oauth::issuer::Issuer;
use idp_core::secret::Secret;
use idp_core::session::SessionLifetime;
use tower::ServiceExt;

use super::*;
use crate::App;
use crate::clock::Clock;
use crate::config::{CommandLine, Config, Hsts, MailConfig, MailTransport, RateLimits};

async fn app(dir: &std::path::Path) -> App {
    App::build(config(dir), Clock::system()).await.unwrap()
}

fn config(dir: &std::path::Path) -> Config {
    Config {
        issuer: Issuer::parse("http://localhost:1").unwrap(),
        brand: "Lighthouse".to_owned(),
        listen: vec![],
        trusted_proxies: vec![],
        database_url: Secret::new(format!("sqlite:{}/idp.db", dir.display())),
        database_connections: 1,
        keys_dir: dir.join("keys"),
        mail: MailConfig {
            from: "id@lighthouse.example".parse().unwrap(),
            transport: MailTransport::Mailbox,
        },
        password: PasswordPolicy::new(15, "Lighthouse"),
        hashing: crate::config::HashingConfig::default(),
        registration: true,
        lifetimes: Lifetimes::default(),
        session: SessionLifetime::default(),
        limits: RateLimits::default(),
        per_address: None,
        hsts: Hsts::default(),
        dev: false,
        command: CommandLine::default(),
    }
}

async fn ask(router: &Router, path: &str) -> (StatusCode, String, String) {
    let request = Request::get(path).header("host", "localhost:1").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let id = response.headers().get("x-request-id").map(|id| id.to_str().unwrap().to_owned());
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, id.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
}

/// Captures what this thread logs.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// While there is one subscriber only, tracing decides by the thread that first comes to a log line whether anybody wants
/// it. That may be a thread of another test, which keeps nothing.
static SECOND: std::sync::LazyLock<tracing::Dispatch> =
    std::sync::LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));

impl Log {
    fn keep(&self) -> tracing::subscriber::DefaultGuard {
        std::sync::LazyLock::force(&SECOND);
        let writer = self.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::set_default(lines)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Judging a new password can take longer than hashing it, so it waits in the same queue, even if it is refused.
#[tokio::test]
async fn rl_05_a_registration_is_judged_where_passwords_are_hashed() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(dir.path()).await;
    let router = app.router();
    let page = Request::get("/register").header("host", "localhost:1").body(Body::empty()).unwrap();
    let page = router.clone().oneshot(page).await.unwrap();
    let cookie = page.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let page = page.into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8(page.to_vec()).unwrap();
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let register = async || {
        let form =
            format!("csrf={csrf}&name=Ada&email=ada%40example.org&password=short&password_confirm=short");
        let request = Request::post("/register")
            .header("host", "localhost:1")
            .header("cookie", &cookie)
            .header("content-type", "application/x-www-form-urlencoded");
        router.clone().oneshot(request.body(Body::from(form)).unwrap()).await.unwrap().status()
    };
    assert_eq!(register().await, StatusCode::UNPROCESSABLE_ENTITY);
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let (begun, mut held) = tokio::sync::mpsc::unbounded_channel();
    // The first poll of the job tells whether it was refused.
    let job = || {
        let (hasher, wait, begun) = (app.0.hasher.clone(), std::sync::Arc::clone(&wait), begun.clone());
        Box::pin(async move {
            let hold = move |_: &mut _| {
                let _ = begun.send(());
                wait.lock().unwrap().recv().is_err()
            };
            hasher.submit(crate::accounts::lanes::Lane::Registration, hold).await
        })
    };
    let mut jobs = Vec::new();
    // Every thread is held first: one that began later would make room in the full queue.
    for _ in 0..std::thread::available_parallelism().unwrap().get() {
        let mut holds = job();
        assert!(holds.as_mut().now_or_never().is_none());
        jobs.push(holds);
        held.recv().await.unwrap();
    }
    loop {
        let mut waits = job();
        if waits.as_mut().now_or_never().is_some() {
            break;
        }
        jobs.push(waits);
    }
    assert_eq!(register().await, StatusCode::SERVICE_UNAVAILABLE);
    drop(go);
    futures_util::future::join_all(jobs).await;
    assert_eq!(register().await, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn an_untrusted_proxy_is_logged_once() {
    for (proxies, notes) in [(vec![], 1), (vec!["10.0.0.0/8".parse().unwrap()], 0)] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        config.trusted_proxies = proxies;
        let router = App::build(config, Clock::system()).await.unwrap().router();
        let log = Log::default();
        let kept = log.keep();
        for forwarded in [None, Some("192.0.2.1"), Some("192.0.2.2"), None] {
            let request = Request::get("/healthz").header("host", "10.0.0.1");
            let mut request = request.body(Body::empty()).unwrap();
            if let Some(forwarded) = forwarded {
                request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
            }
            assert_eq!(router.clone().oneshot(request).await.unwrap().status(), StatusCode::OK);
        }
        drop(kept);
        assert_eq!(log.text().matches("server.trusted_proxies").count(), notes, "{}", log.text());
    }
}

#[tokio::test]
async fn r_32_the_log_has_the_place_and_request_of_a_panic_and_never_its_message() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(dir.path()).await;
    let canary = String::from("a secret of the stack");
    let boom = move || async move {
        if !canary.is_empty() {
            panic!("{canary}");
        }
    };
    let router =
        Router::new().route("/boom", get(boom)).layer(from_fn_with_state(Shared::clone(&app.0), outermost));
    // Keep the default hook, which other tests of this program need.
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        panics::note(panic);
        before(panic);
    }));
    let log = Log::default();
    let kept = log.keep();
    let (_, id, _) = ask(&router, "/boom").await;
    drop(kept);
    let log = log.text();
    let place = "middleware_tests.rs:";
    assert!(!log.contains("a secret of the stack"), "{log}");
    let of_request: Vec<&str> = log.lines().filter(|line| line.contains(&id)).collect();
    assert!(of_request.len() == 1 && of_request[0].contains(place), "{log}");
    assert_eq!(log.lines().count(), 2, "the panic's own line and the request's: {log}");
}

#[tokio::test]
async fn a_panic_is_one_500_with_an_id_and_the_server_stays_ready() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(dir.path()).await;
    let boom = || async {
        // Not a literal: the compiler would see that this never returns.
        let secret = String::from("a secret of the stack");
        if !secret.is_empty() {
            panic!("{secret}");
        }
    };
    let panicking = Router::new()
        .route("/boom", get(boom))
        .route(idp_core::oauth::discovery::path::USERINFO, get(boom))
        .layer(from_fn_with_state(Shared::clone(&app.0), outermost));
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let (status, id, page) = ask(&panicking, "/boom").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(page.contains("data-reason=\"internal-error\"") && page.contains(&id), "{page}");
        assert!(!page.contains("a secret of the stack"), "{page}");
        ids.insert(id);
        let (status, id, body) = ask(&panicking, "/userinfo").await;
        assert_eq!(
            (status, body.contains("\"error\":\"server_error\"")),
            (StatusCode::INTERNAL_SERVER_ERROR, true),
            "{body}"
        );
        ids.insert(id);
    }
    assert_eq!(ids.len(), 6, "each has its own id");
    assert_eq!(ask(&app.router(), "/readyz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn fault_13_a_slow_body_is_told_so_and_ends_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(dir.path()).await;
    let slow = || async { PageError::new(Reason::TIMEOUT) };
    let router = Router::new()
        .route("/slow", get(slow))
        .route(idp_core::oauth::discovery::path::TOKEN, get(slow))
        .layer(from_fn_with_state(Shared::clone(&app.0), outermost));
    let page = "Your request took too long to arrive. Try again.";
    let token = r#""error_description":"the request took too long to arrive""#;
    for (path, version, closes, told) in [
        ("/slow", Version::HTTP_11, true, page),
        ("/token", Version::HTTP_11, true, token),
        // HTTP/2 has no such header (RFC 9113 section 8.2.2).
        ("/slow", Version::HTTP_2, false, page),
    ] {
        let target = format!("http://localhost:1{path}");
        let request = Request::get(target).version(version).header("host", "localhost:1").body(Body::empty());
        let response = router.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(
            response.headers().get("connection").is_some_and(|value| value == "close"),
            closes,
            "{path}"
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains(told) && !body.contains("missing"), "{body}");
    }
}

#[tokio::test]
async fn fault_13_an_unknown_transfer_coding_ends_the_connection_when_there_is_no_room_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let router = app(dir.path()).await.router();
    let share = crate::http::shares::Shares::new(1, None).unbounded();
    for (coding, closes) in [("chunked", false), ("gzip, chunked", true)] {
        let mut request = Request::post("/token")
            .header("host", "localhost:1")
            .header("transfer-encoding", coding)
            .body(Body::from("grant_type=x"))
            .unwrap();
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let caller = AddressShare { address, share: share.clone(), by_proxy: false, admitted: false };
        request.extensions_mut().insert(caller);
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            response.headers().get("connection").is_some_and(|value| value == "close"),
            closes,
            "{coding}"
        );
    }
}

#[tokio::test]
async fn fault_13_a_body_in_an_unknown_transfer_coding_ends_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.limits.unrouted = 1;
    let router = App::build(config, Clock::system()).await.unwrap().router();
    for (coding, status, closes) in [
        ("chunked", StatusCode::UNAUTHORIZED, false),
        ("gzip, chunked", StatusCode::NOT_IMPLEMENTED, true),
        ("gzip, chunked", StatusCode::TOO_MANY_REQUESTS, true),
    ] {
        let request =
            Request::post("/token").header("host", "localhost:1").header("transfer-encoding", coding);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response =
            router.clone().oneshot(request.body(Body::from("grant_type=x")).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{coding}");
        assert_eq!(
            response.headers().get("connection").is_some_and(|value| value == "close"),
            closes,
            "{status}"
        );
    }
}
