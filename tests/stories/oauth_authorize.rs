//! The authorization endpoint: which requests it answers with a redirect, and which with a page only.

use idp_core::client::{Client, ConsentPolicy};
use idp_core::redirect_uri::{RedirectMatch, RedirectUri};

use crate::routes_address::leads_nowhere;
use crate::support::browser::Browser;
use crate::support::client::{authorize, changed, request};
use crate::support::{Engine, TestApp, confidential, on_both_engines, public};

pub(crate) const ADA: &str = "ada@example.org";
pub(crate) const CB: &str = "https://tides.example/cb";

/// A server that answers a valid request from `tides` with a code at once: Ada is signed in and consent is skipped.
pub(crate) async fn ready(engine: Engine) -> (TestApp, Browser) {
    let app = TestApp::start(engine).await;
    app.user(ADA).await;
    app.register(&trusted("tides")).await;
    let browser = app.signed_in(ADA).await;
    (app, browser)
}

/// A first-party client: it skips consent.
pub(crate) fn trusted(id: &str) -> Client {
    Client { consent: ConsentPolicy::Skip, ..confidential(id) }
}

fn uri(text: &str) -> RedirectUri {
    RedirectUri::parse(text).unwrap()
}

/// Checks that a request with this redirect URI ends on a page and changes nothing.
async fn assert_foreign(app: &TestApp, browser: &Browser, id: &str, redirect_uri: &str) {
    let before = app.state().await;
    let answer = browser.get(&authorize(&changed(id, &[("redirect_uri", Some(redirect_uri))]))).await;
    answer.assert_page("redirect-uri-mismatch");
    assert!(!answer.body.contains(redirect_uri) || !redirect_uri.contains('<'), "{redirect_uri}");
    assert_eq!(app.state().await, before, "{redirect_uri}");
}

