//! A conversation with the mail server. Each step has a time limit, and a failure tells the step it happened in.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use idp_core::mail_server::{SmtpStep, Trouble, loggable, may_be_crowded};
use idp_core::text::Excerpt;
use lettre::address::Envelope;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Tls, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::{Response, Severity};
use lettre::{Address, Message};
use tokio::time::{Instant, timeout};

use crate::mail::availability::{AT_ONCE, Availability, Open};
use crate::mail::bounded_stream::BoundedStream;

/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait for a connection to one of the server's addresses, before the next one is tried.
const PATIENCE_PER_ADDRESS: Duration = Duration::from_secs(5);
// Otherwise an address that never answers would use up the time of those after it.
const _: () = assert!(PATIENCE_PER_ADDRESS.as_secs() * 3 <= PATIENCE.as_secs());
/// How long to wait until the server has taken responsibility for a mail. It may check the mail first; whoever gives up
/// too early sends it twice (RFC 5321 section 4.5.3.2.6).
const PATIENCE_AT_END: Duration = Duration::from_secs(60);
/// How long to wait for a goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long an unused connection is kept open. Servers close theirs after minutes.
const IDLE: Duration = Duration::from_secs(30);

/// No mail takes longer: an old connection that is of no more use, a new one, and four commands.
pub(crate) const LONGEST: Duration =
    PATIENCE.saturating_mul(8).saturating_add(PATIENCE_AT_END).saturating_add(GOODBYE.saturating_mul(2));

/// The mail server.
pub(crate) struct MailServer {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Tls,
    /// How we introduce ourselves.
    pub(crate) hello: ClientId,
    pub(crate) credentials: Option<Credentials>,
    /// Host and port for the log.
    pub(crate) shown: String,
    pub(crate) availability: Availability,
    pub(crate) idle: Mutex<Vec<(Connection, Instant)>>,
}

/// A connection that the server has taken.
pub(crate) struct Connection {
    smtp: AsyncSmtpConnection,
    _open: Open,
}

/// What went wrong, and when.
#[derive(Debug)]
pub(crate) struct SmtpFailure {
    pub(crate) step: SmtpStep,
    pub(crate) trouble: Trouble,
    /// What the log may have of the server's words, or the system's.
    why: String,
    /// How many other connections of ours the server may have counted when it did not take this one.
    pub(crate) others: usize,
}

impl SmtpFailure {
    fn new(step: SmtpStep, trouble: Trouble, why: String) -> Self {
        Self { step, trouble, why, others: 0 }
    }

    /// Whether the server refused to begin, perhaps only because other connections of ours were open.
    pub(crate) fn is_crowded(&self) -> bool {
        self.others > 0 && may_be_crowded(self.step, self.trouble)
    }

    fn of(step: SmtpStep, error: &smtp::Error, recipient: &str) -> Self {
        let mut source = std::error::Error::source(error);
        while let Some(deeper) = source.and_then(std::error::Error::source) {
            source = Some(deeper);
        }
        let why = source.map_or_else(|| error.to_string(), ToString::to_string);
        if let Some(code) = error.status() {
            return Self::new(step, Trouble::reply(code.into(), &why), loggable(step, &why, recipient));
        }
        let broken = stream_error(error);
        let (trouble, why) = match why.as_str() {
            // The library's words for a connection that was closed instead of an answer.
            "incomplete response" => (Trouble::Silence, "the connection was closed".to_owned()),
            // To the library, a certificate that is not trusted is a failed connection.
            _ if broken.is_some_and(is_of_tls) => (Trouble::Tls, why),
            _ if error.is_tls() || error.is_client() && step == SmtpStep::StartTls => (Trouble::Tls, why),
            // An answer without end, or not in UTF-8.
            _ if broken.is_some_and(|broken| broken.kind() == io::ErrorKind::InvalidData) => {
                (Trouble::Protocol, why)
            }
            // The library quotes the answer here, and the answer may quote the mail.
            _ if error.is_response() => (Trouble::Protocol, "the answer is not one of SMTP".to_owned()),
            _ if error.is_client() => (Trouble::Protocol, why),
            _ => (Trouble::Silence, why),
        };
        Self::new(step, trouble, Excerpt::new(why, 300).to_string())
    }

    fn unreachable(error: &io::Error) -> Self {
        let why = Excerpt::new(error.to_string(), 300).to_string();
        Self::new(SmtpStep::Connection, Trouble::Silence, why)
    }

