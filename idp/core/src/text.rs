//! Text that people chose: shown to others, so it is cleaned and capped once, here.

use std::fmt;

/// User text that is safe to show: without control, direction-changing and invisible characters, and no
/// longer than a page can bear. Escaping is the template's work; it stands in a `<bdi>` element there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DisplayText(String);

impl DisplayText {
    /// Cleans `text` and keeps at most `longest` characters; a cut text ends with an ellipsis.
    pub fn new(text: &str, longest: usize) -> Self {
        let clean = clean(text);
        if clean.chars().count() <= longest {
            return Self(clean);
        }
        let mut cut: String = clean.chars().take(longest.saturating_sub(1)).collect();
        cut.push('…');
        Self(cut)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DisplayText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for DisplayText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Signs of a sent value that an operator sees.
const LOGGED: usize = 120;

/// What somebody sent, for the log: control and other invisible characters are escaped, so that it stays one record and
/// shows what differs. At most 120 characters are kept; how many more there were is said behind them.
pub fn for_log(text: &str) -> String {
    let mut shown: String = text.chars().take(LOGGED).flat_map(char::escape_debug).collect();
    let more = text.chars().count().saturating_sub(LOGGED);
    if more > 0 {
        shown.push_str(&format!("… (+{more})"));
    }
    shown
}

/// `text` without the characters that can mislead a reader, runs of white space made one space, trimmed.
pub fn clean(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|sign| if sign.is_whitespace() { ' ' } else { sign })
        .filter(|sign| !misleads(*sign))
        .collect();
    spaced.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Control characters, separators of lines and paragraphs, direction marks and overrides (Unicode TR 9), zero-width and
/// other invisible signs. The zero-width joiners stay out although some scripts use them: a name is readable without.
pub fn misleads(sign: char) -> bool {
    sign.is_control()
        || matches!(sign,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
            | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}

/// A word of a command as a shell reads it, whatever is in it: it may come from a stranger's link.
pub fn quoted(word: &str) -> String {
    let plain = |sign: char| sign.is_ascii_alphanumeric() || "-_./:=@%+,".contains(sign);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_misleads_a_reader_is_gone() {
        for (text, shown) in [
            ("Ada\u{202E}ecalevoL", "AdaecalevoL"),
            ("Ada\r\nBcc: eve@evil.example", "Ada Bcc: eve@evil.example"),
            ("\u{200B}\u{FEFF}  Ada \t\u{00A0} Lovelace ", "Ada Lovelace"),
            ("\u{1b}[31mred", "[31mred"),
            ("<b>Ada</b>", "<b>Ada</b>"),
        ] {
            assert_eq!(clean(text), shown, "{text:?}");
        }
    }

    #[test]
    fn fault_12_a_value_in_the_log_is_escaped_and_cut_short() {
        assert_eq!(for_log("https://app.example/bye?x=1&y=%20"), "https://app.example/bye?x=1&y=%20");
        assert_eq!(for_log("a\r\nb\u{1b}[31m\u{202E}\"c"), r#"a\r\nb\u{1b}[31m\u{202e}\"c"#);
        assert_eq!(for_log(&"ä".repeat(1_000_000)), format!("{}… (+999880)", "ä".repeat(120)));
        assert_eq!(for_log(&"x".repeat(120)), "x".repeat(120));
    }

    #[test]
    fn a_long_text_is_cut_by_characters_not_by_bytes() {
        let shown = DisplayText::new(&"ä".repeat(10_000), 80);
        assert_eq!(shown.as_str().chars().count(), 80);
        assert!(shown.as_str().ends_with('…'));
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_read_more_into_it() {
        for (word, expected) in [
            ("data/dev", "data/dev"),
            ("", "''"),
            ("my keys", "'my keys'"),
            ("a$b;c*", "'a$b;c*'"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
