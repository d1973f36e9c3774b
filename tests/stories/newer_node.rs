//! A node beside a newer one on one database: it starts, works, and leaves alone what it does not know.

use std::time::Duration;

use crate::oauth_authorize::{ADA, CB, trusted};
use crate::oauth_token::offline_code;
use crate::registration::register;
use crate::support::client::{authorize, request};
use crate::support::{Engine, PASSWORD, TestApp, is_logged, on_both_engines};

/// Everything a newer node may have written that this version does not know.
async fn write_newer_rows(app: &TestApp) {
    let far = 9_000_000_000_000_000_i64;
    for sql in [
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 4000, 'of tomorrow', TRUE, checksum, 0 FROM _sqlx_migrations WHERE version = 1"
            .to_owned(),
        "INSERT INTO keys VALUES ('tomorrow-1', 'tomorrow', 'active', '{\"kty\":\"OKP\",\"kid\":\"tomorrow-1\",\
         \"alg\":\"EdDSA\"}', 'djE6a2VrLXg6', 0, NULL, NULL)"
            .to_owned(),
        "INSERT INTO keys VALUES ('tomorrow-2', 'mac', 'of tomorrow', NULL, 'djE6a2VrLXg6', 0, NULL, NULL)"
            .to_owned(),
        "INSERT INTO outbox (id, kind, recipient, name, subject, created_at, due_at, attempts, expires_at) \
         VALUES ('tomorrow', 'of_tomorrow', 'a@b.example', 'Ada', 'nobody', 0, 0, 0, 1)"
            .to_owned(),
        format!("INSERT INTO single_use VALUES ('tomorrow', 'tm_', 'x', {far}, NULL)"),
        format!("INSERT INTO throttles VALUES ('tomorrow:x', NULL, 1, 0, 1, 0, NULL, FALSE, {far})"),
        "INSERT INTO epochs VALUES ('tomorrow', 1)".to_owned(),
        "UPDATE clients SET consent = 'tomorrow' WHERE id = 'newer'".to_owned(),
    ] {
        app.sql(&sql).await;
    }
}

const NEWER_TABLES: [&str; 8] =
    ["_sqlx_migrations", "keys", "outbox", "single_use", "throttles", "epochs", "clients", "flows"];

async fn newer_rows(app: &TestApp) -> Vec<String> {
    let state = app.whole_state().await;
    let rows = NEWER_TABLES.iter().flat_map(|table| state.get(*table).cloned().unwrap_or_default());
    rows.filter(|row| row.contains("tomorrow")).collect()
}

on_both_engines! {
    async fn fault_19_a_node_starts_and_works_beside_a_newer_one_and_leaves_its_rows_alone(engine: Engine) {
        let mut app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&trusted("tides")).await;
        app.register(&trusted("newer")).await;
        let ada = app.signed_in(ADA).await;
        let tokens = app.redeem("tides", &offline_code(&app, &ada).await).await.tokens();
        let newer_code = ada.get(&authorize(&request("newer"))).await.code(&app, "https://newer.example/cb");
        let flow = app.browser().open(&authorize(&request("tides"))).await;
        let jwks = keys_of(&app).await;
        write_newer_rows(&app).await;
        let before = newer_rows(&app).await;
        assert_eq!(before.len(), 7, "{before:?}");

        app.restart_with(|_| {}).await;
        assert_eq!(app.browser().get("/readyz").await.body, "ready");
        let published = keys_of(&app).await;
        let (known, newer) = published.split_at(jwks.len());
        assert_eq!(known, jwks, "the earlier keys are unchanged");
        // Whoever fetches the keys here may hold a token that the newer node signed.
        let tomorrows = serde_json::json!({ "kty": "OKP", "kid": "tomorrow-1", "alg": "EdDSA" });
        assert_eq!(newer, [tomorrows], "and then the newer node's, as it is stored");
        assert!(is_logged("a newer version has migrated the database"));
        assert!(is_logged("id=\"tomorrow-1\"") || is_logged("id=tomorrow-1"), "a line for the key that is left alone");

        // What was issued before still works, and a registration gets its email although another one waits.
        assert_eq!(ada.get("/account").await.status, 200);
        assert_eq!(app.userinfo(&tokens.access).await.status, 200);
        let tokens = app.refresh("tides", &tokens.refresh).await.tokens();
        register(&app.browser(), "mia@example.org", PASSWORD).await;
        app.sink.mail_to("mia@example.org", 1).await;

        // A client with an unknown policy cannot be used here; none of its codes is burnt.
        for browser in [&ada, &app.browser()] {
            let refused = browser.get(&authorize(&request("newer"))).await;
            refused.assert_error_page(503, "unavailable");
        }
        app.redeem("newer", &newer_code).await.assert_token_error(503, "temporarily_unavailable");
        assert!(is_logged("clients.consent of row newer"));

        // A flow with an unknown target: the person starts again.
        app.sql("UPDATE flows SET target = '{\"for\":\"tomorrow\"}'").await;
        let flows = newer_rows(&app).await;
        flow_is_over(&app, &flow.url).await;
        assert_eq!(newer_rows(&app).await, flows);
        app.sql("DELETE FROM flows").await;

        // A session with an unknown way to sign in counts as none here, and is not ended.
        app.sql("UPDATE sessions SET authentication = 'tomorrow'").await;
        let sessions = app.whole_state().await["sessions"].clone();
        let again = ada.open("/account").await;
        assert!(again.body.contains("name=\"password\""), "{}", again.text());
        assert_eq!(ada.sign_in(&again, ADA, PASSWORD).await.status, 200);
        assert_eq!(ada.get("/account").await.status, 200);
        let kept = &app.whole_state().await["sessions"];
        assert!(sessions.iter().all(|row| kept.contains(row)), "{kept:?}");
        app.refresh("tides", &tokens.refresh).await.tokens();
        ada.get(&authorize(&request("tides"))).await.code(&app, CB);

        // The right password of an account in an unknown state: another node may know the state.
        app.sql("UPDATE users SET state = 'tomorrow'").await;
        let stranger = app.browser();
        let page = stranger.open("/signin").await;
        assert_eq!(stranger.sign_in(&page, ADA, "not the password at all").await.status, 401);
        stranger.sign_in(&page, ADA, PASSWORD).await.assert_error_page(503, "unavailable");
        assert_eq!(app.count("users", "state = 'tomorrow'").await, 1);

        // Cleanup, much later.
        app.wait(Duration::from_secs(60 * 60 * 24 * 400));
        while app.store().delete_expired(app.clock.now()).await.unwrap() > 0 {}
        assert_eq!(newer_rows(&app).await, before);
    }
}

async fn keys_of(app: &TestApp) -> Vec<serde_json::Value> {
    let jwks: serde_json::Value = serde_json::from_str(&app.browser().get("/jwks.json").await.body).unwrap();
    jwks["keys"].as_array().unwrap().clone()
}

async fn flow_is_over(app: &TestApp, url: &str) {
    let path = url.strip_prefix(&app.issuer).unwrap_or(url);
    let page = app.browser().get(path).await;
    page.assert_page("flow-expired");
}
