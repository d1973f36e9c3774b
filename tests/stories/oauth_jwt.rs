//! Decodes tokens, and forges them with the server's own keys and with others.

use idp_core::client::SigningAlg;
use idp_core::oauth::keys::NewKey;
use idp_core::seal::SealLocation;
use idp_core::secret::{base64url, from_base64url};
use josekit::jwk::KeyPair;
use josekit::jwk::alg::{ec::EcCurve, ec::EcKeyPair, rsa::RsaKeyPair};
use josekit::jws::{ES256, HS256, JwsSigner, RS256};
use serde_json::{Value, json};

use crate::support::TestApp;

/// A part of a JWT, unverified.
pub(crate) fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap_or_else(|| panic!("not a JWT: {token}"));
    serde_json::from_slice(&from_base64url(part).unwrap()).unwrap()
}

pub(crate) fn header(token: &str) -> Value {
    part(token, 0)
}

pub(crate) fn claims(token: &str) -> Value {
    part(token, 1)
}

/// A JWT made of these parts.
pub(crate) fn forged(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let encode = |value: &Value| base64url(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(header), encode(claims));
    format!("{signed}.{}", base64url(&sign(signed.as_bytes())))
}

/// A signing key.
pub(crate) struct Signer {
    pub(crate) kid: String,
    pub(crate) public_jwk: Value,
    signer: Box<dyn JwsSigner>,
    /// The public key in every form that a confused verifier could take for an HMAC secret.
    public: Vec<(&'static str, Vec<u8>)>,
}

impl Signer {
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        forged(header, claims, |message| self.signer.sign(message).unwrap())
    }

    /// Somebody else's key.
    pub(crate) fn foreign() -> Self {
        let key = NewKey::generate(SigningAlg::Es256).unwrap();
        Self::new(key.kid, &key.public_jwk, SigningAlg::Es256, &key.private_der)
    }

    /// The server's own key for an algorithm, as if it had been stolen.
    pub(crate) async fn stolen(app: &TestApp, alg: SigningAlg) -> Self {
        let ring = idp_server::key_files::load(&app.config.keys_dir).unwrap();
        let keys = app.store().read((), |db, ()| Box::pin(db.keys())).await.unwrap();
        let key = keys.into_iter().find(|key| key.purpose == alg.as_str()).unwrap();
        let place = SealLocation { table: "keys", column: "sealed_private", row: &key.id };
        let der = ring.open(place, &key.sealed_private).unwrap();
        let public_jwk = key.public_jwk.unwrap();
        Self::new(key.id, &public_jwk, alg, &der)
    }

    fn new(kid: String, public_jwk: &str, alg: SigningAlg, der: &[u8]) -> Self {
        let (pair, signer): (Box<dyn KeyPair>, Box<dyn JwsSigner>) = match alg {
            SigningAlg::Rs256 => {
                (Box::new(RsaKeyPair::from_der(der).unwrap()), Box::new(RS256.signer_from_der(der).unwrap()))
            }
            SigningAlg::Es256 => (
                Box::new(EcKeyPair::from_der(der, Some(EcCurve::P256)).unwrap()),
                Box::new(ES256.signer_from_der(der).unwrap()),
            ),
        };
        let public = vec![
            ("JWK", public_jwk.as_bytes().to_vec()),
            ("PEM", pair.to_pem_public_key()),
            ("DER", pair.to_der_public_key()),
        ];
        Self { kid, public_jwk: serde_json::from_str(public_jwk).unwrap(), signer, public }
    }
}

