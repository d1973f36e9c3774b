//! What to do after a mail server's answer (RFC 5321 section 4.2.1), or when there was none.

use std::time::Duration;

use crate::text::Excerpt;
use crate::time::{HOUR, MINUTE, SECOND};

/// How far the conversation with the mail server had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The connection, its TLS, and the server's greeting.
    Connection,
    /// `STARTTLS`.
    StartTls,
    /// `AUTH`.
    Auth,
    /// `MAIL FROM`, the sender.
    Sender,
    /// `RCPT TO`, the recipient.
    Recipient,
    /// `DATA`, the mail itself.
    Data,
}

impl Step {
    /// For the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Sender => "MAIL FROM",
            Self::Recipient => "RCPT TO",
            Self::Data => "DATA",
        }
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection, a connection that broke, or no answer in time.
    Silence,
    /// No TLS, or none that can be trusted.
    Tls,
    /// Not SMTP, or not what we need from a mail server.
    Protocol,
    /// A refusal.
    Reply {
        /// The code: 4yz or 5yz.
        code: u16,
        /// Whether the text has the enhanced status code X.7.Z (RFC 3463): a rule of the server.
        policy: bool,
    },
}

impl Trouble {
    /// A refusal with this code and text.
    pub fn reply(code: u16, text: &str) -> Self {
        let word = text.split_whitespace().next().unwrap_or_default();
        let mut parts = word.split('.');
        let class = parts.next().is_some_and(|class| class == "4" || class == "5");
        Self::Reply { code, policy: class && parts.next() == Some("7") }
    }

    /// For the log.
    pub fn class(self) -> &'static str {
        match self {
            Self::Silence => "unreachable",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::Reply { code: 500.., .. } => "permanent",
            Self::Reply { .. } => "temporary",
        }
    }

    /// Whether the server closes the connection (RFC 5321 section 3.8).
    pub fn ends_the_connection(self) -> bool {
        matches!(self, Self::Silence | Self::Reply { code: 421, .. })
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Try this mail again later; the others are not affected.
    RetryMail,
    /// Give this mail up: the same answer would come again.
    GiveUpMail,
    /// Every mail would fail: all wait for the server.
    WaitForServer,
    /// Every mail would fail until the operator changes something: all wait longer.
    WaitForOperator,
}

/// Until the recipient is named, a failure is about the mail server or our account there, and every mail would meet it.
/// Afterwards it is about this mail.
pub fn reaction(step: Step, trouble: Trouble) -> Reaction {
    let about_this_mail = step >= Step::Recipient;
    match trouble {
        Trouble::Reply { code: 500.., .. } if !about_this_mail => Reaction::WaitForOperator,
        Trouble::Reply { code, policy } if code >= 500 => match code {
            // What the server does not understand or allow from us is not the recipient's fault, and the operator can
            // change it. It may be about this recipient only, so the other mails go on.
            500 | 502..=504 | 530 | 534 | 535 | 538 => Reaction::RetryMail,
            _ if policy => Reaction::RetryMail,
            _ => Reaction::GiveUpMail,
        },
        Trouble::Tls | Trouble::Protocol if !about_this_mail => Reaction::WaitForOperator,
        Trouble::Silence | Trouble::Reply { .. } if !about_this_mail => Reaction::WaitForServer,
        _ => Reaction::RetryMail,
    }
}

/// Whether this failure shows that the server takes mail in general: it answered about the recipient or the mail, and is
/// not about to close.
pub fn takes_mail(step: Step, trouble: Trouble) -> bool {
    step >= Step::Recipient && matches!(trouble, Trouble::Reply { code, .. } if code != 421)
}

/// Whether the server may have refused only because too many connections are open.
pub fn may_be_crowded(step: Step, trouble: Trouble) -> bool {
    matches!((step, trouble), (Step::Connection | Step::Auth, Trouble::Reply { code: ..500, .. }))
}

/// What the log may say of a reply's text. A server may quote what it was sent: the mail with its link and code, the
/// password, the recipient. Where it has seen a mail or password, only the enhanced status code is kept. Otherwise
/// addresses and anything that looks like a code are left out, and the text ends before anything that looks like a URL or
/// an encoding.
pub fn loggable(step: Step, text: &str) -> String {
    const LONGEST: usize = 120;
    let mut words = text.split_whitespace().peekable();
    let mut kept = Vec::new();
    if let Some(code) = words.next_if(|word| is_enhanced_code(word)) {
        kept.push(code);
    }
    if matches!(step, Step::Auth | Step::Data) {
        return kept.concat();
    }
    while let Some(word) = words.next() {
        // An address may be broken into two lines before or after its @.
        let goes_on = words.next_if(|next| word.ends_with('@') || next.starts_with('@')).is_some();
        match plain(word) {
            _ if word.contains('@') || goes_on => kept.push("(address)"),
            Plain::Word => kept.push(word),
            Plain::MaybeCode => kept.push("(left out)"),
            Plain::No => {
                kept.push("(rest left out)");
                break;
            }
        }
    }
    Excerpt::new(kept.join(" "), LONGEST).to_string()
}

