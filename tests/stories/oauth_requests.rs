//! The authorization endpoint: requests from a known client that must be refused by redirect, or must pass.

use futures_util::FutureExt;
use idp_core::client::{Client, ConsentPolicy, PkcePolicy};
use tokio::net::TcpListener;

use crate::oauth_authorize::{ADA, CB, ready, trusted};
use crate::support::browser::Browser;
use crate::support::client::{authorize, challenge, changed, request};
use crate::support::raw::{FORM, Raw};
use crate::support::{Engine, TestApp, on_both_engines, public};

type Change<'a> = (&'a str, Option<&'a str>);

/// Sends `tides`' request with one parameter changed, as GET and as POST: both are refused alike and change nothing.
async fn assert_refused(app: &TestApp, browser: &Browser, change: Change<'_>, error: &str) {
    let before = app.state().await;
    let pairs = changed("tides", &[change]);
    let state = if change.0 == "state" { change.1 } else { Some(crate::support::client::STATE) };
    browser.get(&authorize(&pairs)).await.assert_refused_with(app, CB, error, state);
    let fields: Vec<(&str, &str)> =
        pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let posted = browser.post("/authorize", &fields).await;
    browser.follow(posted).await.assert_refused_with(app, CB, error, state);
    assert_eq!(app.state().await, before, "{change:?}");
}

