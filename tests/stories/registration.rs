//! Asking for an account (security.md 2.7): what is told, to whom, and what is refused.

use std::time::Duration;

use idp_core::user::UserState;
use idp_server::config::RateLimits;

use crate::sign_in::attempt;
use crate::support::browser::{Answer, Browser};
use crate::support::raw::{FORM, Raw, RawBrowser};
use crate::support::uni::assert_alike;
use crate::support::{Engine, PASSWORD, TestApp, on_both_engines};

pub(crate) const ADA: &str = "ada@example.org";

/// Fills in the form for `email`, without following.
pub(crate) async fn ask(browser: &Browser, email: &str, password: &str) -> Answer {
    let page = browser.open("/register").await;
    let fields =
        [("name", "Ada Lovelace"), ("email", email), ("password", password), ("password_confirm", password)];
    browser.submit_only(&page, "/register", &fields).await
}

/// Fills in the form for `email`, up to "check your mail".
pub(crate) async fn register(browser: &Browser, email: &str, password: &str) -> Answer {
    let answer = ask(browser, email, password).await;
    let check = browser.follow(answer).await;
    assert!(check.text().contains("Check your mail"), "{} {}", check.status, check.text());
    check
}

/// What one registration leaves behind: accounts, attempts, records.
async fn work(app: &TestApp) -> [usize; 3] {
    [
        app.count("users", "1 = 1").await,
        app.count("registrations", "1 = 1").await,
        app.count("audit", "event LIKE 'registration%'").await,
    ]
}

/// So many browsers that nobody knows register Ada's address; what they are shown.
async fn strangers_ask(app: &TestApp, times: usize) -> Vec<String> {
    let mut faces = Vec::new();
    for _ in 0..times {
        faces.push(register(&app.browser(), ADA, PASSWORD).await.face(&[ADA]));
    }
    faces
}

/// The same with a browser whose cookies can be changed.
async fn ask_raw(browser: &mut RawBrowser<'_>, email: &str) {
    let page = browser.open("/register").await;
    let fields = [("name", "Eve"), ("email", email), ("password", PASSWORD), ("password_confirm", PASSWORD)];
    assert!(browser.submit(&page, "/register", &fields).await.text().contains("Check your mail"));
}

