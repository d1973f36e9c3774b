//! Scopes (RFC 6749 section 3.3): a set of words, always written in the same order.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The scopes this server knows, each with a sentence on the consent page.
pub const KNOWN: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// A set of scope words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(BTreeSet<String>);

/// A text that breaks RFC 6749's scope syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("scope words are separated by single spaces and hold no quotes, backslashes or control characters")]
pub struct BadScope;

impl Scope {
    /// Parses a space-separated list. An empty text is the empty set.
    ///
    /// # Errors
    /// [`BadScope`].
    pub fn parse(text: &str) -> Result<Self, BadScope> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let word =
            |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if text.split(' ').all(word) {
            Ok(Self(text.split(' ').map(str::to_owned).collect()))
        } else {
            Err(BadScope)
        }
    }

    /// A set of these words.
    pub fn of(words: &[&str]) -> Self {
        Self(words.iter().map(|word| (*word).to_owned()).collect())
    }

    /// Whether a word is in the set.
    pub fn has(&self, word: &str) -> bool {
        self.0.contains(word)
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every word of `other` is in this set.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.is_subset(&self.0)
    }

    /// The words that are in both.
    pub fn common(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// The words that are in either.
    pub fn united(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// The words, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.iter().enumerate() {
            write!(f, "{}{word}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Scope {
    type Error = BadScope;
    fn try_from(text: String) -> Result<Self, BadScope> {
        Self::parse(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_written_in_one_order() {
        assert_eq!(Scope::parse("profile openid profile").unwrap().to_string(), "openid profile");
    }

    #[test]
    fn broken_syntax_is_refused() {
        for bad in [" ", "a  b", " a", "a ", "a\tb", "a\"", "a\\", "ä", "a\0"] {
            assert_eq!(Scope::parse(bad), Err(BadScope), "{bad:?}");
        }
    }
}
