//! What a mail server's limits and slow recipients do to other mail, and what of its replies reaches the log.

use std::time::Duration;

use idp_core::ids::MailId;
use idp_core::secret::Secret;
use idp_core::time::{MINUTE, Timestamp};
use idp_core::user::{Email, FullName};
use idp_server::config::MailTransport;
use idp_store::{Mail, MailKind};

use crate::mail_server::{MIA, app_for, given_up};
use crate::outages::{begin, until};
use crate::registration::{ADA, register};
use crate::support::mail::{END_OF_MAIL, GREETING, Instead, Sink};
use crate::support::{Engine, PASSWORD, TestApp, is_logged, logged_lines, on_both_engines};

/// How often clients named a recipient that begins like this.
fn named(sink: &Sink, recipient: &str) -> usize {
    let start = format!("RCPT TO:<{recipient}");
    sink.said().iter().filter(|line| line.starts_with(&start)).count()
}

/// Asks for this many mails, to as many domains, in one moment.
async fn at_once(app: &TestApp, mails: usize) {
    let now = app.clock.now();
    let asked = app.store().write(now, move |tx, now| {
        Box::pin(async move {
            for number in 0..mails {
                tx.enqueue_mail(&welcome(&format!("mia@example{number}.org"), *now)).await?;
            }
            Ok(())
        })
    });
    asked.await.unwrap();
}

fn welcome(recipient: &str, now: Timestamp) -> Mail {
    Mail {
        id: MailId::new(now),
        kind: MailKind::Welcome,
        recipient: Email::parse(recipient).unwrap(),
        name: FullName::parse("Mia").unwrap(),
        subject: "mia".to_owned(),
        minutes: None,
        created_at: now,
        attempts: 0,
    }
}

/// Waits until no mail is left.
async fn all_gone(app: &TestApp) {
    until("an empty outbox", async || app.count("outbox", "1 = 1").await == 0).await;
}

/// How the log begins what it says of a refusal by this server.
fn refused_by(sink: &Sink) -> String {
    sink.url().replace("smtp://", "refused by the mail server ")
}

/// What the operator sees of a server: the lines that name it, as warnings or as errors.
fn seen_by_the_operator(sink: &Sink) -> Vec<String> {
    let lines = logged_lines(&sink.url().replace("smtp://", "the mail server "));
    lines.into_iter().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).collect()
}

/// A server that has mails for this sink to send, but sends none yet.
async fn still_app_for(engine: Engine, sink: &Sink) -> TestApp {
    let url = sink.url();
    TestApp::start_still_with(engine, |config| config.mail.transport = MailTransport::Smtp(Secret::new(url)))
        .await
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

    async fn fault_20_a_domain_has_no_more_room_for_having_many_below_it(engine: Engine) {
        let sink = Sink::patient().await;
        sink.instead("RCPT TO:<slow", Instead::Silence);
        let app = app_for(engine, &sink).await;
        for number in 0..12 {
            register(&app.browser(), &format!("slow@x{number}.evil.example"), PASSWORD).await;
        }
        until("two conversations", async || named(&sink, "slow") >= 2).await;
        register(&app.browser(), ADA, PASSWORD).await;
        sink.mail_to(ADA, 1).await;
        assert_eq!(named(&sink, "slow"), 2, "both are still open");
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
        let app = still_app_for(engine, &sink).await;
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
        let seen = seen_by_the_operator(&sink);
        assert!(seen.len() == 1 && seen[0].contains(" WARN ") && seen[0].contains("at_once=3"), "{seen:?}");
    }

    async fn fault_20_a_server_that_takes_one_connection_is_not_taken_for_one_that_is_away(engine: Engine) {
        let sink = Sink::start().await;
        sink.limit_connections(1);
        let app = still_app_for(engine, &sink).await;
        at_once(&app, 20).await;
        let _running = begin(&app).await;
        all_gone(&app).await;
        // A minute later one more is tried.
        app.wait(MINUTE);
        at_once(&app, 20).await;
        all_gone(&app).await;
        assert_eq!(sink.count(), 40, "each mail once");
        let (seen, turned_away) = (seen_by_the_operator(&sink), sink.turned_away());
        assert!(seen.len() == 1 && seen[0].contains(" WARN ") && turned_away > 0, "{turned_away}: {seen:?}");
        assert!(!seen[0].contains("all mail waits"), "{seen:?}");
    }

    async fn fault_20_refused_connections_beside_others_are_in_the_log_once_and_so_is_their_end(engine: Engine) {
        for (start, reply, says) in [
            (GREETING, "421 4.7.0 no room for <ada@example.org>", ": 421 4.7.0 no room for (address)"),
            ("EHLO", "450 4.3.2 no room now", ": 450 4.3.2 no room now"),
            ("AUTH", "454 4.7.0 no room for canary-user", ": 454 4.7.0"),
        ] {
            let sink = Sink::patient().await;
            sink.instead("EHLO", Instead::Reply("250-sink\r\n250 AUTH PLAIN"));
            sink.instead(&format!("{END_OF_MAIL}ada@"), Instead::Silence);
            let url = sink.url().replace("smtp://", "smtp://canary-user:canary-word@");
            let app = TestApp::start_with(engine, |config| config.mail.transport = MailTransport::Smtp(Secret::new(url))).await;
            register(&app.browser(), ADA, PASSWORD).await;
            until("a mail in progress", async || sink.count() == 1).await;
            sink.instead(start, Instead::Reply(reply));
            at_once(&app, 4).await;
            // Whoever is refused beside others waits, until only the first one is left.
            until("a refusal beside a single mail", async || {
                logged_lines("too many connections; mail waits").iter().any(|line| line.contains(&sink.port().to_string()) && line.contains("at_once=1"))
            }).await;
            sink.release();
            all_gone(&app).await;
            for minutes in 1..=3 {
                app.wait(MINUTE);
                at_once(&app, 4).await;
                register(&app.browser(), &format!("mia{minutes}@example.org"), PASSWORD).await;
                all_gone(&app).await;
            }
            let seen = seen_by_the_operator(&sink);
            assert!(seen.len() == 1 && seen[0].contains(" WARN ") && seen[0].contains("at_once=1"), "{seen:?}");
            assert!(seen[0].contains(says) && !seen[0].contains("ada@") && !seen[0].contains("canary"), "{seen:?}");
            sink.as_usual();
            let usual = format!("as many mails as usual are sent at once again server=\"127.0.0.1:{}\"", sink.port());
            assert!(!is_logged(&usual), "{reply}");
            app.wait(MINUTE * 10);
            until("the line about the end", async || is_logged(&usual)).await;
        }
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
