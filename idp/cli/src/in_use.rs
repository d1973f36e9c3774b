//! Which servers use the folder of an embedded database. `dev` wants its folder for itself: a second server would
//! replace its files and take its mail. Servers of `serve` share theirs. Other commands do not ask.
//!
//! The folder itself is locked, so no file is left behind. The system unlocks it when a process ends, however it ends.

use std::fs::{File, TryLockError};
use std::path::Path;

/// The right to use a folder. Keep it while the server runs.
#[derive(Debug)]
pub(crate) struct FolderInUse(#[expect(dead_code, reason = "locked as long as it is open")] File);

/// Who else uses the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherServer {
    Dev,
    Serve,
}

/// Takes a folder for one server alone. `None`: it does not exist yet, or its file system has no locks.
///
/// # Errors
/// The server that uses it.
pub(crate) fn alone(folder: &Path) -> Result<Option<FolderInUse>, OtherServer> {
    let Ok(file) = File::open(folder) else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(FolderInUse(file))),
        // Servers that share it allow one more of their kind.
        Err(TryLockError::WouldBlock) => Err(match file.try_lock_shared() {
            Ok(()) => OtherServer::Serve,
            Err(_) => OtherServer::Dev,
        }),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Takes a folder together with other servers of `serve`. `None` as above.
///
/// # Errors
/// The server that uses it alone.
pub(crate) fn shared(folder: &Path) -> Result<Option<FolderInUse>, OtherServer> {
    let Ok(file) = File::open(folder) else { return Ok(None) };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Err(OtherServer::Dev),
        Err(TryLockError::Error(_)) => Ok(None),
        Ok(()) => Ok(Some(FolderInUse(file))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_a_folder_alone_or_several_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let dev = alone(path).unwrap();
        assert!(dev.is_some());
        assert_eq!(alone(path).unwrap_err(), OtherServer::Dev);
        assert_eq!(shared(path).unwrap_err(), OtherServer::Dev);
        drop(dev);
        let (one, two) = (shared(path).unwrap(), shared(path).unwrap());
        assert!(one.is_some() && two.is_some());
        assert_eq!(alone(path).unwrap_err(), OtherServer::Serve);
        drop((one, two));
        assert!(alone(path).unwrap().is_some());
        assert!(alone(&path.join("missing")).unwrap().is_none());
    }
}
