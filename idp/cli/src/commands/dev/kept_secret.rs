//! Secrets that `dev` keeps in files beside the database, which has only their digests. Database and files are deleted
//! together. Only their owner can read the files.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use idp_core::secret::Secret;

use crate::secret_input::from_file;

/// The secret in a file, if there is one.
///
/// # Errors
/// When the file cannot be used.
pub(crate) fn find(file: &Path) -> Result<Option<Secret>, String> {
    if file.exists() { from_file(file).map(Some) } else { Ok(None) }
}

/// The secret in a file; if there is no file, a new one.
///
/// # Errors
/// When the file cannot be used or written.
pub(crate) fn find_or_make(file: &Path, make: impl FnOnce() -> Secret) -> Result<Secret, String> {
    if let Some(secret) = find(file)? {
        return Ok(secret);
    }
    let secret = make();
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let written = made.and_then(|mut made| made.write_all(secret.expose().as_bytes()));
    written.map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    Ok(secret)
}
