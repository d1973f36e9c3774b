//! What to do after a mail server's answer (RFC 5321 section 4.2.1), or when there was none.

use std::time::Duration;

use crate::text::Excerpt;
use crate::time::{HOUR, MINUTE, SECOND};
use crate::typed_code::TypedCode;

/// How far the conversation with the mail server had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SmtpStep {
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

impl SmtpStep {
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
        /// The enhanced status code at the start of the text.
        status: Option<EnhancedStatus>,
    },
}

/// An enhanced status code (RFC 3463): what a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnhancedStatus {
    /// 5 if trying again is of no use.
    class: u16,
    /// What it is about: 1 an address, 2 the mailbox, 3 the mail system, 4 the network, 5 the protocol, 6 the mail's
    /// content, 7 a rule.
    subject: u16,
    detail: u16,
}

impl EnhancedStatus {
    /// Reads `5.1.1`. Some servers write `#5.1.1` or `5.1.1:`.
    fn of_word(word: &str) -> Option<Self> {
        let word = word.strip_prefix('#').unwrap_or(word).trim_end_matches([':', ',', ';']);
        let mut numbers =
            word.split('.').map(|digits| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
                true => digits.parse().ok().filter(|number| *number < 1_000),
                false => None,
            });
        let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let is_one = numbers.next().is_none() && matches!(class, 2 | 4 | 5);
        is_one.then_some(Self { class, subject, detail })
    }

    /// Whether the same mail would get the same answer tomorrow, whatever the operators of both servers change: there is
    /// no such mailbox, or this mail cannot be taken. A full mailbox is not final, and neither is any rule.
    fn is_final(self, step: SmtpStep) -> bool {
        const MAILBOX: [(u16, u16); 7] = [(1, 1), (1, 2), (1, 3), (1, 6), (1, 10), (2, 1), (2, 3)];
        const TOO_LARGE: (u16, u16) = (3, 4);
        let about = (self.subject, self.detail);
        let is_content = step == SmtpStep::Data && matches!(self.subject, 5 | 6);
        self.class == 5 && (MAILBOX.contains(&about) || about == TOO_LARGE || is_content)
    }
}

impl Trouble {
    /// A refusal with this code and text.
    pub fn reply(code: u16, text: &str) -> Self {
        Self::Reply { code, status: text.split_whitespace().next().and_then(EnhancedStatus::of_word) }
    }

