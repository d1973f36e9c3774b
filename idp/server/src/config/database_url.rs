//! Checks what a database's URL, and the environment, say about the connection before it is used.

use idp_store::NamedFile;

use crate::config::secret_files;
use crate::start_error::StartError;

/// Checks the files that are named for it: certificates, and the key by which the database server knows us. Returns
/// warnings about the connection.
///
/// # Errors
/// [`StartError`]: one of the files cannot be trusted, or such a connection is refused.
pub fn check(url: &str) -> Result<Vec<String>, StartError> {
    let facts = idp_store::connection_facts(url)?;
    let mut warnings = facts.warnings;
    for file in &facts.certificates {
        secret_files::check_certificates(&file.path).map_err(|why| refused(file, why))?;
    }
    if let Some(file) = &facts.client_key {
        let key = secret_files::read_private_key(&file.path).map_err(|why| refused(file, why))?;
        warnings.extend(key.warning.map(|warning| format!("{}: {warning}", file.origin)));
    }
    Ok(warnings)
}

fn refused(file: &NamedFile, why: String) -> StartError {
    StartError::Files { origin: file.origin.clone(), why }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn file(path: PathBuf, text: &str, mode: u32) -> PathBuf {
        fs::write(&path, text).unwrap();
        set(&path, mode);
        path
    }

    fn refusal(url: &str) -> String {
        check(url).unwrap_err().to_string()
    }

    #[test]
    fn fault_10_everybody_may_read_certificates_but_only_their_owner_may_write_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path().join("ca.pem"), CERTIFICATE, 0o644);
        let url = format!("postgres://idp@db.example.com/idp?sslrootcert={}", path.display());
        assert_eq!(check(&url).unwrap(), [""; 0]);
        set(&path, 0o646);
        assert!(refusal(&url).contains("others can write the file "));
        set(&path, 0o644);
        set(dir.path(), 0o707);
        assert!(refusal(&url).contains("others can replace the file "));
        set(dir.path(), 0o700);
        file(path.clone(), "der", 0o644);
        assert!(refusal(&url).contains("ca.pem contains no certificate: it must be PEM"));
        file(path.clone(), &CERTIFICATE.replace("AAAA", "A!"), 0o644);
        assert!(refusal(&url).contains("ca.pem contains a damaged certificate"));
        fs::remove_file(&path).unwrap();
        assert!(refusal(&url).contains("ca.pem cannot be read: No such file"));
    }

    #[test]
    fn fault_10_the_key_by_which_a_database_knows_us_is_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let certificate = file(dir.path().join("idp.pem"), CERTIFICATE, 0o644);
        let key = file(dir.path().join("idp.key"), KEY, 0o600);
        let (certificate, shown) = (certificate.display(), key.display());
        let url = format!("postgres://idp@db.example.com/idp?sslcert={certificate}&sslkey={shown}");
        assert_eq!(check(&url).unwrap(), [""; 0]);
        set(&key, 0o640);
        let said = refusal(&url);
        assert!(
            said.starts_with(&format!("sslkey in database.url: others can read the file {shown} (owner ")),
            "{said}"
        );
        set(&key, 0o600);
        for text in ["hunter2", CERTIFICATE, &KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")] {
            file(key.clone(), text, 0o600);
            let said = refusal(&url);
            let why =
                format!("sslkey in database.url: the file {shown} contains no private key: it must be PEM");
            assert!(said.starts_with(&why) && !said.contains("hunter2"), "{said}");
        }
    }
}
