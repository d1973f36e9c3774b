//! What the log says about a refusal: the client, the rule, and the value that broke it, escaped and cut short.

use idp_core::client::Client;

use crate::oauth_authorize::{ADA, trusted};
use crate::support::client::{authorize, changed, redemption, request};
use crate::support::{Engine, TestApp, confidential, is_logged, logged_lines, on_both_engines};

#[track_caller]
fn assert_logged(told: &str) {
    assert!(is_logged(told), "{told}");
}

on_both_engines! {
    async fn fault_12_a_refused_authorization_request_names_client_rule_and_value(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.register(&confidential("logged")).await;
        app.register(&Client { enabled: false, ..confidential("logged-off") }).await;
        let browser = app.browser();
        let long = "y".repeat(4000);
        for (changes, told) in [
            (vec![("client_id", Some("logged-nobody"))], "client_id=\"logged-nobody\" detail=\"no client has this client_id\" value=\"client_id=logged-nobody\""),
            (vec![("client_id", Some("logged-off"))], "client_id=\"logged-off\" detail=\"this client is disabled\""),
            (vec![("client_id", Some("logged\r\nnobody"))], "client_id=\"logged%0D%0Anobody\" detail="),
            (vec![("client_id", Some(&long))], "yyy... (3880 more bytes)\" detail=\"no client has this client_id\""),
            (vec![("redirect_uri", Some("https://logged.example/cb/"))], "client_id=\"logged\" detail=\"redirect_uri must equal a registered one, byte for byte\" value=\"redirect_uri=https://logged.example/cb/\""),
            (vec![("redirect_uri", None)], "client_id=\"logged\" detail=\"redirect_uri is missing\" value=\"redirect_uri\""),
            (vec![("response_type", Some("token"))], "client_id=\"logged\" detail=\"response_type must be code\" value=\"response_type=token\""),
            (vec![("scope", Some("logged:nothing"))], "client_id=\"logged\" detail=\"none of the requested scopes is allowed for this client\" value=\"scope=logged:nothing\""),
            (vec![("prompt", Some("logged"))], "client_id=\"logged\" detail=\"prompt has an unknown value\" value=\"prompt=logged\""),
            (vec![("max_age", Some("-7"))], "detail=\"max_age must be a whole number of seconds\" value=\"max_age=-7\""),
            (vec![("response_mode", Some("fragment"))], "detail=\"response_mode must be query\" value=\"response_mode=fragment\""),
            (vec![("id_token_hint", Some("canary-of-a-hint"))], "client_id=\"logged\" detail=\"id_token_hint was not issued here, or not for this client\" value=\"id_token_hint\""),
            (vec![("claims", Some("canary-of-claims"))], "client_id=\"logged\" detail=\"claims is not a valid claims object (OpenID Connect Core 5.5)\" value=\"claims\""),
            (vec![("prompt", Some("none"))], "code=\"login_required\" client_id=\"logged\" detail=\"prompt=none, but the person has to sign in\""),
        ] {
            browser.get(&authorize(&changed("logged", &changes))).await;
            assert_logged(told);
        }
        let twice = [request("logged"), vec![("state".to_owned(), "canary-of-a-state".to_owned())]].concat();
        browser.get(&authorize(&twice)).await;
        assert_logged("client_id=\"logged\" detail=\"a parameter is repeated\" value=\"state\"");
        for canary in ["canary-of-a-hint", "canary-of-claims", "canary-of-a-state", &long[..200]] {
            assert!(!is_logged(canary), "{canary}");
        }
    }

    async fn fault_12_a_refused_token_request_names_client_and_rule_and_no_secret(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&trusted("paid")).await;
        let browser = app.signed_in(ADA).await;
        for (name, value, told) in [
            ("redirect_uri", "https://paid.example/other", "client_id=\"paid\" detail=\"redirect_uri is not the one the code was sent to\" value=\"redirect_uri=https://paid.example/other\""),
            ("code_verifier", "canary-of-a-verifier-that-is-long-enough-0123456789", "client_id=\"paid\" detail=\"code_verifier does not match the code_challenge\" value=\"code_verifier\""),
            ("grant_type", "canary-of-a-grant-type", "client_id=\"paid\" detail=\"grant_type must be authorization_code or refresh_token\" value=\"grant_type\""),
            ("code", "canary-of-a-code", "client_id=\"paid\" detail=\"the code or token is unknown, used, expired or revoked\""),
            ("code", "", "client_id=\"paid\" detail=\"a required parameter is missing\" value=\"code\""),
        ] {
            let code = app.code(&browser, &request("paid")).await;
            let mut fields = redemption("paid", &code);
            fields.retain(|(field, _)| *field != name);
            fields.push((name, value.to_owned()));
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(app.token("paid", &fields).await.status, 400);
            assert_logged(told);
        }
        for canary in ["canary-of-a-verifier", "canary-of-a-grant-type", "canary-of-a-code"] {
            assert!(!is_logged(canary), "{canary}");
        }
    }

    async fn fault_21_the_page_of_an_unknown_client_shows_the_id_it_asked_with(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let browser = app.browser();
        let (long, cut) = ("z".repeat(4000), format!("{}…", "z".repeat(120)));
        for (id, shown) in [
            ("shown-nobody", "shown-nobody"),
            ("<script>alert(1)</script>", "%3Cscript%3Ealert%281%29%3C/script%3E"),
            ("shown\r\nnobody\u{202E}", "shown%0D%0Anobody%E2%80%AE"),
            (&long, &cut),
        ] {
            let page = browser.get(&authorize(&changed("shown", &[("client_id", Some(id))]))).await;
            page.assert_error_page(400, "client-unknown");
            // Signing out for such a client says the same, on the question as on the page after it.
            let asked = [("client_id", id), ("post_logout_redirect_uri", "https://shown.example/bye")];
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(asked).finish();
            let signed_out = browser.get(&format!("/logout?{query}")).await;
            let question = app.signed_in(ADA).await.get(&format!("/logout?{query}")).await;
            for page in [page, signed_out, question] {
                assert!(page.text().contains(&format!("id=\"asked-client\">{shown}<")), "{id}: {}", page.body);
                assert!(!page.body.contains("alert(1)") && !page.body.contains("\u{202E}"), "{}", page.body);
            }
        }
        // Nothing that may be a secret: only the client's ID is shown.
        let page = browser.get(&authorize(&changed("shown", &[("state", Some("canary-on-a-page")), ("id_token_hint", Some("canary-on-a-page"))]))).await;
        assert!(page.reason() == Some("client-unknown") && !page.body.contains("canary-on-a-page"));
        // A page without an ID has no line for one.
        assert!(!browser.get(&authorize(&changed("shown", &[("client_id", None)]))).await.body.contains("asked-client"));
    }

    async fn fault_21_a_page_that_is_gone_names_its_id_in_the_log(engine: Engine) {
        let app = TestApp::start(engine).await;
        let browser = app.browser();
        browser.open("/signin").await;
        for (path, told) in [
            ("/flow/01935a1e-8a33-7000-8000-0000000000aa", "value=\"flow=01935a1e-8a33-7000-8000-0000000000aa\""),
            ("/register/01935a1e-8a33-7000-8000-0000000000ab", "value=\"registration=01935a1e-8a33-7000-8000-0000000000ab\""),
        ] {
            assert_eq!(browser.get(path).await.status, 400);
            assert_logged(told);
        }
        assert_eq!(browser.get("/flow/canary-in-a-path").await.status, 400);
        assert_eq!(browser.get("/register/canary-in-a-path").await.status, 400);
        assert!(!is_logged("canary-in-a-path"), "what is no ID may be a secret");
        let told = logged_lines("the path has something else in place of an ID");
        for route in ["/flow/{id}", "/register/{id}"] {
            assert!(told.iter().any(|line| line.contains(route)), "{route}: {told:?}");
        }
    }

    async fn fault_12_a_flow_that_cannot_go_on_names_its_client(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        app.register(&confidential("moved")).await;
        let browser = app.browser();
        let login = browser.open(&authorize(&request("moved"))).await;
        app.browser().get(&login.url).await.assert_error_page(403, "flow-foreign");
        assert_logged("reason=\"flow-foreign\" client_id=\"moved\"");
        app.sql("UPDATE clients SET epoch = epoch + 1 WHERE id = 'moved'").await;
        browser.get(&login.url).await.assert_page("flow-changed");
        assert_logged("reason=\"flow-changed\" client_id=\"moved\" detail=\"the client was changed while the flow was open\"");
        app.sql("UPDATE clients SET enabled = FALSE WHERE id = 'moved'").await;
        browser.get(&login.url).await.assert_page("client-unknown");
        assert_logged("client_id=\"moved\" detail=\"the client was deleted or disabled while the flow was open\"");
    }
}