/// X.Y.Z of RFC 3463.
fn is_enhanced_code(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    let number =
        |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3 && ["2", "4", "5"].contains(&parts[0]) && parts.iter().all(number)
}

enum Plain {
    Word,
    MaybeCode,
    No,
}

/// Whether a word of a reply is one that people write, a name or an IP address.
fn plain(word: &str) -> Plain {
    const LONGEST_LABEL: usize = 20;
    let ordinary = |c: char| c.is_alphabetic() || c.is_ascii_digit() || ".,:;()[]<>'\"!-".contains(c);
    let lower = word.to_lowercase();
    let looks_secret = ["http", "www.", "token", "activate"].iter().any(|start| lower.contains(start));
    let is_long = word.split(['.', ':']).any(|label| label.chars().count() > LONGEST_LABEL);
    if looks_secret || is_long || !word.chars().all(ordinary) {
        return Plain::No;
    }
    let has_digit = word.contains(|c: char| c.is_ascii_digit());
    let is_host = word.contains(['.', ':']) && !word.ends_with(['.', ':']);
    let is_upper = !word.contains(char::is_lowercase);
    // Typed codes have capitals, digits and a hyphen.
    match (has_digit && !is_host) || (is_upper && word.contains('-')) {
        true => Plain::MaybeCode,
        false => Plain::Word,
    }
}

/// How long a mail waits after its `attempt`th try (from 1) failed.
pub fn mail_wait(attempt: i64) -> Duration {
    nth(&[SECOND * 10, MINUTE, MINUTE * 5, MINUTE * 15, HOUR], attempt)
}

/// How long all mails wait after the `failures`th failure in a row (from 1) that concerns them all. `for_operator`: as in
/// [`Reaction::WaitForOperator`]; signing in again and again with a wrong password may close the account.
pub fn server_wait(failures: i64, for_operator: bool) -> Duration {
    match for_operator {
        false => nth(&[SECOND * 10, SECOND * 20, SECOND * 40, MINUTE], failures),
        true => nth(&[SECOND * 10, MINUTE, MINUTE * 5, MINUTE * 15], failures),
    }
}

