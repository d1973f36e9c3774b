//! Text that people choose and others see: cleaned and capped once, here.

use std::fmt;

use icu_properties::props::{
    BidiControl, BinaryProperty, CanonicalCombiningClass, DefaultIgnorableCodePoint, Emoji, EmojiModifier,
    ExtendedPictographic, JoiningType, Math, Script, UnifiedIdeograph, VariationSelector,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::UnicodeNormalization;

/// User text that is safe to show: without control, direction-changing and invisible characters, and no longer than
/// a page can take. The template escapes it and puts it in a `<bdi>` element.
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

/// Text from outside for a log line or an error description: cut short, and visible ASCII only. Every other byte is
/// percent-encoded, and so are `"` and `\`, which RFC 6749 forbids in `error_description`. The bytes cut off are
/// counted.
///
/// It hides nothing: never pass it what may be a secret.
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

/// Like [`readable`], but what can mislead a reader is removed, and white space with a space, tab or line end in it becomes
/// one space, as on every page. For showing somebody else's text: what a person enters is checked, not changed.
pub fn clean(text: &str) -> String {
    readable(text).unwrap_or_else(|_| {
        let chars = on_one_line(text);
        let kept = chars.iter().enumerate().filter(|(at, _)| !misleads_at(&chars, *at));
        spaced(&kept.map(|(_, c)| *c).collect::<String>())
    })
}

/// `text` in NFC, with its ends trimmed and otherwise as it was typed.
///
/// # Errors
/// [`Unreadable`]: the first character that can mislead a reader. Tabs and line ends within the text are among them.
pub fn readable(text: &str) -> Result<String, Unreadable> {
    let text = text.trim();
    if is_plain(text) {
        return Ok(text.to_owned());
    }
    let chars: Vec<char> = text.nfc().collect();
    match (0..chars.len()).find(|at| misleads_at(&chars, *at)) {
        Some(at) => Err(Unreadable(chars[at])),
        None => Ok(chars.into_iter().collect()),
    }
}

/// A character that cannot be seen, or changes how others are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it contains U+{:04X}, an invisible or misleading character", u32::from(*.0))]
pub struct Unreadable(pub char);

impl Unreadable {
    /// Its code point as people look it up: `U+200B`.
    pub fn code(self) -> String {
        format!("U+{:04X}", u32::from(self.0))
    }
}

/// Whether there is nothing but visible ASCII and spaces: most text, and nothing in it needs a look at the Unicode
/// tables.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn on_one_line(text: &str) -> Vec<char> {
    let ends_a_line_or_is_a_tab = |c| matches!(c, '\t'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    text.nfc().map(|c| if ends_a_line_or_is_a_tab(c) { ' ' } else { c }).collect()
}

fn spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    let mut rest = text.trim();
    while let Some(end) = rest.find(char::is_whitespace) {
        let (word, gap_and_rest) = rest.split_at(end);
        rest = gap_and_rest.trim_start();
        let gap = &gap_and_rest[..gap_and_rest.len() - rest.len()];
        spaced.push_str(word);
        spaced.push_str(if gap.contains(' ') { " " } else { gap });
    }
    spaced + rest
}

const ZERO_WIDTH_NON_JOINER: char = '\u{200C}';
const ZERO_WIDTH_JOINER: char = '\u{200D}';

/// Whether the character at this position misleads, given its neighbours: joiners and variation selectors mean
/// something where a script or an emoji needs them, and are invisible everywhere else.
fn misleads_at(chars: &[char], at: usize) -> bool {
    let (before, after) = (&chars[..at], &chars[at + 1..]);
    match chars[at] {
        ZERO_WIDTH_NON_JOINER => !(follows_virama(before) || breaks_a_join(before, after)),
        ZERO_WIDTH_JOINER => !(follows_virama(before) || joins_emoji(before, after)),
        c if is::<VariationSelector>(c) => !before.last().is_some_and(|base| has_variant(*base, c)),
        c => is_misleading(c),
    }
}

