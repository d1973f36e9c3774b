//! Why a file must not hold a secret, and the fix.

use std::path::{Path, PathBuf};

use idp_core::file_access::{Access, AccessProblem, CurrentUser};

use crate::config::secret_files::owner;

/// Why a file must not hold a secret.
#[derive(Clone, Debug)]
pub(crate) struct FileRefusal {
    pub(super) why: AccessProblem,
    pub(super) access: Access,
    /// The folder on the path to the file, if the folder is at fault and not the file.
    pub(super) folder: Option<PathBuf>,
    pub(super) us: CurrentUser,
}

impl FileRefusal {
    /// The whole sentence. `subject` is what the operator knows the file as.
    pub(crate) fn sentence(&self, subject: &str, path: &Path) -> String {
        format!("{}; {}", self.what(subject), self.fix(&owner::shell_word(path)))
    }

    /// What is wrong.
    pub(crate) fn what(&self, subject: &str) -> String {
        let Self { access, folder, us, .. } = self;
        match (self.why, folder) {
            (AccessProblem::OthersCan(verb), None) => format!("others can {verb} {subject} ({access})"),
            (AccessProblem::WrongOwner, None) => {
                format!("{subject} belongs to another user ({access}; idp runs as {us})")
            }
            (AccessProblem::OthersCan(_), Some(folder)) => {
                format!(
                    "others can replace {subject}, because they can write to the folder {} ({access})",
                    folder.display()
                )
            }
            (AccessProblem::WrongOwner, Some(folder)) => {
                let folder = folder.display();
                format!(
                    "another user can replace {subject}: the folder {folder} is theirs ({access}; idp runs as {us})"
                )
            }
        }
    }

    /// What to do. `word` is the file's path quoted for a shell, or empty if it goes without saying.
    pub(crate) fn fix(&self, word: &str) -> String {
        let command = |verb: &str, what: &str| format!("`{}`", [verb, what].join(" ").trim_end());
        match (self.why, &self.folder) {
            (AccessProblem::OthersCan("write"), None) if self.access.uid != self.us.uid => {
                format!("as root, run {}", command("chmod go-w", word))
            }
            (AccessProblem::OthersCan("write"), None) => {
                format!("keep them out with {}", command("chmod go-w", word))
            }
            (AccessProblem::OthersCan(_), None) => {
                format!("keep them out with {}", command("chmod 600", word))
            }
            (AccessProblem::OthersCan(_), Some(folder)) if self.is_for_us_to_change(folder) => {
                format!("keep them out with {}", command("chmod go-w", &owner::shell_word(folder)))
            }
            (_, Some(_)) => format!("move it to {}", owner::elsewhere(self.us)),
            (AccessProblem::WrongOwner, None) if self.access.mode & 0o022 != 0 && !word.is_empty() => {
                format!("as root, run `chown root {word} && chmod go-w {word}`")
            }
            (AccessProblem::WrongOwner, None) => format!("as root, run {}", command("chown root", word)),
        }
    }

    fn is_for_us_to_change(&self, folder: &Path) -> bool {
        self.access.uid == self.us.uid && !owner::is_of_others(folder, self.access, self.us.uid)
    }
}
