//! A connection to a mail server that does not talk for ever.

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
/// The error's text when the server says more than that.
pub(crate) const ENDLESS: &str = "the answer does not end";

/// A TCP connection that breaks when the other side says more than [`MOST`] without a word of ours.
#[derive(Debug)]
pub(crate) struct BoundedStream {
    stream: TcpStream,
    read: usize,
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
                Ok(Ok(stream)) => return Ok(Self { stream, read: 0 }),
                Ok(Err(error)) => failed = error,
                Err(_) => failed = io::Error::new(io::ErrorKind::TimedOut, "connection timed out"),
            }
        }
        Err(failed)
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.read += buffer.filled().len() - before;
        match self.read > MOST {
            true => Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, ENDLESS))),
            false => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.read = 0;
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
