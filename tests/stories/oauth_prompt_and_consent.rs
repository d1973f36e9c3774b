//! The authorization endpoint and the person: signing in again, consent, and never somebody else's token.

use std::time::Duration;

use futures_util::FutureExt;
use idp_core::audit::AuditEvent;
use serde_json::Value;

use crate::oauth_authorize::{ADA, CB, ready, trusted};
use crate::oauth_jwt::{Signer, claims, forgeries};
use crate::signed_in_page::assert_done;
use crate::support::browser::{Answer, Browser};
use crate::support::client::{authorize, changed, request};
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines};

const EVE: &str = "eve@example.org";

async fn id_claims(app: &TestApp, id: &str, answer: &Answer) -> Value {
    let code = answer.code(app, &format!("https://{id}.example/cb"));
    claims(&app.redeem(id, &code).await.tokens().id)
}

fn is_login(answer: &Answer) -> bool {
    answer.status == 200 && answer.location().is_none() && answer.body.contains("name=\"password\"")
}

fn is_consent(answer: &Answer) -> bool {
    answer.status == 200 && answer.location().is_none() && answer.body.contains("value=\"allow\"")
}

/// A request with `prompt=none`.
fn silent(id: &str, more: &[(&str, Option<&str>)]) -> String {
    authorize(&changed(id, &[&[("prompt", Some("none"))], more].concat()))
}

