//! Refresh tokens: rotated at each use, never wider than granted, dead once anything they depend on ends.

use std::time::Duration;

use idp_core::audit::AuditEvent;
use idp_core::client::{Client, ClientId};
use idp_core::ids::GrantId;
use idp_core::scope::Scope;
use idp_core::user::UserState;

use crate::oauth_authorize::{ADA, ready, trusted};
use crate::oauth_jwt::claims;
use crate::oauth_token::{OFFLINE, audit_count, offline_code};
use crate::support::browser::Browser;
use crate::support::client::{authorize, changed};
use crate::support::node::Node;
use crate::support::oracle::Tokens;
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines};

const DAY: u64 = 24 * 60 * 60;

async fn offline_tokens(app: &TestApp, browser: &Browser) -> Tokens {
    let code = offline_code(app, browser).await;
    app.redeem("tides", &code).await.tokens()
}

/// Neither token works on any node.
async fn assert_dead(nodes: &[&Node], tokens: &Tokens, why: &str) {
    for node in nodes {
        let refused = node.refresh("tides", &tokens.refresh).await;
        assert!([400, 401].contains(&refused.status.as_u16()), "{why}: {}", refused.body);
        node.userinfo(&tokens.access).await.assert_invalid_token();
    }
}

on_both_engines! {
    async fn tk_16_reusing_a_rotated_refresh_token_revokes_its_family_on_every_node(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let other = app.second_node().await;
        let first = offline_tokens(&app, &browser).await;
        let second = app.refresh("tides", &first.refresh).await.tokens();
        let third = other.refresh("tides", &second.refresh).await.tokens();
        assert_eq!(other.userinfo(&first.access).await.status, 200, "rotation alone revokes no access token");
        app.refresh("tides", &first.refresh).await.assert_token_error(400, "invalid_grant");
        for tokens in [&third, &second, &first] {
            assert_dead(&[&other, &app.first_node()], tokens, "reuse").await;
        }
        assert_eq!(audit_count(&app, AuditEvent::RefreshReuse).await, 1);
        let grant = app.texts("SELECT id FROM grants").await.remove(0);
        assert_eq!(app.texts("SELECT subject FROM audit WHERE event = 'refresh_reuse'").await, [grant]);
    }

    async fn tk_20_a_refresh_never_yields_more_than_was_granted(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&trusted("thief")).await;
        let code = app.code(&browser, &changed("tides", &[("scope", Some("openid email offline_access"))])).await;
        let tokens = app.redeem("tides", &code).await.tokens();
        let before = app.state().await;
        let ask = |id: &'static str, token: String, scope: &'static str| {
            let app = &app;
            async move {
                app.token(id, &[("grant_type", "refresh_token"), ("refresh_token", &token), ("scope", scope)]).await
            }
        };
        for wider in ["openid profile", "openid email offline_access profile", "admin", "openid unknown"] {
            ask("tides", tokens.refresh.clone(), wider).await.assert_token_error(400, "invalid_scope");
        }
        for scope in ["openid", ""] {
            ask("thief", tokens.refresh.clone(), scope).await.assert_token_error(400, "invalid_grant");
        }
        assert_eq!(app.state().await, before, "a refused refresh used the token up");
        assert_eq!(audit_count(&app, AuditEvent::RefreshReuse).await, 0);
        let narrow = ask("tides", tokens.refresh, "openid").await.tokens();
        assert_eq!(narrow.scope, "openid");
        let info = app.userinfo(&narrow.access).await.json();
        assert_eq!(info.as_object().unwrap().keys().collect::<Vec<_>>(), ["sub"]);
        ask("tides", narrow.refresh.clone(), "profile").await.assert_token_error(400, "invalid_scope");
        let wide = ask("tides", narrow.refresh, "openid email").await.tokens();
        assert_eq!(app.userinfo(&wide.access).await.json()["email"], ADA);
        let all = ask("tides", wide.refresh, "").await.tokens();
        assert_eq!(all.scope, "email offline_access openid");
    }

    async fn tk_20_a_flow_that_was_open_when_the_client_was_narrowed_ends(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&confidential("tides")).await;
        let browser = app.signed_in(ADA).await;
        let asks = authorize(&changed("tides", &[("scope", Some(OFFLINE))]));
        let consent = browser.open(&asks).await;
        let input = (ClientId::parse("tides").unwrap(), Scope::parse("openid").unwrap());
        let narrowed = app.store().write(input, |tx, (id, scope)| Box::pin(tx.set_client_scope(id, scope)));
        assert!(narrowed.await.unwrap());
        let late = browser.submit_only(&consent, "/consent", &[("decision", "allow")]).await;
        late.assert_page("flow-changed");
        browser.get(&consent.url).await.assert_page("flow-changed");
        assert_eq!((app.count("codes", "1 = 1").await, app.count("consents", "1 = 1").await), (0, 0));
    }

    async fn tk_20_narrowing_the_scope_of_a_client_revokes_its_tokens_on_every_node(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let other = app.second_node().await;
        let tokens = offline_tokens(&app, &browser).await;
        let set = |scope: &str| {
            let input = (ClientId::parse("tides").unwrap(), Scope::parse(scope).unwrap());
            app.store().write(input, |tx, (id, scope)| Box::pin(tx.set_client_scope(id, scope)))
        };
        assert!(set("openid profile email offline_access address").await.unwrap());
        let newer = other.refresh("tides", &tokens.refresh).await.tokens();
        assert!(set("openid profile email").await.unwrap());
        assert_dead(&[&other, &app.first_node()], &newer, "narrower").await;
        assert_eq!(audit_count(&app, AuditEvent::RefreshReuse).await, 0);
    }

    async fn tk_21_a_refresh_token_dies_with_its_person_on_every_node(engine: Engine) {
        let (app, _) = ready(engine).await;
        let other = app.second_node().await;
        let nodes = [&other, &app.first_node()];
        let user = app.texts("SELECT id FROM users").await.remove(0).parse().unwrap();
        for what in ["deactivated", "role lost", "epoch", "global epoch"] {
            let browser = app.signed_in(ADA).await;
            let tokens = offline_tokens(&app, &browser).await;
            let newer = other.refresh("tides", &tokens.refresh).await.tokens();
            let store = app.store();
            match what {
                "deactivated" => {
                    app.set_state(user, UserState::Deactivated).await;
                    assert_dead(&nodes, &newer, what).await;
                    app.set_state(user, UserState::Active).await;
                }
                "role lost" => assert!(store.write(user, |tx, user| Box::pin(tx.revoke_role(*user, "user"))).await.unwrap()),
                "epoch" => store.write(user, |tx, user| Box::pin(tx.raise_user_epoch(*user))).await.unwrap(),
                _ => app.sql("UPDATE epochs SET value = value + 1").await,
            }
            assert_dead(&nodes, &newer, what).await;
            assert_dead(&nodes, &tokens, what).await;
            let login = browser.open(&authorize(&changed("tides", &[]))).await;
            assert!(login.body.contains("name=\"password\""), "{what}: the session is still alive");
        }
        let browser = app.signed_in(ADA).await;
        let tokens = offline_tokens(&app, &browser).await;
        app.sql("DELETE FROM users").await;
        assert_dead(&nodes, &tokens, "deleted").await;
        let code = app.count("codes", "1 = 1").await;
        let login = browser.open(&authorize(&changed("tides", &[]))).await;
        let back = browser.sign_in(&login, ADA, PASSWORD).await;
        assert!(back.status.is_client_error() && app.count("codes", "1 = 1").await == code);
    }

    async fn tk_21_a_refresh_token_dies_with_its_client_on_every_node(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let other = app.second_node().await;
        let nodes = [&other, &app.first_node()];
        let tokens = offline_tokens(&app, &browser).await;
        let id = ClientId::parse("tides").unwrap();
        let switch = |enabled: bool| {
            app.store().write((id.clone(), enabled), |tx, (id, enabled)| Box::pin(tx.set_client_enabled(id, *enabled)))
        };
        assert!(switch(false).await.unwrap());
        assert_dead(&nodes, &tokens, "disabled").await;
        other.refresh("tides", &tokens.refresh).await.assert_token_error(401, "invalid_client");
        let page = browser.open(&authorize(&changed("tides", &[]))).await;
        page.assert_page("client-unknown");
        assert!(switch(true).await.unwrap());
        assert_dead(&nodes, &tokens, "enabled again").await;
        let tokens = offline_tokens(&app, &browser).await;
        app.sql("UPDATE clients SET epoch = epoch + 1").await;
        assert_dead(&nodes, &tokens, "epoch").await;
        let tokens = offline_tokens(&app, &browser).await;
        app.sql("DELETE FROM clients").await;
        assert_dead(&nodes, &tokens, "deleted").await;
        app.register(&Client { epoch: 0, ..trusted("tides") }).await;
    }

    // No page withdraws a consent yet. One that does will revoke the grants under it and delete it; here both are done
    // by hand, the first through the store.
    async fn tk_21_a_refresh_token_dies_with_its_consent_on_every_node(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&confidential("asking")).await;
        let other = app.second_node().await;
        let request = changed("asking", &[("scope", Some("openid offline_access"))]);
        let kept = offline_tokens(&app, &browser).await;
        let first = app.redeem("asking", &app.code(&browser, &request).await).await.tokens();
        let newer = other.refresh("asking", &first.refresh).await.tokens();
        let grant: GrantId = app.texts("SELECT id FROM grants WHERE client_id = 'asking'").await.remove(0).parse().unwrap();
        let input = (grant, app.clock.now());
        assert!(app.store().write(input, |tx, (grant, now)| Box::pin(tx.revoke_grant(*grant, *now))).await.unwrap());
        app.sql("DELETE FROM consents WHERE client_id = 'asking'").await;
        for node in [&other, &app.first_node()] {
            for tokens in [&newer, &first] {
                node.refresh("asking", &tokens.refresh).await.assert_token_error(400, "invalid_grant");
                node.userinfo(&tokens.access).await.assert_invalid_token();
            }
        }
        let question = browser.open(&authorize(&request)).await;
        assert!(question.text().contains("Allow access?"), "{}", question.text());
        // Grants under another consent live on.
        assert_eq!(other.userinfo(&kept.access).await.status, 200);
        other.refresh("tides", &kept.refresh).await.tokens();
    }

    async fn tk_22_rotation_does_not_outlast_the_absolute_expiry(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let mut tokens = offline_tokens(&app, &browser).await;
        for _ in 0..4 {
            app.wait(Duration::from_secs(20 * DAY));
            tokens = app.refresh("tides", &tokens.refresh).await.tokens();
        }
        app.wait(Duration::from_secs(10 * DAY));
        app.refresh("tides", &tokens.refresh).await.assert_token_error(400, "invalid_grant");
        let browser = app.signed_in(ADA).await;
        let idle = offline_tokens(&app, &browser).await;
        app.wait(Duration::from_secs(30 * DAY));
        app.refresh("tides", &idle.refresh).await.assert_token_error(400, "invalid_grant");
        assert_eq!(audit_count(&app, AuditEvent::RefreshReuse).await, 0);
    }

    async fn a_refresh_returns_an_id_token_of_the_same_sign_in(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let tokens = offline_tokens(&app, &browser).await;
        let first = claims(&tokens.id);
        app.wait(Duration::from_secs(60));
        let again = app.refresh("tides", &tokens.refresh).await.tokens();
        let second = claims(&again.id);
        for name in ["iss", "sub", "aud", "auth_time", "sid", "acr", "amr"] {
            assert_eq!(first[name], second[name], "{name}");
        }
        assert!(second["iat"].as_i64() > first["iat"].as_i64());
        assert!(second.get("nonce").is_none());
        assert_ne!(again.refresh, tokens.refresh);
        assert_ne!(again.access, tokens.access);
    }

    async fn there_is_no_refresh_token_without_offline_access_and_rubbish_is_refused(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let code = app.code(&browser, &changed("tides", &[])).await;
        let tokens = app.redeem("tides", &code).await.tokens();
        assert!(tokens.refresh.is_empty());
        let good = offline_tokens(&app, &browser).await;
        let flipped = |at: usize| {
            let mut bytes = good.refresh.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        };
        let before = app.state().await;
        for rubbish in [
            "rubbish".to_owned(), "rt_".to_owned(), "rt_'--".to_owned(), flipped(5), flipped(30), flipped(40),
            good.access.clone(), good.id.clone(), format!("{}A", good.refresh), "x".repeat(9_000),
        ] {
            app.refresh("tides", &rubbish).await.assert_token_error(400, "invalid_grant");
        }
        assert_eq!(app.state().await, before);
        app.refresh("tides", &good.refresh).await.tokens();
    }

    async fn rotation_500_leaves_no_more_rows_than_rotation_10(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let node = app.first_node();
        let mut tokens = offline_tokens(&app, &browser).await;
        let mut rows_at_10 = None;
        for turn in 1..=500 {
            tokens = node.refresh("tides", &tokens.refresh).await.tokens();
            if turn == 10 {
                rows_at_10 = Some(rows(&app).await);
            }
        }
        assert_eq!(Some(rows(&app).await), rows_at_10, "rotation leaves rows behind");
        assert_eq!(app.texts("SELECT CAST(generation AS TEXT) FROM grants").await, ["500"]);
    }
}

/// How many rows each table has.
async fn rows(app: &TestApp) -> Vec<(String, usize)> {
    app.whole_state().await.into_iter().map(|(table, rows)| (table, rows.len())).collect()
}
