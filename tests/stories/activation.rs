//! From "check your mail" to an account: by link, by code, once.

use std::time::Duration;

use idp_core::single_use;
use idp_core::user::UserState;
use idp_server::config::RateLimits;

use crate::registration::{ADA, register};
use crate::support::browser::Answer;
use crate::support::client::{authorize, changed};
use crate::support::raw::Raw;
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines};

const HOUR: Duration = Duration::from_secs(3600);

async fn accounts(app: &TestApp) -> usize {
    app.count("users", "1 = 1").await
}

/// The code with its first character replaced by another that a code may have.
fn other(code: &str) -> String {
    let sign = if code.starts_with('A') { 'B' } else { 'A' };
    format!("{sign}{}", &code[1..])
}

/// The value of the user-name field in the form with the password field, and before that.
fn user_name(page: &Answer) -> Option<String> {
    let before = page.body.split_once("type=\"password\"")?.0.rsplit_once("<form")?.1;
    let input = before.split("<input").find(|input| input.contains("autocomplete=\"username"))?;
    Some(input.split_once(" value=\"")?.1.split('"').next()?.to_owned())
}

on_both_engines! {
    async fn opening_the_link_consumes_nothing_and_the_button_consumes_it_once(engine: Engine) {
        let app = TestApp::start(engine).await;
        register(&app.browser(), ADA, PASSWORD).await;
        let link = app.sink.mail_to(ADA, 1).await.link();
        let path = link.strip_prefix(&app.issuer).unwrap();
        assert_eq!(app.mails_in_all(ADA).await, 1);
        let before = app.state().await;
        for _ in 0..3 {
            assert!(app.browser().get(&link).await.text().contains("Activate your account"));
            assert_eq!(Raw::new("HEAD", path).send(&app).await.status, 200);
            Raw::post(path).form(&[]).send(&app).await.assert_page("cookies-blocked");
        }
        assert_eq!(app.state().await, before);
        // Not the browser that registered: email is often read on the phone.
        let phone = app.browser();
        let page = phone.open(&link).await;
        let active = phone.submit(&page, "/activate", &[("password", PASSWORD)]).await;
        assert!(active.text().contains("Your account is active") && active.text().contains("Sign in"));
        assert_eq!((accounts(&app).await, app.count("sessions", "1 = 1").await), (1, 0), "activation signs nobody in");
        assert_eq!(app.count("audit", "event = 'activation'").await, 1);
        assert_eq!(app.texts("SELECT name FROM roles WHERE id IN (SELECT role_id FROM user_roles)").await, ["user"]);
        assert_eq!(app.sink.mail_to(ADA, 2).await.subject, "Your account is active");
        for answer in [phone.submit(&page, "/activate", &[("password", PASSWORD)]).await, phone.open(&link).await] {
            answer.assert_page("link-used");
            assert!(answer.text().contains("Already active") && answer.body.contains("href=\"/signin\""));
        }
        assert_eq!((accounts(&app).await, app.mails_in_all(ADA).await), (1, 2));
    }

    async fn fault_21_every_password_field_has_its_user_name_for_password_managers(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.register(&confidential("tides")).await;
        register(&app.browser(), ADA, PASSWORD).await;
        let phone = app.browser();
        let elsewhere = phone.open(&app.sink.mail_to(ADA, 1).await.link()).await;
        let wrong = phone.submit(&elsewhere, "/activate", &[("password", "not the password at all")]).await;
        let active = phone.submit(&wrong, "/activate", &[("password", PASSWORD)]).await;
        assert!(active.text().contains("Your account is active"), "the field sends nothing: {}", active.text());
        let login = phone.open("/signin").await;
        phone.sign_in(&login, ADA, PASSWORD).await;
        let again = phone.open(&authorize(&changed("tides", &[("prompt", Some("login"))]))).await;
        for page in [elsewhere, wrong, again] {
            assert_eq!(user_name(&page).as_deref(), Some(ADA), "{}", page.body);
        }
        assert_eq!(user_name(&login).as_deref(), Some(""), "to be typed");
        let register = app.browser().open("/register").await;
        let email = register.body.find("autocomplete=\"email\"").unwrap();
        assert!(email < register.body.find("type=\"password\"").unwrap(), "a new account's address is its user name");
    }

    async fn rg_10_an_expired_link_activates_nothing_and_its_page_sends_a_new_one(engine: Engine) {
        let app = TestApp::start(engine).await;
        register(&app.browser(), ADA, PASSWORD).await;
        let link = app.sink.mail_to(ADA, 1).await.link();
        let phone = app.browser();
        let page = phone.open(&link).await;
        app.wait(24 * HOUR);
        phone.submit(&page, "/activate", &[("password", PASSWORD)]).await.assert_page("link-expired");
        let expired = phone.open(&link).await;
        expired.assert_page("link-expired");
        assert_eq!(accounts(&app).await, 0);
        let sent = phone.submit(&expired, "/activate/resend", &[]).await;
        assert!(sent.text().contains("The mail is on its way"), "{}", sent.text());
        let fresh = app.sink.mail_to(ADA, 2).await.link();
        assert_ne!(fresh, link);
        phone.open(&link).await.assert_page("link-expired");
        let page = phone.open(&fresh).await;
        assert!(phone.submit(&page, "/activate", &[("password", PASSWORD)]).await.text().contains("Your account is active"));
    }

    async fn rg_10_an_altered_or_foreign_link_activates_nothing(engine: Engine) {
        let app = TestApp::start(engine).await;
        register(&app.browser(), ADA, PASSWORD).await;
        let link = app.sink.mail_to(ADA, 1).await.link();
        let token = link.split_once("token=").unwrap().1.to_owned();
        let browser = app.browser();
        let csrf = browser.open(&link).await.csrf();
        assert_eq!(app.mails_in_all(ADA).await, 1);
        let before = app.state().await;
        let mut bad: Vec<String> = (0..token.len())
            .map(|at| {
                let sign = if &token[at..=at] == "A" { "B" } else { "A" };
                format!("{}{sign}{}", &token[..at], &token[at + 1..])
            })
            .collect();
        let secret = token.split_once('_').unwrap().1;
        bad.extend(["".to_owned(), "x".to_owned(), format!("{token}A"), token[..token.len() - 1].to_owned(), format!(" {token}"),
            token.to_uppercase(), secret.to_owned(), format!("ac_{secret}"), format!("code_{secret}"), "a".repeat(5_000), format!("{token}\u{0}")]);
        for token in bad {
            let posted = browser.post("/activate", &[("csrf", &csrf), ("token", &token)]).await;
            assert_eq!(posted.status, 400, "{token}");
            let again = browser.post("/activate/resend", &[("csrf", &csrf), ("token", &token)]).await;
            assert_eq!(again.status, 400, "{token}");
            if !token.contains('\u{0}') {
                posted.assert_page("link-unknown");
                again.assert_page("link-unknown");
                browser.get(&format!("/activate?token={}", token.replace(' ', "%20"))).await.assert_page("link-unknown");
            }
        }
        browser.post("/activate", &[("csrf", &csrf), ("token", &token), ("token", &token)]).await.assert_page("bad-request");
        assert_eq!(app.state().await, before);
    }

    async fn rg_10_guessing_links_and_codes_is_throttled(engine: Engine) {
        let app = TestApp::start_with(engine, |config| config.limits = RateLimits { sign_in: 30, ..RateLimits::default() }).await;
        let browser = app.browser();
        let check = register(&browser, ADA, PASSWORD).await;
        let (csrf, action) = (check.csrf(), check.form("/code").action);
        let mail = app.sink.mail_to(ADA, 1).await;
        let token = || single_use::SingleUse::<single_use::ActivationLink>::generate();
        assert_eq!(mail.link().split_once("token=").unwrap().1.len(), token().expose().len(), "guesses look like links");
        let mut statuses = Vec::new();
        for number in 0..40 {
            // Five wrong codes use up the tries of this registration; the right one comes too late.
            let code = if number == 5 { mail.code() } else { other(&mail.code()) };
            for (target, name, guess) in [("/activate", "token", token().expose()), (&action, "code", &code)] {
                statuses.push(browser.post(target, &[("csrf", &csrf), (name, guess)]).await.status.as_u16());
            }
        }
        let guesses = [400, 422].repeat(15);
        assert!(statuses[..30] == guesses && statuses.contains(&429), "{statuses:?}");
        assert_eq!(app.texts("SELECT CAST(code_tries AS TEXT) FROM registrations").await, ["5"]);
        assert_eq!(accounts(&app).await, 0);
    }

    async fn a_code_may_be_typed_in_any_style_and_works_once(engine: Engine) {
        let app = TestApp::start(engine).await;
        let browser = app.browser();
        let check = register(&browser, ADA, PASSWORD).await;
        let mail = app.sink.mail_to(ADA, 1).await;
        let code = mail.code();
        for wrong in ["", "   ", "ABC", &other(&code), "IIII-LLLL", &format!("{code}A"), "AAAAAAAA' OR '1'='1"] {
            let answer = browser.submit(&check, "/code", &[("code", wrong)]).await;
            assert_eq!((answer.status.as_u16(), answer.body.contains("id=\"code-error\"")), (422, true), "{wrong}");
        }
        assert_eq!(accounts(&app).await, 0);
        let typed = format!("  {} ", code.to_lowercase().replace('-', " "));
        let active = browser.submit(&check, "/code", &[("code", &typed)]).await;
        assert!(active.text().contains("Your account is active"), "{}", active.text());
        let again = browser.submit(&check, "/code", &[("code", &code)]).await;
        assert!(again.text().contains("Your account is active"), "{}", again.text());
        let linked = browser.open(&mail.link()).await;
        assert!(linked.url == check.url && linked.text().contains("Your account is active"), "{}", linked.text());
        assert_eq!(accounts(&app).await, 1);
    }

    async fn a_code_is_dead_after_five_wrong_tries_and_a_new_mail_brings_a_new_one(engine: Engine) {
        let app = TestApp::start(engine).await;
        let browser = app.browser();
        let check = register(&browser, ADA, PASSWORD).await;
        let code = app.sink.mail_to(ADA, 1).await.code();
        for _ in 0..5 {
            assert_eq!(browser.submit(&check, "/code", &[("code", &other(&code))]).await.status, 422);
        }
        assert_eq!(browser.submit(&check, "/code", &[("code", &code)]).await.status, 422, "the sixth try");
        assert_eq!(accounts(&app).await, 0);
        app.wait(Duration::from_secs(61));
        browser.submit(&check, "/resend", &[]).await;
        let fresh = app.sink.mail_to(ADA, 2).await.code();
        assert_eq!(browser.submit(&check, "/code", &[("code", &code)]).await.status, 422, "the old code");
        let active = browser.submit(&check, "/code", &[("code", &fresh)]).await;
        assert!(active.text().contains("Your account is active"), "{}", active.text());
    }

    async fn parallel_tries_of_a_code_do_not_exceed_five(engine: Engine) {
        let app = TestApp::start(engine).await;
        let browser = app.browser();
        let check = register(&browser, ADA, PASSWORD).await;
        let code = app.sink.mail_to(ADA, 1).await.code();
        let wrong = other(&code);
        let fields = [("code", wrong.as_str())];
        let tries = (0..30).map(|_| browser.submit_only(&check, "/code", &fields));
        let answers = futures_util::future::join_all(tries).await;
        assert!(answers.iter().all(|answer| answer.status == 422));
        assert_eq!(app.texts("SELECT CAST(code_tries AS TEXT) FROM registrations").await, ["5"]);
        assert_eq!(browser.submit(&check, "/code", &[("code", &code)]).await.status, 422);
    }

    async fn a_code_belongs_to_its_registration_and_its_browser(engine: Engine) {
        let app = TestApp::start(engine).await;
        let (ada, eve) = (app.browser(), app.browser());
        let of_ada = register(&ada, ADA, PASSWORD).await;
        let of_eve = register(&eve, "eve@example.org", PASSWORD).await;
        let code = app.sink.mail_to(ADA, 1).await.code();
        app.sink.mail_to("eve@example.org", 1).await;
        assert_eq!(eve.submit(&of_eve, "/code", &[("code", &code)]).await.status, 422);
        assert_eq!(app.mails_in_all(ADA).await, 1);
        let before = app.state().await;
        let (csrf, action) = (of_eve.csrf(), of_ada.form("/code").action);
        eve.post(&action, &[("csrf", &csrf), ("code", &code)]).await.assert_page("flow-expired");
        eve.post(&action.replace("/code", "/resend"), &[("csrf", &csrf)]).await.assert_page("flow-expired");
        eve.get(&action.replace("/code", "")).await.assert_page("flow-expired");
        assert_eq!(app.state().await, before);
        assert!(ada.submit(&of_ada, "/code", &[("code", &code)]).await.text().contains("Your account is active"));
    }

    async fn nobody_can_prepare_an_account_for_somebody_else(engine: Engine) {
        let app = TestApp::start(engine).await;
        let (eve, ada) = (app.browser(), app.browser());
        let evil = "violet ladder pancake tunnel";
        let of_eve = register(&eve, ADA, evil).await;
        let hers = app.sink.mail_to(ADA, 1).await;
        register(&ada, "Ada@example.org", PASSWORD).await;
        let page = ada.open(&app.sink.mail_to("Ada@example.org", 1).await.link()).await;
        assert!(ada.submit(&page, "/activate", &[]).await.text().contains("Your account is active"));
        // The other registration is over, whether by link, code or password.
        ada.open(&hers.link()).await.assert_page("link-used");
        let late = eve.submit(&of_eve, "/code", &[("code", &hers.code())]).await;
        assert!(late.status == 422 && late.text().contains("Check your mail"), "she learns nothing: {}", late.text());
        let login = eve.open("/signin").await;
        assert_eq!(eve.sign_in(&login, ADA, evil).await.status, 401, "only the newest registration is compared");
        assert_eq!(eve.sign_in(&login, ADA, PASSWORD).await.status, 200);
        assert_eq!(app.count("users", "email_key = 'ada@example.org'").await, 1);
    }

    async fn a_link_does_not_touch_an_account_that_was_created_another_way(engine: Engine) {
        let app = TestApp::start(engine).await;
        let browser = app.browser();
        register(&browser, ADA, "violet ladder pancake tunnel").await;
        let link = app.sink.mail_to(ADA, 1).await.link();
        let page = browser.open(&link).await;
        let ada = app.user(ADA).await;
        app.set_state(ada.id, UserState::Deactivated).await;
        browser.submit(&page, "/activate", &[]).await.assert_page("link-used");
        assert_eq!(app.texts("SELECT state FROM users").await, ["deactivated"]);
        let login = browser.open("/signin").await;
        let refused = browser.sign_in(&login, ADA, "violet ladder pancake tunnel").await;
        assert_eq!(refused.status, 401, "this browser was told that the registration is over: {}", refused.text());
    }

    async fn an_activation_in_the_same_browser_continues_the_flow(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.register(&crate::support::confidential("tides")).await;
        let browser = app.browser();
        let request = crate::support::client::request("tides");
        let login = browser.open(&crate::support::client::authorize(&request)).await;
        let register_at = login.body.split('"').find(|text| text.starts_with("/register?flow=")).unwrap().to_owned();
        let page = browser.open(&register_at).await;
        let fields = [("name", "Ada"), ("email", ADA), ("password", PASSWORD), ("password_confirm", PASSWORD)];
        browser.submit(&page, "/register", &fields).await;
        let link = app.sink.mail_to(ADA, 1).await.link();
        let page = browser.open(&link).await;
        let active = browser.submit(&page, "/activate", &[]).await;
        let on = active.body.split('"').find(|text| text.starts_with("/flow/")).expect("a link to the flow").to_owned();
        let login = browser.open(&on).await;
        let consent = browser.sign_in(&login, ADA, PASSWORD).await;
        assert!(consent.text().contains("Allow access?"), "{}", consent.text());
    }
}
