//! A mail server that keeps what it receives: real SMTP, several conversations at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailparse::{MailHeaderMap, ParsedMail, parse_mail};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// One email as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) recipients: Vec<String>,
    pub(crate) raw: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

impl Received {
    /// The first link in the text.
    pub(crate) fn link(&self) -> String {
        self.text.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned()
    }

    /// The typed code in the text: `ABCD-EFGH`.
    pub(crate) fn code(&self) -> String {
        let shaped = |word: &&str| {
            word.len() == 9
                && word.as_bytes()[4] == b'-'
                && word.chars().filter(|c| *c != '-').all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        };
        self.text.split_whitespace().find(shaped).unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        parse_mail(self.raw.as_bytes()).unwrap().headers.get_all_values(name)
    }
}

/// What the server requires of a connection.
#[derive(Clone)]
pub(crate) enum Security {
    /// Nothing: anyone may send, in clear text.
    None,
    /// TLS from the first byte, then a password.
    Implicit(TlsAcceptor),
    /// TLS after `STARTTLS`, then a password.
    StartTls(TlsAcceptor),
}

/// An answer other than the usual one.
#[derive(Clone, Copy)]
pub(crate) enum Instead {
    /// This line.
    Reply(&'static str),
    /// None until the server is released.
    Silence,
    /// The connection is cut.
    Cut,
    /// The same, the first time only.
    CutOnce,
    /// The end of a mail is refused with this text, and the reply quotes the whole mail.
    Quote(&'static str),
}

/// How many connections, and mails per connection, a server takes.
#[derive(Clone, Copy)]
struct Limits {
    connections: usize,
    /// And the reply to `MAIL FROM` above that.
    mails: Option<(usize, &'static str)>,
}

/// The greeting, as [`Sink::instead`] names it.
pub(crate) const GREETING: &str = "(greeting)";
/// The end of a mail, as [`Sink::instead`] names it; its recipient follows.
pub(crate) const END_OF_MAIL: &str = "(end of mail) ";

#[derive(Clone)]
struct Kept {
    mails: Arc<Mutex<Vec<Received>>>,
    said: Arc<Mutex<Vec<String>>>,
    /// What to answer to lines that begin like this.
    script: Arc<Mutex<Vec<(String, Instead)>>>,
    /// Whether emails are accepted at once.
    answers: watch::Sender<bool>,
    limits: Arc<Mutex<Limits>>,
    connections: Arc<AtomicUsize>,
    /// How many connections are open.
    open: Arc<AtomicUsize>,
    turned_away: Arc<AtomicUsize>,
    quoted: Arc<Mutex<Vec<Received>>>,
}

impl Kept {
    fn new(answers: bool) -> Self {
        let (mails, said, script) = (Arc::default(), Arc::default(), Arc::default());
        let limits = Arc::new(Mutex::new(Limits { connections: usize::MAX, mails: None }));
        let (connections, open, turned_away) = (Arc::default(), Arc::default(), Arc::default());
        let (answers, quoted) = (watch::Sender::new(answers), Arc::default());
        Self { mails, said, script, answers, limits, connections, open, turned_away, quoted }
    }

    /// What to answer to this line: the usual answer, unless the script says otherwise. `None`: hang up.
    async fn answer(&self, line: &str, usual: &str) -> Option<String> {
        let matches = |start: &str| line.to_lowercase().starts_with(&start.to_lowercase());
        let scripted = {
            let mut script = self.script.lock().unwrap();
            let found = script.iter().find(|(start, _)| matches(start)).map(|(_, instead)| *instead);
            script.retain(|(start, instead)| !(matches(start) && matches!(instead, Instead::CutOnce)));
            found
        };
        match scripted {
            None => Some(usual.to_owned()),
            Some(Instead::Reply(reply)) => Some(format!("{reply}\r\n")),
            Some(Instead::Cut | Instead::CutOnce) => None,
            Some(Instead::Quote(text)) => {
                let mail = self.mails.lock().unwrap().last().cloned()?;
                // The link first: it must not be saved by a limit on the length.
                let (link, rest): (Vec<_>, Vec<_>) =
                    mail.raw.lines().partition(|line| line.contains("token="));
                let quote = link.into_iter().chain(rest).filter(|line| !line.is_empty());
                let lines: String = quote.map(|line| format!("554-5.7.1 {text} {line}\r\n")).collect();
                self.quoted.lock().unwrap().push(mail);
                Some(format!("{lines}554 5.7.1 {text}\r\n"))
            }
            Some(Instead::Silence) => {
                self.answers.subscribe().wait_for(|open| *open).await.ok()?;
                Some(usual.to_owned())
            }
        }
    }
}

/// The server.
pub(crate) struct Sink {
    port: u16,
    security: Arc<Mutex<Security>>,
    kept: Kept,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        Self::secured(Security::None).await
    }

    /// A server with these requirements.
    pub(crate) async fn secured(security: Security) -> Self {
        Self::listen(security, Kept::new(true)).await
    }

    /// From now on connections have other requirements, or another certificate.
    pub(crate) fn secure(&self, security: Security) {
        *self.security.lock().unwrap() = security;
    }

    /// A server that receives emails but acknowledges none until it is released.
    pub(crate) async fn held() -> Self {
        let sink = Self::patient().await;
        sink.instead(END_OF_MAIL, Instead::Silence);
        sink
    }

    /// From now on lines that begin like this get another answer. For one such start the first rule counts.
    pub(crate) fn instead(&self, start: &str, instead: Instead) {
        let mut script = self.kept.script.lock().unwrap();
        script.retain(|(known, _)| known != start);
        script.push((start.to_owned(), instead));
    }

    /// From now on every line gets the usual answer.
    pub(crate) fn as_usual(&self) {
        self.kept.script.lock().unwrap().clear();
    }

    /// A server that holds back the answers its script says, until it is released.
    pub(crate) async fn patient() -> Self {
        Self::listen(Security::None, Kept::new(false)).await
    }

    /// From now on no more connections than this are open at once.
    pub(crate) fn limit_connections(&self, connections: usize) {
        self.kept.limits.lock().unwrap().connections = connections;
    }

    /// From now on `MAIL FROM` is refused after this many mails on one connection.
    pub(crate) fn limit_mails_per_connection(&self, mails: usize, reply: &'static str) {
        self.kept.limits.lock().unwrap().mails = Some((mails, reply));
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.kept.connections.load(Ordering::SeqCst)
    }

    /// How many connections were refused because too many were open.
    pub(crate) fn turned_away(&self) -> usize {
        self.kept.turned_away.load(Ordering::SeqCst)
    }

    /// The mails that were quoted in a refusal.
    pub(crate) fn quoted(&self) -> Vec<Received> {
        self.kept.quoted.lock().unwrap().clone()
    }

    /// From now on every email is acknowledged.
    pub(crate) fn release(&self) {
        self.kept.answers.send_replace(true);
    }

    async fn listen(security: Security, kept: Kept) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let security = Arc::new(Mutex::new(security));
        let sink = Self { port, security: Arc::clone(&security), kept: kept.clone() };
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                kept.connections.fetch_add(1, Ordering::SeqCst);
                let most = kept.limits.lock().unwrap().connections;
                if kept.open.load(Ordering::SeqCst) >= most {
                    kept.turned_away.fetch_add(1, Ordering::SeqCst);
                    let _ = socket.write_all(b"421 4.7.0 too many connections\r\n").await;
                    continue;
                }
                kept.open.fetch_add(1, Ordering::SeqCst);
                let (security, kept, open) =
                    (security.lock().unwrap().clone(), kept.clone(), Arc::clone(&kept.open));
                tokio::spawn(async move {
                    converse(socket, security, kept).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        sink
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Every line that clients sent, except the emails themselves.
    pub(crate) fn said(&self) -> Vec<String> {
        self.kept.said.lock().unwrap().clone()
    }

    /// The emails to an address so far.
    pub(crate) fn mails_to(&self, address: &str) -> Vec<Received> {
        let mails = self.kept.mails.lock().unwrap();
        mails.iter().filter(|mail| mail.recipients.iter().any(|to| to == address)).cloned().collect()
    }

    /// The number of emails so far.
    pub(crate) fn count(&self) -> usize {
        self.kept.mails.lock().unwrap().len()
    }

    /// The `number`th email to an address; waits for it.
    pub(crate) async fn mail_to(&self, address: &str, number: usize) -> Received {
        for _ in 0..600 {
            if let Some(mail) = self.mails_to(address).get(number - 1) {
                return mail.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("mail {number} to {address} did not arrive; {} arrived in all", self.count());
    }
}

const WELCOME: &str = "220 sink ESMTP\r\n";
const OK: &str = "250 ok\r\n";

async fn converse(socket: TcpStream, security: Security, kept: Kept) {
    match security {
        Security::None => drop(talk(socket, WELCOME, OK, &kept).await),
        Security::Implicit(tls) => {
            if let Ok(socket) = tls.accept(socket).await {
                talk(socket, WELCOME, "250-sink\r\n250 AUTH PLAIN\r\n", &kept).await;
            }
        }
        Security::StartTls(tls) => {
            let Some(socket) = talk(socket, WELCOME, "250-sink\r\n250 STARTTLS\r\n", &kept).await else {
                return;
            };
            if let Ok(socket) = tls.accept(socket).await {
                talk(socket, "", "250-sink\r\n250 AUTH PLAIN\r\n", &kept).await;
            }
        }
    }
}

/// Talks until the client leaves; returns the connection if the client asks for STARTTLS.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    welcome: &str,
    offer: &str,
    kept: &Kept,
) -> Option<S> {
    let mut socket = BufReader::new(socket);
    let (mut recipients, mut mails_here) = (Vec::new(), 0);
    let welcome = match welcome {
        "" => String::new(),
        usual => kept.answer(GREETING, usual).await?,
    };
    socket.write_all(welcome.as_bytes()).await.ok()?;
    socket.flush().await.ok()?;
    loop {
        let line = line(&mut socket).await?;
        let verb = line.to_ascii_uppercase();
        kept.said.lock().unwrap().push(line.clone());
        let answer = if verb.starts_with("EHLO") {
            offer.to_owned()
        } else if verb.starts_with("MAIL FROM:") {
            recipients.clear();
            match kept.limits.lock().unwrap().mails {
                Some((most, reply)) if mails_here >= most => format!("{reply}\r\n"),
                _ => OK.to_owned(),
            }
        } else if verb.starts_with("RCPT TO:") {
            recipients.push(line[8..].trim().trim_matches(['<', '>']).to_owned());
            OK.to_owned()
        } else if verb.starts_with("DATA") {
            socket.write_all(b"354 go on\r\n").await.ok()?;
            socket.flush().await.ok()?;
            let raw = data(&mut socket).await?;
            let end = format!("{END_OF_MAIL}{}", recipients.join(","));
            kept.mails.lock().unwrap().push(received(std::mem::take(&mut recipients), raw));
            mails_here += 1;
            let answer = kept.answer(&end, OK).await?;
            if !answer.starts_with('2') {
                kept.mails.lock().unwrap().pop();
            }
            socket.write_all(answer.as_bytes()).await.ok()?;
            socket.flush().await.ok()?;
            continue;
        } else if verb.starts_with("AUTH") {
            "235 welcome\r\n".to_owned()
        } else if verb.starts_with("STARTTLS") {
            "220 go on\r\n".to_owned()
        } else if verb.starts_with("QUIT") {
            "221 bye\r\n".to_owned()
        } else {
            OK.to_owned()
        };
        let answer = kept.answer(&line, &answer).await?;
        socket.write_all(answer.as_bytes()).await.ok()?;
        socket.flush().await.ok()?;
        match verb.as_str() {
            "QUIT" => return None,
            "STARTTLS" => return Some(socket.into_inner()),
            _ => {}
        }
    }
}

async fn line(socket: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut line = String::new();
    let length = socket.read_line(&mut line).await.ok()?;
    (length > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}

async fn data(socket: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut raw = String::new();
    loop {
        let line = line(socket).await?;
        if line == "." {
            return Some(raw);
        }
        raw.push_str(line.strip_prefix('.').unwrap_or(&line));
        raw.push_str("\r\n");
    }
}

fn received(recipients: Vec<String>, raw: String) -> Received {
    let mail = parse_mail(raw.as_bytes()).unwrap();
    let subject = mail.headers.get_first_value("Subject").unwrap_or_default();
    let (text, html) = (part(&mail, "text/plain"), part(&mail, "text/html"));
    Received { recipients, subject, text, html, raw: raw.clone() }
}

fn part(mail: &ParsedMail<'_>, kind: &str) -> String {
    if mail.ctype.mimetype == kind {
        return mail.get_body().unwrap();
    }
    mail.subparts.iter().map(|sub| part(sub, kind)).find(|text| !text.is_empty()).unwrap_or_default()
}
