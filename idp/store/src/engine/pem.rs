//! Whether a PEM text holds what it must. The driver's own errors name neither a file nor a variable, and some sound as
//! if the server had refused us.

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Checks a list of certificates: there must be one, and each must be readable.
///
/// # Errors
/// What is wrong, as the end of a sentence that begins with where the text is. It repeats nothing of the text.
pub fn check_certificates(text: &str) -> Result<(), &'static str> {
    let mut certificates = CertificateDer::pem_slice_iter(text.as_bytes()).peekable();
    if certificates.peek().is_none() {
        return Err("contains no certificate: it must be PEM, with `-----BEGIN CERTIFICATE-----`");
    }
    match certificates.all(|certificate| certificate.is_ok()) {
        true => Ok(()),
        false => Err("contains a damaged certificate: its PEM text cannot be read"),
    }
}

/// Checks the private key of a certificate.
///
/// # Errors
/// As [`check_certificates`].
pub fn check_private_key(text: &str) -> Result<(), &'static str> {
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(_) => Ok(()),
        // Nobody could give the password of an encrypted one.
        Err(pem::Error::NoItemsFound) => Err("contains no private key: it must be PEM, with \
                                              `-----BEGIN PRIVATE KEY-----`, and not encrypted"),
        Err(_) => Err("contains a damaged private key: its PEM text cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(kind: &str, text: &str) -> String {
        format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n")
    }

    #[test]
    fn fault_10_what_a_pem_text_lacks_is_named_and_nothing_of_it_repeated() {
        let (good, bad) = (pem("CERTIFICATE", "AAAA"), pem("CERTIFICATE", "hunter2!"));
        for (text, why) in [
            (good.clone(), None),
            (format!("Subject: CN = a\n{good}{good}"), None),
            (String::new(), Some("contains no certificate")),
            (pem("PRIVATE KEY", "AAAA"), Some("contains no certificate")),
            (bad.clone(), Some("contains a damaged certificate")),
            (format!("{good}{bad}"), Some("contains a damaged certificate")),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(), Some("contains a damaged certificate")),
        ] {
            let said = check_certificates(&text).err();
            assert!(said.is_some() == why.is_some(), "{text}: {said:?}");
            assert!(said.unwrap_or_default().starts_with(why.unwrap_or_default()), "{text}: {said:?}");
        }
        for (text, why) in [
            (pem("PRIVATE KEY", "AAAA"), None),
            (pem("RSA PRIVATE KEY", "AAAA"), None),
            (pem("EC PRIVATE KEY", "AAAA"), None),
            ("hunter2".to_owned(), Some("contains no private key")),
            (good, Some("contains no private key")),
            (pem("ENCRYPTED PRIVATE KEY", "AAAA"), Some("contains no private key")),
            (pem("PRIVATE KEY", "hunter2!"), Some("contains a damaged private key")),
        ] {
            let said = check_private_key(&text).err();
            assert!(said.is_some() == why.is_some(), "{text}: {said:?}");
            assert!(said.unwrap_or_default().starts_with(why.unwrap_or_default()), "{text}: {said:?}");
        }
    }
}
