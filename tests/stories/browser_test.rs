//! What a browser story needs: the product, the example client, and a control server that gives the script in
//! `tests/browser` what no browser can reach (emails, the clock, existing accounts).

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use idp_core::client::{AuthMethod, Client};
use idp_core::redirect_uri::{RedirectMatch, RedirectUri};
use idp_core::text::DisplayText;
use idp_core::user::UserState;
use idp_server::config::{Config, MailTransport};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::client::{authorize, changed};
use crate::support::{Engine, PASSWORD, SECRET, TestApp, confidential};

/// The product and what runs around it.
pub(crate) struct BrowserTest {
    pub(crate) app: Arc<TestApp>,
    pub(crate) example: String,
    test_control: String,
}

/// As `idp dev` runs it: emails stay in the mailbox, and the clock has a page.
pub(crate) fn in_dev(config: &mut Config) {
    config.dev = true;
    config.mail.transport = MailTransport::Mailbox;
}

/// As `idp serve` runs it.
pub(crate) fn in_production(_: &mut Config) {}

impl BrowserTest {
    pub(crate) async fn start(engine: Engine, change: impl FnOnce(&mut Config)) -> Self {
        let app = Arc::new(TestApp::start_with(engine, change).await);
        let example = serve_example(&app).await;
        let test_control = serve(test_control(Arc::clone(&app))).await;
        Self { app, example, test_control }
    }

    /// Runs `tests/browser/SCRIPT.mjs`; fails when the script does.
    pub(crate) async fn run(&self, script: &'static str, more: Value) {
        let mut facts = json!({
            "issuer": self.app.issuer,
            "example": self.example,
            "testControl": self.test_control,
            "password": PASSWORD,
        });
        facts.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/browser");
        let run = move || {
            Command::new("node")
                .arg(format!("{script}.mjs"))
                .current_dir(folder)
                .env("STORY", facts.to_string())
                .output()
                .expect("node; `cargo xtask test` installs it")
        };
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let said =
            [&output.stdout[..], &output.stderr[..]].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(output.status.success(), "{script} {}\n{}", output.status, said.concat());
        println!("{}", said.concat());
    }
}

/// The URL of an authorization request from the client `id`.
pub(crate) fn request_of(app: &TestApp, id: &str, changes: &[(&str, Option<&str>)]) -> String {
    app.url(&authorize(&changed(id, changes)))
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(axum::serve(listener, router).into_future());
    // Not `127.0.0.1`, which is the product's host: to a browser the two are different sites.
    format!("http://localhost:{port}")
}

async fn serve_example(app: &TestApp) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    let uri = |path: &str| vec![RedirectUri::parse(&format!("{base_url}{path}")).unwrap()];
    let client = Client {
        name: DisplayText::new("Example application", 60),
        redirect_uris: uri("/callback"),
        post_logout_redirect_uris: uri("/signed-out"),
        ..confidential("example")
    };
    app.register(&client).await;
    let config = client_example::Config {
        issuer: app.issuer.clone(),
        client_id: "example".to_owned(),
        client_secret: Some(SECRET.to_owned()),
        base_url: base_url.clone(),
    };
    tokio::spawn(axum::serve(listener, client_example::app(config).unwrap()).into_future());
    base_url
}

/// A native client: its redirect URI is on a loopback address, with any port.
pub(crate) fn native(id: &str) -> Client {
    Client {
        name: DisplayText::new("Desktop notes", 60),
        auth_method: AuthMethod::None,
        secret: None,
        redirect_uris: ["http://127.0.0.1/cb", "http://[::1]/cb"]
            .map(|uri| RedirectUri::parse(uri).unwrap())
            .into(),
        redirect_match: RedirectMatch::LoopbackPort,
        ..confidential(id)
    }
}

/// A mobile client: its redirect URI has a private-use scheme.
pub(crate) fn mobile(id: &str) -> Client {
    Client {
        name: DisplayText::new("Pocket notes", 60),
        redirect_uris: vec![RedirectUri::parse("com.example.app:/cb").unwrap()],
        redirect_match: RedirectMatch::Exact,
        ..native(id)
    }
}

fn test_control(app: Arc<TestApp>) -> Router {
    Router::new()
        .route("/mail/{to}/{number}", get(mail))
        .route("/wait/{seconds}", post(wait))
        .route("/user/{email}", post(user))
        .route("/deactivated/{email}", post(deactivated))
        .with_state(app)
}

async fn mail(State(app): State<Arc<TestApp>>, Path((to, number)): Path<(String, usize)>) -> Json<Value> {
    let mail = app.sink.mail_to(&to, number).await;
    Json(json!({ "link": mail.link(), "code": mail.code() }))
}

async fn wait(State(app): State<Arc<TestApp>>, Path(seconds): Path<u64>) {
    app.wait(Duration::from_secs(seconds));
}

async fn user(State(app): State<Arc<TestApp>>, Path(email): Path<String>) {
    app.user(&email).await;
}

async fn deactivated(State(app): State<Arc<TestApp>>, Path(email): Path<String>) {
    let id = app.user(&email).await.id;
    app.set_state(id, UserState::Deactivated).await;
}
