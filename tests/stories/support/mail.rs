//! A mail server that keeps what it is given: a real SMTP conversation, several at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailparse::{MailHeaderMap, ParsedMail, parse_mail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One mail as it arrived.
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

/// The server.
pub(crate) struct Sink {
    port: u16,
    mails: Arc<Mutex<Vec<Received>>>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&mails);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(converse(socket, Arc::clone(&kept)));
            }
        });
        Self { port, mails }
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// Everything that came to an address so far.
    pub(crate) fn mails_to(&self, address: &str) -> Vec<Received> {
        let mails = self.mails.lock().unwrap();
        mails.iter().filter(|mail| mail.recipients.iter().any(|to| to == address)).cloned().collect()
    }

    /// Everything that came so far.
    pub(crate) fn count(&self) -> usize {
        self.mails.lock().unwrap().len()
    }

    /// The `number`th mail to an address; waits for it.
    pub(crate) async fn mail_to(&self, address: &str, number: usize) -> Received {
        for _ in 0..600 {
            if let Some(mail) = self.mails_to(address).get(number - 1) {
                return mail.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("mail {number} to {address} did not come; {} came in all", self.count());
    }
}

async fn converse(socket: TcpStream, mails: Arc<Mutex<Vec<Received>>>) {
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut recipients = Vec::new();
    if write.write_all(b"220 sink ESMTP\r\n").await.is_err() {
        return;
    }
    while let Ok(Some(line)) = lines.next_line().await {
        let verb = line.to_ascii_uppercase();
        let answer = if verb.starts_with("RCPT TO:") {
            recipients.push(line[8..].trim().trim_matches(['<', '>']).to_owned());
            "250 ok\r\n"
        } else if verb.starts_with("DATA") {
            let _ = write.write_all(b"354 go on\r\n").await;
            let raw = data(&mut lines).await;
            mails.lock().unwrap().push(received(std::mem::take(&mut recipients), raw));
            "250 kept\r\n"
        } else if verb.starts_with("QUIT") {
            let _ = write.write_all(b"221 bye\r\n").await;
            return;
        } else {
            "250 ok\r\n"
        };
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn data(lines: &mut tokio::io::Lines<BufReader<tokio::net::tcp::OwnedReadHalf>>) -> String {
    let mut raw = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == "." {
            break;
        }
        raw.push_str(line.strip_prefix('.').unwrap_or(&line));
        raw.push_str("\r\n");
    }
    raw
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
