//! Why a file must not hold a secret, and the cure.

use std::path::{Path, PathBuf};

use idp_core::file_access::{Access, Unsafe, Us};

use crate::config::secret_files::owner;

/// Why a file must not hold a secret.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(super) why: Unsafe,
    pub(super) access: Access,
    /// The folder on the way to the file, if the folder is at fault and not the file.
    pub(super) folder: Option<PathBuf>,
    pub(super) us: Us,
}

impl Refusal {
    /// The whole sentence. `subject` is what the operator knows the file as.
    pub(crate) fn sentence(&self, subject: &str, path: &Path) -> String {
        format!("{}; {}", self.what(subject), self.cure(&owner::word(path)))
    }

    /// What is wrong.
    pub(crate) fn what(&self, subject: &str) -> String {
        let Self { access, folder, us, .. } = self;
        match (self.why, folder) {
            (Unsafe::OthersCan(verb), None) => format!("others can {verb} {subject} ({access})"),
            (Unsafe::Foreign, None) => {
                format!("{subject} belongs to another user ({access}; idp runs as {us})")
            }
            (Unsafe::OthersCan(_), Some(folder)) => {
                format!(
                    "others can replace {subject}, because they can write to the folder {} ({access})",
                    folder.display()
                )
            }
            (Unsafe::Foreign, Some(folder)) => {
                let folder = folder.display();
                format!(
                    "another user can replace {subject}: the folder {folder} is theirs ({access}; idp runs as {us})"
                )
            }
        }
    }

    /// What to do. `word` is the file's path quoted for a shell, or empty if it goes without saying.
    pub(crate) fn cure(&self, word: &str) -> String {
        let command = |verb: &str, what: &str| format!("`{}`", [verb, what].join(" ").trim_end());
        match (self.why, &self.folder) {
            (Unsafe::OthersCan("write"), None) if self.access.uid != self.us.uid => {
                format!("as root, run {}", command("chmod go-w", word))
            }
            (Unsafe::OthersCan(_), None) => format!("keep them out with {}", command("chmod 600", word)),
            (Unsafe::OthersCan(_), Some(folder)) => {
                format!("keep them out with {}", command("chmod go-w", &owner::word(folder)))
            }
            (Unsafe::Foreign, None) => format!("as root, run {}", command("chown root", word)),
            (Unsafe::Foreign, Some(folder)) => {
                format!("as root, run {}", command("chown root", &owner::word(folder)))
            }
        }
    }
}
