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

/// Text from outside in a log line or an error description: cut short, and of visible ASCII only. Every other byte is
/// percent-encoded, and so are `"` and `\`, which RFC 6749 keeps out of `error_description`. What was cut off is counted.
///
/// It hides nothing: what may be a secret does not belong in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Excerpt(String);

impl Excerpt {
    /// The first `longest` bytes, escaped.
    pub fn new(text: impl AsRef<[u8]>, longest: usize) -> Self {
        let bytes = text.as_ref();
        let kept = bytes.len().min(longest);
        let mut excerpt = String::with_capacity(kept);
        for byte in &bytes[..kept] {
            match byte {
                b'"' | b'\\' => excerpt.push_str(&format!("%{byte:02X}")),
                b' '..=b'~' => excerpt.push(char::from(*byte)),
                _ => excerpt.push_str(&format!("%{byte:02X}")),
            }
        }
        if kept < bytes.len() {
            excerpt.push_str(&format!("... ({} more bytes)", bytes.len() - kept));
        }
        Self(excerpt)
    }

    /// The excerpt.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
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

    #[test]
    fn fault_03_text_from_outside_is_short_and_visible() {
        for (text, shown) in [
            (&b"id.example.com:443"[..], "id.example.com:443"),
            (b"a\r\nb\x1b[31m", "a%0D%0Ab%1B[31m"),
            (b"say \"x\\y\"", "say %22x%5Cy%22"),
            ("\u{e4}\u{202e}".as_bytes(), "%C3%A4%E2%80%AE"),
            (b"\xff\0", "%FF%00"),
            (b"", ""),
        ] {
            assert_eq!(Excerpt::new(text, 40).as_str(), shown);
        }
        assert_eq!(Excerpt::new("a".repeat(8192), 4).as_str(), "aaaa... (8188 more bytes)");
        assert_eq!(Excerpt::new("aaaa", 4).as_str(), "aaaa");
    }
}
