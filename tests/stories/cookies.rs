//! Cookies of several servers on one host, which browsers do not keep apart by port.

use crate::registration::ADA;
use crate::support::browser::Answer;
use crate::support::client::{authorize, changed, request};
use crate::support::raw::{Raw, RawBrowser};
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines};

const NAMES: [&str; 4] = ["session", "browser", "notice", "mailbox"];

/// The cookies of a version that did not write the port into their names.
fn with_old_names(browser: &mut RawBrowser<'_>, app: &TestApp) {
    for name in NAMES {
        if let Some(value) = browser.cookies.remove(&app.cookie(name)) {
            browser.cookies.insert(format!("idp-{name}"), value);
        }
    }
}

async fn is_signed_in(browser: &mut RawBrowser<'_>) -> bool {
    browser.open("/account").await.text().contains(ADA)
}

on_both_engines! {
    async fn fault_21_two_servers_on_one_host_do_not_sign_each_other_out(engine: Engine) {
        let (one, other) = (TestApp::start(engine).await, TestApp::start(engine).await);
        for app in [&one, &other] {
            app.user(ADA).await;
        }
        let here = one.browser();
        let there = here.at(&other.issuer);
        let (page_here, page_there) = (here.open("/signin").await, there.open("/signin").await);
        here.sign_in(&page_here, ADA, PASSWORD).await;
        there.sign_in(&page_there, ADA, PASSWORD).await;
        for browser in [&here, &there, &here] {
            assert!(browser.open("/account").await.text().contains(ADA));
        }
        let account = there.open("/account").await;
        assert!(there.submit(&account, "/logout/confirm", &[]).await.text().contains("You are signed out"));
        assert!(here.open("/account").await.text().contains(ADA), "signing out there is not signing out here");
    }

    async fn fault_21_cookies_of_the_old_names_are_read_once_and_replaced(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&confidential("tides")).await;
        let mut ada = RawBrowser::new(&app);
        ada.sign_in(ADA).await;
        let question = ada.open(&authorize(&request("tides"))).await;
        let before = ada.cookies.clone();
        with_old_names(&mut ada, &app);
        // Her session, her open flow and the form on the page go on.
        let answer = ada.submit(&question, "/consent", &[("decision", "allow")]).await;
        assert!(answer.onward().is_some_and(|to| to.contains("code=")), "{} {}", answer.status, answer.text());
        for name in [app.cookie("session"), app.cookie("browser")] {
            assert_eq!(ada.cookies.get(&name), before.get(&name), "{name}");
        }
        assert!(!ada.cookies.contains_key("idp-session"), "replaced: {:?}", ada.cookies);
        assert!(is_signed_in(&mut ada).await);
        assert_eq!(app.count("known_browsers", "1 = 1").await, 1);
        // From now on the old names mean nothing here, and signing out leaves nothing behind.
        ada.cookies.insert("idp-notice".to_owned(), "signed-in".to_owned());
        let account = ada.open("/account").await;
        assert!(!account.body.contains("id=\"notice\""), "{}", account.text());
        ada.submit(&account, "/logout/confirm", &[]).await;
        assert!(!is_signed_in(&mut ada).await && !ada.cookies.contains_key("idp-session"));
    }

    async fn fault_21_a_notice_and_a_known_mailbox_survive_the_new_names(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let mut ada = RawBrowser::new(&app);
        let page = ada.open("/signin").await;
        let form = page.form("/login");
        let mut fields: Vec<(&str, &str)> = form.hidden.iter().map(|(name, value)| (&**name, &**value)).collect();
        fields.extend([("email", ADA), ("password", PASSWORD)]);
        ada.send(Raw::post(&form.action).form(&fields)).await;
        ada.cookies.insert(app.cookie("mailbox"), "A".repeat(43));
        with_old_names(&mut ada, &app);
        let account = ada.open("/account").await;
        assert!(account.text().contains("You are signed in."), "{}", account.text());
        assert!(!ada.open("/account").await.body.contains("id=\"notice\""), "shown once");
        assert_eq!(ada.cookies[&app.cookie("mailbox")], "A".repeat(43));
        // A browser that signed in stays known after it was closed.
        let set: Vec<String> = ada.seen.iter().flat_map(Answer::cookies).collect();
        let lasting = set.iter().rfind(|cookie| cookie.starts_with(&app.cookie("browser"))).unwrap();
        assert!(lasting.contains("Max-Age=15552000"), "{lasting}");
    }

    async fn fault_21_what_may_be_the_other_servers_is_left_alone(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let mut ada = RawBrowser::new(&app);
        // A server on the host's default port uses the names without a port.
        let theirs = "A".repeat(43);
        for name in ["idp-session", "idp-browser", "idp-mailbox"] {
            ada.cookies.insert(name.to_owned(), theirs.clone());
        }
        let page = ada.open("/signin").await;
        assert!(!page.text().contains("without activity"), "nobody knows whose it was: {}", page.text());
        ada.sign_in(ADA).await;
        assert!(is_signed_in(&mut ada).await);
        let page = ada.open(&authorize(&changed("nobody", &[]))).await;
        assert_eq!(page.status, 400);
        for name in ["idp-session", "idp-browser", "idp-mailbox"] {
            assert_eq!(ada.cookies.get(name), Some(&theirs), "{name}");
        }
        // Two session cookies of one name: one was planted, and neither counts, old or new.
        let session = ada.cookies[&app.cookie("session")].clone();
        let doubled = format!("idp-session={session}; idp-session={session}");
        let answer = Raw::get("/account").header("Cookie", doubled).send(&app).await;
        assert_eq!(answer.status, 303);
    }

    async fn fault_21_what_others_have_set_on_this_host_does_not_hide_our_cookies(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let mut ada = RawBrowser::new(&app);
        ada.sign_in(ADA).await;
        let session = format!("{}={}", app.cookie("session"), ada.cookies[&app.cookie("session")]);
        for theirs in ["city=Z\u{fc}rich", "\u{e4}", "=", "a", "", "q=\"a;b\"", "idp-session\u{e4}=x"] {
            for line in [format!("{theirs}; {session}"), format!("{session}; {theirs}"), format!("{theirs};{session};{theirs}")] {
                let answer = Raw::get("/account").header("Cookie", line.clone()).send(&app).await;
                assert_eq!(answer.status, 200, "{line}");
            }
        }
    }
}
