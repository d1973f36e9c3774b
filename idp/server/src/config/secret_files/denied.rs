//! The message when the system denies us a file or folder: its owner and mode, who we are, and the fix.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::config::secret_files::need::{Need, owner_and_fix};
use crate::config::secret_files::owner::{access, current_user, ownership, shell_word};
use crate::config::secret_files::path_to_file::PathToFile;

/// Checks whether the system allows it.
///
/// # Errors
/// Why not, with the fix, as the end of a sentence about the file or folder.
pub(super) fn check(path: &Path, need: Need<'_>) -> Result<(), String> {
    rustix::fs::access(path, need.rights()).map_err(|error| denied_message(path, need, &error.into()))
}

/// Checks whether a missing folder can be created.
///
/// # Errors
/// Why not, with the fix, as the end of a sentence about the folder.
pub(super) fn check_making(folder: &Path) -> Result<(), String> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let Err(error) = rustix::fs::access(there, Need::Fill.rights()).map_err(io::Error::from) else {
        return Ok(());
    };
    let shown = there.display();
    Err(match there.metadata() {
        Ok(facts) if error.kind() == ErrorKind::PermissionDenied => {
            let uid = current_user().uid;
            let whose = ownership(access(&facts), uid);
            format!(
                "the folder {shown} {whose}; as root, run `install -d -o {uid} -m 700 {}`",
                shell_word(folder)
            )
        }
        _ => format!("{shown}: {error}"),
    })
}

/// Why it is denied, as the end of a sentence about the file or folder.
pub(super) fn denied_message(path: &Path, need: Need<'_>, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => {}
        ErrorKind::ReadOnlyFilesystem => return "it is mounted read-only".to_owned(),
        _ => return error.to_string(),
    }
    match path.metadata() {
        Ok(facts) => format!("it {}", owner_and_fix(path, access(&facts), need)),
        // A folder on the path denies it.
        Err(_) => PathToFile::of(path).err().unwrap_or_else(|| error.to_string()),
    }
}
