//! Email over real SMTP: what it contains, who gets it, and when it must not be sent.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use idp_core::secret::Secret;
use idp_server::config::MailTransport;
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::mail_server::{MIA, returned};
use crate::outages::until;
use crate::registration::{ADA, ask, register};
use crate::support::mail::{Security, Sink};
use crate::support::{Engine, PASSWORD, TestApp, is_logged, logged_lines, on_both_engines};

/// The header fields of our emails, all of them.
const HEAD: [&str; 8] =
    ["auto-submitted", "content-type", "date", "from", "message-id", "mime-version", "subject", "to"];

/// A name that is refused today, but may be in an older row.
const STORED: &str = "Ada \u{202e}ecalevoL";

on_both_engines! {
    async fn em_01_em_03_a_hostile_name_adds_nothing_to_a_mail(engine: Engine) {
        let app = TestApp::start(engine).await;
        let names = [
            "Ada\r\nBcc: eve@evil.example",
            "Ada\r\n .\r\nMAIL FROM:<eve@evil.example>\r\n.\r\n",
            "=?utf-8?q?Ada=0d=0aBcc:_eve=40evil.example?=",
            "\"Ada\" <eve@evil.example>, Eve",
            STORED,
            "<b>Ada</b> {{ 7 * 7 }}",
        ];
        // What the form refuses may still be in the database, from an earlier version.
        let is_refused = |name: &str| name == STORED || name.contains('\r');
        for (number, name) in names.into_iter().enumerate() {
            let (browser, address) = (app.browser(), format!("ada{number}@example.org"));
            let page = browser.open("/register").await;
            let ask = async |name: &str| {
                let fields = [("name", name), ("email", &address), ("password", PASSWORD), ("password_confirm", PASSWORD)];
                browser.submit(&page, "/register", &fields).await
            };
            if is_refused(name) {
                assert_eq!(ask(name).await.status, 422);
            }
            let answer = ask(if is_refused(name) { "Ada" } else { name }).await;
            assert_eq!(answer.status, 200, "{name:?}: {}", answer.text());
            let activation = app.sink.mail_to(&address, 1).await;
            if is_refused(name) {
                app.sql(&format!("UPDATE registrations SET name = '{name}' WHERE email = '{address}'")).await;
            }
            let check = browser.open(&activation.link()).await;
            browser.submit(&check, "/activate", &[]).await;
            for number in [1, 2] {
                let mail = app.sink.mail_to(&address, number).await;
                assert_eq!(mail.recipients, std::slice::from_ref(&address));
                assert_eq!(mail.header("To").len(), 1, "{}", mail.raw);
                assert!(mail.header("To")[0].contains(&address), "{}", mail.raw);
                let (head, _) = mail.raw.split_once("\r\n\r\n").unwrap();
                let mut names: Vec<_> = head.lines().filter(|line| !line.starts_with([' ', '\t']))
                    .map(|line| line.split(':').next().unwrap().to_lowercase()).collect();
                names.sort();
                assert_eq!(names, HEAD, "{head}");
                assert!(!mail.html.contains("<b>Ada") && !mail.html.contains("; 49"), "{}", mail.html);
                assert!(!mail.text.contains('\u{202e}'), "{}", mail.text);
            }
        }
        assert_eq!(app.sink.count(), 2 * names.len());
    }

    async fn text_and_html_say_the_same(engine: Engine) {
        let app = TestApp::start(engine).await;
        register(&app.browser(), ADA, PASSWORD).await;
        let mail = app.sink.mail_to(ADA, 1).await;
        assert!(mail.html.contains(&mail.link()) && mail.html.contains(&mail.code()), "{}", mail.html);
        assert_eq!(mail.text.matches("http").count(), 1, "{}", mail.text);
        for remote in ["<img", "<link", "<script", "src=", "@import", "url("] {
            assert!(!mail.html.contains(remote), "{remote}");
        }
        assert_eq!(mail.header("From"), ["Lighthouse <id@lighthouse.example>"]);
        assert_eq!(mail.header("Auto-Submitted"), ["auto-generated"]);
    }

    async fn em_04_a_server_without_valid_tls_gets_no_password_and_the_mail_waits(engine: Engine) {
        let (tls, _) = certificate("127.0.0.1");
        let (other, _) = certificate("other.example");
        for (security, scheme, query) in [
            // Somebody stripped the STARTTLS offer.
            (Security::None, "smtp", "?tls=required"),
            // No known authority signed the certificate.
            (Security::StartTls(tls.clone()), "smtp", "?tls=required"),
            (Security::Implicit(tls), "smtps", ""),
            (Security::Implicit(other), "smtps", ""),
        ] {
            let sink = Sink::secured(security).await;
            let url = format!("{scheme}://canary-user:canary-word@127.0.0.1:{}{query}", sink.port());
            let app = TestApp::start_with(engine, |config| {
                config.mail.transport = MailTransport::Smtp(Secret::new(url));
            }).await;
            let answer = ask(&app.browser(), ADA, PASSWORD).await;
            assert_eq!(answer.status, 303, "registering does not wait for the mail server");
            let server = format!("the mail server 127.0.0.1:{}", sink.port());
            until("the log line", async || is_logged(&server)).await;
            returned(&app, "attempts = 0", 1).await;
            assert_eq!((sink.count(), app.count("outbox", "1 = 1").await), (0, 1), "{scheme}{query}");
            assert!(!sink.said().iter().any(|line| line.to_uppercase().starts_with("AUTH")), "{:?}", sink.said());
        }
        assert!(is_logged("mail not handed over; all mail waits until this is mended") && !is_logged("canary-word"));
    }
}

