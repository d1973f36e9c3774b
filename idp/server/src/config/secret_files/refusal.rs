//! Why a file may hold no secret, and the cure.

use std::path::{Path, PathBuf};

use idp_core::file_access::{Access, Unsafe, Us};

use crate::config::secret_files::owner;

/// Why a file may hold no secret.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(super) why: Unsafe,
    pub(super) access: Access,
    /// The folder on the way to the file that is at fault, if it is not the file itself.
    pub(super) folder: Option<PathBuf>,
    pub(super) us: Us,
}

impl Refusal {
    /// `subject` is what the reader knows the file as.
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
                    "others can exchange {subject}, for they can write the folder {} ({access})",
                    folder.display()
                )
            }
            (Unsafe::Foreign, Some(folder)) => {
                let folder = folder.display();
                format!(
                    "another user can exchange {subject}: the folder {folder} is theirs ({access}; idp runs as {us})"
                )
            }
        }
    }

    /// What to do; `word` is what a shell calls the file, if that needs saying.
    pub(crate) fn cure(&self, word: &str) -> String {
        let command = |verb: &str, what: &str| format!("`{}`", [verb, what].join(" ").trim_end());
        match (self.why, &self.folder) {
            (Unsafe::OthersCan("write"), None) if self.access.uid != self.us.uid => {
                format!("let root run {}", command("chmod go-w", word))
            }
            (Unsafe::OthersCan(_), None) => format!("keep them out with {}", command("chmod 600", word)),
            (Unsafe::OthersCan(_), Some(folder)) => {
                format!("keep them out with {}", command("chmod go-w", &owner::word(folder)))
            }
            (Unsafe::Foreign, None) => format!("let root run {}", command("chown root", word)),
            (Unsafe::Foreign, Some(folder)) => {
                format!("let root run {}", command("chown root", &owner::word(folder)))
            }
        }
    }
}
