//! Signing and verifying (RFC 7515, RFC 7518, RFC 8725). josekit does it; only this file uses josekit.
//!
//! A key is parsed once and kept; a private key leaves this file only to be sealed. Nothing here takes a key, or the
//! place of one, from a token: a header's `kid` chooses among our own keys, its `alg` and `typ` must be what that key
//! and the kind of token demand, a `crit` is refused, and everything else in it is ignored.

use std::collections::HashMap;
use std::fmt;

use josekit::jwk::KeyPair;
use josekit::jwk::alg::{ec::EcCurve, ec::EcKeyPair, rsa::RsaKeyPair};
use josekit::jws::{ES256, JwsSigner, JwsVerifier, RS256};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::claims::{AccessTokenClaims, IdTokenClaims};
use super::issuer::Issuer;
use crate::client::SigningAlg;
use crate::ids::UserId;
use crate::secret::{base64url, from_base64url};
use crate::time::Timestamp;

/// Something is wrong with a key of ours; never caused by a request.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key could not be made, read or used.
    #[error("signing key: {0}")]
    Jose(#[from] josekit::JoseError),
    /// The claims could not be written.
    #[error("claims: {0}")]
    Claims(#[from] serde_json::Error),
    /// There is no active key for an algorithm.
    #[error("there is no active {0} signing key")]
    None(&'static str),
    /// A published key cannot be told apart or verified with.
    #[error("a published JWK has no kid or no known alg")]
    Unusable,
}

/// A new key pair on its way into the store: the public half to publish, the private half to seal.
pub struct NewKey {
    /// Algorithm.
    pub alg: SigningAlg,
    /// RFC 7638 thumbprint, unique by construction.
    pub kid: String,
    /// The public JWK, with `kid`, `alg` and `use`.
    pub public_jwk: String,
    /// PKCS#8 DER.
    pub private_der: Zeroizing<Vec<u8>>,
}

impl NewKey {
    /// Makes a key: RSA of 2048 bits, or EC on P-256.
    ///
    /// # Errors
    /// [`KeyError::Jose`] when OpenSSL cannot.
    pub fn generate(alg: SigningAlg) -> Result<Self, KeyError> {
        let (jwk, der) = match alg {
            SigningAlg::Rs256 => {
                let pair = RsaKeyPair::generate(2048)?;
                (pair.to_jwk_public_key(), pair.to_der_private_key())
            }
            SigningAlg::Es256 => {
                let pair = EcKeyPair::generate(EcCurve::P256)?;
                (pair.to_jwk_public_key(), pair.to_der_private_key())
            }
        };
        let members: Map<String, Value> = jwk.into();
        let (kid, public_jwk) = published(alg, &members)?;
        Ok(Self { alg, kid, public_jwk, private_der: Zeroizing::new(der) })
    }
}

/// The key's public members alone, named by their thumbprint.
fn published(alg: SigningAlg, members: &Map<String, Value>) -> Result<(String, String), KeyError> {
    let names: &[&str] = match alg {
        SigningAlg::Rs256 => &["e", "kty", "n"],
        SigningAlg::Es256 => &["crv", "kty", "x", "y"],
    };
    let public: Map<String, Value> = names
        .iter()
        .filter_map(|name| members.get(*name).map(|value| ((*name).to_owned(), value.clone())))
        .collect();
    // serde_json's map sorts its names, which is the order RFC 7638 section 3.3 wants.
    let kid = crate::secret::Digest::of(&serde_json::to_string(&public)?).as_str().to_owned();
    let mut jwk = public;
    jwk.insert("kid".into(), json!(kid));
    jwk.insert("alg".into(), json!(alg.as_str()));
    jwk.insert("use".into(), json!("sig"));
    Ok((kid, serde_json::to_string(&jwk)?))
}

/// A key that signs, parsed once.
pub struct SigningKey {
    alg: SigningAlg,
    signer: Box<dyn JwsSigner>,
    id_token_header: String,
    access_token_header: String,
}

impl SigningKey {
    /// From the unsealed PKCS#8 DER.
    ///
    /// # Errors
    /// [`KeyError::Jose`] if it is not such a key.
    pub fn new(alg: SigningAlg, kid: &str, private_der: &[u8]) -> Result<Self, KeyError> {
        let signer: Box<dyn JwsSigner> = match alg {
            SigningAlg::Rs256 => Box::new(RS256.signer_from_der(private_der)?),
            SigningAlg::Es256 => Box::new(ES256.signer_from_der(private_der)?),
        };
        let header = |typ: &str| {
            base64url(json!({ "alg": alg.as_str(), "kid": kid, "typ": typ }).to_string().as_bytes())
        };
        Ok(Self {
            alg,
            signer,
            id_token_header: header(IdTokenClaims::TYP),
            access_token_header: header(AccessTokenClaims::TYP),
        })
    }

    fn sign(&self, header: &str, claims: &impl Serialize) -> Result<String, KeyError> {
        let mut token = format!("{header}.{}", base64url(&serde_json::to_vec(claims)?));
        let signature = self.signer.sign(token.as_bytes())?;
        token.push('.');
        token.push_str(&base64url(&signature));
        Ok(token)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.alg.as_str())
    }
}

struct PublicKey {
    alg: SigningAlg,
    verifier: Box<dyn JwsVerifier>,
}

/// Every key of this server, ready for use: built at the start and whenever keys change, otherwise only read.
pub struct KeySet {
    issuer: Issuer,
    signing: Vec<SigningKey>,
    public: HashMap<String, PublicKey>,
    jwks: String,
}

impl KeySet {
    /// From the active keys and the public JWKs of all published ones (the next and the retiring as well). A newer
    /// node's keys that this version does not know are published as stored, for clients that verify what that node
    /// signs; here they verify nothing.
    ///
    /// # Errors
    /// [`KeyError`] when a stored key cannot be read.
    pub fn new(
        issuer: Issuer,
        signing: Vec<SigningKey>,
        published: &[String],
        of_newer: &[String],
    ) -> Result<Self, KeyError> {
        let mut public = HashMap::new();
        let mut jwks = Vec::new();
        for text in published {
            let members: Map<String, Value> = serde_json::from_str(text)?;
            let jwk = josekit::jwk::Jwk::from_map(members.clone())?;
            let (Some(kid), Some(alg)) = (jwk.key_id(), jwk.algorithm().and_then(SigningAlg::from_stored))
            else {
                return Err(KeyError::Unusable);
            };
            let verifier: Box<dyn JwsVerifier> = match alg {
                SigningAlg::Rs256 => Box::new(RS256.verifier_from_jwk(&jwk)?),
                SigningAlg::Es256 => Box::new(ES256.verifier_from_jwk(&jwk)?),
            };
            public.insert(kid.to_owned(), PublicKey { alg, verifier });
            jwks.push(Value::Object(members));
        }
        // A text that is not even an object (RFC 7517 section 4) would spoil the whole set.
        let of_newer =
            of_newer.iter().filter_map(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
        jwks.extend(of_newer.map(Value::Object));
        let jwks = json!({ "keys": jwks }).to_string();
        Ok(Self { issuer, signing, public, jwks })
    }

    /// The issuer of every token.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The JWK Set document (RFC 7517 section 5).
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// Signs an ID token. Only a token response asks for one, so no other request can come to cost a signature.
    ///
    /// # Errors
    /// [`KeyError`].
    pub(super) fn sign_id_token(
        &self,
        alg: SigningAlg,
        claims: &IdTokenClaims<'_>,
    ) -> Result<String, KeyError> {
        let key = self.signing(alg)?;
        key.sign(&key.id_token_header, claims)
    }

    /// Signs an access token (RFC 9068), likewise only for a token response.
    ///
    /// # Errors
    /// [`KeyError`].
    pub(super) fn sign_access_token(
        &self,
        alg: SigningAlg,
        claims: &AccessTokenClaims,
    ) -> Result<String, KeyError> {
        let key = self.signing(alg)?;
        key.sign(&key.access_token_header, claims)
    }

    /// Verifies an access token of ours for use at our own endpoints: signature, type, issuer, audience, time.
    pub fn verify_access_token(&self, token: &str, now: Timestamp) -> Option<AccessTokenClaims> {
        let claims: AccessTokenClaims = self.verify(token, AccessTokenClaims::TYP)?;
        let ours = claims.iss == self.issuer.as_str() && claims.aud == self.issuer.as_str();
        let soon = now.seconds() + 10;
        let begun =
            (0..=soon).contains(&claims.iat) && claims.nbf.is_none_or(|nbf| (0..=soon).contains(&nbf));
        let in_time = begun && now.seconds() < claims.exp;
        (ours && in_time).then_some(claims)
    }

    fn signing(&self, alg: SigningAlg) -> Result<&SigningKey, KeyError> {
        self.signing.iter().find(|key| key.alg == alg).ok_or(KeyError::None(alg.as_str()))
    }

    fn verify<C: DeserializeOwned>(&self, token: &str, typ: &str) -> Option<C> {
        if token.len() > LONGEST_TOKEN {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&from_base64url(header)?).ok()?;
        let key = self.public.get(&header.kid)?;
        if header.typ != typ || header.alg != key.alg.as_str() || header.crit.is_some() {
            return None;
        }
        key.verifier.verify(signed.as_bytes(), &from_base64url(signature)?).ok()?;
        serde_json::from_slice(&from_base64url(payload)?).ok()
    }
}

/// The most bytes a token may have; a longer one is refused unread.
const LONGEST_TOKEN: usize = 8 * 1024;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
    crit: Option<Value>,
}

/// What an `id_token_hint` with a signature of ours says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// `sub`.
    pub subject: String,
    /// `sid`: the session it was issued in.
    pub session: Option<String>,
    /// `aud`: the client it was issued to.
    pub audience: String,
}

/// Reads ID tokens that come back as hints.
pub trait HintVerifier {
    /// The hint, if this server signed it. It may have expired: a hint names somebody but gives no access
    /// (OpenID Connect RP-Initiated Logout section 2).
    fn verify(&self, token: &str) -> Option<Hint>;
}

#[derive(Deserialize)]
struct HintClaims {
    iss: String,
    sub: UserId,
    aud: String,
    azp: Option<String>,
    sid: Option<String>,
}

impl HintVerifier for KeySet {
    fn verify(&self, token: &str) -> Option<Hint> {
        let claims: HintClaims = KeySet::verify(self, token, IdTokenClaims::TYP)?;
        let to_its_audience = claims.azp.as_ref().is_none_or(|azp| *azp == claims.aud);
        (claims.iss == self.issuer.as_str() && to_its_audience).then(|| Hint {
            subject: claims.sub.to_string(),
            session: claims.sid,
            audience: claims.aud,
        })
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
