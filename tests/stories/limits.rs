//! Limits per client address, and what happens when more comes than the machine can do (security.md 2.16).

use futures_util::future::join_all;

use crate::registration::ADA;
use crate::sign_in::WRONG;
use crate::support::raw::{Raw, RawBrowser};
use crate::support::{Engine, PASSWORD, TestApp, on_both_engines};

const FORGED: [&str; 6] =
    ["X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP"];

on_both_engines! {
    async fn rl_01_an_invented_address_gets_nobody_past_a_limit(engine: Engine) {
        let app = TestApp::start_with(engine, |config| config.limits.page = 5).await;
        let mut statuses = Vec::new();
        for number in 0..30 {
            let name = FORGED[number % FORGED.len()];
            let value = if name == "Forwarded" { format!("for=198.51.100.{number}") } else { format!("198.51.100.{number}") };
            let answer = Raw::get("/register").header(name, value).send(&app).await;
            statuses.push(answer.status.as_u16());
            assert!(answer.status == 200 || answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
        }
        assert!(statuses[..5] == [200; 5] && statuses.iter().filter(|status| **status == 429).count() >= 10, "{statuses:?}");
    }

    async fn rl_01_behind_a_trusted_proxy_its_own_word_counts_alone(engine: Engine) {
        let app = TestApp::start_with(engine, |config| {
            config.limits.page = 5;
            config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        }).await;
        let ask = |value: String| Raw::get("/register").header("X-Forwarded-For", value);
        let mut statuses = Vec::new();
        for number in 0..20 {
            statuses.push(ask(format!("10.0.0.{number}, 203.0.113.9")).send(&app).await.status.as_u16());
        }
        assert!(statuses[..5] == [200; 5] && statuses.contains(&429), "{statuses:?}");
        for number in 0..20 {
            assert_eq!(ask(format!("203.0.113.9, 198.51.100.{number}")).send(&app).await.status, 200);
        }
        let v6 = |number: usize| format!("2001:db8:0:1::{number:x}");
        let mut statuses = Vec::new();
        for number in 1..20 {
            statuses.push(ask(v6(number)).send(&app).await.status.as_u16());
        }
        assert!(statuses.contains(&429), "an IPv6 household counts as one: {statuses:?}");
    }

    async fn rl_05_a_thousand_sign_ins_at_once_are_served_or_sent_away(engine: Engine) {
        let app = TestApp::start_with(engine, |config| config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()]).await;
        app.user(ADA).await;
        let mut browser = RawBrowser::new(&app);
        let page = browser.open("/signin").await;
        let (action, csrf, cookie) = (page.form("/login").action, page.csrf(), browser.cookie());
        let login = |number: usize, email: &str, password: &str| {
            let address = format!("10.0.{}.{}", number / 250, number % 250);
            let fields = [("csrf", csrf.as_str()), ("email", email), ("password", password)];
            Raw::post(&action).header("Cookie", &cookie).header("X-Forwarded-For", address).form(&fields)
        };
        let logins = join_all((0..1_000).map(|number| login(number, &format!("u{number}@example.org"), WRONG).send(&app)));
        let others = async {
            let mut others = Vec::new();
            for target in ["/jwks.json", "/healthz", "/register", "/readyz"].iter().cycle().take(40) {
                others.push(Raw::get(target).send(&app).await.status.as_u16());
            }
            others
        };
        let (answers, others) = tokio::join!(logins, others);
        let verified = answers.iter().filter(|answer| answer.status == 401).count();
        let sent_away: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
        assert_eq!(verified + sent_away.len(), 1_000);
        assert!(!sent_away.is_empty() && verified >= 64, "{verified} verified");
        for answer in &sent_away {
            answer.assert_error_page(503, "unavailable");
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "RL-10");
        }
        assert!(others.iter().all(|status| *status == 200), "{others:?}");
        // Who was sent away was not tried.
        assert_eq!(app.count("audit", "event = 'sign_in_failed'").await, verified);
        let tried = app.count("throttles", "id LIKE 'account:%' AND in_a_row = 1").await;
        assert_eq!(tried, verified);
        assert_eq!(login(2_000, ADA, PASSWORD).send(&app).await.status, 303, "afterwards all is well");
    }
}
