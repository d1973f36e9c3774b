//! What a request costs the database: these numbers decide how many requests a server can take.

use crate::oauth_authorize::{ADA, CB, trusted};
use crate::oauth_jwt::forged;
use crate::oauth_token::OFFLINE;
use crate::support::client::{authorize, changed};
use crate::support::wire::{Heard, Wire};
use crate::support::{Engine, TestApp};

/// Verb and table of each statement, without those that begin and commit a transaction.
fn begun(statements: &[String]) -> Vec<String> {
    let own = statements.iter().filter(|sql| *sql != "BEGIN" && !sql.ends_with("; COMMIT"));
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
