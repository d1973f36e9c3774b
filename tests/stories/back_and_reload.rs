//! Back, reload and the second tab: whatever a person does on an outdated page, the next one tells the truth and leads
//! on.

use std::time::Duration;

use idp_core::client::Client;
use idp_core::redirect_uri::RedirectUri;
use idp_core::user::UserState;

use crate::oauth_authorize::trusted;
use crate::registration::{ADA, register};
use crate::support::browser::{Answer, Browser};
use crate::support::client::{authorize, changed, request};
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines};

const HOUR: Duration = Duration::from_secs(3600);
const HOME: &str = "https://tides.example/start";

/// A client with a start page.
fn with_home() -> Client {
    Client { home_uri: Some(RedirectUri::parse(HOME).unwrap()), ..confidential("tides") }
}

/// Where the button on an error page leads.
fn action(answer: &Answer) -> Option<String> {
    let link = answer.body.split_once("id=\"action\" href=\"")?.1;
    Some(link.split('"').next().unwrap().replace("&amp;", "&"))
}

/// An address with characters that have a meaning in a query.
const TYPED: &str = "ada+b&c=d@example.org";

/// Where a link on a page leads.
fn link(page: &Answer, id: &str) -> String {
    let Some((_, rest)) = page.body.split_once(&format!("id=\"{id}\" href=\"")) else {
        panic!("no link {id}: {}", page.text())
    };
    rest.split('"').next().unwrap().replace("&amp;", "&")
}

/// The value of the address field.
fn filled_in(page: &Answer) -> String {
    let field = page.body.split_once("name=\"email\" type=\"email\" value=\"").unwrap().1;
    field.split('"').next().unwrap().replace("&amp;", "&")
}

/// From a client's sign-in page to its consent question.
async fn question(browser: &Browser) -> Answer {
    let login = browser.open(&authorize(&request("tides"))).await;
    let question = browser.sign_in(&login, ADA, PASSWORD).await;
    assert!(question.text().contains("Allow access?"), "{}", question.text());
    question
}