on_both_engines! {
    async fn az_16_prompt_none_never_shows_a_page(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&confidential("asking")).await;
        app.user(EVE).await;
        let asking = "https://asking.example/cb";
        let before = app.state().await;
        app.browser().get(&silent("tides", &[])).await.assert_refused(&app, CB, "login_required");
        browser.get(&silent("asking", &[])).await.assert_refused(&app, asking, "consent_required");
        for both in ["none login", "none consent", "login none", "none select_account", "none none login"] {
            let answer = browser.get(&authorize(&changed("tides", &[("prompt", Some(both))]))).await;
            answer.assert_refused(&app, CB, "invalid_request");
        }
        for unknown in ["create", "NONE", "none,login"] {
            let answer = browser.get(&authorize(&changed("tides", &[("prompt", Some(unknown))]))).await;
            answer.assert_refused(&app, CB, "invalid_request");
        }
        assert_eq!(app.state().await, before);
        let mine = app.redeem("tides", &browser.get(&silent("tides", &[])).await.code(&app, CB)).await.tokens();
        let other = app.signed_in(EVE).await;
        other.get(&silent("tides", &[("id_token_hint", Some(&mine.id))])).await.assert_refused(&app, CB, "login_required");
        let again = browser.get(&silent("tides", &[("id_token_hint", Some(&mine.id))])).await;
        let again = id_claims(&app, "tides", &again).await;
        let first = claims(&mine.id);
        assert_eq!((&again["sub"], &again["auth_time"], &again["sid"]), (&first["sub"], &first["auth_time"], &first["sid"]));
        app.wait(Duration::from_secs(2));
        let old = browser.get(&silent("tides", &[("max_age", Some("1"))])).await;
        old.assert_refused(&app, CB, "login_required");
    }

    async fn az_16_a_flow_with_pages_ends_with_the_sign_in_that_was_asked_for(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let first = id_claims(&app, "tides", &browser.get(&authorize(&request("tides"))).await).await;
        let newer = |token: &Value| token["auth_time"].as_i64().unwrap() > first["auth_time"].as_i64().unwrap();
        for change in [("prompt", "login"), ("prompt", "select_account"), ("max_age", "1"), ("max_age", "0")] {
            app.wait(Duration::from_secs(2));
            let login = browser.open(&authorize(&changed("tides", &[(change.0, Some(change.1))]))).await;
            assert!(is_login(&login), "{change:?} {}", login.text());
            let reload = browser.get(&login.url).await;
            assert!(is_login(&reload), "{change:?}: reloading the page was enough");
            let back = browser.sign_in(&login, ADA, PASSWORD).await;
            let token = id_claims(&app, "tides", &back).await;
            assert!(newer(&token), "{change:?} {token}");
            assert_eq!(token["sub"], first["sub"]);
        }
        let session = id_claims(&app, "tides", &browser.get(&authorize(&request("tides"))).await).await;
        app.wait(Duration::from_secs(60));
        let young = browser.get(&authorize(&changed("tides", &[("max_age", Some("10000"))]))).await;
        assert_eq!(id_claims(&app, "tides", &young).await["auth_time"], session["auth_time"]);
    }

    async fn az_16_prompt_consent_asks_again_and_no_means_no(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&confidential("asking")).await;
        let uri = "https://asking.example/cb";
        let first = browser.open(&authorize(&request("asking"))).await;
        assert!(is_consent(&first), "{}", first.text());
        let denied = browser.submit(&first, "/consent", &[("decision", "deny")]).await;
        denied.assert_refused(&app, uri, "access_denied");
        let subject = app.texts("SELECT id FROM users").await.remove(0);
        let audit = |event: AuditEvent| {
            let (store, subject) = (app.store().clone(), subject.clone());
            async move { store.read((event, subject), |db, (event, subject)| Box::pin(db.audit_count(*event, Some(subject)))).await.unwrap() }
        };
        assert_eq!(audit(AuditEvent::ConsentDenied).await, 1);
        assert_eq!(app.count("consents", "1 = 1").await, 0);
        assert_eq!(browser.get(&first.url).await.answer_to_client(), denied.answer_to_client());
        let again = browser.open(&authorize(&request("asking"))).await;
        browser.submit(&again, "/consent", &[("decision", "allow")]).await.code(&app, uri);
        assert_eq!(audit(AuditEvent::ConsentGiven).await, 1);
        browser.get(&silent("asking", &[])).await.code(&app, uri);
        browser.get(&silent("asking", &[("scope", Some("openid offline_access"))])).await.assert_refused(&app, uri, "consent_required");
        let asked = browser.open(&authorize(&changed("asking", &[("prompt", Some("consent"))]))).await;
        assert!(is_consent(&asked), "{}", asked.text());
        browser.submit(&asked, "/consent", &[("decision", "allow")]).await.code(&app, uri);
    }

    async fn az_16_an_answer_counts_only_for_the_flow_it_was_given_in(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&confidential("asking")).await;
        let uri = "https://asking.example/cb";
        let all = Some("openid profile email offline_access");
        let ask = |prompt, scope| authorize(&changed("asking", &[("prompt", prompt), ("scope", scope)]));
        // Two tabs: a yes in the first does not override a no in the second.
        let second = browser.open(&ask(None, Some("openid"))).await;
        let first = browser.open(&ask(None, Some("openid"))).await;
        browser.submit(&first, "/consent", &[("decision", "allow")]).await.code(&app, uri);
        let denied = browser.submit(&second, "/consent", &[("decision", "deny")]).await;
        denied.assert_refused(&app, uri, "access_denied");
        // `prompt=consent`: a yes to less in another tab is no answer, nor is a reload.
        let wide = browser.open(&ask(Some("consent"), all)).await;
        browser.submit(&wide, "/consent", &[("decision", "allow")]).await.code(&app, uri);
        let wide = browser.open(&ask(Some("consent"), all)).await;
        let narrow = browser.open(&ask(Some("consent"), Some("openid"))).await;
        browser.submit(&narrow, "/consent", &[("decision", "allow")]).await.code(&app, uri);
        assert!(is_consent(&browser.open(&wide.url).await));
        let denied = browser.submit(&wide, "/consent", &[("decision", "deny")]).await;
        denied.assert_refused(&app, uri, "access_denied");
        // The same page sent twice: the client already has its answer, whatever the second click says.
        let page = browser.open(&ask(Some("consent"), all)).await;
        let code = browser.submit(&page, "/consent", &[("decision", "allow")]).await.code(&app, uri);
        for decision in ["deny", "allow"] {
            let again = browser.submit(&page, "/consent", &[("decision", decision)]).await;
            assert_eq!(again.code(&app, uri), code, "{decision}");
        }
        app.redeem("asking", &code).await.tokens();
        for decision in ["deny", "allow"] {
            assert_done(&browser.submit(&page, "/consent", &[("decision", decision)]).await, "Tide Tables", None);
        }
    }

    async fn max_age_also_holds_for_a_person_who_lingers_on_a_page(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&confidential("asking")).await;
        app.wait(Duration::from_secs(60));
        let fresh = authorize(&changed("asking", &[("max_age", Some("5"))]));
        let login = browser.open(&fresh).await;
        assert!(is_login(&login), "{}", login.text());
        let consent = browser.sign_in(&login, ADA, PASSWORD).await;
        app.wait(Duration::from_secs(10 * 60));
        let late = browser.submit(&consent, "/consent", &[("decision", "allow")]).await;
        let login = browser.follow(late).await;
        assert!(is_login(&login), "{}", login.text());
        let consent = browser.sign_in(&login, ADA, PASSWORD).await;
        assert!(is_consent(&consent), "{}", consent.text());
        browser.submit(&consent, "/consent", &[("decision", "allow")]).await.code(&app, "https://asking.example/cb");
    }

    async fn az_20_a_token_is_never_for_anybody_but_the_person_asked_for(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&trusted("other")).await;
        let eve = app.user(EVE).await;
        let hers = app.signed_in(EVE).await;
        let hint = app.redeem("tides", &hers.get(&silent("tides", &[])).await.code(&app, CB)).await.tokens().id;
        let wanted = [
            ("id_token_hint", hint.clone()),
            ("claims", format!(r#"{{"id_token":{{"sub":{{"value":"{}"}}}}}}"#, eve.id)),
            ("claims", format!(r#"{{"userinfo":{{"sub":{{"value":"{}"}}}}}}"#, eve.id)),
            ("claims", r#"{"id_token":{"sub":{"value":"nobody"}}}"#.to_owned()),
            ("claims", r#"{"id_token":{"sub":{"values":["nobody","somebody"]}}}"#.to_owned()),
        ];
        for (name, value) in &wanted {
            browser.get(&silent("tides", &[(name, Some(value))])).await.assert_refused(&app, CB, "login_required");
            let login = browser.open(&authorize(&changed("tides", &[(name, Some(value))]))).await;
            assert!(is_login(&login), "{name} {:?}", login.location());
            let wrong = browser.sign_in(&login, ADA, PASSWORD).await;
            assert!(is_login(&wrong), "{name}: Ada got through as somebody else: {:?}", wrong.location());
        }
        let (name, value) = &wanted[1];
        let login = browser.open(&authorize(&changed("tides", &[(name, Some(value))]))).await;
        let right = browser.sign_in(&login, EVE, PASSWORD).await;
        assert_eq!(id_claims(&app, "tides", &right).await["sub"], eve.id.to_string());
        let two = [("id_token_hint", Some(hint.as_str())), ("claims", Some(r#"{"id_token":{"sub":{"value":"x"}}}"#))];
        hers.get(&silent("tides", &two)).await.assert_refused(&app, CB, "login_required");
        let foreign = hers.get(&silent("other", &[("id_token_hint", Some(&hint))])).await;
        foreign.assert_refused(&app, "https://other.example/cb", "login_required");
    }

    async fn jw_01_jw_02_jw_04_jw_05_jw_07_jw_10_a_forged_hint_names_nobody(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let tokens = app.redeem("tides", &browser.get(&silent("tides", &[])).await.code(&app, CB)).await.tokens();
        let good = claims(&tokens.id);
        let own = Signer::stolen(&app, idp_core::client::SigningAlg::Es256).await;
        let head = serde_json::json!({ "alg": "ES256", "kid": own.kid, "typ": "JWT" });
        let mut all = forgeries(&app, "JWT", &good).await;
        for (name, value) in [
            ("iss", Value::from(format!("{}/", app.issuer))), ("iss", app.issuer.to_uppercase().into()),
            ("aud", serde_json::json!(["other"])), ("aud", "other".into()), ("aud", Value::Null),
            ("azp", "other".into()), ("sub", "ada".into()), ("sub", 7.into()),
        ] {
            let mut claims = good.clone();
            claims[name] = value.clone();
            all.push((format!("{name}={value}"), own.sign(&head, &claims)));
        }
        all.push(("an access token".to_owned(), tokens.access.clone()));
        let trap = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lure = format!("http://{}/", trap.local_addr().unwrap());
        for name in ["jku", "x5u"] {
            let header = serde_json::json!({ "alg": "ES256", "kid": "evil", "typ": "JWT", name: lure });
            all.push((name.to_owned(), Signer::foreign().sign(&header, &good)));
        }
        let before = app.state().await;
        for (what, token) in &all {
            let answer = browser.get(&silent("tides", &[("id_token_hint", Some(token))])).await;
            if answer.status == 414 {
                continue;
            }
            assert_eq!(answer.redirect_param("error").as_deref(), Some("login_required"), "{what} {}", answer.body);
        }
        assert_eq!(app.state().await, before);
        assert!(trap.accept().now_or_never().is_none(), "the server fetched a URL");
        let right = own.sign(&head, &good);
        browser.get(&silent("tides", &[("id_token_hint", Some(&right))])).await.code(&app, CB);
    }

    async fn az_28_a_consent_that_the_person_did_not_send_grants_nothing(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&confidential("asking")).await;
        app.user(EVE).await;
        let page = browser.open(&authorize(&request("asking"))).await;
        let form = page.form("/consent");
        let token = form.hidden.iter().find(|(name, _)| name == "csrf").unwrap().1.clone();
        let eves = app.signed_in(EVE).await;
        let her_page = eves.open(&authorize(&request("asking"))).await;
        let her_token = her_page.form("/consent").hidden.into_iter().find(|(name, _)| name == "csrf").unwrap().1;
        let fresh = app.browser();
        let login = fresh.open("/signin").await;
        let strangers = login.form("/login").hidden.into_iter().find(|(name, _)| name == "csrf").unwrap().1;
        let before = app.state().await;
        let post = reqwest::Method::POST;
        let (good, own) = (token.as_str(), app.issuer.as_str());
        let evil_own = format!("{own}.evil.tld");
        for (csrf, headers) in [
            (Some(good), vec![("origin", "https://evil.tld")]),
            (Some(&her_token), vec![("origin", "null")]),
            (None, vec![("origin", "null")]),
            (Some(good), vec![("origin", "null"), ("sec-fetch-site", "same-site")]),
            (Some(good), vec![("origin", "null"), ("sec-fetch-site", "cross-site")]),
            (Some(good), vec![("origin", evil_own.as_str())]),
            (Some(good), vec![("origin", "https://asking.example")]),
            (Some(good), vec![("sec-fetch-site", "cross-site")]),
            (Some(good), vec![("sec-fetch-site", "same-site")]),
            (None, vec![("origin", own), ("sec-fetch-site", "same-origin")]),
            (Some(""), vec![]),
            (Some(&good[1..]), vec![]),
            (Some(&her_token), vec![]),
            (Some(&strangers), vec![]),
        ] {
            let fields: Vec<(&str, &str)> = csrf.map(|csrf| ("csrf", csrf)).into_iter().chain([("decision", "allow")]).collect();
            let answer = browser.send(post.clone(), &form.action, Some(&fields), &headers).await;
            answer.assert_error_page(403, "csrf-failed");
        }
        let twice = [("csrf", good), ("csrf", good), ("decision", "allow")];
        browser.post(&form.action, &twice).await.assert_error_page(403, "csrf-failed");
        let foreign = eves.post(&form.action, &[("csrf", &her_token), ("decision", "allow")]).await;
        foreign.assert_error_page(403, "flow-foreign");
        let read = browser.get(&format!("{}?csrf={token}&decision=allow", form.action)).await;
        assert_eq!(read.location(), Some(page.url.replace(&app.issuer, "")), "an answer is never read from a link");
        assert_eq!(app.state().await, before);
        browser.submit(&page, "/consent", &[("decision", "allow")]).await.code(&app, "https://asking.example/cb");
    }

    async fn az_31_a_deceptive_client_name_is_shown_harmlessly(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&confidential("asking")).await;
        for name in [
            "Ti\u{202E}selbaT ediT", "Tide\u{200B}\u{FEFF}\u{2066}Tables", "<img src=https://evil.tld/x.png onerror=alert(1)>",
            "\"><script>alert(1)</script>", &"Tide ".repeat(2_000),
        ] {
            app.sql(&format!("UPDATE clients SET name = '{name}' WHERE id = 'asking'")).await;
            let page = browser.open(&authorize(&request("asking"))).await;
            assert!(is_consent(&page), "{}", page.text());
            for misleading in ['\u{202E}', '\u{200B}', '\u{FEFF}', '\u{2066}'] {
                assert!(!page.body.contains(misleading), "{name}");
            }
            assert!(!page.body.contains("<script>alert") && !page.body.contains("<img src=https"), "{name}");
            assert!(page.body.len() < 12_000, "{}", page.body.len());
            for image in page.body.split("src=\"").skip(1) {
                assert!(image.starts_with("/static/"), "{}", &image[..60]);
            }
            let text = page.text().replace(['\u{2068}', '\u{2069}'], "");
            let warning = "Unverified app: Lighthouse has not checked who runs it. Allow only if you know asking.example.";
            assert!(text.contains(warning), "{text}");
            let (warned, buttons) = (page.body.find("consent-unverified"), page.body.find("consent-allow"));
            assert!(warned < buttons && text.contains("return to <strong id=\"consent-host\"><bdi>asking.example<"), "{text}");
            assert!(page.header("content-security-policy").ends_with("form-action 'self'"), "{:?}", page.headers);
        }
        let login = app.browser().open(&authorize(&request("asking"))).await;
        assert!(is_login(&login) && login.text().contains("asking.example"));
    }

    async fn a_flow_belongs_to_the_browser_that_began_it(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&confidential("asking")).await;
        let page = browser.open(&authorize(&request("asking"))).await;
        let stranger: &Browser = &app.browser();
        let answer = stranger.get(&page.url).await;
        answer.assert_error_page(403, "flow-foreign");
        for id in ["x", "00000000-0000-7000-8000-000000000000", "%27--"] {
            browser.get(&format!("/flow/{id}")).await.assert_page("flow-expired");
        }
        app.wait(Duration::from_secs(60 * 60));
        browser.get(&page.url).await.assert_page("flow-expired-app");
    }
}