on_both_engines! {
    async fn az_10_only_the_code_response_type_is_accepted(engine: Engine) {
        let (app, browser) = ready(engine).await;
        for value in [
            Some("token"), Some("id_token token"), Some("id_token"), Some("code token"), Some("code id_token"),
            Some("code id_token token"), Some("none"), Some("CODE"), Some("code code"), Some("unknown"),
        ] {
            assert_refused(&app, &browser, ("response_type", value), "unsupported_response_type").await;
        }
        for missing in [Some(""), None] {
            assert_refused(&app, &browser, ("response_type", missing), "invalid_request").await;
        }
        browser.get(&authorize(&request("tides"))).await.code(&app, CB);
    }

    async fn az_11_pkce_is_s256_or_nothing_and_public_clients_always_need_it(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&Client { consent: ConsentPolicy::Skip, pkce: PkcePolicy::Optional, ..public("spa") }).await;
        app.register(&Client { pkce: PkcePolicy::Always, ..trusted("always") }).await;
        app.register(&Client { pkce: PkcePolicy::Optional, ..trusted("optional") }).await;
        let (challenge, method) = ("code_challenge", "code_challenge_method");
        let none: &[Change<'_>] = &[(challenge, None), (method, None)];
        let plain: &[Change<'_>] = &[(method, Some("plain"))];
        let omitted: &[Change<'_>] = &[(method, None)];
        let method_alone: &[Change<'_>] = &[(challenge, None)];
        let short: &[Change<'_>] = &[(challenge, Some("abc"))];
        let empty: &[Change<'_>] = &[(challenge, Some("")), (method, Some(""))];
        let neither: &[Change<'_>] = &[(challenge, None), (method, None), ("nonce", None)];
        let oauth: &[Change<'_>] = &[(challenge, None), (method, None), ("scope", Some("profile"))];
        let good = |id: &str| matches!(id, "tides" | "optional");
        let before = app.state().await;
        for id in ["spa", "always", "tides", "optional"] {
            let uri = format!("https://{id}.example/cb");
            for changes in [plain, omitted, method_alone, short] {
                browser.get(&authorize(&changed(id, changes))).await.assert_refused(&app, &uri, "invalid_request");
            }
            for (changes, passes) in [(none, good(id)), (empty, false), (neither, id == "optional"), (oauth, id == "optional")] {
                if !passes {
                    let answer = browser.get(&authorize(&changed(id, changes))).await;
                    answer.assert_refused(&app, &uri, "invalid_request");
                }
            }
        }
        assert_eq!(app.state().await, before);
        for (id, changes) in [("tides", none), ("optional", none), ("optional", neither), ("optional", oauth)] {
            let answer = browser.get(&authorize(&changed(id, changes))).await;
            answer.code(&app, &format!("https://{id}.example/cb"));
        }
    }

    async fn az_13_an_unsupported_response_mode_is_refused_in_the_query(engine: Engine) {
        let (app, browser) = ready(engine).await;
        for mode in ["fragment", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt", "web_message", "Query", "x"] {
            assert_refused(&app, &browser, ("response_mode", Some(mode)), "invalid_request").await;
        }
        browser.get(&authorize(&changed("tides", &[("response_mode", Some("query"))]))).await.code(&app, CB);
    }

    async fn az_19_oversized_and_deeply_nested_parameters_are_refused_before_they_cost_anything(engine: Engine) {
        let (app, browser) = ready(engine).await;
        for age in ["-1", "1e3", "9223372036854775808", "4294967296", "soon", "+1", " 1", "0x10", "1.5", "١"] {
            assert_refused(&app, &browser, ("max_age", Some(age)), "invalid_request").await;
        }
        let deep = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let arrays = "[".repeat(1500);
        for claims in [&deep(200), &arrays, "not json", "7", "{\"id_token\":7}", "{\"id_token\":{\"sub\":{\"value\":7}}}"] {
            assert_refused(&app, &browser, ("claims", Some(claims)), "invalid_request").await;
        }
        for scope in ["openid\temail", "openid\"", "öpenid", "openid\\"] {
            assert_refused(&app, &browser, ("scope", Some(scope)), "invalid_scope").await;
        }
        // However many parameters are not ours, they are ignored.
        let wide: Vec<(String, String)> = (0..100).map(|n| (format!("p{n}"), String::new())).collect();
        browser.get(&authorize(&[request("tides"), wide].concat())).await.code(&app, CB);
        let before = app.state().await;
        let many_scopes = format!("openid {}", "s ".repeat(10_000).trim_end());
        let (deepest, long) = (deep(3_500), "x".repeat(50_000));
        for change in [("scope", Some(many_scopes.as_str())), ("claims", Some(&deepest)), ("nonce", Some(&long))] {
            let refused = browser.get(&authorize(&changed("tides", &[change]))).await;
            assert!(refused.status.is_client_error(), "{} {}", change.0, refused.status);
            assert_eq!(refused.location(), None);
        }
        let repeated = vec![("state".to_owned(), String::new()); 100];
        browser.get(&authorize(&[request("tides"), repeated].concat())).await.assert_page("bad-request");
        let longest = format!("/authorize?nonce={}", "x".repeat(64 * 1024));
        assert!(Raw::get(&longest).send(&app).await.status.is_client_error());
        assert_eq!(Raw::post("/authorize").announced(FORM, 5 << 20).send(&app).await.status, 413);
        assert_eq!(app.state().await, before);
    }

    async fn az_22_a_request_object_by_reference_is_never_fetched(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let trapped = format!("http://{}/", trap.local_addr().unwrap());
        let own = format!("{}/jwks", app.issuer);
        for target in [
            "http://169.254.169.254/latest/meta-data/", &trapped, &own, "file:///etc/passwd",
            "https://unregistered.example/request.jwt", "urn:ietf:params:oauth:request_uri:guessed", "",
        ] {
            assert_refused(&app, &browser, ("request_uri", Some(target)), "request_uri_not_supported").await;
        }
        for (name, value, error) in [
            ("request", "eyJhbGciOiJub25lIn0.e30.", "request_not_supported"),
            ("registration", "{\"jwks_uri\":\"http://169.254.169.254/\"}", "registration_not_supported"),
        ] {
            assert_refused(&app, &browser, (name, Some(value)), error).await;
        }
        assert!(trap.accept().now_or_never().is_none(), "the server fetched a URL");
    }

    async fn az_33_a_resource_parameter_is_refused(engine: Engine) {
        let (app, browser) = ready(engine).await;
        for resource in ["https://api.example", &app.issuer, "urn:x", ""] {
            assert_refused(&app, &browser, ("resource", Some(resource)), "invalid_target").await;
        }
        let code = app.code(&browser, &changed("tides", &[("scope", Some("openid offline_access"))])).await;
        let fields = crate::support::client::redemption("tides", &code);
        let mut fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fields.push(("resource", "https://api.example"));
        let before = app.state().await;
        app.token("tides", &fields).await.assert_token_error(400, "invalid_target");
        assert_eq!(app.state().await, before);
        let tokens = app.redeem("tides", &code).await.tokens();
        let refresh = [("grant_type", "refresh_token"), ("refresh_token", &tokens.refresh), ("resource", "https://api.example")];
        app.token("tides", &refresh).await.assert_token_error(400, "invalid_target");
        assert_eq!(crate::oauth_jwt::claims(&tokens.access)["aud"], app.issuer.as_str());
        app.refresh("tides", &tokens.refresh).await.tokens();
    }

    async fn a_repeated_parameter_is_refused(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let before = app.state().await;
        for (name, value) in [
            ("response_type", "code"), ("scope", "openid"), ("nonce", "n"), ("code_challenge", &challenge()),
            ("code_challenge_method", "S256"),
        ] {
            let twice = [request("tides"), vec![(name.to_owned(), value.to_owned())]].concat();
            browser.get(&authorize(&twice)).await.assert_refused(&app, CB, "invalid_request");
        }
        for (name, value) in [("prompt", "none"), ("max_age", "5"), ("login_hint", "x"), ("id_token_hint", "x"), ("claims", "{}")] {
            let pair = (name.to_owned(), value.to_owned());
            let twice = [request("tides"), vec![pair.clone(), pair]].concat();
            browser.get(&authorize(&twice)).await.assert_refused(&app, CB, "invalid_request");
        }
        let states = [request("tides"), vec![("state".to_owned(), "other".to_owned())]].concat();
        browser.get(&authorize(&states)).await.assert_refused_with(&app, CB, "invalid_request", None);
        assert_eq!(app.state().await, before);
    }

    async fn optional_parameters_never_make_a_request_fail(engine: Engine) {
        let (app, browser) = ready(engine).await;
        for (name, value) in [
            ("extra", "foobar"), ("display", "page"), ("display", "popup"), ("ui_locales", "se"),
            ("claims_locales", "se"), ("acr_values", "1 2"), ("login_hint", "buffy@id.example"),
            ("claims", r#"{"userinfo":{"name":{"essential":true}}}"#), ("prompt", ""), ("nonce", ""),
            ("scope", "email openid address phone unknown:scope"),
        ] {
            let answer = browser.get(&authorize(&changed("tides", &[(name, Some(value))]))).await;
            answer.code(&app, CB);
        }
        let mut reversed = changed("tides", &[("scope", Some("email profile openid"))]);
        reversed.reverse();
        let code = browser.get(&authorize(&reversed)).await.code(&app, CB);
        assert_eq!(app.redeem("tides", &code).await.tokens().scope, "email openid profile");
    }

    async fn a_post_request_from_another_site_completes_in_a_fresh_browser(engine: Engine) {
        let (app, _) = ready(engine).await;
        let browser = app.browser();
        let pairs = request("tides");
        let fields: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let foreign = [("origin", "https://tides.example"), ("sec-fetch-site", "cross-site")];
        let posted = browser.send(reqwest::Method::POST, "/authorize", Some(&fields), &foreign).await;
        assert_eq!(posted.status, 303);
        let login = browser.follow(posted).await;
        let back = browser.sign_in(&login, ADA, crate::support::PASSWORD).await;
        app.redeem("tides", &back.code(&app, CB)).await.tokens();
    }

    async fn codes_and_tokens_have_256_random_bits(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let pairs = changed("tides", &[("scope", Some("openid offline_access"))]);
        for _ in 0..3 {
            let code = app.code(&browser, &pairs).await;
            let tokens = app.redeem("tides", &code).await.tokens();
            for secret in [&code, &tokens.refresh, &tokens.access] {
                assert!(secret.len() >= 46, "{}", secret.len());
                assert!(entropy(secret) * secret.len() as f64 > 160.0, "{}", entropy(secret));
                let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
                assert!(secret.chars().all(unreserved), "{secret}");
            }
            let stored = app.whole_state().await;
            for (table, rows) in &stored {
                for secret in [&code, &tokens.refresh, &tokens.access, &tokens.id] {
                    assert!(!rows.iter().any(|row| row.contains(secret.as_str())), "{table} holds a secret");
                }
            }
        }
    }

    async fn fault_13_a_missing_parameter_is_said_to_be_missing(engine: Engine) {
        let (app, browser) = ready(engine).await;
        for (name, code) in [("scope", "invalid_scope"), ("response_type", "invalid_request")] {
            for missing in [None, Some("")] {
                let answer = browser.get(&authorize(&changed("tides", &[(name, missing)]))).await;
                answer.assert_refused(&app, CB, code);
                let told = answer.redirect_param("error_description").unwrap();
                assert!(told.starts_with(&format!("{name} is missing")), "{told}");
            }
        }
        let other = browser.get(&authorize(&changed("tides", &[("scope", Some("unknown"))]))).await;
        assert!(!other.redirect_param("error_description").unwrap().contains("missing"));
    }

    async fn a_head_request_never_issues_anything(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let before = app.state().await;
        let head = browser.send(reqwest::Method::HEAD, &authorize(&request("tides")), None, &[]).await;
        assert_eq!((head.status.as_u16(), head.location()), (405, None));
        assert_eq!(app.state().await, before);
    }
}

/// Shannon entropy of a text, in bits per character, as the certification suite measures it.
fn entropy(text: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::new();
    for sign in text.chars() {
        *counts.entry(sign).or_insert(0.0_f64) += 1.0;
    }
    let total = text.chars().count() as f64;
    counts.values().map(|count| -(count / total) * (count / total).log2()).sum()
}
