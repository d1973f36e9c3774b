//! Which host a request names, in all forms that HTTP allows, and what is answered when it is not ours.

use idp_core::oauth::issuer::Issuer;

use crate::support::http2::Http2;
use crate::support::raw::{Raw, RawBrowser};
use crate::support::{Engine, TestApp, is_logged, on_both_engines};

/// A product behind a proxy that terminates TLS.
async fn with_issuer(engine: Engine, issuer: &str) -> TestApp {
    TestApp::start_still_with(engine, |config| config.issuer = Issuer::parse(issuer).unwrap()).await
}

on_both_engines! {
    async fn fault_06_the_schemes_own_port_and_other_spellings_are_the_same_host(engine: Engine) {
        for (issuer, hosts) in [
            ("https://id.example.com", &["id.example.com", "id.example.com:443", "ID.EXAMPLE.COM", "id.example.com:", "id%2Eexample.com"][..]),
            ("http://localhost", &["localhost", "localhost:80", "LocalHost:80", "localhost:"]),
            ("http://[::1]:8080", &["[::1]:8080", "[0:0:0:0:0:0:0:1]:8080"]),
        ] {
            let app = with_issuer(engine, issuer).await;
            for host in hosts {
                for (target, status) in [("/register", 200), ("/jwks.json", 200), ("/userinfo", 401), ("/nowhere", 404)] {
                    let answer = Raw::get(target).hosts(&[host]).send(&app).await;
                    assert_eq!(answer.status, status, "{issuer} {host} {target}");
                    assert_eq!(Http2::connect(&app).await.send(Raw::get(target).hosts(&[host])).await.status, status);
                    let absolute = format!("http://{host}{target}");
                    if !host.contains('%') {
                        assert_eq!(Raw::get(&absolute).send(&app).await.status, status, "{absolute}");
                    }
                }
            }
        }
    }

    async fn fault_06_an_answer_for_another_host_names_both(engine: Engine) {
        let app = with_issuer(engine, "https://id.example.com").await;
        for (asked, shown) in [
            ("evil.example", "evil.example"),
            ("id.example.com:80", "id.example.com:80"),
            ("id.example.com:8443", "id.example.com:8443"),
            ("10.0.0.1:8080", "10.0.0.1:8080"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("id.example.com.", "id.example.com."),
            ("a'b", "a'b"),
        ] {
            let page = Raw::get("/register").hosts(&[asked]).send(&app).await;
            page.assert_error(421, false, asked);
            let text = page.text();
            assert!(text.contains(shown) && text.contains("id.example.com"), "{asked}: {text}");
            assert_eq!(page.reason() == Some("misdirected-dot"), asked.ends_with('.'), "{asked}");
            assert!(page.body.contains("href=\"https://id.example.com/\""), "a link to the right host");
            for raw in [Raw::post("/token").form(&[]), Raw::get("/jwks.json")] {
                let json = raw.hosts(&[asked]).send(&app).await;
                json.assert_error(421, true, asked);
                let told = json.json()["error_description"].as_str().unwrap().to_owned();
                assert!(told.contains(&format!("'{shown}'")) && told.contains("id.example.com"), "{told}");
            }
        }
        for raw in [
            Raw::get("/register").hosts(&["ada:canary-of-a-host@id.example.com"]),
            Raw::get("http://ada:canary-of-a-host@id.example.com/register"),
        ] {
            let page = raw.send(&app).await;
            assert!(page.status == 400 && !page.body.contains("canary-of-a-host") && !is_logged("canary-of-a-host"));
        }
        let long = format!("{}.example", "a.".repeat(3_000));
        let page = Raw::get("/register").hosts(&[&long]).send(&app).await;
        assert!([400, 421].contains(&page.status.as_u16()) && page.body.matches("a.a.").count() < 200, "cut");
        let page = Raw::get("/register").hosts(&["x'><script>alert(1)</script>"]).send(&app).await;
        assert!(page.status == 400 && !page.body.contains("<script>alert"));
        let page = Raw::get("/register").hosts(&["&lt;b&gt;"]).send(&app).await;
        assert!([400, 421].contains(&page.status.as_u16()) && !page.body.contains("<b>"));
    }

    async fn fault_06_a_request_names_exactly_one_host(engine: Engine) {
        let app = with_issuer(engine, "https://id.example.com").await;
        let ours = "id.example.com";
        for (target, json) in [("/register", false), ("/token", true), ("/nowhere", false)] {
            for hosts in [&[][..], &[ours, ours], &[ours, "evil.example"], &[""], &["u@id.example.com"], &["id.example.com:x"],
                &["id.example.com, id.example.com"], &["::1"], &["b\u{fc}cher.example"], &["id.example.com/"]]
            {
                let answer = Raw::get(target).hosts(hosts).send(&app).await;
                answer.assert_error(400, json, &format!("{target} {hosts:?}"));
                assert!(json || answer.reason() == Some("bad-host"), "{target} {hosts:?}");
            }
        }
        for probe in ["/healthz", "/readyz"] {
            for (hosts, told) in [
                (&[][..], "Host is missing: this is id.example.com"),
                (&[ours, ours], "Host is sent more than once"),
                (&["id.example.com:x"], "'id.example.com:x'"),
            ] {
                let answer = Raw::get(probe).hosts(hosts).send(&app).await;
                assert!(answer.status == 400 && answer.body.contains(told) && !answer.body.contains('<'), "{probe}: {}", answer.body);
            }
            for host in ["10.0.0.1", "10.0.0.1:8080", "[::1]", "evil.example", "id.example.com."] {
                assert_eq!(Raw::get(probe).hosts(&[host]).send(&app).await.status, 200, "{probe} {host}");
            }
            assert_eq!(Raw::get(probe).hosts(&[]).http_1_0().send(&app).await.status, 200, "{probe} in HTTP/1.0");
            assert_eq!(Raw::get(probe).hosts(&["a b"]).http_1_0().send(&app).await.status, 400);
            assert_eq!(Raw::get(probe).hosts(&[ours, ours]).http_1_0().send(&app).await.status, 400);
        }
        assert_eq!(Raw::get("/register").hosts(&[]).http_1_0().send(&app).await.status, 400);
        assert_eq!(Raw::get("/register").http_1_0().send(&app).await.status, 200);
    }

    async fn fault_06_a_repeated_host_is_reported_as_just_that(engine: Engine) {
        let app = with_issuer(engine, "https://id.example.com").await;
        let doubled = Raw::get("/token").hosts(&["id.example.com", "id.example.com"]);
        for answer in [doubled.clone().send(&app).await, Http2::connect(&app).await.send(doubled).await] {
            assert_eq!(answer.status, 400);
            assert_eq!(answer.json()["error_description"], "Host is sent more than once");
        }
    }

    async fn fault_06_a_host_in_the_target_replaces_the_header(engine: Engine) {
        let app = with_issuer(engine, "https://id.example.com").await;
        for (target, hosts, status) in [
            ("http://id.example.com/register", &["id.example.com"][..], 200),
            ("https://id.example.com:443/register", &["evil.example"], 200),
            ("http://evil.example/register", &["id.example.com"], 421),
            ("http://id.example.com/register", &[], 400),
            ("http://id.example.com/register", &["id.example.com", "id.example.com"], 400),
            ("http://id.example.com/register", &["a b"], 400),
            ("http://u@id.example.com/register", &["id.example.com"], 400),
            ("http://evil.example/healthz", &["id.example.com"], 200),
            ("http://id.example.com/healthz", &[], 400),
        ] {
            assert_eq!(Raw::get(target).hosts(hosts).send(&app).await.status, status, "{target} {hosts:?}");
        }
        // In HTTP/2 both may be there, if they agree.
        let http = Http2::connect(&app).await;
        for (raw, status) in [
            (Raw::get("/register"), 200),
            (Raw::get("/register").header("host", "id.example.com:443"), 200),
            (Raw::get("/register").header("host", "evil.example"), 400),
            (Raw::get("/register").header("host", "id.example.com").header("host", "id.example.com"), 400),
            (Raw::get("/register").hosts(&["evil.example"]), 421),
            (Raw::get("/register").hosts(&[]), 400),
            (Raw::get("/healthz").hosts(&["10.0.0.1"]), 200),
        ] {
            assert_eq!(http.send(raw.clone()).await.status, status, "{raw:?}");
        }
    }

    async fn fault_06_our_own_origin_may_be_spelled_with_its_port(engine: Engine) {
        let app = with_issuer(engine, "https://id.example.com").await;
        let mut browser = RawBrowser::new(&app);
        let csrf = browser.open("/register").await.csrf();
        for (origins, ours) in [
            (&["https://id.example.com"][..], true),
            (&["https://id.example.com:443"], true),
            (&["HTTPS://ID.example.com"], true),
            (&["https://id.example.com https://id.example.com:443"], true),
            (&["https://id.example.com:8443"], false),
            (&["http://id.example.com"], false),
            (&["https://id.example.com https://evil.example"], false),
            (&["https://id.example.com", "https://evil.example"], false),
            (&["https://id.example.com.evil.example"], false),
            (&["https://u@id.example.com"], false),
            (&["https://id.example.com/"], false),
            (&["https://id.example.com."], false),
        ] {
            let form = Raw::post("/register").header("Cookie", browser.cookie()).form(&[("csrf", &csrf)]);
            let raw = origins.iter().fold(form, |raw, origin| raw.header("Origin", origin));
            assert_eq!(raw.send(&app).await.status == 403, !ours, "{origins:?}");
        }
    }
}
