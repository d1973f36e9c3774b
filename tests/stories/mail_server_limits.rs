//! What a mail server's limits and slow recipients do to other mail, and what of its replies reaches the log.

use std::time::Duration;

use idp_core::secret::Secret;
use idp_server::config::MailTransport;

use crate::mail_server::{MIA, app_for, given_up};
use crate::outages::{begin, until};
use crate::registration::{ADA, register};
use crate::support::mail::{END_OF_MAIL, Instead, Sink};
use crate::support::{Engine, PASSWORD, TestApp, is_logged, on_both_engines};

/// How often clients named a recipient that begins like this.
fn named(sink: &Sink, recipient: &str) -> usize {
    let start = format!("RCPT TO:<{recipient}");
    sink.said().iter().filter(|line| line.starts_with(&start)).count()
}

/// Waits until no mail is left.
async fn all_gone(app: &TestApp) {
    until("an empty outbox", async || app.count("outbox", "1 = 1").await == 0).await;
}

/// How the log begins what it says of a refusal by this server.
fn refused_by(sink: &Sink) -> String {
    sink.url().replace("smtp://", "refused by the mail server ")
}

on_both_engines! {
    async fn fault_20_slow_recipients_of_one_domain_hold_up_nobody_elsewhere(engine: Engine) {
        let sink = Sink::patient().await;
        sink.instead("RCPT TO:<slow", Instead::Silence);
        let app = app_for(engine, &sink).await;
        for number in 0..12 {
            register(&app.browser(), &format!("slow{number}@slow.example"), PASSWORD).await;
        }
        until("two conversations", async || named(&sink, "slow") >= 2).await;
        register(&app.browser(), ADA, PASSWORD).await;
        sink.mail_to(ADA, 1).await;
        assert_eq!(named(&sink, "slow"), 2, "both are still open");
        assert_eq!(app.count("outbox", "attempts = 0 AND recipient LIKE 'slow%'").await, 10);
        sink.release();
        all_gone(&app).await;
        assert_eq!(sink.count(), 13, "each mail once");
    }

    async fn fault_20_slow_retries_leave_half_of_the_room_to_new_mail(engine: Engine) {
        let sink = Sink::patient().await;
        sink.instead("RCPT TO:<slow", Instead::Reply("450 4.2.0 later"));
        let app = app_for(engine, &sink).await;
        for number in 0..12 {
            register(&app.browser(), &format!("slow{number}@slow{number}.example"), PASSWORD).await;
        }
        let put_off = format!("attempts = 1 AND due_at < {}", app.clock.now().millis() + 70_000);
        until("twelve failures", async || app.count("outbox", &put_off).await == 12).await;
        sink.instead("RCPT TO:<slow", Instead::Silence);
        app.wait(Duration::from_secs(11));
        until("four retries", async || named(&sink, "slow") >= 12 + 4).await;
        register(&app.browser(), ADA, PASSWORD).await;
        sink.mail_to(ADA, 1).await;
        assert_eq!(named(&sink, "slow"), 12 + 4, "they are still open");
        sink.release();
        all_gone(&app).await;
        assert_eq!(sink.count(), 13, "each mail once");
    }

    async fn fault_20_a_server_that_takes_few_connections_gets_few(engine: Engine) {
        let sink = Sink::held().await;
        sink.limit_connections(3);
        let url = sink.url();
        let app = TestApp::start_still_with(engine, |config| config.mail.transport = MailTransport::Smtp(Secret::new(url))).await;
        for number in 0..9 {
            register(&app.browser(), &format!("ada{number}@example{number}.org"), PASSWORD).await;
        }
        let _running = begin(&app).await;
        until("three mails", async || sink.count() == 3).await;
        until("six mails that wait", async || {
            app.count("outbox", "attempts = 0 AND due_at = created_at").await == 6
        }).await;
        assert!((1..=5).contains(&sink.turned_away()), "{}", sink.turned_away());
        let turned_away = sink.turned_away();
        sink.release();
        all_gone(&app).await;
        assert_eq!((sink.count(), sink.turned_away()), (9, turned_away), "it got no more than it takes");
        assert!(!is_logged(&refused_by(&sink)), "nothing for the operator to do");
    }

    async fn fault_20_a_limit_of_mails_per_connection_costs_no_try(engine: Engine) {
        for reply in [
            "452 4.5.3 too many messages in this connection",
            "550 5.7.0 too many messages in this connection",
            "503 5.5.1 sender already given",
        ] {
            let sink = Sink::start().await;
            sink.limit_mails_per_connection(1, reply);
            let app = app_for(engine, &sink).await;
            register(&app.browser(), ADA, PASSWORD).await;
            app.sink_mails(&sink, ADA).await;
            // Its connection is kept for the next mail before its row goes.
            all_gone(&app).await;
            register(&app.browser(), MIA, PASSWORD).await;
            assert_eq!(app.sink_mails(&sink, MIA).await, 1, "{reply}");
            assert!(sink.said().iter().any(|line| line == "QUIT"), "{reply}: a polite goodbye");
            assert!(!is_logged(&refused_by(&sink)), "{reply}: no try failed");
        }
    }

    async fn fault_20_nothing_of_a_mail_that_a_server_quotes_reaches_the_log(engine: Engine) {
        let (quoted, named) = (format!("quoted-{engine:?}@example.org"), format!("named-{engine:?}@example.org"));
        let sink = Sink::start().await;
        sink.instead(&format!("{END_OF_MAIL}quoted-"), Instead::Quote("blocked URL in content:"));
        sink.instead("RCPT TO:<named-", Instead::Reply("550 5.1.1 <NAMED-SQLITE@example.org>, named-postgres: no such user here"));
        let app = app_for(engine, &sink).await;
        register(&app.browser(), &quoted, PASSWORD).await;
        let refusal = format!("{}: 554 5.7.1", refused_by(&sink));
        until("the refusal", async || is_logged(&refusal)).await;
        let mail = sink.quoted().remove(0);
        let (_, token) = mail.link().split_once("token=").map(|(start, token)| (start.to_owned(), token.to_owned())).unwrap();
        let secrets = [token.clone(), token[3..13].to_owned(), token[token.len() - 10..].to_owned(), mail.code(), quoted];
        for secret in secrets {
            assert!(!is_logged(&secret), "{secret}");
        }
        assert!(!is_logged("blocked URL"), "no text after DATA");
        register(&app.browser(), &named, PASSWORD).await;
        given_up(&app, 1).await;
        let lines = is_logged(&format!("{}: 550 5.1.1", refused_by(&sink)));
        assert!(lines && is_logged("no such user here") && !is_logged("NAMED-SQLITE@") && !is_logged("named-postgres: no"));
    }
}
