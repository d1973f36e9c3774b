//! A database of an earlier version is taken over as it is: nothing is lost, people stay signed in,
//! and what was begun can be finished.
//!
//! `tests/fixtures` holds one such database per version and engine, with what browsers, clients and mailboxes held
//! when it was made.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use idp_core::ids::UserId;
use idp_core::secret::Secret;
use idp_core::user::UserState;
use idp_server::clock::Clock;
use idp_server::config::MailTransport;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::oauth_authorize::trusted;
use crate::oauth_token::OFFLINE;
use crate::registration::register;
use crate::support::browser::{Answer, Browser};
use crate::support::client::{authorize, changed, request};
use crate::support::database::Database;
use crate::support::node::Node;
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines, template};

/// When fixtures are made, in Unix milliseconds. It is far in the future, because clocks can only be moved forward.
const EPOCH: i64 = 2_208_945_600_000;
const ADA: &str = "ada@example.org";
const BEN: &str = "ben@example.org";
const CAROL: &str = "carol@example.org";
const DORA: &str = "dora@example.org";
const EVE: &str = "eve@example.org";
const FRANK: &str = "frank@example.org";
const GRACE: &str = "grace@example.org";

/// Every folder below `tests/fixtures`: one per version.
fn versions() -> Vec<PathBuf> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let entries = std::fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

fn folder_of(version: &Path, engine: Engine) -> PathBuf {
    version.join(match engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgres",
    })
}

/// A clock set to this moment, in milliseconds.
fn clock_at(moment: i64) -> Clock {
    let clock = Clock::system();
    let ahead = u64::try_from(moment - clock.now().millis()).unwrap();
    clock.advance(Duration::from_millis(ahead));
    clock
}

/// A form that somebody has open.
fn held(page: &Answer, action: &str) -> Value {
    let form = page.form(action);
    json!({ "action": form.action, "hidden": form.hidden })
}

/// Sends a form that was opened before.
async fn send(browser: &Browser, held: &Value, fields: &[(&str, &str)]) -> Answer {
    let hidden: Vec<(String, String)> = serde_json::from_value(held["hidden"].clone()).unwrap();
    let hidden = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all: Vec<(&str, &str)> = hidden.chain(fields.iter().copied()).collect();
    let answer = browser.post(text(&held["action"]), &all).await;
    browser.follow(answer).await
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not text: {value}"))
}

/// Uses the server in every way that leaves rows behind, and keeps what browsers, clients and mailboxes then hold.
async fn make(engine: Engine, folder: &Path) {
    let (database, keys) = template::copy(engine).await;
    let mut app = TestApp::start_on(database, keys, clock_at(EPOCH), |_| {}, true).await;
    let mut kept = json!({ "issuer": app.issuer });
    for address in [ADA, BEN, FRANK, GRACE] {
        app.user(address).await;
    }
    app.register(&confidential("tides")).await;
    app.register(&trusted("moon")).await;

    // Ada: signed in, with a client she allowed, its tokens, and an open consent page.
    let ada = app.signed_in(ADA).await;
    let offline = changed("tides", &[("scope", Some(OFFLINE))]);
    let code = app.code(&ada, &offline).await;
    let tokens = app.redeem("tides", &code).await.tokens();
    let tokens = app.refresh("tides", &tokens.refresh).await.tokens();
    kept["tokens"] = json!({ "access": tokens.access, "refresh": tokens.refresh, "id": tokens.id });
    let asked = authorize(&changed("tides", &[("scope", Some(OFFLINE)), ("prompt", Some("consent"))]));
    kept["consent"] = held(&ada.open(&asked).await, "/consent");

    // Ben: about to sign in to a client.
    let ben = app.browser();
    kept["sign_in"] = held(&ben.open(&authorize(&request("moon"))).await, "/login");
    kept["ben"] = json!(ben.cookies());

    // Carol has the link, Dora types the code, Eve's email is not sent yet.
    let carol = app.browser();
    register(&carol, CAROL, PASSWORD).await;
    kept["link"] = json!(app.sink.mail_to(CAROL, 1).await.link());
    kept["carol"] = json!(carol.cookies());
    let dora = app.browser();
    kept["typed"] = held(&register(&dora, DORA, PASSWORD).await, "/code");
    kept["code_typed"] = json!(app.sink.mail_to(DORA, 1).await.code());
    kept["dora"] = json!(dora.cookies());
    app.mails_in_all(DORA).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    app.restart_with(|config| {
        config.mail.transport = MailTransport::Smtp(Secret::new(format!("smtp://{closed}")))
    })
    .await;
    let eve = app.browser();
    register(&eve, EVE, PASSWORD).await;
    kept["eve"] = json!(eve.cookies());

    // Frank: three wrong passwords. Grace: deactivated.
    let stranger = app.browser();
    let page = stranger.open("/signin").await;
    for _ in 0..3 {
        assert_eq!(stranger.sign_in(&page, FRANK, "not the password at all").await.status, 401);
    }
    let grace = app.texts(&format!("SELECT id FROM users WHERE email = '{GRACE}'")).await;
    app.set_state(grace[0].parse::<UserId>().unwrap(), UserState::Deactivated).await;
    // Last, because a code lives for a minute.
    kept["code"] = json!(app.code(&ada, &offline).await);
    kept["ada"] = json!(ada.cookies());
    kept["moment"] = json!(app.clock.now().millis());

    std::fs::create_dir_all(folder.join("keys")).unwrap();
    for (name, content) in template::files(app.keys.path()) {
        std::fs::write(folder.join("keys").join(name), content).unwrap();
    }
    std::fs::write(folder.join("held.json"), serde_json::to_vec_pretty(&kept).unwrap()).unwrap();
    dump(&app, engine, folder).await;
}

