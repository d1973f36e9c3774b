//! What a flow's old page says once the client has signed the person in and no https start page is known.

use idp_core::client::{Client, ConsentPolicy};
use idp_core::redirect_uri::RedirectUri;

use crate::browser_test::mobile;
use crate::oauth_authorize::ADA;
use crate::support::browser::{Answer, Browser};
use crate::support::client::{VERIFIER, authorize, changed};
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines};

const APP_URI: &str = "com.example.app:/cb";

/// The page that says that the sign-in is done, and where its button leads.
#[track_caller]
pub(crate) fn assert_done(answer: &Answer, app: &str, home: Option<&str>) {
    assert_eq!((answer.status.as_u16(), answer.location()), (200, None), "{}", answer.text());
    let text = answer.text();
    assert!(
        text.contains(&format!("You are signed in at {app}")) && text.contains("You can close this page."),
        "{text}"
    );
    assert!(!text.contains("out of date") && !text.contains("You can fix this"), "{text}");
    let button =
        answer.body.split_once("id=\"back\" href=\"").map(|(_, rest)| rest.split('"').next().unwrap());
    assert_eq!(button, home);
    assert_eq!(answer.onward(), None, "only https start pages are redirected to");
}

/// A sign-in to `client` until the browser is sent back, and the pages on the way.
async fn signed_in(app: &TestApp, browser: &Browser, client: &Client) -> (Answer, Option<Answer>, String) {
    let uri = client.redirect_uris[0].as_str();
    let ask =
        authorize(&changed(client.id.as_str(), &[("prompt", Some("login")), ("redirect_uri", Some(uri))]));
    let login = browser.open(&ask).await;
    let mut next = browser.sign_in(&login, ADA, PASSWORD).await;
    let mut question = None;
    if client.consent == ConsentPolicy::Ask {
        question = Some(next.clone());
        next = browser.submit(&next, "/consent", &[("decision", "allow")]).await;
    }
    let code = next.code(app, uri);
    (login, question, code)
}

on_both_engines! {
    async fn fault_15_a_finished_sign_in_is_said_to_be_finished(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        for (id, home) in [("none", None), ("loopback", Some("http://127.0.0.1:4711/")), ("local", Some("http://localhost:4711/start"))] {
            for consent in [ConsentPolicy::Skip, ConsentPolicy::Ask] {
                let home_uri = home.map(|home| RedirectUri::parse(home).unwrap());
                let client = Client { home_uri, consent, ..confidential(&format!("{id}-{}", consent == ConsentPolicy::Skip).to_lowercase()) };
                app.register(&client).await;
                let browser = app.browser();
                let (login, question, code) = signed_in(&app, &browser, &client).await;
                app.redeem(client.id.as_str(), &code).await.tokens();
                assert_done(&browser.get(&login.url).await, "Tide Tables", home);
                assert_done(&browser.get(&format!("{}?go=1", login.url)).await, "Tide Tables", home);
                // An old form of ours: before the sign-in, and the question once more.
                let own = [("origin", app.issuer.as_str())];
                let form = login.form("/login");
                let mut fields: Vec<(&str, &str)> = form.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                fields.extend([("email", ADA), ("password", PASSWORD)]);
                let old = browser.send(reqwest::Method::POST, &form.action, Some(&fields), &own).await;
                assert_eq!(old.status, 303);
                assert_done(&browser.follow(old).await, "Tide Tables", home);
                if let Some(question) = question {
                    let again = browser.submit_only(&question, "/consent", &[("decision", "allow")]).await;
                    assert_eq!(again.location(), Some(login.url.replace(&app.issuer, "")), "a form ends in a redirect");
                    assert_done(&browser.follow(again).await, "Tide Tables", home);
                }
                // The client is disabled or changed, or nobody is signed in here any more: nothing is claimed.
                app.sql(&format!("UPDATE clients SET enabled = FALSE WHERE id = '{}'", client.id)).await;
                browser.get(&login.url).await.assert_page("flow-closed");
                app.sql(&format!("UPDATE clients SET enabled = TRUE WHERE id = '{}'", client.id)).await;
                app.sql(&format!("UPDATE clients SET epoch = epoch + 1 WHERE id = '{}'", client.id)).await;
                browser.get(&login.url).await.assert_page("flow-closed");
                app.sql(&format!("UPDATE clients SET epoch = epoch - 1 WHERE id = '{}'", client.id)).await;
                app.sql("UPDATE sessions SET ended_at = 1").await;
                browser.get(&login.url).await.assert_page("flow-closed");
                app.browser().get(&login.url).await.assert_error_page(403, "flow-foreign");
            }
        }
    }

    async fn fault_15_a_finished_sign_in_to_an_app_with_a_private_scheme_is_said_to_be_finished(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        for consent in [ConsentPolicy::Skip, ConsentPolicy::Ask] {
            let client = Client { consent, ..mobile(if consent == ConsentPolicy::Skip { "skip" } else { "ask" }) };
            app.register(&client).await;
            let browser = app.browser();
            let (login, question, code) = signed_in(&app, &browser, &client).await;
            // Back: the app is not started again. Until it has redeemed the code, nobody is signed in there.
            browser.get(&login.url).await.assert_page("flow-closed");
            if let Some(question) = &question {
                assert_eq!(browser.submit_only(question, "/consent", &[("decision", "allow")]).await.code(&app, APP_URI), code);
            }
            let fields = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", APP_URI), ("code_verifier", VERIFIER), ("client_id", client.id.as_str())];
            app.browser().post("/token", &fields).await.tokens();
            app.wait(std::time::Duration::from_secs(60));
            assert_done(&browser.get(&login.url).await, "Pocket notes", None);
            if let Some(question) = &question {
                assert_done(&browser.submit(question, "/consent", &[("decision", "allow")]).await, "Pocket notes", None);
            }
        }
    }
}
