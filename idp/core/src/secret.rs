//! Secrets as types: redacted when printed, wiped when dropped, never serialised. Also the only source of randomness.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes from the operating system's random source.
///
/// # Panics
/// If the machine has no working random source: nothing here may run without one.
#[expect(clippy::disallowed_methods, clippy::expect_used, reason = "the only source of randomness")]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// base64url without padding (RFC 4648 section 5), the one text form of bytes in this project.
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of a base64url text without padding; `None` if it is anything else.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Text that must not be seen: a password, a client secret, a token on its way to its owner.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over; the caller keeps no copy.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// 256 random bits as 43 base64url characters, which are all unreserved in URLs and forms.
    pub fn random() -> Self {
        Self(base64url(&random_bytes::<32>()))
    }

    /// The text itself. The name makes each use easy to find in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The digest under which the secret is stored.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

/// For forms: a password is a secret from the moment its form is decoded.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        String::deserialize(text).map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// SHA-256 of a secret with 256 bits of entropy, as base64url: what the database stores in its place.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Digest(String);

impl Digest {
    /// The digest of a text.
    pub fn of(text: &str) -> Self {
        Self(base64url(&Sha256::digest(text.as_bytes())))
    }

    /// A digest read back from the database; `None` if the column holds anything else.
    pub fn from_stored(text: &str) -> Option<Self> {
        (from_base64url(text)?.len() == 32).then(|| Self(text.to_owned()))
    }

    /// The stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `presented` is the text behind this digest, compared in constant time.
    pub fn matches(&self, presented: &str) -> bool {
        self.0.as_bytes().ct_eq(Self::of(presented).0.as_bytes()).into()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// A server key for message authentication (HMAC-SHA-256).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MacKey([u8; 32]);

impl MacKey {
    /// A new random key.
    pub fn generate() -> Self {
        Self(random_bytes())
    }

    /// From its 32 bytes, as unsealed from the database.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes, to be sealed.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The authenticator of `parts` for one purpose. Each part is preceded by its length, so that no two lists
    /// of parts give the same input.
    pub fn tag(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.hmac();
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag` is the authenticator of `parts`, compared in constant time.
    pub fn verify(&self, purpose: &str, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.tag(purpose, parts).ct_eq(tag).into()
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104)")]
    fn hmac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0).expect("any length is a key")
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_a_secret_shows_nothing_of_it() {
        let secret = Secret::new("hunter2".into());
        let shown = format!("{secret:?}{:?}{:?}", secret.digest(), MacKey::generate());
        assert_eq!(shown, "Secret(…)Digest(…)MacKey(…)");
    }

    #[test]
    fn a_random_secret_has_43_unreserved_characters() {
        let secret = Secret::random();
        assert_eq!(secret.expose().len(), 43);
        assert!(secret.expose().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_ne!(secret, Secret::random());
    }

    #[test]
    fn a_digest_matches_its_text_only() {
        let digest = Digest::of("right");
        assert!(digest.matches("right"));
        assert!(!digest.matches("wrong") && !digest.matches("") && !digest.matches(digest.as_str()));
    }

    #[test]
    fn a_tag_depends_on_purpose_and_on_where_parts_end() {
        let key = MacKey::generate();
        assert_ne!(key.tag("a", &[b"bc"]), key.tag("a", &[b"b", b"c"]));
        assert_ne!(key.tag("a", &[b"b"]), key.tag("ab", &[]));
        assert!(key.verify("a", &[b"b"], &key.tag("a", &[b"b"])));
        assert!(!MacKey::generate().verify("a", &[b"b"], &key.tag("a", &[b"b"])));
    }
}
