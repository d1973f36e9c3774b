//! What HTTP says about queries, media types, methods and status codes, on every route.

use idp_core::oauth::issuer::Issuer;
use idp_server::config::Hsts;
use idp_server::route_facts;

use crate::headers::check_headers;
use crate::oauth_authorize::{CB, ready};
use crate::registration::ADA;
use crate::routes::{path, with_dev_pages};
use crate::support::client::{authorize, basic, redemption, request};
use crate::support::raw::{FORM, Raw, RawBrowser};
use crate::support::{Engine, PASSWORD, TestApp, confidential, logged_lines, on_both_engines};

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
            for junk in [JUNK, BROKEN, &"a&".repeat(200)] {
                let answer = Raw::get(&with_query(target, junk)).header("Cookie", ada.cookie()).send(&app).await;
                assert_eq!(shape(&answer), plain, "{target} {junk}: {}", answer.text());
            }
        }
        for known in ["/activate?token=av_a&token=av_b", "/register?flow=1&flow=1", &format!("{flow}?go=1&go=1"), "/register?flow=%FF", "/activate?token=%00"]
        {
            let answer = Raw::get(&with_query(known, JUNK)).header("Cookie", ada.cookie()).send(&app).await;
            answer.assert_error(400, false, known);
            assert_eq!(answer.reason(), Some("bad-request"), "{known}");
        }
        // An address is only filled in, so a broken one is not.
        for prefilled in ["/register?email=a&email=b", "/register?email=%FF", "/signin?email=%FF", &format!("{flow}?email=%C3%28"), &format!("{flow}?email=a&email=b")] {
            let answer = ada.open(prefilled).await;
            assert_eq!(answer.status, 200, "{prefilled}: {}", answer.text());
        }
        // A form is read as strictly as before.
        let csrf = ada.open("/register").await.csrf();
        let unknown = Raw::post("/register").header("Cookie", ada.cookie()).form(&[("csrf", &csrf), ("email", "x"), ("utm_source", "mail")]);
        assert_eq!(unknown.send(&app).await.reason(), Some("bad-request"));
    }

    async fn fault_08_an_authorization_request_is_answered_whatever_was_added_to_it(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let ask = authorize(&request("tides"));
        for junk in [JUNK, BROKEN, "fbclid=%FF", "utm_term=caf%E9", "%00=1", "%FF", &"a&".repeat(200), &"a=%FF&".repeat(200)] {
            for target in [with_query(&ask, junk), ask.replacen('?', &format!("?{junk}&"), 1)] {
                browser.get(&target).await.code(&app, CB);
            }
            let asked = browser.open(&format!("/logout?{junk}&client_id=tides&post_logout_redirect_uri=https://tides.example/bye")).await;
            assert!(asked.text().contains("Sign out") && asked.reason().is_none(), "{junk}: {}", asked.text());
        }
        // The whole request goes along with the question.
        let junk = "a=1&".repeat(100);
        let asked = browser.open(&format!("/logout?{junk}client_id=tides&post_logout_redirect_uri=https://tides.example/bye")).await;
        let done = browser.submit(&asked, "/logout/confirm", &[]).await;
        assert_eq!(done.leads_to().as_deref(), Some("https://tides.example/bye"), "{}", done.text());
    }

    async fn fault_08_a_parameter_of_ours_that_cannot_be_decoded_is_refused_by_name(engine: Engine) {
        let app = TestApp::start(engine).await;
        for (at, names) in [
            ("/authorize", &["redirect_uri", "response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "response_mode",
                "prompt", "max_age", "login_hint", "id_token_hint", "claims", "request", "request_uri", "registration", "resource"][..]),
        ] {
            for name in names {
                for broken in ["caf%E9", "%00", "%C3%28"] {
                    let id = format!("of-{}-{name}", &at[1..]);
                    let page = Raw::get(&format!("{at}?{name}={broken}&fbclid=%FF&client_id={id}")).send(&app).await;
                    page.assert_error(400, false, name);
                    assert!(page.body.contains("class=\"kind app\"") && page.reason() == Some("bad-request"), "{name}: {}", page.body);
                    assert!(page.body.contains(&format!("id=\"asked-client\">{}<", id)), "{name}: {}", page.body);
                    assert!(logged_lines(&id).iter().any(|line| line.contains(name) && line.contains("client_id=")), "{name}: {:?}", logged_lines(&id));
                }
            }
        }
        let page = Raw::get("/authorize?client_id=%FF").send(&app).await;
        page.assert_error(400, false, "client_id");
        assert!(!page.body.contains("asked-client"));
    }

    async fn fault_08_a_clients_form_is_answered_whatever_was_added_to_it(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let ask = authorize(&request("tides")).split_once('?').unwrap().1.to_owned();
        for junk in [JUNK, BROKEN, "utm=%FF", "%FF", "\u{0}=1", &"a=1&".repeat(100), &"a=%FF&".repeat(200), &format!("junk={}", "~".repeat(9_000))] {
            for body in [format!("{ask}&{junk}"), format!("{junk}&{ask}")] {
                let posted = Raw::post("/authorize").body(FORM, &body).send(&app).await;
                assert_eq!(posted.status, 303, "{junk}: {}", posted.text());
                let code = browser.get(&posted.location().unwrap()).await.code(&app, CB);
                let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(redemption("tides", &code)).finish();
                let redeem = Raw::post("/token").body(FORM, format!("{junk}&{form}")).header("Authorization", basic("tides"));
                let tokens = redeem.send(&app).await;
                assert_eq!(tokens.status, 200, "{junk}: {}", tokens.body);
                let token = tokens.json()["access_token"].as_str().unwrap().to_owned();
                let info = Raw::post("/userinfo").body(FORM, format!("{junk}&access_token={token}")).send(&app).await;
                assert_eq!(info.status, 200, "{junk}: {}", info.body);
            }
            let posted = Raw::post("/logout").body(FORM, format!("{junk}&client_id=tides&post_logout_redirect_uri=https://tides.example/bye"));
            let asked = browser.get(&posted.send(&app).await.location().unwrap()).await;
            assert!(asked.text().contains("Sign out") && asked.reason().is_none(), "{junk}: {}", asked.text());
        }
        for name in ["grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope", "client_id", "client_secret", "resource"] {
            let broken = Raw::post("/token").body(FORM, format!("client_id=a-{name}-claim&{name}=%FF")).send(&app).await;
            broken.assert_error(400, true, name);
            assert_eq!(broken.json()["error"], "invalid_request", "{name}");
            assert!(broken.json()["error_description"].as_str().unwrap().starts_with(name), "{}", broken.body);
            assert!(logged_lines(&format!("a-{name}-claim")).is_empty(), "nobody has proven this ID");
        }
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

    async fn fault_09_hsts_is_sent_under_our_own_host_only(engine: Engine) {
        for (policy, header) in [(Hsts::Host, "max-age=63072000"), (Hsts::Subdomains, "max-age=63072000; includeSubDomains"), (Hsts::Forget, "max-age=0")] {
            let app = TestApp::start_with(engine, |config| {
                config.issuer = Issuer::parse("https://id.example").unwrap();
                config.hsts = policy;
            }).await;
            for target in ["/", "/token", "/healthz", "/readyz", "/nowhere", "/jwks.json"] {
                for (hosts, ours) in [
                    (&["id.example"][..], true), (&["ID.example:443"], true), (&["id.example:"], true),
                    (&["evil.example"], false), (&["id.example:8443"], false), (&["id.example."], false), (&["10.0.0.1"], false),
                    (&["sub.id.example"], false), (&[], false), (&["id.example", "id.example"], false), (&["a b"], false),
                ] {
                    for answer in [Raw::get(target).hosts(hosts).send(&app).await, Raw::get(target).hosts(hosts).http_1_0().send(&app).await] {
                        let expected = if ours { header } else { "" };
                        assert_eq!(answer.header("strict-transport-security"), expected, "{target} {hosts:?} {}", answer.status);
                    }
                }
                let absolute = Raw::get(&format!("http://evil.example{target}")).hosts(&["id.example"]).send(&app).await;
                assert_eq!(absolute.header("strict-transport-security"), "", "{target}");
            }
        }
    }

    async fn fault_09_a_trusted_proxy_may_say_http_in_every_form(engine: Engine) {
        for trusted in [false, true] {
            let app = TestApp::start_with(engine, |config| {
                config.issuer = Issuer::parse("https://id.example").unwrap();
                config.trusted_proxies = if trusted { vec!["127.0.0.0/8".parse().unwrap()] } else { vec![] };
            }).await;
            for (lines, http) in [
                (&[("X-Forwarded-Proto", "\"http\"")][..], true), (&[("X-Forwarded-Proto", "\"HTTP\"")], true), (&[("X-Forwarded-Proto", "\"https\"")], false),
                (&[("Forwarded", "proto=http")], true), (&[("Forwarded", "for=192.0.2.60;proto=http;by=203.0.113.43")], true),
                (&[("Forwarded", "for=192.0.2.60; Proto=\"HTTP\"")], true), (&[("Forwarded", "proto=https, for=x;PROTO=http")], true),
                (&[("Forwarded", "proto=https"), ("Forwarded", "proto=http")], true), (&[("Forwarded", "proto=\"ht\\tp\"")], true),
                (&[("Forwarded", "for=\"[2001:db8::1]:4711\";proto=http")], true),
                (&[("Forwarded", "proto=https;host=id.example")], false), (&[("Forwarded", "host=\"a;proto=http\"")], false),
                (&[("Forwarded", "host=\"a\\\", proto=http\"")], false), (&[("Forwarded", "xproto=http")], false), (&[("Forwarded", "")], false),
                (&[("Forwarded", "for=\"_x\", proto=\"https\"")], false),
                (&[("X-Forwarded-Proto", "https"), ("Forwarded", "proto=http")], true), (&[("X-Forwarded-Proto", "http"), ("Forwarded", "proto=https")], true),
                (&[("X-Forwarded-Proto", "https"), ("Forwarded", "proto=https")], false),
            ] {
                let raw = lines.iter().fold(Raw::get("/register"), |raw, (name, line)| raw.header(name, line));
                let expected = if http && trusted { "" } else { "max-age=63072000" };
                assert_eq!(raw.send(&app).await.header("strict-transport-security"), expected, "{lines:?} trusted: {trusted}");
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
        let broken = Raw::post("/token").body(FORM, "code=%FF").send(&app).await;
        broken.assert_error(400, true, "a code that cannot be decoded");
        assert!(described(broken).starts_with("code cannot be decoded"));
    }

    async fn fault_13_a_page_names_whose_move_it_is(engine: Engine) {
        let app = TestApp::start(engine).await;
        let long = "x".repeat(9_000);
        // Only an application makes these requests, so only it can mend them.
        for at in ["/authorize", "/logout"] {
            for answer in [
                Raw::get(&format!("{at}?client_id=a&client_id=a&state=%FF")).send(&app).await,
                Raw::get(&format!("{at}?{}", "state=1&".repeat(70))).send(&app).await,
                Raw::get(&format!("{at}?state={long}")).send(&app).await,
                Raw::post(at).body("application/json", "{}").send(&app).await,
                Raw::post(at).body(FORM, "client_id=a&".repeat(70)).send(&app).await,
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

    async fn fault_13_a_transfer_coding_other_than_chunked_is_not_implemented(engine: Engine) {
        let app = TestApp::start(engine).await;
        let before = app.state().await;
        for coding in ["gzip, chunked", "GZIP,chunked", "deflate, gzip, chunked", "x-unknown, chunked", "identity, chunked"] {
            for (target, json) in [("/token", true), ("/register", false), ("/authorize", false), ("/nowhere", false)] {
                let packed = Raw::post(target).header("Content-Type", FORM).header("Transfer-Encoding", coding);
                let answer = packed.chunks(b"grant_type=x").send(&app).await;
                answer.assert_error(501, json, coding);
            }
        }
        let lines = logged_lines("status=501");
        assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("INFO")), "{lines:?}");
        let told = Raw::get("/register").header("Transfer-Encoding", "identity, chunked").chunks(b"").send(&app).await;
        assert_eq!(told.reason(), Some("unsupported-transfer-coding"));
        for word in ["compressed", "Use the form"] {
            assert!(!told.text().contains(word), "{}", told.text());
        }
        assert!(told.text().contains("transfer coding") && told.text().contains("Try again"), "{}", told.text());
        assert_eq!(app.state().await, before);
        for coding in ["chunked", "Chunked", ", chunked"] {
            let plain = Raw::post("/token").header("Content-Type", FORM).header("Transfer-Encoding", coding);
            assert_eq!(plain.chunks(b"grant_type=x").send(&app).await.status, 401, "{coding}");
        }
    }

    async fn fault_13_the_server_itself_lists_its_methods(engine: Engine) {
        let app = TestApp::start_with(engine, |config| config.limits.unrouted = 5).await;
        let answer = Raw::new("OPTIONS", "*").send(&app).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow"), answer.body.as_str()), (204, "GET, HEAD, POST, OPTIONS", ""));
        check_headers(&answer);
        assert_eq!(Raw::new("OPTIONS", "*").hosts(&["evil.example"]).send(&app).await.status, 421);
        assert_eq!(Raw::new("GET", "*").send(&app).await.status, 404);
        for _ in 0..2 {
            Raw::new("OPTIONS", "*").send(&app).await;
        }
        assert_eq!(Raw::new("OPTIONS", "*").send(&app).await.status, 429, "it is limited like all that no route answers");
    }

    async fn fault_13_head_is_answered_like_get(engine: Engine) {
        let app = with_dev_pages(engine).await;
        app.user(ADA).await;
        let mut ada = RawBrowser::new(&app);
        let account = ada.sign_in(ADA).await;
        assert_eq!(account.status, 200);
        let known = ["/flow/{id}", "/authorize", "/logout"];
        let mut answered = 0;
        for facts in route_facts(true).into_iter().filter(|facts| facts.method == "GET") {
            assert_eq!(facts.head, !known.contains(&facts.path), "{}", facts.path);
            for cookie in [String::new(), ada.cookie()].into_iter().filter(|_| facts.head) {
                let ask = |method| Raw::new(method, &path(&facts)).header("Cookie", &cookie).send(&app);
                let (head, get) = (ask("HEAD").await, ask("GET").await);
                assert_eq!(head.header("content-type"), get.header("content-type"), "{}", facts.path);
                answered += 1;
                if facts.path == "/signin" && cookie.is_empty() {
                    // GET leads to the page of a flow that it starts; HEAD starts none.
                    assert!(get.header("location").starts_with("/flow/"), "{}", get.header("location"));
                    assert_eq!((head.status.as_u16(), head.location(), head.body.as_str()), (200, None, ""));
                    continue;
                }
                assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{}", facts.path);
                assert_eq!(head.location(), get.location(), "{}", facts.path);
            }
        }
        assert!(answered >= 40, "{answered}");
    }

    async fn fault_13_head_uses_nothing_up(engine: Engine) {
        let app = TestApp::start_still(engine).await;
        app.user(ADA).await;
        let mut ada = RawBrowser::new(&app);
        ada.sign_in(ADA).await;
        // Longer than the session is left untouched between two uses.
        app.wait(std::time::Duration::from_secs(600));
        let before = app.whole_state().await;
        for facts in route_facts(false).into_iter().filter(|facts| facts.head && facts.path != "/readyz") {
            for cookie in [ada.cookie(), String::new()] {
                Raw::new("HEAD", &path(&facts)).header("Cookie", cookie).send(&app).await;
            }
        }
        // A monitor that follows redirects ends well.
        for (from, cookie, end) in
            [("/", String::new(), "/signin"), ("/account", String::new(), "/signin"), ("/", ada.cookie(), "/account"), ("/signin", ada.cookie(), "/account")]
        {
            let mut target = from.to_owned();
            for _ in 0..3 {
                let answer = Raw::new("HEAD", &target).header("Cookie", &cookie).send(&app).await;
                let Some(to) = answer.location() else {
                    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""), "{from}: {target}");
                    break;
                };
                target = to;
            }
            assert_eq!(target, end, "{from}");
        }
        for target in ["/authorize?client_id=tides", "/logout"] {
            assert_eq!(Raw::new("HEAD", target).header("Cookie", ada.cookie()).send(&app).await.status, 405);
        }
        assert_eq!(app.whole_state().await, before);
        // What the next page says is still said by the next page.
        let notice = format!("{}={}", app.cookie("notice"), "account-activated");
        let cookie = format!("{}; {notice}", ada.cookie());
        let head = Raw::new("HEAD", "/account").header("Cookie", &cookie).send(&app).await;
        assert!(head.cookies().is_empty(), "{:?}", head.cookies());
        assert!(!Raw::get("/account").header("Cookie", &cookie).send(&app).await.cookies().is_empty());
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
