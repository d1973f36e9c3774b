//! Many at once: one activation link, one address.

use futures_util::future::join_all;
use idp_core::ids::RegistrationId;
use idp_core::single_use::{ActivationLink, SingleUse};
use idp_core::time::DAY;

use crate::registration::ask;
use crate::support::browser::{Answer, Browser};
use crate::support::{Engine, PASSWORD, TestApp, is_proof, on_both_engines};

/// The token of a link for a registration, made like the one in the email.
async fn link(app: &TestApp, id: &str) -> String {
    let id: RegistrationId = id.parse().unwrap();
    let link = SingleUse::<ActivationLink>::generate();
    let input = (link.digest(), id.to_string(), app.clock.now().plus(DAY));
    app.store()
        .write(input, |tx, (digest, id, until)| Box::pin(tx.insert_single_use(digest, id, *until)))
        .await
        .unwrap();
    link.expose().to_owned()
}

async fn click(browser: &Browser, csrf: &str, token: &str) -> Answer {
    browser.post("/activate", &[("csrf", csrf), ("token", token)]).await
}

fn id_of(asked: &Answer) -> String {
    asked.location().unwrap().rsplit('/').next().unwrap().to_owned()
}

on_both_engines! {
    async fn rg_10_of_fifty_clicks_at_once_exactly_one_activates(engine: Engine) {
        let app = TestApp::start(engine).await;
        let second = app.second_node().await;
        let browser = app.browser();
        let browsers = [browser.clone(), browser.via(&second.browser())];
        let mut tokens = Vec::new();
        for browser in &browsers {
            tokens.push(browser.open("/register").await.csrf());
        }
        let rounds = if is_proof() { 1_000 } else { 20 };
        for round in 1..=rounds {
            let email = format!("u{round}@example.org");
            let id = id_of(&ask(&browsers[0], &email, PASSWORD).await);
            let token = link(&app, &id).await;
            let clicks = (0..50).map(|at| click(&browsers[at % 2], &tokens[at % 2], &token));
            let answers = join_all(clicks).await;
            let page = format!("/register/{id}");
            let active = answers.iter().filter(|answer| answer.location().as_ref() == Some(&page)).count();
            assert_eq!(active, 50, "round {round}: {:?}", answers.iter().map(|a| a.status.as_u16()).collect::<Vec<_>>());
            assert_eq!(app.count("users", &format!("email_key = '{email}'")).await, 1);
        }
        assert_eq!(app.count("users", "1 = 1").await, rounds);
        assert_eq!(app.count("audit", "event = 'activation'").await, rounds);
        println!("proof: {rounds} rounds of 50 clicks on one activation link on {engine:?}: one account each");
    }

    async fn fifty_registrations_and_activations_of_one_address_at_once_make_one_owner(engine: Engine) {
        let app = TestApp::start(engine).await;
        let second = app.second_node().await;
        let letters = "ada.lovelace";
        let variant = |number: usize| {
            let flip = |(at, c): (usize, char)| if number >> (at % 6) & 1 == 1 { c.to_ascii_uppercase() } else { c };
            format!("{}@example.org", letters.chars().enumerate().map(flip).collect::<String>())
        };
        let browsers: Vec<Browser> = (0..50).map(|at| if at % 2 == 0 { app.browser() } else { second.browser() }).collect();
        let pages = join_all(browsers.iter().map(|browser| browser.open("/register"))).await;
        let asked = join_all(browsers.iter().zip(&pages).enumerate().map(|(number, (browser, page))| async move {
            let (email, password) = (variant(number), format!("{PASSWORD} {number}"));
            let fields = [("name", "Ada"), ("email", &email), ("password", &password), ("password_confirm", &password)];
            browser.submit_only(page, "/register", &fields).await
        })).await;
        assert!(asked.iter().all(|answer| answer.status == 303), "{:?}", asked.iter().map(|a| a.status).collect::<Vec<_>>());
        let mut tokens = Vec::new();
        for answer in &asked {
            tokens.push(link(&app, &id_of(answer)).await);
        }
        let csrf: Vec<String> = pages.iter().map(Answer::csrf).collect();
        let clicks = browsers.iter().zip(&csrf).zip(&tokens).map(|((browser, csrf), token)| click(browser, csrf, token));
        let answers = join_all(clicks).await;
        let winners: Vec<usize> = (0..50).filter(|at| answers[*at].status == 303).collect();
        assert_eq!(winners.len(), 1, "{:?}", answers.iter().map(|a| a.status.as_u16()).collect::<Vec<_>>());
        assert!(answers.iter().enumerate().all(|(at, answer)| at == winners[0] || answer.reason() == Some("link-used")));
        assert_eq!((app.count("users", "1 = 1").await, app.count("registrations", "ended_at IS NULL").await), (1, 0));
        let browser = app.browser();
        let login = browser.open("/signin").await;
        let loser = (winners[0] + 1) % 50;
        assert_eq!(browser.sign_in(&login, &variant(0), &format!("{PASSWORD} {loser}")).await.status, 401);
        let account = browser.sign_in(&login, &variant(0), &format!("{PASSWORD} {}", winners[0])).await;
        assert!(account.url.ends_with("/account"), "{}", account.text());
    }
}
