//! From our forms to a web client: through an automatic redirect page that shows the same response when reloaded.

use std::time::Duration;

use idp_core::audit::AuditEvent;
use idp_core::client::Client;
use idp_core::redirect_uri::RedirectUri;

use crate::browser_test::{mobile, native};
use crate::oauth_authorize::{ADA, ready, trusted};
use crate::oauth_token::audit_count;
use crate::signed_in_page::assert_done;
use crate::support::browser::{Answer, Browser};
use crate::support::client::{authorize, changed, request};
use crate::support::{Engine, PASSWORD, TestApp, confidential, is_logged, on_both_engines};

const CB: &str = "https://asking.example/cb";
const EVE: &str = "eve@example.org";
const ALLOW: [(&str, &str); 1] = [("decision", "allow")];

/// A server with a client that asks for consent, and its consent page.
async fn question(engine: Engine) -> (TestApp, Browser, Answer) {
    let (app, browser) = ready(engine).await;
    app.register(&confidential("asking")).await;
    let question = browser.open(&authorize(&request("asking"))).await;
    (app, browser, question)
}

on_both_engines! {
    async fn fault_01_a_form_leads_to_a_web_client_through_our_own_page(engine: Engine) {
        let (app, browser, question) = question(engine).await;
        assert!(question.header("content-security-policy").ends_with("form-action 'self'"));
        let sent = browser.submit_only(&question, "/consent", &ALLOW).await;
        let flow = question.url.replace(&app.issuer, "");
        assert_eq!((sent.status.as_u16(), sent.location()), (303, Some(flow)));
        let page = browser.follow(sent).await;
        let code = page.code(&app, CB);
        assert!(page.text().contains("Taking you back to Tide Tables…") && page.text().contains("Continue to Tide Tables"), "{}", page.text());
        assert!(page.body.contains("<meta name=\"robots\" content=\"noindex\">"));
        for (name, value) in [("cache-control", "no-store"), ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY")] {
            assert_eq!(page.header(name), value);
        }
        let again = browser.get(&question.url).await;
        assert_eq!(again.code(&app, CB), code, "a reload");
        assert_eq!(browser.submit(&question, "/consent", &ALLOW).await.code(&app, CB), code, "a second click");
        assert_eq!((app.count("codes", "client_id = 'asking'").await, audit_count(&app, AuditEvent::ConsentGiven).await), (1, 1));
        app.browser().get(&question.url).await.assert_error_page(403, "flow-foreign");
        // The code is not in the database, its files or the log.
        assert!(!format!("{:?}", app.whole_state().await).contains(&code) && !is_logged(&code));
        assert!(!app.database.bytes().iter().any(|file| file.windows(code.len()).any(|part| part == code.as_bytes())));
        app.redeem("asking", &code).await.tokens();
        assert_done(&browser.get(&question.url).await, "Tide Tables", None);
        assert_done(&browser.submit(&question, "/consent", &ALLOW).await, "Tide Tables", None);
        assert_eq!(audit_count(&app, AuditEvent::CodeReplay).await, 0);
    }

    async fn fault_01_the_button_leads_to_the_client_until_the_code_is_redeemed(engine: Engine) {
        let (app, browser, question) = question(engine).await;
        let page = browser.submit(&question, "/consent", &ALLOW).await;
        let (code, button) = (page.code(&app, CB), page.flow_button().unwrap());
        for _ in 0..2 {
            let clicked = browser.get(&button).await;
            assert_eq!((clicked.status.as_u16(), clicked.location()), (303, page.onward()));
        }
        app.browser().get(&button).await.assert_error_page(403, "flow-foreign");
        // The client's callback is slow: it has redeemed the code, and the browser still shows our page.
        let tokens = app.redeem("asking", &code).await.tokens();
        assert_done(&browser.get(&button).await, "Tide Tables", None);
        assert_eq!(app.userinfo(&tokens.access).await.status, 200);
        assert_eq!(audit_count(&app, AuditEvent::CodeReplay).await, 0);
        // An open flow has no answer yet, and a denial leads to the client as a code does.
        let open = browser.open(&authorize(&changed("asking", &[("prompt", Some("consent"))]))).await;
        assert!(browser.get(&open.flow_button().unwrap()).await.text().contains("Allow access?"));
        let denied = browser.submit(&open, "/consent", &[("decision", "deny")]).await;
        denied.assert_refused(&app, CB, "access_denied");
        assert_eq!(browser.get(&denied.flow_button().unwrap()).await.location(), denied.onward());
    }

    async fn fault_01_a_code_is_shown_only_in_the_session_it_was_issued_in(engine: Engine) {
        let (app, ada, question) = question(engine).await;
        app.user(EVE).await;
        let page = ada.submit(&question, "/consent", &ALLOW).await;
        let (code, button) = (page.code(&app, CB), page.flow_button().unwrap());
        let form = question.form("/consent");
        let cookies = ada.cookies();
        let (session, kept): (Vec<&str>, Vec<&str>) = cookies.split("; ").partition(|cookie| cookie.starts_with("idp-session"));
        assert!(session.len() == 1 && !kept.is_empty(), "{cookies}");
        // The same browser: restarted, with somebody else signed in, and with the same person signed in again.
        for who in [None, Some(EVE), Some(ADA)] {
            let browser = app.browser().with_cookies(&kept.join("; "));
            let signin = browser.open("/signin").await;
            if let Some(who) = who {
                assert!(browser.sign_in(&signin, who, PASSWORD).await.url.ends_with("/account"));
            }
            for old in [browser.get(&question.url).await, browser.get(&button).await] {
                old.assert_page("flow-closed");
            }
            if who.is_none() {
                let hidden = signin.form("/login").hidden;
                let csrf = &hidden.iter().find(|(name, _)| name == "csrf").unwrap().1;
                let login = format!("{}/login", question.url);
                for password in ["wrong", PASSWORD] {
                    let fields = [("csrf", csrf.as_str()), ("email", ADA), ("password", password)];
                    browser.post(&login, &fields).await.assert_page("flow-closed");
                }
                browser.post(&form.action, &[("csrf", csrf), ("decision", "allow")]).await.assert_page("flow-closed");
            }
        }
        assert_eq!(ada.get(&question.url).await.code(&app, CB), code);
        app.redeem("asking", &code).await.tokens();
    }

    async fn fault_01_a_denial_is_not_shown_again_once_the_client_was_changed_or_disabled(engine: Engine) {
        let (app, browser, question) = question(engine).await;
        browser.submit(&question, "/consent", &[("decision", "deny")]).await.assert_refused(&app, CB, "access_denied");
        for (change, back) in [("epoch = epoch + 1", "epoch = epoch - 1"), ("enabled = FALSE", "enabled = TRUE")] {
            app.sql(&format!("UPDATE clients SET {change} WHERE id = 'asking'")).await;
            browser.get(&question.url).await.assert_page("flow-closed");
            browser.submit(&question, "/consent", &ALLOW).await.assert_page("flow-closed");
            app.sql(&format!("UPDATE clients SET {back} WHERE id = 'asking'")).await;
            browser.get(&question.url).await.assert_refused(&app, CB, "access_denied");
        }
    }

    async fn fault_15_a_completed_sign_in_leads_on_however_it_is_requested_again(engine: Engine) {
        let (app, _) = ready(engine).await;
        let browser = app.browser();
        let page = browser.open("/signin").await;
        browser.sign_in(&page, ADA, PASSWORD).await;
        let hidden = browser.get("/logout").await.form("/logout/confirm").hidden;
        let csrf = &hidden.iter().find(|(name, _)| name == "csrf").unwrap().1;
        let fields = [("csrf", csrf.as_str()), ("email", ADA), ("password", PASSWORD)];
        for answer in [browser.get(&page.url).await, browser.post(&format!("{}/login", page.url), &fields).await] {
            assert_eq!((answer.status.as_u16(), answer.location().as_deref()), (303, Some("/")), "{}", answer.text());
        }
    }

    async fn fault_01_signing_in_leads_through_our_page_too_and_without_a_form_there_is_none(engine: Engine) {
        let (app, browser) = ready(engine).await;
        browser.get(&authorize(&request("tides"))).await.code(&app, crate::oauth_authorize::CB);
        let login = browser.open(&authorize(&changed("tides", &[("prompt", Some("login"))]))).await;
        assert!(login.header("content-security-policy").ends_with("form-action 'self'"));
        let page = browser.sign_in(&login, ADA, PASSWORD).await;
        assert!(page.url.contains("/flow/") && page.status == 200, "{} {}", page.url, page.status);
        let code = page.code(&app, crate::oauth_authorize::CB);
        assert_eq!(browser.get(&page.url).await.code(&app, crate::oauth_authorize::CB), code);
    }

    async fn fault_01_the_answer_is_shown_only_while_it_is_still_valid(engine: Engine) {
        let (app, browser, first) = question(engine).await;
        browser.submit(&first, "/consent", &[("decision", "deny")]).await.assert_refused(&app, CB, "access_denied");
        browser.get(&first.url).await.assert_refused(&app, CB, "access_denied");
        app.wait(Duration::from_secs(59));
        browser.get(&first.url).await.assert_refused(&app, CB, "access_denied");
        app.wait(Duration::from_secs(1));
        browser.get(&first.url).await.assert_page("flow-closed");
        let ask = authorize(&changed("asking", &[("prompt", Some("consent"))]));
        for end in [
            "UPDATE sessions SET ended_at = 1", "UPDATE flows SET sealed_response = NULL WHERE closed_at IS NOT NULL",
            "UPDATE flows SET sealed_response = 'kek.x.y' WHERE closed_at IS NOT NULL",
            "UPDATE flows SET sealed_response = 'rubbish' WHERE closed_at IS NOT NULL",
            "UPDATE clients SET epoch = epoch + 1 WHERE id = 'asking'",
        ] {
            let browser = app.signed_in(ADA).await;
            let page = browser.open(&ask).await;
            let answer = browser.submit(&page, "/consent", &ALLOW).await;
            answer.code(&app, CB);
            app.sql(end).await;
            browser.get(&page.url).await.assert_page("flow-closed");
        }
        // An answer sealed for one flow does not open in the row of another.
        let pages = [browser.open("/signin").await, browser.open("/signin").await];
        browser.sign_in(&pages[0], ADA, PASSWORD).await;
        let mut rows = Vec::new();
        for _ in 0..2 {
            let page = browser.open(&ask).await;
            browser.submit(&page, "/consent", &ALLOW).await.code(&app, CB);
            rows.push(page.url);
        }
        let id = |url: &str| url.rsplit('/').next().unwrap().to_owned();
        app.sql(&format!("UPDATE flows SET sealed_response = (SELECT sealed_response FROM flows WHERE id = '{}') WHERE id = '{}'", id(&rows[0]), id(&rows[1]))).await;
        browser.get(&rows[0]).await.code(&app, CB);
        browser.get(&rows[1]).await.assert_page("flow-closed");
    }

    async fn fault_01_loopback_and_private_schemes_keep_their_redirect_and_their_one_csp_source(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&native("notes")).await;
        app.register(&mobile("pocket")).await;
        for (id, uri, source) in [
            ("notes", "http://127.0.0.1:4711/cb", "http://127.0.0.1:4711"),
            ("notes", "http://[::1]:4711/cb", "http://*:4711"),
            ("pocket", "com.example.app:/cb", "com.example.app:"),
        ] {
            let ask = authorize(&changed(id, &[("redirect_uri", Some(uri)), ("prompt", Some("login consent"))]));
            let login = browser.open(&ask).await;
            let question = browser.sign_in(&login, ADA, PASSWORD).await;
            for page in [&login, &question] {
                let csp = page.header("content-security-policy");
                assert!(csp.ends_with(&format!("form-action 'self' {source}")), "{csp}");
            }
            let sent = browser.submit_only(&question, "/consent", &ALLOW).await;
            let code = sent.code(&app, uri);
            assert_eq!(browser.submit_only(&question, "/consent", &ALLOW).await.code(&app, uri), code, "a second click");
            browser.get(&question.url).await.assert_page("flow-closed");
        }
    }

    async fn fault_01_the_sign_out_form_leads_to_a_web_client_through_our_own_page(engine: Engine) {
        let (app, _) = ready(engine).await;
        let uris = ["http://127.0.0.1:4711/bye", "com.example.app:/bye"];
        let direct = uris.map(|uri| RedirectUri::parse(uri).unwrap()).into();
        app.register(&Client { post_logout_redirect_uris: direct, ..trusted("direct") }).await;
        let web = "https://tides.example/bye";
        for (id, uri, source) in [("tides", web, None), ("direct", uris[0], Some("http://127.0.0.1:4711")), ("direct", uris[1], Some("com.example.app:"))] {
            let browser = app.signed_in(ADA).await;
            let pairs = [("client_id", id), ("post_logout_redirect_uri", uri), ("state", "a b&c")];
            let target = url::Url::parse_with_params("http://x/logout", pairs).unwrap();
            let asked = browser.open(&format!("/logout?{}", target.query().unwrap())).await;
            let own = source.map_or("form-action 'self'".to_owned(), |source| format!("form-action 'self' {source}"));
            assert!(asked.header("content-security-policy").ends_with(&own), "{:?}", asked.headers);
            let sent = browser.submit_only(&asked, "/logout/confirm", &[]).await;
            assert_eq!(sent.status, 303);
            assert_eq!(sent.location().unwrap().starts_with("/signed-out?"), source.is_none());
            let done = browser.follow(sent).await;
            assert_eq!(done.leads_to(), Some(format!("{uri}?state=a+b%26c")));
            if source.is_none() {
                assert!(done.text().contains("You are signed out") && done.text().contains("Taking you back to Tide Tables"), "{}", done.text());
                let again = browser.submit(&asked, "/logout/confirm", &[]).await;
                assert_eq!((again.leads_to(), again.text()), (done.leads_to(), done.text()), "a second click");
                // Our page never goes on to an unregistered URI, nor while somebody is signed in.
                for (from, to) in [("/bye", "/away"), ("tides.example", "evil.example"), ("client_id=tides", "client_id=nobody"), ("client_id=tides", "x=1")] {
                    assert!(done.url.contains(from));
                    assert_eq!(browser.get(&done.url.replace(from, to)).await.leads_to(), None, "{to}");
                }
                let signed_in = app.signed_in(ADA).await.get(&done.url).await;
                assert_eq!(signed_in.leads_to().as_deref(), Some("/logout"), "nobody is told that they are signed out");
            }
        }
    }
}
