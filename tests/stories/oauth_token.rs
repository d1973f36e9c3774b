//! The token endpoint: who may redeem a code, and how often.

use std::time::Duration;

use idp_core::audit::AuditEvent;
use idp_core::client::{AuthMethod, Client, ConsentPolicy, PkcePolicy};
use idp_core::redirect_uri::RedirectUri;
use idp_core::secret::Digest;

use crate::oauth_authorize::{CB, ready, trusted};
use crate::support::browser::{Answer, Browser};
use crate::support::client::{VERIFIER, authorize, basic, basic_of, changed, redemption, request};
use crate::support::{Engine, SECRET, TestApp, on_both_engines, public};

pub(crate) const OFFLINE: &str = "openid profile email offline_access";

/// A code of `tides` that yields a refresh token.
pub(crate) async fn offline_code(app: &TestApp, browser: &Browser) -> String {
    app.code(browser, &changed("tides", &[("scope", Some(OFFLINE))])).await
}

/// How many audit records of an event there are.
pub(crate) async fn audit_count(app: &TestApp, event: AuditEvent) -> i64 {
    app.store().read(event, |db, event| Box::pin(db.audit_count(*event, None))).await.unwrap()
}

/// A token request with these headers and fields only.
pub(crate) async fn ask(app: &TestApp, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
    app.browser().send(reqwest::Method::POST, "/token", Some(fields), headers).await
}

fn with<'a>(
    base: &'a [(&'static str, String)],
    changes: &[(&'a str, Option<&'a str>)],
) -> Vec<(&'a str, &'a str)> {
    let kept = base.iter().filter(|(name, _)| !changes.iter().any(|(other, _)| other == name));
    let mut all: Vec<(&str, &str)> = kept.map(|(name, value)| (*name, value.as_str())).collect();
    all.extend(changes.iter().filter_map(|(name, value)| value.map(|value| (*name, value))));
    all
}

