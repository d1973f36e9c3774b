//! The folders that lead to a file. Whoever can write to one of them can replace the file.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use idp_core::file_access::{Access, AccessProblem, CurrentUser, Readers, folder_on_path};

use crate::config::secret_files::mount::is_on_read_only_mount;
use crate::config::secret_files::need;
use crate::config::secret_files::owner::access;
use crate::config::secret_files::refusal::FileRefusal;

/// How many links the system itself follows.
const MOST_LINKS: usize = 40;
/// The link with which Kubernetes replaces all files of a volume at once.
pub(super) const KUBERNETES_LINK: &str = "..data";

/// The folders that lead to a file, with links followed.
#[derive(Debug, Default)]
pub(super) struct PathToFile {
    steps: Vec<PathStep>,
    /// Whether the path goes through the link of a Kubernetes volume.
    pub(super) by_kubernetes: bool,
}

/// A folder, and the owner of the entry that the path takes from it.
#[derive(Debug)]
struct PathStep {
    folder: PathBuf,
    access: Access,
    entry: u32,
}

/// What to do if a name does not exist.
#[derive(Clone, Copy, Debug)]
pub(super) enum Missing {
    /// Refuse the path.
    IsWrong,
    /// Accept it: we will create it.
    IsMade(CurrentUser),
}

impl PathToFile {
    /// The folders that lead to an existing file or folder.
    pub(super) fn of(path: &Path) -> Result<Self, String> {
        Self::to(path, Missing::IsWrong)
    }

    /// Checks whether the path may lead to a file with these readers.
    pub(super) fn check(&self, us: CurrentUser, readers: Readers) -> Result<(), FileRefusal> {
        self.steps.iter().try_for_each(|PathStep { folder, access, entry }| {
            let judged = folder_on_path(*access, *entry, us, readers);
            // Kubernetes mounts a ConfigMap as a folder of root that is read-only, but has mode 0777.
            if judged == Err(AccessProblem::OthersCan("write"))
                && access.uid == 0
                && is_on_read_only_mount(folder)
            {
                return Ok(());
            }
            judged.map_err(|why| FileRefusal { why, access: *access, folder: Some(folder.clone()), us })
        })
    }

    pub(super) fn to(path: &Path, missing: Missing) -> Result<Self, String> {
        let absolute = std::path::absolute(path).map_err(|error| error.to_string())?;
        let (mut path_so_far, mut here, mut links) = (Self::default(), PathBuf::from("/"), Vec::new());
        let mut ahead = parts(&absolute);
        while let Some(part) = ahead.pop_front() {
            if part == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&part);
            let link_error = |error| error_here(&here, &next, &links, error);
            let folder = here.symlink_metadata().map_err(link_error)?;
            let step = |entry| PathStep { access: access(&folder), folder: here.clone(), entry };
            let facts = match (next.symlink_metadata(), missing) {
                (Err(error), Missing::IsMade(us)) if error.kind() == io::ErrorKind::NotFound => {
                    path_so_far.steps.push(step(us.uid));
                    return Ok(path_so_far);
                }
                (facts, _) => facts.map_err(link_error)?,
            };
            path_so_far.steps.push(step(facts.uid()));
            if !facts.is_symlink() {
                here = next;
                continue;
            }
            let target = fs::read_link(&next).map_err(link_error)?;
            path_so_far.by_kubernetes |= part == KUBERNETES_LINK && facts.uid() == 0;
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            links.push((next, target.clone()));
            if links.len() > MOST_LINKS {
                return Err("it is a link that leads back to itself".to_owned());
            }
            for part in parts(&target).into_iter().rev() {
                ahead.push_front(part);
            }
        }
        Ok(path_so_far)
    }
}

/// The names in a path, in order.
fn parts(path: &Path) -> VecDeque<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

fn error_here(folder: &Path, missing: &Path, links: &[(PathBuf, PathBuf)], error: io::Error) -> String {
    match links.last() {
        Some((link, target)) if error.kind() == io::ErrorKind::NotFound => format!(
            "{} is a link to {}, and {} does not exist",
            link.display(),
            target.display(),
            missing.display()
        ),
        _ => need::blocked_message(folder, error),
    }
}
