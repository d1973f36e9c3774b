//! What to do after a mail server's answer (RFC 5321 section 4.2.1), or when there was none.

use std::time::Duration;

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
