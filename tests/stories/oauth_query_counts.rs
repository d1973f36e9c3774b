//! What a request costs the database, and which requests sign: these numbers decide how many requests a server can take.

use crate::oauth_authorize::{ADA, CB, trusted};
use crate::oauth_jwt::forged;
use crate::oauth_logout::target;
use crate::oauth_token::OFFLINE;
use crate::support::client::{authorize, changed};
use crate::support::wire::{Heard, Wire};
use crate::support::{Engine, PASSWORD, TestApp};

/// What begins and commits a transaction, word for word: anything more that is sent along with them is counted.
const CONTROL: [&str; 2] = ["BEGIN", "SELECT txid_current_if_assigned() IS NOT NULL; COMMIT"];

/// Verb and table of each statement, without those that begin and commit a transaction.
fn begun(statements: &[String]) -> Vec<String> {
    let own = statements.iter().filter(|sql| !CONTROL.contains(&sql.as_str()));
    own.map(|sql| sql.split(' ').next().unwrap().to_owned() + " " + table(sql)).collect()
}

fn table(sql: &str) -> &str {
    let words: Vec<&str> = sql.split_whitespace().collect();
    let place = words.iter().position(|word| ["FROM", "INTO", "UPDATE"].contains(word)).unwrap();
    words[place + 1]
}

/// Counted in a second round on the one connection, after the first round has prepared the statements.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_costs_only_the_statements_and_round_trips_it_needs() {
    let wire = Wire::default();
    let tapped = wire.clone();
    let app = TestApp::start_still_with(Engine::Postgres, move |config| {
        config.database_connections = 1;
        config.database_url = idp_core::secret::Secret::new(tapped.tap(config.database_url.expose()));
    })
    .await;
    app.user(ADA).await;
    app.register(&trusted("tides")).await;
    let browser = app.signed_in(ADA).await;
    let target = authorize(&changed("tides", &[("scope", Some(OFFLINE))]));
    let mut costs = Vec::new();
    for _ in 0..2 {
        costs.clear();
        let mut note = |what: &'static str| {
            let heard = wire.heard();
            costs.push((what, begun(&heard.statements), heard.round_trips));
        };
        wire.heard();
        let code = browser.get(&target).await.code(&app, CB);
        note("authorize");
        let tokens = app.redeem("tides", &code).await.tokens();
        note("redeem");
        app.refresh("tides", &tokens.refresh).await.tokens();
        note("refresh");
        assert_eq!(app.userinfo(&tokens.access).await.status, 200);
        note("userinfo");
    }
    let expected = [
        ("authorize", &["SELECT sessions", "SELECT clients", "INSERT codes"][..], 5),
        ("redeem", &["SELECT clients", "UPDATE codes", "INSERT grants"][..], 5),
        ("refresh", &["SELECT clients", "SELECT grants", "UPDATE grants"][..], 5),
        ("userinfo", &["SELECT grants"][..], 1),
    ];
    for (cost, (what, statements, round_trips)) in costs.iter().zip(expected) {
        let statements: Vec<String> = statements.iter().map(|sql| (*sql).to_owned()).collect();
        assert_eq!(*cost, (what, statements, round_trips));
    }
}

/// An unknown key ID is looked up only among the loaded keys, so a stranger who makes up many causes no work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jw_05_an_unknown_key_costs_the_database_nothing() {
    let wire = Wire::default();
    let tapped = wire.clone();
    let app = TestApp::start_still_with(Engine::Postgres, move |config| {
        config.database_url = idp_core::secret::Secret::new(tapped.tap(config.database_url.expose()));
    })
    .await;
    let node = app.first_node();
    let claims = serde_json::json!({ "iss": app.issuer, "aud": app.issuer });
    wire.heard();
    for turn in 0..1_000 {
        let header = serde_json::json!({ "alg": "ES256", "kid": format!("unknown-{turn}"), "typ": "at+jwt" });
        node.userinfo(&forged(&header, &claims, |_| vec![0; 64])).await.assert_invalid_token();
    }
    assert_eq!(wire.heard(), Heard::default());
}

/// On a server that has lost its signing keys and can still verify, only the token endpoint fails. How many signatures
/// that endpoint makes is counted in `idp/core/src/oauth/keys_tests.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_token_endpoint_signs() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    app.user(ADA).await;
    app.register(&trusted("tides")).await;
    let browser = app.signed_in(ADA).await;
    let request = authorize(&changed("tides", &[("scope", Some(OFFLINE))]));
    let tokens = app.redeem("tides", &browser.get(&request).await.code(&app, CB)).await.tokens();
    let keys = app.browser().get("/jwks.json").await.body;
    // A start makes the keys that are missing, unless it cannot.
    app.sql("CREATE TRIGGER no_key BEFORE INSERT ON keys BEGIN SELECT RAISE(IGNORE); END").await;
    app.sql("UPDATE keys SET state = 'retiring' WHERE purpose <> 'mac'").await;
    app.restart_with(|_| {}).await;

    let code = browser.get(&request).await.code(&app, CB);
    assert_eq!(app.userinfo(&tokens.access).await.status, 200);
    assert_eq!(app.browser().get("/jwks.json").await.body, keys);
    assert_eq!(app.browser().get("/.well-known/openid-configuration").await.status, 200);
    let stranger = app.browser();
    let page = stranger.open(&request).await;
    assert!(stranger.sign_in(&page, ADA, PASSWORD).await.redirect_param("code").is_some());
    assert_eq!(app.redeem("tides", &code).await.status, 500, "the control: nothing can be signed");
    assert_eq!(app.refresh("tides", &tokens.refresh).await.status, 500);
    browser.open(&target(&[("id_token_hint", &tokens.id)])).await;
    assert_ne!(browser.get("/account").await.status, 200, "the hint was good, so it signed out");
}