    /// An answer that is no refusal, but not the one that was due either.
    fn unexpected(step: SmtpStep, response: &Response) -> Self {
        let why = format!("unexpected answer {}", response.code());
        Self::new(step, Trouble::Protocol, why)
    }
}

impl fmt::Display for SmtpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trouble.code() {
            Some(code) if self.why.is_empty() => write!(f, "{code}"),
            Some(code) => write!(f, "{code} {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// The error of the stream below the library's.
fn stream_error(error: &smtp::Error) -> Option<&io::Error> {
    let below = std::iter::successors(std::error::Error::source(error), |error| error.source());
    below.filter_map(|error| error.downcast_ref()).next()
}

fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// Takes one step, within its time. The log must not name the recipient.
async fn step<T>(
    step: SmtpStep,
    recipient: &str,
    patience: Duration,
    work: impl Future<Output = Result<T, smtp::Error>>,
) -> Result<T, SmtpFailure> {
    within(step, patience, async { work.await.map_err(|error| SmtpFailure::of(step, &error, recipient)) })
        .await
}

async fn within<T>(
    step: SmtpStep,
    patience: Duration,
    work: impl Future<Output = Result<T, SmtpFailure>>,
) -> Result<T, SmtpFailure> {
    let why = || format!("no answer in {} seconds", patience.as_secs());
    let silent = |_| Err(SmtpFailure::new(step, Trouble::Silence, why()));
    timeout(patience, work).await.unwrap_or_else(silent)
}

/// The same for a command whose answer must be 2yz, or 3yz for `DATA`.
async fn answered(
    at: SmtpStep,
    recipient: &str,
    patience: Duration,
    due: Severity,
    work: impl Future<Output = Result<Response, smtp::Error>>,
) -> Result<(), SmtpFailure> {
    let response = step(at, recipient, patience, work).await?;
    match response.code().severity == due {
        true => Ok(()),
        false => Err(SmtpFailure::unexpected(at, &response)),
    }
}

impl MailServer {
    /// Hands a mail over. `Ok`: the server has taken responsibility for it.
    pub(crate) async fn send(&self, mail: &Message) -> Result<(), SmtpFailure> {
        let bytes = mail.formatted();
        let recipient = mail.envelope().to().first().map_or("", AsRef::as_ref);
        if let Some(mut old) = self.take_idle() {
            let done = converse(&mut old.smtp, mail.envelope(), &bytes).await;
            match self.put_back(old, done).await {
                // The server has closed the connection since it was last used, or takes no more mail on it. Whether it
                // takes this mail, a new one shows.
                Err(failure) if failure.step == SmtpStep::Sender => {}
                done => return done,
            }
        }
        let mut fresh = self.connect(recipient).await?;
        let done = converse(&mut fresh.smtp, mail.envelope(), &bytes).await;
        self.put_back(fresh, done).await
    }

    /// Opens a connection. A refusal is judged while this one and the others are counted: a moment later the mail that
    /// was one too many for the server may be done.
    async fn connect(&self, recipient: &str) -> Result<Connection, SmtpFailure> {
        let mut open = self.availability.attempt();
        match self.begin(recipient).await {
            Ok(smtp) => {
                open.taken();
                Ok(Connection { smtp, _open: open })
            }
            Err(failure) => Err(SmtpFailure { others: open.others(), ..failure }),
        }
    }

    /// Everything before the first mail.
    async fn begin(&self, recipient: &str) -> Result<AsyncSmtpConnection, SmtpFailure> {
        let mut connection = match &self.tls {
            Tls::Wrapper(parameters) => self.open_tls(parameters.clone(), recipient).await?,
            Tls::None | Tls::Opportunistic(_) | Tls::Required(_) => self.open(recipient).await?,
        };
        let upgrade = match &self.tls {
            Tls::Required(parameters) => Some(parameters),
            Tls::Opportunistic(parameters) if connection.can_starttls() => Some(parameters),
            Tls::None | Tls::Opportunistic(_) | Tls::Wrapper(_) => None,
        };
        if let Some(parameters) = upgrade {
            let upgraded = connection.starttls(parameters.clone(), &self.hello);
            step(SmtpStep::StartTls, recipient, PATIENCE, upgraded).await?;
        }
        if let Some(credentials) = &self.credentials {
            let auth = connection.auth(DEFAULT_MECHANISMS, credentials);
            answered(SmtpStep::Auth, recipient, PATIENCE, Severity::PositiveCompletion, auth).await?;
        }
        Ok(connection)
    }

    /// Without TLS anybody on the path can talk to us, so there is a limit to what is read.
    async fn open(&self, recipient: &str) -> Result<AsyncSmtpConnection, SmtpFailure> {
        let opened = async {
            let stream = BoundedStream::connect((self.host.as_str(), self.port), PATIENCE_PER_ADDRESS).await;
            let stream = stream.map_err(|error| SmtpFailure::unreachable(&error))?;
            let greeted = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello).await;
            greeted.map_err(|error| SmtpFailure::of(SmtpStep::Connection, &error, recipient))
        };
        within(SmtpStep::Connection, PATIENCE, opened).await
    }

    /// With TLS from the first byte, only the server itself can talk to us. The library connects, because only it can use
    /// its TLS parameters.
    async fn open_tls(
        &self,
        parameters: TlsParameters,
        recipient: &str,
    ) -> Result<AsyncSmtpConnection, SmtpFailure> {
        let opened = AsyncSmtpConnection::connect_tokio1(
            (self.host.as_str(), self.port),
            Some(PATIENCE_PER_ADDRESS),
            &self.hello,
            Some(parameters),
            None,
        );
        step(SmtpStep::Connection, recipient, PATIENCE, opened).await
    }

    /// The connection that was used last. One that is a little too old is not dropped here: only after a goodbye does the
    /// server surely take another one instead.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().map(|(connection, _)| connection)
    }

