//! The product speaks HTTP/2 as it speaks HTTP/1.1: what proxies with prior knowledge send.

use crate::headers::check_headers;
use crate::support::client::{authorize, basic, challenge, changed, redemption};
use crate::support::http2::Http2;
use crate::support::raw::{FORM, Raw, RawBrowser};
use crate::support::{Engine, TestApp, confidential, on_both_engines};

const ADA: &str = "ada@example.org";

on_both_engines! {
    async fn documents_pages_and_refusals_are_the_same_in_both_versions(engine: Engine) {
        let app = TestApp::start(engine).await;
        let http = Http2::connect(&app).await;
        for raw in [
            Raw::get("/.well-known/openid-configuration"),
            Raw::get("/jwks.json"),
            Raw::new("HEAD", "/jwks.json"),
            Raw::get("/healthz"),
            Raw::get("/readyz"),
            Raw::get("/register"),
            Raw::get("/signin"),
            Raw::get("/account"),
            Raw::get("/nowhere"),
            Raw::get("/flow/%FF"),
            Raw::new("PUT", "/signin"),
            Raw::get("/token"),
            Raw::get("/userinfo"),
            Raw::post("/token").body("application/json", "{}"),
            Raw::post("/token").form(&[("grant_type", "authorization_code")]),
            Raw::post("/register").form(&[("csrf", "x")]),
            Raw::get("/signin").hosts(&["evil.example"]),
            Raw::get(&format!("/signin?x={}", "a".repeat(9_000))),
        ] {
            let (one, two) = (raw.clone().send(&app).await, http.send(raw.clone()).await);
            assert_eq!(one.status, two.status, "{raw:?}");
            assert_eq!((one.header("content-type"), one.reason()), (two.header("content-type"), two.reason()), "{raw:?}");
            assert_eq!(one.header("allow"), two.header("allow"), "{raw:?}");
            assert_eq!(one.header("www-authenticate"), two.header("www-authenticate"), "{raw:?}");
            check_headers(&two);
        }
    }

    async fn a_code_flow_ends_in_tokens(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.register(&confidential("tides")).await;
        app.user(ADA).await;
        let mut ada = RawBrowser::new(&app);
        ada.sign_in(ADA).await;
        let asked = changed("tides", &[("code_challenge", Some(&challenge()))]);
        let http = Http2::connect(&app).await;
        let step = http.send(Raw::get(&authorize(&asked)).header("Cookie", ada.cookie())).await;
        let flow = step.location().unwrap();
        let consent = http.send(Raw::get(&flow).header("Cookie", ada.cookie())).await;
        let form = consent.form("/consent");
        let mut fields: Vec<(&str, &str)> = form.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.push(("decision", "allow"));
        let answered = http.send(Raw::post(&form.action).header("Cookie", ada.cookie()).form(&fields)).await;
        let onward = Raw::get(&answered.location().unwrap()).header("Cookie", ada.cookie());
        let code = http.send(onward).await.redirect_param("code").unwrap();
        let redemption = redemption("tides", &code);
        let redeem = Raw::post("/token").header("Authorization", basic("tides")).form(&redemption_fields(&redemption));
        let tokens = http.send(redeem.clone()).await.tokens();
        assert_eq!(http.send(redeem).await.status, 400, "a code works once");
        let bearer = format!("Bearer {}", tokens.access);
        assert_eq!(http.send(Raw::get("/userinfo").header("Authorization", bearer)).await.status, 401, "the code was used twice");
    }

    async fn rl_08_a_body_without_an_announced_length_is_cut_off(engine: Engine) {
        let app = TestApp::start(engine).await;
        let http = Http2::connect(&app).await;
        let begun = http.begin(Raw::post("/token").header("Content-Type", FORM), false).await;
        let answer = begun.finish(&"a".repeat(20_000)).await;
        answer.assert_error(413, true, "too large");
        let other = http.send(Raw::post("/token").form(&[("grant_type", "x")])).await;
        assert_eq!(other.status, 401, "the connection goes on");
    }
}

fn redemption_fields<'a>(pairs: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    pairs.iter().map(|(name, value)| (*name, value.as_str())).collect()
}
