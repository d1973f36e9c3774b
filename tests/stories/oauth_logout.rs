//! Signing out: by the person, by a client that proves it may, and by nobody else.

use idp_core::audit::AuditEvent;
use idp_core::client::{Client, SigningAlg};
use idp_core::redirect_uri::RedirectUri;
use reqwest::Method;
use serde_json::json;

use crate::oauth_authorize::{ADA, ready, trusted};
use crate::oauth_jwt::{Signer, claims, forgeries};
use crate::oauth_token::{audit_count, offline_code};
use crate::support::browser::{Answer, Browser};
use crate::support::client::{changed, request};
use crate::support::raw::{FORM, Raw};
use crate::support::{Engine, TestApp, is_logged, on_both_engines};

const BYE: &str = "https://tides.example/bye";
const HOME: &str = "https://tides.example/start";

pub(crate) fn target(pairs: &[(&str, &str)]) -> String {
    let url = url::Url::parse_with_params("http://x/logout", pairs).unwrap();
    format!("/logout?{}", url.query().unwrap_or_default())
}

async fn id_token(app: &TestApp, browser: &Browser, id: &str) -> String {
    app.redeem(id, &app.code(browser, &request(id)).await).await.tokens().id
}

async fn is_signed_in(browser: &Browser) -> bool {
    browser.get("/account").await.status == 200
}

/// The page asks before anything happens, with our CSRF token in its form.
#[track_caller]
fn assert_question(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.location()), (200, None), "{}", answer.text());
    let form = answer.form("/logout/confirm");
    assert!(form.hidden.iter().any(|(name, value)| name == "csrf" && !value.is_empty()));
}

/// The page asks, and says what is wrong with the request, if anything.
#[track_caller]
fn assert_asks_because(answer: &Answer, why: Option<&str>) {
    assert_question(answer);
    assert_eq!(answer.reason(), why, "{}", answer.text());
}

/// The page after signing out.
#[track_caller]
fn assert_signed_out_because(answer: &Answer, why: &str) {
    answer.assert_page(why);
    assert!(answer.text().contains("You are signed out"), "{}", answer.text());
}

/// What comes after signing out.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The registered URI.
    Return,
    /// Our own page, because the request named no other.
    Page,
    /// Our own page, which says why it does not lead on.
    Told,
}

#[track_caller]
fn assert_ends(answer: &Answer, then: Then, why: Option<&str>) {
    match then {
        Then::Return => assert_eq!(answer.leads_to().as_deref(), Some(BYE), "{}", answer.text()),
        Then::Page => {
            assert_eq!((answer.status.as_u16(), answer.leads_to(), answer.reason()), (200, None, None));
            assert!(answer.url.contains("/signed-out"), "{}", answer.url);
        }
        Then::Told => assert_signed_out_because(answer, why.unwrap()),
    }
}

