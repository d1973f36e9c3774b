//! HTTP/1.1 over one persistent connection, and no more of it than measuring needs: requests are prepared as bytes, and
//! responses are parsed in the receive buffer. A general HTTP client would cost more than the servers it measures.

use std::fmt::Write;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::loopback::LoopbackAddress;

/// The longest response accepted, in bytes.
const MAX_RESPONSE: usize = 1 << 20;

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The response has another status than the operation expects.
    Status(u16),
    /// The connection broke.
    Io(io::ErrorKind),
    /// The response is not what the operation expects.
    Unexpected(&'static str),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Io(kind) => write!(f, "connection: {kind}"),
            Self::Unexpected(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Failure {}

/// A server to talk to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: LoopbackAddress,
    /// `host:port`, for the Host header.
    pub(crate) authority: String,
}

impl Target {
    /// The server at a loopback address.
    pub(crate) fn new(address: LoopbackAddress) -> Self {
        Self { address, authority: address.address().to_string() }
    }
}

/// One connection.
pub(crate) struct Connection {
    target: Target,
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(target: &Target) -> Result<Self, Failure> {
        let stream = connect(target).await?;
        Ok(Self { target: target.clone(), stream, received: Vec::with_capacity(16 * 1024) })
    }

    /// Replaces the connection with a new one.
    pub(crate) async fn reopen(&mut self) -> Result<(), Failure> {
        self.stream = connect(&self.target).await?;
        self.received.clear();
        Ok(())
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<Response<'_>, Failure> {
        self.received.clear();
        self.stream.write_all(request).await?;
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(Failure::Io(io::ErrorKind::UnexpectedEof));
            }
            match ResponseLayout::of(&self.received)? {
                Some(layout) if self.received.len() >= layout.head + layout.body => {
                    return Ok(Response { bytes: &self.received, layout });
                }
                _ if self.received.len() > MAX_RESPONSE => {
                    return Err(Failure::Unexpected("a response that is too long"));
                }
                _ => {}
            }
        }
    }
}

async fn connect(target: &Target) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(target.address.address()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Where the parts of a response are: the status, and the lengths of head and body in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ResponseLayout {
    status: u16,
    head: usize,
    body: usize,
}

impl ResponseLayout {
    /// `None` until the head is complete.
    fn of(bytes: &[u8]) -> Result<Option<Self>, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; 40];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(bytes).map_err(|_| Failure::Unexpected("not HTTP"))? {
            httparse::Status::Complete(head) => head,
            httparse::Status::Partial => return Ok(None),
        };
        let status = response.code.unwrap_or_default();
        let length =
            response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let body = match length {
            Some(header) => std::str::from_utf8(header.value).ok().and_then(|text| text.parse().ok()),
            None if matches!(status, 204 | 304) => Some(0),
            None => None,
        };
        let body = body.ok_or(Failure::Unexpected("a response without a length"))?;
        Ok(Some(Self { status, head, body }))
    }
}

/// A response, in the connection's buffer.
#[derive(Debug)]
pub(crate) struct Response<'a> {
    bytes: &'a [u8],
    layout: ResponseLayout,
}

impl<'a> Response<'a> {
    /// This response, if it has the expected status.
    pub(crate) fn expect(self, status: u16) -> Result<Self, Failure> {
        if self.layout.status == status { Ok(self) } else { Err(Failure::Status(self.layout.status)) }
    }

    /// The status.
    pub(crate) fn status(&self) -> u16 {
        self.layout.status
    }

    /// The body.
    pub(crate) fn body(&self) -> &'a [u8] {
        &self.bytes[self.layout.head..self.layout.head + self.layout.body]
    }

    /// The body as text.
    pub(crate) fn text(&self) -> Result<&'a str, Failure> {
        std::str::from_utf8(self.body()).map_err(|_| Failure::Unexpected("a body that is not UTF-8"))
    }

    /// All headers, in order.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let head = std::str::from_utf8(&self.bytes[..self.layout.head]).unwrap_or_default();
        head.split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name, value.trim()))
    }

    /// The first header with this name.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The target of a redirect.
    pub(crate) fn location(&self) -> Result<&'a str, Failure> {
        self.header("location").ok_or(Failure::Unexpected("a redirect without a location"))
    }
}

/// Request headers, as names and values.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

/// A GET request.
pub(crate) fn get(target: &Target, path: &str, headers: Headers<'_>) -> Vec<u8> {
    let mut text = head("GET", target, path, headers);
    text.push_str("\r\n");
    text.into_bytes()
}

/// A POST request with a form.
pub(crate) fn post(target: &Target, path: &str, headers: Headers<'_>, fields: &[(&str, &str)]) -> Vec<u8> {
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut text = head("POST", target, path, headers);
    text.push_str("content-type: application/x-www-form-urlencoded\r\n");
    // Writing to a String cannot fail.
    let _ = write!(text, "content-length: {}\r\n\r\n{form}", form.len());
    text.into_bytes()
}

fn head(method: &str, target: &Target, path: &str, headers: Headers<'_>) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", target.authority);
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_only_with_its_last_byte() {
        let whole = b"HTTP/1.1 303 See Other\r\nLocation: /a\r\ncontent-length: 2\r\n\r\nok";
        for cut in 0..whole.len() - 2 {
            assert_eq!(ResponseLayout::of(&whole[..cut]), Ok(None), "{cut}");
        }
        let layout = ResponseLayout::of(whole).unwrap().unwrap();
        assert_eq!((layout.status, layout.head + layout.body), (303, whole.len()));
        let response = Response { bytes: whole, layout };
        assert_eq!((response.location(), response.body()), (Ok("/a"), &b"ok"[..]));
        assert_eq!(response.expect(200).unwrap_err(), Failure::Status(303));
    }

    #[test]
    fn an_answer_without_a_length_is_refused() {
        assert!(ResponseLayout::of(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(ResponseLayout::of(b"SSH-2.0-x\r\n").is_err());
        assert_eq!(
            ResponseLayout::of(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().map(|layout| layout.body),
            Some(0)
        );
    }

    #[test]
    fn a_form_has_the_length_of_its_encoding() {
        let target = Target::new(LoopbackAddress::new("127.0.0.1:8080".parse().unwrap()).unwrap());
        let request = String::from_utf8(post(&target, "/token", &[("a", "b")], &[("x", "ä &")])).unwrap();
        assert!(request.starts_with("POST /token HTTP/1.1\r\nhost: 127.0.0.1:8080\r\na: b\r\n"), "{request}");
        assert!(request.ends_with("content-length: 12\r\n\r\nx=%C3%A4+%26"), "{request}");
    }
}
