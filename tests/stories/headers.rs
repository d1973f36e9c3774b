//! The headers that every answer carries, whatever produced it.

use std::collections::BTreeSet;

use idp_core::oauth::issuer::Issuer;
use idp_server::route_facts;

use crate::routes::{path, with_dev_pages};
use crate::support::browser::Answer;
use crate::support::client::{authorize, changed};
use crate::support::raw::{FORM, Raw, RawBrowser};
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines};

const ADA: &str = "ada@example.org";
const PEOPLE: [(&str, &str); 4] =
    [("name", "Ada"), ("email", ADA), ("password", PASSWORD), ("password_confirm", PASSWORD)];

/// The whole journey, with a wrong turn at each page.
async fn journey(app: &TestApp) -> Vec<Answer> {
    app.register(&confidential("tides")).await;
    let mut ada = RawBrowser::new(app);
    let page = ada.open("/register").await;
    ada.submit(&page, "/register", &[("email", "nobody")]).await;
    let check = ada.submit(&page, "/register", &PEOPLE).await;
    ada.submit(&check, "/code", &[("code", "WRONGONE")]).await;
    ada.submit(&check, "/resend", &[]).await;
    let link = app.sink.mail_to(ADA, 1).await.link();
    let link = link.strip_prefix(app.issuer.as_str()).expect("links start with the issuer");
    let activate = ada.open(link).await;
    ada.submit(&activate, "/activate", &[]).await;
    ada.submit(&activate, "/activate", &[]).await;
    let login = ada.open(&authorize(&changed("tides", &[]))).await;
    ada.submit(&login, "/login", &[("email", ADA), ("password", "wrong")]).await;
    let consent = ada.submit(&login, "/login", &[("email", ADA), ("password", PASSWORD)]).await;
    ada.submit(&consent, "/consent", &[("decision", "deny")]).await;
    ada.open(&authorize(&changed("tides", &[("prompt", Some("none"))]))).await;
    let account = ada.open("/account").await;
    ada.open("/logout").await;
    ada.submit(&account, "/logout/confirm", &[]).await;
    ada.sign_in(ADA).await;
    ada.seen
}

/// Every route as a stranger sees it, and every way to ask for what is not there.
async fn strangers(app: &TestApp) -> Vec<Answer> {
    let mut seen = Vec::new();
    for facts in route_facts(true) {
        let plain = Raw::new(facts.method.as_str(), &path(&facts)).header("Origin", "https://evil.example");
        let bad = [
            plain.clone(),
            plain.clone().body(FORM, ""),
            plain.clone().hosts(&["evil.example"]),
            plain.clone().announced(FORM, 10 << 20),
            plain.body("text/plain", "a=1"),
            Raw::new("DELETE", &path(&facts)),
            Raw::new("HEAD", &path(&facts)),
        ];
        for raw in bad {
            seen.push(raw.send(app).await);
        }
    }
    let page = Raw::get("/register").send(app).await;
    for asset in assets(&page) {
        seen.push(Raw::get(&asset).send(app).await);
    }
    seen.push(Raw::get("/nowhere").send(app).await);
    seen.push(Raw::get(&format!("/{}", "a".repeat(9_000))).send(app).await);
    seen
}