on_both_engines! {
    async fn lo_01_another_site_cannot_sign_a_person_out(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let before = app.state().await;
        let image = [("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "image"), ("referer", "https://evil.tld/")];
        for target in ["/logout", "/logout?state=x", "/logout?id_token_hint=", "/logout?id_token_hint=x.y.z", "/logout?client_id=tides"] {
            let answer = browser.send(Method::GET, target, None, &image).await;
            assert_question(&browser.follow(answer).await);
        }
        let cross = [("origin", "https://evil.tld"), ("sec-fetch-site", "cross-site")];
        for fields in [&[][..], &[("id_token_hint", "x")], &[("client_id", "tides"), ("post_logout_redirect_uri", BYE)]] {
            let posted = browser.send(Method::POST, "/logout", Some(fields), &cross).await;
            assert_question(&browser.follow(posted).await);
        }
        let page = browser.get("/logout").await;
        let csrf = page.form("/logout/confirm").hidden.into_iter().find(|(name, _)| name == "csrf").unwrap().1;
        for (fields, headers) in [
            (vec![("request", "")], vec![]),
            (vec![("request", ""), ("csrf", "x")], vec![]),
            (vec![("request", ""), ("csrf", &csrf)], vec![("origin", "https://evil.tld")]),
            (vec![("request", ""), ("csrf", &csrf)], vec![("sec-fetch-site", "cross-site")]),
        ] {
            let answer = browser.send(Method::POST, "/logout/confirm", Some(&fields), &headers).await;
            answer.assert_error_page(403, "csrf-failed");
        }
        assert_eq!(browser.get("/logout/confirm").await.location().as_deref(), Some("/account"));
        assert_eq!(browser.send(Method::HEAD, "/logout", None, &[]).await.status, 405);
        assert_eq!(app.state().await, before);
        assert!(is_signed_in(&browser).await);
        let done = browser.submit(&page, "/logout/confirm", &[]).await;
        assert!(done.url.ends_with("/signed-out"), "{}", done.url);
        assert!(!is_signed_in(&browser).await);
        assert_eq!(audit_count(&app, AuditEvent::SignedOut).await, 1);
    }

    async fn after_signing_out_the_page_links_back_to_the_client_that_asked(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&Client { home_uri: Some(RedirectUri::parse(HOME).unwrap()), ..trusted("homely") }).await;
        app.register(&trusted("homeless")).await;
        let link = |page: &Answer| Some(page.body.split_once("id=\"back\" href=\"")?.1.split('"').next()?.to_owned());
        for (id, home) in [("homely", Some(HOME)), ("homeless", None)] {
            let hint = id_token(&app, &browser, id).await;
            let page = browser.open(&target(&[("id_token_hint", &hint)])).await;
            assert!(!is_signed_in(&browser).await && page.text().contains("You are signed out"), "{}", page.text());
            assert_eq!(link(&page).as_deref(), home);
            assert_eq!(page.text().contains("Back to Tide Tables"), home.is_some());
            // Nobody is signed in any more: the client ID alone is enough to get the link.
            assert_eq!(link(&browser.open(&target(&[("client_id", id)])).await).as_deref(), home);
            let login = browser.open("/signin").await;
            browser.sign_in(&login, ADA, crate::support::PASSWORD).await;
        }
        // Only the registered home URI of an enabled client is linked.
        for query in ["", "?client_id=nobody", "?client_id=https://evil.tld/", "?url=https://evil.tld/"] {
            let page = browser.open(&format!("/signed-out{query}")).await;
            assert!(page.status == 200 && link(&page).is_none() && !page.body.contains("evil.tld"), "{query}");
        }
        app.sql("UPDATE clients SET enabled = FALSE WHERE id = 'homely'").await;
        assert!(link(&browser.open("/signed-out?client_id=homely").await).is_none());
    }

    async fn lo_02_fault_12_nobody_is_sent_to_an_unregistered_uri_and_the_page_says_why(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&trusted("other")).await;
        app.register(&Client { enabled: false, ..trusted("closed") }).await;
        let hint = id_token(&app, &browser, "tides").await;
        for (name, value) in [("client_id", "tides"), ("id_token_hint", &hint), ("post_logout_redirect_uri", BYE), ("state", "s")] {
            let pairs = [("client_id", "tides"), ("id_token_hint", &hint), ("post_logout_redirect_uri", BYE), ("state", "s"), (name, value)];
            browser.get(&target(&pairs)).await.assert_page("parameter-repeated");
        }
        assert!(is_signed_in(&browser).await);
        for uri in [
            "https://evil.tld/", "https://tides.example/bye?x=1", "https://tides.example/bye/", "https://tides.example/bye#x",
            "https://TIDES.example/bye", "https://tides.example/cb", "https://tides.example.evil.tld/bye", "https://other.example/bye",
            "javascript:alert(1)", "//evil.tld/", "/", "https://tides.example/bye\"><script>alert(1)</script>",
        ] {
            let browser = app.signed_in(ADA).await;
            let hint = id_token(&app, &browser, "tides").await;
            let before = app.state().await;
            let asked = browser.get(&target(&[("client_id", "tides"), ("post_logout_redirect_uri", uri)])).await;
            assert_asks_because(&asked, Some("post-logout-redirect-uri"));
            assert!(!asked.body.contains("<script>alert"), "{uri}");
            assert_eq!(app.state().await, before);
            let answer = browser.get(&target(&[("id_token_hint", &hint), ("post_logout_redirect_uri", uri)])).await;
            assert_signed_out_because(&answer, "post-logout-redirect-uri");
            assert!(answer.cookies().iter().any(|cookie| cookie.starts_with(&format!("{}=;", app.cookie("session")))), "{:?}", answer.cookies());
            assert_eq!(answer.header("clear-site-data"), "");
            assert!(!is_signed_in(&browser).await, "{uri}");
            // Nobody is signed in any more: the same page, without a question.
            let nobody = browser.get(&target(&[("client_id", "tides"), ("post_logout_redirect_uri", uri)])).await;
            assert_signed_out_because(&nobody, "post-logout-redirect-uri");
        }
        for told in ["client_id=\"tides\" detail=\"post_logout_redirect_uri is not registered for this client",
            "value=\"post_logout_redirect_uri=https://tides.example/bye?x=1\""]
        {
            assert!(is_logged(told), "{told}");
        }
        let page = browser.get("/logout").await;
        let evil = "client_id=tides&post_logout_redirect_uri=https%3A%2F%2Fevil.tld%2F";
        let csrf = page.form("/logout/confirm").hidden.into_iter().find(|(name, _)| name == "csrf").unwrap().1;
        let answer = browser.post("/logout/confirm", &[("csrf", &csrf), ("request", evil)]).await;
        assert_signed_out_because(&answer, "post-logout-redirect-uri");
        assert!(!is_signed_in(&browser).await, "the person said yes");
    }

    async fn fault_12_without_proof_of_this_session_the_page_asks_first_and_gives_the_real_reason(engine: Engine) {
        let (app, _) = ready(engine).await;
        app.register(&trusted("other")).await;
        app.register(&Client { enabled: false, ..trusted("closed") }).await;
        app.register(&trusted("gone")).await;
        let browser = app.signed_in(ADA).await;
        let (old, gone) = (id_token(&app, &browser, "tides").await, id_token(&app, &browser, "gone").await);
        let page = browser.open("/logout").await;
        browser.submit(&page, "/logout/confirm", &[]).await;
        app.user("eve@example.org").await;
        let eves = id_token(&app, &app.signed_in("eve@example.org").await, "tides").await;
        app.sql("UPDATE clients SET enabled = FALSE WHERE id = 'gone'").await;
        let forged = format!("{}x", &old[..old.len() - 4]);
        let back = ("post_logout_redirect_uri", BYE);
        let wrong = ("post_logout_redirect_uri", "https://tides.example/away");
        fn hint(token: &str) -> (&'static str, &str) { ("id_token_hint", token) }
        fn id(id: &str) -> (&'static str, &str) { ("client_id", id) }
        for (pairs, why, then) in [
            (vec![], None, Then::Page),
            (vec![("state", "s")], None, Then::Page),
            (vec![id("tides")], None, Then::Page),
            (vec![id("tides"), back], None, Then::Return),
            (vec![id("tides"), wrong], Some("post-logout-redirect-uri"), Then::Told),
            (vec![back], Some("id-token-hint-missing"), Then::Told),
            (vec![wrong], Some("id-token-hint-missing"), Then::Told),
            (vec![id("nobody")], Some("client-unknown"), Then::Page),
            (vec![id("nobody"), back], Some("client-unknown"), Then::Told),
            (vec![id("a b"), back], Some("client-unknown"), Then::Told),
            (vec![id("closed"), ("post_logout_redirect_uri", "https://closed.example/bye")], Some("client-unknown"), Then::Told),
            (vec![hint(&gone), ("post_logout_redirect_uri", "https://gone.example/bye")], Some("client-unknown"), Then::Told),
            (vec![hint(&forged)], Some("id-token-hint-invalid"), Then::Page),
            (vec![hint("x.y.z"), back], Some("id-token-hint-invalid"), Then::Told),
            (vec![hint(&forged), id("tides"), back], Some("id-token-hint-invalid"), Then::Told),
            (vec![hint(&old), id("other"), ("post_logout_redirect_uri", "https://other.example/bye")], Some("id-token-hint-client"), Then::Told),
            (vec![hint(&old)], Some("id-token-hint-session"), Then::Page),
            (vec![hint(&old), back], Some("id-token-hint-session"), Then::Return),
            (vec![hint(&old), id("tides"), back], Some("id-token-hint-session"), Then::Return),
            (vec![hint(&eves), back], Some("id-token-hint-session"), Then::Return),
            (vec![hint(&old), wrong], Some("post-logout-redirect-uri"), Then::Told),
        ] {
            let browser = app.signed_in(ADA).await;
            let asked = browser.get(&target(&pairs)).await;
            assert_asks_because(&asked, why);
            assert!(is_signed_in(&browser).await, "{pairs:?}");
            let done = browser.submit(&asked, "/logout/confirm", &[]).await;
            assert!(!is_signed_in(&browser).await, "{pairs:?}");
            assert_ends(&done, then, why);
            // If nobody is signed in, there is nothing to ask.
            let nobody = app.browser().open(&target(&pairs)).await;
            assert_ends(&nobody, then, why);
        }
        for told in ["client_id=\"nobody\" detail=\"no enabled client has this client_id", "detail=\"id_token_hint is not an ID token signed by this server",
            "detail=\"id_token_hint was issued to a client other than the one in client_id", "detail=\"id_token_hint belongs to a session other than",
            "detail=\"post_logout_redirect_uri needs id_token_hint or client_id"]
        {
            assert!(is_logged(told), "{told}");
        }
        // If no page gives the reason, the log does.
        for (pairs, told) in [
            (vec![id("unheard")], "client_id=\"unheard\" detail=\"no enabled client has this client_id\""),
            (vec![hint("x.y.z"), id("unheard-of")], "client_id=\"unheard-of\" detail=\"id_token_hint is not an ID token signed by this server\""),
        ] {
            assert_ends(&app.browser().open(&target(&pairs)).await, Then::Page, None);
            assert!(is_logged(told), "{told}");
        }
        assert!(!is_logged(&old) && !is_logged(&forged) && !is_logged(&eves), "a token is logged");
    }

    async fn fault_12_what_comes_along_with_a_request_keeps_nobody_from_signing_out(engine: Engine) {
        let (app, _) = ready(engine).await;
        let back = format!("client_id=tides&post_logout_redirect_uri={BYE}");
        let long = "~".repeat(4_000);
        for (more, state) in [
            (format!("junk={long}"), None), (format!("junk={}", "{".repeat(4_000)), None), (format!("state={long}"), Some(long.clone())),
            (format!("state={}", "{".repeat(8_000)), Some("{".repeat(8_000))), (format!("state={}", "%25".repeat(2_500)), Some("%".repeat(2_500))),
            (format!("state={}", "+".repeat(8_000)), Some(" ".repeat(8_000))),
        ] {
            let browser = app.signed_in(ADA).await;
            let asked = browser.get(&format!("/logout?{back}&{more}")).await;
            assert_question(&asked);
            let done = browser.submit(&asked, "/logout/confirm", &[]).await;
            assert_eq!(done.status, 200, "{}", done.text());
            assert!(!is_signed_in(&browser).await, "{}", done.text());
            let to = done.leads_to().unwrap();
            assert!(to.starts_with(BYE), "{to}");
            assert_eq!(done.redirect_param("state"), state);
            // A second click on the old page. A request that would be too long for us is left out.
            let again = browser.submit(&asked, "/logout/confirm", &[]).await;
            assert_eq!(again.status, 200, "{}", again.text());
            assert!(again.text().contains("You are signed out"), "{}", again.text());
        }
    }

    async fn fault_12_a_parameter_that_cannot_be_decoded_keeps_nobody_from_signing_out(engine: Engine) {
        let (app, _) = ready(engine).await;
        let bye = format!("post_logout_redirect_uri={BYE}");
        for broken in ["%FF", "%00", "caf%E9", "%C3%28"] {
            for (query, why, then) in [
                (format!("client_id=tides&{bye}&state={broken}"), None, Then::Return),
                (format!("client_id=tides&{bye}&ui_locales={broken}&logout_hint={broken}"), None, Then::Return),
                (format!("state={broken}"), None, Then::Page),
                (format!("id_token_hint={broken}&{bye}"), Some("id-token-hint-invalid"), Then::Told),
                (format!("client_id={broken}&{bye}"), Some("client-unknown"), Then::Told),
                (format!("client_id=tides&post_logout_redirect_uri={broken}"), Some("post-logout-redirect-uri"), Then::Told),
            ] {
                let browser = app.signed_in(ADA).await;
                let posted = Raw::post("/logout").body(FORM, &query).send(&app).await;
                for target in [format!("/logout?{query}"), posted.location().unwrap()] {
                    assert_asks_because(&browser.get(&target).await, why);
                }
                let asked = browser.get(&format!("/logout?{query}")).await;
                let done = browser.submit(&asked, "/logout/confirm", &[]).await;
                assert!(!is_signed_in(&browser).await, "{query}");
                assert_ends(&done, then, why);
                assert_ends(&app.browser().open(&format!("/logout?{query}")).await, then, why);
            }
            let browser = app.signed_in(ADA).await;
            let hint = id_token(&app, &browser, "tides").await;
            let done = browser.get(&format!("/logout?id_token_hint={hint}&{bye}&state={broken}")).await;
            assert_eq!(done.location().as_deref(), Some(BYE));
        }
        for name in ["state", "ui_locales"] {
            let line = format!("client_id=\"tides\" detail=\"{name} cannot be decoded");
            assert!(is_logged(&line), "{line}");
        }
    }

    async fn lo_03_a_hint_that_is_not_ours_or_not_the_clients_signs_nobody_out(engine: Engine) {
        let (app, browser) = ready(engine).await;
        app.register(&trusted("other")).await;
        app.user("eve@example.org").await;
        let hint = id_token(&app, &browser, "tides").await;
        let good = claims(&hint);
        let own = Signer::stolen(&app, SigningAlg::Es256).await;
        let head = json!({ "alg": "ES256", "kid": own.kid, "typ": "JWT" });
        let mut all = forgeries(&app, "JWT", &good).await;
        for (name, value) in [("iss", json!("https://evil.tld")), ("iss", json!(format!("{}/", app.issuer))), ("aud", json!(["tides"])), ("azp", json!("other"))] {
            let mut claims = good.clone();
            claims[name] = value.clone();
            all.push((format!("{name}={value}"), own.sign(&head, &claims)));
        }
        let eves = id_token(&app, &app.signed_in("eve@example.org").await, "tides").await;
        all.push(("somebody else's".to_owned(), eves));
        let before = app.state().await;
        for (what, token) in &all {
            for pairs in [
                vec![("id_token_hint", token.as_str()), ("client_id", "tides"), ("post_logout_redirect_uri", BYE)],
                vec![("id_token_hint", token.as_str())],
            ] {
                let answer = browser.get(&target(&pairs)).await;
                assert_eq!(answer.location(), None, "{what}");
                if answer.status == 200 { assert_question(&answer) } else { assert!(answer.status.is_client_error(), "{what}") }
            }
        }
        let mismatch = [("id_token_hint", hint.as_str()), ("client_id", "other"), ("post_logout_redirect_uri", "https://other.example/bye")];
        assert_question(&browser.get(&target(&mismatch)).await);
        assert_eq!(app.state().await, before);
        assert!(is_signed_in(&browser).await);
    }

    async fn lo_05_a_copied_cookie_is_worthless_after_sign_out(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let other = app.second_node().await;
        let cookie = {
            let page = app.browser();
            let form = page.open("/signin").await;
            let done = page.submit_only(&form, "/login", &[("email", ADA), ("password", crate::support::PASSWORD)]).await;
            done.cookies().iter().map(|cookie| cookie.split(';').next().unwrap().to_owned()).collect::<Vec<_>>().join("; ")
        };
        let thief = other.browser();
        let replay = [("cookie", cookie.as_str())];
        let account = thief.send(Method::GET, "/account", None, &replay).await;
        assert_eq!(account.status, 200);
        assert!(account.body.contains(ADA) && account.header("cache-control").contains("no-store"));
        let question = thief.send(Method::GET, "/logout", None, &replay).await;
        let form = question.form("/logout/confirm");
        let fields: Vec<(&str, &str)> = form.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let done = app.browser().send(Method::POST, "/logout/confirm", Some(&fields), &replay).await;
        assert_eq!((done.status.as_u16(), done.location().as_deref()), (303, Some("/signed-out")));
        assert_eq!(done.header("clear-site-data"), "");
        assert!(done.cookies().iter().any(|cookie| cookie.starts_with(&format!("{}=;", app.cookie("session"))) && cookie.contains("Max-Age=0")));
        for path in ["/account", "/", "/authorize"] {
            let path = if path == "/authorize" { crate::support::client::authorize(&request("tides")) } else { path.to_owned() };
            let answer = thief.send(Method::GET, &path, None, &replay).await;
            assert!(!answer.body.contains(ADA), "{path}");
            assert_eq!(answer.redirect_param_of_code(), None, "{path}");
            assert_ne!((answer.status.as_u16(), path.as_str()), (200, "/account"));
        }
        assert!(is_signed_in(&browser).await, "another session of the same person lives on");
    }

    async fn signing_out_works_with_the_hint_with_the_client_id_and_with_both(engine: Engine) {
        let (app, _) = ready(engine).await;
        let bye = "https://query.example/bye?from=us&x";
        let uris = vec![RedirectUri::parse(bye).unwrap()];
        app.register(&Client { post_logout_redirect_uris: uris, ..trusted("query") }).await;
        for how in ["hint", "client id", "both", "post", "old hint"] {
            let browser = app.signed_in(ADA).await;
            let hint = id_token(&app, &browser, "query").await;
            if how == "old hint" {
                app.wait(std::time::Duration::from_secs(11 * 60));
            }
            let mut pairs = vec![("post_logout_redirect_uri", bye), ("state", "a state & more"), ("unknown", "x")];
            pairs.extend((how != "client id").then_some(("id_token_hint", hint.as_str())));
            pairs.extend((how == "client id" || how == "both").then_some(("client_id", "query")));
            let mut answer = match how {
                "post" => browser.send(Method::POST, "/logout", Some(&pairs), &[("origin", "https://query.example")]).await,
                _ => browser.get(&target(&pairs)).await,
            };
            answer = browser.follow(answer).await;
            if how == "client id" {
                assert_question(&answer);
                assert!(answer.header("content-security-policy").ends_with("form-action 'self'"));
                assert!(is_signed_in(&browser).await);
                answer = browser.submit(&answer, "/logout/confirm", &[]).await;
            }
            assert_eq!(answer.status, if how == "client id" { 200 } else { 303 }, "{how}");
            assert_eq!(answer.leads_to(), Some(format!("{bye}&state=a+state+%26+more")), "{how}");
            assert!(!is_signed_in(&browser).await, "{how}");
        }
        assert_eq!(audit_count(&app, AuditEvent::SignedOut).await, 5);
        let nobody = app.browser().get(&target(&[("client_id", "query"), ("post_logout_redirect_uri", bye)])).await;
        assert_eq!(nobody.location().as_deref(), Some(bye));
        assert_eq!(audit_count(&app, AuditEvent::SignedOut).await, 5, "nobody signed out, yet it is recorded");
    }

    async fn fault_14_nobody_who_is_signed_in_is_told_that_they_are_signed_out(engine: Engine) {
        let (app, browser) = ready(engine).await;
        for target in ["/signed-out", "/signed-out?client_id=tides", "/signed-out?client_id=tides&post_logout_redirect_uri=https%3A%2F%2Ftides.example%2Fbye"] {
            let answer = browser.get(target).await;
            assert_eq!((answer.status.as_u16(), answer.location().as_deref()), (303, Some("/logout")), "{target}");
            assert_question(&browser.follow(answer).await);
            assert!(is_signed_in(&browser).await, "{target}");
            assert_eq!(app.browser().get(target).await.status, 200, "{target}: nobody is signed in");
        }
    }

    async fn signing_out_revokes_the_tokens_of_the_session_but_not_offline_access(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let other = app.second_node().await;
        let online = app.redeem("tides", &app.code(&browser, &changed("tides", &[])).await).await.tokens();
        let offline = app.redeem("tides", &offline_code(&app, &browser).await).await.tokens();
        browser.get(&target(&[("id_token_hint", &online.id)])).await;
        other.userinfo(&online.access).await.assert_invalid_token();
        assert_eq!(other.userinfo(&offline.access).await.status, 200);
        other.refresh("tides", &offline.refresh).await.tokens();
    }
}

impl Answer {
    /// The code in a redirect to another site, if there is one.
    fn redirect_param_of_code(&self) -> Option<String> {
        self.location().filter(|to| to.starts_with("https://")).and_then(|_| self.redirect_param("code"))
    }
}
