//! What a file or folder is needed for, and how to allow it.

use std::io::{self, ErrorKind};
use std::path::Path;

use idp_core::file_access::Access;
use rustix::fs::Access as Right;

use crate::config::secret_files::owner::{
    access, current_user, elsewhere, holds_more_than_ours, is_of_others, ownership, shell_word,
};

/// How the cure begins that only root can give.
pub(in crate::config) const FOR_ROOT: &str = "; as root, run `";
/// The same where the owner is not root.
pub(in crate::config) const FOR_OWNER_OR_ROOT: &str = "; run idp as its owner, or run `";

/// What a file or folder is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need<'a> {
    /// To read a file.
    Read,
    /// To read and write a file of a database. The text is the shell pattern for all its files.
    Change(&'a str),
    /// To list a folder and read its files.
    List,
    /// To create files in a folder.
    Fill,
    /// To reach what is in a folder.
    Pass,
}

impl Need<'_> {
    pub(super) fn rights(self) -> Right {
        match self {
            Self::Read => Right::READ_OK,
            Self::Change(_) => Right::READ_OK | Right::WRITE_OK,
            Self::List => Right::READ_OK | Right::EXEC_OK,
            Self::Fill => Right::WRITE_OK | Right::EXEC_OK,
            Self::Pass => Right::EXEC_OK,
        }
    }

    /// The permission bits that allow it, in the place of others.
    fn bits(self) -> u32 {
        match self {
            Self::Read => 0o4,
            Self::Change(_) => 0o6,
            Self::List => 0o5,
            Self::Fill => 0o3,
            Self::Pass => 0o1,
        }
    }

    /// The command with which the owner allows it.
    fn for_owner(self, word: &str) -> String {
        match self {
            Self::Read => format!("chmod u+r {word}"),
            Self::Change(all) => format!("chmod 600 {all}"),
            Self::List => format!("chmod u+rx {word}"),
            Self::Fill => format!("chmod u+rwx {word}"),
            Self::Pass => format!("chmod u+x {word}"),
        }
    }

    /// The command with which root allows it to `uid`. A file that a group could read becomes private to its new owner.
    fn for_us(self, uid: u32, word: &str) -> String {
        match self {
            Self::Read => format!("chown {uid} {word} && chmod 400 {word}"),
            Self::Change(all) => format!("chown {uid} {all}"),
            Self::List | Self::Fill => format!("chown {uid} {word}"),
            Self::Pass => format!("chmod o+x {word}"),
        }
    }

    fn is_of_a_folder(self) -> bool {
        matches!(self, Self::List | Self::Fill | Self::Pass)
    }

    /// The cure where a folder's owner and mode must stay as they are.
    fn elsewhere(self, uid: u32) -> String {
        let verb = if self == Self::Pass { "move what is needed from it to" } else { "use" };
        format!("; {verb} {}", elsewhere(uid))
    }
}

/// Why a folder on the path does not let us through.
pub(super) fn blocked_message(folder: &Path, error: io::Error) -> String {
    match folder.symlink_metadata() {
        Ok(facts) if error.kind() == ErrorKind::PermissionDenied => {
            format!("the folder {} {}", folder.display(), owner_and_fix(folder, access(&facts), Need::Pass))
        }
        _ => error.to_string(),
    }
}

/// The owner and mode, and the fix.
pub(super) fn owner_and_fix(path: &Path, access: Access, need: Need<'_>) -> String {
    let (uid, word) = (current_user().uid, shell_word(path));
    let is_ours = access.uid == uid;
    let mode = if is_ours { access.mode >> 6 } else { access.mode };
    let fix = match access.uid {
        _ if mode & need.bits() == need.bits() => {
            "; its mode allows access, so something else denies it, such as SELinux".to_owned()
        }
        _ if need.is_of_a_folder() && is_of_others(path, access, uid) => need.elsewhere(uid),
        _ if is_ours => format!("; run `{}`", need.for_owner(&word)),
        0 if need == Need::Fill && holds_more_than_ours(path) => need.elsewhere(uid),
        0 => format!("{FOR_ROOT}{}`", need.for_us(uid, &word)),
        _ => format!("{FOR_OWNER_OR_ROOT}{}` as root", need.for_us(uid, &word)),
    };
    format!("{}{fix}", ownership(access, uid))
}
