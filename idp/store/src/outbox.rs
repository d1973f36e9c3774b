//! Outgoing mail: stored with the action that causes it, and sent by a task afterwards. A row holds neither link nor
//! token, so a stolen outbox opens nothing.

use std::time::Duration;

use idp_core::ids::MailId;
use idp_core::time::{DAY, HOUR, Timestamp};
use idp_core::user::{Email, FullName};
use sqlx::{FromRow, Row};

use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;
use crate::row::{RowRef, timestamp};

/// Defines the kinds of mail, each with its stored word, which is also the name of its templates.
macro_rules! kinds {
    (
        $(#[$first_doc:meta])* $first:ident = $first_word:literal,
        $($(#[$doc:meta])* $name:ident = $word:literal,)*
    ) => {
        /// The kinds of mail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum MailKind {
            $(#[$first_doc])* $first,
            $($(#[$doc])* $name,)*
        }

        impl MailKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[Self::$first, $(Self::$name,)*];

            /// The stored word, which is also the name of the mail's templates.
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    $(Self::$name => $word,)*
                }
            }
        }

        /// The stored words, as a list in SQL. Other kinds belong to a newer version.
        macro_rules! known_kinds {
            () => { concat!("('", $first_word, $("', '", $word,)* "')") };
        }
    };
}

kinds! {
    /// Verifies an address, with a link and a code.
    Activation = "activation",
    /// Somebody registered an address that already has an account.
    AlreadyRegistered = "already_registered",
    /// The account was locked for a while.
    Locked = "locked",
    /// The account is active.
    Welcome = "welcome",
}

/// A mail to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Its id.
    pub id: MailId,
    /// Its kind.
    pub kind: MailKind,
    /// The recipient's address.
    pub recipient: Email,
    /// The recipient's name.
    pub name: FullName,
    /// The id of what it is about: of the registration for an activation mail, otherwise of the user.
    pub subject: String,
    /// The duration named in the text, in minutes.
    pub minutes: Option<i64>,
    /// When it was requested.
    pub created_at: Timestamp,
    /// How many delivery attempts there have been.
    pub attempts: i64,
}

/// A mail that a sender has claimed. No other sender gets it until the lease ends.
#[derive(Clone, Debug)]
pub struct ClaimedMail {
    /// The row's id as stored, even if the rest of the row is garbage.
    pub id: String,
    /// The id of what it is about.
    pub subject: String,
    /// How many delivery attempts there have been, including this one.
    pub attempts: i64,
    /// The mail, or why the row cannot be read.
    pub mail: Result<Mail, StoreError>,
}

#[derive(sqlx::FromRow)]
struct MailRow {
    id: String,
    kind: String,
    recipient: String,
    name: String,
    subject: String,
    minutes: Option<i64>,
    created_at: i64,
    attempts: i64,
}

impl MailRow {
    fn parse(self) -> Result<Mail, StoreError> {
        let row = RowRef { table: "outbox", id: &self.id };
        let kind = MailKind::ALL.iter().copied().find(|kind| kind.as_str() == self.kind);
        Ok(Mail {
            id: row.parsed("id", &self.id)?,
            kind: row.value("kind", kind)?,
            recipient: row.value("recipient", Email::parse(&self.recipient).ok())?,
            name: row.value("name", FullName::from_stored(&self.name).ok())?,
            subject: self.subject,
            minutes: self.minutes,
            created_at: timestamp(self.created_at),
            attempts: self.attempts,
        })
    }
}

/// How many domains a claim can leave out.
pub const MOST_LEFT_OUT: usize = 4;

/// Which mails a claim leaves out, besides those that are not due.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    /// Those to these domains and to domains below them; more than [`MOST_LEFT_OUT`] are ignored.
    pub domains: Vec<String>,
    /// Those that were tried before.
    pub retries: bool,
}

impl LeftOut {
    /// What a recipient must not end in, with `@` or `.` before it. No address ends in what fills the unused places.
    fn endings(&self) -> [String; MOST_LEFT_OUT] {
        std::array::from_fn(|at| format!("@{}", self.domains.get(at).map_or("", String::as_str)))
    }
}

/// How long delivery is attempted.
const TRIED_FOR: Duration = DAY;
/// After this many tries, later mails to the recipient no longer wait for this one.
const IN_LINE_TRIES: i64 = 5;
/// At this age, later mails to the recipient no longer wait for this one.
const IN_LINE_FOR: Duration = HOUR.saturating_mul(22);

/// Walks the due mails by `outbox_by_due`. For each one it asks, by `outbox_by_recipient`, whether an earlier mail to
/// its recipient is still in line. It never sorts.
const CLAIM: &str = concat!(
    "UPDATE outbox SET due_at = $2, attempts = attempts + 1 WHERE due_at <= $1 AND id = \
    (SELECT id FROM outbox AS mail WHERE due_at <= $1 AND attempts < $5 AND kind IN ",
    known_kinds!(),
    " AND SUBSTR(LOWER(recipient), LENGTH(recipient) - LENGTH($6) + 1) NOT IN (LOWER($6), '.' || SUBSTR(LOWER($6), 2)) \
    AND SUBSTR(LOWER(recipient), LENGTH(recipient) - LENGTH($7) + 1) NOT IN (LOWER($7), '.' || SUBSTR(LOWER($7), 2)) \
    AND SUBSTR(LOWER(recipient), LENGTH(recipient) - LENGTH($8) + 1) NOT IN (LOWER($8), '.' || SUBSTR(LOWER($8), 2)) \
    AND SUBSTR(LOWER(recipient), LENGTH(recipient) - LENGTH($9) + 1) NOT IN (LOWER($9), '.' || SUBSTR(LOWER($9), 2)) \
    AND (attempts >= $3 OR created_at <= $4 OR NOT EXISTS \
    (SELECT 1 FROM outbox AS earlier WHERE LOWER(earlier.recipient) = LOWER(mail.recipient) \
    AND earlier.created_at > $4 AND earlier.created_at <= mail.created_at \
    AND (earlier.created_at < mail.created_at OR earlier.id < mail.id) \
    AND earlier.attempts < $3 AND earlier.kind IN ",
    known_kinds!(),
    ")) ORDER BY due_at LIMIT 1) \
    RETURNING id, kind, recipient, name, subject, minutes, created_at, attempts"
);

