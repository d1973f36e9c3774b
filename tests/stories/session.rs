//! Sessions: what opens one, how long it lives, how it ends.

use std::time::Duration;

use idp_core::user::UserState;

use crate::oauth_authorize::{ready, trusted};
use crate::registration::ADA;
use crate::support::client::{authorize, changed, request};
use crate::support::raw::{Raw, RawBrowser};
use crate::support::{Engine, PASSWORD, TestApp, confidential, is_logged, on_both_engines};

const MINUTE: Duration = Duration::from_secs(60);

async fn is_signed_in(app: &TestApp, cookie: &str) -> bool {
    let answer =
        Raw::get("/account").header("Cookie", format!("{}={cookie}", app.cookie("session"))).send(app).await;
    match answer.status.as_u16() {
        200 => true,
        303 if answer.location().as_deref() == Some("/signin") => false,
        other => panic!("{other} {}", answer.text()),
    }
}

/// Signs in and returns the session cookie.
async fn session(app: &TestApp) -> String {
    let mut ada = RawBrowser::new(app);
    ada.sign_in(ADA).await;
    ada.cookies[&app.cookie("session")].clone()
}

on_both_engines! {
    async fn lg_11_only_the_exact_session_cookie_works(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let cookie = session(&app).await;
        assert!(is_signed_in(&app, &cookie).await);
        let id = app.texts("SELECT id FROM sessions").await.remove(0);
        let digest = app.texts("SELECT digest FROM sessions").await.remove(0);
        let browser = app.texts("SELECT browser_digest FROM known_browsers").await.remove(0);
        assert_ne!(digest, cookie, "at rest it is a digest");
        assert!(cookie.len() >= 43, "at least 128 random bits: {cookie}");
        let changed = format!("{}{}", if cookie.starts_with('A') { "B" } else { "A" }, &cookie[1..]);
        for forged in ["", "1", "null", &cookie[1..], &cookie[..42], &changed, &format!("{cookie}A"), &cookie.to_lowercase(), &id, &digest, &browser,
            &"A".repeat(43), &"A".repeat(10_000), "%00", "' OR 1=1--"]
        {
            if forged.len() > 9_000 || forged != cookie {
                assert!(!is_signed_in(&app, forged).await, "{forged}");
            }
        }
        let doubled = format!("{0}={cookie}; {0}={cookie}", app.cookie("session"));
        let answer = Raw::get("/account").header("Cookie", doubled).send(&app).await;
        assert_eq!(answer.status, 303, "a cookie that comes twice was planted");
        assert!(is_signed_in(&app, &cookie).await);
    }

    async fn lg_11_a_session_ends_when_its_account_is_deactivated_or_an_epoch_is_raised(engine: Engine) {
        let app = TestApp::start(engine).await;
        let second = app.second_node().await;
        let ada = app.user(ADA).await;
        let cookie = session(&app).await;
        app.set_state(ada.id, UserState::Deactivated).await;
        assert!(!is_signed_in(&app, &cookie).await);
        let header = format!("{}={cookie}", app.cookie("session"));
        let there = second.browser().send(reqwest::Method::GET, "/account", None, &[("cookie", &header)]).await;
        assert_eq!(there.location().as_deref(), Some("/signin"), "dead on every node");
        app.set_state(ada.id, UserState::Active).await;
        assert!(!is_signed_in(&app, &cookie).await, "an ended session does not come back");
        let cookie = session(&app).await;
        app.store().write(ada.id, |tx, id| Box::pin(tx.raise_user_epoch(*id))).await.unwrap();
        assert!(!is_signed_in(&app, &cookie).await);
        let cookie = session(&app).await;
        app.sql("UPDATE epochs SET value = value + 1 WHERE name = 'global'").await;
        assert!(!is_signed_in(&app, &cookie).await, "as after a restore");
    }

    async fn lg_12_a_session_ends_when_idle_and_after_twelve_hours_at_the_latest(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let cookie = session(&app).await;
        app.wait(29 * MINUTE);
        assert!(is_signed_in(&app, &cookie).await);
        app.wait(29 * MINUTE);
        assert!(is_signed_in(&app, &cookie).await, "use prolongs it");
        app.wait(31 * MINUTE);
        assert!(!is_signed_in(&app, &cookie).await, "idle");
        let cookie = session(&app).await;
        for quarter in 1..48 {
            app.wait(15 * MINUTE);
            assert!(is_signed_in(&app, &cookie).await, "after {quarter} quarters of an hour");
        }
        app.wait(15 * MINUTE);
        assert!(!is_signed_in(&app, &cookie).await, "twelve hours, however busy");
    }

    async fn lg_12_a_refused_form_does_not_prolong_the_session(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let mut ada = RawBrowser::new(&app);
        ada.sign_in(ADA).await;
        let page = ada.open("/account").await;
        app.wait(10 * MINUTE);
        let seen = "SELECT CAST(last_seen_at + idle_expires_at AS TEXT) FROM sessions";
        let before = app.texts(seen).await;
        for fields in [vec![], vec![("csrf", "forged")]] {
            ada.send(Raw::post("/logout/confirm").form(&fields)).await.assert_error_page(403, "csrf-failed");
        }
        let foreign = Raw::post("/logout/confirm").form(&[("csrf", &page.csrf())]).header("Sec-Fetch-Site", "cross-site");
        ada.send(foreign).await.assert_error_page(403, "csrf-failed");
        assert_eq!(app.texts(seen).await, before, "a refused form prolonged the session");
        assert_eq!(ada.open("/account").await.status, 200);
        assert_ne!(app.texts(seen).await, before);
    }

    async fn r_14_a_page_is_served_even_if_the_use_of_its_session_cannot_be_written(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let cookie = session(&app).await;
        app.wait(10 * MINUTE);
        app.sql(match engine {
            Engine::Sqlite => "CREATE TRIGGER full BEFORE UPDATE ON sessions BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
            Engine::Postgres => "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$; \
                CREATE TRIGGER full_disk BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION full_disk()",
        }).await;
        assert!(is_signed_in(&app, &cookie).await);
        assert!(is_logged("cannot record that a session was used"));
    }

    async fn lg_13_a_token_does_not_work_as_a_session_nor_a_session_as_a_token(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&confidential("tides")).await;
        let browser = app.signed_in(ADA).await;
        let code = app.code(&browser, &request("tides")).await;
        assert!(!is_signed_in(&app, &code).await);
        let tokens = app.redeem("tides", &code).await.tokens();
        for token in [&tokens.access, &tokens.id, &tokens.access[..120]] {
            assert!(!is_signed_in(&app, token).await);
        }
        let cookie = session(&app).await;
        app.userinfo(&cookie).await.assert_invalid_token();
        app.userinfo(&tokens.id).await.assert_invalid_token();
        app.refresh("tides", &cookie).await.assert_token_error(400, "invalid_grant");
        let only_cookie = Raw::get("/userinfo").header("Cookie", format!("{}={cookie}", app.cookie("session"))).send(&app).await;
        assert_eq!(only_cookie.status, 401);
    }

    async fn lg_02_signing_in_again_brings_a_new_cookie_and_keeps_the_tokens_of_other_clients(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&trusted("waves")).await;
        let old = app.code(&browser, &request("tides")).await;
        let tokens = app.redeem("tides", &app.code(&browser, &request("tides")).await).await.tokens();
        let before = app.texts("SELECT digest FROM sessions").await;
        let login = browser.open(&authorize(&changed("waves", &[("prompt", Some("login"))]))).await;
        let answer = browser.sign_in(&login, ADA, PASSWORD).await;
        assert!(answer.redirect_param("code").is_some(), "{}", answer.text());
        assert_eq!(app.userinfo(&tokens.access).await.status, 200);
        assert_eq!(app.redeem("tides", &old).await.status, 200, "nor is a code lost that is not yet redeemed");
        let after = app.texts("SELECT digest FROM sessions WHERE ended_at IS NULL").await;
        assert!(after.len() == 1 && after != before);
        // Somebody else signs in in the same browser: the first person's session ends.
        app.user("eve@example.org").await;
        let login = browser.open(&authorize(&changed("waves", &[("prompt", Some("login"))]))).await;
        browser.sign_in(&login, "eve@example.org", PASSWORD).await;
        app.userinfo(&tokens.access).await.assert_invalid_token();
    }

    async fn after_signing_out_the_cookie_is_dead_everywhere_and_no_page_is_cached(engine: Engine) {
        let app = TestApp::start(engine).await;
        let second = app.second_node().await;
        app.user(ADA).await;
        let mut ada = RawBrowser::new(&app);
        ada.sign_in(ADA).await;
        let cookie = ada.cookies[&app.cookie("session")].clone();
        let account = ada.open("/account").await;
        assert_eq!(account.header("cache-control"), "no-store", "Back shows nothing");
        // A mere link signs nobody out: it asks.
        let asked = ada.open("/logout").await;
        assert!(asked.text().contains("Sign out of Lighthouse?") && is_signed_in(&app, &cookie).await);
        let bye = ada.submit(&account, "/logout/confirm", &[]).await;
        assert!(bye.text().contains("You are signed out"), "{}", bye.text());
        assert!(!ada.cookies.contains_key(&app.cookie("session")), "the browser forgets it");
        let left = ada.seen.iter().rev().find(|answer| answer.status == 303).unwrap();
        // Nothing of ours is in the cache: every page is `no-store`. Clearing it takes a browser seconds.
        assert_eq!((left.header("cache-control"), left.header("clear-site-data")), ("no-store", ""));
        let header = format!("{}={cookie}", app.cookie("session"));
        let there = second.browser().send(reqwest::Method::GET, "/account", None, &[("cookie", &header)]).await;
        assert_eq!(there.location().as_deref(), Some("/signin"));
        assert!(!is_signed_in(&app, &cookie).await);
        assert_eq!(app.count("audit", "event = 'sign_out'").await, 1);
        // The form on the page behind Back has nothing left to do, and leads to the same page.
        let old = ada.submit(&account, "/logout/confirm", &[]).await;
        assert!(old.text().contains("You are signed out"), "{}", old.text());
        assert_eq!(ada.open("/").await.status, 200);
    }

    async fn a_success_is_shown_once_on_the_next_page(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let browser = app.browser();
        let page = browser.open("/signin").await;
        let account = browser.sign_in(&page, ADA, PASSWORD).await;
        assert!(account.url.ends_with("/account") && account.body.contains("id=\"notice\""), "{}", account.text());
        assert!(account.text().contains("You are signed in."));
        let again = browser.open("/account").await;
        assert!(!again.body.contains("id=\"notice\""), "shown twice");
        let bye = browser.submit(&again, "/logout/confirm", &[]).await;
        assert!(bye.text().contains("You are signed out"));
        // Nobody else can put text there.
        for forged in ["<b>x</b>", "signed-in; x", "evil", "login-wrong"] {
            let answer = Raw::get("/register").header("Cookie", format!("{}={forged}", app.cookie("notice"))).send(&app).await;
            assert!(!answer.body.contains("<b>x") && !answer.body.contains("evil"), "{forged}");
            assert_eq!(answer.body.contains("id=\"notice\""), forged.starts_with("signed-in"), "{forged}");
        }
    }
}
