//! The emails of registrations: how many an address gets, and who gets more.

use std::time::Duration;

use crate::registration::{ADA, register};
use crate::sign_in::attempt;
use crate::support::browser::Answer;
use crate::support::indistinguishable::assert_alike;
use crate::support::raw::RawBrowser;
use crate::support::{Engine, PASSWORD, TestApp, on_both_engines};

/// Registers Ada's address in this many unknown browsers. Returns what they are shown.
async fn strangers_ask(app: &TestApp, times: usize) -> Vec<String> {
    let mut faces = Vec::new();
    for _ in 0..times {
        faces.push(register(&app.browser(), ADA, PASSWORD).await.face(&[ADA]));
    }
    faces
}

/// Registers `email` in a browser whose cookies can be changed.
async fn ask_raw(browser: &mut RawBrowser<'_>, email: &str) {
    let page = browser.open("/register").await;
    let fields = [("name", "Eve"), ("email", email), ("password", PASSWORD), ("password_confirm", PASSWORD)];
    assert!(browser.submit(&page, "/register", &fields).await.text().contains("Check your mail"));
}

on_both_engines! {
    async fn rg_13_the_fourth_mail_in_an_hour_to_one_address_is_not_sent_and_nobody_can_tell(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user("old@example.org").await;
        for address in ["new@example.org", "old@example.org"] {
            let mut faces = Vec::new();
            for number in 1..=3 {
                let browser = app.browser();
                let check = register(&browser, address, PASSWORD).await;
                app.sink.mail_to(address, number).await;
                faces.push(check.face(&[address]));
            }
            let browser = app.browser();
            let check = register(&browser, &address.to_uppercase(), PASSWORD).await;
            app.wait(Duration::from_secs(61));
            let resent = browser.submit(&check, "/resend", &[]).await;
            assert!(resent.text().contains("The mail is on its way"));
            faces.push(check.face(&[&address.to_uppercase().replace("EXAMPLE.ORG", "example.org")]));
            assert_alike(&faces);
            assert_eq!(app.mails_in_all(address).await, 3);
            app.wait(Duration::from_secs(3601));
            register(&app.browser(), address, PASSWORD).await;
            app.sink.mail_to(address, 4).await;
        }
    }

    async fn fault_16_strangers_cannot_use_up_the_mails_of_an_account_that_a_browser_knows(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let own = app.browser();
        assert_eq!(attempt(&own, ADA, PASSWORD).await.status, 303);
        let mut faces = strangers_ask(&app, 5).await;
        assert_eq!(app.mails_in_all(ADA).await, 3);
        for mails in [4, 5, 5] {
            faces.push(register(&own, ADA, PASSWORD).await.face(&[ADA]));
            assert_eq!(app.mails_in_all(ADA).await, mails);
        }
        assert_alike(&faces);
        app.wait(Duration::from_secs(3601));
        strangers_ask(&app, 1).await;
        assert_eq!(app.mails_in_all(ADA).await, 6);
    }

    async fn fault_16_whoever_reads_the_mails_that_strangers_asked_for_can_register_the_address(engine: Engine) {
        let app = TestApp::start(engine).await;
        let mut faces = strangers_ask(&app, 5).await;
        assert_eq!(app.mails_in_all(ADA).await, 3);
        // The browser is not known yet: no email is sent, and nobody can tell.
        let own = app.browser();
        faces.push(register(&own, ADA, PASSWORD).await.face(&[ADA]));
        assert_eq!(app.mails_in_all(ADA).await, 3);
        let opened = own.open(&app.sink.mail_to(ADA, 3).await.link()).await;
        assert!(opened.text().contains("Activate your account"), "{}", opened.text());
        let check = register(&own, ADA, PASSWORD).await;
        faces.push(check.face(&[ADA]));
        assert_alike(&faces);
        let mail = app.sink.mail_to(ADA, 4).await;
        app.wait(Duration::from_secs(61));
        let resent = own.submit(&check, "/resend", &[]).await;
        assert!(resent.text().contains("The mail is on its way"), "{}", resent.text());
        assert_eq!(app.mails_in_all(ADA).await, 5);
        app.wait(Duration::from_secs(61));
        own.submit(&check, "/resend", &[]).await;
        assert_eq!(app.mails_in_all(ADA).await, 5, "two more, and no third");
        let page = own.open(&mail.link()).await;
        assert!(own.submit(&page, "/activate", &[]).await.text().contains("Your account is active"));
    }

    async fn fault_16_the_mailbox_cookie_counts_for_one_browser_and_one_address(engine: Engine) {
        let app = TestApp::start(engine).await;
        let mine = "eve@example.org";
        let mut eve = RawBrowser::new(&app);
        register(&app.browser(), mine, PASSWORD).await;
        let link = app.sink.mail_to(mine, 1).await.link();
        eve.open(link.strip_prefix(&app.issuer).unwrap()).await;
        let shown = eve.cookies[&app.cookie("mailbox")].clone();
        // Both last until the browser is closed: neither is worth anything without the other.
        let set: Vec<String> = eve.seen.iter().flat_map(Answer::cookies).collect();
        for name in [app.cookie("browser"), app.cookie("mailbox")] {
            assert!(set.iter().any(|cookie| cookie.starts_with(&name) && !cookie.contains("Max-Age")), "{set:?}");
        }
        strangers_ask(&app, 3).await;
        // She reads the email of one address, and registers another.
        ask_raw(&mut eve, ADA).await;
        assert_eq!(app.mails_in_all(ADA).await, 3);
        // Somebody else has her cookie, or makes one up.
        register(&app.browser(), mine, PASSWORD).await;
        register(&app.browser(), mine, PASSWORD).await;
        for cookie in [shown, "A".repeat(43), "x".to_owned()] {
            let mut other = RawBrowser::new(&app);
            other.cookies.insert(app.cookie("mailbox"), cookie);
            ask_raw(&mut other, mine).await;
            assert_eq!(app.mails_in_all(mine).await, 3);
        }
        ask_raw(&mut eve, mine).await;
        assert_eq!(app.mails_in_all(mine).await, 4);
    }

    async fn fault_16_an_expired_link_brings_a_mail_however_many_mails_strangers_asked_for(engine: Engine) {
        let app = TestApp::start(engine).await;
        register(&app.browser(), ADA, PASSWORD).await;
        let link = app.sink.mail_to(ADA, 1).await.link();
        app.wait(Duration::from_secs(24 * 3600 + 1));
        strangers_ask(&app, 3).await;
        assert_eq!(app.mails_in_all(ADA).await, 4);
        let phone = app.browser();
        let expired = phone.open(&link).await;
        let sent = phone.submit(&expired, "/activate/resend", &[]).await;
        assert!(sent.text().contains("The mail is on its way"), "{}", sent.text());
        assert_eq!(app.mails_in_all(ADA).await, 5);
        register(&phone, ADA, PASSWORD).await;
        assert_eq!(app.mails_in_all(ADA).await, 6, "the address is known there now");
    }

    async fn fault_16_an_expired_link_also_brings_a_mail_in_the_browser_that_registered(engine: Engine) {
        let app = TestApp::start(engine).await;
        let own = app.browser();
        register(&own, ADA, PASSWORD).await;
        let link = app.sink.mail_to(ADA, 1).await.link();
        app.wait(Duration::from_secs(24 * 3600 + 300));
        strangers_ask(&app, 3).await;
        assert_eq!(app.mails_in_all(ADA).await, 4);
        let expired = own.open(&link).await;
        let sent = own.submit(&expired, "/activate/resend", &[]).await;
        assert!(sent.text().contains("The mail is on its way"), "{}", sent.text());
        assert_eq!(app.mails_in_all(ADA).await, 5);
        let page = own.open(&app.sink.mail_to(ADA, 5).await.link()).await;
        assert!(own.submit(&page, "/activate", &[]).await.text().contains("Your account is active"));
    }

    async fn fault_16_an_expired_link_makes_the_browser_that_registered_known(engine: Engine) {
        let app = TestApp::start(engine).await;
        let own = app.browser();
        register(&own, ADA, PASSWORD).await;
        let link = app.sink.mail_to(ADA, 1).await.link();
        app.wait(Duration::from_secs(24 * 3600 + 300));
        strangers_ask(&app, 3).await;
        let expired = own.open(&link).await;
        own.submit(&expired, "/activate/resend", &[]).await;
        register(&own, ADA, PASSWORD).await;
        assert_eq!(app.mails_in_all(ADA).await, 6);
    }

    async fn fault_16_if_a_strangers_mail_is_the_newest_the_page_leads_to_registering_again(engine: Engine) {
        let app = TestApp::start(engine).await;
        strangers_ask(&app, 3).await;
        let (own, mine) = (app.browser(), "violet ladder pancake tunnel");
        register(&own, ADA, mine).await;
        assert_eq!(app.mails_in_all(ADA).await, 3);
        let page = own.open(&app.sink.mail_to(ADA, 3).await.link()).await;
        let refused = own.submit(&page, "/activate", &[("password", mine)]).await;
        assert_eq!(refused.status, 401);
        for says in ["somebody else may have registered this address", "You can still use the address yourself"] {
            assert!(refused.text().contains(says), "{}", refused.text());
        }
        let again = refused.body.split('"').find(|text| text.starts_with("/register?email=")).unwrap();
        let form = own.open(again).await;
        assert!(form.body.contains(&format!("value=\"{ADA}\"")), "{}", form.body);
        let fields = [("name", "Ada"), ("email", ADA), ("password", mine), ("password_confirm", mine)];
        own.submit(&form, "/register", &fields).await;
        let page = own.open(&app.sink.mail_to(ADA, 4).await.link()).await;
        assert!(own.submit(&page, "/activate", &[]).await.text().contains("Your account is active"));
    }
}
