//! Every route checks the host and the target it was called with.

use idp_server::{RouteFacts, route_facts};

use crate::routes::{path, with_dev_pages};
use crate::support::browser::Answer;
use crate::support::raw::Raw;
use crate::support::{Engine, TestApp, on_both_engines};

/// Whether the page names a refused host at most once, as text, and leads nowhere.
pub(crate) fn leads_nowhere(answer: &Answer, host: &str) -> bool {
    let attributes = ["href=\"", "src=\"", "action=\"", "content=\""];
    let mut links = attributes
        .iter()
        .flat_map(|name| answer.body.split(name).skip(1))
        .filter_map(|rest| rest.split('"').next());
    !links.any(|link| link.contains(host))
        && answer.body.matches(host).count() <= 1
        && !format!("{:?}", answer.headers).contains(host)
        && answer.cookies().is_empty()
}

fn request(facts: &RouteFacts) -> Raw {
    Raw::new(facts.method.as_str(), &path(facts))
}

on_both_engines! {
    async fn hd_07_a_host_that_is_not_ours_is_refused(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let before = app.state().await;
        let authority = app.config.issuer.authority().to_owned();
        let port = app.config.listen[0].port();
        let suffixed = format!("{authority}.evil.example");
        let near = ["127.0.0.1".to_owned(), format!("127.0.0.1:{}", port ^ 1), format!("localhost:{port}"),
            format!("127.0.0.2:{port}"), format!("[::1]:{port}"), format!("user@{authority}")];
        let near = near.iter().map(|host| vec![host.as_str()]);
        let far = [vec![], vec![""], vec!["evil.example"], vec![&suffixed], vec![&authority, &authority],
            vec![&authority, "evil.example"], vec!["evil.example", &authority]];
        for facts in route_facts(true) {
            for hosts in near.clone().chain(far.clone()) {
                let answer = request(&facts).hosts(&hosts).send(&app).await;
                if facts.any_host {
                    assert!(answer.status.is_success() || answer.status == 400, "{hosts:?}");
                    continue;
                }
                let status = answer.status.as_u16();
                assert!([400, 421].contains(&status), "{} {hosts:?}: {status}", facts.path);
                answer.assert_error(status, facts.json, &format!("{hosts:?}"));
                assert!(leads_nowhere(&answer, "evil"), "{hosts:?} {}", answer.body);
            }
            let absolute = format!("http://evil.example{}", path(&facts));
            let answer = Raw::new(facts.method.as_str(), &absolute).send(&app).await;
            assert!(facts.any_host || answer.status == 421, "{absolute}: {}", answer.status);
        }
        assert_eq!(app.state().await, before);
    }

    async fn hd_07_a_host_that_is_not_ours_is_refused_on_every_path_and_method(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let before = app.state().await;
        for (method, target) in [("GET", "/nowhere"), ("GET", "/flow/%FF"), ("POST", "/nowhere"), ("PUT", "/signin"), ("DELETE", "/token"),
            ("HEAD", "/signin"), ("GET", "/flow/x/login"), ("OPTIONS", "/jwks.json")]
        {
            for hosts in [vec![], vec!["evil.example"]] {
                let answer = Raw::new(method, target).hosts(&hosts).send(&app).await;
                let status = answer.status.as_u16();
                assert!([400, 421].contains(&status), "{method} {target} {hosts:?}: {status}");
                assert!(leads_nowhere(&answer, "evil"), "{method} {target}: {}", answer.body);
            }
        }
        assert_eq!(Raw::new("POST", "/healthz").hosts(&["10.0.0.1"]).send(&app).await.status, 405, "probes come by address");
        assert_eq!(app.state().await, before);
    }

    async fn hd_07_forwarding_headers_of_a_stranger_are_never_used(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let plain = |answer: &str| answer.replace(char::is_whitespace, "");
        for name in ["X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Original-URL", "X-Rewrite-URL",
            "X-Forwarded-Prefix", "Forwarded"]
        {
            for facts in route_facts(true).into_iter().filter(|facts| facts.method == "GET") {
                let value = if name == "Forwarded" { "host=evil.example;proto=https" } else { "evil.example" };
                let answer = request(&facts).header(name, value).send(&app).await;
                assert!(answer.status.as_u16() < 500);
                assert!(!plain(&answer.body).contains("evil.example"), "{name} {}", facts.path);
                assert!(!format!("{:?}", answer.headers).contains("evil.example"), "{name} {}", facts.path);
            }
        }
        let upper = app.config.issuer.authority().to_uppercase();
        assert_eq!(Raw::get("/register").hosts(&[&upper]).send(&app).await.status, 200);
    }

    async fn az_19_a_target_that_is_too_long_is_refused(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let before = app.state().await;
        for facts in route_facts(true) {
            for length in [8 * 1024, 60 * 1024] {
                let target = format!("{}?a={}", path(&facts), "a".repeat(length));
                let answer = Raw::new(facts.method.as_str(), &target).send(&app).await;
                answer.assert_error(414, facts.json, "a long target");
            }
        }
        assert_eq!(app.state().await, before);
    }

    async fn hd_10_a_malformed_query_gets_a_clear_error_or_is_ignored(engine: Engine) {
        let app = with_dev_pages(engine).await;
        let before = app.state().await;
        let many = "a&".repeat(4_000);
        for facts in route_facts(true) {
            for query in ["%FF=%FF", "client_id=%00", "flow=%C0%80", "a=1&a=1&flow=1&flow=2", &many, "%", "%zz=%", "=&=&&"] {
                let target = format!("{}?{query}", path(&facts));
                let answer = Raw::new(facts.method.as_str(), &target).send(&app).await;
                assert!(answer.status.as_u16() < 500, "{target}: {}", answer.status);
                if answer.status.is_client_error() {
                    answer.assert_error(answer.status.as_u16(), facts.json, query);
                }
            }
        }
        let mut after = app.state().await;
        after.remove("flows");
        assert_eq!(after, before);
    }

    async fn hd_15_a_path_without_a_route_gets_our_own_page(engine: Engine) {
        let app = with_dev_pages(engine).await;
        for target in ["/nowhere", "/flow/%FF", "/flow/%00", "/register/%C0%80", "/static/%FF", "/static/%00", "/static/",
            "/static/..%2f..%2fCargo.toml", "/static/..%5c..%5cCargo.toml", "/static/../../etc/passwd", "/static/.env",
            "/static/app.css", "/static/app.css%00.css", "/static/%2e%2e/app.css", "/.git/config", "//evil.example",
            "/signin/", "/SIGNIN", "/register//", "/flow/", "/dev/mail/%FF"]
        {
            let answer = Raw::get(target).send(&app).await;
            let status = answer.status.as_u16();
            assert!([400, 404].contains(&status), "{target}: {status}");
            answer.assert_error(status, false, target);
            assert!(!["passwd", "Cargo", ".git", "nowhere", "evil"].iter().any(|word| answer.text().contains(word)), "{target}");
        }
    }

    async fn the_dev_pages_exist_only_in_dev(engine: Engine) {
        let app = TestApp::start(engine).await;
        let declared = route_facts(false);
        let dev: Vec<RouteFacts> = route_facts(true).into_iter().filter(|facts| !declared.contains(facts)).collect();
        assert!(dev.len() >= 4 && dev.iter().all(|facts| facts.path.starts_with("/dev/")));
        let before = app.whole_state().await;
        for facts in dev {
            request(&facts).send(&app).await.assert_error(404, false, facts.path);
            assert_eq!(Raw::new("HEAD", &path(&facts)).send(&app).await.status, 404);
        }
        assert_eq!(app.whole_state().await, before);
    }
}
