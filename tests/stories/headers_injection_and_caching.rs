//! Header injection, error pages, caching and compression.

use std::collections::BTreeSet;

use crate::support::client::{authorize, changed};
use crate::support::raw::{Raw, RawBrowser};
use crate::support::{Engine, TestApp, confidential, on_both_engines};

on_both_engines! {
    async fn hd_09_a_line_break_in_a_parameter_adds_no_header(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.register(&confidential("tides")).await;
        app.user("ada@example.org").await;
        let evil = "a\r\nX-Split: 1\r\nSet-Cookie: evil=1";
        let bad = |name: &str| authorize(&changed("tides", &[(name, Some(evil))]));
        let mut targets: Vec<String> = ["state", "nonce", "login_hint", "client_id", "redirect_uri", "scope", "prompt", "ui_locales", "acr_values", "max_age"]
            .map(bad)
            .to_vec();
        let escaped = "a%0d%0aX-Split:%201%0d%0aSet-Cookie:%20evil=1";
        for target in ["/register?flow=", "/register?email=", "/activate?token=", "/flow/", "/register/", "/signin?a=", "/logout?state=",
            "/logout?post_logout_redirect_uri=https://tides.example/bye&client_id=tides&state="]
        {
            targets.push(format!("{target}{escaped}"));
        }
        let mut ada = RawBrowser::new(&app);
        ada.sign_in("ada@example.org").await;
        let mut answers = Vec::new();
        for target in &targets {
            answers.push(Raw::get(target).send(&app).await);
            answers.push(Raw::get(target).header("Cookie", ada.cookie()).send(&app).await);
        }
        for target in ["/authorize", "/logout"] {
            answers.push(Raw::post(target).form(&[("state", evil), ("client_id", "tides"), (evil, evil)]).send(&app).await);
        }
        let redirects = answers.iter().filter(|answer| answer.location().is_some()).count();
        assert!(redirects >= 8, "{redirects}");
        for answer in &answers {
            assert!(answer.headers.get("x-split").is_none(), "{}", answer.url);
            assert!(!answer.cookies().iter().any(|cookie| cookie.starts_with("evil")), "{}", answer.url);
            assert!(answer.status.as_u16() < 500, "{}", answer.url);
        }
    }

    async fn hd_10_an_error_page_repeats_nothing_that_was_sent(engine: Engine) {
        let app = TestApp::start(engine).await;
        let mut ids = BTreeSet::new();
        for target in ["/%3Cscript%3Ealert(1)%3C/script%3E", "/nowhere?q=%3Cscript%3Ealert(1)%3C/script%3E", "/flow/%3Cscript%3Ealert(1)",
            "/activate?token=%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/authorize?client_id=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
            "/authorize?error_description=alert(1)&client_id=x"]
        {
            let answer = Raw::get(target).send(&app).await;
            assert!([400, 404].contains(&answer.status.as_u16()), "{target}");
            assert!(!answer.body.contains("alert(1)"), "{target}: {}", answer.body);
            let id = answer.header("x-request-id").to_owned();
            assert!(answer.body.contains(&id) || target.starts_with("/activate"), "{target}");
            assert!(ids.insert(id));
        }
        let answer = Raw::get("/nowhere").header("X-Request-Id", "chosen-by-a-stranger").send(&app).await;
        assert_ne!(answer.header("x-request-id"), "chosen-by-a-stranger");
    }

    async fn pages_and_documents_are_compressed_if_the_request_accepts_it(engine: Engine) {
        let app = TestApp::start(engine).await;
        let page = Raw::get("/register").send(&app).await;
        let css = page.body.split('"').find(|text| text.ends_with(".css")).unwrap().to_owned();
        for target in ["/register", "/nowhere", "/.well-known/openid-configuration", "/jwks.json", &css] {
            let plain = Raw::get(target).send(&app).await;
            assert_eq!(plain.header("content-encoding"), "", "{target}");
            for (accepted, used) in [("gzip", "gzip"), ("br", "br"), ("gzip, br", "br"), ("identity", ""), ("br;q=0", "")] {
                let answer = Raw::get(target).header("Accept-Encoding", accepted).send(&app).await;
                assert_eq!(answer.header("content-encoding"), used, "{target} {accepted}");
                assert_eq!(answer.header("cache-control"), plain.header("cache-control"), "{target}");
                assert!(answer.header("vary").to_lowercase().contains("accept-encoding"), "{target}");
            }
        }
    }

    async fn files_are_cached_for_ever_documents_for_minutes_and_pages_never(engine: Engine) {
        let app = TestApp::start(engine).await;
        let page = Raw::get("/register").send(&app).await;
        let files: BTreeSet<&str> = page.body.split('"').filter(|text| text.starts_with("/static/")).collect();
        assert_eq!(files.len(), 3);
        for file in files {
            let answer = Raw::get(file).send(&app).await;
            assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "public, max-age=31536000, immutable"));
            // `app.css` without a digest, or with another one, does not exist.
            let (stem, rest) = file.rsplit_once('/').unwrap();
            let parts: Vec<&str> = rest.split('.').collect();
            for name in [format!("{}.{}", parts[0], parts[2]), format!("{}.AAAAAAAAAAAA.{}", parts[0], parts[2])] {
                assert_eq!(Raw::get(&format!("{stem}/{name}")).send(&app).await.status, 404, "{name}");
            }
        }
        for document in ["/jwks.json", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
            let answer = Raw::get(document).send(&app).await;
            assert_eq!(answer.header("cache-control"), "public, max-age=300", "{document}");
        }
        for page in ["/register", "/nowhere", "/healthz", "/signin"] {
            assert_eq!(Raw::get(page).send(&app).await.header("cache-control"), "no-store", "{page}");
        }
    }

    async fn hd_14_our_script_does_not_listen_to_other_windows(engine: Engine) {
        let app = TestApp::start(engine).await;
        let page = Raw::get("/register").send(&app).await;
        let js = page.body.split('"').find(|text| text.ends_with(".js")).unwrap();
        let script = Raw::get(js).send(&app).await.body;
        for word in ["postMessage", "\"message\"", "'message'", "opener", "innerHTML", "eval(", "document.write", "localStorage"] {
            assert!(!script.contains(word), "{word}");
        }
    }
}