/// The static files that a page names.
fn assets(page: &Answer) -> Vec<String> {
    let names = page.body.split('"').filter(|text| text.starts_with("/static/"));
    names.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

fn check(answer: &Answer) {
    check_headers(answer);
    let what = format!("{} {}", answer.status, answer.url);
    check_policy(answer, &what);
    if answer.header("content-type").starts_with("text/html") {
        check_html(answer, &what);
    }
}

/// What every answer carries besides its content security policy, which depends on the answer.
pub(crate) fn check_headers(answer: &Answer) {
    let what = format!("{} {}", answer.status, answer.url);
    // An issuer without TLS must not send it; for one with TLS it binds its own host alone.
    let hsts: Vec<_> = answer.headers.get_all("strict-transport-security").iter().collect();
    match answer.url.starts_with("https:") {
        true => assert!(hsts == ["max-age=63072000"], "{what}: {hsts:?}"),
        false => assert!(hsts.is_empty(), "{what}: {hsts:?}"),
    }
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ] {
        let found: Vec<_> = answer.headers.get_all(name).iter().collect();
        assert!(found == [value], "{what}: {name} {found:?}");
    }
    assert!(answer.header("permissions-policy").contains("camera=()"), "{what}");
    assert!(answer.header("x-request-id").len() >= 16, "{what}");
    for name in answer.headers.keys() {
        let telling = [
            "server",
            "x-powered-by",
            "via",
            "access-control-allow-origin",
            "access-control-allow-credentials",
        ];
        assert!(!telling.contains(&name.as_str()), "{what}: {name}");
    }
    assert!(![301, 302, 307, 308].contains(&answer.status.as_u16()), "HD-11 {what}");
    let document = answer.header("cache-control").starts_with("public") && answer.status == 200;
    assert!(document || answer.header("cache-control") == "no-store", "{what}");
}

fn check_policy(answer: &Answer, what: &str) {
    let all: Vec<_> = answer.headers.get_all("content-security-policy").iter().collect();
    assert_eq!(all.len(), 1, "{what}");
    let csp = answer.header("content-security-policy");
    assert!(!csp.contains("unsafe") && !csp.contains('*') && !csp.contains("data:"), "{what}: {csp}");
    let directive = |name: &str| {
        csp.split(';').find_map(|part| part.trim().strip_prefix(name)).unwrap_or("?").trim().to_owned()
    };
    for name in ["default-src", "base-uri", "object-src", "frame-ancestors"] {
        assert_eq!(directive(name), "'none'", "{what}: {csp}");
    }
    let form_action = directive("form-action");
    assert!(["'none'", "'self'"].contains(&form_action.as_str()), "{what}: {csp}");
}

fn check_html(answer: &Answer, what: &str) {
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{what}");
    assert_eq!(answer.header("x-robots-tag"), "noindex", "{what}");
    let body = answer.body.to_lowercase();
    for part in body.split("<script").skip(1) {
        assert!(part.trim_start().starts_with("src=\"/static/"), "an inline script on {what}");
    }
    for part in body.split('<').skip(1).map(|tag| tag.split('>').next().unwrap()) {
        assert!(
            !part.contains(" style=") && !part.contains(" on") && !part.starts_with("style"),
            "{what}: <{part}>"
        );
        let local = |url: &str| {
            url.starts_with('/') || url.starts_with('#') || url.starts_with(&answer.url[..url.len().min(16)])
        };
        for name in ["href=\"", "src=\"", "action=\""] {
            let url = part.split_once(name).map(|(_, rest)| rest.split('"').next().unwrap());
            let onward = part.contains(" id=\"onward\"")
                && url.is_some_and(|url| url.starts_with("https://tides.example/"));
            assert!(onward || url.is_none_or(local), "{what}: {url:?}");
        }
    }
    if answer.status.is_server_error() || answer.reason().is_some_and(|reason| !reason.starts_with("link-")) {
        assert!(
            answer.body.contains(answer.header("x-request-id")),
            "HD-10 {what}: the page names another request"
        );
    }
}

