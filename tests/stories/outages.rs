//! When the mail server or the database is away, the server shuts down, or its clock is wrong.

use std::time::Duration;

use idp_core::secret::Secret;
use idp_server::config::MailTransport;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::mail_server::{MIA, returned};
use crate::registration::{ADA, ask, register};
use crate::support::mail::Sink;
use crate::support::wire::Wire;
use crate::support::{Engine, PASSWORD, TestApp, is_logged, on_both_engines};

const HOUR: Duration = Duration::from_secs(3600);

/// Starts the background tasks only now, as if the mail server had been away until this moment.
pub(crate) async fn begin(
    app: &TestApp,
) -> (oneshot::Sender<()>, JoinHandle<Result<(), idp_server::StartError>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let end = async move { drop(stopped.await) };
    (stop, tokio::spawn(app.app.clone().serve(vec![listener], end)))
}

/// Waits for something that the server does in the background.
pub(crate) async fn until(what: &str, mut seen: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if seen().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not happen");
}

/// An address where nothing listens.
async fn closed_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Asks until `/readyz` says so: it may repeat the result of a check for a second.
async fn says(app: &TestApp, status: u16, words: &str) {
    let said = async || {
        let answer = app.browser().get("/readyz").await;
        answer.status == status && answer.body == words
    };
    until(words, said).await;
}

on_both_engines! {
    async fn fault_05_readiness_says_what_is_wrong_and_recovers_by_itself(engine: Engine) {
        let app = TestApp::start(engine).await;
        says(&app, 200, "ready").await;
        for (breaks, heals, words) in [
            (
                "ALTER TABLE heartbeat RENAME TO gone",
                "ALTER TABLE gone RENAME TO heartbeat",
                "the database does not accept writes",
            ),
            (
                "UPDATE keys SET state = 'retiring' WHERE purpose = 'ES256'",
                "UPDATE keys SET state = 'active' WHERE purpose = 'ES256'",
                "there are no keys",
            ),
            (
                "UPDATE _sqlx_migrations SET version = 4000 WHERE version = 2",
                "UPDATE _sqlx_migrations SET version = 2 WHERE version = 4000",
                "the database lacks migrations",
            ),
            (
                "ALTER TABLE _sqlx_migrations RENAME TO gone",
                "ALTER TABLE gone RENAME TO _sqlx_migrations",
                "the database has a different schema",
            ),
        ] {
            app.sql(breaks).await;
            says(&app, 503, words).await;
            app.sql(heals).await;
            says(&app, 200, "ready").await;
        }
    }

    async fn r_13_the_link_of_a_delayed_mail_works_as_long_as_the_mail_says(engine: Engine) {
        let app = TestApp::start_still(engine).await;
        register(&app.browser(), ADA, PASSWORD).await;
        app.wait(20 * HOUR);
        let sent = app.clock.now().seconds();
        let _running = begin(&app).await;
        let mail = app.sink.mail_to(ADA, 1).await;
        assert!(mail.text.contains("within 4 hours"), "what is left of the day: {}", mail.text);
        let date = mailparse::dateparse(&mail.header("Date")[0]).unwrap();
        assert!((sent..sent + 600).contains(&date), "dated by the server's clock: {:?}", mail.header("Date"));
        app.wait(3 * HOUR);
        let phone = app.browser();
        let page = phone.open(&mail.link()).await;
        let active = phone.submit(&page, "/activate", &[("password", PASSWORD)]).await;
        assert!(active.text().contains("Your account is active"), "{}", active.text());
    }

    async fn r_13_a_mail_whose_link_would_expire_within_the_hour_is_not_sent(engine: Engine) {
        let app = TestApp::start_still(engine).await;
        let ada = app.browser();
        let waiting = register(&ada, ADA, PASSWORD).await;
        app.wait(23 * HOUR + HOUR / 2);
        let _running = begin(&app).await;
        until("the first try", async || app.count("outbox", "attempts = 1").await == 1).await;
        until("the log line", async || is_logged("its link would work for less than an hour")).await;
        assert_eq!((app.sink.count(), app.count("single_use", "1 = 1").await), (0, 0));
        let page = ada.open(&waiting.url).await;
        ada.submit(&page, "/resend", &[]).await;
        let mail = app.sink.mail_to(ADA, 1).await;
        assert!(mail.text.contains("within 24 hours"), "{}", mail.text);
        let link = ada.open(&mail.link()).await;
        assert!(ada.submit(&link, "/activate", &[]).await.text().contains("Your account is active"));
    }

    async fn r_13_giving_up_a_mail_is_recorded_with_its_time_and_the_log_names_the_mail_server(engine: Engine) {
        let away = closed_address().await;
        let url = format!("smtp://canary-user:canary-sentence@{away}");
        let app = TestApp::start_with(engine, |config| config.mail.transport = MailTransport::Smtp(Secret::new(url))).await;
        ask(&app.browser(), ADA, PASSWORD).await;
        until("the log line", async || is_logged(&format!("no connection to the mail server {away}"))).await;
        returned(&app, "attempts = 0", 1).await;
        assert!(!is_logged("canary-sentence"));
        let wait = 24 * HOUR - Duration::from_secs(9);
        app.wait(wait);
        // Somebody else's mail wakes the sender, before the registration is over and there is nothing left to send.
        ask(&app.browser(), MIA, PASSWORD).await;
        until("giving up the mail", async || app.count("audit", "event = 'mail_given_up'").await == 1).await;
        let at: i64 = app.texts("SELECT CAST(at AS TEXT) FROM audit WHERE event = 'mail_given_up'").await[0].parse().unwrap();
        assert!(at <= app.clock.now().millis(), "recorded in the future");
        assert_eq!(app.count("outbox", &format!("recipient = '{ADA}'")).await, 0);
    }

    async fn a_corrupt_mail_holds_no_other_back(engine: Engine) {
        let app = TestApp::start(engine).await;
        app.sql(
            "INSERT INTO outbox (id, kind, recipient, name, subject, created_at, due_at, attempts, expires_at) \
             VALUES ('spoilt', 'locked', 'a@b.example, c@d.example', 'Ada', 'nobody', 0, 0, 0, 9000000000000000)",
        ).await;
        register(&app.browser(), ADA, PASSWORD).await;
        app.sink.mail_to(ADA, 1).await;
        until("putting off the spoilt mail", async || app.count("outbox", "id = 'spoilt' AND attempts > 0 AND due_at > 0").await == 1).await;
        assert!(is_logged("outbox.id of row spoilt holds a value that this version cannot read"));
        app.sql("UPDATE outbox SET expires_at = 1, due_at = 1 WHERE id = 'spoilt'").await;
        until("giving up the spoilt mail", async || app.count("outbox", "1 = 1").await == 0).await;
        assert_eq!(app.count("audit", "event = 'mail_given_up' AND subject = 'nobody'").await, 1);
    }

    async fn r_27_a_shutdown_while_a_mail_is_handed_over_sends_no_second_copy(engine: Engine) {
        let sink = Sink::held().await;
        let url = sink.url();
        let app = TestApp::start_still_with(engine, |config| config.mail.transport = MailTransport::Smtp(Secret::new(url))).await;
        // The second mail to an address waits for the first.
        register(&app.browser(), ADA, PASSWORD).await;
        register(&app.browser(), ADA, PASSWORD).await;
        let (stop, ended) = begin(&app).await;
        until("a mail", async || sink.count() == 1).await;
        stop.send(()).unwrap();
        // By now the server has closed its connections: only this email can still hold it up.
        tokio::time::sleep(Duration::from_millis(300)).await;
        sink.release();
        ended.await.unwrap().unwrap();
        assert_eq!((sink.count(), app.count("outbox", "1 = 1").await), (1, 1), "one was sent, the other waits");
        assert_eq!(app.count("outbox", "attempts > 0").await, 0, "the sent one is deleted");
    }
}

