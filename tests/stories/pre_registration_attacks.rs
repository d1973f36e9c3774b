//! Nobody can prepare an account for somebody else, or learn from a registration what became of an address.

use std::time::Duration;

use crate::outages::begin;
use crate::registration::{ADA, register};
use crate::support::browser::{Answer, Browser};
use crate::support::client::{authorize, request};
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines};

const MALLORYS: &str = "tinker violet staple orbit";
const HOUR: Duration = Duration::from_secs(3600);

async fn activate(browser: &Browser, page: &Answer, password: &str) -> Answer {
    browser.submit_only(page, "/activate", &[("password", password)]).await
}

async fn can_sign_in(app: &TestApp, password: &str) -> bool {
    let browser = app.browser();
    let page = browser.open("/signin").await;
    browser.sign_in(&page, ADA, password).await.url.ends_with("/account")
}

on_both_engines! {
    async fn a_link_opened_in_another_browser_needs_the_password_of_its_registration(engine: Engine) {
        let app = TestApp::start(engine).await;
        let mallory = app.browser();
        register(&mallory, ADA, MALLORYS).await;
        let link = app.sink.mail_to(ADA, 1).await.link();
        let ada = app.browser();
        let page = ada.open(&link).await;
        assert!(page.body.contains("type=\"password\"") && page.text().contains("another browser"), "{}", page.text());
        for (password, status, says) in [
            ("", 422, "Enter"),
            (PASSWORD, 401, "not the password of this registration"),
            (&MALLORYS.to_uppercase(), 401, "not the password of this registration"),
        ] {
            let refused = activate(&ada, &page, password).await;
            assert_eq!(refused.status, status, "{}", refused.text());
            assert!(refused.text().contains(says), "{}", refused.text());
            assert!(refused.body.contains("/register?email=ada"), "the link to register oneself");
        }
        assert_eq!(app.count("users", "1 = 1").await, 0);
        assert_eq!(app.count("audit", "event = 'sign_in_failed'").await, 2, "each comparison is recorded");

        // Ada's own registration began in this browser: it asks for no password, and ends Mallory's.
        app.wait(HOUR);
        register(&ada, ADA, PASSWORD).await;
        let own = ada.open(&app.sink.mail_to(ADA, 2).await.link()).await;
        assert!(!own.body.contains("type=\"password\""), "{}", own.text());
        assert!(ada.submit(&own, "/activate", &[]).await.text().contains("Your account is active"));
        assert!(can_sign_in(&app, PASSWORD).await && !can_sign_in(&app, MALLORYS).await);
        activate(&ada, &page, MALLORYS).await.assert_page("link-used");
    }

    async fn whoever_registered_activates_on_another_device_with_the_password(engine: Engine) {
        let app = TestApp::start(engine).await;
        register(&app.browser(), ADA, PASSWORD).await;
        let phone = app.browser();
        let page = phone.open(&app.sink.mail_to(ADA, 1).await.link()).await;
        let active = phone.submit(&page, "/activate", &[("password", PASSWORD)]).await;
        assert!(active.text().contains("Your account is active"), "{}", active.text());
        assert_eq!(app.count("audit", "event = 'sign_in_failed'").await, 0);
        assert_eq!(app.count("throttles", "id LIKE 'account:%'").await, 0, "a right password is not counted");
    }

    async fn guesses_at_a_registrations_password_are_counted_and_locked_out(engine: Engine) {
        let app = TestApp::start(engine).await;
        register(&app.browser(), ADA, PASSWORD).await;
        let phone = app.browser();
        let page = phone.open(&app.sink.mail_to(ADA, 1).await.link()).await;
        // A stranger who locks the address does not keep out the holder of a link.
        let stranger = app.browser();
        let login = stranger.open("/signin").await;
        for _ in 0..11 {
            stranger.sign_in(&login, ADA, MALLORYS).await;
        }
        assert_eq!(stranger.sign_in(&login, ADA, MALLORYS).await.status, 429);
        for _ in 0..10 {
            assert_eq!(activate(&phone, &page, MALLORYS).await.status, 401);
        }
        let locked = activate(&phone, &page, PASSWORD).await;
        assert_eq!((locked.status.as_u16(), locked.header("retry-after")), (429, "900"));
        app.wait(HOUR / 4);
        assert!(activate(&phone, &page, PASSWORD).await.location().is_some());
    }

    async fn a_mail_requested_again_through_an_expired_link_gives_nobody_the_registration(engine: Engine) {
        let app = TestApp::start(engine).await;
        register(&app.browser(), ADA, MALLORYS).await;
        let link = app.sink.mail_to(ADA, 1).await.link();
        app.wait(25 * HOUR);
        let ada = app.browser();
        let expired = ada.open(&link).await;
        expired.assert_page("link-expired");
        let sent = ada.submit(&expired, "/activate/resend", &[]).await;
        assert!(sent.url.ends_with("/signin") || sent.url.contains("/flow/"), "{}", sent.url);
        let soon = ada.submit_only(&expired, "/activate/resend", &[]).await;
        assert_eq!(soon.status, 429, "{}", soon.text());
        let page = ada.open(&app.sink.mail_to(ADA, 2).await.link()).await;
        assert_eq!(activate(&ada, &page, PASSWORD).await.status, 401);
        assert_eq!(app.count("users", "1 = 1").await, 0);
    }

    async fn rg_01_a_stranger_does_not_learn_when_the_owner_activates(engine: Engine) {
        let app = TestApp::start(engine).await;
        let (mallory, other) = (app.browser(), app.browser());
        let ada = app.browser();
        let twice = register(&ada, ADA, PASSWORD).await;
        register(&ada, ADA, PASSWORD).await;
        let link = app.sink.mail_to(ADA, 2).await.link();
        let waiting = register(&mallory, ADA, MALLORYS).await;
        let known = register(&other, "zoe@example.org", MALLORYS).await;
        let login = mallory.open("/signin").await;
        let before = mallory.sign_in(&login, ADA, MALLORYS).await;
        let own = ada.open(&link).await;
        ada.submit(&own, "/activate", &[]).await;
        let after = mallory.sign_in(&login, ADA, MALLORYS).await;
        assert!(before.status == 403 && after.status == 403, "{} {}", before.text(), after.text());
        ada.get(&twice.url).await.assert_page("registration-used");

        let seen = mallory.get(&waiting.url).await;
        assert_eq!((seen.status.as_u16(), seen.text().contains("Check your mail")), (200, true), "{}", seen.text());
        let (mut ended, mut open) = (Vec::new(), Vec::new());
        let said = |answer: Answer| (answer.status, answer.text().contains("Too many wrong codes"));
        for _ in 0..6 {
            ended.push(said(mallory.submit_only(&waiting, "/code", &[("code", "AAAAAAAA")]).await));
            open.push(said(other.submit_only(&known, "/code", &[("code", "AAAAAAAA")]).await));
        }
        assert_eq!(ended, open, "codes are counted alike");
        app.wait(HOUR / 30);
        assert!(mallory.submit(&waiting, "/resend", &[]).await.url.ends_with(waiting.url.rsplit('/').next().unwrap()));
        assert_eq!(app.sink.mail_to(ADA, 4).await.subject, "Your account is active");
        assert_eq!(app.count("outbox", "kind = 'already_registered'").await, 0, "no fourth mail within the hour");
        assert_eq!(app.sink.mails_to(ADA).len(), 4);
        app.wait(48 * HOUR);
        mallory.get(&waiting.url).await.assert_page("registration-expired");
    }

    async fn rg_01_a_registration_expires_at_the_same_moment_with_a_late_mail_or_none(engine: Engine) {
        let app = TestApp::start_still(engine).await;
        app.user(ADA).await;
        let (known, free) = (app.browser(), app.browser());
        let of_known = register(&known, ADA, MALLORYS).await;
        let of_free = register(&free, "zoe@example.org", MALLORYS).await;
        app.wait(20 * HOUR);
        let _running = begin(&app).await;
        let mail = app.sink.mail_to("zoe@example.org", 1).await;
        assert!(mail.text.contains("within 4 hours"), "{}", mail.text);
        let ends = app.texts("SELECT CAST(expires_at - created_at AS TEXT) FROM registrations").await;
        assert_eq!(ends, ["86400000", "86400000"]);
        app.wait(4 * HOUR);
        known.get(&of_known.url).await.assert_page("registration-expired");
        free.get(&of_free.url).await.assert_page("registration-expired");
        free.open(&mail.link()).await.assert_page("link-expired");
    }

    async fn an_activation_is_confirmed_although_the_client_changed_meanwhile(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.register(&confidential("tides")).await;
        let browser = app.browser();
        let login = browser.open(&authorize(&request("tides"))).await;
        let register_at = login.body.split('"').find(|text| text.starts_with("/register?flow=")).unwrap().to_owned();
        let page = browser.open(&register_at).await;
        let fields = [("name", "Ada"), ("email", ADA), ("password", PASSWORD), ("password_confirm", PASSWORD)];
        browser.submit(&page, "/register", &fields).await;
        app.sql("UPDATE clients SET scope = 'openid', epoch = epoch + 1").await;
        let link = browser.open(&app.sink.mail_to(ADA, 1).await.link()).await;
        let active = browser.submit(&link, "/activate", &[]).await;
        assert!(active.text().contains("Your account is active"), "{}", active.text());
        assert_eq!(browser.get(&register_at).await.status, 200);
    }
}
