//! Limits per client address, and what happens when more comes in than the machine can handle.

use futures_util::future::join_all;
use idp_server::config::{HashingConfig, RateLimits};

use crate::registration::ADA;
use crate::sign_in::WRONG;
use crate::support::raw::{Raw, RawBrowser};
use crate::support::{Engine, PASSWORD, TestApp, on_both_engines};

const FORGED: [&str; 6] =
    ["X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP"];

on_both_engines! {
    async fn rl_01_a_forged_address_gets_nobody_past_a_limit(engine: Engine) {
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

    async fn rl_01_behind_a_trusted_proxy_only_its_own_entry_counts(engine: Engine) {
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

    async fn rl_05_a_thousand_sign_ins_at_once_are_served_or_turned_away(engine: Engine) {
        let app = TestApp::start_with(engine, |config| {
            config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
            // Three times the default: time to verify 64 even on a machine that runs other stories meanwhile.
            config.hashing = HashingConfig { sign_in_wait: 3 * HashingConfig::default().sign_in_wait, ..HashingConfig::default() };
        }).await;
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
        let turned_away: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
        assert_eq!(verified + turned_away.len(), 1_000);
        assert!(!turned_away.is_empty() && verified >= 64, "{verified} verified");
        for answer in &turned_away {
            answer.assert_error_page(503, "unavailable");
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "RL-10");
        }
        assert!(others.iter().all(|status| *status == 200), "{others:?}");
        // A sign-in that was turned away does not count as a try.
        assert_eq!(app.count("audit", "event = 'sign_in_failed'").await, verified);
        let tried = app.count("throttles", "id LIKE 'account:%' AND in_a_row = 1").await;
        assert_eq!(tried, verified);
        assert_eq!(login(2_000, ADA, PASSWORD).send(&app).await.status, 303, "afterwards sign-in works");
    }

    async fn fault_02_registrations_with_a_password_that_is_hard_to_judge_do_not_block_sign_ins(engine: Engine) {
        let hard = "4a@8b({c[<3e69g1!i|l0o$s5+t7%x2zp4s$w0rd|3t!m3!n7ru$7n01m0nk3y5!";
        let app = TestApp::start_with(engine, |config| {
            config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
            config.hashing = HashingConfig { sign_in_wait: config.hashing.sign_in_wait, ..HashingConfig::default() };
            config.limits = RateLimits::default();
        }).await;
        app.user(ADA).await;
        let mut browser = RawBrowser::new(&app);
        let page = browser.open("/signin").await;
        let (action, csrf, cookie) = (page.form("/login").action, page.csrf(), browser.cookie());
        let post = |target: &str, address: String, fields: &[(&str, &str)]| {
            let fields = [&[("csrf", csrf.as_str())], fields].concat();
            Raw::post(target).header("Cookie", &cookie).header("X-Forwarded-For", address).form(&fields).send(&app)
        };
        let register = |number: usize| {
            let email = format!("u{number}@example.org");
            let fields = [("name", "Ada"), ("email", email.as_str()), ("password", hard), ("password_confirm", hard)];
            post("/register", format!("10.0.0.{}", number / 20), &fields)
        };
        let registrations = join_all((0..260).map(register));
        let sign_ins = async {
            // Wait until the first registration is done; the others fill their queue.
            for _ in 0..10_000 {
                if app.count("registrations", "1 = 1").await > 0 {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            let mut statuses = Vec::new();
            let mut done = Vec::new();
            for number in 0..8 {
                let fields = [("email", ADA), ("password", if number % 2 == 0 { WRONG } else { PASSWORD })];
                statuses.push(post(&action, format!("10.1.0.{number}"), &fields).await.status.as_u16());
                done.push(app.count("registrations", "1 = 1").await);
            }
            (statuses, done)
        };
        let (answers, (sign_ins, done)) = tokio::join!(registrations, sign_ins);
        // Once this browser is signed in, the later forms are outdated.
        assert_eq!(sign_ins[..2], [401, 303], "{sign_ins:?}");
        assert!(!sign_ins.contains(&503), "{sign_ins:?}");
        let taken = answers.iter().filter(|answer| answer.status == 303).count();
        let turned_away: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
        assert_eq!(taken + turned_away.len(), 260);
        // Neither waited for the registrations that were queued before it.
        assert!(done[0] <= taken / 2 && done[1] < taken, "of {taken} registrations {done:?} finished before the sign-ins");
        for answer in &turned_away {
            answer.assert_error_page(503, "unavailable");
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
        }
        // A registration that was turned away leaves nothing behind, and may be sent again.
        for table in ["registrations", "throttles WHERE id LIKE 'mail:attempt:%'"] {
            assert_eq!(app.count(table.split(' ').next().unwrap(), table.split_once("WHERE ").map_or("1 = 1", |it| it.1)).await, taken);
        }
    }
}
