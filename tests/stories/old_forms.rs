//! Forms from older browsers, from behind proxies, and from tabs that were overtaken by another tab.

use crate::oauth_authorize::{ready, trusted};
use crate::outages::until;
use crate::registration::{ADA, register};
use crate::routes::{path, with_dev_pages};
use crate::support::browser::{Answer, Browser};
use crate::support::client::{authorize, changed, request};
use crate::support::raw::{Raw, RawBrowser};
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines};
use idp_core::client::Client;
use idp_core::redirect_uri::RedirectUri;
use idp_server::route_facts;
use reqwest::Method;

const HOME: &str = "https://waves.example/start";

/// The headers that tell that a form comes from one of our pages.
fn ours(app: &TestApp) -> [Vec<(&'static str, String)>; 4] {
    let own = app.issuer.clone();
    [
        vec![("origin", own.clone())],
        vec![("origin", own.clone()), ("sec-fetch-site", "same-origin".to_owned())],
        vec![("origin", "null".to_owned()), ("sec-fetch-site", "same-origin".to_owned())],
        vec![("origin", own), ("sec-fetch-site", "none".to_owned())],
    ]
}

/// Headers that leave it open.
const UNKNOWN: [&[(&str, &str)]; 7] = [
    &[],
    &[("origin", "null")],
    &[("origin", "")],
    &[("origin", "null"), ("sec-fetch-site", "none")],
    &[("origin", "null"), ("sec-fetch-site", "")],
    &[("sec-fetch-site", "none")],
    &[("origin", "null"), ("referer", "https://evil.example/")],
];

/// Sends the form of a page as it is, with these headers, and follows no redirect.
async fn send(
    browser: &Browser,
    page: &Answer,
    action: &str,
    fields: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> Answer {
    let form = page.form(action);
    let hidden = form.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all: Vec<(&str, &str)> = hidden.chain(fields.iter().copied()).collect();
    browser.send(Method::POST, &form.action, Some(&all), headers).await
}

/// The path of a URL of the product.
fn target(app: &TestApp, url: &str) -> String {
    url.replace(&app.issuer, "")
}

#[track_caller]
fn assert_see(answer: &Answer, to: &str) {
    assert_eq!((answer.status.as_u16(), answer.location().as_deref()), (303, Some(to)), "{}", answer.text());
    assert!(answer.cookies().is_empty(), "{:?}", answer.cookies());
}

on_both_engines! {
    async fn fault_07_what_a_browser_does_not_say_is_left_to_the_token(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let mut ada = RawBrowser::new(&app);
        let own = ada.open("/register").await.csrf();
        let before = app.state().await;
        for facts in route_facts(true).into_iter().filter(|facts| facts.csrf) {
            for headers in UNKNOWN {
                let with = |token: &[(&str, &str)]| {
                    let form = Raw::post(&path(&facts)).header("Cookie", ada.cookie()).form(token);
                    headers.iter().fold(form, |raw, (name, value)| raw.header(name, value))
                };
                let answer = with(&[("csrf", &own)]).send(&app).await;
                assert_ne!(answer.reason(), Some("csrf-failed"), "{headers:?}: {}", facts.path);
                // Nobody is signed in, so a sign-out has nothing left to do.
                if facts.path == "/logout/confirm" {
                    continue;
                }
                for bad in ["", "A", &own[1..], &"A".repeat(86)] {
                    let answer = with(&[("csrf", bad)]).send(&app).await;
                    answer.assert_error(403, false, &format!("{headers:?}"));
                    assert_eq!(answer.reason(), Some("csrf-failed"), "{headers:?}: {}", facts.path);
                }
                with(&[]).send(&app).await.assert_error(403, false, "no token");
            }
        }
        assert_eq!(app.state().await, before);
    }

    async fn fault_07_a_foreign_origin_stays_foreign_whatever_stands_beside_it(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let mut ada = RawBrowser::new(&app);
        let own = ada.open("/register").await.csrf();
        let before = app.state().await;
        let issuer = app.issuer.as_str();
        let foreign: [&[(&str, &str)]; 11] = [
            // A sandboxed frame has an opaque origin; today's browsers add where it stands.
            &[("Origin", "null"), ("Sec-Fetch-Site", "cross-site")],
            &[("Origin", "null"), ("Sec-Fetch-Site", "same-site")],
            &[("Origin", "null"), ("Origin", "https://evil.example")],
            &[("Origin", "https://evil.example"), ("Origin", "null")],
            &[("Origin", issuer), ("Origin", "https://evil.example")],
            &[("Origin", ""), ("Origin", "https://evil.example")],
            &[("Origin", "null https://evil.example")],
            &[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "none")],
            &[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
            &[("Origin", issuer), ("Sec-Fetch-Site", ""), ("Sec-Fetch-Site", "cross-site")],
            &[("Origin", "NULL")],
        ];
        for facts in route_facts(true).into_iter().filter(|facts| facts.csrf) {
            for headers in foreign {
                let form = Raw::post(&path(&facts)).header("Cookie", ada.cookie()).form(&[("csrf", &own)]);
                let raw = headers.iter().fold(form, |raw, (name, value)| raw.header(name, value));
                let answer = raw.send(&app).await;
                answer.assert_error(403, false, &format!("{headers:?}"));
                assert_eq!(answer.reason(), Some("csrf-failed"), "{headers:?}: {}", facts.path);
            }
        }
        assert_eq!(app.state().await, before);
    }

    async fn fault_07_a_person_whose_browser_says_nothing_signs_in_and_answers(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&confidential("tides")).await;
        let browser = app.browser();
        let login = browser.open(&authorize(&request("tides"))).await;
        let null = [("origin", "null")];
        let sent = send(&browser, &login, "/login", &[("email", ADA), ("password", PASSWORD)], &null).await;
        let question = browser.follow(sent).await;
        assert!(question.text().contains("Allow access?"), "{}", question.text());
        let sent = send(&browser, &question, "/consent", &[("decision", "allow")], &null).await;
        assert!(browser.follow(sent).await.redirect_param("code").is_some());
        let account = browser.open("/account").await;
        let out = send(&browser, &account, "/logout/confirm", &[], &null).await;
        assert_eq!(out.location().as_deref(), Some("/signed-out"));
    }

    async fn fault_15_a_form_that_another_tab_overtook_leads_to_the_next_step(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&confidential("tides")).await;
        let browser = app.browser();
        let old = browser.open(&authorize(&request("tides"))).await;
        let other = browser.open(&authorize(&request("tides"))).await;
        assert!(browser.sign_in(&other, ADA, PASSWORD).await.text().contains("Allow access?"));
        let before = app.state().await;
        for headers in ours(&app) {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            for password in ["wrong", PASSWORD] {
                let answer = send(&browser, &old, "/login", &[("email", ADA), ("password", password)], &headers).await;
                assert_see(&answer, &target(&app, &old.url));
            }
        }
        // LG-03: where it cannot be told, and from elsewhere, the form is refused.
        for headers in UNKNOWN.into_iter().chain([&[("sec-fetch-site", "cross-site")][..], &[("origin", "https://evil.example")]]) {
            let answer = send(&browser, &old, "/login", &[("email", ADA), ("password", PASSWORD)], headers).await;
            answer.assert_error_page(403, "csrf-failed");
        }
        assert_eq!(app.state().await, before, "a form from before did something");
        let next = browser.get(&old.url).await;
        assert!(next.text().contains("Allow access?"), "{}", next.text());
    }

    async fn fault_15_every_form_of_ours_with_an_old_token_leads_to_its_page(engine: Engine) {
        let app = with_dev_pages(engine).await;
        app.user(ADA).await;
        let mut ada = RawBrowser::new(&app);
        let old = ada.open("/signin").await.csrf();
        ada.sign_in(ADA).await;
        let before = app.state().await;
        for facts in route_facts(true).into_iter().filter(|facts| facts.csrf) {
            let path = path(&facts);
            let page = match facts.path {
                "/logout/confirm" => "/account",
                "/activate/resend" => "/activate",
                "/register" => "/account",
                at if at.starts_with("/flow/") || at.starts_with("/register/") => path.rsplit_once('/').unwrap().0,
                _ => &path,
            };
            let form = |fields: &[(&str, &str)]| {
                Raw::post(&path).header("Cookie", ada.cookie()).form(fields).header("Origin", &app.issuer)
            };
            assert_see(&form(&[("csrf", &old)]).send(&app).await, page);
            assert!(Raw::get(page).header("Cookie", ada.cookie()).send(&app).await.status != 405, "{page}");
            // What is no token of ours does not come from a form of ours.
            for fields in [vec![], vec![("csrf", "")], vec![("csrf", &old[1..])], vec![("csrf", &old), ("csrf", &old)], vec![("csrf[]", &old)]] {
                let answer = form(&fields).send(&app).await;
                answer.assert_error(403, false, &format!("{fields:?}"));
                assert_eq!(answer.reason(), Some("csrf-failed"));
            }
        }
        assert_eq!(app.state().await, before);
    }

    async fn fault_15_an_old_form_leads_back_with_what_its_page_needs(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user("eve@example.org").await;
        let browser = app.browser();
        let flow = browser.open("/signin").await;
        let id = flow.url.rsplit_once('/').unwrap().1.to_owned();
        let page = browser.open(&format!("/register?flow={id}")).await;
        let check = register(&browser, ADA, PASSWORD).await;
        let mail = app.sink.mail_to(ADA, 1).await;
        let activate = browser.open(&mail.link()).await;
        browser.sign_in(&flow, "eve@example.org", PASSWORD).await;
        let question = browser.open("/logout?post_logout_redirect_uri=https://tides.example/bye&client_id=tides").await;
        let again = browser.open(&authorize(&changed("waves", &[("prompt", Some("login"))]))).await;
        assert_eq!(again.reason(), Some("client-unknown"));
        app.register(&trusted("waves")).await;
        let again = browser.open(&authorize(&changed("waves", &[("prompt", Some("login"))]))).await;
        browser.sign_in(&again, "eve@example.org", PASSWORD).await;
        let before = app.state().await;
        let own = [("origin", app.issuer.as_str())];
        assert_see(&send(&browser, &page, "/register", &[("email", "x@example.org")], &own).await, &format!("/flow/{id}"));
        assert_see(&send(&browser, &check, "/code", &[("code", &mail.code())], &own).await, &target(&app, &check.url));
        assert_see(&send(&browser, &check, "/resend", &[], &own).await, &target(&app, &check.url));
        assert_see(&send(&browser, &activate, "/activate", &[], &own).await, &target(&app, &mail.link()));
        let asked = send(&browser, &question, "/logout/confirm", &[], &own).await;
        assert_eq!(asked.status, 303);
        assert_eq!(app.state().await, before);
        assert!(browser.follow(asked).await.text().contains("Sign out"), "the question once more");
    }

    async fn fault_15_an_old_form_keeps_the_address_that_was_typed(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let typed = "eve+1@example.org";
        let own = [("origin", app.issuer.as_str())];
        let browser = app.signed_in(ADA).await;
        let page = browser.open("/register").await;
        let flow = browser.open("/signin").await;
        assert!(flow.url.ends_with("/account"));
        app.register(&confidential("tides")).await;
        let login = browser.open(&authorize(&changed("tides", &[("prompt", Some("login"))]))).await;
        let id = login.url.rsplit_once('/').unwrap().1.to_owned();
        let of_flow = browser.open(&format!("/register?flow={id}")).await;
        // Still signed in, after another sign-in.
        let again = browser.open(&authorize(&changed("tides", &[("prompt", Some("login"))]))).await;
        browser.sign_in(&again, ADA, PASSWORD).await;
        let before = app.state().await;
        for (old, to) in [(&page, "/account".to_owned()), (&of_flow, format!("/flow/{id}"))] {
            assert_see(&send(&browser, old, "/register", &[("email", typed)], &own).await, &to);
        }
        assert_see(&send(&browser, &login, "/login", &[("email", typed)], &own).await, &format!("/flow/{id}"));
        assert_eq!(app.state().await, before);
        // Signed out.
        let account = browser.open("/account").await;
        browser.submit(&account, "/logout/confirm", &[]).await;
        let before = app.state().await;
        let email = "email=eve%2B1%40example.org";
        for (old, form, to) in [
            (&page, "/register", format!("/register?{email}")), (&of_flow, "/register", format!("/register?flow={id}&{email}")),
            (&login, "/login", format!("/flow/{id}?{email}")),
        ] {
            let answer = send(&browser, old, form, &[("email", typed)], &own).await;
            assert_see(&answer, &to);
            assert!(browser.follow(answer).await.body.contains("value=\"eve+1@example.org\""), "{to}");
            assert_see(&send(&browser, old, form, &[("email", "")], &own).await, to.trim_end_matches(email).trim_end_matches(['?', '&']));
            // A form from elsewhere fills in nothing.
            let foreign = send(&browser, old, form, &[("email", typed)], &[("origin", "https://evil.example")]).await;
            foreign.assert_error_page(403, "csrf-failed");
            assert!(!foreign.body.contains("eve"), "{}", foreign.body);
        }
        assert_eq!(app.state().await, before);
        // A flow in the address that is none leads nowhere else.
        let csrf = page.csrf();
        let strange = browser.send(Method::POST, "/register?flow=..%2F..%2Fevil", Some(&[("csrf", &csrf)]), &own).await;
        assert_see(&strange, "/register");
        // What else came along in the address does not lose the flow.
        let junk = format!("/register?fbclid=%FF&flow={id}&x=%00");
        let kept = browser.send(Method::POST, &junk, Some(&[("csrf", &csrf)]), &own).await;
        assert_see(&kept, &format!("/register?flow={id}"));
    }

    async fn fault_15_a_second_click_on_the_activation_button_shows_the_account(engine: Engine) {
        let app = TestApp::start(engine).await;
        let browser = app.browser();
        let check = register(&browser, ADA, PASSWORD).await;
        let mail = app.sink.mail_to(ADA, 1).await;
        let page = browser.open(&mail.link()).await;
        let of_registration = target(&app, &check.url);
        let first = browser.submit_only(&page, "/activate", &[]).await;
        assert_eq!(first.location().as_ref(), Some(&of_registration));
        until("an empty outbox", async || app.count("outbox", "1 = 1").await == 0).await;
        let before = app.state().await;
        let csrf = page.csrf();
        let token = mail.link().rsplit_once('=').unwrap().1.to_owned();
        for answer in [
            browser.submit_only(&page, "/activate", &[]).await,
            browser.get(&mail.link()).await,
            browser.post("/activate/resend", &[("csrf", &csrf), ("token", &token)]).await,
        ] {
            assert_eq!((answer.status.as_u16(), answer.location().as_ref()), (303, Some(&of_registration)), "{}", answer.text());
            assert!(browser.follow(answer).await.text().contains("Your account is active"));
        }
        // Elsewhere nobody is told more than before.
        let stranger = app.browser();
        stranger.get(&mail.link()).await.assert_page("link-used");
        assert_eq!(app.state().await, before, "a second click did something");
        // An old form by somebody who is signed in.
        let login = browser.open("/signin").await;
        browser.sign_in(&login, ADA, PASSWORD).await;
        let own = [("origin", app.issuer.as_str())];
        let old = send(&browser, &page, "/activate", &[], &own).await;
        assert_eq!(old.status, 303);
        let after = browser.follow(old).await;
        assert!(after.text().contains("Your account is active") && after.body.contains("href=\"/account\""), "{}", after.text());
        assert!(!after.text().contains("Sign in") && !after.text().contains("sign in"), "{}", after.text());
        assert_eq!(app.count("users", "1 = 1").await, 1);
        assert_eq!(app.count("audit", "event = 'activation'").await, 1);
        // The same in another browser, with links of every kind.
        let elsewhere = app.signed_in(ADA).await;
        for link in [mail.link(), "/activate?token=nonsense".to_owned(), "/activate".to_owned()] {
            let page = elsewhere.open(&link).await;
            assert_eq!(page.status, 400);
            assert!(page.body.contains("href=\"/account\""), "{link}");
            assert!(!page.text().contains("Sign in") && !page.text().contains("sign in"), "{link}: {}", page.text());
        }
    }

    async fn fault_15_back_after_signing_in_leads_back_to_the_application(engine: Engine) {
        let (app, _) = ready(engine).await;
        app.register(&Client { home_uri: Some(RedirectUri::parse(HOME).unwrap()), ..trusted("waves") }).await;
        let browser = app.browser();
        let login = browser.open(&authorize(&request("waves"))).await;
        let done = browser.sign_in(&login, ADA, PASSWORD).await;
        let code = done.redirect_param("code").unwrap();
        let own = [("origin", app.issuer.as_str())];
        let fields = [("email", ADA), ("password", PASSWORD)];
        let before = app.state().await;
        // The code is not redeemed yet: the same answer once more.
        let sent = send(&browser, &login, "/login", &fields, &own).await;
        assert_see(&sent, &target(&app, &login.url));
        assert_eq!(browser.follow(sent).await.redirect_param("code").as_ref(), Some(&code));
        assert_eq!(app.state().await, before);
        app.redeem("waves", &code).await.tokens();
        let sent = send(&browser, &login, "/login", &fields, &own).await;
        assert_see(&sent, &target(&app, &login.url));
        for back in [browser.follow(sent).await, browser.get(&login.url).await] {
            assert_eq!(back.status, 200, "{}", back.text());
            assert!(back.body.contains(&format!("content=\"0;url={HOME}\"")) && back.body.contains(&format!("id=\"onward\" href=\"{HOME}\"")), "{}", back.body);
        }
    }
}