/// Tells a second run of this program where the certificate that it trusts is.
const TRUSTED: &str = "IDP_STORY_CERTIFICATE";

#[test]
fn mail_leaves_over_starttls_and_over_implicit_tls_with_a_password() {
    let name = "mail::mail_leaves_over_starttls_and_over_implicit_tls_with_a_password";
    where_a_certificate_is_trusted(name, send_over_tls);
}

#[test]
fn fault_20_a_certificate_that_is_not_trusted_is_one_error_and_mail_leaves_once_it_is_replaced() {
    let name =
        "mail::fault_20_a_certificate_that_is_not_trusted_is_one_error_and_mail_leaves_once_it_is_replaced";
    where_a_certificate_is_trusted(name, replace_the_certificate);
}

/// A program reads its trusted certificates when it starts, so the story `name` goes on in a second run of this one.
fn where_a_certificate_is_trusted(name: &str, story: impl AsyncFnOnce(TlsAcceptor)) {
    if let Some(folder) = std::env::var_os(TRUSTED) {
        let trusted = trusted(Path::new(&folder));
        return tokio::runtime::Runtime::new().unwrap().block_on(story(trusted));
    }
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = signed("127.0.0.1");
    std::fs::write(folder.path().join("certificate.pem"), certificate.to_pem().unwrap()).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    let run = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(TRUSTED, folder.path())
        .env("SSL_CERT_FILE", folder.path().join("certificate.pem"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

/// A server with the certificate that this program trusts.
fn trusted(folder: &Path) -> TlsAcceptor {
    let certificate = X509::from_pem(&std::fs::read(folder.join("certificate.pem")).unwrap()).unwrap();
    let key = PKey::private_key_from_pem(&std::fs::read(folder.join("key.pem")).unwrap()).unwrap();
    acceptor(&certificate, &key)
}

async fn send_over_tls(tls: TlsAcceptor) {
    for (security, scheme) in [(Security::StartTls(tls.clone()), "smtp"), (Security::Implicit(tls), "smtps")]
    {
        let sink = Sink::secured(security).await;
        let query = if scheme == "smtp" { "?tls=required" } else { "" };
        let url = format!("{scheme}://ada%40lighthouse:pass%20word@127.0.0.1:{}{query}", sink.port());
        let app = TestApp::start_with(Engine::Sqlite, |config| {
            config.mail.transport = MailTransport::Smtp(Secret::new(url));
        })
        .await;
        ask(&app.browser(), ADA, PASSWORD).await;
        assert_eq!(sink.mail_to(ADA, 1).await.subject, "Activate your account");
        let said = sink.said();
        let position = |start: &str| said.iter().position(|line| line.starts_with(start));
        assert_eq!(position("STARTTLS").is_some(), scheme == "smtp", "{said:?}");
        assert!(position("STARTTLS") < position("AUTH PLAIN"), "{said:?}");
        // RFC 4616: no authorization identity, the user, the password.
        assert!(said.contains(&"AUTH PLAIN AGFkYUBsaWdodGhvdXNlAHBhc3Mgd29yZA==".to_owned()), "{said:?}");
    }
}

async fn replace_the_certificate(trusted: TlsAcceptor) {
    let (not_trusted, _) = certificate("127.0.0.1");
    let (of_another, _) = certificate("other.example");
    for (now, later, url, step) in [
        (
            Security::StartTls(not_trusted),
            Security::StartTls(trusted.clone()),
            "smtp://127.0.0.1:PORT?tls=required",
            "STARTTLS",
        ),
        (Security::Implicit(of_another), Security::Implicit(trusted), "smtps://127.0.0.1:PORT", "connection"),
    ] {
        let sink = Sink::secured(now).await;
        let url = url.replace("PORT", &sink.port().to_string());
        let app = TestApp::start_with(Engine::Sqlite, |config| {
            config.mail.transport = MailTransport::Smtp(Secret::new(url));
        })
        .await;
        ask(&app.browser(), ADA, PASSWORD).await;
        until("the first try", async || sink.connections() == 1).await;
        returned(&app, "attempts = 0", 1).await;
        app.wait(Duration::from_secs(11));
        ask(&app.browser(), MIA, PASSWORD).await;
        until("the second try", async || sink.connections() == 2).await;
        returned(&app, "attempts = 0", 2).await;
        let mut errors = logged_lines(&format!("no TLS with the mail server 127.0.0.1:{}", sink.port()));
        errors.retain(|line| line.contains(" ERROR ") || line.contains(" WARN "));
        assert!(errors.len() == 1 && errors[0].contains(" ERROR "), "once: {errors:?}");
        assert!(errors[0].contains(&format!("step=\"{step}\" class=\"tls\"")), "{errors:?}");
        assert!(errors[0].contains("invalid peer certificate"), "{errors:?}");
        sink.secure(later);
        app.wait(Duration::from_secs(61));
        sink.mail_to(ADA, 1).await;
        sink.mail_to(MIA, 1).await;
        let again = format!("the mail server takes mail again server=\"127.0.0.1:{}\"", sink.port());
        until("the line about the end", async || is_logged(&again)).await;
    }
}

fn certificate(name: &str) -> (TlsAcceptor, X509) {
    let (certificate, key) = signed(name);
    (acceptor(&certificate, &key), certificate)
}

/// A self-signed certificate for `name`, and its key.
pub(crate) fn signed(name: &str) -> (X509, PKey<Private>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    let mut names = SubjectAlternativeName::new();
    match name.parse::<std::net::IpAddr>() {
        Ok(_) => names.ip(name),
        Err(_) => names.dns(name),
    };
    let names = names.build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.append_extension(BasicConstraints::new().critical().build().unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build(), key)
}

fn acceptor(certificate: &X509, key: &PKey<Private>) -> TlsAcceptor {
    let chain = vec![CertificateDer::from(certificate.to_der().unwrap())];
    let key = PrivateKeyDer::try_from(key.private_key_to_pkcs8().unwrap()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}
