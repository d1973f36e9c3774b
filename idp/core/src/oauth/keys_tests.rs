//! Tokens that must verify, and those that must not (security catalogue, JW).

use std::sync::{Arc, Mutex};

use josekit::JoseError;
use josekit::jws::JwsAlgorithm;

use super::super::authorize::tests::client;
use super::super::claims::Issued;
use super::super::grant::{GrantFacts, Lifetimes};
use super::super::token::TokenResponseInput;
use super::super::token::tests::facts;
use super::*;
use crate::client::{Client, ClientId};
use crate::scope::Scope;
use crate::time::MINUTE;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const ISSUED: Issued = Issued { at: NOW, lifetime: MINUTE.saturating_mul(10) };

fn issuer() -> Issuer {
    Issuer::parse("https://id.example").unwrap()
}

fn key_set() -> (KeySet, Vec<NewKey>) {
    let keys: Vec<NewKey> =
        [SigningAlg::Rs256, SigningAlg::Es256].map(|alg| NewKey::generate(alg).unwrap()).into();
    let signing = keys.iter().map(|key| SigningKey::new(key.alg, &key.kid, &key.private_der).unwrap());
    let published: Vec<String> = keys.iter().map(|key| key.public_jwk.clone()).collect();
    (KeySet::new(issuer(), signing.collect(), &published, &[]).unwrap(), keys)
}

fn access_claims() -> AccessTokenClaims {
    AccessTokenClaims::new(&issuer(), &facts("openid email"), Scope::of(&["openid"]), ISSUED)
}

fn forged(header: Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed =
        format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
    format!("{signed}.{}", base64url(&sign(signed.as_bytes())))
}

#[test]
fn tokens_of_both_algorithms_verify_as_what_they_are() {
    let (keys, _) = key_set();
    for alg in [SigningAlg::Rs256, SigningAlg::Es256] {
        let token = keys.sign_access_token(alg, &access_claims()).unwrap();
        assert_eq!(keys.verify_access_token(&token, NOW).unwrap().scope, Scope::of(&["openid"]));
        let facts = facts("openid");
        let claims = IdTokenClaims::new(keys.issuer(), &facts, Some("n"), &token, ISSUED);
        let id_token = keys.sign_id_token(alg, &claims).unwrap();
        let hint = HintVerifier::verify(&keys, &id_token).unwrap();
        assert_eq!((hint.subject, hint.audience.as_str()), (facts.user_id.to_string(), "app"));
        assert!(keys.verify_access_token(&id_token, NOW).is_none(), "an ID token is no access token");
        assert!(HintVerifier::verify(&keys, &token).is_none(), "an access token is no hint");
    }
}

#[test]
fn jw_01_jw_02_jw_04_no_header_chooses_its_own_key_or_algorithm() {
    let (keys, new) = key_set();
    let claims = serde_json::to_value(access_claims()).unwrap();
    let (rsa, ec) = (&new[0], &new[1]);
    let evil = NewKey::generate(SigningAlg::Es256).unwrap();
    let evil_signer = ES256.signer_from_der(&*evil.private_der).unwrap();
    let evil_jwk: Value = serde_json::from_str(&evil.public_jwk).unwrap();
    let by_evil = |message: &[u8]| evil_signer.sign(message).unwrap();
    for alg in ["none", "None", "nOnE", "", "HS256"] {
        let token = forged(json!({ "alg": alg, "kid": ec.kid, "typ": "at+jwt" }), &claims, |_| vec![]);
        assert!(keys.verify_access_token(&token, NOW).is_none(), "{alg}");
    }
    for secret in [rsa.public_jwk.as_bytes(), ec.public_jwk.as_bytes()] {
        let by_secret = |message: &[u8]| {
            let signer = josekit::jws::HS256.signer_from_bytes(secret).unwrap();
            signer.sign(message).unwrap()
        };
        for kid in [&rsa.kid, &ec.kid] {
            let token = forged(json!({ "alg": "HS256", "kid": kid, "typ": "at+jwt" }), &claims, by_secret);
            assert!(keys.verify_access_token(&token, NOW).is_none());
        }
    }
    for header in [
        json!({ "alg": "ES256", "kid": ec.kid, "typ": "at+jwt" }),
        json!({ "alg": "ES256", "kid": evil.kid, "typ": "at+jwt", "jwk": evil_jwk }),
        json!({ "alg": "ES256", "kid": ec.kid, "typ": "at+jwt", "jwk": evil_jwk }),
        json!({ "alg": "ES256", "kid": ec.kid, "typ": "at+jwt", "jku": "https://evil.example/jwks" }),
        json!({ "alg": "ES256", "typ": "at+jwt", "x5u": "https://evil.example/", "x5c": ["AAAA"] }),
        json!({ "alg": "RS256", "kid": ec.kid, "typ": "at+jwt" }),
    ] {
        assert!(
            keys.verify_access_token(&forged(header.clone(), &claims, by_evil), NOW).is_none(),
            "{header}"
        );
    }
}