on_both_engines! {
    async fn tk_01_a_code_works_once_and_its_replay_revokes_its_tokens_on_every_node(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let other = app.second_node().await;
        for wait in [0, 30] {
            let before = audit_count(&app, AuditEvent::CodeReplay).await;
            let code = offline_code(&app, &browser).await;
            let tokens = app.redeem("tides", &code).await.tokens();
            assert_eq!(other.userinfo(&tokens.access).await.status, 200);
            app.wait(Duration::from_secs(wait));
            for _ in 0..3 {
                app.redeem("tides", &code).await.assert_token_error(400, "invalid_grant");
            }
            for node in [&other, &app.first_node()] {
                node.userinfo(&tokens.access).await.assert_invalid_token();
                node.refresh("tides", &tokens.refresh).await.assert_token_error(400, "invalid_grant");
            }
            let told = audit_count(&app, AuditEvent::CodeReplay).await - before;
            assert_eq!(told, 1, "a replay that finds nothing to revoke is no event");
        }
        let record = app.texts("SELECT actor || ' ' || client_id || ' ' || client_address || ' ' || request_id FROM audit \
            WHERE event = 'code_replay'").await.remove(0);
        assert!(record.starts_with("client:tides tides 127.0.0.1 "), "{record}");
        assert_eq!(app.count("grants", "revoked_at IS NULL").await, 0);
    }

    async fn tk_03_a_code_is_useless_to_another_client_and_stays_good_for_its_own(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&trusted("thief")).await;
        app.register(&Client { consent: ConsentPolicy::Skip, ..public("spa") }).await;
        let code = offline_code(&app, &browser).await;
        let before = app.state().await;
        for uri in [CB, "https://thief.example/cb"] {
            let base = redemption("tides", &code);
            let stolen = with(&base, &[("redirect_uri", Some(uri))]);
            app.token("thief", &stolen).await.assert_token_error(400, "invalid_grant");
            let public = with(&base, &[("redirect_uri", Some(uri)), ("client_id", Some("spa"))]);
            ask(&app, &[], &public).await.assert_token_error(400, "invalid_grant");
        }
        assert_eq!(app.state().await, before, "another client changed something");
        assert_eq!(audit_count(&app, AuditEvent::CodeReplay).await, 0);
        app.redeem("tides", &code).await.tokens();
        app.token("thief", &with(&redemption("tides", &code), &[])).await.assert_token_error(400, "invalid_grant");
        assert_eq!(app.count("grants", "revoked_at IS NULL").await, 1, "another client revoked the owner's grant");
        let foreign = app.code(&browser, &changed("spa", &[])).await;
        app.token("tides", &with(&redemption("spa", &foreign), &[])).await.assert_token_error(400, "invalid_grant");
        let own = redemption("spa", &foreign);
        ask(&app, &[], &with(&own, &[("client_id", Some("spa"))])).await.tokens();
    }

    async fn tk_05_a_verifier_is_required_if_there_was_a_challenge_and_refused_if_not(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&Client { pkce: PkcePolicy::Optional, ..trusted("exempt") }).await;
        let none = [("code_challenge", None), ("code_challenge_method", None)];
        let code = app.code(&browser, &changed("exempt", &none)).await;
        app.redeem("exempt", &code).await.assert_token_error(400, "invalid_grant");
        let code = app.code(&browser, &changed("exempt", &none)).await;
        let base = redemption("exempt", &code);
        app.token("exempt", &with(&base, &[("code_verifier", None)])).await.tokens();
        let (longer, shorter, long) = (format!("{VERIFIER}x"), &VERIFIER[1..], "v".repeat(129));
        for verifier in [None, Some(""), Some("short"), Some(shorter), Some(&longer), Some(&long), Some(&crate::support::client::challenge()), Some("with spaces in it that make it long enough to pass")] {
            let code = offline_code(&app, &browser).await;
            let base = redemption("tides", &code);
            let wrong = app.token("tides", &with(&base, &[("code_verifier", verifier)])).await;
            wrong.assert_token_error(400, "invalid_grant");
            app.redeem("tides", &code).await.assert_token_error(400, "invalid_grant");
        }
        assert_eq!(app.count("grants", "client_id = 'tides'").await, 0);
    }

    async fn tk_07_a_code_is_redeemed_with_the_redirect_uri_it_was_sent_to(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let two = ["https://tides2.example/cb", "https://tides2.example/cb2"].map(|uri| RedirectUri::parse(uri).unwrap());
        app.register(&Client { redirect_uris: two.to_vec(), ..trusted("tides2") }).await;
        for uri in ["https://tides2.example/cb2", "https://tides2.example/cb/", "https://TIDES2.example/cb", "https://evil.tld/"] {
            let code = app.code(&browser, &changed("tides2", &[])).await;
            let base = redemption("tides2", &code);
            let answer = app.token("tides2", &with(&base, &[("redirect_uri", Some(uri))])).await;
            answer.assert_token_error(400, "invalid_grant");
        }
        for missing in [None, Some("")] {
            let code = app.code(&browser, &changed("tides2", &[])).await;
            let base = redemption("tides2", &code);
            let answer = app.token("tides2", &with(&base, &[("redirect_uri", missing)])).await;
            answer.assert_token_error(400, "invalid_grant");
        }
        assert_eq!(app.count("grants", "1 = 1").await, 0);
    }

    async fn tk_10_a_failed_client_authentication_leaves_the_code_usable(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let secret = Some(Digest::of("p+w %2B"));
        app.register(&Client { auth_method: AuthMethod::Basic, secret: secret.clone(), ..trusted("basic") }).await;
        app.register(&Client { auth_method: AuthMethod::Post, secret, ..trusted("post") }).await;
        app.register(&Client { consent: ConsentPolicy::Skip, ..public("spa") }).await;
        app.register(&Client { enabled: false, ..trusted("closed") }).await;
        app.register(&trusted("neighbour")).await;
        let code = offline_code(&app, &browser).await;
        let base = redemption("tides", &code);
        let before = app.state().await;
        let (good, wrong, empty) = (basic("tides"), basic_of("tides", "wrong"), basic_of("tides", ""));
        let (foreign, unknown, closed) = (basic_of("tides", "p%2Bw+%252B"), basic_of("nobody", SECRET), basic("closed"));
        let spa = basic_of("spa", "");
        for header in [&wrong, &empty, &foreign, &unknown, &closed, &spa, "Basic", "Basic %%%", "Basic Og==", "Bearer x", "", "Digest x"] {
            let answer = ask(&app, &[("authorization", header)], &with(&base, &[])).await;
            answer.assert_token_error(401, "invalid_client");
            assert!(answer.header("www-authenticate").starts_with("Basic "), "{header:?}");
        }
        for (id, secret) in [
            ("tides", None), ("tides", Some("")), ("tides", Some("wrong")), ("nobody", Some(SECRET)), ("nobody", None),
            ("closed", Some(SECRET)), ("spa", Some("")), ("spa", Some(SECRET)), ("", Some(SECRET)),
        ] {
            let answer = ask(&app, &[], &with(&base, &[("client_id", Some(id)), ("client_secret", secret)])).await;
            answer.assert_token_error(401, "invalid_client");
        }
        ask(&app, &[], &with(&base, &[])).await.assert_token_error(401, "invalid_client");
        for (id, secret) in [("tides", SECRET), ("tides", ""), ("nobody", "x")] {
            let both = with(&base, &[("client_id", Some(id)), ("client_secret", Some(secret))]);
            ask(&app, &[("authorization", &good)], &both).await.assert_token_error(400, "invalid_request");
        }
        let mismatch = with(&base, &[("client_id", Some("neighbour"))]);
        ask(&app, &[("authorization", &good)], &mismatch).await.assert_token_error(400, "invalid_request");
        let headers = [("authorization", good.as_str()), ("authorization", good.as_str())];
        ask(&app, &headers, &with(&base, &[])).await.assert_token_error(401, "invalid_client");
        assert_eq!(app.state().await, before);
        app.redeem("tides", &code).await.tokens();
    }

    async fn tk_10_a_client_authenticates_by_its_registered_method_only(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let secret = Some(Digest::of("p+w %2B"));
        app.register(&Client { auth_method: AuthMethod::Basic, secret: secret.clone(), ..trusted("basic") }).await;
        app.register(&Client { auth_method: AuthMethod::Post, secret, ..trusted("post") }).await;
        app.register(&Client { consent: ConsentPolicy::Skip, ..public("spa") }).await;
        for (id, basic_works, post_works) in [("basic", true, false), ("post", false, true), ("spa", false, false)] {
            let header = basic_of(id, "p%2Bw+%252B");
            let refused = app.code(&browser, &request(id)).await;
            let base = redemption(id, &refused);
            let by_header = ask(&app, &[("authorization", &header)], &with(&base, &[])).await;
            if basic_works { drop(by_header.tokens()) } else { by_header.assert_token_error(401, "invalid_client") }
            let code = if basic_works { app.code(&browser, &request(id)).await } else { refused };
            let base = redemption(id, &code);
            let post = with(&base, &[("client_id", Some(id)), ("client_secret", Some("p+w %2B"))]);
            let by_post = ask(&app, &[], &post).await;
            if post_works { drop(by_post.tokens()) } else { by_post.assert_token_error(401, "invalid_client") }
            let code = if post_works { app.code(&browser, &request(id)).await } else { code };
            let base = redemption(id, &code);
            let alone = ask(&app, &[], &with(&base, &[("client_id", Some(id))])).await;
            if id == "spa" { drop(alone.tokens()) } else { alone.assert_token_error(401, "invalid_client") }
        }
    }

    // The answer gives nothing away, and its time should not either: one read that returns a row whether or not the
    // client exists, the same amount of parsing, and one constant-time comparison of digests.
    // `load timing tk-12a tk-12b` (tests/load) measures that.
    async fn tk_12_an_unknown_client_and_a_wrong_or_nearly_right_secret_get_the_same_answer(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let code = app.code(&browser, &request("tides")).await;
        let near = format!("{}{}", &SECRET[..30], "x".repeat(SECRET.len() - 30));
        let far = "x".repeat(SECRET.len());
        let mut answers = Vec::new();
        for header in [basic_of("tides", &near), basic_of("tides", &far), basic_of("nobody", SECRET), basic_of("tides", "")] {
            let base = redemption("tides", &code);
            let answer = ask(&app, &[("authorization", &header)], &with(&base, &[])).await;
            answers.push(answer.face(&[]));
        }
        for answer in &answers {
            assert_eq!(answer, &answers[0]);
        }
    }

    async fn a_code_lives_for_60_seconds(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let code = app.code(&browser, &request("tides")).await;
        app.wait(Duration::from_secs(55));
        app.redeem("tides", &code).await.tokens();
        let code = app.code(&browser, &request("tides")).await;
        app.wait(Duration::from_secs(60));
        app.redeem("tides", &code).await.assert_token_error(400, "invalid_grant");
        for rubbish in ["", "ac_", "rubbish", "ac_'--", &format!("ac_{}", "A".repeat(43)), &"x".repeat(10_000)] {
            let error = if rubbish.is_empty() { "invalid_request" } else { "invalid_grant" };
            app.redeem("tides", rubbish).await.assert_token_error(400, error);
        }
    }

    async fn a_code_dies_when_its_person_signs_out_or_an_epoch_is_raised(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let other = app.second_node().await;
        let code = offline_code(&app, &browser).await;
        let page = browser.open("/logout").await;
        browser.submit(&page, "/logout/confirm", &[]).await;
        other.redeem("tides", &code).await.assert_token_error(400, "invalid_grant");
        let browser = app.signed_in(crate::oauth_authorize::ADA).await;
        let code = offline_code(&app, &browser).await;
        app.sql("UPDATE clients SET epoch = epoch + 1 WHERE id = 'tides'").await;
        other.redeem("tides", &code).await.assert_token_error(400, "invalid_grant");
        let code = offline_code(&app, &browser).await;
        app.sql("UPDATE users SET epoch = epoch + 1").await;
        other.redeem("tides", &code).await.assert_token_error(400, "invalid_grant");
        assert_eq!(app.count("grants", "1 = 1").await, 0);
        let gone = browser.open(&authorize(&request("tides"))).await;
        assert!(gone.body.contains("name=\"password\""), "an old session still works");
    }
}
