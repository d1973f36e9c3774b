//! Listens on the wire between the product and PostgreSQL: which statements a request costs, and how many round trips.
//! It can also hold all traffic, as if the network had fallen silent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

/// What was sent to the server since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Every statement that was executed, in order.
    pub(crate) statements: Vec<String>,
    /// How often the product waited for the server.
    pub(crate) round_trips: usize,
}

/// A listening proxy. It passes everything on, unless it is held.
#[derive(Clone, Default)]
pub(crate) struct Wire {
    heard: Arc<Mutex<Heard>>,
    held: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
}

impl Wire {
    /// Puts itself in front of the database at this URL; returns the URL to use instead.
    pub(crate) fn tap(&self, database_url: &str) -> String {
        let mut url = url::Url::parse(database_url).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        url.query_pairs_mut().append_pair("sslmode", "disable");
        let (listener, wire) = (TcpListener::from_std(listener).unwrap(), self.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                wire.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(pass_on(client, server, wire.clone()));
            }
        });
        url.to_string()
    }

    /// What was heard since the last look.
    pub(crate) fn heard(&self) -> Heard {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// While `held`, nothing reaches the server.
    pub(crate) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
    }

    async fn let_through(&self) {
        while self.held.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn pass_on(client: TcpStream, server: TcpStream, wire: Wire) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move { drop(copy(&mut from_server, &mut to_client).await) });
    // The first message has no type: version and parameters.
    let mut next = message(&mut from_client, Vec::new()).await;
    let mut prepared = HashMap::new();
    while let Some(bytes) = next {
        note(&bytes, &mut prepared, &mut wire.heard.lock().unwrap());
        wire.let_through().await;
        to_server.write_all(&bytes).await.unwrap();
        next = match from_client.read_u8().await {
            Ok(kind) => message(&mut from_client, vec![kind]).await,
            Err(_) => None,
        };
    }
    answers.abort();
}

/// Reads a message after its `head`: the length, which includes itself, and the rest.
async fn message(from: &mut (impl AsyncRead + Unpin), head: Vec<u8>) -> Option<Vec<u8>> {
    let length = from.read_u32().await.ok()?;
    let mut bytes = [head, length.to_be_bytes().to_vec()].concat();
    let start = bytes.len();
    bytes.resize(start + length as usize - 4, 0);
    from.read_exact(&mut bytes[start..]).await.ok()?;
    Some(bytes)
}

/// Parse names a statement, Bind chooses one; Sync and Query make the server answer.
fn note(bytes: &[u8], prepared: &mut HashMap<String, String>, heard: &mut Heard) {
    let kind = bytes[0];
    let texts = || bytes[5..].split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
    match kind {
        b'P' => {
            let mut texts = texts();
            prepared.insert(texts.next().unwrap(), texts.next().unwrap());
        }
        b'B' => heard.statements.push(prepared[&texts().nth(1).unwrap()].clone()),
        b'Q' => heard.statements.push(texts().next().unwrap()),
        _ => {}
    }
    heard.round_trips += usize::from(matches!(kind, b'S' | b'Q'));
}
