//! Whose a file or folder is, and who we are.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use idp_core::file_access::{Access, Us};
use idp_core::text::quoted;

/// Who owns a file or folder, and its mode.
pub(super) fn access(facts: &Metadata) -> Access {
    Access { uid: facts.uid(), gid: facts.gid(), mode: facts.mode() & 0o7777 }
}

/// Who this process is.
pub(super) fn us() -> Us {
    let all_users = |map: &str| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    let outsiders = || fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?.trim().parse().ok();
    let in_namespace = fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !all_users(&map));
    Us { uid: rustix::process::geteuid().as_raw(), outsiders: in_namespace.then(outsiders).flatten() }
}

/// A path as a shell takes it.
pub(super) fn word(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// Whose it is, and who we are.
pub(super) fn belongs(access: Access, uid: u32) -> String {
    let name = |id: u32| if id == 0 { "root".to_owned() } else { id.to_string() };
    let (owner, group) = (name(access.uid), name(access.gid));
    format!("belongs to {owner}:{group} with mode {:04o}, and idp runs as uid {uid}", access.mode)
}