fn nth(waits: &[Duration], number: i64) -> Duration {
    let place = usize::try_from(number.max(1) - 1).unwrap_or(usize::MAX);
    waits.get(place).or(waits.last()).copied().unwrap_or(HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_20_each_answer_of_a_mail_server_has_its_reaction() {
        use Reaction::{GiveUpMail, RetryMail, WaitForOperator, WaitForServer};
        use Step::{Auth, Connection, Data, Recipient, Sender, StartTls};
        for (step, code, text, expected) in [
            (Connection, 421, "busy", WaitForServer),
            (Connection, 554, "no SMTP service here", WaitForOperator),
            (StartTls, 454, "TLS not available", WaitForServer),
            (Auth, 454, "4.7.0 try again", WaitForServer),
            (Auth, 535, "5.7.8 wrong password", WaitForOperator),
            (Sender, 451, "later", WaitForServer),
            (Sender, 550, "5.7.1 not your address", WaitForOperator),
            (Sender, 530, "5.7.0 sign in first", WaitForOperator),
            (Recipient, 421, "closing", RetryMail),
            (Recipient, 450, "4.2.0 greylisted", RetryMail),
            (Recipient, 452, "4.2.2 mailbox full", RetryMail),
            (Recipient, 550, "5.1.1 no such user", GiveUpMail),
            (Recipient, 550, "no such user", GiveUpMail),
            (Recipient, 553, "5.1.3 bad address", GiveUpMail),
            (Recipient, 501, "5.1.3 bad address", GiveUpMail),
            (Recipient, 551, "user not local", GiveUpMail),
            (Recipient, 552, "5.2.2 mailbox full", GiveUpMail),
            (Recipient, 530, "sign in first", RetryMail),
            (Recipient, 503, "out of sequence", RetryMail),
            (Recipient, 554, "5.7.1 relay access denied", RetryMail),
            (Data, 451, "4.3.0 later", RetryMail),
            (Data, 552, "5.3.4 too large", GiveUpMail),
            (Data, 554, "transaction failed", GiveUpMail),
            (Data, 550, "5.7.26 not authenticated", RetryMail),
        ] {
            assert_eq!(reaction(step, Trouble::reply(code, text)), expected, "{step:?} {code} {text}");
        }
        for (trouble, before, after) in [
            (Trouble::Silence, WaitForServer, RetryMail),
            (Trouble::Tls, WaitForOperator, RetryMail),
            (Trouble::Protocol, WaitForOperator, RetryMail),
        ] {
            for step in [Connection, StartTls, Auth, Sender] {
                assert_eq!(reaction(step, trouble), before, "{step:?} {trouble:?}");
            }
            for step in [Recipient, Data] {
                assert_eq!(reaction(step, trouble), after, "{step:?} {trouble:?}");
            }
        }
    }

    #[test]
    fn fault_20_a_closing_or_silent_server_does_not_show_that_it_takes_mail() {
        let reply = |code| Trouble::Reply { code, policy: false };
        for step in [Step::Recipient, Step::Data] {
            assert!(takes_mail(step, reply(450)) && takes_mail(step, reply(550)), "{step:?}");
            for trouble in [reply(421), Trouble::Silence, Trouble::Protocol, Trouble::Tls] {
                assert!(!takes_mail(step, trouble), "{step:?} {trouble:?}");
            }
        }
        assert!(!takes_mail(Step::Sender, reply(550)));
    }

    #[test]
    fn fault_20_only_a_temporary_refusal_to_begin_can_come_from_too_many_connections() {
        let reply = |code| Trouble::Reply { code, policy: false };
        for step in [Step::Connection, Step::Auth] {
            assert!(may_be_crowded(step, reply(421)) && may_be_crowded(step, reply(454)), "{step:?}");
            assert!(!may_be_crowded(step, reply(554)) && !may_be_crowded(step, Trouble::Silence), "{step:?}");
        }
        for step in [Step::StartTls, Step::Sender, Step::Recipient, Step::Data] {
            assert!(!may_be_crowded(step, reply(421)), "{step:?}");
        }
    }

    #[test]
    fn fault_20_what_a_server_quotes_stays_out_of_the_log() {
        for (text, expected) in [
            ("5.1.1 no such user", "5.1.1 no such user"),
            ("4.3.2 too busy, try later", "4.3.2 too busy, try later"),
            (
                "Client host [192.0.2.1] blocked using zen.spamhaus.org; ask them",
                "Client host [192.0.2.1] blocked using zen.spamhaus.org; ask them",
            ),
            ("host [2001:db8::7] refused", "host [2001:db8::7] refused"),
            ("5.1.1 <Ada@Example.org>: unknown", "5.1.1 (address) unknown"),
            ("5.1.1 <ada @example.org> or ada@ example.org unknown", "5.1.1 (address) or (address) unknown"),
            ("blocked URL http://id.example/activate?token=3Dav_abc now", "blocked URL (rest left out)"),
            ("blocked HTTPS://ID.EXAMPLE/ACTIVATE", "blocked (rest left out)"),
            ("blocked htt= p://id.example/activate?tok= en=3Dav_abc", "blocked (rest left out)"),
            ("blocked h ttp://id.example x", "blocked h (rest left out)"),
            ("blocked hxxp://id.example", "blocked (rest left out)"),
            ("blocked id.example/activate", "blocked (rest left out)"),
            ("blocked av_abc def", "blocked (rest left out)"),
            ("blocked av=5Fabc def", "blocked (rest left out)"),
            ("blocked av%5Fabc def", "blocked (rest left out)"),
            ("blocked &#97;v def", "blocked (rest left out)"),
            ("blocked token: abc", "blocked (rest left out)"),
            ("blocked aHR0cDovL2lkLmV4YW1wbGUvYWN0aXZhdGU def", "blocked (rest left out)"),
            (
                "code ABCD-EFGH or ABCD2345 or 123456 or 123456.",
                "code (left out) or (left out) or (left out) or (left out)",
            ),
            ("Empf\u{e4}nger", "Empf%C3%A4nger"),
            ("", ""),
        ] {
            for step in [Step::Connection, Step::StartTls, Step::Sender, Step::Recipient] {
                assert_eq!(loggable(step, text), expected, "{step:?} {text}");
            }
            let code = expected.split(' ').next().filter(|word| is_enhanced_code(word)).unwrap_or_default();
            for step in [Step::Auth, Step::Data] {
                assert_eq!(loggable(step, text), code, "{step:?} {text}");
            }
        }
        assert!(loggable(Step::Recipient, &"word ".repeat(1_000)).len() < 160);
    }

    #[test]
    fn an_enhanced_status_code_stands_at_the_start_and_has_its_form() {
        for (text, expected) in [
            ("5.7.1 relaying denied", true),
            ("4.7.0 later", true),
            ("5.1.1 no 5.7.1", false),
            ("user 5.7.1", false),
            ("15.7.1", false),
            ("5", false),
            ("", false),
        ] {
            assert_eq!(Trouble::reply(550, text), Trouble::Reply { code: 550, policy: expected }, "{text}");
        }
    }

    #[test]
    fn waits_grow_to_a_longest() {
        assert_eq!((mail_wait(1), mail_wait(5), mail_wait(i64::MAX)), (SECOND * 10, HOUR, HOUR));
        assert_eq!(mail_wait(0), SECOND * 10);
        assert_eq!((server_wait(1, false), server_wait(9, false)), (SECOND * 10, MINUTE));
        assert_eq!((server_wait(1, true), server_wait(9, true)), (SECOND * 10, MINUTE * 15));
    }
}
