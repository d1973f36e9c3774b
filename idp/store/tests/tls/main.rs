//! How connections to PostgreSQL are protected, over real sockets: with a server that refuses TLS and with a real one
//! that offers it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken test must say so at once"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use idp_store::Store;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// `0.0.0.0` leads to this machine, but the rule treats it as remote, so the rule for remote servers can be tested
/// here.
const BEYOND: &str = "0.0.0.0";

async fn open(url: &str) -> Result<(), String> {
    let store = Store::open(url, 1).await.map_err(|error| error.to_string())?;
    store.close().await;
    Ok(())
}

/// A server that refuses TLS and asks for a clear-text password. It serves one connection.
struct Listener {
    port: u16,
    heard: JoinHandle<Vec<u8>>,
}

impl Listener {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { port, heard: std::thread::spawn(move || hear(listener.accept().unwrap().0)) }
    }

    /// Everything it received in clear text.
    fn heard(self) -> String {
        // If nobody has connected, this does.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        String::from_utf8_lossy(&self.heard.join().unwrap()).into_owned()
    }
}

fn hear(mut socket: TcpStream) -> Vec<u8> {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    const CLEARTEXT_PASSWORD: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];
    let (mut heard, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = socket.read(&mut part) {
        let answer: &[u8] = if part[..length] == SSL_REQUEST { b"N" } else { &CLEARTEXT_PASSWORD };
        if part[..length] != SSL_REQUEST {
            heard.extend_from_slice(&part[..length]);
        }
        if part[0] == b'p' || socket.write_all(answer).is_err() {
            break;
        }
    }
    heard
}

#[tokio::test]
async fn fault_18_a_server_that_refuses_tls_gets_no_password() {
    for (host, query) in [
        (BEYOND, ""),
        (BEYOND, "?sslmode=verify-ca"),
        (BEYOND, "?sslmode=require"),
        ("127.0.0.1", "?sslmode=verify-full"),
        ("localhost", "?sslmode=require"),
    ] {
        let listener = Listener::start();
        let url = format!("postgres://ada:hunter2@{host}:{}/idp{query}", listener.port);
        let refusal = open(&url).await.unwrap_err();
        let server = format!("no protected connection to {host}:{}: it refuses TLS", listener.port);
        assert!(refusal.starts_with(&server) && refusal.contains("write sslmode=disable"), "{refusal}");
        assert_eq!(listener.heard(), "", "{url}");
    }
    for query in ["?sslmode=prefer", "?sslmode=allow"] {
        let listener = Listener::start();
        let refusal =
            open(&format!("postgres://ada:hunter2@{BEYOND}:{}/idp{query}", listener.port)).await.unwrap_err();
        assert!(refusal.contains("sends the password in clear text"), "{refusal}");
        assert_eq!(listener.heard(), "");
    }
}

#[tokio::test]
async fn fault_18_a_password_is_sent_without_tls_only_on_this_machine_or_if_the_url_says_so() {
    for (host, query) in [
        ("127.0.0.1", ""),
        ("LOCALHOST", ""),
        ("127.0.0.1", "?sslmode=disable"),
        (BEYOND, "?sslmode=disable"),
    ] {
        let listener = Listener::start();
        open(&format!("postgres://ada:hunter2@{host}:{}/idp{query}", listener.port)).await.unwrap_err();
        let heard = listener.heard();
        assert!(heard.contains("ada") && heard.contains("hunter2"), "{host}{query}: {heard}");
    }
}

/// A real server with a certificate for `localhost`, removed with its test.
struct Server {
    port: u16,
    folder: PathBuf,
    keeper: Child,
}

