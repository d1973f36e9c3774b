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
    /// The value, or the error that its column is corrupt.
    pub(crate) fn value<T>(self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| StoreError::Corrupt { table: self.table, column, id: self.id.to_owned() })
    }

    /// The parsed text, or the error that its column is corrupt.
    pub(crate) fn parsed<T: FromStr>(self, column: &'static str, text: &str) -> Result<T, StoreError> {
        self.value(column, text.parse().ok())
    }

    /// A word from a set that grows from version to version. An unknown one was written by a newer node.
    pub(crate) fn word<T>(self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| StoreError::Newer { table: self.table, column, id: self.id.to_owned() })
    }

    /// A password hash in the PHC format (`$…`). A newer node may use another algorithm, or a higher cost than is
    /// accepted here.
    pub(crate) fn password(self, text: &str) -> Result<PasswordHash, StoreError> {
        let hash = PasswordHash::parse(text).ok();
        if text.starts_with('$') {
            self.word("password_hash", hash)
        } else {
            self.value("password_hash", hash)
        }
    }

    /// Logs once that a newer node's row is left untouched.
    pub(crate) fn leave(self, column: &'static str) {
        if is_new(&format!("{}.{column} {}", self.table, self.id)) {
            let (table, id) = (self.table, self.id);
            tracing::warn!(table, column, id, "left a row from a newer version unchanged");
        }
    }
}

/// What was read; `None` and a log line for a row of a newer node.
pub(crate) fn unless_newer<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Newer { table, column, id }) => {
            RowRef { table, id: &id }.leave(column);
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Logs once for each JSON member that is `stored` but was not `read` that it is left untouched: a newer node wrote
/// it.
pub(crate) fn note_members(table: &'static str, column: &'static str, stored: &Value, read: &Value) {
    let (Value::Object(stored), Value::Object(read)) = (stored, read) else { return };
    for (name, value) in stored {
        match read.get(name) {
            Some(known) => note_members(table, column, value, known),
            None if is_new(&format!("{table}.{column} member {name}")) => {
                let member: String = name.chars().filter(|sign| !sign.is_control()).take(40).collect();
                tracing::warn!(table, column, member, "left a member from a newer version unchanged");
            }
            None => {}
        }
    }
}

/// What has been logged already. Bounded: after a thousand such lines the operator knows.
fn is_new(what: &str) -> bool {
    const MOST: usize = 1000;
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = lock(&SAID);
    said.len() < MOST && said.insert(what.chars().take(200).collect())
}

pub(crate) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