impl Tx {
    /// Puts a mail into the outbox.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enqueue_mail(&mut self, mail: &Mail) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO outbox (id, kind, recipient, name, subject, minutes, created_at, due_at, \
            attempts, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 0, $8)";
        on!(self, c => sqlx::query(SQL)
            .bind(mail.id.to_string()).bind(mail.kind.as_str()).bind(mail.recipient.as_str())
            .bind(mail.name.as_str()).bind(mail.subject.as_str()).bind(mail.minutes)
            .bind(mail.created_at.millis()).bind(mail.created_at.plus(TRIED_FOR).millis())
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Claims the mail that has been due longest and keeps other senders away from it for `lease`. If the sender
    /// dies, the mail is due again afterwards. A row that cannot be read is claimed as well: it has to wait like any
    /// mail that failed, or it would always come first and hold up all others. A kind of mail this version does not
    /// know is not claimed; it waits for a node that knows it.
    ///
    /// What `left_out` says stays where it is, and so do later mails to its recipients.
    ///
    /// A recipient's mails leave in the order in which they were requested, on all nodes together: one is claimed only
    /// when the earlier ones are gone. It does not wait for one that has failed often or is old, or a single mail that
    /// cannot be sent would hold up a recipient's mail for a day.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_mail(
        &mut self,
        lease: Duration,
        left_out: &LeftOut,
        now: Timestamp,
    ) -> Result<Option<ClaimedMail>, StoreError> {
        let (most_tries, [one, two, three, four]) =
            (if left_out.retries { 1 } else { i64::MAX }, left_out.endings());
        on!(self, c => {
            let row = sqlx::query(CLAIM).bind(now.millis()).bind(now.plus(lease).millis())
                .bind(IN_LINE_TRIES).bind(now.minus(IN_LINE_FOR).millis()).bind(most_tries)
                .bind(one).bind(two).bind(three).bind(four).fetch_optional(c).await?;
            Ok(row.map(|row| ClaimedMail {
                id: row.try_get("id").unwrap_or_default(),
                subject: row.try_get("subject").unwrap_or_default(),
                attempts: row.try_get("attempts").unwrap_or_default(),
                // SQLite stores whatever it is given, so a column may even have another type.
                mail: MailRow::from_row(&row).map_err(StoreError::from).and_then(MailRow::parse),
            }))
        })
    }

    /// Deletes a mail that was delivered or given up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_mail(&mut self, id: &str) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM outbox WHERE id = $1";
        on!(self, c => sqlx::query(SQL).bind(id).execute(c).await.map(drop))?;
        Ok(())
    }

    /// Reschedules a mail that could not be delivered for `due_at`. `false`: it is too old and was deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn postpone_mail(&mut self, id: &str, due_at: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE outbox SET due_at = $2 WHERE id = $1 AND expires_at > $2";
        let kept = on!(self, c => sqlx::query(SQL)
            .bind(id).bind(due_at.millis()).execute(c).await.map(|done| done.rows_affected()))?;
        if kept == 0 {
            self.delete_mail(id).await?;
        }
        Ok(kept == 1)
    }

    /// Gives a claimed mail back as if it had not been claimed, because something else than the mail failed: it keeps its
    /// place in line, and the try does not count. `false`: it would be too old at its `next` try and was deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn return_mail(&mut self, id: &str, next: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE outbox SET due_at = created_at, attempts = attempts - 1 \
            WHERE id = $1 AND expires_at > $2";
        let kept = on!(self, c => sqlx::query(SQL)
            .bind(id).bind(next.millis()).execute(c).await.map(|done| done.rows_affected()))?;
        if kept == 0 {
            self.delete_mail(id).await?;
        }
        Ok(kept == 1)
    }
}

impl Reader {
    /// Logs, once for each mail of a kind only a newer version knows, that it waits for such a node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_newer_mails(&mut self) -> Result<(), StoreError> {
        const SQL: &str =
            concat!("SELECT id FROM outbox WHERE kind NOT IN ", known_kinds!(), " ORDER BY id LIMIT 100");
        let ids: Vec<String> = on!(self, c => sqlx::query_scalar(SQL).fetch_all(c).await)?;
        ids.iter().for_each(|id| RowRef { table: "outbox", id }.log_left_alone("kind"));
        Ok(())
    }

    /// How many mails are waiting. Only tests ask; the product takes mails one by one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mails_waiting(&mut self) -> Result<i64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM outbox";
        Ok(on!(self, c => sqlx::query_scalar(SQL).fetch_one(c).await)?)
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
