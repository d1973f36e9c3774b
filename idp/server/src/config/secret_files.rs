//! Secrets in files. Every secret file, and every folder for keys and data, is checked here by the rules of
//! [`idp_core::file_access`].

mod database_file;
mod denied;
mod mount;
mod need;
mod owner;
mod path_to_file;
mod refusal;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use idp_core::file_access::{
    Access, AccessProblem, CurrentUser, Readers, deciding_file, own_folder, secret_file, trusted_file,
};
use idp_core::secret::Secret;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

pub use self::database_file::{check_database, unopened_database};
use self::mount::{is_on_read_only_mount, is_read_only};
use self::need::Need;
pub(in crate::config) use self::need::{FOR_OWNER_OR_ROOT, FOR_ROOT};
use self::owner::{access, current_user, ownership, shell_word};
use self::path_to_file::{KUBERNETES_LINK, Missing, PathToFile};
use self::refusal::FileRefusal;

/// Longer than any secret, in bytes.
const LONGEST_SECRET: u64 = 64 * 1024;
/// Longer than any list of certificate authorities, in bytes.
const LONGEST_CERTIFICATES: u64 = 4 * 1024 * 1024;

/// A secret from a file.
#[derive(Debug)]
pub struct SecretFile {
    /// The secret, without the line end that editors add.
    pub secret: Secret,
    /// A sentence for the log if others can read the file.
    pub warning: Option<String>,
}

/// Reads a secret.
///
/// # Errors
/// One sentence that names the file, its owner and mode, and the fix.
pub fn read(path: &Path) -> Result<SecretFile, String> {
    let shown = path.display();
    let opened =
        open(path, LONGEST_SECRET).map_err(|why| format!("the file {shown} cannot be read: {why}"))?;
    let readers = opened.judged.map_err(|refusal| refusal.sentence(&format!("the file {shown}"), path))?;
    let text = opened.text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        let what = if text.is_empty() { "is empty" } else { "contains nothing but white space" };
        return Err(format!("the file {shown} {what}"));
    }
    if text.starts_with('\u{FEFF}') {
        return Err(format!("the file {shown} begins with a byte order mark (U+FEFF); save it without one"));
    }
    let warning = (readers == Readers::Others).then(|| warning(path, opened.access));
    Ok(SecretFile { secret: Secret::new(text.to_owned()), warning })
}

/// Reads the private key of a certificate.
///
/// # Errors
/// As [`read`], and if the file contains none that can be read.
pub(crate) fn read_private_key(path: &Path) -> Result<SecretFile, String> {
    let file = read(path)?;
    let checked = idp_store::check_private_key(file.secret.expose());
    checked.map_err(|why| format!("the file {} {why}", path.display()))?;
    Ok(file)
}

/// The warning about a secret file that is accepted although others can read it.
pub(crate) fn warning(path: &Path, access: Access) -> String {
    format!(
        "others can read the secret in {} ({access}); it is accepted because only root can write it",
        path.display()
    )
}

/// The text of a file, and what the file may hold.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) text: Zeroizing<String>,
    pub(crate) access: Access,
    /// Whether it may hold a secret.
    pub(crate) judged: Result<Readers, FileRefusal>,
    /// Whether it may hold something that is not secret but must be trusted.
    trusted: Result<(), FileRefusal>,
    /// Whether it may decide what we do, as a configuration file does.
    pub(crate) decides: Result<(), FileRefusal>,
}

/// Opens a file, reads at most `longest` bytes, and checks its owner and mode and the folders that lead to it.
///
/// # Errors
/// Why it cannot be read, as the end of a sentence.
pub(crate) fn open(path: &Path, longest: u64) -> Result<Opened, String> {
    let us = current_user();
    let way = if is_inherited(path) { PathToFile::default() } else { PathToFile::of(path)? };
    // Without this we would wait forever for the writer of a named pipe.
    let flags = if is_inherited(path) { OFlags::empty() } else { OFlags::NONBLOCK };
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file =
        file.map_err(|error| match way.by_kubernetes && error.kind() == io::ErrorKind::PermissionDenied {
            true => of_kubernetes(path, us, &error),
            false => denied::denied_message(path, Need::Read, &error),
        })?;
    let facts = file.metadata().map_err(|error| error.to_string())?;
    let is_pipe = is_inherited(path) && facts.file_type().is_fifo();
    if !(facts.is_file() || is_pipe) {
        return Err(kind(&facts).to_owned());
    }
    let access = access(&facts);
    let mounted = way.by_kubernetes || is_read_only(&file);
    let refusal = |why| FileRefusal { why, access, folder: None, us };
    let judged = secret_file(access, us, mounted).map_err(refusal);
    let judged = judged.and_then(|readers| way.check(us, readers).map(|()| readers));
    // Whoever can write its folder could put another file of ours or root's in its place, if others can read it.
    let readers = if access.others_can().is_some() { Readers::Others } else { Readers::Owner };
    let by_the_way =
        |file: Result<(), AccessProblem>| file.map_err(refusal).and_then(|()| way.check(us, readers));
    let (trusted, decides) = (by_the_way(trusted_file(access, us)), by_the_way(deciding_file(access, us)));
    Ok(Opened { text: text(file, longest)?, access, judged, trusted, decides })
}

/// A file in a Kubernetes volume that we cannot read: `chown` cannot fix it there, only the pod's specification.
fn of_kubernetes(path: &Path, us: CurrentUser, error: &io::Error) -> String {
    let Ok(facts) = path.metadata() else { return error.to_string() };
    format!(
        "it {}; give the volume `defaultMode: 0440` and the pod `securityContext: {{ fsGroup: {} }}`",
        ownership(access(&facts), us.uid),
        rustix::process::getegid().as_raw()
    )
}