/// A load balancer must notice before people do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_10_a_node_whose_database_is_silent_is_not_ready_before_any_request_fails() {
    let wire = Wire::default();
    let tapped = wire.clone();
    let app = TestApp::start_still_with(Engine::Postgres, move |config| {
        config.database_url = Secret::new(tapped.tap(config.database_url.expose()));
    })
    .await;
    app.user(ADA).await;
    let (ada, probe) = (app.signed_in(ADA).await, app.browser());
    // Open connections for both, so that neither has to connect first.
    futures_util::future::join_all((0..8).map(|_| probe.get("/readyz"))).await;
    wire.hold(true);
    let mut page = Box::pin(ada.get("/account"));
    // The page waits first: if the probe waited as long, the page would come first.
    assert!(tokio::time::timeout(Duration::from_secs(2), &mut page).await.is_err());
    let probed = tokio::select! {
        probed = async { probe.get("/readyz").await } => probed,
        page = &mut page => panic!("the page came first: {}", page.status),
    };
    assert_eq!(probed.status, 503);
    assert_eq!(probed.body, "the database does not answer");
    assert_eq!(probe.get("/jwks.json").await.status, 200);
    assert_eq!(probe.get("/.well-known/openid-configuration").await.status, 200);
    assert_eq!(page.await.status, 503);
    wire.hold(false);
    until("readiness", async || probe.get("/readyz").await.status == 200).await;
    assert_eq!(ada.get("/account").await.status, 200);
}

/// A schema before `pg_catalog` gives the database a clock of its own: the only way to have two clocks on one machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_clock_differs_from_its_databases_is_not_ready() {
    let app = TestApp::start(Engine::Postgres).await;
    let ready = async || app.browser().get("/readyz").await;
    app.wait(48 * HOUR);
    assert_eq!(ready().await.status, 200, "a clock moved in dev is not wrong");
    app.sql("CREATE SCHEMA clock").await;
    for (seconds, status) in [("1", 200), ("3", 503), ("-3", 503), ("0", 200)] {
        app.sql(&format!(
            "CREATE OR REPLACE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS \
             $$ SELECT pg_catalog.clock_timestamp() + {seconds} * interval '1 second' $$"
        ))
        .await;
        let name = app.texts("SELECT CAST(current_database() AS TEXT)").await.remove(0);
        app.sql(&format!("ALTER DATABASE {name} SET search_path = clock, public, pg_catalog")).await;
        app.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
        // The result of a check may be repeated for a second.
        let mut answer = ready().await;
        for _ in 0..100 {
            if answer.status == status && answer.body.contains("clock") == (status == 503) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            answer = ready().await;
        }
        assert_eq!(answer.status, status, "{seconds}: {}", answer.body);
        assert_eq!(answer.body.contains("clock"), status == 503, "{}", answer.body);
    }
}

