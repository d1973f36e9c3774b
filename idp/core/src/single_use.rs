//! One primitive for everything that may be used once: a typed, prefixed 256-bit value whose digest is stored
//! and consumed by one conditional UPDATE.

use std::fmt;
use std::marker::PhantomData;

use crate::secret::{Digest, Secret};

/// What a single-use value is for. Each kind has its own prefix, so that one kind never passes for another.
pub trait SingleUseKind {
    /// Precedes the random part, so that people who find a value in somebody else's log recognise it.
    const PREFIX: &'static str;
}

/// An authorization code (RFC 6749 section 4.1.2).
pub enum AuthorizationCode {}
/// The link in the email that activates an account.
pub enum ActivationLink {}

impl SingleUseKind for AuthorizationCode {
    const PREFIX: &'static str = "ac_";
}
impl SingleUseKind for ActivationLink {
    const PREFIX: &'static str = "av_";
}

/// A single-use value in the clear, on its way to its owner. Only its digest is ever stored.
pub struct SingleUse<K: SingleUseKind> {
    secret: Secret,
    kind: PhantomData<K>,
}

impl<K: SingleUseKind> SingleUse<K> {
    /// A new value.
    pub fn generate() -> Self {
        let text = format!("{}{}", K::PREFIX, Secret::random().expose());
        Self { secret: Secret::new(text), kind: PhantomData }
    }

    /// The value as handed to its owner.
    pub fn expose(&self) -> &str {
        self.secret.expose()
    }

    /// What the database stores.
    pub fn digest(&self) -> SingleUseDigest<K> {
        SingleUseDigest { digest: self.secret.digest(), kind: PhantomData }
    }
}

impl<K: SingleUseKind> fmt::Debug for SingleUse<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", K::PREFIX)
    }
}

/// The digest of a single-use value, issued or presented: the only form that reaches the store.
pub struct SingleUseDigest<K: SingleUseKind> {
    digest: Digest,
    kind: PhantomData<K>,
}

impl<K: SingleUseKind> SingleUseDigest<K> {
    /// The digest of a presented value; `None` if it does not have the shape of this kind, so that rubbish
    /// never costs a query.
    pub fn of_presented(text: &str) -> Option<Self> {
        let random = text.strip_prefix(K::PREFIX)?;
        let shaped =
            random.len() == 43 && random.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        shaped.then(|| Self { digest: Digest::of(text), kind: PhantomData })
    }

    /// A digest read back from storage; `None` if the text is not a digest.
    pub fn from_stored(text: &str) -> Option<Self> {
        Digest::from_stored(text).map(|digest| Self { digest, kind: PhantomData })
    }

    /// The stored form.
    pub fn as_str(&self) -> &str {
        self.digest.as_str()
    }
}

impl<K: SingleUseKind> Clone for SingleUseDigest<K> {
    fn clone(&self) -> Self {
        Self { digest: self.digest.clone(), kind: PhantomData }
    }
}

impl<K: SingleUseKind> fmt::Debug for SingleUseDigest<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}digest", K::PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presented_value_finds_its_own_digest() {
        let code = SingleUse::<AuthorizationCode>::generate();
        let presented = SingleUseDigest::<AuthorizationCode>::of_presented(code.expose()).unwrap();
        assert_eq!(presented.as_str(), code.digest().as_str());
        assert!(!code.digest().as_str().contains(&code.expose()[3..]));
    }

    #[test]
    fn a_value_of_another_kind_or_shape_is_refused() {
        let code = SingleUse::<AuthorizationCode>::generate();
        assert!(SingleUseDigest::<ActivationLink>::of_presented(code.expose()).is_none());
        let (cut, long) = (&code.expose()[..45], format!("{}A", code.expose()));
        for rubbish in ["", "ac_", cut, &long, "ac_' OR 1=1--", "\0"] {
            assert!(SingleUseDigest::<AuthorizationCode>::of_presented(rubbish).is_none(), "{rubbish}");
        }
    }
}
