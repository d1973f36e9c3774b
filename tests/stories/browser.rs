//! The stories that need a browser. Each is told by the script of the same name in `tests/browser`.

use std::path::Path;

use serde_json::json;

use crate::stage::{Stage, in_dev, in_production, mobile, native, request_of};
use crate::support::{Engine, confidential, on_both_engines};

on_both_engines! {
    async fn a_person_walks_the_whole_journey(engine: Engine) {
        Stage::set(engine, in_dev).await.play("journey", json!({ "hands": "mouse" })).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_journey_needs_no_javascript() {
    Stage::set(Engine::Sqlite, in_dev)
        .await
        .play("journey", json!({ "hands": "mouse", "javascript": false }))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_journey_needs_only_a_keyboard() {
    Stage::set(Engine::Sqlite, in_dev).await.play("journey", json!({ "hands": "keyboard" })).await;
}

/// Requests that end on an error page, by name.
fn refused(stage: &Stage) -> serde_json::Value {
    let app = &stage.app;
    let long = format!("/signin?{}", "x".repeat(9000));
    json!({
        "redirect": request_of(app, "tides", &[("redirect_uri", Some("https://tides.example/callback"))]),
        "no-redirect": request_of(app, "tides", &[("redirect_uri", None)]),
        "unknown-client": request_of(app, "tidse", &[("redirect_uri", Some("https://tides.example/cb"))]),
        "repeated": request_of(app, "tides", &[]) + "&redirect_uri=https://tides.example/cb",
        "sign-out": app.url("/logout?client_id=tides&post_logout_redirect_uri=https://tides.example/away"),
        "not-found": app.url("/nothing/here"),
        "method": app.url("/activate/resend"),
        "too-large": app.url(&long),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_in_every_state_is_good_to_use() {
    let closed = Stage::set(Engine::Sqlite, |config| config.registration = false).await;
    let limited = Stage::set(Engine::Sqlite, |config| config.limits.page = 2).await;
    let stage = Stage::set(Engine::Sqlite, in_production).await;
    stage.app.register(&confidential("tides")).await;
    let facts = json!({
        "tides": request_of(&stage.app, "tides", &[("scope", Some("openid profile email offline_access"))]),
        "confirm": request_of(&stage.app, "tides", &[("prompt", Some("login"))]),
        "refused": refused(&stage),
        "closed": closed.app.issuer,
        "limited": limited.app.issuer,
    });
    stage.play("pages", facts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_of_development_is_good_to_use() {
    let stage = Stage::set(Engine::Sqlite, in_dev).await;
    stage.app.register(&confidential("tides")).await;
    stage.play("pages_dev", json!({ "refused": refused(&stage) })).await;
}

/// Where the command line program is, and a folder in which its `--dev` means the database of the stage. `null`
/// where the program has not been built.
fn command_line(stage: &Stage, folder: &Path) -> serde_json::Value {
    let bin = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    if !bin.join("idp").exists() {
        return serde_json::Value::Null;
    }
    let url = stage.app.database.url();
    let database = Path::new(url.strip_prefix("sqlite:").unwrap()).parent().unwrap().to_owned();
    std::fs::create_dir(folder.join("data")).unwrap();
    std::os::unix::fs::symlink(database, folder.join("data/dev")).unwrap();
    json!({ "bin": bin, "folder": folder })
}

async fn detours(javascript: bool) {
    let stage = Stage::set(Engine::Sqlite, in_dev).await;
    stage.app.register(&confidential("tides")).await;
    let folder = tempfile::tempdir().unwrap();
    let mismatch =
        request_of(&stage.app, "tides", &[("redirect_uri", Some("https://tides.example/callback"))]);
    let cli = command_line(&stage, folder.path());
    stage.play("detours", json!({ "javascript": javascript, "mismatch": mismatch, "cli": cli })).await;
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
async fn what_the_script_adds_works_and_stays_away_without_it() {
    let stage = Stage::set(Engine::Sqlite, in_dev).await;
    stage.app.register(&confidential("tides")).await;
    let mismatch =
        request_of(&stage.app, "tides", &[("redirect_uri", Some("https://tides.example/callback"))]);
    stage.play("comfort", json!({ "mismatch": mismatch })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hd_14_no_page_is_framed_or_reached_by_another_origin() {
    let stage = Stage::set(Engine::Sqlite, in_production).await;
    stage.app.register(&confidential("tides")).await;
    let facts = json!({ "tides": request_of(&stage.app, "tides", &[]), "refused": refused(&stage) });
    stage.play("framing", facts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_end_at_https_loopback_and_private_scheme_applications() {
    let stage = Stage::set(Engine::Sqlite, in_production).await;
    stage.app.register(&confidential("tides")).await;
    stage.app.register(&native("notes")).await;
    stage.app.register(&native("notes6")).await;
    stage.app.register(&mobile("pocket")).await;
    let facts = json!({
        "tides": request_of(&stage.app, "tides", &[]),
        "native": request_of(&stage.app, "notes", &[("redirect_uri", Some("http://127.0.0.1:PORT/cb"))]),
        "mobile": request_of(&stage.app, "pocket", &[("redirect_uri", Some("com.example.app:/cb"))]),
        "native6": request_of(&stage.app, "notes6", &[("redirect_uri", Some("http://[::1]:PORT/cb"))]),
    });
    stage.play("redirects", facts).await;
}

/// Key and certificate of every https application in a story.
fn tls() -> serde_json::Value {
    let (certificate, key) = crate::mail::signed("tides.example");
    let text = |pem: Vec<u8>| String::from_utf8(pem).unwrap();
    json!({ "cert": text(certificate.to_pem().unwrap()), "key": text(key.private_key_to_pem_pkcs8().unwrap()) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_01_an_application_may_redirect_its_callback_to_another_origin() {
    let stage = Stage::set(Engine::Sqlite, in_production).await;
    stage.app.register(&confidential("tides")).await;
    let logout = "/logout?client_id=tides&post_logout_redirect_uri=https://tides.example/bye&state=s";
    let facts = json!({
        "tides": request_of(&stage.app, "tides", &[]),
        "logout": stage.app.url(logout),
        "tls": tls(),
    });
    stage.play("onward", facts).await;
}
