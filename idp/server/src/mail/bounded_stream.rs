//! A connection to a mail server that can say one thing at a time, and not for ever.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// The most that is read before we say something again. The mail library limits a line, but looks only at its end. It is
/// several times its limit for an answer, and much more than a TLS server's part of the handshake.
const MOST: usize = 512 * 1024;
/// How much is read at once. Answers are short.
const CHUNK: usize = 1024;
/// The length of an answer's code. The space and the text behind it may be missing (RFC 5321 section 4.2.1).
const CODE: usize = 3;
const STARTTLS: &[u8] = b"STARTTLS\r\n";
/// The error's text when the server says more than that.
pub(crate) const ENDLESS: &str = "the answer does not end";

/// A TCP connection that breaks when the other side says more than [`MOST`] without a word of ours. Before TLS it
/// completes an answer without a text, which the library does not understand, by the space that precedes a text.
#[derive(Debug)]
pub(crate) struct BoundedStream {
    stream: TcpStream,
    read: usize,
    /// How much of the current line was read.
    column: usize,
    /// What follows `STARTTLS` is no answer in clear text.
    is_tls: bool,
}

impl BoundedStream {
    /// Connects to the first of a server's addresses that answers in time.
    ///
    /// # Errors
    /// What went wrong with the last address.
    pub(crate) async fn connect(server: (&str, u16), patience: Duration) -> io::Result<Self> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in lookup_host(server).await? {
            match timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(Self::of(stream)),
                Ok(Err(error)) => failed = error,
                Err(_) => failed = io::Error::new(io::ErrorKind::TimedOut, "connection timed out"),
            }
        }
        Err(failed)
    }

    fn of(stream: TcpStream) -> Self {
        Self { stream, read: 0, column: 0, is_tls: false }
    }
}

impl AsyncRead for BoundedStream {
    /// Reads no further than the end of a line. The library would keep what follows the answer to `STARTTLS`, and take
    /// it for answers inside TLS, although anybody on the path can have sent it.
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; CHUNK];
        let room = buffer.remaining().min(CHUNK);
        let mut next = ReadBuf::new(&mut bytes[..room]);
        let there = ready!(self.stream.poll_peek(context, &mut next))?;
        if self.column == CODE && !self.is_tls && next.filled().starts_with(b"\r") {
            self.column += 1;
            buffer.put_slice(b" ");
            return Poll::Ready(Ok(()));
        }
        let line = next.filled().iter().position(|byte| *byte == b'\n').map_or(there, |end| end + 1);
        let code = CODE.saturating_sub(self.column);
        let mut line = ReadBuf::new(&mut bytes[..if code > 0 { line.min(code) } else { line }]);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut line))?;
        self.column = if line.filled().ends_with(b"\n") { 0 } else { self.column + line.filled().len() };
        self.read += line.filled().len();
        if self.read > MOST {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, ENDLESS)));
        }
        buffer.put_slice(line.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.read = 0;
        self.is_tls |= bytes == STARTTLS;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncTokioStream for BoundedStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (BoundedStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = BoundedStream::connect(("127.0.0.1", port), Duration::from_secs(20)).await.unwrap();
        (stream, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn fault_18_nothing_is_taken_along_with_the_answer_before_tls() {
        let (mut stream, mut server) = pair().await;
        server.write_all(b"220 go\r\n235 injected\r\n").await.unwrap();
        drop(server);
        let mut read = Vec::new();
        for line in ["220 go\r\n", "235 injected\r\n", ""] {
            let length = BufReader::new(&mut stream).read_until(b'\n', &mut read).await.unwrap();
            assert_eq!(std::str::from_utf8(&read[..length]).unwrap(), line);
            read.clear();
        }
    }

    #[tokio::test]
    async fn fault_20_an_answer_without_a_text_is_completed_before_tls() {
        for (sent, understood) in [
            ("250\r\n", "250 \r\n"),
            ("250-a\r\n250\r\n", "250-a\r\n250 \r\n"),
            ("250-\r\n250 \r\n", "250-\r\n250 \r\n"),
            ("250 ok\r\n221\r\n", "250 ok\r\n221 \r\n"),
            ("a\r\n", "a\r\n"),
        ] {
            for before in ["", "STARTTLS\r\n"] {
                let (mut stream, mut server) = pair().await;
                stream.write_all(before.as_bytes()).await.unwrap();
                server.read_exact(&mut vec![0; before.len()]).await.unwrap();
                // Byte by byte as well: packets end anywhere.
                for byte in sent.as_bytes() {
                    server.write_all(&[*byte]).await.unwrap();
                }
                drop(server);
                let mut read = String::new();
                stream.read_to_string(&mut read).await.unwrap();
                assert_eq!(read, if before.is_empty() { understood } else { sent });
            }
        }
    }

    #[tokio::test]
    async fn fault_04_each_word_of_ours_permits_another_answer() {
        let (mut stream, mut server) = pair().await;
        server.write_all(b"ab").await.unwrap();
        stream.read = MOST;
        assert_eq!(stream.read_u8().await.unwrap_err().to_string(), ENDLESS);
        stream.write_all(b"NOOP\r\n").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'b');
    }
}