    /// Whether the server says that it is our sender's address it does not take (X.1.7 and X.1.8).
    pub fn is_about_the_sender(self) -> bool {
        matches!(self, Self::Reply { status: Some(EnhancedStatus { subject: 1, detail: 7 | 8, .. }), .. })
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

    /// The code of a refusal.
    pub fn code(self) -> Option<u16> {
        match self {
            Self::Reply { code, .. } => Some(code),
            Self::Silence | Self::Tls | Self::Protocol => None,
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
pub fn reaction(step: SmtpStep, trouble: Trouble) -> Reaction {
    let about_this_mail = step >= SmtpStep::Recipient;
    match trouble {
        Trouble::Reply { code: 500.., .. } if !about_this_mail => Reaction::WaitForOperator,
        // Many servers refuse only now whom they do not know or trust, and a server that is set up wrongly refuses
        // everybody. So only what is surely about this recipient or this mail ends it.
        Trouble::Reply { code: 500 | 502..=504, .. } => Reaction::RetryMail,
        Trouble::Reply { code: 500.., status: Some(status) } if status.is_final(step) => Reaction::GiveUpMail,
        Trouble::Tls | Trouble::Protocol if !about_this_mail => Reaction::WaitForOperator,
        Trouble::Silence | Trouble::Reply { .. } if !about_this_mail => Reaction::WaitForServer,
        _ => Reaction::RetryMail,
    }
}

/// Whether this failure shows that the server takes mail in general: it answered about the recipient or the mail, and is
/// not about to close.
pub fn takes_mail(step: SmtpStep, trouble: Trouble) -> bool {
    step >= SmtpStep::Recipient && matches!(trouble, Trouble::Reply { code, .. } if code != 421)
}

/// Whether the server may have refused only because too many connections are open.
pub fn may_be_crowded(step: SmtpStep, trouble: Trouble) -> bool {
    matches!((step, trouble), (SmtpStep::Connection | SmtpStep::Auth, Trouble::Reply { code: ..500, .. }))
}

/// What the log may say of a reply's text. A server may quote what it was sent: the mail with its link and code, the
/// password, the recipient. Where it has seen a mail or password, only the enhanced status code is kept. Otherwise
/// addresses, any part of the recipient's, and anything that looks like a code are left out, and the text ends before
/// anything that looks like a URL or an encoding.
pub fn loggable(step: SmtpStep, text: &str, recipient: &str) -> String {
    const LONGEST: usize = 120;
    let mut words = text.split_whitespace().peekable();
    let mut kept = Vec::new();
    if let Some(code) = words.next_if(|word| EnhancedStatus::of_word(word).is_some()) {
        kept.push(code);
    }
    if matches!(step, SmtpStep::Auth | SmtpStep::Data) {
        return kept.concat();
    }
    let recipient = Parts::of(recipient);
    while let Some(word) = words.next() {
        // An address may be broken into two lines before or after its @.
        let goes_on = words.next_if(|next| word.ends_with('@') || next.starts_with('@')).is_some();
        match plain(word) {
            _ if (word.contains('@') || goes_on) && !looks_secret(word) => kept.push("(address)"),
            Plain::Word | Plain::MaybeCode if recipient.are_in(word) => kept.push("(address)"),
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

/// The parts of an address by which somebody would recognise it, in lower case.
struct Parts {
    local: String,
    /// Names in the local part, and the domain.
    telling: Vec<String>,
}

impl Parts {
    /// The shortest part that is looked for inside of words.
    const SHORTEST: usize = 3;

    fn of(address: &str) -> Self {
        let address = address.to_lowercase();
        let (local, domain) = address.rsplit_once('@').unwrap_or((&address, ""));
        let names = local.split(|c: char| !c.is_alphanumeric()).chain([local, domain]);
        let telling =
            names.filter(|part| part.chars().count() >= Self::SHORTEST).map(str::to_owned).collect();
        Self { local: local.to_owned(), telling }
    }

    fn are_in(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        self.telling.iter().any(|part| word.contains(part)) || bare == self.local && !bare.is_empty()
    }
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
    let is_long = word.split(['.', ':']).any(|label| label.chars().count() > LONGEST_LABEL);
    if looks_secret(word) || is_long || !word.chars().all(ordinary) {
        return Plain::No;
    }
    let has_digit = word.contains(|c: char| c.is_ascii_digit());
    let is_host = word.contains(['.', ':']) && !word.ends_with(['.', ':']);
    let is_upper = !word.contains(char::is_lowercase);
    // Typed codes have capitals, digits and a hyphen.
    let has_code = word.split(|c: char| !c.is_alphanumeric() && c != '-').any(may_be_typed_code);
    match has_code || (has_digit && !is_host) || (is_upper && word.contains('-')) {
        true => Plain::MaybeCode,
        false => Plain::Word,
    }
}

/// Whether this may belong to a link of ours.
fn looks_secret(word: &str) -> bool {
    let lower = word.to_lowercase();
    ["http", "www.", "token", "activate"].iter().any(|start| lower.contains(start))
}

/// Whether this has the form of a typed code. An ordinary word of eight small letters is none.
fn may_be_typed_code(word: &str) -> bool {
    let is_ordinary = word.contains(char::is_lowercase) && word.chars().all(char::is_alphabetic);
    !is_ordinary && TypedCode::of_typed(word).is_some()
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
        use SmtpStep::{Auth, Connection, Data, Recipient, Sender, StartTls};
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
            (Recipient, 550, "#5.1.1 no such user", GiveUpMail),
            (Recipient, 550, "5.1.1: no such user", GiveUpMail),
            (Recipient, 550, "5.1.10 no such user", GiveUpMail),
            (Recipient, 550, "5.2.1 mailbox disabled", GiveUpMail),
            (Recipient, 552, "5.3.4 too large", GiveUpMail),
            (Recipient, 550, "no such user", RetryMail),
            (Recipient, 550, "4.1.1 not known yet", RetryMail),
            (Recipient, 550, "5.1.8 <id@example.com>: Sender address rejected: Domain not found", RetryMail),
            (Recipient, 553, "5.1.7 bad sender", RetryMail),
            (Recipient, 554, "5.3.2 system not accepting network messages", RetryMail),
            (Recipient, 554, "5.4.6 routing loop", RetryMail),
            (Recipient, 550, "#5.7.1 relaying denied", RetryMail),
            (Recipient, 550, "relay not permitted", RetryMail),
            (Recipient, 554, "5.5.4 bad arguments", RetryMail),
            (Recipient, 553, "5.1.3 bad address", GiveUpMail),
            (Recipient, 501, "5.1.3 bad address", GiveUpMail),
            (Recipient, 551, "user not local", RetryMail),
            (Recipient, 551, "5.1.6 user has moved", GiveUpMail),
            (Recipient, 552, "5.2.2 mailbox full", RetryMail),
            (Recipient, 530, "sign in first", RetryMail),
            (Recipient, 503, "out of sequence", RetryMail),
            (Recipient, 554, "5.7.1 relay access denied", RetryMail),
            (Data, 451, "4.3.0 later", RetryMail),
            (Data, 552, "5.3.4 too large", GiveUpMail),
            (Data, 554, "transaction failed", RetryMail),
            (Data, 554, "5.3.5 system incorrectly configured", RetryMail),
            (Data, 554, "5.6.0 looks like spam", GiveUpMail),
            (Data, 554, "5.5.2 not a mail", GiveUpMail),
            (Data, 503, "5.5.1 no recipient", RetryMail),
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
        let reply = |code| Trouble::Reply { code, status: None };
        for step in [SmtpStep::Recipient, SmtpStep::Data] {
            assert!(takes_mail(step, reply(450)) && takes_mail(step, reply(550)), "{step:?}");
            for trouble in [reply(421), Trouble::Silence, Trouble::Protocol, Trouble::Tls] {
                assert!(!takes_mail(step, trouble), "{step:?} {trouble:?}");
            }
        }
        assert!(!takes_mail(SmtpStep::Sender, reply(550)));
    }

    #[test]
    fn fault_20_only_a_temporary_refusal_to_begin_can_come_from_too_many_connections() {
        let reply = |code| Trouble::Reply { code, status: None };
        for step in [SmtpStep::Connection, SmtpStep::Auth] {
            assert!(may_be_crowded(step, reply(421)) && may_be_crowded(step, reply(454)), "{step:?}");
            assert!(!may_be_crowded(step, reply(554)) && !may_be_crowded(step, Trouble::Silence), "{step:?}");
        }
        for step in [SmtpStep::StartTls, SmtpStep::Sender, SmtpStep::Recipient, SmtpStep::Data] {
            assert!(!may_be_crowded(step, reply(421)), "{step:?}");
        }
    }

    #[test]
    fn fault_20_what_a_server_quotes_stays_out_of_the_log() {
        const HER: &str = "Grace.Hopper@dom.example";
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
            ("blocked http://id.example/?to=ada@b.c&token= abcdefgh", "blocked (rest left out)"),
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
            ("code:ABCDEFGH, <ABCDEFGH> or abcd-efgh", "(left out) (left out) or (left out)"),
            ("5.7.1 Recipient rejected", "5.7.1 Recipient rejected"),
            ("#5.1.1 grace.hopper: user unknown", "#5.1.1 (address) user unknown"),
            ("5.1.1 grace hopper AT Dom.Example. unknown", "5.1.1 (address) (address) AT (address) unknown"),
            ("5.1.1 Grace\n(grace.hopper@dom.example)", "5.1.1 (address) (address)"),
            ("5.1.1 mx.dom.example: GRACE.HOPPER unknown", "5.1.1 (address) (address) unknown"),
            ("Empf\u{e4}nger", "Empf%C3%A4nger"),
            ("", ""),
        ] {
            for step in [SmtpStep::Connection, SmtpStep::StartTls, SmtpStep::Sender, SmtpStep::Recipient] {
                assert_eq!(loggable(step, text, HER), expected, "{step:?} {text}");
            }
            let code = expected.split(' ').next().filter(|word| EnhancedStatus::of_word(word).is_some());
            let code = code.unwrap_or_default();
            for step in [SmtpStep::Auth, SmtpStep::Data] {
                assert_eq!(loggable(step, text, HER), code, "{step:?} {text}");
            }
        }
        assert!(loggable(SmtpStep::Recipient, &"word ".repeat(1_000), HER).len() < 160);
        let short = loggable(SmtpStep::Recipient, "no <jo> here, journal jo.", "jo@dom.example");
        assert_eq!(short, "no (address) here, journal (address)", "a short name is no part of others");
    }

    #[test]
    fn an_enhanced_status_code_stands_at_the_start_and_has_its_form() {
        let status = |class, subject, detail| Some(EnhancedStatus { class, subject, detail });
        for (text, expected) in [
            ("5.7.1 relaying denied", status(5, 7, 1)),
            ("4.7.0 later", status(4, 7, 0)),
            ("5.1.1 no 5.7.1", status(5, 1, 1)),
            ("#5.7.26: no", status(5, 7, 26)),
            ("user 5.7.1", None),
            ("15.7.1", None),
            ("5.7.1.1", None),
            ("5.7.1000", None),
            ("5.7.+1", None),
            ("5.7.", None),
            ("5", None),
            ("", None),
        ] {
            assert_eq!(Trouble::reply(550, text), Trouble::Reply { code: 550, status: expected }, "{text}");
        }
        assert!(Trouble::reply(550, "5.1.8 <id@example.com>: rejected").is_about_the_sender());
        assert!(!Trouble::reply(550, "5.1.1 <ada@example.com>: rejected").is_about_the_sender());
    }

    #[test]
    fn waits_grow_to_a_longest() {
        assert_eq!((mail_wait(1), mail_wait(5), mail_wait(i64::MAX)), (SECOND * 10, HOUR, HOUR));
        assert_eq!(mail_wait(0), SECOND * 10);
        assert_eq!((server_wait(1, false), server_wait(9, false)), (SECOND * 10, MINUTE));
        assert_eq!((server_wait(1, true), server_wait(9, true)), (SECOND * 10, MINUTE * 15));
    }
}
