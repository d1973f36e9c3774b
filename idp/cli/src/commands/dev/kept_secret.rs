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
    if !file.exists() {
        return Ok(None);
    }
    from_file(file)
        .map(Some)
        .map_err(|why| format!("{why}; remove {} to have a new one made", file.display()))
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
    write_private(file, secret.expose())?;
    Ok(secret)
}

/// Writes a file that only its owner can read, also if there was one that others could.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_private(file: &Path, text: &str) -> Result<(), String> {
    // Under another name first, so that a start that is interrupted leaves no half of it.
    let unfinished = file.with_extension("unfinished");
    // Left by such a start: what is opened keeps the mode it has.
    let _ = std::fs::remove_file(&unfinished);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished);
    let written = made
        .and_then(|mut made| made.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&unfinished, file));
    written.map_err(|error| format!("{} cannot be written: {error}", file.display()))
}
