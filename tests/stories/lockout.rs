//! Wrong passwords: counted before they are verified, per account, per known browser and
//! per client address.

use std::time::Duration;

use futures_util::future::join_all;

use crate::registration::{ADA, register};
use crate::sign_in::{WRONG, attempt};
use crate::support::browser::{Answer, Browser};
use crate::support::indistinguishable::assert_alike;
use crate::support::raw::{Raw, RawBrowser};
use crate::support::{Engine, PASSWORD, TestApp, on_both_engines};

const MINUTE: Duration = Duration::from_secs(60);

async fn wrong(browser: &Browser, email: &str, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(attempt(browser, email, WRONG).await.status.as_u16());
    }
    statuses
}

/// Wrong passwords, each from an unknown browser.
async fn wrong_passwords(app: &TestApp, email: &str, times: usize) {
    for _ in 0..times {
        assert_eq!(attempt(&app.browser(), email, WRONG).await.status, 401);
    }
}

/// The minutes of the lock, which the header and the page must both state.
#[track_caller]
fn locked_for(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 429, "{}", answer.text());
    let minutes = answer.header("retry-after").parse::<u64>().unwrap() / 60;
    assert!(answer.text().contains(&format!("Wait {minutes} minutes")), "{}", answer.text());
    minutes
}

/// A try that comes through a trusted proxy from `address`.
async fn from(browser: &Browser, address: &str, email: &str, password: &str) -> Answer {
    let page = browser.open("/signin").await;
    let form = page.form("/login");
    let mut fields: Vec<(&str, &str)> =
        form.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fields.extend([("email", email), ("password", password)]);
    browser.send(reqwest::Method::POST, &form.action, Some(&fields), &[("x-forwarded-for", address)]).await
}

async fn behind_a_proxy(engine: Engine) -> TestApp {
    TestApp::start_with(engine, |config| config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()]).await
}

