//! The token endpoint as HTTP: what it reads, what it never does, and what every answer carries.

use crate::oauth_authorize::ready;
use crate::oauth_token::{ask, offline_code};
use crate::support::client::{basic, redemption};
use crate::support::raw::{FORM, Raw};
use crate::support::{Engine, SECRET, TestApp, is_logged, on_both_engines};

/// A request from an authenticated client, with any kind of body.
async fn post(app: &TestApp, kind: &str, body: Vec<u8>) -> reqwest::Response {
    let client = reqwest::Client::builder().build().unwrap();
    let request = client.post(app.url("/token")).header("authorization", basic("tides"));
    let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
    request.body(body).send().await.unwrap()
}

async fn assert_refused(response: reqwest::Response, status: u16) {
    assert_eq!(response.status(), status);
    let header =
        |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    assert_eq!(header("content-type"), "application/json");
    assert!(header("cache-control").contains("no-store"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("set-cookie"), "");
    let body: serde_json::Value = response.json().await.unwrap();
    assert!(body["error"].is_string() && body.get("access_token").is_none(), "{body}");
}

on_both_engines! {
    async fn tk_23_tk_24_only_authorization_code_and_refresh_token_are_grant_types(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let code = offline_code(&app, &browser).await;
        let header = basic("tides");
        let headers = [("authorization", header.as_str())];
        let before = app.state().await;
        for grant in [
            "password", "client_credentials", "implicit", "urn:ietf:params:oauth:grant-type:device_code",
            "urn:ietf:params:oauth:grant-type:token-exchange", "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "AUTHORIZATION_CODE", "unknown",
        ] {
            let fields = [("grant_type", grant), ("code", &code), ("username", "ada@example.org"), ("password", "x"), ("scope", "openid offline_access admin")];
            ask(&app, &headers, &fields).await.assert_token_error(400, "unsupported_grant_type");
        }
        let fields = redemption("tides", &code);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let without = |name: &str| fields.iter().filter(|(key, _)| *key != name).copied().collect::<Vec<_>>();
        for missing in ["grant_type", "code"] {
            ask(&app, &headers, &without(missing)).await.assert_token_error(400, "invalid_request");
            let empty = [without(missing), vec![(missing, "")]].concat();
            ask(&app, &headers, &empty).await.assert_token_error(400, "invalid_request");
        }
        for (twice, value) in fields.iter().copied() {
            let doubled = [fields.clone(), vec![(twice, value)]].concat();
            ask(&app, &headers, &doubled).await.assert_token_error(400, "invalid_request");
        }
        let other = [without("grant_type"), vec![("grant_type", "refresh_token"), ("grant_type", "password")]].concat();
        ask(&app, &headers, &other).await.assert_token_error(400, "invalid_request");
        assert_eq!(app.state().await, before);
        let discovery = browser.get("/.well-known/openid-configuration").await.json();
        assert_eq!(discovery["grant_types_supported"], serde_json::json!(["authorization_code", "refresh_token"]));
        app.redeem("tides", &code).await.tokens();
    }

    async fn tk_30_only_a_small_form_is_read(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let code = offline_code(&app, &browser).await;
        let json = format!("{{\"grant_type\":\"authorization_code\",\"code\":\"{code}\"}}");
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(redemption("tides", &code)).finish();
        let utf16: Vec<u8> = form.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let wide = "a=1&".repeat(10_000);
        let medium = format!("{form}&{}", "a=1&".repeat(100));
        let nested = form.replace("code=", "code[0][x]=");
        let before = app.state().await;
        for (kind, body, status) in [
            ("application/json", json.clone().into_bytes(), 415),
            (FORM, json.into_bytes(), 400),
            ("multipart/form-data; boundary=x", b"--x\r\ncontent-disposition: form-data; name=\"grant_type\"\r\n\r\nx\r\n--x--".to_vec(), 415),
            ("text/plain", form.clone().into_bytes(), 415),
            ("", form.clone().into_bytes(), 415),
            ("application/x-www-form-urlencoded; charset=utf-16", utf16.clone(), 415),
            ("application/x-www-form-urlencoded; charset=iso-8859-1", form.clone().into_bytes(), 415),
            (FORM, utf16, 400),
            (FORM, b"grant_type=\xff\xfe".to_vec(), 400),
            (FORM, b"grant_type=%00".to_vec(), 400),
            (FORM, wide.into_bytes(), 413),
            (FORM, nested.into_bytes(), 400),
            (FORM, Vec::new(), 400),
        ] {
            assert_refused(post(&app, kind, body).await, status).await;
        }
        let header = basic("tides");
        for raw in [Raw::post("/token").announced(FORM, 5 << 20), Raw::post("/token").endless(FORM, &[b'a'; 0x5000])] {
            raw.header("authorization", &header).send(&app).await.assert_token_error(413, "invalid_request");
        }
        for method in [reqwest::Method::GET, reqwest::Method::HEAD, reqwest::Method::PUT, reqwest::Method::DELETE, reqwest::Method::OPTIONS] {
            let answer = browser.send(method, &format!("/token?{form}"), None, &[("authorization", &basic("tides"))]).await;
            assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"));
        }
        assert_eq!(app.state().await, before);
        // What is not known is ignored, however much of it there is (RFC 6749 section 3.2).
        assert_eq!(post(&app, FORM, medium.into_bytes()).await.status(), 200);
    }

    async fn tk_30_credentials_in_the_query_are_ignored_and_not_logged(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let code = offline_code(&app, &browser).await;
        let fields = redemption("tides", &code);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let before = app.state().await;
        let target = format!("/token?client_id=tides&client_secret={SECRET}&code={code}&canary=canary-{code}");
        let answer = browser.send(reqwest::Method::POST, &target, Some(&fields), &[]).await;
        answer.assert_token_error(401, "invalid_client");
        assert_eq!(app.state().await, before);
        let refused = app.token("tides", &[("grant_type", "authorization_code")]).await;
        refused.assert_token_error(400, "invalid_request");
        let tokens = app.redeem("tides", &code).await.tokens();
        app.redeem("tides", &code).await.assert_token_error(400, "invalid_grant");
        for secret in [&code, SECRET, &tokens.access, &tokens.refresh, &tokens.id, crate::support::PASSWORD] {
            assert!(!is_logged(secret), "a secret is in the log");
        }
        assert!(!is_logged("canary-"), "the query is in the log");
        assert!(is_logged("request refused"), "nothing is logged at all");
    }

    async fn tk_31_every_answer_is_uncached_json_and_sets_no_cookie(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let code = offline_code(&app, &browser).await;
        let cookie = [("cookie", "idp-session=x; idp-browser=y")];
        ask(&app, &cookie, &[("grant_type", "authorization_code")]).await.assert_token_error(401, "invalid_client");
        browser.post("/token", &[]).await.assert_token_error(401, "invalid_client");
        app.token("tides", &[("grant_type", "x")]).await.assert_token_error(400, "unsupported_grant_type");
        let tokens = app.redeem("tides", &code).await.tokens();
        let renewed = app.refresh("tides", &tokens.refresh).await;
        renewed.tokens();
        assert_eq!(renewed.json()["expires_in"], 600);
        for origin in ["https://tides.example", "https://evil.tld", "null"] {
            let answer = ask(&app, &[("origin", origin)], &[("grant_type", "x")]).await;
            answer.assert_token_error(401, "invalid_client");
        }
    }
}