on_both_engines! {
    async fn an_answered_flow_says_so_and_leads_back_to_its_client(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&with_home()).await;
        let browser = app.browser();
        let question = question(&browser).await;
        let denied = browser.submit(&question, "/consent", &[("decision", "deny")]).await;
        for answer in [browser.get(&question.url).await, browser.submit(&question, "/consent", &[("decision", "allow")]).await] {
            assert_eq!(answer.answer_to_client(), denied.answer_to_client(), "the same answer again");
        }
        app.wait(Duration::from_secs(60));
        for answer in [browser.get(&question.url).await, browser.submit(&question, "/consent", &[("decision", "allow")]).await] {
            answer.assert_page("flow-closed");
            assert!(answer.text().contains("The answer was sent to Tide Tables.") && answer.text().contains("Back to Tide Tables"), "{}", answer.text());
            assert_eq!(action(&answer).as_deref(), Some(HOME));
        }
        // Another browser learns nothing about the flow, whether it is open or over.
        app.browser().get(&question.url).await.assert_error_page(403, "flow-foreign");
        // Without a registered start page there is no button that leads elsewhere.
        app.sql("UPDATE clients SET home_uri = NULL").await;
        let answer = browser.get(&question.url).await;
        assert!(answer.text().contains("Tide Tables") && action(&answer).is_none(), "{}", answer.text());
    }

    async fn an_address_that_was_typed_once_is_filled_in_on_the_next_page(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.register(&with_home()).await;
        let browser = app.browser();
        for begin in ["/signin".to_owned(), authorize(&request("tides"))] {
            // Typed at sign-in, it goes along to the registration and back, even if that is refused.
            let login = browser.open(&begin).await;
            assert!(!link(&login, "register").contains("email") && filled_in(&login).is_empty());
            let refused = browser.sign_in(&login, TYPED, "wrong").await;
            let register = browser.open(&link(&refused, "register")).await;
            assert_eq!(filled_in(&register), TYPED);
            let short = browser.submit(&register, "/register", &[("email", ADA), ("password", "short")]).await;
            assert_eq!(short.status, 422);
            assert_eq!(filled_in(&browser.open(&link(&short, "login")).await), ADA);
            // The flow still belongs to the client.
            assert_eq!(short.body.contains("tides.example"), begin.contains("tides"));
        }
        // From a registration without a flow.
        let page = browser.open("/register").await;
        assert_eq!(link(&page, "login"), "/signin");
        let short = browser.submit(&page, "/register", &[("email", TYPED)]).await;
        let login = browser.open(&link(&short, "login")).await;
        assert!(login.url.contains("/flow/") && filled_in(&login) == TYPED, "{}", login.url);
    }

    async fn an_address_is_filled_in_again_when_changing_it_and_after_it_was_proven_here(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.register(&with_home()).await;
        for begin in ["/signin".to_owned(), authorize(&request("tides"))] {
            let browser = app.browser();
            let login = browser.open(&begin).await;
            let page = browser.open(&link(&login, "register")).await;
            let (person, sent) = (format!("{}@example.org", begin.len()), PASSWORD);
            let fields = [("name", "Ada"), ("email", person.as_str()), ("password", sent), ("password_confirm", sent)];
            let check = browser.submit(&page, "/register", &fields).await;
            assert_eq!(filled_in(&browser.open(&link(&check, "change")).await), person);
            let activate = browser.open(&app.sink.mail_to(&person, 1).await.link()).await;
            let active = browser.submit(&activate, "/activate", &[]).await;
            let login = browser.open(&link(&active, "continue")).await;
            assert_eq!(filled_in(&login), person);
            assert_eq!(login.body.contains("tides.example"), begin.contains("tides"));
        }
    }

    async fn an_expired_flow_leads_back_to_its_client(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.register(&with_home()).await;
        let browser = app.browser();
        let login = browser.open(&authorize(&request("tides"))).await;
        app.wait(HOUR);
        for answer in [browser.get(&login.url).await, browser.sign_in(&login, ADA, PASSWORD).await] {
            answer.assert_page("flow-expired-app");
            assert!(answer.text().contains("This page was open too long") && answer.text().contains("Tide Tables"), "{}", answer.text());
            assert_eq!(action(&answer).as_deref(), Some(HOME));
        }
        app.browser().get(&login.url).await.assert_error_page(403, "flow-foreign");
    }

    async fn back_after_signing_in_here_goes_on_to_the_account(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let browser = app.browser();
        let (first, second) = (browser.open("/signin").await, browser.open("/signin").await);
        browser.sign_in(&first, ADA, PASSWORD).await;
        assert!(browser.open(&first.url).await.url.ends_with("/account"), "Back");
        assert!(browser.open(&second.url).await.url.ends_with("/account"), "reload in the second tab");
        // After a sign-out it leads to a new sign-in.
        let account = browser.open("/account").await;
        browser.submit(&account, "/logout/confirm", &[]).await;
        assert_eq!(browser.open(&first.url).await.status, 200);
    }

    async fn a_form_in_an_outdated_tab_leads_to_its_own_page(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&with_home()).await;
        let browser = app.browser();
        let first = browser.open("/signin").await;
        let second = browser.open(&authorize(&request("tides"))).await;
        let check = register(&browser, "eve@example.org", PASSWORD).await;
        let account = browser.sign_in(&first, ADA, PASSWORD).await;
        let path = |answer: &Answer| answer.url.strip_prefix(app.issuer.as_str()).unwrap().to_owned();
        for (stale, form, fields) in [
            (&second, "/login", vec![("email", ADA), ("password", PASSWORD)]),
            (&check, "/code", vec![("code", "AAAA-AAAA")]),
            (&check, "/resend", vec![]),
        ] {
            let refused = browser.submit(stale, form, &fields).await;
            refused.assert_error_page(403, "csrf-failed");
            assert_eq!(action(&refused), Some(path(stale)), "{form}");
            assert!(refused.text().contains("Try again"));
        }
        let question = browser.open(&second.url).await;
        assert!(question.text().contains("Allow access?"), "{}", question.text());
        // After a new sign-in the earlier account page is outdated, and its button leads to the account.
        let again = browser.open(&authorize(&changed("tides", &[("prompt", Some("login"))]))).await;
        browser.sign_in(&again, ADA, PASSWORD).await;
        let refused = browser.submit(&account, "/logout/confirm", &[]).await;
        refused.assert_error_page(403, "csrf-failed");
        assert_eq!(action(&refused).as_deref(), Some("/account"));
    }

    async fn pressing_sign_out_in_a_second_tab_ends_signed_out(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let browser = app.signed_in(ADA).await;
        let (first, second) = (browser.open("/account").await, browser.open("/account").await);
        browser.submit(&first, "/logout/confirm", &[]).await;
        let out = browser.submit(&second, "/logout/confirm", &[]).await;
        assert_eq!(out.status, 200, "{}", out.text());
        assert!(out.text().contains("You are signed out"), "{}", out.text());
        // From another site it is still refused.
        let cross = [("sec-fetch-site", "cross-site")];
        let forged = browser.send(reqwest::Method::POST, "/logout/confirm", Some(&[("request", "")]), &cross).await;
        forged.assert_error_page(403, "csrf-failed");
        assert_eq!(action(&forged).as_deref(), Some("/signed-out"));
    }

    async fn opening_the_address_of_a_form_leads_to_its_page(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let id = "01935a1e-8a33-7000-8000-000000000000";
        let browser = app.browser();
        for (form, page) in [
            (format!("/flow/{id}/login"), format!("/flow/{id}")),
            (format!("/flow/{id}/consent"), format!("/flow/{id}")),
            (format!("/register/{id}/code"), format!("/register/{id}")),
            (format!("/register/{id}/resend"), format!("/register/{id}")),
            ("/activate/resend".to_owned(), "/activate".to_owned()),
            ("/logout/confirm".to_owned(), "/signed-out".to_owned()),
        ] {
            let answer = browser.get(&form).await;
            assert_eq!((answer.status.as_u16(), answer.location()), (303, Some(page)), "{form}");
            let head = browser.send(reqwest::Method::HEAD, &form, None, &[]).await;
            assert_eq!((head.status, head.location()), (answer.status, answer.location()), "{form}");
        }
        let signed_in = app.signed_in(ADA).await;
        assert_eq!(signed_in.get("/logout/confirm").await.location().as_deref(), Some("/account"));
    }

    async fn an_activation_is_still_shown_when_its_page_is_reloaded(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.register(&with_home()).await;
        let browser = app.browser();
        let login = browser.open(&authorize(&request("tides"))).await;
        let at = login.body.split('"').find(|text| text.starts_with("/register?flow=")).unwrap().to_owned();
        let page = browser.open(&at).await;
        let fields = [("name", "Ada"), ("email", ADA), ("password", PASSWORD), ("password_confirm", PASSWORD)];
        let check = browser.submit(&page, "/register", &fields).await;
        let mail = app.sink.mail_to(ADA, 1).await;
        let link = browser.open(&mail.link()).await;
        let sent = browser.submit_only(&link, "/activate", &[]).await;
        assert_eq!(sent.status, 303, "the button is answered with a redirect to a page");
        let active = browser.follow(sent).await;
        for active in [browser.get(&active.url).await, browser.get(&check.url).await] {
            assert!(active.text().contains("Your account is active"), "{}", active.text());
            assert!(active.text().contains("Continue to Tide Tables"), "{}", active.text());
        }
        // A late click on the previous page ends there too.
        let late = browser.submit(&check, "/code", &[("code", &mail.code())]).await;
        assert!(late.text().contains("Your account is active"), "{}", late.text());
        // Once the client has its answer, the page offers only sign-in.
        let login = browser.open(&login.url).await;
        let question = browser.sign_in(&login, ADA, PASSWORD).await;
        browser.submit(&question, "/consent", &[("decision", "allow")]).await;
        let later = browser.get(&check.url).await;
        assert!(later.text().contains("Your account is active") && !later.text().contains("Continue to"), "{}", later.text());
        app.browser().get(&check.url).await.assert_page("flow-expired");
    }

    async fn an_activation_in_another_browser_is_shown_on_its_sign_in_page(engine: Engine) {
        let app = TestApp::start(engine).await;
        register(&app.browser(), ADA, PASSWORD).await;
        let phone = app.browser();
        let link = phone.open(&app.sink.mail_to(ADA, 1).await.link()).await;
        let sent = phone.submit_only(&link, "/activate", &[("password", PASSWORD)]).await;
        assert_eq!(sent.location().as_deref(), Some("/signin"));
        let login = phone.follow(sent).await;
        assert!(login.text().contains("Your account is active. You can sign in now."), "{}", login.text());
        assert_eq!(phone.sign_in(&login, ADA, PASSWORD).await.status, 200);
    }

    async fn a_registration_that_is_over_offers_the_next_step(engine: Engine) {
        let app = TestApp::start(engine).await;
        let (ada, eve) = (app.browser(), app.browser());
        let of_eve = register(&eve, ADA, "violet ladder pancake tunnel").await;
        app.sink.mail_to(ADA, 1).await;
        let of_ada = register(&ada, ADA, PASSWORD).await;
        let code = app.sink.mail_to(ADA, 2).await.code();
        ada.submit(&of_ada, "/code", &[("code", &code)]).await;
        // Another registration proved the address: this one is over, and does not say so to strangers.
        assert!(eve.get(&of_eve.url).await.text().contains("Check your mail"));
        let late = register(&eve, "eve@example.org", PASSWORD).await;
        app.wait(24 * HOUR);
        for expired in [eve.get(&late.url).await, eve.submit(&late, "/code", &[("code", "AAAA-AAAA")]).await, eve.submit(&late, "/resend", &[]).await] {
            expired.assert_page("registration-expired");
            assert_eq!(action(&expired).as_deref(), Some("/register?email=eve%40example.org"));
        }
        assert!(eve.open("/register?email=eve%40example.org").await.body.contains("value=\"eve@example.org\""));
        app.browser().get(&late.url).await.assert_page("flow-expired");
    }

    async fn fault_21_an_account_that_changes_during_a_request_is_asked_to_sign_in(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&trusted("moon")).await;
        let ada = app.signed_in(ADA).await;
        // The use of the session is written down before the code is.
        app.wait(Duration::from_secs(5 * 60));
        crate::sign_in::meanwhile(&app, "UPDATE ON sessions", "epoch = epoch + 1").await;
        let page = ada.open(&authorize(&request("moon"))).await;
        assert!(page.status == 200 && page.url.contains("/flow/"), "{} {}", page.status, page.text());
        let login = ada.sign_in(&page, ADA, PASSWORD).await;
        assert!(login.redirect_param("code").is_some(), "{} {}", login.status, login.text());
    }

    async fn an_expired_session_is_reported_on_the_sign_in_page(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let browser = app.signed_in(ADA).await;
        app.wait(Duration::from_secs(31 * 60));
        let ended = browser.open("/account").await;
        let told = "That happens after 30 minutes without activity, after 12 hours in any case, and when your account changes.";
        assert!(ended.text().contains(told), "{}", ended.text());
        // Any dead cookie gets this answer, and nothing else does: nobody learns what was behind it.
        let (forged, forged_cookie) = (app.browser(), format!("{}={}", app.cookie("session"), "A".repeat(43)));
        let answer = forged.send(reqwest::Method::GET, "/signin", None, &[("cookie", &forged_cookie)]).await;
        let both = format!("{forged_cookie}; {}={}", app.cookie("browser"), "E".repeat(43));
        let cookie = [("cookie", both.as_str())];
        let page = forged.send(reqwest::Method::GET, "/signin", None, &cookie).await.location().unwrap();
        let page = forged.send(reqwest::Method::GET, &page, None, &cookie).await;
        assert!(answer.status == 303 && page.text().contains(told), "{}", page.text());
        assert!(!app.browser().open("/signin").await.text().contains(told));
        let login = browser.sign_in(&ended, ADA, PASSWORD).await;
        // Used all the time, a session ends after twelve hours.
        for _ in 0..25 {
            app.wait(Duration::from_secs(29 * 60));
            if browser.get("/account").await.status != 200 {
                break;
            }
        }
        assert!(browser.open("/account").await.text().contains(told));
        let eve = app.user("eve@example.org").await;
        let changed = app.signed_in("eve@example.org").await;
        app.set_state(eve.id, UserState::Deactivated).await;
        assert!(changed.open("/account").await.text().contains(told));
        let again = browser.open("/signin").await;
        let login = match again.url.contains("/flow/") {
            true => browser.sign_in(&again, ADA, PASSWORD).await,
            false => login,
        };
        browser.submit(&login, "/logout/confirm", &[]).await;
        assert!(!browser.open("/signin").await.text().contains(told), "signed out by hand");
    }

    async fn a_wrong_password_still_asks_the_same_person_to_confirm(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&with_home()).await;
        let browser = app.signed_in(ADA).await;
        let page = browser.open(&authorize(&changed("tides", &[("prompt", Some("login"))]))).await;
        let switched = browser.open(&format!("{}?switch=1", page.url)).await;
        for password in ["", "not the password"] {
            let again = browser.submit(&page, "/login", &[("email", ADA), ("password", password)]).await;
            for words in ["Please confirm it’s you", "Signed in as", "Use another account"] {
                assert!(again.text().contains(words), "{password:?}: {words}");
            }
        }
        let other = browser.submit(&switched, "/login", &[("email", "eve@example.org"), ("password", "x")]).await;
        assert!(!other.text().contains("Signed in as") && other.body.contains("value=\"eve@example.org\""), "{}", other.text());
    }

    async fn the_sign_out_question_offers_to_stay(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&with_home()).await;
        let browser = app.signed_in(ADA).await;
        for (target, stay) in [
            ("/logout", "/account"),
            ("/logout?client_id=tides&post_logout_redirect_uri=https://tides.example/bye", HOME),
        ] {
            let page = browser.open(target).await;
            assert!(page.body.contains(&format!("id=\"stay\" href=\"{stay}\"")), "{}", page.body);
        }
    }
}
