//! The files of an embedded database: what is there, whose it is, and who else can use it.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use idp_core::file_access::Access;

use crate::config::secret_files::denied;
use crate::config::secret_files::need::Need;
use crate::config::secret_files::owner::{access, current_user, shell_word};
use crate::config::secret_files::path_to_file::PathToFile;

/// How every file of SQLite begins.
const FIRST_BYTES: &[u8; 16] = b"SQLite format 3\0";

/// Checks a file of a database, which need not exist: it must be one of SQLite's, private, and ours to read and write.
/// `database` is the main file; the fix covers its companions as well. `setting` is the setting that names it.
///
/// # Errors
/// One sentence that names the file, the setting, the owner and mode, and the fix.
pub fn check_database(file: &Path, database: &Path, setting: &str) -> Result<(), String> {
    let all = format!("{}*", shell_word(database));
    let refuse = |why: String| Err(unusable(file, setting, &why));
    let facts = match file.metadata() {
        Ok(facts) => facts,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return refuse(denied::denied_message(file, Need::Change(&all), &error));
        }
        Err(error) => {
            let why = PathToFile::of(file).err().unwrap_or_else(|| error.to_string());
            return refuse(format!("{why}; change the setting, or what is there"));
        }
    };
    let access = access(&facts);
    if let Some((what, fix)) = other_than_a_file(&facts) {
        return refuse(format!("it is {what} ({access}); {fix}"));
    }
    if let Some(verb) = access.others_can() {
        let (shown, fix) = (file.display(), keep_others_out(access, &all));
        return Err(format!("others can {verb} the database {shown} ({setting}; {access}); {fix}"));
    }
    denied::check(file, Need::Change(&all)).or_else(refuse)?;
    if file == database && !is_of_sqlite(file) {
        return refuse(format!("it is not an SQLite database ({access}); {RESTORE}"));
    }
    Ok(())
}

const RESTORE: &str = "put it back from a backup, or move it away to begin with an empty one";

/// The sentence about a database that SQLite does not open. `why` is what it said; a broken file can only be replaced.
pub fn unopened_database(file: &Path, setting: &str, why: &str, is_broken: bool) -> String {
    let facts = file.metadata().map(|facts| format!(" ({})", access(&facts))).unwrap_or_default();
    let fix = if is_broken { format!("; {RESTORE}") } else { String::new() };
    unusable(file, setting, &format!("{why}{facts}{fix}"))
}

fn unusable(file: &Path, setting: &str, why: &str) -> String {
    format!("the database {} ({setting}) cannot be used: {why}", file.display())
}

/// What is there instead of a file, and the fix.
fn other_than_a_file(facts: &Metadata) -> Option<(&'static str, &'static str)> {
    const AWAY: &str = "move it away, or change the setting";
    let kind = facts.file_type();
    match facts.is_file() {
        true => None,
        false if kind.is_dir() => Some(("a folder", AWAY)),
        false if kind.is_fifo() => Some(("a named pipe", AWAY)),
        // A device, which must stay where it is.
        false => Some(("not a regular file", "change the setting")),
    }
}

/// The fix where others can use the files. Only their owner and root can change the mode.
fn keep_others_out(access: Access, all: &str) -> String {
    let uid = current_user().uid;
    match access.uid {
        _ if uid == 0 || uid == access.uid => format!("keep them out with `chmod 600 {all}`"),
        0 => format!("as root, run `chown {uid} {all} && chmod 600 {all}`"),
        owner => format!("run idp as its owner, uid {owner}, who can keep them out with `chmod 600 {all}`"),
    }
}

/// Whether the file is empty or begins like one of SQLite's. A file that was not finished has a journal beside it, with
/// which SQLite mends it.
fn is_of_sqlite(file: &Path) -> bool {
    let mut begin = Vec::new();
    let read = File::open(file).and_then(|file| file.take(16).read_to_end(&mut begin));
    let mut journal = file.as_os_str().to_owned();
    journal.push("-journal");
    read.is_err() || begin.is_empty() || begin == FIRST_BYTES || Path::new(&journal).exists()
}
