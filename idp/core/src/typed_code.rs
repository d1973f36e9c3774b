//! A short code that a person reads in an email and types. It is stored as an HMAC bound to what it opens; the store
//! counts the tries.

use std::fmt;

use crate::secret::{MacKey, base64url, random_bytes};

/// Letters and digits that are not mistaken for each other (no I, L, O, U, 0, 1): 30 characters. Eight of them
/// give 39 bits; five tries per code leave a chance below 2^-36.
const ALPHABET: &[u8; 30] = b"ABCDEFGHJKMNPQRSTVWXYZ23456789";
/// How many characters a code has.
pub const LENGTH: usize = 8;
/// How many wrong tries end a code.
pub const TRIES: i64 = 5;

/// A typed code in the clear, on its way into an email.
pub struct TypedCode(String);

impl TypedCode {
    /// A new code. Bytes that would favour some characters are discarded.
    pub fn generate() -> Self {
        let fair = 256 / ALPHABET.len() * ALPHABET.len();
        let mut text = String::with_capacity(LENGTH);
        while text.len() < LENGTH {
            for byte in random_bytes::<16>().into_iter().map(usize::from).filter(|byte| *byte < fair) {
                if text.len() < LENGTH {
                    text.push(char::from(ALPHABET[byte % ALPHABET.len()]));
                }
            }
        }
        Self(text)
    }

    /// What a person typed: case, spaces and dashes do not matter. `None` if it cannot be a code.
    pub fn of_typed(text: &str) -> Option<Self> {
        let text: String = text
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let shaped = text.len() == LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte));
        shaped.then_some(Self(text))
    }

    /// The code as shown: two groups of four.
    pub fn shown(&self) -> String {
        format!("{}-{}", &self.0[..4], &self.0[4..])
    }

    /// What the database stores: bound to `subject`, so a code opens only what it was made for.
    pub fn tag(&self, key: &MacKey, subject: &str) -> String {
        base64url(&key.tag("typed-code", &[subject.as_bytes(), self.0.as_bytes()]))
    }
}

impl fmt::Debug for TypedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_recognised_however_it_is_typed() {
        let (key, code) = (MacKey::generate(), TypedCode::generate());
        for typed in
            [code.0.clone(), code.shown().to_lowercase(), format!(" {} ", code.shown().replace('-', " "))]
        {
            assert_eq!(TypedCode::of_typed(&typed).unwrap().tag(&key, "x"), code.tag(&key, "x"));
        }
    }

    #[test]
    fn a_code_opens_only_what_it_was_made_for() {
        let (key, code) = (MacKey::generate(), TypedCode::generate());
        assert_ne!(code.tag(&key, "x"), code.tag(&key, "y"));
        assert_ne!(code.tag(&key, "x"), code.tag(&MacKey::generate(), "x"));
    }

    #[test]
    fn what_cannot_be_a_code_is_refused_before_any_look_up() {
        for typed in ["", "ABCD", "ABCDEFGHJ", "ABCDEFG0", "ÄBCDEFG", "' OR 1=1"] {
            assert!(TypedCode::of_typed(typed).is_none(), "{typed}");
        }
    }
}
