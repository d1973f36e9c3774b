//! Who owns a file or folder, and who we are.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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

/// A path, quoted for a shell.
pub(super) fn shell_word(path: &Path) -> String {
    shell_quoted(&path.to_string_lossy())
}

/// "Belongs to …", and who we are.
pub(super) fn ownership(access: Access, uid: u32) -> String {
    let name = |id: u32| if id == 0 { "root".to_owned() } else { id.to_string() };
    let (owner, group) = (name(access.uid), name(access.gid));
    format!("belongs to {owner}:{group} with mode {:04o}, and idp runs as uid {uid}", access.mode)
}
