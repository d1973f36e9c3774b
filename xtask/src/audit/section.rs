//! A table of `deny.toml`, read key by key, in which no key may be left over.

use anyhow::{Context, bail};
use toml::{Table, Value};

/// A table and where it stands, for messages.
pub(crate) struct Section {
    place: String,
    table: Table,
}

impl Section {
    /// The whole of a file.
    pub(crate) fn of_file(text: &str) -> anyhow::Result<Self> {
        Ok(Self { place: "deny.toml".to_owned(), table: text.parse()? })
    }

    /// The table under `key`.
    pub(crate) fn section(&mut self, key: &str) -> anyhow::Result<Self> {
        let value = self.value(key)?;
        self.entry(key, value)
    }

    /// The tables in the array under `key`.
    pub(crate) fn entries(&mut self, key: &str) -> anyhow::Result<Vec<Self>> {
        let array = self.array(key)?;
        array.into_iter().map(|value| self.entry(key, value)).collect()
    }

    /// The strings in the array under `key`.
    pub(crate) fn strings(&mut self, key: &str) -> anyhow::Result<Vec<String>> {
        let array = self.array(key)?;
        array.into_iter().map(|value| self.text(key, value)).collect()
    }

    /// The string under `key`.
    pub(crate) fn string(&mut self, key: &str) -> anyhow::Result<String> {
        let value = self.value(key)?;
        self.text(key, value)
    }

    /// Insists that `key` has the one value that is implemented.
    pub(crate) fn only(&mut self, key: &str, implemented: &str) -> anyhow::Result<()> {
        let found = self.string(key)?;
        if found != implemented {
            bail!("{}: `{key}` can only be \"{implemented}\" here, not \"{found}\"", self.place);
        }
        Ok(())
    }

    /// Refuses what nobody has asked for: a rule that is not understood must not look like one that is kept.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self.table.keys().next() {
            Some(key) => bail!("{}: `{key}` is not understood here", self.place),
            None => Ok(()),
        }
    }

    fn value(&mut self, key: &str) -> anyhow::Result<Value> {
        self.table.remove(key).with_context(|| format!("{}: `{key}` is missing", self.place))
    }

    fn array(&mut self, key: &str) -> anyhow::Result<Vec<Value>> {
        match self.value(key)? {
            Value::Array(array) => Ok(array),
            _ => bail!("{}: `{key}` has to be a list", self.place),
        }
    }

    fn entry(&self, key: &str, value: Value) -> anyhow::Result<Self> {
        match value {
            Value::Table(table) => Ok(Self { place: format!("{}, {key}", self.place), table }),
            _ => bail!("{}: `{key}` has to hold tables", self.place),
        }
    }

    fn text(&self, key: &str, value: Value) -> anyhow::Result<String> {
        match value {
            Value::String(text) => Ok(text),
            _ => bail!("{}: `{key}` has to hold text", self.place),
        }
    }
}
