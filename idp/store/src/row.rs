//! From columns to values. What does not parse is either corrupt or written by a newer node, and is reported as such.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Mutex;

use idp_core::account::password::PasswordHash;
use idp_core::time::Timestamp;
use serde_json::Value;

use crate::error::StoreError;
use crate::lock::lock;

/// Which row a column belongs to, for errors that name it.
#[derive(Clone, Copy)]
pub(crate) struct RowRef<'a> {
    pub(crate) table: &'static str,
    pub(crate) id: &'a str,
}

impl RowRef<'_> {
    /// The value, or the error that its column cannot be read.
    pub(crate) fn value<T>(self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| StoreError::Corrupt { table: self.table, column, id: self.id.to_owned() })
    }

    /// The parsed text, or the error that its column cannot be read.
    pub(crate) fn parsed<T: FromStr>(self, column: &'static str, text: &str) -> Result<T, StoreError> {
        self.value(column, text.parse().ok())
    }

    /// A word from a set that grows from version to version. An unknown one was written by a newer node.
    pub(crate) fn known_word<T>(self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| StoreError::Newer { table: self.table, column, id: self.id.to_owned() })
    }

    /// A password hash in the PHC format (`$…`). A newer node may use another algorithm, or a higher cost than is
    /// accepted here.
    pub(crate) fn password(self, text: &str) -> Result<PasswordHash, StoreError> {
        let hash = PasswordHash::parse(text).ok();
        if text.starts_with('$') {
            self.known_word("password_hash", hash)
        } else {
            self.value("password_hash", hash)
        }
    }

    /// Logs once that a newer node's row is left untouched.
    pub(crate) fn log_left_alone(self, column: &'static str) {
        if first_time(&format!("{}.{column} {}", self.table, self.id)) {
            let (table, id) = (self.table, self.id);
            tracing::warn!(table, column, id, "left a row from a newer version unchanged");
        }
    }

    /// Logs once that a list has entries this version cannot read, which are left untouched.
    pub(crate) fn log_entries_left_alone(self, column: &'static str) {
        if first_time(&format!("{}.{column} {} entries", self.table, self.id)) {
            let (table, id) = (self.table, self.id);
            tracing::warn!(table, column, id, "left entries from a newer version unchanged");
        }
    }
}

/// One page of a list: what this version can read, and why the rest is not in it.
#[derive(Debug)]
pub struct Listed<T> {
    /// The rows.
    pub found: Vec<T>,
    /// One error for each row that was left out: [`StoreError::Newer`] or [`StoreError::Corrupt`].
    pub left_out: Vec<StoreError>,
    /// One error for each column of a row that is in `found`, but without some entries of that column.
    pub incomplete: Vec<StoreError>,
}

impl<T> Listed<T> {
    pub(crate) fn empty() -> Self {
        Self { found: Vec::new(), left_out: Vec::new(), incomplete: Vec::new() }
    }

    /// How many rows are still to be read: others take the places of those that were left out.
    pub(crate) fn missing(&self, limit: i64) -> i64 {
        limit.max(0) - i64::try_from(self.found.len()).unwrap_or(i64::MAX)
    }

    /// Adds a row, or the reason why it is left out. One row that cannot be read must not hide the others.
    pub(crate) fn add(&mut self, read: Result<T, StoreError>) -> Result<(), StoreError> {
        match read {
            Ok(row) => self.found.push(row),
            Err(why @ (StoreError::Newer { .. } | StoreError::Corrupt { .. })) => self.left_out.push(why),
            Err(failed) => return Err(failed),
        }
        Ok(())
    }
}

/// What was read; `None` and a log line for a row of a newer node.
pub(crate) fn unless_newer<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Newer { table, column, id }) => {
            RowRef { table, id: &id }.log_left_alone(column);
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Logs once each JSON member that is `stored` but was not `read`: a newer node wrote it, and it is left untouched.
pub(crate) fn note_members(table: &'static str, column: &'static str, stored: &Value, read: &Value) {
    let (Value::Object(stored), Value::Object(read)) = (stored, read) else { return };
    for (name, value) in stored {
        match read.get(name) {
            Some(known) => note_members(table, column, value, known),
            None if first_time(&format!("{table}.{column} member {name}")) => {
                let member: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
                tracing::warn!(table, column, member, "left a member from a newer version unchanged");
            }
            None => {}
        }
    }
}

/// Whether this has not been logged yet. Bounded: after a thousand such lines the operator knows.
fn first_time(what: &str) -> bool {
    const MOST: usize = 1000;
    static LOGGED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut logged = lock(&LOGGED);
    logged.len() < MOST && logged.insert(what.chars().take(200).collect())
}

pub(crate) fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
