//! When the database, one of its tables, a write or the clock fails. Nothing is ever half done.

use std::collections::BTreeSet;
use std::time::Duration;

use idp_core::audit::AuditEvent;
use idp_store::StoreError;
use reqwest::Method;

use crate::oauth_authorize::{ADA, CB, ready, trusted};
use crate::oauth_token::{audit_count, offline_code};
use crate::support::browser::{Answer, Browser};
use crate::support::client::{authorize, basic, changed, redemption, request};
use crate::support::oracle::Tokens;
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines};

/// Routes that do not need the database; `GET /register` needs it only to look up a session.
const STORELESS: [&str; 8] = [
    "GET /healthz",
    "GET /static/{name}",
    "GET /jwks.json",
    "GET /.well-known/openid-configuration",
    "GET /.well-known/oauth-authorization-server",
    "POST /authorize",
    "POST /logout",
    "GET /register",
];

/// Browsers, tokens and IDs with which a request to any route gets as far as the database.
struct Requests {
    /// Part of the addresses that are registered, so that they are new.
    name: String,
    /// Ada, on the consent page.
    ada: Browser,
    csrf: String,
    /// Somebody who has registered as Mia and is about to sign in.
    stranger: Browser,
    strangers_csrf: String,
    ada_flow: String,
    strangers_flow: String,
    registration: String,
    tokens: Tokens,
    code: String,
}

/// A server without background tasks, with an account and two clients.
async fn still(engine: Engine) -> TestApp {
    let app = TestApp::start_still(engine).await;
    app.user(ADA).await;
    app.register(&trusted("tides")).await;
    app.register(&confidential("asking")).await;
    app
}

fn last(url: &str) -> String {
    url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned()
}

impl Requests {
    async fn prepare(app: &TestApp, name: &str) -> Self {
        let ada = app.signed_in(ADA).await;
        let tokens = app.redeem("tides", &offline_code(app, &ada).await).await.tokens();
        let question = ada.open(&authorize(&changed("asking", &[("prompt", Some("consent"))]))).await;
        let stranger = app.browser();
        let form = stranger.open("/register").await;
        let email = format!("mia-{name}@example.org");
        let fields =
            [("name", "Mia"), ("email", &email), ("password", PASSWORD), ("password_confirm", PASSWORD)];
        let registered = stranger.submit(&form, "/register", &fields).await;
        let login = stranger.open(&authorize(&request("asking"))).await;
        Self {
            name: name.to_owned(),
            code: offline_code(app, &ada).await,
            csrf: question.csrf(),
            ada_flow: last(&question.url),
            strangers_csrf: login.csrf(),
            strangers_flow: last(&login.url),
            registration: last(&registered.url),
            ada,
            stranger,
            tokens,
        }
    }

    /// Sends a request to a route as Ada or the stranger, valid enough to reach the database.
    async fn send(&self, method: &Method, path: &str, as_ada: bool) -> Answer {
        let (browser, csrf, flow) = match as_ada {
            true => (&self.ada, &self.csrf, &self.ada_flow),
            false => (&self.stranger, &self.strangers_csrf, &self.strangers_flow),
        };
        let link = format!("av_{}", "A".repeat(43));
        let new = format!("zoe-{}@example.org", self.name);
        let redemption = redemption("tides", &self.code);
        let mut fields: Vec<(&str, &str)> = match path {
            "/flow/{id}/login" => vec![("email", ADA), ("password", PASSWORD)],
            "/flow/{id}/consent" => vec![("decision", "allow")],
            "/register" => {
                vec![("name", "Zoe"), ("email", &new), ("password", PASSWORD), ("password_confirm", PASSWORD)]
            }
            "/register/{id}/code" => vec![("code", "ABCD-EFGH")],
            "/activate" | "/activate/resend" => vec![("token", &link)],
            "/logout/confirm" => vec![("request", "")],
            "/token" => redemption.iter().map(|(name, value)| (*name, value.as_str())).collect(),
            _ => vec![],
        };
        if !["/token", "/userinfo"].contains(&path) {
            fields.push(("csrf", csrf));
        }
        let id = if path.starts_with("/register") { &self.registration } else { flow };
        let target = match path {
            "/authorize" => authorize(&request("asking")),
            "/activate" if method == Method::GET => format!("/activate?token={link}"),
            _ => path.replace("{id}", id).replace("{name}", "x"),
        };
        let proof = match path {
            "/token" => basic("tides"),
            _ => format!("Bearer {}", self.tokens.access),
        };
        let fields = (method == Method::POST && path != "/userinfo").then_some(&fields[..]);
        browser.send(method.clone(), &target, fields, &[("authorization", &proof)]).await
    }
}

/// All routes. Signing in and out come last: they change who sends the other requests.
fn routes_with_sign_in_and_out_last() -> Vec<idp_server::RouteFacts> {
    let mut routes = idp_server::route_facts(false);
    routes.sort_by_key(|route| route.path.ends_with("/login") || route.path == "/logout/confirm");
    routes
}