/// Whether this is a pipe of the shell that started us: `--password-file <(command)`.
fn is_inherited(path: &Path) -> bool {
    let folders = ["/dev/fd", "/proc/self/fd"].map(Path::new);
    path == Path::new("/dev/stdin")
        || (path.parent().is_some_and(|folder| folders.contains(&folder)) && !path.ends_with(".."))
}

fn kind(facts: &Metadata) -> &'static str {
    match facts.is_dir() {
        true => "it is a folder (Docker creates one if the source of a mount is missing)",
        false => "it is not a regular file",
    }
}

fn text(file: File, longest: u64) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::new());
    let read = file.take(longest + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if read as u64 > longest {
        return Err(format!("it is longer than {} KiB", longest / 1024));
    }
    Ok(text)
}

/// Reads a file that decides what we do, such as a seed. It need not be secret, but nobody else may write or replace it.
///
/// # Errors
/// The end of a sentence that begins with the file.
pub fn read_trusted(path: &Path, longest: u64) -> Result<Zeroizing<String>, String> {
    let opened = open(path, longest).map_err(|why| format!("this file cannot be read: {why}"))?;
    opened.decides.map_err(|refusal| refusal.sentence("this file", path))?;
    Ok(opened.text)
}

/// Checks whether a file with certificates can be trusted. They are not secret, but nobody else may write them.
///
/// # Errors
/// One sentence that names the file.
pub(crate) fn check_certificates(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let unreadable = |why: String| format!("the file {shown} cannot be read: {why}");
    let opened = open(path, LONGEST_CERTIFICATES).map_err(unreadable)?;
    opened.trusted.map_err(|refusal| refusal.sentence(&format!("the file {shown}"), path))?;
    idp_store::check_certificates(&opened.text).map_err(|why| format!("the file {shown} {why}"))
}

/// Checks whether a folder may hold our keys or data, and whether the folders that lead to it are safe. The folder need
/// not exist. `setting` is the setting that names it. With `dev`, root may use the folder of the user it works for.
///
/// # Errors
/// One sentence that names the folder and the setting.
pub fn check_folder(folder: &Path, setting: &str, dev: bool) -> Result<(), String> {
    let folder = here(folder);
    let shown = folder.display();
    let us = current_user();
    let way = PathToFile::to(folder, Missing::IsMade(us))
        .map_err(|why| format!("the folder {shown} ({setting}) cannot be used: {why}"))?;
    match folder.metadata() {
        Ok(facts) if !facts.is_dir() => {
            return Err(format!("the folder {shown} ({setting}) cannot be used: it is not a folder"));
        }
        Ok(facts) => check_own(folder, access(&facts), us, setting, dev)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("the folder {shown} ({setting}) cannot be used: {error}")),
    }
    way.check(us, Readers::Owner)
        .map_err(|refusal| refusal.sentence(&format!("the folder {shown} ({setting})"), folder))
}

fn check_own(folder: &Path, access: Access, us: CurrentUser, setting: &str, dev: bool) -> Result<(), String> {
    let shown = folder.display();
    match own_folder(access, us, is_mounted(folder)) {
        Ok(()) => Ok(()),
        Err(AccessProblem::WrongOwner) if dev && us.uid == 0 => Ok(()),
        Err(AccessProblem::WrongOwner) => Err(format!(
            "the folder {shown} ({setting}) belongs to another user ({access}; idp runs as {us}); {}",
            own_fix(folder, access, us, &format!("chown {us}"), "or run idp as its owner")
        )),
        Err(AccessProblem::OthersCan(_)) => Err(format!(
            "everybody can write to the folder {shown} ({setting}; {access}); {}",
            own_fix(folder, access, us, "chmod o-w", "or use another one")
        )),
    }
}

/// The command, where the folder may be changed, and who must run it; `or` is the other way.
fn own_fix(folder: &Path, access: Access, us: CurrentUser, command: &str, or: &str) -> String {
    let is_ours = access.uid == us.uid;
    if owner::is_of_others(folder, access, us.uid) {
        return format!("use {}", owner::elsewhere(us));
    }
    // Root could take the folder of a service, which would then be locked out.
    if us.uid == 0 && !is_ours {
        return "run idp as its owner".to_owned();
    }
    let by_whom = if is_ours { "" } else { "as root, " };
    format!("{by_whom}run `{command} {}`, {or}", shell_word(folder))
}

/// Checks whether we can create files in a folder, or the folder itself.
///
/// # Errors
/// One sentence that names the folder and the setting.
pub fn check_writable(folder: &Path, setting: &str) -> Result<(), String> {
    let folder = here(folder);
    let verb = if folder.exists() { "written" } else { "made" };
    writable(folder)
        .map_err(|why| format!("the folder {} ({setting}) cannot be {verb}: {why}", folder.display()))
}

/// Like [`check_writable`], but the error is the end of a sentence about the folder.
pub(crate) fn writable(folder: &Path) -> Result<(), String> {
    let folder = here(folder);
    if folder.exists() { denied::check(folder, Need::Fill) } else { denied::check_making(folder) }
}

/// Why a folder cannot be listed, as the end of a sentence about the folder.
pub(crate) fn unlisted(folder: &Path, error: &io::Error) -> String {
    denied::denied_message(folder, Need::List, error)
}

/// An empty path means the current folder.
fn here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Whether another program fills a folder for us: a Kubernetes volume or a read-only mount.
pub(crate) fn is_mounted(folder: &Path) -> bool {
    let link = folder.join(KUBERNETES_LINK).symlink_metadata();
    link.is_ok_and(|link| link.is_symlink() && link.uid() == 0) || is_on_read_only_mount(folder)
}

#[cfg(test)]
#[path = "secret_files_tests.rs"]
mod tests;