on_both_engines! {
    async fn hd_03_hd_05_hd_11_every_answer_carries_every_header(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let mut seen = strangers(&app).await;
        seen.extend(journey(&app).await);
        let statuses: BTreeSet<u16> = seen.iter().map(|answer| answer.status.as_u16()).collect();
        for status in [200, 303, 400, 401, 403, 404, 405, 413, 414, 415, 421, 422] {
            assert!(statuses.contains(&status), "the crawl saw {statuses:?}");
        }
        seen.iter().for_each(check);
        let ids: BTreeSet<&str> = seen.iter().map(|answer| answer.header("x-request-id")).collect();
        assert_eq!(ids.len(), seen.len(), "request ids repeat");
    }

    async fn hd_05_rl_10_a_limited_answer_carries_every_header(engine: Engine) {
        let app = TestApp::start_with(engine, |config| {
            (config.limits.page, config.limits.client) = (1, 1);
        }).await;
        for (target, json) in [("/register", false), ("/userinfo", true)] {
            Raw::get(target).send(&app).await;
            let answer = Raw::get(target).send(&app).await;
            answer.assert_error(429, json, "limited");
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "RL-10");
            check(&answer);
        }
    }

    async fn hd_10_the_error_of_a_broken_database_gives_nothing_away(engine: Engine) {
        let app = with_dev_pages(engine).await;
        app.user(ADA).await;
        let mut ada = RawBrowser::new(&app);
        ada.sign_in(ADA).await;
        app.sql("ALTER TABLE sessions RENAME TO sessions_gone").await;
        let mut broken = 0;
        for facts in route_facts(true) {
            let raw = Raw::new(facts.method.as_str(), &path(&facts)).header("Cookie", ada.cookie()).body(FORM, "");
            let answer = raw.send(&app).await;
            check(&answer);
            if answer.status.is_server_error() {
                broken += 1;
                answer.assert_error(answer.status.as_u16(), facts.json, "broken");
                // The random reference may spell anything.
                let text = answer.text();
                let (before, reference) = text.split_once("<code id=\"reference\">").unwrap_or((&text, "</code>"));
                let after = reference.split_once("</code>").unwrap().1;
                let text = format!("{before}{after}").to_lowercase();
                for word in ["sessions", "select", "sql", "relation", "no such", "panic", ".rs", "thread", "backtrace", env!("CARGO_PKG_VERSION")] {
                    assert!(!text.contains(word), "{word}: {text}");
                }
            }
        }
        assert!(broken >= 20, "{broken}");
        app.sql("ALTER TABLE sessions_gone RENAME TO sessions").await;
        assert_eq!(ada.open("/account").await.status, 200);
    }

    async fn hd_01_cookies_of_an_https_issuer_are_bound_to_its_host(engine: Engine) {
        let app = TestApp::start_with(engine, |config| {
            config.issuer = Issuer::parse("https://id.example").unwrap();
        }).await;
        let seen = journey(&app).await;
        seen.iter().for_each(check);
        let cookies: Vec<String> = seen.iter().flat_map(Answer::cookies).collect();
        let names: BTreeSet<&str> = cookies.iter().map(|cookie| cookie.split('=').next().unwrap()).collect();
        let expected = ["browser", "mailbox", "notice", "session"].map(|name| format!("__Host-idp-{name}"));
        assert_eq!(names, expected.iter().map(String::as_str).collect());
        for cookie in &cookies {
            let parts: Vec<&str> = cookie.split("; ").collect();
            for part in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
                assert!(parts.contains(&part), "{cookie}");
            }
            assert!(!cookie.to_lowercase().contains("domain") && cookie.len() < 4096, "{cookie}");
        }
        let mut ada = RawBrowser::new(&app);
        ada.sign_in(ADA).await;
        assert_eq!(ada.open("/account").await.status, 200);
        let session = &ada.cookies["__Host-idp-session"];
        assert!(session.len() >= 43, "{session}");
        let plain = format!("idp-session={session}");
        let answer = Raw::get("/account").header("Cookie", plain).send(&app).await;
        assert_eq!(answer.location().as_deref(), Some("/signin"), "a cookie that a sibling host can plant");
    }

    async fn hd_01_cookies_on_localhost_are_http_only_as_well(engine: Engine) {
        let app = TestApp::start(engine).await;
        let cookies: Vec<String> = journey(&app).await.iter().flat_map(Answer::cookies).collect();
        assert!(cookies.len() >= 6);
        for cookie in &cookies {
            assert!(cookie.starts_with("idp-") && cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
            assert!(cookie.contains("; Path=/;") && !cookie.contains("Secure"), "{cookie}");
        }
    }
}