/// RFC 5892 appendices A.1 and A.2: after a virama a joiner chooses the form of the conjunct.
fn follows_virama(before: &[char]) -> bool {
    let class = |c: &char| CodePointMapData::<CanonicalCombiningClass>::new().get(*c);
    before.last().is_some_and(|c| class(c) == CanonicalCombiningClass::Virama)
}

/// RFC 5892 appendix A.1: between two letters that would join, whatever transparent marks are between them.
fn breaks_a_join(before: &[char], after: &[char]) -> bool {
    let joining = |c: &char| CodePointMapData::<JoiningType>::new().get(*c);
    let transparent = |kind: &JoiningType| *kind == JoiningType::Transparent;
    let left = before.iter().rev().map(joining).find(|kind| !transparent(kind));
    let right = after.iter().map(joining).find(|kind| !transparent(kind));
    matches!(left, Some(JoiningType::LeftJoining | JoiningType::DualJoining))
        && matches!(right, Some(JoiningType::RightJoining | JoiningType::DualJoining))
}

/// Unicode TS 51, ED-16: between two pictures, the first perhaps with a modifier or a variation selector.
fn joins_emoji(before: &[char], after: &[char]) -> bool {
    let modifies = |c: &&char| is::<VariationSelector>(**c) || is::<EmojiModifier>(**c);
    let left = before.iter().rev().find(|c| !modifies(c));
    let picture = |c: &char| is::<ExtendedPictographic>(*c);
    left.is_some_and(picture) && after.first().is_some_and(picture)
}

/// Whether a base has variants of this kind (Unicode, StandardizedVariants.txt and emoji-variation-sequences.txt; the
/// Ideographic Variation Database), judged by script or property: the lists themselves change with every version.
fn has_variant(base: char, selector: char) -> bool {
    match selector {
        '\u{FE00}'..='\u{FE02}' => {
            let script = CodePointMapData::<Script>::new().get(base);
            is::<UnifiedIdeograph>(base)
                || [Script::Myanmar, Script::PhagsPa, Script::Manichaean].contains(&script)
                || is::<Math>(base)
                || is_zero_or_east_asian_mark(base)
        }
        '\u{FE0E}' | '\u{FE0F}' => is::<Emoji>(base),
        '\u{180B}'..='\u{180F}' => CodePointMapData::<Script>::new().get(base) == Script::Mongolian,
        '\u{E0100}'..='\u{E01EF}' => is::<UnifiedIdeograph>(base),
        _ => false,
    }
}

/// Zeros, which may have a slash, and the marks that East Asian writing puts into a corner or the middle of their square.
fn is_zero_or_east_asian_mark(base: char) -> bool {
    "0０、。，．：；！？‘’“”".contains(base)
}

fn is<P: BinaryProperty>(c: char) -> bool {
    CodePointSetData::new::<P>().contains(c)
}

/// Whether a character misleads everywhere: controls, line and paragraph separators, marks that change the direction
/// (Unicode TR 9), everything that is invisible by default, and interlinear annotations.
pub fn is_misleading(c: char) -> bool {
    c.is_control()
        || is::<DefaultIgnorableCodePoint>(c)
        || is::<BidiControl>(c)
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FFF9}'..='\u{FFFB}')
}

