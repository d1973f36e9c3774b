//! The authorization response (RFC 6749 sections 4.1.2 and 4.1.2.1), and how it is stored with its closed flow.
//!
//! A code is issued once. A browser that reloads the page that leads to the client, or sends a form twice, is led there
//! with the same response, as long as that is still useful.

use zeroize::Zeroizing;

use super::authorize::RedirectTarget;
use super::error::Refusal;
use crate::ids::FlowId;
use crate::seal::{Keyring, SealError, SealLocation};
use crate::secret::Secret;
use crate::single_use::{AuthorizationCode, SingleUse, SingleUseDigest};
use crate::time::Timestamp;

/// Where the browser takes the response to the client: the redirect URI with a code or an error.
#[derive(Clone, Debug)]
pub struct AuthorizationResponse {
    location: Secret,
    code: Option<SingleUseDigest<AuthorizationCode>>,
    expires_at: Timestamp,
}

impl AuthorizationResponse {
    /// A response with a code that can be redeemed until `expires_at`.
    pub fn success(
        target: &RedirectTarget,
        issuer: &str,
        code: &SingleUse<AuthorizationCode>,
        expires_at: Timestamp,
    ) -> Self {
        Self { location: target.success(issuer, code), code: Some(code.digest()), expires_at }
    }

    /// A response with an error. It gives no access, but it is shown again no longer than a code would be.
    pub fn error(target: &RedirectTarget, issuer: &str, refusal: Refusal, expires_at: Timestamp) -> Self {
        Self { location: Secret::new(target.error(issuer, refusal)), code: None, expires_at }
    }

    /// The redirect URI with the response's parameters.
    pub fn location(&self) -> &Secret {
        &self.location
    }

    /// The code in it. A response whose code was redeemed must not be sent again: the client would present the code
    /// again, and a code that is presented twice revokes its grant (RFC 6749 section 4.1.2).
    pub fn code(&self) -> Option<&SingleUseDigest<AuthorizationCode>> {
        self.code.as_ref()
    }

    /// Until when it may be shown again.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Encrypts the response for its flow's row, so that the database alone gives nobody a code.
    ///
    /// # Errors
    /// [`SealError::NoKey`] if the ring is empty.
    pub fn seal(&self, ring: &Keyring, flow: FlowId) -> Result<String, SealError> {
        let code = self.code.as_ref().map_or("", SingleUseDigest::as_str);
        let location = self.location.expose();
        let plain = Zeroizing::new(format!("{}\n{code}\n{location}", self.expires_at.millis()));
        ring.seal(place(&flow.to_string()), plain.as_bytes())
    }

    /// Opens what [`Self::seal`] made for this flow.
    ///
    /// # Errors
    /// [`SealError`]: the key is missing, or the text was not sealed for this flow.
    pub fn open(ring: &Keyring, flow: FlowId, sealed: &str) -> Result<Self, SealError> {
        let plain = ring.open(place(&flow.to_string()), sealed)?;
        std::str::from_utf8(&plain).ok().and_then(Self::parse).ok_or(SealError::Broken)
    }

    fn parse(plain: &str) -> Option<Self> {
        let mut lines = plain.splitn(3, '\n');
        let (expires_at, code, location) = (lines.next()?, lines.next()?, lines.next()?);
        let code = match code {
            "" => None,
            digest => Some(SingleUseDigest::from_stored(digest)?),
        };
        let expires_at = Timestamp::from_millis(expires_at.parse().ok()?);
        Some(Self { location: Secret::new(location.to_owned()), code, expires_at })
    }
}

fn place(flow: &str) -> SealLocation<'_> {
    SealLocation { table: "flows", column: "sealed_response", row: flow }
}

#[cfg(test)]
mod tests {
    use super::super::authorize::tests::target;
    use super::super::error::ErrorCode;
    use super::*;
    use crate::seal::Kek;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const ISSUER: &str = "https://id.example";

    fn ring(byte: u8) -> Keyring {
        Keyring::new([Kek::new("kek", &[byte; 32]).unwrap()])
    }

    #[test]
    fn fault_01_a_response_is_stored_sealed_and_opens_for_its_own_flow_only() {
        let code = SingleUse::generate();
        let refusal = Refusal::new(ErrorCode::AccessDenied, "the user denied the request");
        for response in [
            AuthorizationResponse::success(&target(), ISSUER, &code, NOW),
            AuthorizationResponse::error(&target(), ISSUER, refusal, NOW),
        ] {
            let flow = FlowId::new(NOW);
            let sealed = response.seal(&ring(1), flow).unwrap();
            assert!(!sealed.contains("app.example") && !sealed.contains(code.expose()));
            let opened = AuthorizationResponse::open(&ring(1), flow, &sealed).unwrap();
            assert_eq!(opened.location(), response.location());
            assert_eq!(opened.expires_at(), NOW);
            let digest = |it: &AuthorizationResponse| it.code().map(|code| code.as_str().to_owned());
            assert_eq!(digest(&opened), digest(&response));
            let other = FlowId::new(NOW);
            for (ring, flow, sealed) in [
                (ring(1), other, sealed.as_str()),
                (ring(2), flow, &sealed),
                (ring(1), flow, &sealed[..sealed.len() - 3]),
                (ring(1), flow, ""),
                (Keyring::default(), flow, &sealed),
            ] {
                assert!(AuthorizationResponse::open(&ring, flow, sealed).is_err());
            }
        }
    }

    #[test]
    fn fault_01_a_sealed_text_that_is_not_a_response_does_not_open() {
        let flow = FlowId::new(NOW);
        for plain in ["", "1", "x\n\nhttps://app.example/cb", "1\nno digest\nhttps://app.example/cb"] {
            let sealed = ring(1).seal(place(&flow.to_string()), plain.as_bytes()).unwrap();
            assert!(AuthorizationResponse::open(&ring(1), flow, &sealed).is_err(), "{plain:?}");
        }
    }

    #[test]
    fn printing_a_response_shows_no_code() {
        let code = SingleUse::generate();
        let shown = format!("{:?}", AuthorizationResponse::success(&target(), ISSUER, &code, NOW));
        assert!(!shown.contains(code.expose()) && !shown.contains("app.example"), "{shown}");
    }
}
