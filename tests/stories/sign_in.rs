//! Signing in: what people are told before and after the right password.

use std::time::Duration;

use idp_core::user::UserState;

use crate::registration::{ADA, register};
use crate::support::browser::{Answer, Browser};
use crate::support::client::{authorize, changed, request};
use crate::support::indistinguishable::assert_alike;
use crate::support::raw::{Raw, RawBrowser};
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines};

pub(crate) const WRONG: &str = "violet ladder pancake tunnel";

/// One try in a new flow of this browser.
pub(crate) async fn attempt(browser: &Browser, email: &str, password: &str) -> Answer {
    let page = browser.open("/signin").await;
    browser.submit_only(&page, "/login", &[("email", email), ("password", password)]).await
}

/// What failed tries leave behind: audit records, and counted tries.
async fn work(app: &TestApp) -> (usize, i64) {
    let tries = app.texts("SELECT CAST(in_a_row AS TEXT) FROM throttles WHERE id LIKE 'account:%'").await;
    (
        app.count("audit", "event = 'sign_in_failed'").await,
        tries.iter().map(|tries| tries.parse::<i64>().unwrap()).sum(),
    )
}

/// From now on, every such write changes all accounts as well: `INSERT ON throttles` comes when a try is counted, before
/// the password is compared.
pub(crate) async fn meanwhile(app: &TestApp, when: &str, change: &str) {
    let change = format!("UPDATE users SET {change};");
    let sql = match app.engine() {
        Engine::Sqlite => format!("CREATE TRIGGER meanwhile AFTER {when} BEGIN {change} END"),
        Engine::Postgres => format!(
            "CREATE OR REPLACE FUNCTION meanwhile() RETURNS trigger AS $$ BEGIN {change} RETURN NULL; END $$ \
             LANGUAGE plpgsql; \
             CREATE TRIGGER meanwhile AFTER {when} FOR EACH ROW EXECUTE FUNCTION meanwhile()"
        ),
    };
    app.sql(&sql).await;
}

async fn no_longer(app: &TestApp) {
    let on = if app.engine() == Engine::Postgres { " ON throttles" } else { "" };
    app.sql(&format!("DROP TRIGGER meanwhile{on}")).await;
}