/// A word of a command, quoted for a shell whatever it contains: it may come from a stranger's link.
pub fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_misleads_a_reader_is_removed() {
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
    fn fault_11_what_a_script_or_an_emoji_needs_is_kept() {
        for text in [
            "علی\u{200C}رضا",
            "می\u{64E}\u{200C}خواهم",
            "ශ\u{DCA}\u{200D}රී",
            "ക്\u{200D}",
            "क्\u{200C}ष",
            "葛\u{E0100}城",
            "神\u{FE00}",
            "👩\u{200D}🚀",
            "👩🏽\u{200D}🚀",
            "🏳\u{FE0F}\u{200D}🌈",
            "❤\u{FE0F}",
            "❤\u{FE0E}",
            "1\u{FE0F}\u{20E3}",
            "ᠬ\u{180B}",
            "O'Neil-Ståhl",
            "Иванов",
            "李 小龍",
            "山田\u{3000}太郎",
            "Ada\u{A0}Lovelace",
            "Ada\u{2003}\u{2003}Lovelace",
            "0\u{FE00}",
            "∩\u{FE00}",
            "≨\u{FE00}",
            "、\u{FE00}",
            "，\u{FE01}",
            "０\u{FE00}",
        ] {
            assert_eq!(readable(text).as_deref(), Ok(text), "{text:?}");
            assert_eq!(clean(text), text, "{text:?}");
        }
    }

    #[test]
    fn fault_11_what_misleads_is_refused_by_code_point_and_nothing_is_changed_silently() {
        for (text, c) in [
            ("Ada\u{200C}Lovelace", '\u{200C}'),
            ("Ada\u{200D}", '\u{200D}'),
            ("\u{200D}Ada", '\u{200D}'),
            ("علی\u{200C}", '\u{200C}'),
            ("\u{200C}علی", '\u{200C}'),
            ("ا\u{200C}ب", '\u{200C}'),
            ("👩\u{200D}a", '\u{200D}'),
            ("👩\u{200D}\u{200D}🚀", '\u{200D}'),
            ("a\u{FE0F}", '\u{FE0F}'),
            ("葛\u{E0100}\u{E0100}", '\u{E0100}'),
            ("\u{E0100}葛", '\u{E0100}'),
            ("a\u{FE01}", '\u{FE01}'),
            ("葛\u{FE03}", '\u{FE03}'),
            ("Ada\u{200B}", '\u{200B}'),
            ("Ada\u{FEFF}", '\u{FEFF}'),
            ("Ada\u{AD}", '\u{AD}'),
            ("Ada\u{202E}", '\u{202E}'),
            ("Ada\u{2066}", '\u{2066}'),
            ("Ada\u{61C}", '\u{61C}'),
            ("Ada\u{200E}", '\u{200E}'),
            ("Ada\u{2063}", '\u{2063}'),
            ("Ada\u{3164}", '\u{3164}'),
            ("Ada\u{115F}", '\u{115F}'),
            ("Ada\u{E0041}", '\u{E0041}'),
            ("Ada\u{1D173}", '\u{1D173}'),
            ("Ada\u{FFF9}", '\u{FFF9}'),
            ("Ada\u{FE00}", '\u{FE00}'),
            ("Ada\nLovelace", '\n'),
            ("Ada\r\nLovelace", '\r'),
            ("Ada\tLovelace", '\t'),
            ("Ada\u{85}Lovelace", '\u{85}'),
            ("Ada\u{2028}Lovelace", '\u{2028}'),
            ("Ada\u{0}", '\u{0}'),
            ("Ada\u{1b}[31m", '\u{1b}'),
            ("Ada\u{7F}", '\u{7F}'),
        ] {
            assert_eq!(readable(text), Err(Unreadable(c)), "{text:?}");
        }
        assert_eq!(Unreadable('\u{200B}').code(), "U+200B");
        let typed = readable("\t A\u{30A}da  Lovelace\u{A0}\n");
        assert_eq!(typed.as_deref(), Ok("\u{C5}da  Lovelace"), "NFC, and nothing at the ends");
    }

    #[test]
    fn a_long_text_is_cut_by_characters_not_by_bytes() {
        let shown = DisplayText::new(&"ä".repeat(10_000), 80);
        assert_eq!(shown.as_str().chars().count(), 80);
        assert!(shown.as_str().ends_with('…'));
    }

    #[test]
    fn a_word_is_quoted_if_a_shell_would_interpret_it() {
        for (word, expected) in [
            ("data/dev", "data/dev"),
            ("", "''"),
            ("my keys", "'my keys'"),
            ("a$b;c*", "'a$b;c*'"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(shell_quoted(word), expected);
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