impl Server {
    fn start() -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        // The server refuses to run as root.
        let mut command = match Path::new("/proc/self").metadata().unwrap().uid() {
            0 => {
                let mut command = Command::new("runuser");
                command.args(["--user", "postgres", "--", "sh"]);
                command
            }
            _ => Command::new("sh"),
        };
        command
            .args(["-c", include_str!("keep-server.sh"), "keep-server"])
            .arg(programs())
            .arg(port.to_string());
        let mut keeper =
            command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert!(!said.is_empty(), "PostgreSQL did not start; what it said is above");
        Self { port, folder: PathBuf::from(said.trim_end()), keeper }
    }

    /// Makes the server present another certificate.
    async fn show(&self, name: &str) {
        let url = format!("postgres://ada:hunter2@localhost:{}/postgres?sslmode=require", self.port);
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let file = |kind| self.folder.join(format!("{name}.{kind}")).display().to_string();
        for (setting, file) in [("ssl_cert_file", file("pem")), ("ssl_key_file", file("key"))] {
            let set = format!("ALTER SYSTEM SET {setting} = '{file}'");
            connection.execute(AssertSqlSafe(set)).await.unwrap();
        }
        connection.execute("SELECT pg_reload_conf()").await.unwrap();
    }

    async fn open(&self, host: &str, query: &str) -> Result<(), String> {
        let query = query.replace("FOLDER", &self.folder.display().to_string());
        open(&format!("postgres://ada:hunter2@{host}:{}/postgres?{query}", self.port)).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The program folder of the newest installed server.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    newest.map_or_else(
        || {
            let path = std::env::var_os("PATH").unwrap();
            let found = std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file());
            found.expect("run `cargo xtask test`, which installs PostgreSQL").canonicalize().unwrap()
        },
        |version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")),
    )
}

#[tokio::test]
async fn fault_18_a_real_server_is_verified_as_the_url_says() {
    let server = Server::start();
    let authority = "sslrootcert=FOLDER/ca.pem";
    for (host, query) in [
        ("localhost", &format!("sslmode=verify-full&{authority}")[..]),
        ("LOCALHOST.", &format!("sslmode=verify-full&{authority}")),
        ("127.0.0.1", &format!("sslmode=verify-ca&{authority}")),
        (BEYOND, &format!("sslmode=verify-ca&{authority}")),
        (BEYOND, &format!("sslmode=require&{authority}")),
        (BEYOND, "sslmode=require"),
        ("localhost", ""),
    ] {
        assert_eq!(server.open(host, query).await, Ok(()), "{host} {query}");
    }
    let unknown = "its certificate is not signed by an authority that is known here; name the file with the authority's \
        certificate in database.url, with sslrootcert=FILE";
    for (host, query, why) in [
        ("localhost", "sslmode=verify-full", unknown),
        ("localhost", "sslmode=verify-full&sslrootcert=FOLDER/other.pem", unknown),
        (BEYOND, "", unknown),
        // As in libpq: a named authority is checked, whatever the driver makes of it.
        (BEYOND, "sslmode=require&sslrootcert=FOLDER/other.pem", unknown),
        (BEYOND, authority, "name the host in database.url as the certificate does"),
        (
            "127.0.0.1",
            &format!("sslmode=verify-full&{authority}"),
            "name the host in database.url as the certificate does",
        ),
    ] {
        let refusal = server.open(host, query).await.unwrap_err();
        let begin = format!("no protected connection to {host}:{}: ", server.port);
        assert!(refusal.starts_with(&begin) && refusal.contains(why), "{host} {query}: {refusal}");
    }
    // A server with a self-signed certificate, and one that presents an authority's.
    for (name, works) in [("self", true), ("ca", false)] {
        server.show(name).await;
        let query = format!("sslmode=verify-full&sslrootcert=FOLDER/{name}.pem");
        let mut outcome = server.open("localhost", &query).await;
        for _ in 0..200 {
            // The server reloads its settings a moment later.
            match &outcome {
                Err(why) if why.contains(unknown) => tokio::time::sleep(Duration::from_millis(50)).await,
                _ => break,
            }
            outcome = server.open("localhost", &query).await;
        }
        match outcome {
            Ok(()) => assert!(works, "{name}"),
            Err(why) => {
                assert!(!works && why.contains("its certificate is that of an authority"), "{name}: {why}")
            }
        }
    }
    let refusal = server.open(BEYOND, "sslmode=disable").await.unwrap_err();
    assert!(
        refusal.contains("refused the connection: no pg_hba.conf entry"),
        "the server takes nobody without TLS: {refusal}"
    );
}
