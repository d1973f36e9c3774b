//! Key-encryption keys on disk: `<id>.kek` files of 32 random bytes as base64url, readable by their owner only.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use idp_core::seal::{Kek, Keyring};
use idp_core::secret::{base64url, from_base64url, random_bytes};
use zeroize::Zeroizing;

use crate::errors::StartError;

const EXTENSION: &str = "kek";

/// Reads the keys of a directory. One is made only where nothing is sealed yet: were a second node, or a
/// restored one, to make its own, nothing sealed before would open again.
///
/// # Errors
/// [`StartError::Keys`]: a file is readable by others or malformed, or there is none though one is needed.
pub fn load_or_make(dir: &Path, sealed_rows_exist: bool) -> Result<Keyring, StartError> {
    let ring = load(dir)?;
    if !ring.is_empty() {
        return Ok(ring);
    }
    if sealed_rows_exist {
        return Err(StartError::Keys(format!(
            "{} holds no key-encryption key, but the database has sealed rows; put the .kek file back",
            dir.display()
        )));
    }
    make(dir)?;
    load(dir)
}

fn load(dir: &Path) -> Result<Keyring, StartError> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(Keyring::default()) };
    let mut keys = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            keys.push(read(&path)?);
        }
    }
    Ok(Keyring::new(keys))
}

fn read(path: &Path) -> Result<Kek, StartError> {
    let problem = |what: &str| StartError::Keys(format!("{}: {what}", path.display()));
    let mode = fs::metadata(path).map_err(|error| problem(&error.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(problem("others can read this key; run chmod 600 on it"));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| problem(&error.to_string()))?);
    let bytes = from_base64url(text.trim()).map(Zeroizing::new);
    let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let well_named = !id.is_empty() && !id.contains('.');
    let key = bytes.filter(|_| well_named).and_then(|bytes| Kek::new(id, &bytes));
    key.ok_or_else(|| problem("this is not a key-encryption key: 32 bytes as base64url are expected"))
}

fn make(dir: &Path) -> Result<(), StartError> {
    let problem = |error: std::io::Error| StartError::Keys(format!("{}: {error}", dir.display()));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(problem)?;
    // Random, so that two installations never have two keys of one name.
    let id = format!("kek-{}", base64url(&random_bytes::<6>()));
    let path = dir.join(format!("{id}.{EXTENSION}"));
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(problem)?;
    let key = Zeroizing::new(random_bytes::<32>());
    file.write_all(Zeroizing::new(base64url(&*key)).as_bytes()).map_err(problem)?;
    file.sync_all().map_err(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_only() {
        let dir = dir();
        let first = load_or_make(dir.path(), false).unwrap();
        let second = load_or_make(dir.path(), true).unwrap();
        assert_eq!(first.active_id(), second.active_id());
        let file = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn r_28_a_missing_key_is_never_replaced_where_rows_are_sealed() {
        let dir = dir();
        let error = load_or_make(dir.path(), true).unwrap_err().to_string();
        assert!(error.contains("holds no key-encryption key"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn ls_08_a_key_others_can_read_or_that_is_none_stops_the_start() {
        let dir = dir();
        let path = dir.path().join("a.kek");
        fs::write(&path, base64url(&[7; 32])).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load_or_make(dir.path(), false).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(load_or_make(dir.path(), false).is_ok());
        fs::write(&path, "short").unwrap();
        assert!(
            load_or_make(dir.path(), false).unwrap_err().to_string().contains("not a key-encryption key")
        );
    }
}
