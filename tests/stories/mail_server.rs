//! A mail server that is slow, refuses, or is away: what it can hold up, and what the operator sees.

use std::time::Duration;

use idp_core::secret::Secret;
use idp_server::config::MailTransport;

use crate::outages::{begin, until};
use crate::registration::{ADA, ask, register};
use crate::support::mail::{END_OF_MAIL, GREETING, Instead, Sink};
use crate::support::{Engine, PASSWORD, TestApp, is_logged, on_both_engines};

pub(crate) const MIA: &str = "mia@example.org";

/// A server whose mail goes to this sink.
pub(crate) async fn app_for(engine: Engine, sink: &Sink) -> TestApp {
    let url = sink.url();
    TestApp::start_with(engine, |config| config.mail.transport = MailTransport::Smtp(Secret::new(url))).await
}

/// Waits until this many mails have been given up.
pub(crate) async fn given_up(app: &TestApp, mails: usize) {
    until("giving up a mail", async || app.count("audit", "event = 'mail_given_up'").await == mails).await;
}

/// Waits until a mail that failed itself waits for its next try.
async fn put_off(app: &TestApp, recipient: &str) {
    returned(app, &format!("recipient = '{recipient}' AND attempts > 0"), 1).await;
}

/// Waits until this many mails, and no others, meet a condition and are no longer in progress.
pub(crate) async fn returned(app: &TestApp, condition: &str, mails: usize) {
    let condition = format!("{condition} AND due_at < {}", app.clock.now().millis() + 70_000);
    until("mails that wait", async || app.count("outbox", &condition).await == mails).await;
}