/// As after a failover that leaves this node's connections on the old primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_05_a_node_on_a_read_only_server_is_not_ready_and_finds_the_writable_one() {
    let app = TestApp::start(Engine::Postgres).await;
    app.user(ADA).await;
    let ada = app.signed_in(ADA).await;
    says(&app, 200, "ready").await;
    let name = app.texts("SELECT CAST(current_database() AS TEXT)").await.remove(0);
    let alter = async |change: &str| {
        app.sql(&format!("BEGIN READ WRITE; ALTER DATABASE {name} {change}; COMMIT")).await;
    };
    alter("SET default_transaction_read_only = on").await;
    app.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .await;
    says(&app, 503, "the database is read-only").await;
    assert_eq!(ada.get("/account").await.status, 200, "reading still works");
    let stranger = app.browser();
    let page = stranger.get("/signin").await;
    assert_eq!(page.status, 503, "a flow cannot be written");
    alter("RESET default_transaction_read_only").await;
    // At once, without waiting for a check.
    assert!(app.browser().open("/signin").await.body.contains("name=\"password\""));
    says(&app, 200, "ready").await;
}

/// The error that PostgreSQL reports when a file cannot grow (its Appendix A: `53100`), raised by the server itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_05_a_node_whose_database_server_has_a_full_disk_is_not_ready_until_there_is_room() {
    let app = TestApp::start(Engine::Postgres).await;
    app.user(ADA).await;
    let ada = app.signed_in(ADA).await;
    says(&app, 200, "ready").await;
    app.sql(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON heartbeat EXECUTE FUNCTION full_disk(); \
         CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON flows EXECUTE FUNCTION full_disk()",
    )
    .await;
    says(&app, 503, "the database does not accept writes").await;
    assert!(is_logged("53100: could not extend file"), "the log says why");
    assert_eq!(ada.get("/account").await.status, 200, "reading still works");
    let page = app.browser().get("/signin").await;
    assert_eq!(page.status, 503, "a flow cannot be written");
    assert!(!page.header("retry-after").is_empty());
    app.sql("DROP FUNCTION full_disk() CASCADE").await;
    says(&app, 200, "ready").await;
    assert!(app.browser().open("/signin").await.body.contains("name=\"password\""));
}

/// However many probes arrive at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_05_probes_share_one_check() {
    let wire = Wire::default();
    let tapped = wire.clone();
    let app = TestApp::start_still_with(Engine::Postgres, move |config| {
        config.database_url = Secret::new(tapped.tap(config.database_url.expose()));
    })
    .await;
    let probe = app.browser();
    // After a second, the writes of the start no longer spare a check its own write.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    wire.heard();
    let answers = futures_util::future::join_all((0..60).map(|_| probe.get("/readyz"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{:?}", answers[0].body);
    let heard = wire.heard().statements;
    let checks = heard.iter().filter(|sql| sql.contains("_sqlx_migrations")).count();
    let writes = heard.iter().filter(|sql| sql.starts_with("INSERT INTO heartbeat")).count();
    // More than one only if the probes themselves took more than a second.
    assert!((1..=3).contains(&checks) && writes == checks, "{heard:?}");
    assert!(heard.len() <= 12 * checks, "{heard:?}");
}

/// HTTP/1.1: hanging up cancels the read, but costs no database connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_04_callers_who_hang_up_during_a_read_cost_no_connection() {
    let wire = Wire::default();
    let tapped = wire.clone();
    let app = TestApp::start_still_with(Engine::Postgres, move |config| {
        config.database_connections = 4;
        config.database_url = Secret::new(tapped.tap(config.database_url.expose()));
    })
    .await;
    app.user(ADA).await;
    let ada = app.signed_in(ADA).await;
    // Open as many connections as there may be.
    futures_util::future::join_all((0..16).map(|_| ada.get("/account"))).await;
    let before = wire.connections();
    for _ in 0..10 {
        wire.heard();
        wire.hold(true);
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let ada = ada.clone();
                tokio::spawn(async move { ada.get("/account").await })
            })
            .collect();
        until("the first read", async || !wire.heard().statements.is_empty()).await;
        for caller in callers {
            caller.abort();
            assert!(caller.await.is_err(), "answered while the database is silent");
        }
        // Give the server time to notice that they are gone.
        tokio::time::sleep(Duration::from_millis(100)).await;
        wire.hold(false);
        assert_eq!(ada.get("/account").await.status, 200);
    }
    assert_eq!(wire.connections(), before);
}
