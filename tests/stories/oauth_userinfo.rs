//! Userinfo: which tokens it accepts, where in the request they may be, and what it returns.

use std::time::Duration;

use futures_util::FutureExt;
use idp_core::client::{Client, SigningAlg};
use idp_core::user::UserState;
use reqwest::Method;
use serde_json::{Value, json};

use crate::oauth_authorize::{ADA, ready, trusted};
use crate::oauth_jwt::{Signer, claims, forgeries, header};
use crate::oauth_token::offline_code;
use crate::support::client::changed;
use crate::support::{Engine, is_logged, on_both_engines};

on_both_engines! {
    async fn ui_01_a_missing_expired_revoked_or_wrong_token_is_refused(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let other = app.second_node().await;
        let missing = browser.get("/userinfo").await;
        assert_eq!(missing.status, 401);
        assert_eq!(missing.header("www-authenticate"), "Bearer realm=\"userinfo\"");
        let code = app.code(&browser, &changed("tides", &[("scope", Some("profile email"))])).await;
        let oauth = app.redeem("tides", &code).await.tokens();
        assert!(oauth.id.is_empty());
        let refused = app.userinfo(&oauth.access).await;
        assert_eq!((refused.status.as_u16(), refused.json()["error"].as_str()), (403, Some("insufficient_scope")));
        assert!(refused.header("www-authenticate").contains("scope=\"openid\""));
        for wrong in ["", "x", "Basic eDp5", "Bearer", "Bearer ", "Bearer  ", "Token x"] {
            let answer = browser.send(Method::GET, "/userinfo", None, &[("authorization", wrong)]).await;
            assert_eq!(answer.status, 401, "{wrong:?}");
        }
        let tokens = app.redeem("tides", &offline_code(&app, &browser).await).await.tokens();
        other.userinfo(&tokens.id).await.assert_invalid_token();
        other.userinfo(&tokens.refresh).await.assert_invalid_token();
        assert_eq!(other.userinfo(&tokens.access).await.status, 200);
        app.wait(Duration::from_secs(601));
        other.userinfo(&tokens.access).await.assert_invalid_token();
        let newer = app.refresh("tides", &tokens.refresh).await.tokens();
        assert_eq!(other.userinfo(&newer.access).await.status, 200);
        app.sql("UPDATE grants SET revoked_at = 1").await;
        other.userinfo(&newer.access).await.assert_invalid_token();
    }

    async fn ui_01_the_token_of_a_deactivated_or_deleted_person_is_refused(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let other = app.second_node().await;
        let tokens = app.redeem("tides", &offline_code(&app, &browser).await).await.tokens();
        let user = app.texts("SELECT id FROM users").await.remove(0).parse().unwrap();
        app.set_state(user, UserState::Deactivated).await;
        other.userinfo(&tokens.access).await.assert_invalid_token();
        app.sql("DELETE FROM users").await;
        other.userinfo(&tokens.access).await.assert_invalid_token();
        app.userinfo(&tokens.access).await.assert_invalid_token();
    }

    async fn fault_13_a_request_without_a_token_is_told_what_to_send(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let token = app.redeem("tides", &offline_code(&app, &browser).await).await.tokens().access;
        let absent = browser.get("/userinfo").await;
        for wrong in ["", "x", "Basic eDp5", "Digest x", "Bearer", "Bearer ", "Bearer  ", "bearer", "Token x", "Bearerx y", &token] {
            for (method, fields) in [(Method::GET, None), (Method::POST, None), (Method::POST, Some(&[("access_token", "")][..]))] {
                let answer = browser.send(method, "/userinfo", fields, &[("authorization", wrong)]).await;
                assert_eq!((answer.status, &answer.body), (absent.status, &absent.body), "{wrong:?}");
                assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"userinfo\"", "{wrong:?}");
                let told = answer.json()["error_description"].as_str().unwrap().to_owned();
                assert!(told.contains("Authorization: Bearer") && !told.contains("expired"), "{told}");
            }
        }
        // A token that was sent and is not ours.
        for wrong in ["Bearer x", "Bearer x y", "BEARER x"] {
            browser.send(Method::GET, "/userinfo", None, &[("authorization", wrong)]).await.assert_invalid_token();
        }
        crate::support::raw::Raw::get("/userinfo").header("Authorization", b"Bearer \xff").send(&app).await.assert_invalid_token();
        // Another scheme carries no token, so the one in the form is the only one.
        let field = [("access_token", token.as_str())];
        let answer = browser.send(Method::POST, "/userinfo", Some(&field), &[("authorization", "Basic eDp5")]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        // A token in the query is one, whatever else is there.
        let plain = browser.get("/userinfo?access_token=x").await;
        plain.assert_token_error(400, "invalid_request");
        assert!(plain.json()["error_description"].as_str().unwrap().contains("query"), "{}", plain.body);
        for query in ["access_token=x&u=%FF", "%FF=1&access_token=x", "access_token=%FF", "access_token", &format!("{}access_token=x", "a=1&".repeat(100))] {
            let answer = browser.get(&format!("/userinfo?{query}")).await;
            assert_eq!((answer.status, &answer.body), (plain.status, &plain.body), "{query}");
        }
    }

    async fn ui_02_a_token_in_the_query_or_in_two_places_is_refused_and_not_logged(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let token = app.redeem("tides", &offline_code(&app, &browser).await).await.tokens().access;
        let bearer = format!("Bearer {token}");
        let (auth, field) = (("authorization", bearer.as_str()), ("access_token", token.as_str()));
        let query = format!("/userinfo?access_token={token}");
        let refused = [
            browser.get(&query).await,
            browser.send(Method::GET, &query, None, &[auth]).await,
            browser.send(Method::POST, &query, Some(&[field]), &[]).await,
            browser.send(Method::POST, "/userinfo", Some(&[field]), &[auth]).await,
            browser.send(Method::POST, "/userinfo", Some(&[field, field]), &[]).await,
            browser.send(Method::GET, "/userinfo", None, &[auth, auth]).await,
            browser.send(Method::GET, "/userinfo", None, &[auth, ("authorization", "Basic x")]).await,
            browser.get("/userinfo?access_token=").await,
        ];
        for answer in refused {
            answer.assert_token_error(400, "invalid_request");
            assert!(answer.header("www-authenticate").starts_with("Bearer "));
        }
        for answer in [
            browser.send(Method::GET, "/userinfo", None, &[auth, ("accept", "application/jwt")]).await,
            browser.send(Method::GET, "/userinfo", None, &[("authorization", &format!("bearer {token}"))]).await,
            browser.send(Method::POST, "/userinfo", None, &[auth]).await,
            browser.send(Method::POST, "/userinfo", Some(&[]), &[auth]).await,
            browser.send(Method::POST, "/userinfo", Some(&[field]), &[]).await,
        ] {
            assert_eq!((answer.status.as_u16(), &answer.json()["email"]), (200, &json!(ADA)), "{}", answer.body);
            answer.assert_token_frame();
        }
        assert!(!is_logged(&token), "the token is in the log");
    }

    async fn ui_03_only_granted_claims_are_returned(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let wishes = r##"{"userinfo":{"name":{"essential":true},"email":null,"name#de":null},"id_token":{"email":null,"name":null}}"##;
        for (scope, names) in [
            ("openid", vec!["sub"]),
            ("openid profile", vec!["name", "sub", "updated_at"]),
            ("openid email", vec!["email", "email_verified", "sub"]),
            ("openid address phone admin", vec!["sub"]),
        ] {
            let pairs = changed("tides", &[("scope", Some(scope)), ("claims", Some(wishes)), ("claims_locales", Some("de fr"))]);
            let tokens = app.redeem("tides", &app.code(&browser, &pairs).await).await.tokens();
            let info = app.userinfo(&tokens.access).await.json();
            let mut found: Vec<&String> = info.as_object().unwrap().keys().collect();
            found.sort();
            assert_eq!(found, names, "{scope}");
            assert_eq!(info["sub"], claims(&tokens.id)["sub"]);
            for name in ["name", "email", "email_verified", "updated_at"] {
                assert!(claims(&tokens.id).get(name).is_none() && claims(&tokens.access).get(name).is_none(), "{name}");
            }
        }
        app.register(&Client { scope: idp_core::scope::Scope::of(&["openid"]), ..trusted("narrow") }).await;
        let tokens = app.redeem("narrow", &app.code(&browser, &changed("narrow", &[])).await).await.tokens();
        assert_eq!((tokens.scope.as_str(), app.userinfo(&tokens.access).await.json().as_object().unwrap().len()), ("openid", 1));
    }

    async fn ui_10_no_other_origin_can_read_anything(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let token = app.redeem("tides", &offline_code(&app, &browser).await).await.tokens().access;
        let bearer = format!("Bearer {token}");
        let own = app.issuer.clone();
        for origin in ["https://evil.tld", "null", "https://tides.example.evil.tld", "https://eviltides.example", "https://tides.example", &format!("{own}.evil.tld")] {
            for route in idp_server::route_facts(false) {
                let path = route.path.replace("{id}", "x").replace("{name}", "x");
                for method in [route.method.clone(), Method::OPTIONS] {
                    let headers = [("origin", origin), ("authorization", bearer.as_str()), ("access-control-request-method", "POST")];
                    let answer = browser.send(method, &path, None, &headers).await;
                    for name in ["access-control-allow-origin", "access-control-allow-credentials", "access-control-allow-headers"] {
                        assert_eq!(answer.header(name), "", "{} {path} {origin}", route.method);
                    }
                }
            }
        }
    }

    async fn jw_01_jw_02_jw_04_jw_05_jw_10_a_forged_access_token_is_refused(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let tokens = app.redeem("tides", &offline_code(&app, &browser).await).await.tokens();
        let good = claims(&tokens.access);
        let node = app.first_node();
        let trap = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lure = format!("http://{}/", trap.local_addr().unwrap());
        let evil = Signer::foreign();
        let mut all = forgeries(&app, "at+jwt", &good).await;
        for name in ["jku", "x5u"] {
            let kid = header(&tokens.access)["kid"].clone();
            for kid in [json!("evil"), kid] {
                let header = json!({ "alg": "ES256", "kid": kid, "typ": "at+jwt", name: lure });
                all.push((header.to_string(), evil.sign(&header, &good)));
            }
        }
        let before = app.state().await;
        for (what, token) in &all {
            let answer = node.userinfo(token).await;
            assert_eq!(answer.status, 401, "{what}: {}", answer.body);
            answer.assert_invalid_token();
        }
        for turn in 0..500 {
            let header = json!({ "alg": "ES256", "kid": format!("unknown-{turn}"), "typ": "at+jwt" });
            node.userinfo(&evil.sign(&header, &good)).await.assert_invalid_token();
        }
        assert_eq!(app.state().await, before);
        assert!(trap.accept().now_or_never().is_none(), "the server fetched a URL");
        let long = format!("Bearer {}", "x".repeat(100_000));
        let answer = browser.send(Method::GET, "/userinfo", None, &[("authorization", &long)]).await;
        assert!(answer.status.is_client_error());
        assert_eq!(node.userinfo(&tokens.access).await.status, 200);
    }

    async fn jw_07_jw_08_a_right_signature_does_not_save_wrong_claims(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let tokens = app.redeem("tides", &offline_code(&app, &browser).await).await.tokens();
        let node = app.first_node();
        let good = claims(&tokens.access);
        let now = app.clock.now().seconds();
        for alg in [SigningAlg::Es256, SigningAlg::Rs256] {
            let own = Signer::stolen(&app, alg).await;
            let head = json!({ "alg": alg.as_str(), "kid": own.kid, "typ": "at+jwt" });
            assert_eq!(node.userinfo(&own.sign(&head, &good)).await.status, 200, "the control arm");
            for (name, value) in [
                ("iss", json!(format!("{}/", app.issuer))), ("iss", json!(app.issuer.to_uppercase())), ("iss", json!("https://evil.tld")),
                ("iss", Value::Null), ("aud", json!(["https://api.example"])), ("aud", json!("tides")), ("aud", json!([])),
                ("aud", Value::Null), ("exp", Value::Null), ("exp", json!((now + 60).to_string())), ("exp", json!(now as f64 + 60.5)),
                ("exp", json!(-1)), ("exp", json!(9_223_372_036_854_775_808_u64)), ("exp", json!(now - 1)), ("exp", json!(now)),
                ("iat", Value::Null), ("iat", json!("now")), ("iat", json!(now as f64 + 0.5)), ("iat", json!(-1)),
                ("iat", json!(now + 120)), ("iat", json!(9_223_372_036_854_775_808_u64)), ("nbf", json!(now + 120)),
                ("nbf", json!("now")), ("nbf", json!(now as f64 + 0.5)), ("nbf", json!(-1)), ("nbf", json!(9_223_372_036_854_775_808_u64)),
                ("sub", json!("ada")), ("sub", json!("00000000-0000-7000-8000-000000000000")), ("grant", json!("x")),
                ("grant", json!("00000000-0000-7000-8000-000000000000")), ("scope", json!(["openid"])),
            ] {
                let mut claims = good.clone();
                claims[name] = value.clone();
                let answer = node.userinfo(&own.sign(&head, &claims)).await;
                assert_eq!(answer.status, 401, "{name}={value}: {}", answer.body);
            }
            for name in ["iss", "aud", "exp", "iat", "sub", "grant", "scope"] {
                let mut claims = good.clone();
                claims.as_object_mut().unwrap().remove(name);
                assert_eq!(node.userinfo(&own.sign(&head, &claims)).await.status, 401, "without {name}");
            }
            node.userinfo(&own.sign(&json!({ "alg": alg.as_str(), "kid": own.kid, "typ": "JWT" }), &good)).await.assert_invalid_token();
        }
    }
}