#[test]
fn jw_05_a_strange_kid_finds_no_key() {
    let (keys, new) = key_set();
    let signer = ES256.signer_from_der(&*new[1].private_der).unwrap();
    let claims = serde_json::to_value(access_claims()).unwrap();
    for kid in [
        json!("../../etc/passwd"),
        json!("' OR 1=1--"),
        json!("x".repeat(10_000)),
        json!(7),
        json!(null),
        json!(""),
    ] {
        let header = json!({ "alg": "ES256", "kid": kid, "typ": "at+jwt" });
        let token = forged(header, &claims, |message| signer.sign(message).unwrap());
        assert!(keys.verify_access_token(&token, NOW).is_none());
    }
    // Only the set of keys is searched: an unknown key makes it ask no store or clock, and fetch nothing.
    for turn in 0..10_000 {
        let header = json!({ "alg": "ES256", "kid": format!("unknown-{turn}"), "typ": "at+jwt" });
        let token = forged(header, &claims, |message| signer.sign(message).unwrap());
        assert!(keys.verify_access_token(&token, NOW).is_none(), "{turn}");
    }
    let header = json!({ "alg": "ES256", "kid": new[1].kid, "typ": "at+jwt" });
    let good = forged(header, &claims, |message| signer.sign(message).unwrap());
    assert!(keys.verify_access_token(&good, NOW).is_some(), "the control: a known kid is accepted");
}

#[test]
fn jw_07_jw_08_a_right_signature_does_not_save_wrong_claims() {
    let (keys, new) = key_set();
    let signer = ES256.signer_from_der(&*new[1].private_der).unwrap();
    let sign = |claims: &Value, typ: &str| {
        forged(json!({ "alg": "ES256", "kid": new[1].kid, "typ": typ }), claims, |m| signer.sign(m).unwrap())
    };
    let good = serde_json::to_value(access_claims()).unwrap();
    assert!(keys.verify_access_token(&sign(&good, "at+jwt"), NOW).is_some());
    for (name, value) in [
        ("iss", json!("https://id.example/")),
        ("iss", json!("https://ID.example")),
        ("aud", json!(["other"])),
        ("aud", json!("app")),
        ("exp", json!("1900000000")),
        ("exp", json!(1.5e9)),
        ("exp", json!(-1)),
        ("exp", json!(9_223_372_036_854_775_808_u64)),
        ("exp", json!(null)),
        ("exp", json!(NOW.seconds())),
        ("iat", json!(NOW.seconds() + 60)),
        ("iat", json!("now")),
        ("iat", json!(-1)),
        ("nbf", json!(NOW.seconds() + 61)),
        ("nbf", json!("now")),
        ("nbf", json!(-1)),
        ("sub", json!("ada")),
        ("grant", json!("x")),
    ] {
        let mut claims = good.clone();
        claims[name] = value.clone();
        assert!(keys.verify_access_token(&sign(&claims, "at+jwt"), NOW).is_none(), "{name}={value}");
    }
    for name in ["iss", "aud", "exp", "iat", "sub", "grant"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        assert!(keys.verify_access_token(&sign(&claims, "at+jwt"), NOW).is_none(), "without {name}");
    }
    assert!(keys.verify_access_token(&sign(&good, "JWT"), NOW).is_none(), "wrong typ");
    let late = NOW.plus(MINUTE * 10);
    assert!(keys.verify_access_token(&sign(&good, "at+jwt"), late).is_none(), "expired to the second");
}

