//! What is said where the system denies a file or folder: whose it is, its mode, who we are, and the cure.

use std::io::{self, ErrorKind};
use std::path::Path;

use idp_core::file_access::Access;
use rustix::fs::Access as Right;

use super::{PathToFile, access, us, word};

/// What a file or folder is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need<'a> {
    /// To read a file that is meant for us.
    Read,
    /// To read and write a file of a database; a shell calls all of them this.
    Change(&'a str),
    /// To see which files a folder has, and read them.
    List,
    /// To make files in a folder.
    Fill,
    /// To reach what is in a folder.
    Pass,
}

impl Need<'_> {
    fn rights(self) -> Right {
        match self {
            Self::Read => Right::READ_OK,
            Self::Change(_) => Right::READ_OK | Right::WRITE_OK,
            Self::List => Right::READ_OK | Right::EXEC_OK,
            Self::Fill => Right::WRITE_OK | Right::EXEC_OK,
            Self::Pass => Right::EXEC_OK,
        }
    }

    /// The permission bits of others that allow it.
    fn bits(self) -> u32 {
        match self {
            Self::Read => 0o4,
            Self::Change(_) => 0o6,
            Self::List => 0o5,
            Self::Fill => 0o3,
            Self::Pass => 0o1,
        }
    }

    /// The command that allows it to the owner.
    fn for_owner(self, word: &str) -> String {
        match self {
            Self::Read => format!("chmod u+r {word}"),
            Self::Change(all) => format!("chmod 600 {all}"),
            Self::List => format!("chmod u+rx {word}"),
            Self::Fill => format!("chmod u+rwx {word}"),
            Self::Pass => format!("chmod u+x {word}"),
        }
    }

    /// The command with which root allows it to `uid`. What a group could read before is private to its new owner.
    fn for_us(self, uid: u32, word: &str) -> String {
        match self {
            Self::Read => format!("chown {uid} {word} && chmod 400 {word}"),
            Self::Change(all) => format!("chown {uid} {all}"),
            Self::List | Self::Fill => format!("chown {uid} {word}"),
            Self::Pass => format!("chmod o+x {word}"),
        }
    }
}

/// Whether the system allows it.
///
/// # Errors
/// Why not, with the cure, as the end of a sentence about the file or folder.
pub(super) fn check(path: &Path, need: Need<'_>) -> Result<(), String> {
    rustix::fs::access(path, need.rights()).map_err(|error| said(path, need, &error.into()))
}

/// Whether a folder can be made that is not there.
///
/// # Errors
/// Why not, with the cure, as the end of a sentence about the folder.
pub(super) fn check_making(folder: &Path) -> Result<(), String> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let Err(error) = rustix::fs::access(there, Need::Fill.rights()).map_err(io::Error::from) else {
        return Ok(());
    };
    let shown = there.display();
    Err(match there.metadata() {
        Ok(facts) if error.kind() == ErrorKind::PermissionDenied => {
            let uid = us().uid;
            let whose = belongs(access(&facts), uid);
            format!("the folder {shown} {whose}; let root run `install -d -o {uid} -m 700 {}`", word(folder))
        }
        _ => format!("{shown}: {error}"),
    })
}

/// The end of a sentence about a file or folder.
pub(super) fn said(path: &Path, need: Need<'_>, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => {}
        ErrorKind::ReadOnlyFilesystem => return "it is mounted read-only".to_owned(),
        _ => return error.to_string(),
    }
    match path.metadata() {
        Ok(facts) => format!("it {}", whose(path, access(&facts), need)),
        // A folder on the way is what denies it.
        Err(_) => PathToFile::of(path).err().unwrap_or_else(|| error.to_string()),
    }
}

/// Says of a folder on the way that it lets nobody like us through.
pub(super) fn blocked(folder: &Path, error: io::Error) -> String {
    match folder.symlink_metadata() {
        Ok(facts) if error.kind() == ErrorKind::PermissionDenied => {
            format!("the folder {} {}", folder.display(), whose(folder, access(&facts), Need::Pass))
        }
        _ => error.to_string(),
    }
}

/// "Belongs to …", and the cure.
fn whose(path: &Path, access: Access, need: Need<'_>) -> String {
    let (uid, word) = (us().uid, word(path));
    let is_ours = access.uid == uid;
    let mode = if is_ours { access.mode >> 6 } else { access.mode };
    let cure = match access.uid {
        _ if mode & need.bits() == need.bits() => {
            "its mode allows it, so something else forbids it, such as SELinux".to_owned()
        }
        _ if is_ours => format!("run `{}`", need.for_owner(&word)),
        0 => format!("let root run `{}`", need.for_us(uid, &word)),
        _ => format!("start this program as its owner, or let root run `{}`", need.for_us(uid, &word)),
    };
    format!("{}; {cure}", belongs(access, uid))
}

/// Whose it is, and who we are.
pub(super) fn belongs(access: Access, uid: u32) -> String {
    let name = |id: u32| if id == 0 { "root".to_owned() } else { id.to_string() };
    let (owner, group) = (name(access.uid), name(access.gid));
    format!("belongs to {owner}:{group} with mode {:04o}, and idp runs as uid {uid}", access.mode)
}
