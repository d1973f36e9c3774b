//! Requests written byte by byte: what no well-behaved client sends, and what a browser sends to an https issuer whose
//! TLS is terminated in front of the product.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::TestApp;
use super::browser::Answer;

/// The content type of a form.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// One request. `Host` is the product's unless it is set.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    line: Vec<u8>,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    /// Whether the product's own `Host` is added.
    pub(super) host: bool,
    source: [u8; 4],
}

impl Raw {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let line = format!("{method} {target} HTTP/1.1").into_bytes();
        let (method, target) = (method.to_owned(), target.to_owned());
        Self {
            line,
            method,
            target,
            headers: Vec::new(),
            body: Vec::new(),
            host: true,
            source: [127, 0, 0, 1],
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// Adds a header, even one that is already there.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// As HTTP/1.0.
    pub(crate) fn http_1_0(mut self) -> Self {
        self.line = format!("{} {} HTTP/1.0", self.method, self.target).into_bytes();
        self
    }

    /// From another address of this machine.
    pub(crate) fn coming_from(self, source: [u8; 4]) -> Self {
        Self { source, ..self }
    }

    /// With these `Host` headers, none, one or several.
    pub(crate) fn hosts(mut self, hosts: &[&str]) -> Self {
        self.host = false;
        hosts.iter().fold(self, |raw, host| raw.header("Host", host))
    }

    /// A body whose length is announced.
    pub(crate) fn body(mut self, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        let length = self.body.len().to_string();
        self.header("Content-Type", content_type).header("Content-Length", length)
    }

    /// A form.
    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Self {
        self.body(FORM, encode(fields))
    }

    /// The first chunk of a body that never ends.
    pub(crate) fn endless(mut self, content_type: &str, chunk: &[u8]) -> Self {
        self.body = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
        self.header("Content-Type", content_type).header("Transfer-Encoding", "chunked")
    }

    /// A body in one chunk. `Transfer-Encoding` is not added.
    pub(crate) fn chunks(self, body: &[u8]) -> Self {
        let body = [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat();
        Self { body, ..self }
    }

    /// A body that is announced and never sent.
    pub(crate) fn announced(self, content_type: &str, length: usize) -> Self {
        self.header("Content-Type", content_type).header("Content-Length", length.to_string())
    }

    /// Sends it, and hangs up before there is an answer.
    pub(crate) async fn send_and_hang_up(self, app: &TestApp) {
        let mut socket = TcpStream::connect(app.config.listen[0]).await.unwrap();
        socket.write_all(&self.bytes(app)).await.unwrap();
        // Long enough for the request to be read, too short for two password hashes.
        tokio::time::sleep(Duration::from_millis(15)).await;
    }

    /// Sends it, and reads until the product closes the connection.
    pub(crate) async fn send(self, app: &TestApp) -> Answer {
        let mut socket = connect(app, self.source).await;
        socket.write_all(&self.bytes(app)).await.unwrap();
        let mut answer = Vec::new();
        // Not a limit on the product: a story that hangs should say where.
        let read = tokio::time::timeout(Duration::from_secs(60), socket.read_to_end(&mut answer)).await;
        let read = read.unwrap_or_else(|_| panic!("no end of the answer to {self:?}"));
        assert!(read.is_ok() || !answer.is_empty(), "no answer to {self:?}: {read:?}");
        parse(app.url(&self.target), &answer)
    }

    fn bytes(&self, app: &TestApp) -> Vec<u8> {
        let mut bytes = [&self.line[..], b"\r\nConnection: close\r\n"].concat();
        if self.host {
            bytes.extend(format!("Host: {}\r\n", app.config.issuer.authority()).into_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend([b"\r\n", &self.body[..]].concat());
        bytes
    }
}

/// A connection to the product from an address of this machine.
pub(crate) async fn connect(app: &TestApp, source: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    socket.connect(app.config.listen[0]).await.unwrap()
}

pub(crate) fn encode(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn parse(url: String, bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("{url}: {}", String::from_utf8_lossy(bytes)));
    let mut lines = std::str::from_utf8(&bytes[..end]).unwrap().split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    let body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
    Answer { status: StatusCode::from_bytes(status.as_bytes()).unwrap(), headers, url, body }
}

/// A browser whose cookies a story can read and change.
#[derive(Clone)]
pub(crate) struct RawBrowser<'a> {
    app: &'a TestApp,
    pub(crate) cookies: BTreeMap<String, String>,
    /// Every answer it received.
    pub(crate) seen: Vec<Answer>,
}

impl<'a> RawBrowser<'a> {
    pub(crate) fn new(app: &'a TestApp) -> Self {
        Self { app, cookies: BTreeMap::new(), seen: Vec::new() }
    }

    /// The `Cookie` header of its requests.
    pub(crate) fn cookie(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// Sends a request with its cookies and keeps those that come back.
    pub(crate) async fn send(&mut self, raw: Raw) -> Answer {
        let raw = if self.cookies.is_empty() { raw } else { raw.header("Cookie", self.cookie()) };
        let answer = raw.send(self.app).await;
        for cookie in answer.cookies() {
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            match cookie.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        self.seen.push(answer.clone());
        answer
    }

    /// Opens a page and follows redirects within the product.
    pub(crate) async fn open(&mut self, target: &str) -> Answer {
        let answer = self.send(Raw::get(target)).await;
        self.follow(answer).await
    }

    /// Sends the form of a page with its hidden fields, and follows redirects.
    pub(crate) async fn submit(&mut self, page: &Answer, action: &str, fields: &[(&str, &str)]) -> Answer {
        let form = page.form(action);
        let hidden = form.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all: Vec<(&str, &str)> = hidden.chain(fields.iter().copied()).collect();
        let answer = self.send(Raw::post(&form.action).form(&all)).await;
        self.follow(answer).await
    }

    async fn follow(&mut self, mut answer: Answer) -> Answer {
        for _ in 0..10 {
            match answer.location() {
                Some(to) if to.starts_with('/') => answer = self.send(Raw::get(&to)).await,
                _ => return answer,
            }
        }
        panic!("too many redirects");
    }

    /// Signs in with the password of the stories.
    pub(crate) async fn sign_in(&mut self, email: &str) -> Answer {
        let page = self.open("/signin").await;
        self.submit(&page, "/login", &[("email", email), ("password", super::PASSWORD)]).await
    }
}

impl Answer {
    /// The CSRF token of the forms on this page.
    pub(crate) fn csrf(&self) -> String {
        let rest =
            self.body.split_once("name=\"csrf\" value=\"").unwrap_or_else(|| panic!("{}", self.body)).1;
        rest.split('"').next().unwrap().to_owned()
    }

    /// An error of an endpoint that clients call if `json`, otherwise an error page.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, json: bool, what: &str) {
        assert_eq!(self.status, status, "{what}: {} {}", self.url, self.body);
        assert!(self.header("cache-control").contains("no-store"), "{what}: {}", self.url);
        assert_eq!(self.location(), None, "{what}: {}", self.url);
        let kind = self.header("content-type");
        match json {
            true => {
                assert_eq!(kind, "application/json", "{what}: {}", self.url);
                assert!(self.json()["error"].is_string(), "{what}: {}", self.body);
            }
            false => {
                assert_eq!(kind, "text/html; charset=utf-8", "{what}: {}", self.url);
                assert!(self.reason().is_some(), "{what}: {} {}", self.url, self.body);
            }
        }
    }
}