on_both_engines! {
    async fn az_01_az_03_a_redirect_uri_that_differs_in_any_way_from_the_registered_one_gets_a_page(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&Client { redirect_uris: vec![uri("https://foo.example.com/cb")], ..trusted("foo") }).await;
        for other in [
            "https://tides.example/cbx", "https://tides.example/cb/x", "https://tides.example/cb?x=1",
            "https://tides.example/cb?", "https://tides.example/cb/", "https://TIDES.example/cb",
            "HTTPS://tides.example/cb", "https://tides.example/CB", "https://tides.example.evil.tld/cb",
            "https://tides.example:443/cb", "https://tides.example/./cb", "https://tides.example/%63b",
            "http://tides.example/cb", "https://tides.example//cb", "https://evil.tld/cb",
            "https://evil.tld\\@tides.example/cb", "https://tides.example@evil.tld/cb", "//tides.example/cb", "/cb",
            "https://tides.example/cb\"><script>alert(1)</script>", " https://tides.example/cb",
            "https://tides.example/cb\r\nLocation: https://evil.tld",
        ] {
            assert_foreign(&app, &browser, "tides", other).await;
        }
        for other in ["https://fooaexample.com/cb", "https://foo.example.com.cb/", "https://fooXexample.com/cb"] {
            assert_foreign(&app, &browser, "foo", other).await;
        }
        browser.get(&authorize(&request("tides"))).await.code(&app, CB);
    }

    async fn az_04_a_missing_redirect_uri_gets_a_page_and_the_first_one_seen_is_never_learned(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let several = vec![uri("https://several.example/cb"), uri("https://several.example/cb2")];
        app.register(&Client { redirect_uris: several, ..trusted("several") }).await;
        app.register(&Client { redirect_uris: vec![], ..trusted("none") }).await;
        let before = app.state().await;
        for id in ["tides", "several", "none"] {
            for value in [None, Some("")] {
                let answer = browser.get(&authorize(&changed(id, &[("redirect_uri", value)]))).await;
                answer.assert_page("redirect-uri-missing");
            }
        }
        for _ in 0..2 {
            assert_foreign(&app, &browser, "none", "https://none.example/cb").await;
        }
        let twice = [request("tides"), vec![("redirect_uri".to_owned(), CB.to_owned())]].concat();
        browser.get(&authorize(&twice)).await.assert_page("parameter-repeated");
        assert_eq!(app.state().await, before);
    }

    async fn az_06_unknown_disabled_and_malformed_clients_get_the_same_page(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&Client { enabled: false, ..trusted("closed") }).await;
        let before = app.state().await;
        let mut pages = Vec::new();
        for id in ["closed", "nobody", "a b", "a/../b", "tides\u{0}", "'--", "<script>alert(1)</script>", &"x".repeat(4000)] {
            let pairs = changed("tides", &[("client_id", Some(id)), ("redirect_uri", Some(CB))]);
            let answer = browser.get(&authorize(&pairs)).await;
            if id.contains('\u{0}') {
                answer.assert_page("bad-request");
                continue;
            }
            answer.assert_page("client-unknown");
            pages.push((id.to_owned(), masked(&answer.body)));
        }
        let missing = browser.get(&authorize(&changed("tides", &[("client_id", None)]))).await;
        missing.assert_page("client-missing");
        for (id, page) in &pages {
            assert_eq!(page, &pages[0].1, "{id}");
        }
        let twice = [request("tides"), vec![("client_id".to_owned(), "tides".to_owned())]].concat();
        browser.get(&authorize(&twice)).await.assert_page("parameter-repeated");
        assert_eq!(app.state().await, before);
    }

    async fn az_07_az_08_no_dangerous_uri_is_ever_redirected_to(engine: Engine) {
        let (app, browser) = ready(engine).await;
        for bad in [
            "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "\tjavascript:alert(1)",
            "java\nscript:alert(1)", "\u{1}javascript:alert(1)", "data:text/html,<script>alert(1)</script>",
            "DATA:text/html,x", "file:///etc/passwd", "File:///etc/passwd", "blob:https://tides.example/1",
            "https://tides.example/cb#x", "https://tides.example/cb#", "http://tides.example/cb",
            "myapp:/cb", "myapp://cb", "http://localhost.evil.tld/cb",
        ] {
            assert!(RedirectUri::parse(bad).is_err(), "{bad:?} can be registered");
            assert_foreign(&app, &browser, "tides", bad).await;
        }
        let native = Client { redirect_uris: vec![uri("com.example.app:/cb")], ..trusted("native") };
        app.register(&native).await;
        let pairs = changed("native", &[("redirect_uri", Some("com.example.app:/cb"))]);
        browser.get(&authorize(&pairs)).await.code(&app, "com.example.app:/cb");
    }

    async fn az_09_a_loopback_client_may_vary_only_the_port(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let loopback = Client {
            redirect_uris: vec![uri("http://127.0.0.1/cb"), uri("http://[::1]/cb"), uri("https://native.example/cb")],
            redirect_match: RedirectMatch::LoopbackPort,
            consent: ConsentPolicy::Skip,
            ..public("native")
        };
        app.register(&loopback).await;
        for good in [
            "http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb", "http://[::1]:4711/cb",
            "http://[::1]/cb", "https://native.example/cb",
        ] {
            let pairs = changed("native", &[("redirect_uri", Some(good))]);
            browser.get(&authorize(&pairs)).await.code(&app, good);
        }
        for bad in [
            "http://127.0.0.1.evil/cb", "http://127.0.0.1:1.evil/cb", "http://127.0.0.1:1@evil.tld/cb",
            "http://127.0.0.1:1/cb/x", "http://127.0.0.1:1/other", "http://127.0.0.1:1/cb?x=1", "http://127.0.0.1:1",
            "http://localhost:1@evil.tld/cb", "http://localhost:1/cb", "http://127.0.0.2:1/cb", "http://127.1:1/cb",
            "http://[::1]:1/other", "http://[::1].evil:1/cb", "http://127.0.0.1:0/cb", "http://127.0.0.1:65536/cb",
            "http://127.0.0.1:/cb", "https://127.0.0.1:1/cb", "https://native.example:8443/cb",
        ] {
            assert_foreign(&app, &browser, "native", bad).await;
        }
        let fixed = Client { redirect_uris: vec![uri("http://127.0.0.1/cb")], ..trusted("fixed") };
        app.register(&fixed).await;
        assert_foreign(&app, &browser, "fixed", "http://127.0.0.1:4711/cb").await;
    }

    async fn a_registered_loopback_uri_without_a_path_matches_only_itself(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let bare = Client { redirect_uris: vec![uri("http://127.0.0.1:8000")], ..trusted("bare") };
        app.register(&bare).await;
        let pairs = changed("bare", &[("redirect_uri", Some("http://127.0.0.1:8000"))]);
        let answer = browser.get(&authorize(&pairs)).await;
        let code = answer.code(&app, "http://127.0.0.1:8000");
        assert!(answer.location().unwrap().starts_with("http://127.0.0.1:8000?code="), "{:?}", answer.location());
        assert_foreign(&app, &browser, "bare", "http://127.0.0.1:8000/").await;
        let redeem = |uri: &'static str| {
            let fields = vec![
                ("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", uri),
                ("code_verifier", crate::support::client::VERIFIER),
            ];
            let app = &app;
            async move { app.token("bare", &fields).await }
        };
        redeem("http://127.0.0.1:8000").await.tokens();
    }

    async fn the_query_of_a_registered_redirect_uri_is_kept(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let text = "https://query.example/cb?tenant=a%20b&x";
        app.register(&Client { redirect_uris: vec![uri(text)], ..trusted("query") }).await;
        let pairs = changed("query", &[("redirect_uri", Some(text))]);
        let answer = browser.get(&authorize(&pairs)).await;
        answer.code(&app, text);
        assert!(answer.location().unwrap().starts_with(&format!("{text}&code=")));
        let pairs = changed("query", &[("redirect_uri", Some(text)), ("response_type", Some("token"))]);
        browser.get(&authorize(&pairs)).await.assert_refused(&app, text, "unsupported_response_type");
        assert_foreign(&app, &browser, "query", "https://query.example/cb").await;
    }

    async fn az_27_every_answer_names_the_issuer_whatever_host_the_request_claims(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let discovery = browser.get("/.well-known/openid-configuration").await.json();
        assert_eq!(discovery["issuer"], app.issuer.as_str());
        assert_eq!(discovery["authorization_response_iss_parameter_supported"], true);
        let forwarded = [
            ("x-forwarded-host", "evil.tld"), ("x-forwarded-proto", "https"), ("forwarded", "host=evil.tld"),
            ("x-original-host", "evil.tld"),
        ];
        let get = reqwest::Method::GET;
        let good = browser.send(get.clone(), &authorize(&request("tides")), None, &forwarded).await;
        good.code(&app, CB);
        for (changes, error) in [
            (("response_type", Some("token")), "unsupported_response_type"),
            (("prompt", Some("none login")), "invalid_request"),
            (("request_uri", Some("https://x.example/")), "request_uri_not_supported"),
        ] {
            let answer = browser.send(get.clone(), &authorize(&changed("tides", &[changes])), None, &forwarded).await;
            answer.assert_refused(&app, CB, error);
        }
        let silent = authorize(&changed("tides", &[("prompt", Some("none"))]));
        let stranger = app.browser().send(get.clone(), &silent, None, &forwarded).await;
        stranger.assert_refused(&app, CB, "login_required");
        let before = app.state().await;
        for host in ["evil.tld", "127.0.0.1", "evil.tld:443", &app.issuer.replace("http://127.0.0.1", "localhost")] {
            let answer = browser.send(get.clone(), &authorize(&request("tides")), None, &[("host", host)]).await;
            answer.assert_error_page(421, "misdirected");
            assert!(leads_nowhere(&answer, "evil.tld"), "{}", answer.body);
        }
        assert_eq!(app.state().await, before);
    }

    async fn a_state_of_1000_and_a_nonce_of_384_characters_come_back_unchanged(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let state: String = "a+ %&=\"'<>ä€\u{1F511}~".chars().cycle().take(1000).collect();
        let nonce: String = "n-_.~+/= %ü".chars().cycle().take(384).collect();
        let pairs = changed("tides", &[("state", Some(&state)), ("nonce", Some(&nonce))]);
        let answer = browser.get(&authorize(&pairs)).await;
        assert_eq!(answer.redirect_param("state").unwrap(), state);
        let tokens = app.redeem("tides", &answer.code(&app, CB)).await.tokens();
        assert_eq!(crate::oauth_jwt::claims(&tokens.id)["nonce"], nonce.as_str());
        let refused = browser.get(&authorize(&changed("tides", &[("state", Some(&state)), ("scope", None)]))).await;
        refused.assert_refused_with(&app, CB, "invalid_scope", Some(&state));
        let none = browser.get(&authorize(&changed("tides", &[("state", None)]))).await;
        assert_eq!(none.redirect_param("state"), None);
        none.code(&app, CB);
    }
}

/// A page without the parts that differ from response to response.
pub(crate) fn masked(page: &str) -> String {
    let mut text = page.to_owned();
    for (before, after) in
        [("<code id=\"reference\">", "</code>"), ("<dd>", "</dd>"), ("name=\"csrf\" value=\"", "\"")]
    {
        let parts: Vec<&str> = text.split(before).collect();
        let rest = parts[1..].iter().map(|part| part.split_once(after).map_or("", |(_, rest)| rest));
        text = [parts[0]].into_iter().chain(rest).collect::<Vec<_>>().join("…");
    }
    text
}
