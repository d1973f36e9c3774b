//! What a command says: answers to standard output, errors to standard error.

use std::fmt::Display;
use std::io::{self, Write};

use idp_core::text::is_misleading;
use idp_core::time::Timestamp;
use idp_store::StoreError;
use serde_json::{Value, json};

use crate::failure::{Failure, unread_advice};
use crate::options::OutputFormat;

/// Prints one line. A closed pipe (`idp user list | head`) is no error.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints an answer in the requested format.
pub(crate) fn answer(format: OutputFormat, json: Value, text: impl Display) {
    match format {
        OutputFormat::Text => line(text),
        OutputFormat::Json => line(format_args!("{json:#}")),
    }
}

/// Prints what went wrong to standard error.
pub(crate) fn errors(format: OutputFormat, failure: &Failure) {
    if format == OutputFormat::Json {
        let error = json!({ "error": failure.lines().join("\n") });
        let _ = writeln!(io::stderr().lock(), "{}", escaped_json(&error));
        return;
    }
    for line in failure.lines() {
        let _ = writeln!(io::stderr().lock(), "error: {}", plain(line));
    }
}

/// Asks for something at the terminal, without a line end.
pub(crate) fn prompt(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{}", plain(text)).and_then(|()| stderr.flush());
}

/// Prints a remark to standard error, for people.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", plain(text));
}

/// Prints a warning to standard error.
pub(crate) fn warning(text: &str) {
    let _ = writeln!(io::stderr().lock(), "warning: {}", plain(text));
}

/// Warns of rows that are not in an answer, and of rows in it that are not whole.
pub(crate) fn unread(left_out: &[StoreError], incomplete: &[StoreError]) {
    for why in left_out {
        warning(&format!("a row is not shown: {why}; {}", unread_advice(why)));
    }
    for why in incomplete {
        warning(&format!("a row is not shown whole: {why}; {}", unread_advice(why)));
    }
}

/// Messages can quote user input: keep them on one line, and show what would hide text or control the terminal.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    for c in line.chars() {
        match is_misleading(c) {
            true => plain.extend(c.escape_unicode()),
            false => plain.push(c),
        }
    }
    plain
}

/// JSON on one line. Whatever would hide text or control the terminal can only be in its strings, and is escaped there.
fn escaped_json(value: &Value) -> String {
    let mut escaped = String::new();
    for c in value.to_string().chars() {
        match is_misleading(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped += &format!("\\u{unit:04x}")),
            false => escaped.push(c),
        }
    }
    escaped
}

/// Prints what is wrong with a command line, whose words it quotes. With colours, if nothing has to be escaped.
pub(crate) fn misread(wrong: &clap::Error) {
    let text = wrong.to_string();
    if wrong.use_stderr() && text.chars().any(|c| c != '\n' && is_misleading(c)) {
        let lines: Vec<String> = text.trim_end().split('\n').map(plain).collect();
        let _ = writeln!(io::stderr().lock(), "{}", lines.join("\n"));
    } else {
        let _ = wrong.print();
    }
}

/// A time in RFC 3339, in UTC.
pub(crate) fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.seconds()).map_or_else(|_| at.to_string(), |moment| moment.to_string())
}

/// A table whose columns are as wide as their widest cell.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let width = |text: &str| text.chars().count();
    let mut widths = head.map(width);
    for row in rows {
        widths.iter_mut().zip(row).for_each(|(widest, cell)| *widest = (*widest).max(width(cell)));
    }
    let written = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, wide)| format!("{cell:wide$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let rows = rows.iter().map(|row| written(row.each_ref().map(String::as_str)));
    std::iter::once(written(head)).chain(rows).collect::<Vec<_>>().join("\n")
}

/// Names and values, one pair per line.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let widest = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name:widest$}  {value}").trim_end().to_owned();
    facts.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["ä".to_owned(), "b".to_owned()], ["long cell".to_owned(), String::new()]];
        assert_eq!(table(["one", "two"], &rows), "one        two\nä          b\nlong cell");
    }

    #[test]
    fn fault_13_what_cannot_be_seen_is_escaped() {
        assert_eq!(plain("`a\u{1b}[31m\u{202e}b\nä` cannot be"), "`a\\u{1b}[31m\\u{202e}b\\u{a}ä` cannot be");
    }

    #[test]
    fn fault_11_what_cannot_be_seen_is_escaped_in_json_too() {
        let value = json!({ "error": "a\u{202e}b\u{e0041}\n" });
        let text = escaped_json(&value);
        assert_eq!(text, "{\"error\":\"a\\u202eb\\udb40\\udc41\\n\"}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_moment_is_written_in_utc() {
        assert_eq!(moment(Timestamp::from_millis(1_700_000_000_999)), "2023-11-14T22:13:20Z");
        assert_eq!(moment(Timestamp::from_millis(i64::MAX)), i64::MAX.to_string());
    }
}
