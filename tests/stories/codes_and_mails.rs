//! The "check your mail" page: how often a code may be tried, how often an email may be requested, and that a known
//! address gets the same answers as a new one.

use std::time::Duration;

use crate::registration::{ADA, register};
use crate::support::indistinguishable::assert_alike;
use crate::support::{Engine, PASSWORD, TestApp, on_both_engines};

const MINUTE: Duration = Duration::from_secs(60);

on_both_engines! {
    async fn rg_01_the_fifth_wrong_code_is_the_last_for_known_and_new_addresses(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let mut faces = Vec::new();
        for address in [ADA, "new@example.org"] {
            let browser = app.browser();
            let check = register(&browser, address, PASSWORD).await;
            // Codes tried before the email is sent count like those after it.
            let mut answers = Vec::new();
            for number in 1..=7 {
                if number == 3 {
                    app.sink.mail_to(address, 1).await;
                }
                let answer = browser.submit(&check, "/code", &[("code", "AAAA-AAAA")]).await;
                assert_eq!(answer.status, 422);
                let told = answer.text().contains("Too many wrong codes. Send the mail again");
                assert_eq!(told, number >= 5, "{address}, try {number}: {}", answer.text());
                answers.push(answer);
            }
            app.wait(MINUTE);
            let resent = browser.submit(&check, "/resend", &[]).await;
            assert!(resent.text().contains("The mail is on its way"), "{}", resent.text());
            let again = browser.submit(&check, "/code", &[("code", "AAAA-AAAA")]).await;
            assert!(again.text().contains("That code is not right"), "{}", again.text());
            answers.extend([resent, again]);
            faces.push(answers.iter().map(|answer| answer.face(&[address])).collect::<Vec<_>>());
            app.wait(MINUTE * 61);
        }
        let masked = |face: &[String]| face.join("\n").replace(">A<", ">N<");
        assert_alike(&faces.iter().map(|face| masked(face)).collect::<Vec<_>>());
    }

    async fn rg_13_the_timer_is_right_and_the_fourth_mail_is_refused_by_the_registrations_own_count(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.user(ADA).await;
        let mut faces = Vec::new();
        for address in [ADA, "new@example.org"] {
            let browser = app.browser();
            let check = register(&browser, address, PASSWORD).await;
            let mut answers = Vec::new();
            app.wait(Duration::from_secs(20));
            let early = browser.submit(&check, "/resend", &[]).await;
            assert_eq!(early.status, 429);
            let wait: u64 = early.header("retry-after").parse().unwrap();
            assert!((1..=40).contains(&wait) && early.text().contains("A mail was just sent. Wait"), "{}", early.text());
            for number in 2..=3 {
                app.wait(MINUTE);
                let sent = browser.submit(&check, "/resend", &[]).await;
                assert!(sent.text().contains("The mail is on its way"), "{}", sent.text());
                app.sink.mail_to(address, number).await;
            }
            app.wait(MINUTE);
            let fourth = browser.submit(&check, "/resend", &[]).await;
            assert_eq!(fourth.status, 429);
            assert!(fourth.text().contains("Several mails were sent already.") && fourth.text().contains("wait 59 minutes"), "{}", fourth.text());
            assert_eq!(app.mails_in_all(address).await, 3);
            app.wait(MINUTE * 60);
            let later = browser.submit(&check, "/resend", &[]).await;
            assert!(later.text().contains("The mail is on its way"), "{}", later.text());
            app.sink.mail_to(address, 4).await;
            answers.extend([fourth, later]);
            faces.push(answers.iter().map(|answer| answer.face(&[address])).collect::<Vec<_>>().join("\n").replace(">A<", ">N<"));
            app.wait(MINUTE * 61);
        }
        assert_alike(&faces);
    }

    async fn all_errors_of_both_password_fields_are_reported_at_once(engine: Engine) {
        let app = TestApp::start(engine).await;
        let browser = app.browser();
        let page = browser.open("/register").await;
        for (password, confirm, told) in [
            ("short", "other", ["Use at least 15 characters", "The two passwords differ."].as_slice()),
            ("", "", &["Enter a password.", "Type the password again to confirm it."]),
            ("", "something", &["Enter a password."]),
            (PASSWORD, "", &["Type the password again to confirm it."]),
        ] {
            let fields = [("name", "Ada"), ("email", ADA), ("password", password), ("password_confirm", confirm)];
            let answer = browser.submit(&page, "/register", &fields).await;
            assert_eq!((answer.status.as_u16(), answer.body.matches("<li><a href=\"#").count()), (422, told.len()), "{}", answer.text());
            told.iter().for_each(|words| assert!(answer.text().contains(words), "{words}: {}", answer.text()));
        }
    }
}