on_both_engines! {
    async fn lg_06_ten_wrong_passwords_lock_for_a_quarter_of_an_hour(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let browser = app.browser();
        assert_eq!(wrong(&browser, ADA, 10).await, [401; 10]);
        let refused = attempt(&browser, ADA, WRONG).await;
        assert_eq!(locked_for(&refused), 15);
        let right = attempt(&browser, ADA, PASSWORD).await;
        assert_eq!(right.face(&[]), refused.face(&[]), "the right password gives itself away");
        assert_eq!(app.count("sessions", "1 = 1").await, 0);
        assert_eq!((app.count("audit", "event = 'sign_in_failed'").await, app.count("audit", "event = 'throttle'").await), (10, 1));
        let mail = app.sink.mail_to(ADA, 1).await;
        assert_eq!(mail.subject, "Your account is locked for a while");
        assert!(mail.text.contains("15 minutes"), "{}", mail.text);
        app.wait(15 * MINUTE);
        assert_eq!(attempt(&browser, ADA, PASSWORD).await.status, 303);
        // The counter starts again.
        assert_eq!(wrong(&app.browser(), ADA, 10).await, [401; 10]);
        assert_eq!(locked_for(&attempt(&app.browser(), ADA, WRONG).await), 15);
    }

    async fn fault_17_a_stranger_cannot_count_when_an_address_becomes_an_account(engine: Engine) {
        // Nine tries before and one after; a lock before; a few before and the rest after.
        for (before, after) in [(9, vec![401, 429]), (10, vec![429]), (4, vec![401, 401, 401, 401, 401, 401, 429])] {
            let app = behind_a_proxy(engine).await;
            let (stranger, own) = (app.browser(), app.browser());
            let tries = async |times: usize, email: &str| {
                let mut statuses = Vec::new();
                for _ in 0..times {
                    statuses.push(from(&stranger, "203.0.113.9", email, WRONG).await.status.as_u16());
                }
                statuses
            };
            register(&own, ADA, PASSWORD).await;
            register(&app.browser(), "mia@example.org", PASSWORD).await;
            let page = own.open(&app.sink.mail_to(ADA, 1).await.link()).await;
            for email in [ADA, "mia@example.org"] {
                assert_eq!(tries(before, email).await, vec![401; before]);
            }
            own.submit(&page, "/activate", &[]).await;
            assert_eq!(app.count("users", "1 = 1").await, 1);
            for email in ["mia@example.org", ADA] {
                assert_eq!(tries(after.len(), email).await, after, "{email}");
            }
            // The owner is not locked out where the address was proven, and the operator sees the lock.
            let count = "id LIKE 'account:%' AND user_id IS NOT NULL AND locked_until IS NOT NULL";
            assert_eq!(app.count("throttles", count).await, 1);
            assert_eq!(from(&own, "198.51.100.1", ADA, PASSWORD).await.status, 303);
        }
    }

    async fn fault_17_a_hundred_tries_do_not_tell_an_address_that_is_used_from_one_that_is_not(engine: Engine) {
        const UNUSED: &str = "mia@example.org";
        let app = behind_a_proxy(engine).await;
        let own = app.browser();
        register(&own, ADA, PASSWORD).await;
        let page = own.open(&app.sink.mail_to(ADA, 1).await.link()).await;
        app.user("eva@example.org").await;
        let (mut answers, stranger) = (Vec::new(), app.browser());
        for round in 0..11 {
            // From here on Ada has an account, and signs in where the address was proven.
            match round {
                0..2 => {}
                2 => drop(own.submit(&page, "/activate", &[]).await),
                _ => assert_eq!(from(&own, "198.51.100.1", ADA, PASSWORD).await.status, 303),
            }
            if round > 2 {
                let page = own.open("/account").await;
                own.submit(&page, "/logout/confirm", &[]).await;
            }
            let mut seen = Vec::new();
            for (number, email) in [ADA, "eva@example.org", UNUSED].into_iter().enumerate() {
                let network = format!("203.0.113.{number}");
                let mut of_email = Vec::new();
                for _ in 0..if round < 10 { 11 } else { 1 } {
                    let answer = from(&stranger, &network, email, WRONG).await;
                    of_email.push((answer.status.as_u16(), answer.header("retry-after").to_owned()));
                }
                seen.push(of_email);
            }
            assert_eq!(seen[0], seen[2], "round {round}: with the owner's sign-ins");
            assert_eq!(seen[1], seen[2], "round {round}: without");
            answers.push(seen[2].clone());
            let (_, seconds) = &seen[2][seen[2].len() - 1];
            app.wait(Duration::from_secs(seconds.parse().unwrap()));
        }
        assert!(answers[..10].iter().all(|round| round[9].0 == 401 && round[10].0 == 429), "{answers:?}");
        assert_eq!(answers[10], [(429, "86400".to_owned())], "a hundred in a row");
        assert_eq!(from(&own, "198.51.100.1", ADA, PASSWORD).await.status, 303, "the owner");
    }

    async fn fault_17_an_account_that_is_locked_for_good_tells_its_owner(engine: Engine) {
        let app = behind_a_proxy(engine).await;
        app.user(ADA).await;
        let stranger = app.browser();
        // So far apart that there is no lock on the way.
        for number in 0..100 {
            let network = format!("203.0.113.{}", number / 10);
            assert_eq!(from(&stranger, &network, ADA, WRONG).await.status, 401, "{number}");
            app.wait(16 * MINUTE);
        }
        assert_eq!(attempt(&app.browser(), ADA, PASSWORD).await.status, 429);
        let mail = app.sink.mail_to(ADA, 1).await;
        assert_eq!(mail.subject, "Your account is locked");
        assert!(mail.text.contains("It stays locked until it is unlocked by hand."), "{}", mail.text);
        assert!(!mail.text.contains("minutes") && !mail.text.contains("wait"), "{}", mail.text);
        assert_eq!(app.count("audit", "event = 'throttle'").await, 1);
    }

    async fn fault_17_the_browser_that_registered_is_known_although_the_link_was_opened_elsewhere(engine: Engine) {
        let app = behind_a_proxy(engine).await;
        let (own, phone, stranger) = (app.browser(), app.browser(), app.browser());
        register(&own, ADA, PASSWORD).await;
        let page = phone.open(&app.sink.mail_to(ADA, 1).await.link()).await;
        for _ in 0..10 {
            assert_eq!(from(&stranger, "203.0.113.9", ADA, WRONG).await.status, 401);
        }
        phone.submit(&page, "/activate", &[("password", PASSWORD)]).await;
        assert_eq!(from(&stranger, "203.0.113.9", ADA, PASSWORD).await.status, 429);
        for browser in [&own, &phone] {
            assert_eq!(from(browser, "198.51.100.1", ADA, PASSWORD).await.status, 303);
        }
    }

    async fn rl_10_an_unknown_address_is_locked_like_a_known_one(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user("ada@example.org").await;
        let mut faces = Vec::new();
        for email in ["ada@example.org", "eva@example.org", "ADA@example.org"] {
            let browser = app.browser();
            if email != "ADA@example.org" {
                assert_eq!(wrong(&browser, email, 10).await, [401; 10]);
            }
            faces.push(attempt(&browser, email, WRONG).await.face(&[email]));
        }
        assert_alike(&faces);
        assert_eq!(app.sink.mail_to("ada@example.org", 1).await.recipients.len(), 1);
        assert!(app.sink.mails_to("eva@example.org").is_empty());
    }

    async fn locks_double_the_owner_is_told_twice_and_after_a_hundred_in_a_row_an_administrator_must_unlock(engine: Engine) {
        let app = TestApp::start(engine).await;
        let ada = app.user(ADA).await;
        let browser = app.browser();
        let mut minutes = Vec::new();
        for round in 0..9 {
            assert_eq!(wrong(&browser, ADA, 10).await, [401; 10], "round {round}");
            let lock = locked_for(&attempt(&browser, ADA, PASSWORD).await);
            minutes.push(lock);
            app.wait(MINUTE * u32::try_from(lock).unwrap());
        }
        assert_eq!(minutes, [15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
        app.sink.mail_to(ADA, 1).await;
        assert_eq!(app.mails_in_all(ADA).await, 1);
        assert_eq!(wrong(&browser, ADA, 10).await, [401; 10]);
        for wait in [Duration::ZERO, 365 * 24 * 60 * MINUTE] {
            app.wait(wait);
            let closed = attempt(&browser, ADA, PASSWORD).await;
            assert_eq!(closed.status, 429);
            assert!(closed.text().contains("Ask the people who run Lighthouse to unlock the account."), "{}", closed.text());
        }
        assert_eq!(app.count("audit", "event = 'throttle'").await, 10);
        assert_eq!(app.sink.mail_to(ADA, 2).await.subject, "Your account is locked");
        assert_eq!(app.mails_in_all(ADA).await, 2);
        assert!(app.store().write(ada, |tx, ada| Box::pin(tx.unlock(ada))).await.unwrap());
        assert_eq!(attempt(&browser, ADA, PASSWORD).await.status, 303);
    }

    async fn a_stranger_does_not_lock_the_owner_out_of_a_known_browser(engine: Engine) {
        let app = behind_a_proxy(engine).await;
        app.user(ADA).await;
        let (own, stranger) = (app.browser(), app.browser());
        assert_eq!(attempt(&own, ADA, PASSWORD).await.status, 303);
        let page = own.open("/account").await;
        own.submit(&page, "/logout/confirm", &[]).await;
        for _ in 0..10 {
            assert_eq!(from(&stranger, "203.0.113.9", ADA, WRONG).await.status, 401);
        }
        assert_eq!(from(&stranger, "203.0.113.9", ADA, PASSWORD).await.status, 429);
        assert_eq!(from(&app.browser(), "198.51.100.1", ADA, PASSWORD).await.status, 429, "another unknown browser");
        assert_eq!(from(&own, "198.51.100.1", ADA, PASSWORD).await.status, 303, "the owner");
        // The stranger stays locked, and the known browser has its own counter.
        assert_eq!(from(&stranger, "203.0.113.9", ADA, PASSWORD).await.status, 429);
        let page = own.open("/account").await;
        own.submit(&page, "/logout/confirm", &[]).await;
        for _ in 0..10 {
            assert_eq!(from(&own, "198.51.100.1", ADA, WRONG).await.status, 401);
        }
        assert_eq!(from(&own, "198.51.100.1", ADA, PASSWORD).await.status, 429);
    }

    async fn a_stranger_in_the_same_network_does_not_lock_the_owner_out_either(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let own = app.browser();
        assert_eq!(attempt(&own, ADA, PASSWORD).await.status, 303);
        let page = own.open("/account").await;
        own.submit(&page, "/logout/confirm", &[]).await;
        for number in 0..50 {
            attempt(&app.browser(), &format!("u{number}@example.org"), WRONG).await;
        }
        assert_eq!(attempt(&app.browser(), ADA, PASSWORD).await.status, 429, "the network is locked");
        assert_eq!(attempt(&own, ADA, PASSWORD).await.status, 303, "the network's lock spares the owner");
    }

    async fn lg_09_knowing_one_right_password_gives_a_network_no_extra_tries(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user("eve@example.org").await;
        let mut statuses = Vec::new();
        for number in 0..160 {
            let (email, password) = match number % 50 {
                49 => ("eve@example.org".to_owned(), PASSWORD),
                _ => (format!("u{number}@example.org"), WRONG),
            };
            statuses.push(attempt(&app.browser(), &email, password).await.status.as_u16());
        }
        let wrong = statuses.iter().filter(|status| **status == 401).count();
        assert_eq!(wrong, 50, "{statuses:?}");
        // A try at a locked account is not verified, and gives back no more than it took.
        let app = TestApp::start(engine).await;
        wrong_passwords(&app, "decoy@example.org", 10).await;
        let mut wrong = 10;
        for number in 0..120 {
            let email = if number % 20 == 19 { "decoy@example.org".to_owned() } else { format!("u{number}@example.org") };
            wrong += usize::from(attempt(&app.browser(), &email, WRONG).await.status == 401);
        }
        assert_eq!(wrong, 50);
    }

    async fn lg_06_hanging_up_hides_no_try(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let browser = RawBrowser::new(&app);
        let mut requests = 0;
        // On a busy machine some hang up before they are counted: those are no tries.
        while app.count("throttles", "id LIKE 'account:%' AND in_a_row = 10").await == 0 {
            requests += 1;
            assert!(requests < 500, "tries that hang up are not counted");
            let mut browser = browser.clone();
            let page = browser.open("/signin").await;
            let form = page.form("/login");
            let hidden = form.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let fields: Vec<_> = hidden.chain([("email", ADA), ("password", WRONG)]).collect();
            let cookie = browser.cookie();
            Raw::post(&form.action).header("Cookie", cookie).form(&fields).send_and_hang_up(&app).await;
        }
        let mail = app.sink.mail_to(ADA, 1).await;
        assert_eq!(mail.subject, "Your account is locked for a while");
        for (event, count) in [("sign_in_failed", 10), ("throttle", 1)] {
            assert_eq!(app.count("audit", &format!("event = '{event}'")).await, count, "{event}");
        }
        assert_eq!(attempt(&app.browser(), ADA, PASSWORD).await.status, 429);
    }

    async fn tries_before_an_account_exists_go_on_counting_and_spare_its_owners_browser(engine: Engine) {
        let app = TestApp::start(engine).await;
        wrong_passwords(&app, ADA, 10).await;
        assert_eq!(attempt(&app.browser(), ADA, WRONG).await.status, 429);
        let own = app.browser();
        register(&own, ADA, PASSWORD).await;
        let page = own.open(&app.sink.mail_to(ADA, 1).await.link()).await;
        own.submit(&page, "/activate", &[]).await;
        // A stranger sees the same lock as before: the answer does not tell that the address became an account.
        assert_eq!(attempt(&app.browser(), ADA, WRONG).await.status, 429);
        assert_eq!(attempt(&app.browser(), ADA, PASSWORD).await.status, 429);
        assert_eq!(attempt(&own, ADA, PASSWORD).await.status, 303, "the browser that proved the address is known");
        app.wait(15 * MINUTE);
        assert_eq!(attempt(&app.browser(), ADA, PASSWORD).await.status, 303);
    }

    async fn many_in_one_network_sign_in_at_once(engine: Engine) {
        let app = TestApp::start(engine).await;
        for number in 0..3 {
            app.user(&format!("u{number}@example.org")).await;
        }
        let nodes = [app.first_node(), app.second_node().await];
        let tries = (0..24).map(|number| {
            let (browser, email) = (nodes[number % 2].browser(), format!("u{}@example.org", number % 3));
            async move { attempt(&browser, &email, PASSWORD).await.status.as_u16() }
        });
        assert_eq!(join_all(tries).await, [303; 24], "no deadlock");
    }

    async fn lg_09_a_network_that_sprays_is_locked_and_others_are_not(engine: Engine) {
        let app = behind_a_proxy(engine).await;
        app.user(ADA).await;
        let sprayer = app.browser();
        for number in 0..50 {
            // Anyone could have written the entries further left in the header.
            let forged = format!("10.0.0.{number}, 203.0.113.9");
            let answer = from(&sprayer, &forged, &format!("u{number}@example.org"), WRONG).await;
            assert_eq!(answer.status, 401, "{number}");
        }
        let refused = from(&sprayer, "203.0.113.9", ADA, PASSWORD).await;
        assert_eq!(locked_for(&refused), 15);
        assert_eq!(locked_for(&from(&app.browser(), "203.0.113.9", "new@example.org", WRONG).await), 15);
        assert_eq!(app.count("audit", "event = 'spray'").await, 1);
        assert_eq!(app.count("audit", "event = 'spray' AND client_address = '203.0.113.9'").await, 1, "RL-01");
        assert_eq!(from(&app.browser(), "203.0.113.10", ADA, PASSWORD).await.status, 303);
        app.wait(15 * MINUTE);
        assert_eq!(from(&sprayer, "203.0.113.9", ADA, PASSWORD).await.status, 303);
    }

    async fn lg_09_one_password_against_many_people_is_verified_for_fifty_of_them(engine: Engine) {
        let app = behind_a_proxy(engine).await;
        app.user(ADA).await;
        let sprayer = app.browser();
        let form = sprayer.open("/signin").await.form("/login");
        let (_, csrf) = form.hidden.iter().find(|(name, _)| name == "csrf").unwrap();
        let spray = |number: usize, network: String| {
            let (sprayer, form) = (&sprayer, &form);
            async move {
                let email = format!("u{number}@example.org");
                let fields = [("csrf", csrf.as_str()), ("email", &email), ("password", WRONG)];
                let headers = [("x-forwarded-for", network.as_str())];
                sprayer.send(reqwest::Method::POST, &form.action, Some(&fields), &headers).await.status.as_u16()
            }
        };
        let mut statuses = Vec::new();
        for number in 0..250 {
            statuses.push(spray(number, "203.0.113.9".to_owned()).await);
        }
        assert_eq!(statuses, [vec![401; 50], vec![429; 200]].concat());
        // Tries from fifty networks at once lock nobody else. The store's tests, which hash nothing, try 1,000 people.
        let many = join_all((0..50).map(|number| spray(number, format!("198.51.100.{number}")))).await;
        assert_eq!(many, [401; 50]);
        assert_eq!(app.count("audit", "event = 'spray' AND client_address = '203.0.113.9'").await, 1);
        assert_eq!(app.count("audit", "event = 'spray'").await, 1);
        assert_eq!(app.count("audit", "event = 'throttle'").await, 0, "no account was locked");
        assert_eq!(from(&app.browser(), "192.0.2.1", ADA, PASSWORD).await.status, 303);
    }

    async fn a_right_password_does_not_use_up_its_networks_tries(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        for _ in 0..60 {
            assert_eq!(attempt(&app.browser(), ADA, PASSWORD).await.status, 303);
        }
    }

    async fn lg_06_of_a_hundred_wrong_passwords_at_once_ten_are_verified(engine: Engine) {
        let app = TestApp::start(engine).await;
        let second = app.second_node().await;
        app.user(ADA).await;
        let mut pages = Vec::new();
        for browser in [app.browser(), second.browser()] {
            let page = browser.open("/signin").await;
            pages.push((browser, page));
        }
        let fields = [("email", ADA), ("password", WRONG)];
        let tries = (0..100).map(|number| {
            let (browser, page) = &pages[number % 2];
            browser.submit_only(page, "/login", &fields)
        });
        let mut statuses: Vec<u16> = join_all(tries).await.iter().map(|answer| answer.status.as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [vec![401; 10], vec![429; 90]].concat());
        assert_eq!((app.count("audit", "event = 'sign_in_failed'").await, app.count("audit", "event = 'throttle'").await), (10, 1));
        app.sink.mail_to(ADA, 1).await;
        assert_eq!(app.mails_in_all(ADA).await, 1);
    }

    async fn fault_16_a_shared_address_is_never_locked_for_longer_than_a_quarter_of_an_hour(engine: Engine) {
        let app = behind_a_proxy(engine).await;
        app.user(ADA).await;
        let form = app.browser();
        for round in 0..3 {
            for number in 0..50 {
                assert_eq!(from(&form, "203.0.113.9", &format!("u{round}-{number}@example.org"), WRONG).await.status, 401);
            }
            assert_eq!(locked_for(&from(&app.browser(), "203.0.113.9", ADA, PASSWORD).await), 15, "round {round}");
            app.wait(15 * MINUTE);
            assert_eq!(from(&app.browser(), "203.0.113.9", ADA, PASSWORD).await.status, 303, "a neighbour");
        }
        // A stored lock from a version in which they doubled.
        let until = app.clock.now().plus(24 * 60 * MINUTE).millis();
        app.sql(&format!("UPDATE throttles SET locked_until = {until}, locks = 8 WHERE id = 'network:203.0.113.9'")).await;
        assert_eq!(locked_for(&from(&app.browser(), "203.0.113.9", ADA, PASSWORD).await), 15);
        app.wait(10 * MINUTE);
        assert_eq!(locked_for(&from(&app.browser(), "203.0.113.9", ADA, PASSWORD).await), 5);
        app.wait(5 * MINUTE);
        assert_eq!(from(&app.browser(), "203.0.113.9", ADA, PASSWORD).await.status, 303);
    }
}