async fn dump(app: &TestApp, engine: Engine, folder: &Path) {
    match engine {
        Engine::Sqlite => app.sql(&format!("VACUUM INTO '{}'", folder.join("idp.db").display())).await,
        Engine::Postgres => {
            let dump = Command::new("pg_dump")
                .args(["--inserts", "--no-owner", "--no-privileges", "--dbname", &app.database.url()])
                .output()
                .unwrap();
            assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
            // Lines that begin with a backslash are only for psql.
            let sql = String::from_utf8(dump.stdout).unwrap();
            let sql: Vec<&str> = sql.lines().filter(|line| !line.starts_with('\\')).collect();
            std::fs::write(folder.join("idp.sql"), sql.join("\n")).unwrap();
        }
    }
}

/// A copy of the fixture's database.
async fn restore(engine: Engine, folder: &Path) -> Database {
    match engine {
        Engine::Sqlite => Database::sqlite(&std::fs::read(folder.join("idp.db")).unwrap()),
        Engine::Postgres => {
            let database = Database::new(engine).await;
            let mut db = PgConnection::connect(&database.url()).await.unwrap();
            let sql = std::fs::read_to_string(folder.join("idp.sql")).unwrap();
            db.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
            database
        }
    }
}

/// The current version on an older database.
struct Upgraded {
    app: TestApp,
    held: Value,
    /// The address to connect to, because the issuer's own may be taken by now.
    door: String,
}

impl Upgraded {
    async fn start(engine: Engine, folder: &Path) -> Self {
        let held: Value = serde_json::from_slice(&std::fs::read(folder.join("held.json")).unwrap()).unwrap();
        let database = restore(engine, folder).await;
        let mut before = crate::support::state::Watch::of(engine, &database.url()).await;
        let rows = before.look().await;
        let keys = template::keys(&template::files(&folder.join("keys")));
        let clock = clock_at(held["moment"].as_i64().unwrap());
        let issuer = text(&held["issuer"]).to_owned();
        let mut door = String::new();
        let change = |config: &mut idp_server::config::Config| {
            door = format!("http://{}", config.listen[0]);
            config.issuer = idp_core::oauth::issuer::Issuer::parse(&issuer).unwrap();
        };
        let app = TestApp::start_on(database, keys, clock, change, false).await;
        assert_eq!(before.look().await, rows, "an old row or column is lost or changed");
        Self { app, held, door }
    }

