//! From columns to values: what does not parse is a corrupt row, named as such.

use std::str::FromStr;

use idp_core::time::Timestamp;

use crate::error::StoreError;

/// Where a row comes from, for the error that names it.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) table: &'static str,
    pub(crate) id: &'a str,
}

impl Origin<'_> {
    /// A value, or the error that its column is corrupt.
    pub(crate) fn value<T>(self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| StoreError::Corrupt { table: self.table, column, id: self.id.to_owned() })
    }

    /// A parsed text.
    pub(crate) fn parsed<T: FromStr>(self, column: &'static str, text: &str) -> Result<T, StoreError> {
        self.value(column, text.parse().ok())
    }
}

pub(crate) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