on_both_engines! {
    async fn fault_11_a_name_is_kept_as_its_language_writes_it_or_refused_in_words(engine: Engine) {
        let app = TestApp::start(engine).await;
        let browser = app.browser();
        let page = browser.open("/register").await;
        let ask = async |name: &str, email: &str| {
            let fields = [("name", name), ("email", email), ("password", PASSWORD), ("password_confirm", PASSWORD)];
            browser.submit_only(&page, "/register", &fields).await
        };
        for (name, code) in [("Ada\u{200B} Lovelace", "U+200B"), ("Ada\u{202E}", "U+202E"), ("A\u{200D}da", "U+200D")] {
            let refused = ask(name, ADA).await;
            assert_eq!(refused.status, 422);
            let told = format!("Your name contains a character that cannot be seen ({code})");
            assert!(refused.text().contains(&told), "{}", refused.text());
        }
        assert_eq!(app.count("registrations", "1 = 1").await, 0);
        for (number, name) in ["علی\u{200C}رضا", "ශ\u{DCA}\u{200D}රී", "葛\u{E0100}城", "👩\u{200D}🚀"].iter().enumerate() {
            let email = format!("person{number}@example.org");
            assert_eq!(ask(name, &email).await.status, 303);
            let kept = app.texts(&format!("SELECT name FROM registrations WHERE email = '{email}'")).await;
            assert_eq!(kept, [*name]);
            let link = app.sink.mail_to(&email, 1).await.link();
            let activate = browser.open(&link).await;
            browser.submit(&activate, "/activate", &[]).await;
            assert_eq!(app.texts(&format!("SELECT name FROM users WHERE email = '{email}'")).await, [*name]);
        }
    }

    async fn rg_01_a_known_and_a_new_address_get_the_same_answers_for_the_same_work(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user("ada@example.org").await;
        let off = app.user("abe@example.org").await;
        app.set_state(off.id, UserState::Deactivated).await;
        let mut faces = Vec::new();
        // All begin with one letter, since the page shows the first one of what was typed.
        for (address, owner, subject) in [
            ("ann@example.org", "ann@example.org", "Activate your account"),
            ("ada@example.org", "ada@example.org", "You already have an account"),
            ("ADA@example.org", "ada@example.org", "You already have an account"),
            ("abe@example.org", "abe@example.org", "You already have an account"),
        ] {
            app.wait(Duration::from_secs(3601));
            let (browser, before, mails) = (app.browser(), work(&app).await, app.sink.mails_to(owner).len());
            let asked = ask(&browser, address, PASSWORD).await;
            let [users, attempts, records] = before;
            assert_eq!(work(&app).await, [users, attempts + 1, records + 1], "{address}");
            let check = browser.follow(asked.clone()).await;
            let mail = app.sink.mail_to(owner, mails + 1).await;
            assert_eq!((mail.subject.as_str(), mail.recipients), (subject, vec![owner.to_owned()]));
            let wrong = browser.submit_only(&check, "/code", &[("code", "AAAA-AAAA")]).await;
            app.wait(Duration::from_secs(61));
            let again = browser.submit_only(&check, "/resend", &[]).await;
            app.sink.mail_to(owner, mails + 2).await;
            let told = browser.follow(again.clone()).await;
            faces.push([asked, check, wrong, again, told].map(|answer| answer.face(&[address])).join("\n\n"));
        }
        assert_alike(&faces);
        assert!(faces[0].contains("The mail is on its way"), "{}", faces[0]);
    }

    async fn rg_01_lg_01_the_password_of_a_registration_tells_nobody_whether_the_address_has_an_account(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user("ada@example.org").await;
        let off = app.user("abe@example.org").await;
        app.set_state(off.id, UserState::Deactivated).await;
        let mut faces = Vec::new();
        for address in ["ann@example.org", "ada@example.org", "abe@example.org"] {
            app.wait(Duration::from_secs(3601));
            let mine = "a stranger's own long password";
            let browser = app.browser();
            register(&browser, address, mine).await;
            let stranger = app.browser();
            let mut told = Vec::new();
            for browser in [&browser, &stranger] {
                told.push(attempt(browser, address, "not the one I chose").await);
                let unactivated = attempt(browser, address, mine).await;
                assert!(unactivated.text().contains("not active yet"), "{address}: {}", unactivated.text());
                app.wait(Duration::from_secs(61));
                let again = browser.submit_only(&unactivated, "/resend", &[]).await;
                told.extend([unactivated, again.clone(), browser.follow(again).await]);
            }
            faces.push(told.iter().map(|answer| answer.face(&[address])).collect::<Vec<_>>().join("\n\n"));
        }
        assert_alike(&faces);
        // Only the owner was told, and the account is as it was.
        assert_eq!(app.sink.mails_to("ann@example.org").len(), 3);
        assert_eq!(attempt(&app.browser(), "ada@example.org", PASSWORD).await.status, 303);
        assert_eq!(app.count("users", "1 = 1").await, 2);
    }

    async fn rg_02_where_registration_is_closed_nothing_goes_on_either(engine: Engine) {
        let mut app = TestApp::start(engine).await;
        let browser = app.browser();
        let check = register(&browser, ADA, PASSWORD).await;
        let mail = app.sink.mail_to(ADA, 1).await;
        let page = browser.open(&mail.link()).await;
        app.restart_with(|config| config.registration = false).await;
        let code = mail.code();
        for answer in [
            browser.get(&check.url).await,
            browser.get(&mail.link()).await,
            browser.submit(&page, "/activate", &[]).await,
            browser.submit(&check, "/code", &[("code", &code)]).await,
            browser.submit(&check, "/resend", &[]).await,
        ] {
            answer.assert_error_page(403, "registration-closed");
        }
        let unactivated = attempt(&browser, ADA, PASSWORD).await;
        assert!(unactivated.text().contains("not active yet") && !unactivated.body.contains("/resend"));
        assert_eq!((app.count("users", "1 = 1").await, app.count("outbox", "1 = 1").await), (0, 0));
        assert_eq!(app.sink.count(), 1);
    }

    async fn rg_01_the_owners_mail_says_nothing_a_stranger_wrote(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let browser = app.browser();
        let page = browser.open("/register").await;
        let fields = [("name", "Click evil.example now"), ("email", "ADA@example.org"), ("password", PASSWORD), ("password_confirm", PASSWORD)];
        browser.submit(&page, "/register", &fields).await;
        let mail = app.sink.mail_to(ADA, 1).await;
        assert!(!mail.raw.contains("evil.example") && !mail.raw.contains("ADA@"), "{}", mail.raw);
        assert!(mail.text.contains("Hello Ada Lovelace"), "{}", mail.text);
        assert!(mail.link().ends_with("/signin"));
    }

    async fn rg_02_where_registration_is_closed_nothing_comes_of_it(engine: Engine) {
        let app = TestApp::start_with(engine, |config| config.registration = false).await;
        let browser = app.browser();
        let login = browser.open("/signin").await;
        assert!(!login.body.contains("href=\"/register"), "{}", login.body);
        let csrf = login.csrf();
        let before = app.whole_state().await;
        let shown = browser.get("/register").await;
        assert_eq!((shown.status.as_u16(), shown.text().contains("Registration is closed")), (403, true));
        let fields = [("csrf", csrf.as_str()), ("name", "Ada"), ("email", ADA), ("password", PASSWORD), ("password_confirm", PASSWORD)];
        for target in ["/register", "/register?flow=x"] {
            browser.post(target, &fields).await.assert_error_page(403, "registration-closed");
        }
        for action in ["", "/code", "/resend"] {
            let target = format!("/register/01935a1e-8a33-7000-8000-000000000000{action}");
            let answer = match action {
                "" => browser.get(&target).await,
                _ => browser.post(&target, &[("csrf", &csrf)]).await,
            };
            answer.assert_error_page(403, "registration-closed");
        }
        assert_eq!(app.whole_state().await, before);
        assert_eq!(app.sink.count(), 0);
    }

    async fn rg_03_fields_that_are_not_the_forms_are_refused(engine: Engine) {
        let app = TestApp::start(engine).await;
        let mut ada = RawBrowser::new(&app);
        let csrf = ada.open("/register").await.csrf();
        let before = app.state().await;
        for (name, value) in [("role", "admin"), ("groups[]", "admin"), ("email_verified", "true"), ("enabled", "true"), ("id", "1"),
            ("totp_secret", "x"), ("state", "active"), ("roles", "admin"), ("email[]", "eve@example.org"), ("__proto__", "x")]
        {
            let fields = [("csrf", csrf.as_str()), ("name", "Ada"), ("email", ADA), ("password", PASSWORD), ("password_confirm", PASSWORD), (name, value)];
            ada.send(Raw::post("/register").form(&fields)).await.assert_page("bad-request");
        }
        for doubled in ["name", "email", "password", "password_confirm"] {
            let fields = [("csrf", csrf.as_str()), ("name", "Ada"), ("email", ADA), ("password", PASSWORD), ("password_confirm", PASSWORD), (doubled, "eve@example.org")];
            ada.send(Raw::post("/register").form(&fields)).await.assert_page("bad-request");
        }
        assert_eq!(app.state().await, before);
        assert_eq!(app.sink.count(), 0);
    }

    async fn rg_04_a_name_that_looks_like_an_address_opens_nothing_of_its_owner(engine: Engine) {
        let app = TestApp::start(engine).await;
        let ada = app.user(ADA).await;
        let browser = app.browser();
        for (email, name) in [("eve@example.org", ADA.to_owned()), ("eva@example.org", ada.id.to_string())] {
            let page = browser.open("/register").await;
            let password = "violet ladder pancake tunnel";
            let fields = [("name", name.as_str()), ("email", email), ("password", password), ("password_confirm", password)];
            browser.submit(&page, "/register", &fields).await;
            let activate = browser.open(&app.sink.mail_to(email, 1).await.link()).await;
            assert!(browser.submit(&activate, "/activate", &[]).await.text().contains("Your account is active"));
            let login = browser.open("/signin").await;
            for known in [ADA.to_owned(), ada.id.to_string()] {
                let answer = browser.sign_in(&login, &known, password).await;
                assert!([401, 422].contains(&answer.status.as_u16()), "{known}");
            }
        }
        let account = app.signed_in(ADA).await.open("/account").await;
        assert!(account.text().contains("Hello, Ada Lovelace"), "{}", account.text());
    }

    async fn rg_06_only_one_plain_address_is_taken(engine: Engine) {
        let app = TestApp::start(engine).await;
        let browser = app.browser();
        let csrf = browser.open("/register").await.csrf();
        let before = app.state().await;
        let long = format!("{}@{}.example.org", "a".repeat(60), "b.".repeat(95));
        for address in ["", " ", "ada", "@example.org", "ada@", "ada@localhost", "ada@example.org\r\nBcc: eve@example.org", "ada@example.org\nBcc: eve@example.org",
            "ada@example.org,eve@example.org", "ada@example.org;eve@example.org", "ada@example.org eve@example.org", "<ada@example.org>,<eve@example.org>",
            "<ada@example.org>", "Ada <ada@example.org>", "\"ada\"@example.org", "\"a b\"@example.org", "ada@[127.0.0.1]", "ada@[IPv6:::1]", "ada@127.0.0.1",
            "ada@eve@example.org", "ada(eve@example.org)@example.org", "ada..b@example.org", ".ada@example.org", "ada@-example.org", "ada@example..org",
            "ada@exam\u{0}ple.org", "=?utf-8?q?ada?=@example.org>", &long]
        {
            let fields = [("csrf", csrf.as_str()), ("name", "Ada"), ("email", address), ("password", PASSWORD), ("password_confirm", PASSWORD)];
            let answer = browser.post("/register", &fields).await;
            let status = answer.status.as_u16();
            assert!(status == 422 || status == 400, "{address:?}: {status}");
            assert!(status == 400 || answer.body.contains("id=\"email-error\""), "{address:?}");
        }
        assert_eq!(app.state().await, before);
        assert_eq!(app.sink.count(), 0);
    }

    async fn rg_11_a_password_is_refused_with_its_reason_and_never_for_its_signs(engine: Engine) {
        let app = TestApp::start(engine).await;
        let browser = app.browser();
        for (password, reason) in [
            ("", "Enter a password."),
            ("tinker brass u", "Use at least 15 characters"),
            ("passwordpassword", "Choose a stronger password."),
            ("aaaaaaaaaaaaaaaaaaaa", "Choose a stronger password."),
            ("qwertyuiopasdfghjkl", "Choose a stronger password."),
            ("abcdefghijklmnopqrst", "Choose a stronger password."),
            ("123456789012345678", "Choose a stronger password."),
            ("lighthouse lighthouse", "Choose a stronger password."),
            ("ada@example.org", "This contains your name or address."),
            ("ada lovelace lovelace", "This contains your name or address."),
            (&"tinker brass umbrella ".repeat(12), "Use at most 256 characters"),
        ] {
            let answer = ask(&browser, ADA, password).await;
            assert_eq!(answer.status, 422, "{password}");
            assert!(answer.text().contains(reason), "{password}: {}", answer.text());
            assert!(["", ADA].contains(&password) || !answer.body.contains(&format!("value=\"{password}\"")), "a password comes back");
        }
        let page = browser.open("/register").await;
        let fields = [("name", "Ada"), ("email", ADA), ("password", PASSWORD), ("password_confirm", "another")];
        let answer = browser.submit(&page, "/register", &fields).await;
        assert!(answer.text().contains("The two passwords differ."), "{}", answer.text());
        assert_eq!(app.count("registrations", "1 = 1").await, 0);
        let exactly = format!("{}orbit", "tinker brass umbrella ".repeat(12))[..256].to_owned();
        for (number, password) in ["tinker brass um", "violet ladder pancake tunnel", "  spaces welcome everywhere  ", "密码学的历史很长而且有趣得很呢", "🦀 🐙 🌊 🧭 ⚓ 🪝 🐚 🐳", &exactly].iter().enumerate() {
            register(&browser, &format!("u{number}@example.org"), password).await;
        }
    }

    async fn rg_13_too_much_is_refused_before_anything_is_hashed(engine: Engine) {
        let app = TestApp::start_with(engine, |config| config.limits = RateLimits::default()).await;
        let mut ada = RawBrowser::new(&app);
        let csrf = ada.open("/register").await.csrf();
        let form = |email: &str, password: &str| {
            Raw::post("/register").form(&[("csrf", csrf.as_str()), ("name", "Ada"), ("email", email), ("password", password), ("password_confirm", password)])
        };
        ada.send(Raw::post("/register").announced(FORM, 1 << 20)).await.assert_error_page(413, "too-large");
        assert_eq!(ada.send(form(ADA, &"tinker brass ".repeat(500))).await.status, 422);
        let mut statuses = Vec::new();
        for number in 0..25 {
            let answer = ada.send(form(&format!("ada{number}@example.org"), PASSWORD)).await;
            statuses.push(answer.status.as_u16());
            if answer.status == 429 {
                answer.assert_error_page(429, "too-many-requests");
                assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
            }
        }
        let made = statuses.iter().filter(|status| **status == 303).count();
        // Twenty a minute, and what a slow machine gets back meanwhile.
        assert!((18..25).contains(&made) && statuses.contains(&429), "{statuses:?}");
        assert_eq!(app.count("registrations", "1 = 1").await, made);
    }

    async fn rg_13_the_fourth_mail_in_an_hour_to_one_address_is_not_sent_and_nobody_sees_it(engine: Engine) {
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
            // A mail is either in the outbox or with the mail server, in this order.
            assert_eq!(app.mails_in_all(address).await, 3);
            app.wait(Duration::from_secs(3601));
            register(&app.browser(), address, PASSWORD).await;
            app.sink.mail_to(address, 4).await;
        }
    }

    async fn fault_16_strangers_cannot_use_up_the_mails_of_an_account_that_is_known_in_a_browser(engine: Engine) {
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

    async fn fault_16_who_reads_the_mails_that_a_stranger_asked_for_can_register_the_address(engine: Engine) {
        let app = TestApp::start(engine).await;
        let mut faces = strangers_ask(&app, 5).await;
        assert_eq!(app.mails_in_all(ADA).await, 3);
        // Not known yet: nobody gets a mail, and nobody sees it.
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

    async fn fault_16_what_shows_that_an_address_is_known_is_of_one_browser_and_one_address(engine: Engine) {
        let app = TestApp::start(engine).await;
        let mine = "eve@example.org";
        let mut eve = RawBrowser::new(&app);
        register(&app.browser(), mine, PASSWORD).await;
        let link = app.sink.mail_to(mine, 1).await.link();
        eve.open(link.strip_prefix(&app.issuer).unwrap()).await;
        let shown = eve.cookies["idp-mailbox"].clone();
        // Both last until the browser is closed: the one is worth nothing without the other.
        let set: Vec<String> = eve.seen.iter().flat_map(Answer::cookies).collect();
        for name in ["idp-browser=", "idp-mailbox="] {
            assert!(set.iter().any(|cookie| cookie.starts_with(name) && !cookie.contains("Max-Age")), "{set:?}");
        }
        strangers_ask(&app, 3).await;
        // She reads the mail of one address, and asks for another one.
        ask_raw(&mut eve, ADA).await;
        assert_eq!(app.mails_in_all(ADA).await, 3);
        // Somebody else has her cookie, or makes one.
        register(&app.browser(), mine, PASSWORD).await;
        register(&app.browser(), mine, PASSWORD).await;
        for cookie in [shown, "A".repeat(43), "x".to_owned()] {
            let mut other = RawBrowser::new(&app);
            other.cookies.insert("idp-mailbox".to_owned(), cookie);
            ask_raw(&mut other, mine).await;
            assert_eq!(app.mails_in_all(mine).await, 3);
        }
        ask_raw(&mut eve, mine).await;
        assert_eq!(app.mails_in_all(mine).await, 4);
    }

    async fn fault_16_an_expired_link_brings_a_mail_however_many_strangers_asked_for(engine: Engine) {
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

    async fn fault_16_an_expired_link_brings_a_mail_in_the_browser_that_registered_as_well(engine: Engine) {
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

    async fn fault_16_an_expired_link_makes_the_browser_known_that_registered(engine: Engine) {
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

    async fn fault_16_where_a_strangers_mail_is_the_newest_the_page_leads_to_registering_again(engine: Engine) {
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
