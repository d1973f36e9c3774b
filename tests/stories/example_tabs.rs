//! The example client in several tabs of one browser.

use std::time::Duration;

use crate::browser_test::{BrowserTest, in_dev};
use crate::registration::ADA;
use crate::support::browser::{Answer, Browser};
use crate::support::{Engine, PASSWORD, on_both_engines};

/// One browser, as the example and the issuer see it.
struct Tabs {
    test: BrowserTest,
    example: Browser,
    issuer: Browser,
}

impl Tabs {
    async fn open(engine: Engine) -> Self {
        let test = BrowserTest::start(engine, in_dev).await;
        test.app.user(ADA).await;
        let (example, issuer) = (Browser::new(&test.example), test.app.browser());
        Self { test, example, issuer }
    }

    /// Presses "Sign in" in one tab; returns where it leads.
    async fn leave(&self) -> String {
        self.example.get("/login").await.location().unwrap()
    }

    /// Signs in and allows at the issuer, as far as it asks; returns the way back.
    async fn answer(&self, request: &str) -> String {
        let mut page = self.issuer.open(request).await;
        if page.text().contains("Password") {
            page = self.issuer.sign_in(&page, ADA, PASSWORD).await;
        }
        if page.leads_to().is_none() {
            page = self.issuer.submit(&page, "/consent", &[("decision", "allow")]).await;
        }
        page.leads_to().unwrap_or_else(|| panic!("{}", page.text()))
    }

    /// How many cookies of sign-ins or sign-outs in progress the browser holds, whichever page they are for.
    fn kept(&self, errand: &str) -> usize {
        let pages = ["/", "/callback", "/signed-out"].map(|path| self.example.cookies_for(path));
        pages.iter().map(|cookies| cookies.matches(errand).count()).max().unwrap()
    }

    async fn press(&self, button: &str) -> Answer {
        self.example.post(button, &[]).await
    }
}

fn assert_home(answer: &Answer) {
    assert_eq!(answer.location().as_deref(), Some("/"), "{}", answer.text());
}

on_both_engines! {
    async fn fault_22_the_example_keeps_few_cookies_of_sign_ins_in_progress(engine: Engine) {
        let tabs = Tabs::open(engine).await;
        let mut requests = Vec::new();
        for _ in 0..12 {
            requests.push(tabs.leave().await);
        }
        assert_eq!(tabs.kept("example-sign-in"), 10);
        // The newest come back, each cookie goes with its answer, and the oldest do not come back.
        for (number, left) in [(11, 9), (2, 8)] {
            let back = tabs.answer(&requests[number]).await;
            assert_home(&tabs.example.get(&back).await);
            assert_eq!(tabs.kept("example-sign-in"), left);
        }
        let back = tabs.answer(&requests[0]).await;
        let page = tabs.example.get(&back).await;
        assert!(page.status == 400 && page.text().contains("not started in this browser"), "{}", page.text());
        assert_eq!(tabs.kept("example-sign-in"), 8);
        // An error is an answer too.
        let (_, state) = requests[5].split_once("state=").unwrap();
        let state = state.split('&').next().unwrap();
        let page = tabs.example.get(&format!("/callback?state={state}&error=access_denied")).await;
        assert!(page.status == 400 && page.text().contains("You did not sign in"), "{}", page.text());
        assert_eq!(tabs.kept("example-sign-in"), 7);
        // And a sign-out that came back is over.
        let out = tabs.press("/logout").await.location().unwrap();
        assert_eq!(tabs.kept("example-sign-out"), 1);
        let signed_out = tabs.issuer.open(&out).await.leads_to().unwrap();
        assert!(tabs.example.get(&signed_out).await.text().contains("You are signed out"));
        assert_eq!((tabs.kept("example-sign-out"), tabs.kept("example-sign-in")), (0, 7));
    }

    async fn fault_21_two_examples_on_one_host_leave_each_others_sign_ins_alone(engine: Engine) {
        let (tabs, other) = (Tabs::open(engine).await, BrowserTest::start(engine, in_dev).await);
        let request = tabs.leave().await;
        // The same browser: cookies do not know ports.
        let cookies = tabs.example.cookies_for("/");
        let there = Browser::new(&other.example).with_cookies(&cookies);
        let begun = there.get("/login").await;
        assert_eq!(begun.status, 303);
        assert!(begun.cookies().iter().all(|cookie| !cookie.contains("Max-Age=0")), "{:?}", begun.cookies());
        assert_home(&tabs.example.get(&tabs.answer(&request).await).await);
    }

    async fn fault_22_a_second_tab_of_the_example_is_told_why_it_is_signed_out(engine: Engine) {
        let tabs = Tabs::open(engine).await;
        let begun = tabs.leave().await;
        let back = tabs.answer(&begun).await;
        assert_home(&tabs.example.get(&back).await);
        tabs.press("/logout").await;
        for button in ["/logout", "/refresh", "/userinfo"] {
            let page = tabs.press(button).await;
            let says = page.text().contains("You are not signed in here") && page.text().contains("in any tab");
            assert!(page.status == 400 && says, "{button}: {}", page.text());
        }
    }

    async fn fault_22_each_tab_of_the_example_finishes_its_own_sign_in(engine: Engine) {
        let tabs = Tabs::open(engine).await;
        // The first two leave at once, as when a browser restores its tabs.
        let (one, two) = tokio::join!(tabs.leave(), tabs.leave());
        let three = tabs.leave().await;
        let back = tabs.answer(&one).await;
        assert_home(&tabs.example.get(&back).await);
        for request in [three, two] {
            let back = tabs.answer(&request).await;
            assert_home(&tabs.example.get(&back).await);
            assert!(tabs.example.get("/").await.text().contains("You are signed in"));
        }
        // Each works once, and only in the browser that left.
        let again = tabs.example.get(&back).await;
        assert!(again.status == 400 && again.text().contains("already finished"), "{}", again.text());
        let begun = tabs.leave().await;
        let back = tabs.answer(&begun).await;
        let stranger = Browser::new(&tabs.test.example).get(&back).await;
        assert!(stranger.status == 400 && stranger.text().contains("not started in this browser"), "{}", stranger.text());
        assert_home(&tabs.example.get(&back).await);
    }

    async fn fault_22_signing_out_in_one_tab_of_the_example_leaves_the_others_whole(engine: Engine) {
        let tabs = Tabs::open(engine).await;
        let first = tabs.leave().await;
        let back = tabs.answer(&first).await;
        assert_home(&tabs.example.get(&back).await);
        let waiting = tabs.leave().await;
        let out = tabs.press("/logout").await.location().unwrap();
        // A sign-in of before still comes back, also after a sign-out elsewhere.
        let signed_out = tabs.issuer.open(&out).await.leads_to().unwrap();
        let page = tabs.example.get(&signed_out).await;
        assert!(page.status == 200 && page.text().contains("You are signed out"), "{}", page.text());
        let back = tabs.answer(&waiting).await;
        assert_home(&tabs.example.get(&back).await);
        assert!(tabs.example.get("/").await.text().contains("You are signed in"));
        // And the page of the old sign-out does not say what is no longer true.
        let page = tabs.example.get(&signed_out).await;
        assert!(page.status == 400 && page.text().contains("you have signed in again"), "{}", page.text());
        let begun = tabs.leave().await;
        tabs.test.app.wait(Duration::from_secs(1));
        tabs.press("/refresh").await;
        assert!(tabs.example.get("/").await.text().contains("The tokens are refreshed."));
        let back = tabs.answer(&begun).await;
        assert_home(&tabs.example.get(&back).await);
    }
}
