//! What the pages of a registration say in each of its states, in its own browser and in others.

use std::time::Duration;

use crate::registration::{ADA, register};
use crate::sign_in::{WRONG, attempt};
use crate::support::{Engine, PASSWORD, TestApp, on_both_engines};

const HOUR: Duration = Duration::from_secs(3600);

on_both_engines! {
    async fn fault_14_a_sign_in_elsewhere_takes_a_registration_from_nobody(engine: Engine) {
        let app = TestApp::start(engine).await;
        let (own, other) = (app.browser(), app.browser());
        let check = register(&own, ADA, PASSWORD).await;
        let mail = app.sink.mail_to(ADA, 1).await;
        let unactivated = attempt(&other, ADA, PASSWORD).await;
        assert!(unactivated.text().contains("not active yet"), "{}", unactivated.text());
        // Its own browser goes on: page, wrong code, another mail, link without a password.
        assert!(own.get(&check.url).await.text().contains("Check your mail"));
        let wrong = own.submit(&check, "/code", &[("code", "AAAA-AAAA")]).await;
        assert!(wrong.text().contains("That code is not right"), "{}", wrong.text());
        let question = own.open(&mail.link()).await;
        assert!(!question.body.contains("type=\"password\"") && !question.text().contains("another browser"), "{}", question.text());
        // The other one goes on as well: it proved the password.
        app.wait(Duration::from_secs(61));
        let page = other.submit(&unactivated, "/resend", &[]).await;
        assert!(page.text().contains("The mail is on its way") && page.text().contains("Check your mail"), "{}", page.text());
        let newest = app.sink.mail_to(ADA, 2).await;
        let question = other.open(&newest.link()).await;
        assert!(!question.body.contains("type=\"password\""), "{}", question.text());
        let active = other.submit(&question, "/activate", &[]).await;
        assert!(active.text().contains("Your account is active"), "{}", active.text());
        for browser in [&own, &other] {
            assert!(browser.get(&check.url).await.text().contains("Your account is active"));
        }
    }

    async fn fault_14_the_code_works_in_both_browsers(engine: Engine) {
        for in_own in [true, false] {
            let app = TestApp::start(engine).await;
            let (own, other) = (app.browser(), app.browser());
            let check = register(&own, ADA, PASSWORD).await;
            let code = app.sink.mail_to(ADA, 1).await.code();
            attempt(&other, ADA, PASSWORD).await;
            let browser = if in_own { &own } else { &other };
            let page = browser.open(&check.url).await;
            let active = browser.submit(&page, "/code", &[("code", &code)]).await;
            assert!(active.text().contains("Your account is active"), "{in_own}: {}", active.text());
        }
    }

    async fn fault_14_activating_an_account_does_not_greet_somebody_else_with_it(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user("eve@example.org").await;
        register(&app.browser(), ADA, PASSWORD).await;
        let eve = app.signed_in("eve@example.org").await;
        let question = eve.open(&app.sink.mail_to(ADA, 1).await.link()).await;
        let page = eve.submit(&question, "/activate", &[("password", PASSWORD)]).await;
        assert!(page.url.ends_with("/account"), "{}", page.url);
        let said = "The new account is active. In this browser you are still signed in with the one below.";
        assert!(page.text().contains(said) && page.text().contains("eve@example.org"), "{}", page.text());
        assert_eq!(attempt(&app.browser(), ADA, PASSWORD).await.status, 303);
    }

    async fn fault_14_an_account_activated_in_its_own_browser_is_not_mistaken_for_the_one_signed_in(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user("eve@example.org").await;
        let eve = app.signed_in("eve@example.org").await;
        let check = register(&eve, ADA, PASSWORD).await;
        let active = eve.submit(&check, "/code", &[("code", &app.sink.mail_to(ADA, 1).await.code())]).await;
        let said = "In this browser you are still signed in with another account, eve@example.org.";
        assert!(active.text().contains("Your account is active") && active.text().contains(said), "{}", active.text());
        assert!(!active.text().contains("Everything is ready"), "{}", active.text());
    }

    async fn fault_14_a_browser_that_knows_an_account_is_not_told_that_it_is_inactive(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let own = app.signed_in(ADA).await;
        let account = own.open("/account").await;
        own.submit(&account, "/logout/confirm", &[]).await;
        let other_password = "harbour lantern mosaic";
        register(&own, ADA, other_password).await;
        let wrong = attempt(&own, ADA, other_password).await;
        assert!(wrong.status == 401 && wrong.text().contains("is not right"), "{} {}", wrong.status, wrong.text());
        // Strangers see what they would see of any registration.
        let stranger = attempt(&app.browser(), ADA, other_password).await;
        assert!(stranger.status == 403 && stranger.text().contains("not active yet"), "{}", stranger.text());
    }

    async fn fault_14_only_the_right_password_opens_a_registration_elsewhere(engine: Engine) {
        let app = TestApp::start(engine).await;
        let (own, other) = (app.browser(), app.browser());
        let check = register(&own, ADA, PASSWORD).await;
        let mail = app.sink.mail_to(ADA, 1).await;
        attempt(&other, ADA, WRONG).await;
        other.get(&check.url).await.assert_page("flow-expired");
        assert!(!other.get(&check.url).await.text().contains("This page was open too long"));
        // One registration proves nothing about another one.
        let mine = "violet ladder pancake tunnel";
        register(&own, "mia@example.org", mine).await;
        attempt(&other, "mia@example.org", mine).await;
        other.get(&check.url).await.assert_page("flow-expired");
        let question = other.open(&mail.link()).await;
        assert!(question.body.contains("type=\"password\""), "{}", question.text());
        other.submit(&question, "/activate", &[("password", "")]).await;
        assert_eq!(app.count("users", "1 = 1").await, 0);
    }

    async fn fault_14_a_link_of_another_registration_does_not_claim_that_it_was_used(engine: Engine) {
        let app = TestApp::start(engine).await;
        let (own, other) = (app.browser(), app.browser());
        register(&other, ADA, "violet ladder pancake tunnel").await;
        let unused = app.sink.mail_to(ADA, 1).await.link();
        register(&own, ADA, PASSWORD).await;
        let page = own.open(&app.sink.mail_to(ADA, 2).await.link()).await;
        own.submit(&page, "/activate", &[]).await;
        let over = own.open(&unused).await;
        over.assert_page("link-used");
        assert!(over.text().contains("Already active") && !over.text().contains("used before"), "{}", over.text());
    }

    async fn fault_14_the_page_says_how_long_the_link_works_from_now(engine: Engine) {
        let app = TestApp::start(engine).await;
        let browser = app.browser();
        let check = register(&browser, ADA, PASSWORD).await;
        assert!(check.text().contains("works for 24 hours"), "{}", check.text());
        app.wait(20 * HOUR);
        let later = browser.open(&check.url).await;
        assert!(later.text().contains("works for 4 hours"), "{}", later.text());
        app.wait(3 * HOUR + HOUR / 2);
        let last = browser.open(&check.url).await;
        assert!(last.text().contains("works for less than an hour"), "{}", last.text());
        app.wait(HOUR);
        let over = browser.open(&check.url).await;
        over.assert_page("registration-expired");
        assert!(!over.text().contains("Nobody"), "somebody may have, with another registration");
    }

    async fn fault_14_a_link_whose_registration_is_gone_offers_no_new_one(engine: Engine) {
        let app = TestApp::start(engine).await;
        let browser = app.browser();
        register(&browser, ADA, PASSWORD).await;
        let link = app.sink.mail_to(ADA, 1).await.link();
        let page = browser.open(&link).await;
        app.wait(25 * HOUR);
        assert!(browser.get(&link).await.text().contains("We can send you a new one"));
        app.sql("DELETE FROM registrations").await;
        for gone in [browser.get(&link).await, browser.submit(&page, "/activate", &[]).await] {
            gone.assert_page("link-expired");
            assert!(!gone.text().contains("We can send you a new one") && !gone.body.contains("/activate/resend"), "{}", gone.text());
            assert!(gone.text().contains("Create the account again"), "{}", gone.text());
        }
    }

    async fn fault_14_a_closed_registration_offers_no_mail(engine: Engine) {
        let mut app = TestApp::start(engine).await;
        let browser = app.browser();
        register(&browser, ADA, PASSWORD).await;
        app.sink.mail_to(ADA, 1).await;
        app.restart_with(|config| config.registration = false).await;
        let text = attempt(&browser, ADA, PASSWORD).await.text();
        assert!(text.contains("not active yet") && !text.contains("sent again") && !text.contains("Open the link"), "{text}");
    }
}
