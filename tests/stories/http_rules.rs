//! What HTTP says about queries, media types, methods and status codes, on every route.

use idp_core::oauth::issuer::Issuer;
use idp_server::route_facts;

use crate::registration::ADA;
use crate::routes::{path, with_dev_pages};
use crate::support::raw::{FORM, Raw, RawBrowser};
use crate::support::{Engine, PASSWORD, TestApp, confidential, on_both_engines};

const JUNK: &str = "utm_source=mail&fbclid=1&utm_source=again&a[]=1&Token=x&FLOW=1&=&&email[]=x&gclid";
/// What the program cannot decode, in parameters that it does not know.
const BROKEN: &str = "utm_term=%FF&%FF=%FF&q=%00&x=%C3%28";

/// The answer without what differs each time.
fn shape(answer: &crate::support::browser::Answer) -> (u16, Option<String>, Option<String>) {
    let location =
        answer.location().map(|to| if to.starts_with("/flow/") { "/flow/".to_owned() } else { to });
    (answer.status.as_u16(), answer.reason().map(str::to_owned), location)
}

fn with_query(target: &str, query: &str) -> String {
    format!("{target}{}{query}", if target.contains('?') { '&' } else { '?' })
}

on_both_engines! {
    async fn fault_08_unknown_query_parameters_of_pages_are_ignored(engine: Engine) {
        let app = with_dev_pages(engine).await;
        app.user(ADA).await;
        app.register(&confidential("tides")).await;
        let mut ada = RawBrowser::new(&app);
        let login = ada.open("/signin").await;
        let flow = login.url.replace(&app.issuer, "");
        let fields = [("name", "Eve"), ("email", "eve@example.org"), ("password", PASSWORD), ("password_confirm", PASSWORD)];
        let page = ada.open("/register").await;
        let check = ada.submit(&page, "/register", &fields).await;
        let link = app.sink.mail_to("eve@example.org", 1).await.link().replace(&app.issuer, "");
        let id = flow.rsplit_once('/').unwrap().1;
        let mut targets: Vec<String> = vec![
            flow.clone(), format!("{flow}?switch=1"), format!("{flow}?email=a@example.org"), link,
            format!("/register?flow={id}"), "/register?email=a@example.org".to_owned(), check.url.replace(&app.issuer, ""),
            "/signin?email=a@example.org".to_owned(), "/signed-out?client_id=tides".to_owned(),
        ];
        targets.extend(route_facts(true).into_iter().filter(|facts| facts.method == "GET").map(|facts| path(&facts)));
        for target in &targets {
            let plain = shape(&Raw::get(target).header("Cookie", ada.cookie()).send(&app).await);
            let protocol = ["/authorize", "/logout"].iter().any(|path| target.starts_with(path) && target != "/logout/confirm");
            for junk in [JUNK, BROKEN, &"a&".repeat(200)] {
                if protocol && junk != JUNK {
                    continue;
                }
                let answer = Raw::get(&with_query(target, junk)).header("Cookie", ada.cookie()).send(&app).await;
                assert_eq!(shape(&answer), plain, "{target} {junk}: {}", answer.text());
            }
        }
        for known in ["/activate?token=av_a&token=av_b", "/register?flow=1&flow=1", "/register?email=a&email=b", &format!("{flow}?go=1&go=1"),
            "/register?email=%FF", "/activate?token=%00", &format!("{flow}?email=%C3%28")]
        {
            let answer = Raw::get(&with_query(known, JUNK)).header("Cookie", ada.cookie()).send(&app).await;
            answer.assert_error(400, false, known);
            assert_eq!(answer.reason(), Some("bad-request"), "{known}");
        }
        // A form is read as strictly as before.
        let csrf = ada.open("/register").await.csrf();
        let unknown = Raw::post("/register").header("Cookie", ada.cookie()).form(&[("csrf", &csrf), ("email", "x"), ("utm_source", "mail")]);
        assert_eq!(unknown.send(&app).await.reason(), Some("bad-request"));
    }

    async fn fault_09_hsts_binds_our_host_alone_and_is_sent_over_https_only(engine: Engine) {
        let hsts = |answer: &crate::support::browser::Answer| answer.header("strict-transport-security").to_owned();
        let plain = TestApp::start(engine).await;
        for target in ["/register", "/jwks.json", "/nowhere"] {
            assert_eq!(hsts(&Raw::get(target).send(&plain).await), "", "an issuer without TLS: {target}");
        }
        for trusted in [false, true] {
            let app = TestApp::start_with(engine, |config| {
                config.issuer = Issuer::parse("https://id.example").unwrap();
                config.trusted_proxies = if trusted { vec!["127.0.0.0/8".parse().unwrap()] } else { vec![] };
            }).await;
            for target in ["/register", "/jwks.json", "/nowhere", "/token", "/healthz"] {
                for (lines, http) in [
                    (&[][..], false), (&["https"], false), (&["HTTPS"], false), (&["http"], true), (&["HTTP"], true), (&[" http "], true),
                    (&["https, http"], true), (&["http,https"], true), (&["https", "http"], true), (&[""], false), (&["httpx"], false),
                ] {
                    let raw = lines.iter().fold(Raw::get(target), |raw, line| raw.header("X-Forwarded-Proto", line));
                    let expected = if http && trusted { "" } else { "max-age=63072000" };
                    assert_eq!(hsts(&raw.send(&app).await), expected, "{target} {lines:?} trusted: {trusted}");
                }
            }
        }
    }

    async fn fault_09_pages_are_not_indexed_and_sign_out_clears_no_cache(engine: Engine) {
        let app = with_dev_pages(engine).await;
        app.user(ADA).await;
        let mut ada = RawBrowser::new(&app);
        ada.sign_in(ADA).await;
        let mut pages = 0;
        for facts in route_facts(true).into_iter().filter(|facts| facts.method == "GET") {
            let answer = Raw::get(&path(&facts)).header("Cookie", ada.cookie()).send(&app).await;
            let html = answer.header("content-type").starts_with("text/html");
            assert_eq!(answer.header("x-robots-tag"), if html { "noindex" } else { "" }, "{}", facts.path);
            pages += usize::from(html);
        }
        assert!(pages >= 8, "{pages}");
        assert_eq!(Raw::get("/nowhere").send(&app).await.header("x-robots-tag"), "noindex");
        let account = ada.open("/account").await;
        ada.submit(&account, "/logout/confirm", &[]).await;
        assert!(!ada.cookies.contains_key("idp-session"));
        for answer in &ada.seen {
            assert_eq!(answer.header("clear-site-data"), "", "{}", answer.url);
        }
    }

    async fn fault_13_a_form_in_utf_8_is_read_however_that_is_written(engine: Engine) {
        let app = TestApp::start(engine).await;
        for kind in ["utf8", "UTF8", "utf-8", "UTF-8", "Utf-8", "\"utf-8\"", "\"UTF8\""].map(|charset| format!("{FORM}; charset={charset}")).into_iter().chain(
            [";charset=utf8", " ; Charset = utf-8", "; CHARSET=utf8", ";", "; charset=", "; boundary=x; charset=utf-8", "; charsets=latin1", "; q=\"a;charset=utf-16\""]
                .map(|rest| format!("{FORM}{rest}")))
        {
            let answer = Raw::post("/token").body(&kind, "grant_type=x").send(&app).await;
            assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (401, Some("invalid_client")), "{kind}");
            let page = Raw::post("/authorize").body(&kind, "client_id=tides").send(&app).await;
            assert_eq!(page.status, 303, "{kind}");
        }
    }

    async fn fault_13_a_refused_body_is_told_what_was_sent_and_what_to_send(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let form = "application/x-www-form-urlencoded";
        for (kind, sent) in [
            ("application/x-www-form-urlencoded; charset=ISO-8859-1", "ISO-8859-1"),
            ("application/x-www-form-urlencoded;charset=\"utf-16\"", "utf-16"),
            ("application/x-www-form-urlencoded; charset=utf-8; charset=latin1", "latin1"),
            ("application/json", "application/json"),
            ("text/plain; charset=utf-8", "text/plain"),
            ("multipart/form-data; boundary=b", "multipart/form-data"),
            ("", "empty"),
            ("a\"b\\c/d", "a%22b%5Cc/d"),
        ] {
            for facts in route_facts(true).into_iter().filter(|facts| facts.form_limit.is_some()) {
                let answer = Raw::post(&path(&facts)).body(kind, "a=b").send(&app).await;
                answer.assert_error(415, facts.json, kind);
                assert_eq!(answer.header("accept"), form, "{kind} {}", facts.path);
                if facts.json {
                    let told = answer.json()["error_description"].as_str().unwrap().to_owned();
                    assert!(told.contains(sent) && told.contains(form), "{kind}: {told}");
                    assert!(told.contains("UTF-8") || !kind.starts_with(form), "{kind}: {told}");
                    assert!(told.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')), "{told}");
                }
            }
        }
        let described = |answer: crate::support::browser::Answer| answer.json()["error_description"].as_str().unwrap_or_default().to_owned();
        let untyped = Raw::post("/token").header("Content-Length", "3").send(&app).await;
        untyped.assert_error(415, true, "no type");
        assert!(described(untyped).contains("no Content-Type"));
        let twice = Raw::post("/token").body(FORM, "a=b").header("Content-Type", FORM).send(&app).await;
        assert!(described(twice).contains("more than one Content-Type"));
        let packed = Raw::post("/token").body(FORM, [0x1f, 0x8b, 8]).header("Content-Encoding", "gzip").send(&app).await;
        packed.assert_error(415, true, "gzip");
        assert_eq!(packed.header("accept-encoding"), "identity");
        assert!(described(packed).contains("gzip"));
        let plain = Raw::post("/token").body(FORM, "grant_type=x").header("Content-Encoding", "identity").send(&app).await;
        assert_eq!(plain.status, 401);
        let broken = Raw::post("/token").body(FORM, "a=%FF").send(&app).await;
        assert!(described(broken).contains("form"));
    }

    async fn fault_13_a_page_names_whose_move_it_is(engine: Engine) {
        let app = TestApp::start(engine).await;
        let long = "x".repeat(9_000);
        // Only an application makes these requests, so only it can mend them.
        for at in ["/authorize", "/logout"] {
            for answer in [
                Raw::get(&format!("{at}?state=%FF")).send(&app).await,
                Raw::get(&format!("{at}?{}", "a=1&".repeat(70))).send(&app).await,
                Raw::get(&format!("{at}?state={long}")).send(&app).await,
                Raw::post(at).body("application/json", "{}").send(&app).await,
                Raw::post(at).body(FORM, "a=%FF").send(&app).await,
                Raw::post(at).announced(FORM, 10 << 20).send(&app).await,
                Raw::new("PUT", at).send(&app).await,
            ] {
                assert!(answer.status.is_client_error(), "{}", answer.status);
                assert!(answer.body.contains("class=\"kind app\""), "{} {}", answer.url, answer.text());
                for word in ["Go back", "try again", "Shorten", "Use the form", "You can fix this"] {
                    assert!(!answer.text().contains(word), "{word}: {}", answer.text());
                }
            }
        }
        // A link that a person followed or a form that they sent.
        for answer in [
            Raw::get("/activate?token=a&token=b").send(&app).await,
            Raw::get(&format!("/register?email={long}")).send(&app).await,
            Raw::post("/register").body(FORM, "a=%FF").send(&app).await,
        ] {
            assert!(answer.body.contains("class=\"kind yours\""), "{} {}", answer.url, answer.text());
        }
    }

    async fn fault_13_status_codes_say_what_http_says(engine: Engine) {
        let app = with_dev_pages(engine).await;
        app.user(ADA).await;
        let long = "x".repeat(9_000);
        for facts in route_facts(true) {
            let target = format!("{}?a={long}", path(&facts));
            Raw::new(facts.method.as_str(), &target).send(&app).await.assert_error(414, facts.json, "a long target");
        }
        // RFC 9110 section 15.5.2: each 401 says how to authenticate.
        let mut ada = RawBrowser::new(&app);
        let login = ada.open("/signin").await;
        let wrong = ada.submit(&login, "/login", &[("email", ADA), ("password", "wrong")]).await;
        for (answer, scheme) in [
            (wrong, "Cookie "),
            (Raw::post("/token").form(&[]).send(&app).await, "Basic "),
            (Raw::get("/userinfo").send(&app).await, "Bearer"),
        ] {
            assert_eq!(answer.status, 401, "{}", answer.url);
            assert!(answer.header("www-authenticate").starts_with(scheme), "{}: {}", answer.url, answer.header("www-authenticate"));
        }
    }
}
