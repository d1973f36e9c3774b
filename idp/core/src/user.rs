//! A person's account.

use std::fmt;

use crate::ids::UserId;
use crate::text::{Unreadable, clean, readable};
use crate::time::Timestamp;

/// An email address as its owner wrote it, and the key under which it is unique: the same address in lower
/// case. Only plain addresses are accepted (RFC 5321 section 4.1.2 without quoted strings, comments, address
/// lists and IP literals), so one field can never reach two mailboxes.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    shown: String,
    key: String,
}

/// A text that is not one plain email address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a plain email address")]
pub struct BadEmail;

impl Email {
    /// Parses an address; surrounding white space is forgiven, nothing else is.
    ///
    /// # Errors
    /// [`BadEmail`] for everything that is not exactly one plain address of at most 254 characters.
    pub fn parse(text: &str) -> Result<Self, BadEmail> {
        let text = text.trim();
        let (local, domain) = text.split_once('@').ok_or(BadEmail)?;
        if local.len() > 64 || !local.split('.').all(is_atom) {
            return Err(BadEmail);
        }
        let domain = ascii_domain(domain)?;
        let shown = format!("{local}@{domain}");
        if shown.len() > 254 {
            return Err(BadEmail);
        }
        let key = shown.to_ascii_lowercase();
        Ok(Self { shown, key })
    }

    /// As its owner wrote it, the domain in its ASCII form; email goes there.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// In lower case: unique, and used for look-ups.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// RFC 5322 `atom`, ASCII only.
fn is_atom(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
}

/// A host name with at least one dot, in its ASCII form (IDNA).
fn ascii_domain(text: &str) -> Result<String, BadEmail> {
    let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
    if !text.chars().all(plain) {
        return Err(BadEmail);
    }
    let Ok(url::Host::Domain(domain)) = url::Host::parse(text) else {
        return Err(BadEmail);
    };
    let label = |l: &str| !l.is_empty() && l.len() <= 63 && !l.starts_with('-') && !l.ends_with('-');
    if domain.contains('.') && domain.split('.').all(label) { Ok(domain) } else { Err(BadEmail) }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Email({})", self.shown)
    }
}

/// A person's full name: 1 to 100 characters, each of them visible or needed by its neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullName(String);

/// Why a name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing readable was given.
    #[error("a name is missing")]
    Missing,
    /// More than [`FullName::LONGEST`] characters.
    #[error("the name is longer than 100 characters")]
    TooLong,
    /// A character that cannot be seen, or changes how others are read.
    #[error("the name: {0}")]
    Unreadable(#[from] Unreadable),
}

impl FullName {
    /// The most characters a name may have.
    pub const LONGEST: usize = 100;

    /// Checks a name that somebody entered; it is kept in NFC.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let name = readable(text)?;
        // The blank pattern of Braille is one of its letters, but alone it shows nothing.
        match name.chars().all(|c| c == '\u{2800}' || c.is_whitespace()) {
            true => Err(BadName::Missing),
            false => Self::measured(name),
        }
    }

    /// A stored name, perhaps from a version that accepted other characters: what misleads a reader is removed.
    ///
    /// # Errors
    /// [`BadName::Missing`] or [`BadName::TooLong`].
    pub fn from_stored(text: &str) -> Result<Self, BadName> {
        Self::measured(clean(text))
    }

    fn measured(name: String) -> Result<Self, BadName> {
        match name.chars().count() {
            0 => Err(BadName::Missing),
            count if count > Self::LONGEST => Err(BadName::TooLong),
            _ => Ok(Self(name)),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an administrator decided about an account. A lock-out is not a state of the account but of the throttle
/// in front of it ([`crate::account::throttle`]); an account that was never activated is still a registration,
/// with a row of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserState {
    /// May sign in.
    Active,
    /// Switched off by an administrator; no link switches it on again.
    Deactivated,
    /// In a state that only a newer version knows: not active here, and never changed here.
    Newer,
}

impl UserState {
    /// The word shown to operators, and stored for the states this version knows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Newer => "of a newer version",
        }
    }

    /// From the stored word.
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Active, Self::Deactivated].into_iter().find(|state| state.as_str() == text)
    }
}

/// An account.
#[derive(Clone, Debug)]
pub struct User {
    /// Its ID, also the `sub` of its tokens.
    pub id: UserId,
    /// The proven address.
    pub email: Email,
    /// The full name.
    pub name: FullName,
    /// Active, deactivated, or a state of a newer version.
    pub state: UserState,
    /// Raised to end every session and revoke every grant of the account at once.
    pub epoch: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its name or address last changed: the `updated_at` claim.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_are_accepted_and_unique_whatever_their_case() {
        for (text, shown, key) in [
            ("Ada@Example.org", "Ada@example.org", "ada@example.org"),
            ("  ada+news@mail.example.org ", "ada+news@mail.example.org", "ada+news@mail.example.org"),
            ("o'neil@example.org", "o'neil@example.org", "o'neil@example.org"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ] {
            let email = Email::parse(text).unwrap();
            assert_eq!((email.as_str(), email.key()), (shown, key));
        }
    }

    #[test]
    fn rg_06_anything_but_one_plain_address_is_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}.org", "a.".repeat(130));
        for text in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.org",
            "ada@localhost",
            "ada@@example.org",
            "ada@example..org",
            "a@example.org\r\nBcc: b@example.org",
            "a@example.org\nb@example.org",
            "a@example.org,b@example.org",
            "<a@example.org>,<b@example.org>",
            "<a@example.org>",
            "\"a b\"@example.org",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a b@example.org",
            ".a@example.org",
            "a..b@example.org",
            "a@exa mple.org",
            "a@example.org;b@example.org",
            "a@-example.org",
            "a(comment)@example.org",
            "ä@example.org",
            "a@example.org\0",
            "a%00@exam\0ple.org",
            "a@example.org/x",
            "a@example.org:25",
            &long,
            &longer,
        ] {
            assert_eq!(Email::parse(text), Err(BadEmail), "{text:?}");
        }
    }

    #[test]
    fn fault_11_a_name_is_checked_and_bounded() {
        assert_eq!(FullName::parse(" \t Ada  Lovelace ").unwrap().as_str(), "Ada  Lovelace");
        assert!(matches!(FullName::parse("Ada\tLovelace"), Err(BadName::Unreadable(_))));
        assert_eq!(FullName::from_stored("Ada  Lovelace").unwrap().as_str(), "Ada  Lovelace");
        assert!(matches!(FullName::parse("Ada \u{202E} Lovelace"), Err(BadName::Unreadable(_))));
        assert_eq!(FullName::from_stored("Ada \u{202E} Lovelace").unwrap().as_str(), "Ada Lovelace");
        assert_eq!(FullName::parse(" \t"), Err(BadName::Missing));
        assert_eq!(FullName::parse("\u{2800} \u{2800}"), Err(BadName::Missing), "blank in Braille");
        assert!(FullName::parse("⠁⠙⠁\u{2800}⠇").is_ok());
        assert!(FullName::parse(&"ä".repeat(100)).is_ok());
        assert_eq!(FullName::parse(&"ä".repeat(101)), Err(BadName::TooLong));
    }
}
