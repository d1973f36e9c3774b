//! How the file system of a file or folder is mounted.

use std::fs::File;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, fstatvfs, statvfs};

/// Whether nobody can write to a folder, whatever its mode says.
pub(super) fn is_on_read_only_mount(folder: &Path) -> bool {
    statvfs(folder).is_ok_and(|facts| facts.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// The same for an open file.
pub(super) fn is_read_only(file: &File) -> bool {
    fstatvfs(file).is_ok_and(|facts| facts.f_flag.contains(StatVfsMountFlags::RDONLY))
}
