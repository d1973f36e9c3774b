//! Who owns a file or folder, and who we are.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, absolute};

use idp_core::file_access::{Access, CurrentUser};
use idp_core::text::shell_quoted;

/// The owner and mode of a file or folder.
pub(super) fn access(facts: &Metadata) -> Access {
    Access { uid: facts.uid(), gid: facts.gid(), mode: facts.mode() & 0o7777 }
}

/// The user that this process runs as.
pub(super) fn current_user() -> CurrentUser {
    let all_users = |map: &str| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    let outsiders = || fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?.trim().parse().ok();
    let in_namespace = fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !all_users(&map));
    CurrentUser {
        uid: rustix::process::geteuid().as_raw(),
        outsiders: in_namespace.then(outsiders).flatten(),
    }
}

/// A path, quoted for a shell, that no program takes for an option.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let here = if text.starts_with('-') { "./" } else { "" };
    shell_quoted(&format!("{here}{text}"))
}

/// "Belongs to …", and who we are.
pub(super) fn ownership(access: Access, uid: u32) -> String {
    let name = |id: u32| if id == 0 { "root".to_owned() } else { id.to_string() };
    let (owner, group) = (name(access.uid), name(access.gid));
    format!("belongs to {owner}:{group} with mode {:04o}, and idp runs as uid {uid}", access.mode)
}

/// Trees of the system.
const TREES: [&str; 14] = [
    "/bin", "/boot", "/dev", "/lib", "/lib32", "/lib64", "/proc", "/sbin", "/sys", "/usr/bin", "/usr/lib",
    "/usr/libexec", "/usr/sbin", "/usr/share",
];
/// Folders of the system in which programs and people have folders of their own.
const SHARED: [&str; 24] = [
    "/", "/etc", "/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/usr", "/usr/local",
    "/usr/local/etc", "/var", "/var/backups", "/var/cache", "/var/lib", "/var/local", "/var/log",
    "/var/mail", "/var/opt", "/var/run", "/var/spool", "/var/tmp",
];

/// Whether others rely on a folder's owner and mode, so that nobody may be told to change them: it is the system's,
/// somebody's home, or a sticky folder of root.
pub(super) fn is_of_others(folder: &Path, access: Access, uid: u32) -> bool {
    let here = folder.canonicalize().or_else(|_| absolute(folder)).unwrap_or_default();
    let is_home = here.parent() == Some(Path::new("/home"));
    let is_sticky_of_root = access.uid == 0 && access.mode & 0o1000 != 0;
    TREES.iter().any(|tree| here.starts_with(tree))
        || SHARED.iter().any(|shared| here == Path::new(shared))
        || (uid != access.uid && (is_home || is_sticky_of_root))
}

/// Whether a folder holds something that is not ours, as far as we can see. Then it is not for us alone.
pub(super) fn holds_more_than_ours(folder: &Path) -> bool {
    let is_ours = |name: &str| {
        name.starts_with("idp.db") || name.ends_with(".kek") || [".lock", "lost+found"].contains(&name)
    };
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| !is_ours(&entry.file_name().to_string_lossy()))
}

/// Where to go instead of a folder that is not ours to change.
pub(super) fn elsewhere(user: impl std::fmt::Display) -> String {
    format!("a folder that only the user {user} can write")
}
