//! Registration: what people are told, and what is refused.

use std::time::Duration;

use idp_core::user::UserState;
use idp_server::config::RateLimits;

use crate::sign_in::attempt;
use crate::support::browser::{Answer, Browser};
use crate::support::indistinguishable::assert_alike;
use crate::support::raw::{FORM, Raw, RawBrowser};
use crate::support::{Engine, PASSWORD, TestApp, on_both_engines};

pub(crate) const ADA: &str = "ada@example.org";

/// Sends the form for `email`, without following the redirect.
pub(crate) async fn ask(browser: &Browser, email: &str, password: &str) -> Answer {
    let page = browser.open("/register").await;
    let fields =
        [("name", "Ada Lovelace"), ("email", email), ("password", password), ("password_confirm", password)];
    browser.submit_only(&page, "/register", &fields).await
}

/// Sends the form for `email` and follows the redirect to "check your mail".
pub(crate) async fn register(browser: &Browser, email: &str, password: &str) -> Answer {
    let answer = ask(browser, email, password).await;
    let check = browser.follow(answer).await;
    assert!(check.text().contains("Check your mail"), "{} {}", check.status, check.text());
    check
}

/// What registrations leave behind: accounts, registrations, audit records.
async fn work(app: &TestApp) -> [usize; 3] {
    [
        app.count("users", "1 = 1").await,
        app.count("registrations", "1 = 1").await,
        app.count("audit", "event LIKE 'registration%'").await,
    ]
}

on_both_engines! {
    async fn fault_11_a_name_is_kept_as_its_language_writes_it_or_refused_with_a_reason(engine: Engine) {
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
        // All begin with the same letter, because the page shows the first letter of what was typed.
        for (address, owner, subject) in [
            ("ann@example.org", "ann@example.org", "Activate your account"),
            ("ada@example.org", "ada@example.org", "You already have an account"),
            ("ADA@example.org", "ada@example.org", "You already have an account"),
            ("abe@example.org", "abe@example.org", "You already have an account"),
        ] {
            app.wait(Duration::from_secs(3601));
            let (browser, before, mails) = (app.browser(), work(&app).await, app.sink.mails_to(owner).len());
            let asked = ask(&browser, address, PASSWORD).await;
            let [users, registrations, records] = before;
            assert_eq!(work(&app).await, [users, registrations + 1, records + 1], "{address}");
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
        // Only the owner was told, and the account is unchanged.
        assert_eq!(app.sink.mails_to("ann@example.org").len(), 3);
        assert_eq!(attempt(&app.browser(), "ada@example.org", PASSWORD).await.status, 303);
        assert_eq!(app.count("users", "1 = 1").await, 2);
    }

    async fn rg_02_closing_registration_also_stops_open_registrations(engine: Engine) {
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

    async fn rg_01_the_owners_mail_contains_nothing_a_stranger_wrote(engine: Engine) {
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

    async fn rg_02_nobody_can_register_while_registration_is_closed(engine: Engine) {
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

    async fn rg_03_fields_that_the_form_does_not_have_are_refused(engine: Engine) {
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

    async fn rg_04_a_name_that_looks_like_an_address_gives_no_access_to_that_account(engine: Engine) {
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

    async fn rg_06_only_a_single_plain_address_is_accepted(engine: Engine) {
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

    async fn rg_11_a_password_is_refused_with_a_reason_and_never_for_its_characters(engine: Engine) {
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
            assert!(["", ADA].contains(&password) || !answer.body.contains(&format!("value=\"{password}\"")), "a password is sent back");
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
        // Twenty a minute, plus what a slow machine gets back meanwhile.
        assert!((18..25).contains(&made) && statuses.contains(&429), "{statuses:?}");
        assert_eq!(app.count("registrations", "1 = 1").await, made);
    }
}