on_both_engines! {
    async fn lg_01_a_wrong_password_gets_the_same_answer_whatever_the_state_of_the_account(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user("act@example.org").await;
        let off = app.user("off@example.org").await;
        app.set_state(off.id, UserState::Deactivated).await;
        register(&app.browser(), "new@example.org", PASSWORD).await;
        let bare = app.user("nop@example.org").await;
        app.sql(&format!("UPDATE users SET password_hash = NULL WHERE id = '{}'", bare.id)).await;
        let mut faces = Vec::new();
        for email in ["nix@example.org", "act@example.org", "off@example.org", "new@example.org", "nop@example.org", "ACT@example.org"] {
            let (failed, tries) = work(&app).await;
            let answer = attempt(&app.browser(), email, WRONG).await;
            assert_eq!(answer.status, 401, "{email}");
            assert!(answer.text().contains("That e-mail or password is not right."), "{email}");
            assert_eq!(work(&app).await, (failed + 1, tries + 1), "{email}");
            faces.push(answer.face(&[email]));
        }
        assert_alike(&faces);
        // The same through a client that names the person.
        app.register(&confidential("tides")).await;
        let mut faces = Vec::new();
        for email in ["nix@example.org", "act@example.org", "off@example.org", "new@example.org"] {
            let browser = app.browser();
            let page = browser.open(&authorize(&changed("tides", &[("login_hint", Some(email))]))).await;
            assert!(page.body.contains(&format!("value=\"{email}\"")), "the hint is filled in");
            let answer = browser.submit_only(&page, "/login", &[("email", email), ("password", WRONG)]).await;
            faces.push([page, answer].map(|answer| answer.face(&[email])).join("\n\n"));
        }
        assert_alike(&faces);
    }

    async fn lg_01_the_state_of_the_account_is_shown_only_after_the_right_password(engine: Engine) {
        let app = TestApp::start(engine).await;
        let off = app.user("off@example.org").await;
        app.set_state(off.id, UserState::Deactivated).await;
        let answer = attempt(&app.browser(), "off@example.org", PASSWORD).await;
        assert_eq!((answer.status.as_u16(), answer.text().contains("This account is switched off.")), (403, true));
        assert!(answer.cookies().iter().all(|cookie| !cookie.contains("session")));
        register(&app.browser(), ADA, PASSWORD).await;
        app.sink.mail_to(ADA, 1).await;
        // Another browser than the one that registered.
        let browser = app.browser();
        let answer = attempt(&browser, ADA, PASSWORD).await;
        assert_eq!((answer.status.as_u16(), answer.text().contains("This account is not active yet.")), (403, true));
        app.wait(Duration::from_secs(61));
        let check = browser.submit(&answer, "/resend", &[]).await;
        assert!(check.text().contains("Check your mail") && check.text().contains("The mail is on its way"), "{}", check.text());
        let code = app.sink.mail_to(ADA, 2).await.code();
        let active = browser.submit(&check, "/code", &[("code", &code)]).await;
        assert!(active.text().contains("Your account is active"), "{}", active.text());
        assert_eq!(app.count("sessions", "1 = 1").await, 0);
        // Each is recorded with its reason, but a right password does not count as a try, whatever the state.
        let details = app.texts("SELECT detail FROM audit WHERE event = 'sign_in_failed' ORDER BY detail").await;
        assert_eq!(details, ["deactivated", "not activated"]);
        let tries = app.texts("SELECT CAST(in_a_row AS TEXT) FROM throttles WHERE id NOT LIKE 'mail:%'").await;
        assert!(tries.iter().all(|tries| tries == "0"), "{tries:?}");
    }

    async fn an_incomplete_form_does_not_count_as_a_try(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        for (email, password, error) in [("", PASSWORD, "email-error"), (ADA, "", "password-error"), ("ada", PASSWORD, "email-error"), ("", "", "password-error")] {
            let answer = attempt(&app.browser(), email, password).await;
            assert_eq!((answer.status.as_u16(), answer.body.contains(error)), (422, true), "{email} {error}");
        }
        assert_eq!((app.count("throttles", "1 = 1").await, app.count("audit", "event LIKE 'sign_in%'").await), (0, 0));
    }

    async fn fault_21_an_account_that_changes_during_the_sign_in_is_told_so_and_it_is_audited(engine: Engine) {
        let app = TestApp::start(engine).await;
        for (email, change, told, detail) in [
            (ADA, "epoch = epoch + 1", "Your account was changed at this moment", "changed during the sign-in"),
            (
                "ben@example.org",
                "epoch = epoch + 1, state = 'deactivated' WHERE email = 'ben@example.org'",
                "This account is switched off",
                "deactivated",
            ),
        ] {
            app.user(email).await;
            meanwhile(&app, "INSERT ON throttles", change).await;
            let answer = attempt(&app.browser(), email, PASSWORD).await;
            assert!(answer.status.is_client_error() && answer.text().contains(told), "{email}: {}", answer.text());
            assert_eq!(answer.text().contains("switched off"), detail == "deactivated", "{}", answer.text());
            assert!(!answer.cookies().iter().any(|cookie| cookie.starts_with("idp-session")));
            let condition = format!("event = 'sign_in_failed' AND detail = '{detail}' AND subject IS NOT NULL");
            assert_eq!(app.count("audit", &condition).await, 1, "{email}");
            no_longer(&app).await;
        }
        assert_eq!(work(&app).await, (2, 0), "the password was right, so no try counts");
        assert_eq!((app.count("sessions", "1 = 1").await, app.count("audit", "event = 'signed_in'").await), (0, 0));
        assert_eq!(attempt(&app.browser(), ADA, PASSWORD).await.status, 303, "now it works");
    }

    async fn lg_02_signing_in_brings_a_new_session_and_the_old_one_is_dead_everywhere(engine: Engine) {
        let app = TestApp::start(engine).await;
        let second = app.second_node().await;
        app.user(ADA).await;
        app.register(&confidential("tides")).await;
        let mut ada = RawBrowser::new(&app);
        let planted = "A".repeat(43);
        ada.cookies.insert(app.cookie("session"), planted.clone());
        ada.sign_in(ADA).await;
        let first = ada.cookies[&app.cookie("session")].clone();
        assert_ne!(first, planted, "a session that was there before must not become signed in");
        assert_eq!(ada.open("/account").await.status, 200);
        // Signing in again, because a client asks for it.
        let page = ada.open(&authorize(&changed("tides", &[("prompt", Some("login"))]))).await;
        ada.submit(&page, "/login", &[("email", ADA), ("password", PASSWORD)]).await;
        let next = ada.cookies[&app.cookie("session")].clone();
        assert_ne!(next, first);
        for (cookie, alive) in [(&planted, false), (&first, false), (&next, true)] {
            let cookie = format!("{}={cookie}", app.cookie("session"));
            let here = Raw::get("/account").header("Cookie", &cookie).send(&app).await;
            let there = second.browser().send(reqwest::Method::GET, "/account", None, &[("cookie", &cookie)]).await;
            for answer in [here, there] {
                assert_eq!(answer.status == 200, alive, "{:?}", answer.location());
            }
        }
    }

    async fn lg_04_only_our_own_flows_decide_where_a_sign_in_ends(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        for evil in ["//evil.example", "/\\evil.example", "/%5cevil.example", "/%09/evil.example", "https:evil.example", "https://evil.example", "/@evil.example",
            "javascript:alert(1)", "/account"]
        {
            for name in ["return_to", "next", "redirect", "continue", "url", "target", "flow"] {
                let mut ada = RawBrowser::new(&app);
                let query = crate::support::raw::encode(&[(name, evil)]);
                let begun = ada.send(Raw::get(&format!("/signin?{query}"))).await;
                let flow = begun.location().unwrap();
                assert!(flow.starts_with("/flow/") && !flow.contains("evil"), "{flow}");
                // A page ignores what it does not know.
                let page = ada.send(Raw::get(&format!("{flow}?{query}"))).await;
                assert_eq!((page.status.as_u16(), page.form("/login").action), (200, format!("{flow}/login")));
                assert!(!page.body.contains("evil"), "{evil}: {}", page.body);
                let fields = [("csrf", page.csrf()), ("email", ADA.to_owned()), ("password", PASSWORD.to_owned()), (name, evil.to_owned())];
                let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
                ada.send(Raw::post(&format!("{flow}/login")).form(&fields)).await.assert_page("bad-request");
                if name == "flow" {
                    let signed_in = ada.send(Raw::post(&format!("{flow}/login")).form(&fields[..3])).await;
                    assert_eq!(signed_in.location().as_deref(), Some(flow.as_str()));
                    assert_eq!(ada.send(Raw::get(&flow)).await.location().as_deref(), Some("/account"));
                }
            }
        }
    }

    async fn lg_05_text_that_looks_like_a_query_is_only_text(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let browser = app.browser();
        let before = app.count("sessions", "1 = 1").await;
        for text in ["' OR 1=1--", "' OR '1'='1", "%", "_", "*", "$ne", "{\"$ne\":1}", "ad%@example.org", "_da@example.org", "ada@example.org' --",
            "ada@example.org%00", "*@example.org", "\\", "ada@example.or_"]
        {
            for (email, password) in [(text, PASSWORD), (ADA, text), (text, text)] {
                let answer = attempt(&browser, email, password).await;
                assert!([401, 422].contains(&answer.status.as_u16()), "{email} {password}: {}", answer.status);
            }
            let encoded = crate::support::raw::encode(&[("", text)]);
            for path in ["/flow", "/register", "/activate?token=", "/dev/mail"] {
                let answer = browser.get(&format!("{path}/{encoded}")).await;
                assert!([400, 404].contains(&answer.status.as_u16()), "{path} {text}: {}", answer.status);
            }
            // Prevents a lock-out, which this test is not about.
            app.sql("DELETE FROM throttles").await;
        }
        let page = browser.open("/signin").await;
        for (name, value) in [("email", "a\0@example.org"), ("password", "a\0")] {
            let fields = [("csrf", page.csrf()), (name, value.to_owned())];
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            browser.post(&page.form("/login").action, &fields).await.assert_page("bad-request");
        }
        assert_eq!(app.count("sessions", "1 = 1").await, before);
        assert_eq!(app.texts("SELECT email FROM users").await, [ADA]);
    }

    async fn a_flow_that_has_expired_or_belongs_to_another_browser_offers_a_new_start(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let (ada, eve) = (app.browser(), app.browser());
        let page = ada.open("/signin").await;
        let action = page.form("/login").action;
        let of_eve = eve.open("/signin").await.csrf();
        let fields = [("csrf", of_eve.as_str()), ("email", ADA), ("password", PASSWORD)];
        eve.get(action.trim_end_matches("/login")).await.assert_error_page(403, "flow-foreign");
        let posted = eve.post(&action, &fields).await;
        posted.assert_error_page(403, "flow-foreign");
        assert!(posted.body.contains("href=\"/signin\""), "{}", posted.body);
        assert_eq!(app.count("sessions", "1 = 1").await, 0);
        app.wait(Duration::from_secs(3600));
        for answer in [ada.submit(&page, "/login", &[("email", ADA), ("password", PASSWORD)]).await, ada.get(&page.url).await,
            ada.get("/flow/01935a1e-8a33-7000-8000-000000000000").await, ada.get("/flow/rubbish").await]
        {
            answer.assert_page("flow-expired");
            assert!(answer.body.contains("href=\"/signin\""), "{}", answer.body);
        }
        assert_eq!(ada.open("/signin").await.status, 200);
    }

    async fn a_second_tab_with_an_old_form_ends_on_the_right_step_or_offers_one(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&confidential("tides")).await;
        let browser = app.browser();
        let first = browser.open(&authorize(&request("tides"))).await;
        let second = browser.open(&authorize(&request("tides"))).await;
        let consent = browser.sign_in(&first, ADA, PASSWORD).await;
        assert!(consent.text().contains("Allow access?"));
        // The form in the second tab is from before the sign-in: its token is dead, and the page says what to do.
        let old = browser.sign_in(&second, ADA, PASSWORD).await;
        old.assert_error_page(403, "csrf-failed");
        // Reloading it, as the page advises, continues where the person is.
        let reloaded = browser.open(&second.url).await;
        assert!(reloaded.text().contains("Allow access?"), "{}", reloaded.text());
        let back = browser.submit(&consent, "/consent", &[("decision", "allow")]).await;
        let code = back.redirect_param("code");
        assert!(code.is_some());
        // A yes in the first tab does not override a no in the second.
        let other = browser.submit(&reloaded, "/consent", &[("decision", "deny")]).await;
        assert_eq!(other.redirect_param("error").as_deref(), Some("access_denied"), "{:?}", other.location());
        let late = browser.submit(&consent, "/consent", &[("decision", "allow")]).await;
        assert_eq!(late.redirect_param("code"), code, "{}", late.text());
    }
}