/// 503, as a page or, for clients, as JSON. It says when to try again, and nothing about the cause.
#[track_caller]
fn assert_unavailable(answer: &Answer, json: bool, what: &str) {
    assert_eq!(answer.status, 503, "{what}: {}", answer.text());
    assert!(
        answer
            .cookies()
            .iter()
            .all(|cookie| !cookie.starts_with("idp-session") || cookie.contains("Max-Age=0")),
        "{what}"
    );
    assert_eq!(answer.location(), None, "{what}");
    if answer.url.ends_with("/readyz") {
        return;
    }
    assert_eq!(answer.header("retry-after"), "5", "{what}");
    match json {
        true => answer.assert_token_error(503, "temporarily_unavailable"),
        false => answer.assert_error_page(503, "unavailable"),
    }
    for told in ["sqlite", "postgres", "closed", "table", "relation", "grants"] {
        assert!(!answer.body.to_lowercase().contains(told), "{what} mentions {told}");
    }
}

/// 500: a statement that the database refuses is a defect of ours, and trying again does not help.
#[track_caller]
fn assert_defect(answer: &Answer, json: bool, what: &str) {
    assert_eq!(answer.status, 500, "{what}: {}", answer.text());
    assert!(
        answer
            .cookies()
            .iter()
            .all(|cookie| !cookie.starts_with("idp-session") || cookie.contains("Max-Age=0")),
        "{what}"
    );
    assert_eq!(answer.location(), None, "{what}");
    assert!(!answer.headers.contains_key("retry-after"), "{what}");
    match json {
        true => answer.assert_token_error(500, "server_error"),
        false => answer.assert_error_page(500, "internal-error"),
    }
    for told in ["sqlite", "postgres", "table", "relation", "grants", "42p01"] {
        assert!(!answer.body.to_lowercase().contains(told), "{what} mentions {told}");
    }
}

