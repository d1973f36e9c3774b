//! The whole journey once: register, activate, sign in, authorize, token, userinfo, refresh, sign out.

use crate::support::client::{authorize, changed, request};
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines};

const ADA: &str = "ada@example.org";

on_both_engines! {
    async fn a_person_registers_activates_signs_in_and_a_client_gets_tokens(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.register(&confidential("tides")).await;
        let browser = app.browser();

        let scope = Some("openid profile email offline_access");
        let login = browser.open(&authorize(&changed("tides", &[("scope", scope)]))).await;
        assert!(login.text().contains("Tide Tables"), "{}", login.text());
        let register = browser.open(&link(&login.body, "/register")).await;
        let fields =
            [("name", "Ada Lovelace"), ("email", "Ada@Example.org"), ("password", PASSWORD), ("password_confirm", PASSWORD)];
        let check = browser.submit(&register, "/register", &fields).await;
        assert!(check.text().contains("Check your mail"), "{}", check.text());

        let mail = app.sink.mail_to("Ada@example.org", 1).await;
        let activate = browser.open(&mail.link()).await;
        let active = browser.submit(&activate, "/activate", &[]).await;
        assert!(active.text().contains("Your account is active"), "{}", active.text());
        let login = browser.open(&link(&active.body, "/flow/")).await;
        let consent = browser.sign_in(&login, ADA, PASSWORD).await;
        assert!(consent.text().contains("Allow access?"), "{}", consent.text());
        let back = browser.submit(&consent, "/consent", &[("decision", "allow")]).await;
        assert_eq!(back.redirect_param("state").as_deref(), Some("a state & more"));
        assert_eq!(back.redirect_param("iss").as_deref(), Some(app.issuer.as_str()));

        let tokens = app.redeem("tides", &back.redirect_param("code").unwrap()).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        let tokens = tokens.json();
        let info = app.userinfo(tokens["access_token"].as_str().unwrap()).await.json();
        assert_eq!((&info["name"], &info["email"]), (&"Ada Lovelace".into(), &"Ada@example.org".into()));
        assert_eq!(info["email_verified"], true);
        let again = app.refresh("tides", tokens["refresh_token"].as_str().unwrap()).await;
        assert_eq!(again.status, 200, "{}", again.body);
        assert!(again.json()["id_token"].is_string());

        let silent = browser.open(&authorize(&changed("tides", &[("prompt", Some("none"))]))).await;
        assert!(silent.redirect_param("code").is_some(), "{:?}", silent.location());

        let id_token = tokens["id_token"].as_str().unwrap();
        let url = format!("/logout?id_token_hint={id_token}&post_logout_redirect_uri=https://tides.example/bye&state=s");
        let bye = browser.open(&url).await;
        assert_eq!(bye.location().as_deref(), Some("https://tides.example/bye?state=s"));
        let anonymous = browser.open(&authorize(&request("tides"))).await;
        assert!(anonymous.text().contains("Sign in"), "{}", anonymous.text());
    }
}

/// The first link on a page that starts with `path`.
fn link(page: &str, path: &str) -> String {
    let rest =
        page.split_once(&format!("href=\"{path}")).unwrap_or_else(|| panic!("no link to {path} on {page}")).1;
    format!("{path}{}", rest.split('"').next().unwrap()).replace("&amp;", "&")
}