#[test]
fn jw_11_the_published_set_holds_public_members_only() {
    let (keys, new) = key_set();
    let document: Value = serde_json::from_str(keys.jwks()).unwrap();
    let published = document["keys"].as_array().unwrap();
    assert_eq!(published.len(), 2);
    for key in published {
        let mut names: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        let expected: &[&str] = match key["kty"].as_str().unwrap() {
            "RSA" => &["alg", "e", "kid", "kty", "n", "use"],
            _ => &["alg", "crv", "kid", "kty", "use", "x", "y"],
        };
        assert_eq!(names, expected);
    }
    assert_ne!(new[0].kid, new[1].kid);
}

#[test]
fn jw_13_an_id_token_says_what_happened() {
    let (facts, issuer) = (facts("openid email"), issuer());
    let claims = IdTokenClaims::new(&issuer, &facts, Some("n-0S6"), "token", ISSUED);
    let json = serde_json::to_value(claims).unwrap();
    assert_eq!(json["aud"], json!(ClientId::parse("app").unwrap()));
    assert_eq!((&json["nonce"], &json["acr"], &json["amr"]), (&json!("n-0S6"), &json!("1"), &json!(["pwd"])));
    assert_eq!(json["auth_time"], json!(facts.auth_time.seconds()));
    assert_eq!(json["exp"], json!(NOW.seconds() + 600));
    for profile in ["name", "email", "email_verified"] {
        assert!(json.get(profile).is_none(), "{profile}");
    }
    let without = IdTokenClaims::new(&issuer, &facts, None, "token", ISSUED);
    assert!(serde_json::to_value(without).unwrap().get("nonce").is_none());
}

/// Signs, and notes the algorithm and `typ` of each token that it signed.
#[derive(Clone, Debug)]
struct NotingSigner {
    signer: Arc<dyn JwsSigner>,
    signed: Arc<Mutex<Vec<String>>>,
}

impl JwsSigner for NotingSigner {
    fn algorithm(&self) -> &dyn JwsAlgorithm {
        self.signer.algorithm()
    }

    fn key_id(&self) -> Option<&str> {
        self.signer.key_id()
    }

    fn signature_len(&self) -> usize {
        self.signer.signature_len()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, JoseError> {
        let header = message.split(|byte| *byte == b'.').next().unwrap();
        let header = from_base64url(std::str::from_utf8(header).unwrap()).unwrap();
        let typ = serde_json::from_slice::<Header>(&header).unwrap().typ;
        self.signed.lock().unwrap().push(format!("{} {typ}", self.algorithm().name()));
        self.signer.sign(message)
    }

    fn box_clone(&self) -> Box<dyn JwsSigner> {
        Box::new(self.clone())
    }
}

/// Keys that note every signature.
fn noting_keys() -> (KeySet, Arc<Mutex<Vec<String>>>) {
    let (mut keys, _) = key_set();
    let signed = Arc::default();
    for key in &mut keys.signing {
        let signer = Arc::from(key.signer.box_clone());
        key.signer = Box::new(NotingSigner { signer, signed: Arc::clone(&signed) });
    }
    (keys, signed)
}

/// An RSA signature costs more than the rest of a request together. That a request other than one for tokens makes none
/// is shown where requests are made, by `only_the_token_endpoint_signs`.
#[test]
fn a_token_response_costs_one_signature_per_token() {
    let (keys, signed) = noting_keys();
    let (es256, client) = (SigningAlg::Es256, client());
    let in_es256 = Client { id_token_alg: es256, ..client.clone() };
    let sign = |client: &Client, facts: &GrantFacts, nonce, refresh_token| {
        let scope = facts.scope.clone();
        let input = TokenResponseInput { keys: &keys, client, facts, scope, nonce, refresh_token };
        input.sign(&Lifetimes::default(), NOW).unwrap();
        std::mem::take(&mut *signed.lock().unwrap())
    };
    let (openid, offline, plain) =
        (facts("openid email"), facts("openid offline_access"), facts("offline_access"));
    let refresh = || Some(crate::secret::Secret::random());
    let both = ["ES256 at+jwt", "RS256 JWT"];
    assert_eq!(sign(&client, &openid, Some("n"), None), both, "a code");
    assert_eq!(sign(&client, &offline, Some("n"), refresh()), both, "a code, with a refresh token");
    assert_eq!(sign(&client, &offline, None, refresh()), both, "a refresh");
    assert_eq!(sign(&client, &plain, None, refresh()), ["ES256 at+jwt"], "without openid");
    assert_eq!(sign(&in_es256, &openid, None, None), ["ES256 at+jwt", "ES256 JWT"]);
}
