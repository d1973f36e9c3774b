//! The stories that need a browser. Each is told by the script of the same name in `tests/browser`.

use serde_json::json;

use crate::stage::{Stage, in_dev, in_production, native, request_of};
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
