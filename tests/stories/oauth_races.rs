//! Many requests at once: one code or refresh token succeeds once, and nothing deadlocks.

use futures_util::future::join_all;
use idp_core::audit::AuditEvent;

use crate::oauth_authorize::{ADA, CB, ready, trusted};
use crate::oauth_token::{audit_count, offline_code};
use crate::support::client::{authorize, changed, request};
use crate::support::{Engine, TestApp, is_proof, on_both_engines};

const AT_ONCE: usize = 50;

fn rounds() -> usize {
    if is_proof() { 1000 } else { 20 }
}

fn report(what: &str, engine: Engine) {
    if rounds() > 20 {
        println!(
            "proof: {} rounds of {AT_ONCE} parallel {what} on {engine:?}: one success in each",
            rounds()
        );
    }
}

on_both_engines! {
    async fn tk_02_of_50_parallel_redemptions_of_one_code_one_succeeds(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let nodes = [app.first_node(), app.second_node().await];
        for round in 0..rounds() {
            let code = offline_code(&app, &browser).await;
            let all = join_all((0..AT_ONCE).map(|turn| nodes[turn % 2].redeem("tides", &code))).await;
            let (won, lost): (Vec<_>, Vec<_>) = all.iter().partition(|answer| answer.status == 200);
            assert_eq!(won.len(), 1, "round {round}");
            lost.iter().for_each(|answer| answer.assert_token_error(400, "invalid_grant"));
            // The losers are replays: the winner's tokens are already revoked, on every node.
            assert_eq!(app.count("grants", "revoked_at IS NULL").await, 0, "round {round}");
            assert_eq!(app.count("grants", "1 = 1").await, round + 1, "round {round}");
            assert_eq!(audit_count(&app, AuditEvent::CodeReplay).await, round as i64 + 1);
            for node in &nodes {
                node.userinfo(&won[0].tokens().access).await.assert_invalid_token();
            }
        }
        report("redemptions of one code", engine);
    }

    async fn tk_17_of_50_parallel_uses_of_one_refresh_token_one_succeeds(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let nodes = [app.first_node(), app.second_node().await];
        for round in 0..rounds() {
            let code = offline_code(&app, &browser).await;
            let first = app.redeem("tides", &code).await.tokens();
            let all = join_all((0..AT_ONCE).map(|turn| nodes[turn % 2].refresh("tides", &first.refresh))).await;
            let (won, lost): (Vec<_>, Vec<_>) = all.iter().partition(|answer| answer.status == 200);
            assert_eq!(won.len(), 1, "round {round}");
            lost.iter().for_each(|answer| answer.assert_token_error(400, "invalid_grant"));
            assert_eq!(app.count("grants", "revoked_at IS NULL").await, 0, "round {round}");
            assert_eq!(audit_count(&app, AuditEvent::RefreshReuse).await, round as i64 + 1);
            for node in &nodes {
                node.refresh("tides", &won[0].tokens().refresh).await.assert_token_error(400, "invalid_grant");
                node.userinfo(&first.access).await.assert_invalid_token();
            }
        }
        report("uses of one refresh token", engine);
    }

    async fn fault_01_50_parallel_answers_to_one_question_bring_one_code_and_all_lead_to_it(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&crate::support::confidential("asking")).await;
        let page = browser.open(&authorize(&request("asking"))).await;
        let answer = [("decision", "allow")];
        let all = join_all((0..AT_ONCE).map(|_| browser.submit_only(&page, "/consent", &answer))).await;
        let mut codes = std::collections::BTreeSet::new();
        for answer in all {
            assert_eq!((answer.status.as_u16(), answer.location()), (303, Some(page.url.replace(&app.issuer, ""))));
            codes.insert(browser.follow(answer).await.code(&app, "https://asking.example/cb"));
        }
        assert_eq!((codes.len(), app.count("codes", "client_id = 'asking'").await), (1, 1));
        assert_eq!(audit_count(&app, AuditEvent::ConsentGiven).await, 1);
    }

    async fn sixty_four_code_flows_at_once_finish_on_two_connections(engine: Engine) {
        let app = TestApp::start_with(engine, |config| config.database_connections = 2).await;
        app.user(ADA).await;
        app.register(&trusted("tides")).await;
        let browser = app.signed_in(ADA).await;
        let node = app.first_node();
        let target = authorize(&changed("tides", &[("scope", Some(crate::oauth_token::OFFLINE))]));
        let flows = join_all((0..64).map(|_| async {
            let code = browser.get(&target).await.code(&app, CB);
            let tokens = node.redeem("tides", &code).await.tokens();
            assert_eq!(node.userinfo(&tokens.access).await.status, 200);
            node.refresh("tides", &tokens.refresh).await.tokens()
        })).await;
        assert_eq!(flows.len(), 64);
        assert_eq!(app.count("grants", "revoked_at IS NULL AND generation = 1").await, 64);
    }
}