    /// Keeps a connection for the next mail, or says goodbye after a failure.
    async fn put_back(
        &self,
        mut connection: Connection,
        done: Result<(), SmtpFailure>,
    ) -> Result<(), SmtpFailure> {
        if done.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < AT_ONCE {
                idle.push((connection, Instant::now()));
            }
        } else if !done.as_ref().is_err_and(|failure| failure.trouble.ends_the_connection()) {
            let _ = timeout(GOODBYE, connection.smtp.abort()).await;
        }
        done
    }

    /// Closes connections that have been unused for a while.
    pub(crate) async fn close_idle(&self) {
        let old: Vec<_> = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.extract_if(.., |(_, since)| since.elapsed() >= IDLE).collect()
        };
        let goodbyes = old.into_iter().map(|(mut connection, _)| async move {
            let _ = timeout(GOODBYE, connection.smtp.abort()).await;
        });
        futures_util::future::join_all(goodbyes).await;
    }
}

/// The commands for one mail. What goes into a mail is ASCII, so it needs no extension.
async fn converse(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    mail: &[u8],
) -> Result<(), SmtpFailure> {
    const DONE: Severity = Severity::PositiveCompletion;
    let to = envelope.to().first().map_or("", AsRef::as_ref);
    let sender: Option<Address> = envelope.from().cloned();
    let begun = connection.command(Mail::new(sender, Vec::new()));
    answered(SmtpStep::Sender, to, PATIENCE, DONE, begun).await?;
    for recipient in envelope.to() {
        let named = connection.command(Rcpt::new(recipient.clone(), Vec::new()));
        answered(SmtpStep::Recipient, to, PATIENCE, DONE, named).await?;
    }
    let data = connection.command(Data);
    answered(SmtpStep::Data, to, PATIENCE, Severity::PositiveIntermediate, data).await?;
    answered(SmtpStep::Data, to, PATIENCE_AT_END, DONE, connection.message(mail)).await
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::mail::bounded_stream::ENDLESS;

    #[tokio::test]
    async fn fault_20_a_silent_server_is_given_up_and_the_step_is_known() {
        for at in [SmtpStep::Connection, SmtpStep::Auth, SmtpStep::Recipient, SmtpStep::Data] {
            let silent = pending::<Result<(), smtp::Error>>();
            let failure = step(at, "", Duration::ZERO, silent).await.unwrap_err();
            assert_eq!((failure.step, failure.trouble), (at, Trouble::Silence));
            assert!(failure.trouble.ends_the_connection() && failure.trouble.code().is_none());
        }
    }

    fn server(port: u16) -> MailServer {
        MailServer {
            host: "127.0.0.1".to_owned(),
            port,
            tls: Tls::None,
            hello: ClientId::default(),
            credentials: None,
            shown: String::new(),
            availability: Availability::default(),
            idle: Mutex::default(),
        }
    }

    #[tokio::test]
    async fn fault_04_an_endless_answer_is_not_read_to_its_end() {
        let (text, more) = (vec![b'a'; 64 * 1024], 1024);
        for greeting in [&b"220-"[..], b"220 mail.example ESMTP\r\n250-"] {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let said = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(greeting).await.unwrap();
                let mut said = 0;
                while said < more && stream.write_all(&text).await.is_ok() {
                    said += 1;
                }
                said
            };
            let mail = server(address.port());
            let (said, opened) = tokio::join!(said, mail.connect(""));
            let failure = opened.err().expect("nobody has introduced themselves");
            assert_eq!((failure.trouble, failure.to_string().as_str()), (Trouble::Protocol, ENDLESS));
            // 64 MB: what it could say is more than any system keeps for us.
            assert!(said < more, "all of it was read");
        }
    }

    #[tokio::test]
    async fn fault_20_a_greeting_that_is_not_text_is_not_one_of_smtp() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mail = server(listener.local_addr().unwrap().port());
        let greets = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"220 \xff\r\n").await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        let (opened, ()) = tokio::join!(mail.connect(""), greets);
        let failure = opened.err().expect("nobody has introduced themselves");
        assert_eq!((failure.step, failure.trouble), (SmtpStep::Connection, Trouble::Protocol), "{failure}");
    }

    #[tokio::test]
    async fn fault_18_what_follows_the_answer_to_starttls_is_not_taken_for_an_answer_inside_tls() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let parameters = TlsParameters::new("127.0.0.1".to_owned()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mail = MailServer { tls: Tls::Required(parameters), ..server(port) };
        let injects = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut said = String::new();
            stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
            stream.read_line(&mut said).await.unwrap();
            stream.write_all(b"250-mail.example\r\n250 STARTTLS\r\n").await.unwrap();
            stream.read_line(&mut said).await.unwrap();
            assert!(said.ends_with("STARTTLS\r\n"), "{said}");
            stream
                .write_all(b"220 go\r\n250-mail.example\r\n250 AUTH PLAIN\r\n235 welcome\r\n")
                .await
                .unwrap();
            // Nothing else is said, but the connection stays open.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        let (opened, ()) = tokio::join!(mail.connect(""), injects);
        let failure = opened.err().expect("no TLS server is there");
        assert_eq!((failure.step, failure.trouble), (SmtpStep::StartTls, Trouble::Tls), "{failure}");
    }

    /// Takes mail over one connection until the client leaves; every `MAIL FROM` after the first gets this answer.
    async fn take_one_mail(stream: TcpStream, then: &str) {
        let (mut lines, mut mails) = (BufReader::new(stream), 0);
        lines.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        let (mut line, mut in_mail) = (String::new(), false);
        while lines.read_line(&mut line).await.unwrap_or(0) > 0 {
            in_mail &= line != ".\r\n";
            let answer = match std::mem::take(&mut line) {
                _ if in_mail => continue,
                said if said.starts_with("MAIL") && std::mem::replace(&mut mails, 1) > 0 => then,
                said if said.starts_with("DATA") => {
                    in_mail = true;
                    "354 go on\r\n"
                }
                _ => "250 mail.example\r\n",
            };
            lines.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn fault_20_a_connection_that_we_closed_a_moment_ago_may_be_the_one_too_many() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mail_server = server(listener.local_addr().unwrap().port());
        let takes_one = async {
            let (stream, _) = listener.accept().await.unwrap();
            take_one_mail(stream, "452 4.5.3 too many mails in this connection\r\n").await;
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(b"421 4.7.0 too many connections\r\n").await.unwrap();
            }
        };
        let from = "id@example.com".parse().unwrap();
        let mail = Message::builder().from(from).to("ada@example.org".parse().unwrap());
        let mail = mail.body("Hello".to_owned()).unwrap();
        let sends = async {
            mail_server.send(&mail).await.unwrap();
            [mail_server.send(&mail).await, mail_server.send(&mail).await].map(|sent| sent.unwrap_err())
        };
        let ([first, second], ()) = tokio::join!(sends, takes_one);
        assert_eq!((first.step, first.trouble.code()), (SmtpStep::Connection, Some(421)), "{first}");
        assert!(first.is_crowded(), "the server may not know yet that we closed it");
        assert!(
            second.trouble.code() == Some(421) && !second.is_crowded(),
            "nothing of ours is open: {second}"
        );
    }
}