on_both_engines! {
    async fn fault_20_a_slow_recipient_holds_up_nobody_else(engine: Engine) {
        let sink = Sink::patient().await;
        for start in ["RCPT TO:<stuck1@", "RCPT TO:<stuck2@", "(end of mail) stuck3@"] {
            sink.instead(start, Instead::Silence);
        }
        let app = app_for(engine, &sink).await;
        for number in 1..=3 {
            register(&app.browser(), &format!("stuck{number}@example{number}.org"), PASSWORD).await;
        }
        until("three stuck conversations", async || {
            sink.said().iter().filter(|line| line.starts_with("RCPT TO:<stuck")).count() == 3
        }).await;
        register(&app.browser(), ADA, PASSWORD).await;
        sink.mail_to(ADA, 1).await;
        assert_eq!(app.count("outbox", "attempts = 1 AND recipient LIKE 'stuck%'").await, 3, "they still wait");
        sink.release();
        for number in 1..=3 {
            let mails = app.sink_mails(&sink, &format!("stuck{number}@example{number}.org")).await;
            assert_eq!(mails, 1, "stuck{number}: each mail once");
        }
    }

    async fn fault_20_one_recipients_mails_keep_their_order(engine: Engine) {
        let sink = Sink::patient().await;
        sink.instead("RCPT TO:<ada@", Instead::Silence);
        let app = app_for(engine, &sink).await;
        let (first, second) = (app.browser(), app.browser());
        register(&first, ADA, PASSWORD).await;
        until("the first conversation", async || sink.said().iter().any(|line| line.starts_with("RCPT TO"))).await;
        register(&second, ADA, PASSWORD).await;
        register(&app.browser(), MIA, PASSWORD).await;
        sink.mail_to(MIA, 1).await;
        let said = sink.said().iter().filter(|line| line.starts_with("RCPT TO:<ada@")).count();
        assert_eq!(said, 1, "the second mail waits for the first");
        sink.release();
        let (one, two) = (sink.mail_to(ADA, 1).await, sink.mail_to(ADA, 2).await);
        assert!(first.open(&one.link()).await.text().contains("Activate"));
        assert!(!second.open(&two.link()).await.text().contains("password you chose"), "its own browser");
    }

    async fn fault_20_an_address_the_server_refuses_is_given_up_at_once(engine: Engine) {
        let sink = Sink::start().await;
        sink.instead("RCPT TO:<nobody@", Instead::Reply("550 5.1.1 no such user"));
        sink.instead("(end of mail) spam@", Instead::Reply("554 5.6.0 looks like spam"));
        let app = app_for(engine, &sink).await;
        register(&app.browser(), "nobody@example.org", PASSWORD).await;
        given_up(&app, 1).await;
        register(&app.browser(), "spam@example.org", PASSWORD).await;
        given_up(&app, 2).await;
        assert_eq!(app.count("outbox", "1 = 1").await, 0);
        assert!(is_logged("mail given up") && is_logged("550 5.1.1 no such user") && is_logged("RCPT TO"));
        register(&app.browser(), ADA, PASSWORD).await;
        sink.mail_to(ADA, 1).await;
    }

    async fn fault_20_a_recipient_that_is_refused_for_now_is_tried_again_later(engine: Engine) {
        for instead in [
            Instead::Reply("450 4.2.0 greylisted"),
            Instead::Reply("421 4.3.2 closing"),
            Instead::Reply("554 5.7.1 relay access denied"),
            Instead::Reply("550 relay not permitted"),
            Instead::Reply("550 5.1.8 <id@example.com>: Sender address rejected"),
            Instead::Reply("what?"),
            Instead::Cut,
        ] {
            let sink = Sink::start().await;
            sink.instead("RCPT TO:<ada@", instead);
            let app = app_for(engine, &sink).await;
            register(&app.browser(), ADA, PASSWORD).await;
            put_off(&app, ADA).await;
            register(&app.browser(), MIA, PASSWORD).await;
            sink.mail_to(MIA, 1).await;
            sink.as_usual();
            app.wait(Duration::from_secs(11));
            sink.mail_to(ADA, 1).await;
            assert_eq!(app.count("audit", "event = 'mail_given_up'").await, 0);
        }
    }

    async fn fault_20_what_concerns_every_mail_is_logged_once_and_no_mail_is_lost(engine: Engine) {
        for (start, reply, says) in [
            (GREETING, "421 4.3.2 too busy", "421 4.3.2 too busy"),
            (GREETING, "554 no service for you", "554 no service for you"),
            ("EHLO", "550 unknown host name", "550 unknown host name"),
            ("MAIL FROM", "451 4.3.0 ask later", "451 4.3.0 ask later"),
            ("MAIL FROM", "550 5.7.1 not your sender", "550 5.7.1 not your sender"),
            ("MAIL FROM", "530 5.7.0 sign in first", "530 5.7.0 sign in first"),
        ] {
            let sink = Sink::start().await;
            sink.instead(start, Instead::Reply(reply));
            let app = app_for(engine, &sink).await;
            ask(&app.browser(), ADA, PASSWORD).await;
            // Its own address: the log is that of all stories.
            let refused = sink.url().replace("smtp://", "refused by the mail server ");
            until("the log line", async || is_logged(&format!("{refused}: {says}"))).await;
            let tries = i64::from(start == "MAIL FROM");
            returned(&app, &format!("attempts = {tries}"), 1).await;
            for number in 0..6 {
                ask(&app.browser(), &format!("mia{number}@example.org"), PASSWORD).await;
            }
            let tries = sink.said().len();
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(sink.said().len(), tries, "{reply}: nobody tries while all wait");
            assert_eq!(app.count("outbox", "attempts = 0 AND recipient LIKE 'mia%'").await, 6, "{reply}");
            sink.as_usual();
            app.wait(Duration::from_secs(61));
            for number in 0..6 {
                sink.mail_to(&format!("mia{number}@example.org"), 1).await;
            }
            sink.mail_to(ADA, 1).await;
            assert_eq!(app.count("audit", "event = 'mail_given_up'").await, 0, "{reply}");
        }
        assert!(is_logged("the mail server takes mail again"));
    }

    async fn fault_20_mails_that_waited_for_the_server_leave_in_order(engine: Engine) {
        let sink = Sink::start().await;
        let url = sink.url();
        let app = TestApp::start_still_with(engine, |config| config.mail.transport = MailTransport::Smtp(Secret::new(url))).await;
        for number in 0..9 {
            ask(&app.browser(), &format!("ada{number}@example.org"), PASSWORD).await;
            app.wait(Duration::from_secs(1));
        }
        sink.instead(GREETING, Instead::Reply("421 not now"));
        let _running = begin(&app).await;
        let refused = sink.url().replace("smtp://", "refused by the mail server ");
        until("the first try", async || is_logged(&refused)).await;
        returned(&app, "attempts = 0 AND due_at = created_at", 9).await;
        sink.as_usual();
        app.wait(Duration::from_secs(11));
        for number in 0..9 {
            sink.mail_to(&format!("ada{number}@example.org"), 1).await;
        }
    }

    async fn fault_20_a_server_that_hangs_up_between_two_mails_costs_no_try(engine: Engine) {
        let sink = Sink::start().await;
        let app = app_for(engine, &sink).await;
        register(&app.browser(), ADA, PASSWORD).await;
        app.sink_mails(&sink, ADA).await;
        // Its connection is kept for the next mail before its row goes.
        until("an empty outbox", async || app.count("outbox", "1 = 1").await == 0).await;
        sink.instead("MAIL FROM", Instead::CutOnce);
        register(&app.browser(), MIA, PASSWORD).await;
        assert_eq!(app.sink_mails(&sink, MIA).await, 1);
        let server = sink.url().replace("smtp://", "the mail server ");
        assert!(!is_logged(&server), "no try failed");
    }

    async fn fault_20_two_nodes_send_each_mail_once(engine: Engine) {
        let sink = Sink::patient().await;
        let url = sink.url();
        let app = TestApp::start_still_with(engine, |config| config.mail.transport = MailTransport::Smtp(Secret::new(url))).await;
        for number in 0..12 {
            register(&app.browser(), &format!("ada{number}@example.org"), PASSWORD).await;
        }
        // Both take mails for the same database.
        let (_one, _two) = (begin(&app).await, begin(&app).await);
        until("an empty outbox", async || app.count("outbox", "1 = 1").await == 0).await;
        assert_eq!(sink.count(), 12);
    }

    async fn fault_20_a_mail_that_was_refused_for_now_at_its_end_is_tried_again(engine: Engine) {
        let sink = Sink::start().await;
        sink.instead(&format!("{END_OF_MAIL}ada@"), Instead::Reply("451 4.3.0 disk full"));
        let app = app_for(engine, &sink).await;
        register(&app.browser(), ADA, PASSWORD).await;
        put_off(&app, ADA).await;
        assert_eq!(sink.mails_to(ADA).len(), 0);
        sink.as_usual();
        app.wait(Duration::from_secs(11));
        sink.mail_to(ADA, 1).await;
    }
}
