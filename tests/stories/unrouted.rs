//! Requests that no route answers have limits of their own and cost few log lines.

use std::time::Duration;

use crate::support::http2::Http2;
use crate::support::raw::Raw;
use crate::support::{Engine, TestApp, is_logged, logged_lines, on_both_engines};

/// Every kind of request that no route answers, and whether the answer is JSON.
fn unrouted() -> Vec<(Raw, bool)> {
    let long = format!("/signin?x={}", "a".repeat(9_000));
    vec![
        (Raw::get("/nowhere"), false),
        (Raw::get("/favicon.ico"), false),
        (Raw::get("/static/nothing.css"), false),
        (Raw::get("/flow/"), false),
        (Raw::post("/nowhere").form(&[("a", "b")]), false),
        (Raw::get("/flow/%FF"), false),
        (Raw::get(&long), false),
        (Raw::new("PUT", "/signin"), false),
        (Raw::new("HEAD", "/logout"), false),
        (Raw::new("OPTIONS", "/nowhere"), false),
        (Raw::new("PROPFIND", "/healthz"), false),
        (Raw::new("DELETE", "/jwks.json"), true),
        (Raw::get("/token"), true),
        (Raw::get("/signin").hosts(&["evil.example"]), false),
        (Raw::post("/token").hosts(&["evil.example"]), true),
        (Raw::get("/jwks.json").hosts(&["evil.example"]), true),
        (Raw::get("/signin").hosts(&[]), false),
        (Raw::get("/signin").hosts(&["a b"]), false),
    ]
}

on_both_engines! {
    async fn fault_03_requests_that_no_route_answers_are_limited_and_nothing_else_with_them(engine: Engine) {
        let app = TestApp::start_still_with(engine, |config| config.limits.unrouted = 3).await;
        for (number, (raw, json)) in (1..).zip(unrouted()) {
            // Each comes from an address of its own.
            let source = [127, 0, 1, number];
            let raw = raw.coming_from(source);
            let http = Http2::connect_from(&app, source).await;
            for _ in 0..3 {
                let answer = raw.clone().send(&app).await;
                assert!([400, 404, 405, 413, 414, 421].contains(&answer.status.as_u16()), "{raw:?}: {}", answer.status);
            }
            let answer = raw.clone().send(&app).await;
            assert_eq!(answer.status, 429, "{raw:?}");
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{raw:?}");
            assert!(answer.body.len() < 200 && answer.header("cache-control") == "no-store", "{}", answer.body);
            if !format!("{raw:?}").contains("HEAD") {
                let kind = if json { "application/json" } else { "text/plain; charset=utf-8" };
                assert_eq!(answer.header("content-type"), kind, "{raw:?}");
            }
            // All of them share one count, over both versions of HTTP; nothing else does.
            for (other, _) in unrouted().into_iter().take(3) {
                assert_eq!(other.clone().coming_from(source).send(&app).await.status, 429);
                assert_eq!(http.send(other).await.status, 429);
            }
            for target in ["/signin", "/register", "/jwks.json", "/.well-known/openid-configuration", "/healthz"] {
                let status = Raw::get(target).coming_from(source).send(&app).await.status;
                assert!([200, 303].contains(&status.as_u16()), "{target}: {status}");
            }
        }
    }

    async fn fault_03_documents_and_probes_have_no_limit_and_pages_have_their_own(engine: Engine) {
        let app = TestApp::start_still_with(engine, |config| {
            config.limits.unrouted = 2;
            config.limits.page = 4;
        }).await;
        for target in ["/jwks.json", "/.well-known/openid-configuration", "/healthz"] {
            for _ in 0..20 {
                assert_eq!(Raw::get(target).send(&app).await.status, 200, "{target}");
                assert_eq!(Raw::new("HEAD", target).send(&app).await.status, 200, "{target}");
            }
        }
        for _ in 0..20 {
            Raw::get("/favicon.ico").send(&app).await;
            Raw::new("HEAD", "/authorize").send(&app).await;
        }
        for _ in 0..4 {
            assert_eq!(Raw::get("/register").send(&app).await.status, 200, "a page's own limit is untouched");
        }
        assert_eq!(Raw::get("/register").send(&app).await.status, 429);
    }

    async fn fault_03_no_part_of_a_path_that_may_be_a_secret_is_logged(engine: Engine) {
        let app = TestApp::start(engine).await;
        let secret = "CANARY3-kX9_mQ4vT7pLzR2wYb8nEcJ5hGdU1sFaO6iW0qVtBxM3yZrKjHu";
        for (target, shown) in [
            ("/activate&token=av_SECRET", "/activate"),
            ("/activate;token=av_SECRET", "/activate"),
            ("/activate%3Ftoken=av_SECRET", "/activate"),
            ("/activate%26token=av_SECRET", "/activate"),
            ("/activatetoken=av_SECRET", "/activateto"),
            ("/activate/av_SECRET", "/activate"),
            ("/activate=av_SECRET", "/activate"),
            ("/av_SECRET", "/av"),
            ("/SECRET", "/"),
            ("/signin/SECRET", "/signin"),
            ("/flow/01935a1e-8a33-7000-8000-000000000000/SECRET", "/flow"),
            ("/flow/SECRET", "/flow/{id}"),
            ("/flow/SECRET/login", "/flow/{id}/login"),
            ("/register/SECRET", "/register/{id}"),
            ("/static/SECRET", "/static/{name}"),
            ("/flow/%FFSECRET", "/flow/{id}"),
            ("//SECRET", "/"),
            ("/%1b[31mSECRET", "/"),
            ("/%0d%0aSECRET", "/"),
            ("/\u{e4}SECRET", "/"),
            ("/.SECRET", "/."),
            ("/?SECRET", "/"),
            ("/nowhereatallSECRET", "/nowhereata"),
        ] {
            let raw = Raw::get(&target.replace("SECRET", secret));
            raw.clone().send(&app).await;
            Raw::new("DELETE", &target.replace("SECRET", secret)).send(&app).await;
            raw.hosts(&["evil.example"]).send(&app).await;
            assert!(is_logged(&format!("path=\"{shown}\"")), "{target}: {shown}");
            assert!(!is_logged(secret) && !is_logged(&secret[..16]), "{target}");
        }
        let method = format!("{}{}", &secret[..7], "A".repeat(3_000));
        assert_eq!(Raw::new(&method, "/signin").send(&app).await.status, 405);
        assert!(!is_logged(&"A".repeat(100)) && is_logged("method=\"other\""));
        let long = format!("/{}", "zqlong".repeat(1_300));
        Raw::get(&long).send(&app).await;
        assert!(!is_logged("zqlongzqlongzq"));
    }

    async fn fault_03_refusals_get_few_log_lines_and_one_that_counts_the_rest(engine: Engine) {
        let app = TestApp::start(engine).await;
        let path = if engine == Engine::Sqlite { "/zqfloodone" } else { "/zqfloodtwo" };
        let http = Http2::connect(&app).await;
        for _ in 0..1_500 {
            assert_eq!(http.send(Raw::get(path)).await.status, 404);
        }
        let lines = logged_lines(&format!("path=\"{}\"", &path[..11])).len();
        assert!((1..1_000).contains(&lines), "{lines} lines");
        drop(app);
        let mut counted = 0;
        for _ in 0..600 {
            let told = logged_lines("refused requests that were not logged one by one");
            counted = told.iter().filter_map(|line| line.split("not-found ").nth(1)).filter_map(|rest| {
                rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
            }).sum();
            if counted + lines >= 1_500 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(counted + lines >= 1_500, "{counted} were counted, {lines} have lines");
    }
}
