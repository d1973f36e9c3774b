//! Every route refuses what its classes say. The tests read the server's route table, so a new route is tested here
//! automatically.

use std::collections::{BTreeMap, BTreeSet};

use idp_server::{RouteFacts, route_facts};

use crate::support::raw::{FORM, Raw, RawBrowser};
use crate::support::{Engine, TestApp, on_both_engines};

const ADA: &str = "ada@example.org";

/// A server with the `dev` pages, so that they are tested as well.
pub(crate) async fn with_dev_pages(engine: Engine) -> TestApp {
    TestApp::start_with(engine, |config| config.dev = true).await
}

/// The path of a route, its parameters filled in.
pub(crate) fn path(facts: &RouteFacts) -> String {
    facts.path.replace("{id}", "01935a1e-8a33-7000-8000-000000000000").replace("{name}", "app.css")
}

fn forms() -> impl Iterator<Item = (RouteFacts, usize)> {
    route_facts(true).into_iter().filter_map(|facts| facts.form_limit.map(|limit| (facts, limit)))
}

on_both_engines! {
    async fn a_page_for_signed_in_people_sends_others_to_sign_in(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let before = app.state().await;
        let mut seen = 0;
        for facts in route_facts(true).into_iter().filter(|facts| facts.signed_in) {
            let session = app.cookie("session");
            let forged = ["", "=forged", "=", "=a; {}=b"].map(|cookie| match cookie {
                "" => String::new(),
                cookie => format!("{session}{}", cookie.replace("{}", &session)),
            });
            for cookie in &forged {
                let answer = Raw::new(facts.method.as_str(), &path(&facts)).header("Cookie", cookie).send(&app).await;
                assert_eq!((answer.status.as_u16(), answer.location().as_deref()), (303, Some("/signin")));
                seen += 1;
            }
        }
        assert!(seen > 0 && app.state().await == before);
    }

    async fn lg_03_a_form_without_our_token_changes_nothing(engine: Engine) {
        let app = with_dev_pages(engine).await;
        app.user(ADA).await;
        let (mut ada, mut eve) = (RawBrowser::new(&app), RawBrowser::new(&app));
        let old = ada.open("/signin").await.csrf();
        ada.sign_in(ADA).await;
        let of_eve = eve.open("/signin").await.csrf();
        let own = ada.open("/account").await.csrf();
        let before = app.state().await;
        let invented = "A".repeat(86);
        let bad: [(&str, Vec<(&str, &str)>); 10] = [
            ("no token", vec![]),
            ("an empty token", vec![("csrf", "")]),
            ("an invented token", vec![("csrf", "AAAA")]),
            ("a token of the right length", vec![("csrf", &invented)]),
            ("the token from before sign-in", vec![("csrf", &old)]),
            ("a token of another browser", vec![("csrf", &of_eve)]),
            ("the token twice", vec![("csrf", &own), ("csrf", &own)]),
            ("the token as a list", vec![("csrf[]", &own)]),
            ("the token cut", vec![("csrf", &own[1..])]),
            ("the token under another name", vec![("token", &own)]),
        ];
        for (facts, _) in forms().filter(|(facts, _)| facts.csrf) {
            let path = path(&facts);
            for (what, fields) in &bad {
                let answer = Raw::post(&path).header("Cookie", ada.cookie()).form(fields).send(&app).await;
                answer.assert_error(403, facts.json, what);
                assert_eq!(answer.reason(), Some("csrf-failed"), "{what}: {path}");
            }
            let in_query = Raw::post(&format!("{path}?csrf={own}")).header("Cookie", ada.cookie()).form(&[]);
            in_query.send(&app).await.assert_error(403, facts.json, "the token in the query");
            let stranger = Raw::post(&path).form(&[("csrf", &own)]).send(&app).await;
            stranger.assert_error(400, facts.json, "no cookie");
            assert_eq!(stranger.reason(), Some("cookies-blocked"), "{path}");
        }
        assert_eq!(app.state().await, before);
    }

    async fn lg_03_our_own_token_from_another_site_changes_nothing(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let mut ada = RawBrowser::new(&app);
        let own = ada.open("/register").await.csrf();
        let before = app.state().await;
        let issuer = app.issuer.as_str();
        let foreign: [&[(&str, &str)]; 8] = [
            &[("Sec-Fetch-Site", "cross-site")],
            &[("Sec-Fetch-Site", "same-site")],
            &[("Sec-Fetch-Site", "rubbish")],
            &[("Origin", "https://evil.example")],
            &[("Origin", "null"), ("Sec-Fetch-Site", "cross-site")],
            &[("Origin", &format!("{issuer}.evil.example"))],
            &[("Origin", &issuer.replace("http:", "https:"))],
            &[("Origin", issuer), ("Sec-Fetch-Site", "cross-site")],
        ];
        let ours: [&[(&str, &str)]; 5] = [
            &[],
            // An older browser, or a proxy that removes Fetch Metadata: the token decides.
            &[("Origin", "null")],
            &[("Origin", issuer)],
            &[("Origin", issuer), ("Sec-Fetch-Site", "same-origin")],
            &[("Origin", "null"), ("Sec-Fetch-Site", "same-origin")],
        ];
        for (facts, _) in forms().filter(|(facts, _)| facts.csrf) {
            let with = |headers: &[(&str, &str)]| {
                let form = Raw::post(&path(&facts)).header("Cookie", ada.cookie()).form(&[("csrf", &own)]);
                headers.iter().fold(form, |raw, (name, value)| raw.header(name, value))
            };
            for headers in foreign {
                let answer = with(headers).send(&app).await;
                answer.assert_error(403, facts.json, &format!("{headers:?}"));
                assert_eq!(answer.reason(), Some("csrf-failed"), "{headers:?}: {}", facts.path);
            }
            for headers in ours {
                let answer = with(headers).send(&app).await;
                assert_ne!(answer.reason(), Some("csrf-failed"), "{headers:?}: {}", facts.path);
            }
        }
        assert_eq!(app.state().await, before);
    }

    async fn rl_08_a_body_that_is_too_large_is_refused_before_it_arrives(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let before = app.state().await;
        for (facts, limit) in forms() {
            let too_long = "a".repeat(limit + 1);
            for raw in [
                Raw::post(&path(&facts)).announced(FORM, limit + 1),
                Raw::post(&path(&facts)).announced(FORM, 10 << 20),
                Raw::post(&path(&facts)).announced("application/json", 10 << 20),
                Raw::post(&path(&facts)).endless(FORM, too_long.as_bytes()),
            ] {
                raw.send(&app).await.assert_error(413, facts.json, "too large");
            }
            // 10,000 fields do not fit, or are too many.
            let fields = "a=1&".repeat(10_000);
            let post = Raw::post(&path(&facts));
            match fields.len() > limit {
                true => post.announced(FORM, fields.len()).send(&app).await.assert_error(413, facts.json, "too large"),
                false => post.body(FORM, &fields).send(&app).await.assert_error(400, facts.json, "too many"),
            }
        }
        for facts in route_facts(true).into_iter().filter(|facts| facts.form_limit.is_none()) {
            // A body that the route does not read is not waited for.
            let answer = Raw::get(&path(&facts)).announced("application/json", 10 << 20).send(&app).await;
            assert!(answer.status.as_u16() < 500, "{} {}", answer.url, answer.status);
        }
        let mut after = app.state().await;
        // Asking for the sign-in page starts a flow.
        after.remove("flows");
        assert_eq!(after, before);
    }

    async fn tk_30_a_body_that_is_not_a_form_is_refused(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let before = app.state().await;
        let utf16: Vec<u8> = "csrf=a".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (facts, _) in forms() {
            let path = path(&facts);
            let types = [
                ("application/json", "{\"csrf\":\"a\"}"),
                ("text/plain", "csrf=a"),
                ("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\na\r\n--b--"),
                ("", "csrf=a"),
                ("application/x-www-form-urlencoded; charset=utf-16", "csrf=a"),
                ("application/x-www-form-urlencoded, text/plain", "csrf=a"),
                ("xapplication/x-www-form-urlencoded", "csrf=a"),
            ];
            for (kind, body) in types {
                Raw::post(&path).body(kind, body).send(&app).await.assert_error(415, facts.json, kind);
            }
            let twice = Raw::post(&path).body(FORM, "csrf=a").header("Content-Type", FORM).send(&app).await;
            twice.assert_error(415, facts.json, "two types");
            let untyped = Raw::post(&path).header("Transfer-Encoding", "chunked").send(&app).await;
            untyped.assert_error(415, facts.json, "no type");
            for (what, body) in [
                ("UTF-16", &utf16[..]),
                ("not UTF-8", b"csrf=%FF"),
                ("raw bytes", b"csrf=\xC3\x28"),
                ("overlong", b"csrf=%C0%80"),
                ("NUL", b"csrf=%00"),
                ("raw NUL", b"csrf=\0"),
                ("thousands of fields", "a&".repeat(8_000).as_bytes()),
            ] {
                let answer = Raw::post(&path).body(FORM, body).send(&app).await;
                if facts.csrf {
                    answer.assert_error(400, facts.json, what);
                } else {
                    // A client may send more than the endpoint reads (RFC 6749 sections 3.1 and 3.2).
                    assert_eq!(answer.status, Raw::post(&path).form(&[]).send(&app).await.status, "{what} {path}");
                }
            }
            if !facts.csrf {
                let known = if facts.path == "/userinfo" { "access_token" } else { "client_id" };
                for broken in ["%FF", "%00", "\0", "%C0%80"] {
                    let answer = Raw::post(&path).body(FORM, format!("{known}={broken}")).send(&app).await;
                    match facts.path {
                        // Whatever is wrong with the request, the person can sign out.
                        "/logout" => assert_eq!(answer.location().as_deref(), Some("/logout?client_id=%EF%BF%BD")),
                        _ => answer.assert_error(400, facts.json, known),
                    }
                }
            }
        }
        assert_eq!(app.state().await, before);
    }

    async fn hd_12_a_method_a_route_does_not_have_is_refused_and_the_others_are_named(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let before = app.state().await;
        let mut paths: BTreeMap<&str, (BTreeSet<String>, RouteFacts)> = BTreeMap::new();
        for facts in route_facts(true) {
            let entry = paths.entry(facts.path).or_insert_with(|| (BTreeSet::new(), facts.clone()));
            entry.0.insert(facts.method.to_string());
            entry.0.extend(facts.head.then(|| "HEAD".to_owned()));
        }
        for (methods, facts) in paths.values() {
            let all = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];
            for method in all.into_iter().filter(|method| !methods.contains(*method)) {
                let answer = Raw::new(method, &path(facts)).send(&app).await;
                assert_eq!(answer.status, 405, "{method} {}", facts.path);
                let allowed = answer.header("allow").split(',').map(|method| method.trim().to_owned()).collect();
                assert_eq!(*methods, allowed, "{method} {}", facts.path);
                match method {
                    "HEAD" => assert_eq!(answer.body, ""),
                    _ => answer.assert_error(405, facts.json, method),
                }
            }
            if !methods.contains("POST") {
                for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
                    let answer = Raw::post(&path(facts)).header(name, "GET").form(&[("_method", "GET")]).send(&app).await;
                    answer.assert_error(405, facts.json, name);
                }
            }
            if !methods.contains("GET") {
                let query = format!("{}?_method=POST", path(facts));
                let answer = Raw::get(&query).header("X-HTTP-Method-Override", "POST").send(&app).await;
                answer.assert_error(405, facts.json, "override");
            }
        }
        assert_eq!(app.state().await, before);
    }

    async fn hd_12_head_is_answered_where_get_uses_nothing_up_and_changes_nothing(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let before = app.whole_state().await;
        let mut heads = Vec::new();
        for facts in route_facts(true).into_iter().filter(|facts| facts.method == "GET" && facts.head) {
            heads.push((Raw::new("HEAD", &path(&facts)).send(&app).await, facts));
        }
        assert!(heads.len() >= 6);
        assert_eq!(app.whole_state().await, before);
        for (head, facts) in heads {
            let get = Raw::get(&path(&facts)).send(&app).await;
            // GET starts a flow and leads to its page.
            let status = if facts.path == "/signin" { reqwest::StatusCode::OK } else { get.status };
            assert_eq!((head.status, head.body.as_str()), (status, ""), "{}", facts.path);
            assert_eq!(head.header("content-type"), get.header("content-type"), "{}", facts.path);
        }
    }
}
