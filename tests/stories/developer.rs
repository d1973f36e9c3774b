//! What a developer is told: on error pages, in the mailbox of `dev`, and in the log.

use crate::browser_test::{BrowserTest, in_dev};
use crate::headers::check_headers;
use crate::registration::{ADA, register};
use crate::support::browser::{Answer, Browser};
use crate::support::client::{authorize, basic_of, changed, request};
use crate::support::{Engine, PASSWORD, SECRET, TestApp, confidential, is_logged, on_both_engines};

/// The first email in the mailbox of `dev`; waits for it, because email is sent in the background.
async fn first_mail(browser: &Browser) -> Answer {
    for _ in 0..400 {
        let mailbox = browser.open("/dev/mail").await;
        let link = mailbox.body.split('"').find(|text| text.starts_with("/dev/mail/"));
        if let Some(link) = link {
            return browser.open(link).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("no mail");
}

/// The rows of one list in the developer box, and which of them are marked.
fn rows(answer: &Answer, list: &str) -> Vec<(String, bool)> {
    let list = answer.body.split_once(&format!("id=\"{list}\"")).unwrap().1.split("</dl>").next().unwrap();
    let rows = list.split("<dt>").skip(1).map(|row| row.split("</dt>").next().unwrap());
    rows.map(|row| (row.split("</code>").next().unwrap().replace("<code>", ""), row.contains("differs")))
        .collect()
}

on_both_engines! {
    async fn az_06_a_missing_and_a_repeated_parameter_are_reported_as_such(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.register(&confidential("tides")).await;
        let browser = app.browser();
        for client_id in [None, Some("")] {
            browser.get(&authorize(&changed("tides", &[("client_id", client_id)]))).await.assert_page("client-missing");
        }
        for name in ["client_id", "redirect_uri"] {
            let mut twice = request("tides");
            let pair = twice.iter().find(|(key, _)| key == name).cloned().unwrap();
            twice.push(pair);
            browser.get(&authorize(&twice)).await.assert_page("parameter-repeated");
        }
    }

    async fn a_refused_request_is_shown_next_to_what_is_registered(engine: Engine) {
        let test = BrowserTest::start(engine, in_dev).await;
        let app = &test.app;
        app.register(&confidential("tides")).await;
        let browser = app.browser();
        let answer = browser.get(&authorize(&changed("tides", &[("redirect_uri", Some("http://example.com/cb"))]))).await;
        let marked = [("client_id", false), ("redirect_uri", true), ("scope", false)].map(|(name, marked)| (name.to_owned(), marked));
        assert_eq!((&rows(&answer, "dev-sent")[..3], &rows(&answer, "dev-registered")[..]), (&marked[..], &marked[..]));
        assert!(answer.text().contains("http is for loopback only") && !answer.body.contains("dev-fix"), "{}", answer.text());
        let answer = browser.get(&authorize(&changed("tides", &[("redirect_uri", Some("https://tides.example/"))]))).await;
        assert!(answer.text().contains("byte for byte") && answer.body.contains("dev-fix"), "{}", answer.text());
        let answer = browser.get(&authorize(&changed("tidse", &[]))).await;
        assert_eq!(rows(&answer, "dev-sent")[0], ("client_id".to_owned(), true));
        let mut twice = request("tides");
        twice.push(("redirect_uri".to_owned(), "https://tides.example/cb".to_owned()));
        let answer = browser.get(&authorize(&twice)).await;
        assert!(rows(&answer, "dev-sent").iter().all(|(_, marked)| !marked), "each is the registered one");
        app.sql("UPDATE clients SET enabled = FALSE WHERE id = 'tides'").await;
        let answer = browser.get(&authorize(&request("tides"))).await;
        assert!(answer.text().contains("this client is disabled"), "{}", answer.text());
    }

    async fn scopes_that_are_not_registered_are_logged_and_not_granted(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.register(&confidential("scoped")).await;
        app.browser().get(&authorize(&changed("scoped", &[("scope", Some("openid canary_scope profile"))]))).await;
        assert!(is_logged("scope not registered") && is_logged("canary_scope"));
    }

    async fn tk_10_only_the_log_says_why_a_client_failed_to_authenticate(engine: Engine) {
        let app = TestApp::start(engine).await;
        let id = match engine {
            Engine::Sqlite => "logged-s",
            Engine::Postgres => "logged-p",
        };
        app.register(&confidential(id)).await;
        app.sql(&format!("UPDATE clients SET auth_method = 'client_secret_post' WHERE id = '{id}'")).await;
        let browser = app.browser();
        let unknown = format!("{id}-not");
        let mut bodies = Vec::new();
        for (client, secret, name, why) in [
            // Not logged by its ID, which might be a secret in the wrong place.
            (unknown.as_str(), SECRET, "client_id", "unknown client"),
            (id, SECRET, id, "its authentication method is not the registered one"),
            (id, "wrong", id, "its authentication method is not the registered one"),
        ] {
            let header = [("authorization", basic_of(client, secret))];
            let header = [(header[0].0, header[0].1.as_str())];
            let answer = browser.send(reqwest::Method::POST, "/token", Some(&[("grant_type", "authorization_code")]), &header).await;
            assert!(is_logged(&format!("{name}: {why}")), "{client}: {why}");
            bodies.push((answer.status, answer.body));
        }
        assert!(!is_logged(&unknown));
        // Its beginning tells it from others.
        assert!(is_logged(&format!("value=\"log... ({} characters)\"", unknown.len())));
        let wrong = [("grant_type", "authorization_code"), ("client_id", id), ("client_secret", "wrong")];
        let answer = browser.post("/token", &wrong).await;
        assert!(is_logged(&format!("{id}: wrong secret")));
        bodies.push((answer.status, answer.body));
        app.sql(&format!("UPDATE clients SET enabled = FALSE WHERE id = '{id}'")).await;
        let answer = browser.post("/token", &wrong).await;
        assert!(is_logged(&format!("{id}: this client is disabled")));
        bodies.push((answer.status, answer.body));
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    }

    async fn hd_03_hd_05_the_mailbox_shows_the_html_of_a_mail_in_its_own_sandbox(engine: Engine) {
        let test = BrowserTest::start(engine, in_dev).await;
        let browser = test.app.browser();
        register(&browser, ADA, PASSWORD).await;
        let mail = first_mail(&browser).await;
        let at = mail.body.split('"').find(|text| text.ends_with("/html")).expect("a link to the HTML").to_owned();
        let html = browser.get(&at).await;
        assert!(html.status == 200 && html.body.contains("style=\"") && html.text().contains("Activate account"));
        // This answer may style its own elements and do nothing else: no script, no form, no frame.
        let sandbox = "default-src 'none'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; \
            style-src 'unsafe-inline'; form-action 'none'; sandbox";
        let policies: Vec<_> = html.headers.get_all("content-security-policy").iter().collect();
        assert_eq!(policies, [sandbox]);
        assert_eq!(html.header("content-type"), "text/html; charset=utf-8");
        check_headers(&html);
        assert!(!mail.header("content-security-policy").contains("unsafe"));
        let nothing = browser.get("/dev/mail/none/html").await;
        nothing.assert_error_page(404, "not-found");
        assert!(!nothing.header("content-security-policy").contains("unsafe"));
        let production = TestApp::start(engine).await;
        production.browser().get(&at).await.assert_error_page(404, "not-found");
    }

    async fn the_clock_can_go_back_only_after_it_was_moved(engine: Engine) {
        let test = BrowserTest::start(engine, in_dev).await;
        let browser = test.app.browser();
        let clock = browser.open("/dev/clock").await;
        assert!(!clock.text().contains("Back to real time"), "{}", clock.text());
        let moved = browser.submit(&clock, "/dev/clock", &[("advance", "3600")]).await;
        assert!(moved.body.contains("button quiet\" type=\"submit\" id=\"advance-0\""), "{}", moved.body);
    }

    async fn fault_22_every_page_shows_that_the_clock_was_moved(engine: Engine) {
        let test = BrowserTest::start(engine, in_dev).await;
        let browser = test.app.browser();
        let pages = ["/signin", "/register", "/dev/mail", "/dev/clock", "/nothing/here", "/authorize"];
        let ahead = "Clock moved by 1 d 1 h 0 min";
        let back = "<a href=\"/dev/clock#advance-0\">Move it back</a>";
        for path in pages {
            let page = browser.open(path).await;
            assert!(!page.text().contains("Clock moved") && !page.body.contains(back), "{path}: {}", page.text());
        }
        let clock = browser.open("/dev/clock").await;
        browser.submit(&clock, "/dev/clock", &[("advance", "86400")]).await;
        let clock = browser.open("/dev/clock").await;
        let clock = browser.submit(&clock, "/dev/clock", &[("advance", "3600")]).await;
        assert!(clock.body.contains("id=\"advance-0\""), "the link leads to a button");
        for path in pages {
            let page = browser.open(path).await;
            assert!(page.text().contains(ahead) && page.body.contains(back), "{path}: {}", page.text());
        }
        browser.submit(&clock, "/dev/clock", &[("advance", "0")]).await;
        for path in pages {
            assert!(!browser.open(path).await.text().contains("Clock moved"), "{path}");
        }
    }
}