on_both_engines! {
    async fn without_its_database_every_route_that_needs_it_answers_503(engine: Engine) {
        let app = still(engine).await;
        let requests = Requests::prepare(&app, "once").await;
        let before = app.whole_state().await;
        app.store().close().await;
        for route in idp_server::route_facts(false) {
            let what = format!("{} {}", route.method, route.path);
            let answer = requests.send(&route.method, route.path, true).await;
            // The session is in the database: even a page that shows nothing of it looks it up.
            if STORELESS.contains(&what.as_str()) && what != "GET /register" {
                assert!(answer.status.as_u16() < 500, "{what} {}", answer.status);
            } else {
                assert_unavailable(&answer, route.json, &what);
            }
            let answer = requests.send(&route.method, route.path, false).await;
            let needs_session_only = route.method == Method::GET && answer.status.as_u16() < 500;
            if !STORELESS.contains(&what.as_str()) && !needs_session_only && what != "POST /logout/confirm" {
                assert_unavailable(&answer, route.json, &what);
            }
            assert_ne!(answer.status, 500, "{what}");
        }
        assert_eq!(app.whole_state().await, before);
    }

    async fn fault_05_without_any_one_table_a_request_completes_or_gets_a_500(engine: Engine) {
        let app = still(engine).await;
        let mut refused = BTreeSet::new();
        for table in [
            "users", "sessions", "clients", "flows", "consents", "codes", "grants", "audit", "throttles", "registrations",
            "single_use", "outbox", "known_browsers", "epochs", "roles", "user_roles",
        ] {
            let requests = Requests::prepare(&app, &table.replace('_', "-")).await;
            app.sql(&format!("ALTER TABLE {table} RENAME TO {table}_gone")).await;
            let mut watch = app.watch().await;
            let mut before = watch.look().await;
            for route in routes_with_sign_in_and_out_last() {
                for as_ada in [true, false] {
                    let what = format!("{} {} without {table}", route.method, route.path);
                    let answer = requests.send(&route.method, route.path, as_ada).await;
                    let after = watch.look().await;
                    assert!(answer.status != 503 || route.path == "/readyz", "{what} {}", answer.text());
                    if answer.status == 500 {
                        assert_defect(&answer, route.json, &what);
                        let mut changed = after.keys().chain(before.keys()).filter(|table| after.get(*table) != before.get(*table));
                        assert!(changed.all(|table| table.starts_with("throttles")), "{what} changed something");
                        refused.insert(table);
                    }
                    before = after;
                }
            }
            app.sql(&format!("ALTER TABLE {table}_gone RENAME TO {table}")).await;
        }
        for needed in ["users", "sessions", "clients", "flows", "consents", "codes", "grants", "audit", "registrations", "outbox", "single_use", "throttles", "epochs"] {
            assert!(refused.contains(needed), "no request needed {needed}");
        }
        let tokens = app.redeem("tides", &offline_code(&app, &app.signed_in(ADA).await).await).await.tokens();
        assert_eq!(app.userinfo(&tokens.access).await.status, 200);
    }

    async fn a_failed_write_loses_nothing_and_can_be_tried_again(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&confidential("asking")).await;
        let gone = |table: &'static str| {
            let app = &app;
            async move { app.sql(&format!("ALTER TABLE {table} RENAME TO {table}_gone")).await }
        };
        let back = |table: &'static str| {
            let app = &app;
            async move { app.sql(&format!("ALTER TABLE {table}_gone RENAME TO {table}")).await }
        };
        let page = browser.open(&authorize(&request("asking"))).await;
        gone("codes").await;
        let answer = browser.submit(&page, "/consent", &[("decision", "allow")]).await;
        assert_defect(&answer, false, "a code that cannot be written");
        back("codes").await;
        assert_eq!(app.count("consents", "client_id = 'asking'").await, 0, "the consent was kept without its code");
        let again = browser.submit(&page, "/consent", &[("decision", "allow")]).await;
        again.code(&app, "https://asking.example/cb");
        let code = offline_code(&app, &browser).await;
        gone("grants").await;
        assert_defect(&app.redeem("tides", &code).await, true, "a grant that cannot be written");
        back("grants").await;
        let first = app.redeem("tides", &code).await.tokens();
        gone("audit").await;
        assert_defect(&app.redeem("tides", &code).await, true, "a replay that cannot be recorded");
        back("audit").await;
        assert_eq!(app.userinfo(&first.access).await.status, 200);
        let second = app.refresh("tides", &first.refresh).await.tokens();
        gone("audit").await;
        assert_defect(&app.refresh("tides", &first.refresh).await, true, "a reuse that cannot be recorded");
        let question = browser.get("/logout").await;
        let kept = browser.submit(&question, "/logout/confirm", &[]).await;
        assert_defect(&kept, false, "a sign-out that cannot be recorded");
        back("audit").await;
        assert_eq!(browser.get("/account").await.status, 200);
        app.refresh("tides", &second.refresh).await.tokens();
        app.refresh("tides", &first.refresh).await.assert_token_error(400, "invalid_grant");
        assert_eq!(audit_count(&app, AuditEvent::RefreshReuse).await, 1);
        app.redeem("tides", &code).await.assert_token_error(400, "invalid_grant");
    }

    async fn a_write_that_panics_is_rolled_back_and_the_server_stays_ready(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let user = app.texts("SELECT id FROM users").await.remove(0).parse().unwrap();
        let before = app.state().await;
        for _ in 0..20 {
            let outcome: Result<(), StoreError> = app.store().write(user, |tx, user| Box::pin(async move {
                tx.raise_user_epoch(*user).await?;
                panic!("a write panics on purpose")
            })).await;
            assert!(matches!(outcome, Err(StoreError::Panicked)), "{outcome:?}");
        }
        assert_eq!(app.state().await, before);
        assert_eq!(browser.get("/readyz").await.status, 200);
        app.redeem("tides", &offline_code(&app, &browser).await).await.tokens();
    }

    async fn expiry_is_right_when_the_clock_jumps_an_hour_forward_and_back(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let hour = Duration::from_secs(60 * 60);
        let tokens = app.redeem("tides", &offline_code(&app, &browser).await).await.tokens();
        let code = offline_code(&app, &browser).await;
        app.wait(hour);
        app.userinfo(&tokens.access).await.assert_invalid_token();
        app.redeem("tides", &code).await.assert_token_error(400, "invalid_grant");
        let login = browser.open(&authorize(&request("tides"))).await;
        assert!(login.body.contains("name=\"password\""), "an idle session outlived its hour");
        let later = app.refresh("tides", &tokens.refresh).await.tokens();
        assert_eq!(app.userinfo(&later.access).await.status, 200);
        let new = app.signed_in(ADA).await;
        let future = offline_code(&app, &new).await;
        app.clock.reset();
        app.userinfo(&later.access).await.assert_invalid_token();
        assert_eq!(app.userinfo(&tokens.access).await.status, 200);
        app.redeem("tides", &future).await.tokens();
        let again = app.refresh("tides", &later.refresh).await.tokens();
        assert_eq!(app.userinfo(&again.access).await.status, 200);
        new.get(&authorize(&changed("tides", &[("max_age", Some("60"))]))).await.code(&app, CB);
        browser.get(&authorize(&request("tides"))).await.code(&app, CB);
        for path in ["/", "/account", "/readyz", "/signin", "/logout"] {
            assert!(new.get(path).await.status.as_u16() < 400, "{path}");
        }
        app.wait(Duration::from_secs(90 * 24 * 60 * 60));
        app.refresh("tides", &again.refresh).await.assert_token_error(400, "invalid_grant");
    }
}

/// The server loses every connection at once, as when PostgreSQL restarts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_cost_at_most_a_503_and_are_replaced() {
    let (app, browser) = ready(Engine::Postgres).await;
    let node = app.first_node();
    let mut tokens = app.redeem("tides", &offline_code(&app, &browser).await).await.tokens();
    for _ in 0..5 {
        app.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
        let mut answer = node.userinfo(&tokens.access).await;
        while answer.status == 503 {
            answer = node.userinfo(&tokens.access).await;
        }
        assert_eq!(answer.status, 200);
        let mut answer = node.refresh("tides", &tokens.refresh).await;
        while answer.status == 503 {
            answer = node.refresh("tides", &tokens.refresh).await;
        }
        tokens = answer.tokens();
    }
}
