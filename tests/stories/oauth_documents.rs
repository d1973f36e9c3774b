//! What clients read before their first request, and what an ID token says.

use idp_core::client::{Client, SigningAlg};
use serde_json::{Value, json};

use crate::oauth_authorize::{ready, trusted};
use crate::oauth_jwt::{claims, header};
use crate::oauth_token::offline_code;
use crate::support::client::changed;
use crate::support::{Engine, TestApp, on_both_engines};

fn words(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// The URL of the key set, found as a client finds it.
async fn jwks_uri(app: &TestApp) -> String {
    let document = app.browser().get("/.well-known/openid-configuration").await.json();
    document["jwks_uri"].as_str().unwrap().to_owned()
}

async fn key_ids(app: &TestApp) -> Vec<String> {
    let jwks = app.browser().get(&jwks_uri(app).await).await.json();
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

on_both_engines! {
    async fn discovery_lists_what_the_server_supports_and_nothing_else(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let answer = browser.get("/.well-known/openid-configuration").await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
        let document = answer.json();
        assert_eq!(document["issuer"], app.issuer.as_str());
        for (name, value) in document.as_object().unwrap() {
            if name.ends_with("_endpoint") || name == "jwks_uri" {
                assert!(value.as_str().unwrap().starts_with(&app.issuer), "{name}");
            }
            assert!(!value.is_null(), "{name}");
        }
        for name in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint"] {
            assert!(document[name].is_string(), "{name}");
        }
        for (name, expected) in [
            ("response_types_supported", vec!["code"]), ("response_modes_supported", vec!["query"]),
            ("grant_types_supported", vec!["authorization_code", "refresh_token"]), ("subject_types_supported", vec!["public"]),
            ("id_token_signing_alg_values_supported", vec!["RS256", "ES256"]), ("code_challenge_methods_supported", vec!["S256"]),
            ("scopes_supported", vec!["openid", "profile", "email", "offline_access"]),
            ("token_endpoint_auth_methods_supported", vec!["client_secret_basic", "client_secret_post", "none"]),
            ("acr_values_supported", vec!["1"]), ("ui_locales_supported", vec!["en"]),
        ] {
            assert_eq!(words(&document[name]), expected, "{name}");
        }
        for name in ["claims_parameter_supported", "request_parameter_supported", "request_uri_parameter_supported"] {
            assert_eq!(document[name], false, "{name} must be stated: its default is not always false");
        }
        assert_eq!(document["authorization_response_iss_parameter_supported"], true);
        assert!(words(&document["claims_supported"]).contains(&"sub"));
        assert_eq!(browser.get("/.well-known/oauth-authorization-server").await.json(), document);
        for path in ["/.well-known/openid-configuration", &jwks_uri(&app).await] {
            let head = browser.send(reqwest::Method::HEAD, path, None, &[]).await;
            assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
            assert_eq!(browser.get(path).await.header("cache-control"), "public, max-age=300");
        }
    }

    async fn jw_11_the_key_set_holds_only_public_members_and_is_the_same_on_every_node(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let uri = jwks_uri(&app).await;
        let answer = browser.get(&uri).await;
        assert_eq!(answer.header("content-type"), "application/json");
        let document = answer.json();
        let keys = document["keys"].as_array().unwrap();
        assert_eq!(document.as_object().unwrap().len(), 1);
        for key in keys {
            let mut names: Vec<&String> = key.as_object().unwrap().keys().collect();
            names.sort();
            let expected: &[&str] = match key["kty"].as_str().unwrap() {
                "RSA" => &["alg", "e", "kid", "kty", "n", "use"],
                _ => &["alg", "crv", "kid", "kty", "use", "x", "y"],
            };
            assert_eq!(names, expected);
            assert_eq!(key["use"], "sig");
        }
        let mut ids = key_ids(&app).await;
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), keys.len());
        let other = app.second_node().await;
        assert_eq!(other.browser().get(&uri).await.json(), document);
        let sealed = app.texts("SELECT sealed_private FROM keys").await;
        for route in idp_server::route_facts(false).iter().filter(|route| route.method == reqwest::Method::GET) {
            let page = browser.get(&route.path.replace("{id}", "x").replace("{name}", "x")).await;
            assert!(sealed.iter().all(|secret| !page.body.contains(secret.as_str())), "{}", route.path);
        }
    }

    async fn jw_13_an_id_token_holds_the_expected_claims_and_no_others(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&Client { id_token_alg: SigningAlg::Es256, access_token_alg: SigningAlg::Rs256, ..trusted("es") }).await;
        let (now, known) = (app.clock.now().seconds(), key_ids(&app).await);
        for (id, id_alg, access_alg) in [("tides", "RS256", "ES256"), ("es", "ES256", "RS256")] {
            let scope = ("scope", Some("openid profile email offline_access"));
            let tokens = app.redeem(id, &app.code(&browser, &changed(id, &[scope])).await).await.tokens();
            let renewed = app.refresh(id, &tokens.refresh).await.tokens();
            for (tokens, nonce) in [(&tokens, Some("a-nonce")), (&renewed, None)] {
                let token = claims(&tokens.id);
                assert_eq!(header(&tokens.id)["alg"], id_alg);
                assert_eq!(header(&tokens.access)["alg"], access_alg);
                assert_eq!(header(&tokens.access)["typ"], "at+jwt");
                for part in [&tokens.id, &tokens.access] {
                    assert!(known.iter().any(|kid| header(part)["kid"] == kid.as_str()));
                }
                assert_eq!((&token["iss"], &token["aud"]), (&json!(app.issuer), &json!(id)));
                assert_eq!(token.get("nonce").and_then(Value::as_str), nonce);
                assert_eq!((&token["acr"], &token["amr"]), (&json!("1"), &json!(["pwd"])));
                let time = |name: &str| token[name].as_i64().unwrap();
                assert!((now..=now + 60).contains(&time("iat")) && time("exp") == time("iat") + 600, "{token}");
                assert!((now - 60..=time("iat")).contains(&time("auth_time")), "{token}");
                let subject = token["sub"].as_str().unwrap();
                assert!((1..=255).contains(&subject.len()) && subject.is_ascii());
                let mut names: Vec<&str> = token.as_object().unwrap().keys().map(String::as_str).filter(|name| *name != "nonce").collect();
                names.sort_unstable();
                assert_eq!(names, ["acr", "amr", "at_hash", "aud", "auth_time", "exp", "iat", "iss", "sid", "sub"]);
                assert_eq!(token["at_hash"], at_hash(&tokens.access));
                let access = claims(&tokens.access);
                assert_eq!((&access["iss"], &access["sub"], &access["client_id"]), (&token["iss"], &token["sub"], &token["aud"]));
                let info = app.userinfo(&tokens.access).await.json();
                assert_eq!(info["sub"], token["sub"]);
                assert_eq!(info["email_verified"], true);
                assert!(info["updated_at"].is_i64() && info.as_object().unwrap().values().all(|value| !value.is_null()));
            }
        }
        let code = app.code(&browser, &changed("tides", &[("nonce", None)])).await;
        assert!(claims(&app.redeem("tides", &code).await.tokens().id).get("nonce").is_none());
        let first = app.redeem("tides", &offline_code(&app, &browser).await).await.tokens();
        let second = app.redeem("tides", &offline_code(&app, &browser).await).await.tokens();
        assert_ne!(claims(&first.access)["jti"], claims(&second.access)["jti"]);
        assert_eq!(claims(&first.id)["sid"], claims(&second.id)["sid"]);
    }
}

fn at_hash(access_token: &str) -> String {
    use sha2::Digest;
    idp_core::secret::base64url(&sha2::Sha256::digest(access_token.as_bytes())[..16])
}
