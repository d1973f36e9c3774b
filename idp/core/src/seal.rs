//! Sealing: what the database must give back in the clear (signing keys, server keys) is stored encrypted and bound
//! to its row and column. The key-encryption key is kept outside the database.

use std::collections::BTreeMap;
use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::secret::{base64url, from_base64url, random_bytes};

const NONCE: usize = 24;

/// Where a sealed value lives. It is authenticated with the value, so a value moved to another row or column
/// does not open.
#[derive(Clone, Copy, Debug)]
pub struct SealLocation<'a> {
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The row's primary key.
    pub row: &'a str,
}

impl SealLocation<'_> {
    fn bound_data(&self) -> String {
        format!("{}/{}/{}", self.table, self.column, self.row)
    }
}

/// Why a value could not be sealed or opened. No variant reveals anything about the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key-encryption key that sealed it is not in the ring.
    #[error("the key-encryption key `{0}` is missing")]
    MissingKey(String),
    /// The ring is empty.
    #[error("there is no key-encryption key to seal with")]
    NoKey,
    /// Altered, moved, cut short, or sealed under another key with the same ID.
    #[error("a sealed value does not open: it was altered, moved, or sealed under another key")]
    Broken,
}

/// One key-encryption key: an ID, stored with every value it seals, and 256 secret bits.
pub struct Kek {
    id: String,
    cipher: XChaCha20Poly1305,
}

impl Kek {
    /// From an ID and 32 bytes; `None` if there are not 32.
    pub fn new(id: &str, bytes: &[u8]) -> Option<Self> {
        let cipher = XChaCha20Poly1305::new_from_slice(bytes).ok()?;
        Some(Self { id: id.to_owned(), cipher })
    }
}

/// The key-encryption keys of this node. The one whose ID sorts last seals new values; all of them open.
#[derive(Default)]
pub struct Keyring(BTreeMap<String, XChaCha20Poly1305>);

impl Keyring {
    /// A ring of these keys.
    pub fn new(keys: impl IntoIterator<Item = Kek>) -> Self {
        Self(keys.into_iter().map(|key| (key.id, key.cipher)).collect())
    }

    /// Whether the ring has no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the ring has the key with this ID.
    pub fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// The ID of the key that seals new values.
    pub fn active_id(&self) -> Option<&str> {
        self.0.last_key_value().map(|(id, _)| id.as_str())
    }

    /// Encrypts a value for one place. The result names its key: `id.nonce.ciphertext`.
    ///
    /// # Errors
    /// [`SealError::NoKey`] if the ring is empty.
    pub fn seal(&self, place: SealLocation<'_>, plain: &[u8]) -> Result<String, SealError> {
        let (id, cipher) = self.0.last_key_value().ok_or(SealError::NoKey)?;
        let nonce = random_bytes::<NONCE>();
        let bound = place.bound_data();
        let payload = Payload { msg: plain, aad: bound.as_bytes() };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Broken)?;
        Ok(format!("{id}.{}.{}", base64url(&nonce), base64url(&sealed)))
    }

    /// Opens a value that was sealed for this place.
    ///
    /// # Errors
    /// [`SealError`]: the key is missing, or the value was not sealed for this place.
    pub fn open(&self, place: SealLocation<'_>, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut parts = sealed.splitn(3, '.');
        let mut next = || parts.next().ok_or(SealError::Broken);
        let (id, nonce, text) = (next()?, next()?, next()?);
        let cipher = self.0.get(id).ok_or_else(|| SealError::MissingKey(id.to_owned()))?;
        let nonce: [u8; NONCE] =
            from_base64url(nonce).and_then(|n| n.try_into().ok()).ok_or(SealError::Broken)?;
        let text = from_base64url(text).ok_or(SealError::Broken)?;
        let bound = place.bound_data();
        let payload = Payload { msg: &text, aad: bound.as_bytes() };
        cipher.decrypt(&XNonce::from(nonce), payload).map(Zeroizing::new).map_err(|_| SealError::Broken)
    }
}

/// The ID of the key that sealed a value, as the value names it.
pub fn key_id(sealed: &str) -> &str {
    sealed.split('.').next().unwrap_or_default()
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: SealLocation<'_> = SealLocation { table: "keys", column: "private", row: "1" };

    fn ring(ids: &[(&str, u8)]) -> Keyring {
        Keyring::new(ids.iter().map(|(id, byte)| Kek::new(id, &[*byte; 32]).unwrap()))
    }

    #[test]
    fn what_was_sealed_opens_in_its_place() {
        let ring = ring(&[("a", 1)]);
        let sealed = ring.seal(HERE, b"secret").unwrap();
        assert!(!sealed.contains("secret"));
        assert_eq!(&**ring.open(HERE, &sealed).unwrap(), b"secret");
    }

    #[test]
    fn a_value_moved_to_another_row_or_column_does_not_open() {
        let ring = ring(&[("a", 1)]);
        let sealed = ring.seal(HERE, b"secret").unwrap();
        for elsewhere in [
            SealLocation { row: "2", ..HERE },
            SealLocation { column: "public", ..HERE },
            SealLocation { table: "users", ..HERE },
        ] {
            assert_eq!(ring.open(elsewhere, &sealed), Err(SealError::Broken));
        }
    }

    #[test]
    fn an_altered_value_does_not_open() {
        let ring = ring(&[("a", 1)]);
        let sealed = ring.seal(HERE, b"secret").unwrap();
        for broken in [&sealed[..sealed.len() - 2], "a.b.c", "a.", ""] {
            assert_eq!(ring.open(HERE, broken), Err(SealError::Broken), "{broken}");
        }
        assert_eq!(self::ring(&[("a", 2)]).open(HERE, &sealed), Err(SealError::Broken));
    }

    #[test]
    fn a_missing_key_is_named_and_the_newest_key_seals() {
        let old = ring(&[("2026-a", 1)]);
        let both = ring(&[("2026-a", 1), ("2026-b", 2)]);
        let sealed = old.seal(HERE, b"secret").unwrap();
        assert!(both.open(HERE, &sealed).is_ok());
        let newer = both.seal(HERE, b"secret").unwrap();
        assert_eq!(old.open(HERE, &newer), Err(SealError::MissingKey("2026-b".to_owned())));
        assert_eq!((key_id(&sealed), key_id(&newer)), ("2026-a", "2026-b"));
        assert!(both.has("2026-b") && !old.has("2026-b"));
    }
}
