//! The stories that need a real browser. Each runs a script in `tests/browser`.

use std::path::Path;

use serde_json::json;

use crate::browser_test::{BrowserTest, in_dev, in_production, mobile, native, request_of};
use crate::support::{Engine, confidential, on_both_engines};

on_both_engines! {
    async fn a_person_completes_the_whole_journey(engine: Engine) {
        BrowserTest::start(engine, in_dev).await.run("journey", json!({ "hands": "mouse" })).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_journey_needs_no_javascript() {
    BrowserTest::start(Engine::Sqlite, in_dev)
        .await
        .run("journey", json!({ "hands": "mouse", "javascript": false }))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_journey_needs_only_a_keyboard() {
    BrowserTest::start(Engine::Sqlite, in_dev).await.run("journey", json!({ "hands": "keyboard" })).await;
}

/// Requests that end on an error page, by name.
fn refused(test: &BrowserTest) -> serde_json::Value {
    let app = &test.app;
    let long = format!("/signin?{}", "x".repeat(9000));
    json!({
        "redirect": request_of(app, "tides", &[("redirect_uri", Some("https://tides.example/callback"))]),
        "no-redirect": request_of(app, "tides", &[("redirect_uri", None)]),
        "unknown-client": request_of(app, "tidse", &[("redirect_uri", Some("https://tides.example/cb"))]),
        "repeated": request_of(app, "tides", &[]) + "&redirect_uri=https://tides.example/cb",
        "sign-out": app.url("/logout?client_id=tides&post_logout_redirect_uri=https://tides.example/away"),
        "not-found": app.url("/nothing/here"),
        "too-large": app.url(&long),
    })
}

/// Every page in production. There are many states, so they are judged in two groups side by side.
async fn pages(group: &str) {
    let closed = BrowserTest::start(Engine::Sqlite, |config| config.registration = false).await;
    let limited = BrowserTest::start(Engine::Sqlite, |config| config.limits.page = 2).await;
    let test = BrowserTest::start(Engine::Sqlite, in_production).await;
    test.app.register(&confidential("tides")).await;
    let facts = json!({
        "group": group,
        "tides": request_of(&test.app, "tides", &[("scope", Some("openid profile email offline_access"))]),
        "confirm": request_of(&test.app, "tides", &[("prompt", Some("login"))]),
        "refused": refused(&test),
        "closed": closed.app.issuer,
        "limited": limited.app.issuer,
    });
    test.run("pages", facts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_from_registration_to_sign_out_is_good_to_use() {
    pages("accounts").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_that_reports_a_failure_is_good_to_use() {
    pages("failures").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_in_development_is_good_to_use() {
    let test = BrowserTest::start(Engine::Sqlite, in_dev).await;
    test.app.register(&confidential("tides")).await;
    test.run("pages_dev", json!({ "refused": refused(&test) })).await;
}

/// Where the `idp` binary is, and a folder where its `--dev` means the database of the test. `null` if the binary
/// has not been built.
fn command_line(test: &BrowserTest, folder: &Path) -> serde_json::Value {
    let bin = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    if !bin.join("idp").exists() {
        return serde_json::Value::Null;
    }
    let url = test.app.database.url();
    let database = Path::new(url.strip_prefix("sqlite:").unwrap()).parent().unwrap().to_owned();
    std::fs::create_dir(folder.join("data")).unwrap();
    std::os::unix::fs::symlink(database, folder.join("data/dev")).unwrap();
    json!({ "bin": bin, "folder": folder })
}

async fn detours(javascript: bool) {
    let test = BrowserTest::start(Engine::Sqlite, in_dev).await;
    test.app.register(&confidential("tides")).await;
    let folder = tempfile::tempdir().unwrap();
    let mismatch =
        request_of(&test.app, "tides", &[("redirect_uri", Some("https://tides.example/callback"))]);
    let cli = command_line(&test, folder.path());
    test.run("detours", json!({ "javascript": javascript, "mismatch": mismatch, "cli": cli })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_detour_leads_back() {
    detours(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_detour_leads_back_without_javascript() {
    detours(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_script_adds_works_and_is_hidden_without_it() {
    let test = BrowserTest::start(Engine::Sqlite, in_dev).await;
    test.app.register(&confidential("tides")).await;
    let mismatch =
        request_of(&test.app, "tides", &[("redirect_uri", Some("https://tides.example/callback"))]);
    test.run("comfort", json!({ "mismatch": mismatch })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hd_14_no_page_is_framed_or_reached_by_another_origin() {
    let test = BrowserTest::start(Engine::Sqlite, in_production).await;
    test.app.register(&confidential("tides")).await;
    let facts = json!({ "tides": request_of(&test.app, "tides", &[]), "refused": refused(&test) });
    test.run("framing", facts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_lead_to_https_loopback_and_private_scheme_clients() {
    let test = BrowserTest::start(Engine::Sqlite, in_production).await;
    test.app.register(&confidential("tides")).await;
    test.app.register(&native("notes")).await;
    test.app.register(&native("notes6")).await;
    test.app.register(&mobile("pocket")).await;
    let facts = json!({
        "tides": request_of(&test.app, "tides", &[]),
        "native": request_of(&test.app, "notes", &[("redirect_uri", Some("http://127.0.0.1:PORT/cb"))]),
        "mobile": request_of(&test.app, "pocket", &[("redirect_uri", Some("com.example.app:/cb"))]),
        "native6": request_of(&test.app, "notes6", &[("redirect_uri", Some("http://[::1]:PORT/cb"))]),
    });
    test.run("redirects", facts).await;
}

/// Key and certificate of the https clients in a story.
fn tls() -> serde_json::Value {
    let (certificate, key) = crate::mail::signed("tides.example");
    let text = |pem: Vec<u8>| String::from_utf8(pem).unwrap();
    json!({ "cert": text(certificate.to_pem().unwrap()), "key": text(key.private_key_to_pem_pkcs8().unwrap()) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_01_a_client_may_redirect_its_callback_to_another_origin() {
    let test = BrowserTest::start(Engine::Sqlite, in_production).await;
    test.app.register(&confidential("tides")).await;
    let logout = "/logout?client_id=tides&post_logout_redirect_uri=https://tides.example/bye&state=s";
    let facts = json!({
        "tides": request_of(&test.app, "tides", &[]),
        "logout": test.app.url(logout),
        "tls": tls(),
    });
    test.run("onward", facts).await;
}