/// Tokens with these claims that the server must refuse: what is wrong with each, and the token.
pub(crate) async fn forgeries(app: &TestApp, typ: &str, claims: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let (rsa, ec) =
        (Signer::stolen(app, SigningAlg::Rs256).await, Signer::stolen(app, SigningAlg::Es256).await);
    let evil = Signer::foreign();
    for alg in ["none", "None", "nOnE", "NONE", "", "HS256"] {
        let header = json!({ "alg": alg, "kid": ec.kid, "typ": typ });
        all.push((format!("alg {alg}"), forged(&header, claims, |_| Vec::new())));
    }
    let without = json!({ "kid": ec.kid, "typ": typ });
    all.push(("alg missing".to_owned(), forged(&without, claims, |_| Vec::new())));
    for (name, key) in [("RSA", &rsa), ("EC", &ec)] {
        for (form, secret) in &key.public {
            let signer = HS256.signer_from_bytes(secret).unwrap();
            let header = json!({ "alg": "HS256", "kid": key.kid, "typ": typ });
            let token = forged(&header, claims, |message| signer.sign(message).unwrap());
            all.push((format!("HS256 with the {name} key as {form}"), token));
        }
    }
    for header in [
        json!({ "alg": "ES256", "kid": ec.kid, "typ": typ }),
        json!({ "alg": "ES256", "kid": evil.kid, "typ": typ }),
        json!({ "alg": "ES256", "kid": evil.kid, "typ": typ, "jwk": evil.public_jwk }),
        json!({ "alg": "ES256", "kid": ec.kid, "typ": typ, "jwk": evil.public_jwk }),
        json!({ "alg": "ES256", "typ": typ, "jwk": evil.public_jwk }),
        json!({ "alg": "ES256", "kid": ec.kid, "typ": typ, "x5c": ["AAAA"] }),
        json!({ "alg": "RS256", "kid": ec.kid, "typ": typ }),
        json!({ "alg": "ES256", "kid": "../../../../etc/passwd", "typ": typ }),
        json!({ "alg": "ES256", "kid": "' OR 1=1; DROP TABLE keys; --", "typ": typ }),
        json!({ "alg": "ES256", "kid": "x".repeat(3_000), "typ": typ }),
        json!({ "alg": "ES256", "kid": 7, "typ": typ }),
        json!({ "alg": "ES256", "kid": null, "typ": typ }),
    ] {
        all.push((header.to_string(), evil.sign(&header, claims)));
    }
    // The right key, but a header that the server never writes.
    let critical = json!({ "alg": "ES256", "kid": ec.kid, "typ": typ, "crit": ["exp"] });
    all.push(("crit".to_owned(), ec.sign(&critical, claims)));
    all.push((
        "wrong typ".to_owned(),
        ec.sign(&json!({ "alg": "ES256", "kid": ec.kid, "typ": "logout+jwt" }), claims),
    ));
    let good = ec.sign(&json!({ "alg": "ES256", "kid": ec.kid, "typ": typ }), claims);
    all.extend(damaged(&good));
    all.extend(encrypted());
    all
}

/// A valid token, altered, cut short or extended.
fn damaged(good: &str) -> Vec<(String, String)> {
    let parts: Vec<&str> = good.split('.').collect();
    let flip = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let all = [
        ("altered payload", format!("{}.{}.{}", parts[0], flip(parts[1], 20), parts[2])),
        ("altered signature", format!("{}.{}.{}", parts[0], parts[1], flip(parts[2], 5))),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{good}.AAAA")),
        ("padding", format!("{good}==")),
        ("a space", format!("{} {}", &good[..10], &good[10..])),
        ("empty parts", "..".to_owned()),
        ("rubbish", "rubbish".to_owned()),
        ("9 kB", format!("{good}{}", "A".repeat(6_000))),
    ];
    all.into_iter().map(|(name, token)| (name.to_owned(), token)).collect()
}

/// JWEs (five parts), which the server never decrypts (JW-10).
fn encrypted() -> Vec<(String, String)> {
    let headers = [
        json!({ "alg": "dir", "enc": "A256GCM", "zip": "DEF" }),
        json!({ "alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2c": 2_147_483_648_u64, "p2s": "AAAA" }),
        json!({ "alg": "RSA1_5", "enc": "A128CBC-HS256" }),
    ];
    let token = |header: &Value| {
        format!("{}.AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAA", base64url(header.to_string().as_bytes()))
    };
    headers.iter().map(|header| (format!("JWE {header}"), token(header))).collect()
}
