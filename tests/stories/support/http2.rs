//! The same requests over HTTP/2, as a proxy with prior knowledge sends them (RFC 9113 section 3.3).

use axum::body::Bytes;
use axum::http::{HeaderValue, Request};
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest, handshake};
use reqwest::header::HeaderName;

use super::TestApp;
use super::browser::Answer;
use super::raw::{Raw, connect};

/// One connection; its streams run side by side.
#[derive(Clone)]
pub(crate) struct Http2 {
    streams: SendRequest<Bytes>,
    authority: String,
    origin: String,
}

/// A request whose answer has not been read.
pub(crate) struct UnderWay {
    answer: ResponseFuture,
    body: SendStream<Bytes>,
    url: String,
}

impl Http2 {
    pub(crate) async fn connect(app: &TestApp) -> Self {
        Self::connect_from(app, [127, 0, 0, 1]).await
    }

    /// From another address of this machine.
    pub(crate) async fn connect_from(app: &TestApp, source: [u8; 4]) -> Self {
        let (streams, connection) = handshake(connect(app, source).await).await.unwrap();
        tokio::spawn(connection);
        let authority = app.config.issuer.authority().to_owned();
        Self { streams, authority, origin: app.issuer.clone() }
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn send(&self, raw: Raw) -> Answer {
        self.begin(raw, true).await.answer().await
    }

    /// Sends a request; `None` if the stream or connection ends without an answer.
    pub(crate) async fn try_send(&self, raw: Raw) -> Option<Answer> {
        self.begin(raw, true).await.try_answer().await
    }

    /// Sends head and body; `ends` says whether the request ends there.
    pub(crate) async fn begin(&self, raw: Raw, ends: bool) -> UnderWay {
        // Without a host there is no `:authority`.
        let target =
            if raw.host { format!("http://{}{}", self.authority, raw.target) } else { raw.target.clone() };
        let mut request = Request::builder().method(raw.method.as_str()).uri(target).body(()).unwrap();
        for (name, value) in &raw.headers {
            let name = HeaderName::from_bytes(name.to_lowercase().as_bytes()).unwrap();
            request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let mut streams = self.streams.clone().ready().await.unwrap();
        let nothing_more = ends && raw.body.is_empty();
        let (answer, mut body) = streams.send_request(request, nothing_more).unwrap();
        if !nothing_more && !raw.body.is_empty() {
            body.send_data(raw.body.into(), ends).unwrap();
        }
        UnderWay { answer, body, url: format!("{}{}", self.origin, raw.target) }
    }
}

impl UnderWay {
    /// Ends the body and reads the answer.
    pub(crate) async fn finish(mut self, rest: &str) -> Answer {
        self.body.send_data(Bytes::copy_from_slice(rest.as_bytes()), true).unwrap();
        self.answer().await
    }

    /// Reads the answer, however much of the body was sent.
    pub(crate) async fn answer(self) -> Answer {
        let url = self.url.clone();
        self.try_answer().await.unwrap_or_else(|| panic!("no answer to {url}"))
    }

    async fn try_answer(self) -> Option<Answer> {
        let (head, mut body) = self.answer.await.ok()?.into_parts();
        let mut bytes = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
            bytes.extend_from_slice(&piece);
        }
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Some(Answer { status: head.status, headers: head.headers, url: self.url, body })
    }
}