    fn browser(&self, cookies: &str) -> Browser {
        let browser = Browser::through(&self.app.issuer, &self.door);
        if cookies.is_empty() { browser } else { browser.with_cookies(text(&self.held[cookies])) }
    }

    fn node(&self) -> Node {
        Node::at(&self.app.issuer, &self.door)
    }
}

async fn people_and_clients_go_on(upgraded: &Upgraded) {
    let Upgraded { app, held, .. } = upgraded;
    let (ada, node) = (upgraded.browser("ada"), upgraded.node());
    let account = ada.open("/account").await;
    assert!(account.status == 200 && account.text().contains(ADA), "{} {}", account.status, account.text());
    assert_eq!(node.userinfo(text(&held["tokens"]["access"])).await.status, 200);
    let refreshed = node.refresh("tides", text(&held["tokens"]["refresh"])).await.tokens();
    node.refresh("tides", &refreshed.refresh).await.tokens();
    node.redeem("tides", text(&held["code"])).await.tokens();
    let at_once = ada.get(&authorize(&request("tides"))).await;
    assert!(at_once.redirect_param("code").is_some(), "consent is kept: {}", at_once.text());
    let answered = send(&ada, &held["consent"], &[("decision", "allow")]).await;
    let code = answered.redirect_param("code").unwrap_or_else(|| panic!("{}", answered.text()));
    node.redeem("tides", &code).await.tokens();
    let ben = upgraded.browser("ben");
    let answered = send(&ben, &held["sign_in"], &[("email", BEN), ("password", PASSWORD)]).await;
    assert!(answered.redirect_param("code").is_some(), "{} {}", answered.status, answered.text());
    let hint = format!("/logout?id_token_hint={}", text(&held["tokens"]["id"]));
    let out = ada.open(&hint).await;
    assert!(out.text().contains("signed out"), "{}", out.text());
    assert!(ada.open("/account").await.url.contains("/flow/"), "Ada is signed out");
    assert_eq!(app.count("sessions", "ended_at IS NULL").await, 1);
}

async fn registrations_and_counts_go_on(upgraded: &Upgraded) {
    let Upgraded { app, held, .. } = upgraded;
    let carol = upgraded.browser("carol");
    let page = carol.open(text(&held["link"])).await;
    let active = carol.submit(&page, "/activate", &[]).await;
    assert!(active.text().contains("Your account is active"), "{}", active.text());
    let active =
        send(&upgraded.browser("dora"), &held["typed"], &[("code", text(&held["code_typed"]))]).await;
    assert!(active.text().contains("Your account is active"), "{}", active.text());
    assert_eq!(app.count("outbox", "kind = 'activation'").await, 1, "Eve's mail waits");

    let stranger = upgraded.browser("");
    let page = stranger.open("/signin").await;
    let told = stranger.sign_in(&page, GRACE, PASSWORD).await;
    assert_eq!(told.status, 403, "{}", told.text());
    let page = stranger.open("/signin").await;
    for number in 4..=11 {
        let refused = stranger.sign_in(&page, FRANK, "not the password at all").await;
        assert_eq!(refused.status, if number <= 10 { 401 } else { 429 }, "try {number}");
    }
}

on_both_engines! {
    async fn r_26_a_database_of_every_earlier_version_is_taken_over(engine: Engine) {
        for version in versions() {
            let folder = folder_of(&version, engine);
            let upgraded = Upgraded::start(engine, &folder).await;
            people_and_clients_go_on(&upgraded).await;
            registrations_and_counts_go_on(&upgraded).await;
        }
    }

    async fn r_26_the_current_version_makes_a_usable_fixture(engine: Engine) {
        let scratch = tempfile::tempdir().unwrap();
        let asked_for = std::env::var_os("IDP_MAKE_FIXTURE").map(PathBuf::from);
        let folder = folder_of(asked_for.as_deref().unwrap_or(scratch.path()), engine);
        make(engine, &folder).await;
        let upgraded = Upgraded::start(engine, &folder).await;
        people_and_clients_go_on(&upgraded).await;
        registrations_and_counts_go_on(&upgraded).await;
    }
}
