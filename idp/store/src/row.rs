//! From columns to values: what does not parse is a corrupt row, or one of a newer node, and named as such.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Mutex;

use idp_core::account::password::PasswordHash;
use idp_core::time::Timestamp;
use serde_json::Value;

use crate::error::StoreError;
use crate::lock::lock;

/// Where a row comes from, for the error that names it.
#[derive(Clone, Copy)]
pub(crate) struct RowRef<'a> {
    pub(crate) table: &'static str,
    pub(crate) id: &'a str,
}

impl RowRef<'_> {
    /// A value, or the error that its column is corrupt.
    pub(crate) fn value<T>(self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| StoreError::Corrupt { table: self.table, column, id: self.id.to_owned() })
    }

    /// A parsed text.
    pub(crate) fn parsed<T: FromStr>(self, column: &'static str, text: &str) -> Result<T, StoreError> {
        self.value(column, text.parse().ok())
    }

    /// One of a set of words that grows from version to version; one that is not known here is a newer node's.
    pub(crate) fn word<T>(self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| StoreError::Newer { table: self.table, column, id: self.id.to_owned() })
    }

    /// A password's hash in the PHC format (`$…`): a newer node may make it in another way, or at more cost than is
    /// borne here.
    pub(crate) fn password(self, text: &str) -> Result<PasswordHash, StoreError> {
        let hash = PasswordHash::parse(text).ok();
        if text.starts_with('$') {
            self.word("password_hash", hash)
        } else {
            self.value("password_hash", hash)
        }
    }

    /// Leaves a row of a newer node alone, and says so once.
    pub(crate) fn leave(self, column: &'static str) {
        if is_new(&format!("{}.{column} {}", self.table, self.id)) {
            let (table, id) = (self.table, self.id);
            tracing::warn!(table, column, id, "a row of a newer version is left alone");
        }
    }
}

/// What was read; of a row of a newer node nothing, and a line in the log.
pub(crate) fn unless_newer<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Newer { table, column, id }) => {
            RowRef { table, id: &id }.leave(column);
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Says once of each member that a newer node wrote beside those that were `read` that it is left alone.
pub(crate) fn note_members(table: &'static str, column: &'static str, stored: &Value, read: &Value) {
    let (Value::Object(stored), Value::Object(read)) = (stored, read) else { return };
    for (name, value) in stored {
        match read.get(name) {
            Some(known) => note_members(table, column, value, known),
            None if is_new(&format!("{table}.{column} member {name}")) => {
                let member: String = name.chars().filter(|sign| !sign.is_control()).take(40).collect();
                tracing::warn!(table, column, member, "a member of a newer version is left alone");
            }
            None => {}
        }
    }
}

/// What was said already. Bounded: who has filled the log with a thousand such lines has been told.
fn is_new(what: &str) -> bool {
    const MOST: usize = 1000;
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = lock(&SAID);
    said.len() < MOST && said.insert(what.chars().take(200).collect())
}

pub(crate) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
