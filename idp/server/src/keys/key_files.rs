//! Key-encryption keys on disk: `<id>.kek` files of 32 random bytes as base64url. Only their owner can read those made
//! here. Those that a container tool mounts are accepted as [`crate::config::secret_files`] allows.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use idp_core::file_access::Readers;
use idp_core::seal::{Kek, Keyring};
use idp_core::secret::{base64url, from_base64url, random_bytes};
use idp_core::time::Timestamp;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::config::secret_files;
use crate::start_error::StartError;

const EXTENSION: &str = "kek";
/// The file of a key that is being written. The key counts once the file is renamed, which is atomic.
const UNFINISHED: &str = "unfinished";
/// Longer than any key file, in bytes.
const LONGEST_FILE: u64 = 1024;
/// Locked while a key is made, so that nodes that share the folder make only one. The system releases the lock when
/// the process ends.
const LOCK: &str = ".lock";

/// The keys that a start found in its folder or made there.
#[derive(Debug)]
pub(crate) struct KeyFolder {
    pub(crate) ring: Keyring,
    /// Sentences about key files that others can read.
    pub(crate) warnings: Vec<String>,
    /// The ID and file of the key made by this start.
    made: Option<(String, PathBuf)>,
}

/// Reads the keys of a folder. A key is made only if nothing is sealed yet: if a second node, or a restored one, made
/// its own, it could not open what was sealed before.
///
/// # Errors
/// [`StartError::Keys`]: others can read a file, a file is malformed, or one of the `needed` keys is missing.
pub(crate) fn load_or_make(
    dir: &Path,
    needed: &BTreeSet<String>,
    now: Timestamp,
) -> Result<KeyFolder, StartError> {
    let (ring, warnings) = read_folder(dir)?;
    require(&ring, needed, dir)?;
    if !ring.is_empty() {
        return Ok(KeyFolder { ring, warnings, made: None });
    }
    check_making(dir)?;
    let problem = |error: io::Error| not_made(dir, &format!("{error}; put one there"));
    make_folder(dir).map_err(problem)?;
    let lock = private().write(true).create(true).truncate(false).open(dir.join(LOCK)).map_err(problem)?;
    lock.lock().map_err(problem)?;
    // The node that had the lock before may have made a key.
    let (ring, warnings) = read_folder(dir)?;
    if !ring.is_empty() {
        return Ok(KeyFolder { ring, warnings, made: None });
    }
    let made = make(dir, now).map_err(problem)?;
    Ok(KeyFolder { ring: load(dir)?, warnings, made: Some(made) })
}

impl KeyFolder {
    /// Checks the keys again once something is sealed. If another node was first with a key of its own, the one made
    /// here is useless and is deleted. Returns the file of the key that was made here, if it is in use.
    ///
    /// # Errors
    /// [`StartError::Keys`]: one of the `needed` keys is missing.
    pub(crate) fn settle(&self, needed: &BTreeSet<String>, dir: &Path) -> Result<Option<&Path>, StartError> {
        match &self.made {
            Some((id, file)) if !needed.contains(id) => {
                let _ = fs::remove_file(file);
                require(&self.ring, needed, dir)?;
                Ok(None)
            }
            made => {
                require(&self.ring, needed, dir)?;
                Ok(made.as_ref().map(|(_, file)| file.as_path()))
            }
        }
    }
}

/// Refuses a key ring that lacks a key under which something is sealed.
///
/// # Errors
/// [`StartError::Keys`], naming the keys.
pub(crate) fn require(ring: &Keyring, needed: &BTreeSet<String>, dir: &Path) -> Result<(), StartError> {
    let missing: Vec<String> =
        needed.iter().filter(|id| !ring.has(id)).map(|id| format!("{id}.{EXTENSION}")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(StartError::Keys(format!(
        "the key-encryption key {} is not in {}, but rows of the database are sealed under it; put it there, \
         from another node or a backup",
        missing.join(" and "),
        dir.display()
    )))
}

/// Refuses a folder into which others could put keys.
///
/// # Errors
/// [`StartError::Keys`], naming the folder.
pub(crate) fn check_folder(config: &Config) -> Result<(), StartError> {
    secret_files::check_folder(&config.keys_dir, "keys.dir", config.dev).map_err(StartError::Keys)
}

/// Checks the folder before anything is created, even the database. If there is neither a key nor a database, we must
/// be able to make a key. If there is a key that we made, there was a database, and an empty one must not take its
/// place. If there is a database, a missing key is reported later, when the database has been read.
///
/// # Errors
/// [`StartError::Keys`], or [`StartError::Open`] if the database's file is gone.
pub(crate) fn check_before(config: &Config) -> Result<(), StartError> {
    check_folder(config)?;
    let (ring, _) = read_folder(&config.keys_dir)?;
    let Some(file) = idp_store::database_file(config.database_url.expose())? else { return Ok(()) };
    if idp_store::database_file_exists(&file)? {
        return Ok(());
    }
    if ring.is_empty() {
        return check_making(&config.keys_dir);
    }
    // Whoever starts `dev` anew removes its database.
    if config.dev { Ok(()) } else { check_not_gone(&file, &config.keys_dir) }
}

/// The file that says that a database was used here. Its name begins with a dot, so that whoever moves `idp.db*` away
/// leaves it behind.
fn mark(database: &Path) -> PathBuf {
    let name = database.file_name().unwrap_or_default().to_string_lossy();
    database.with_file_name(format!(".{name}.was-here"))
}

/// Notes that a database was used here, so that an empty one does not take its place when its file is missing.
pub(crate) fn note_database(database: &Path) {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(mark(database));
    match made {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => tracing::warn!(%error, "cannot note that there is a database here"),
    }
}

/// Refuses to take a database whose file is missing for one that was never made, if it was noted, or if a key that we made
/// was made with one. Whoever cannot see the keys does not know.
///
/// # Errors
/// [`StartError::Keys`], naming the database and the folder.
pub fn check_not_gone(database: &Path, dir: &Path) -> Result<(), StartError> {
    const INSTEAD: &str = "or run `idp db migrate` with the same settings to begin with an empty database";
    let (shown, keys, mark) = (database.display(), dir.display(), mark(database));
    if mark.exists() {
        let mark = mark.display();
        return Err(StartError::Keys(format!(
            "the database {shown} is gone: it was here, as {mark} says; put the file back, {INSTEAD}"
        )));
    }
    let is_key = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.path().extension().is_some_and(|extension| extension == EXTENSION))
    };
    let has_key = fs::read_dir(dir).is_ok_and(|mut entries| entries.any(is_key));
    match has_key && dir.join(LOCK).exists() {
        true => Err(StartError::Keys(format!(
            "there is no database {shown}, but the key in {keys} (keys.dir) was made with one; put its file there, {INSTEAD}"
        ))),
        false => Ok(()),
    }
}

/// Checks whether a key can be made in a folder, as far as that shows without making one.
///
/// # Errors
/// [`StartError::Keys`], with how to make a key elsewhere.
pub(crate) fn check_making(dir: &Path) -> Result<(), StartError> {
    if secret_files::is_mounted(dir) {
        return Err(not_made(dir, "another program manages this folder; put one there"));
    }
    secret_files::writable(dir).map_err(|why| not_made(dir, &format!("{why}; or put one there")))
}

fn not_made(dir: &Path, why: &str) -> StartError {
    StartError::Keys(format!(
        "there is no key-encryption key in {} (keys.dir), and none can be made there: {why}, made with \
         `head -c 32 /dev/urandom | basenc --base64url > kek-1.{EXTENSION}`",
        dir.display()
    ))
}

/// Reads the keys of a folder, which need not exist.
///
/// # Errors
/// [`StartError::Keys`]: others can read a file, or a file is malformed.
pub fn load(dir: &Path) -> Result<Keyring, StartError> {
    read_folder(dir).map(|(ring, _)| ring)
}

/// Like [`load`], and returns a sentence for each key file that others can read.
pub(crate) fn read_folder(dir: &Path) -> Result<(Keyring, Vec<String>), StartError> {
    let problem = |error: io::Error| {
        let why = secret_files::unlisted(dir, &error);
        StartError::Keys(format!("the folder {} (keys.dir) cannot be read: {why}", dir.display()))
    };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Default::default()),
        entries => entries.map_err(problem)?,
    };
    let (mut keys, mut warnings) = (Vec::new(), Vec::new());
    for entry in entries {
        let path = entry.map_err(problem)?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            keys.push(read(&path, &mut warnings)?);
        }
    }
    Ok((Keyring::new(keys), warnings))
}

fn read(path: &Path, warnings: &mut Vec<String>) -> Result<Kek, StartError> {
    let key = format!("the key-encryption key {} of keys.dir", path.display());
    let file = secret_files::open(path, LONGEST_FILE)
        .map_err(|why| StartError::Keys(format!("{key} cannot be read: {why}")))?;
    let readers = file.judged.map_err(|refusal| StartError::Keys(refusal.sentence(&key, path)))?;
    if readers == Readers::Others {
        warnings.push(format!("keys.dir: {}", secret_files::warning(path, file.access)));
    }
    let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if id.is_empty() || id.contains('.') {
        return Err(StartError::Keys(format!(
            "{}: the file name of a key-encryption key must be ID.kek, and the ID must not contain a dot (keys.dir)",
            path.display()
        )));
    }
    // Other tools pad base64.
    let bytes = from_base64url(file.text.trim().trim_end_matches('=')).map(Zeroizing::new);
    bytes.and_then(|bytes| Kek::new(id, &bytes)).ok_or_else(|| {
        let path = path.display();
        StartError::Keys(format!(
            "{path}: this is not a key-encryption key: it must be 32 bytes as base64url (keys.dir)"
        ))
    })
}

fn private() -> fs::OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Makes a key that survives a power cut: the rows that are sealed under it next would.
fn make(dir: &Path, now: Timestamp) -> io::Result<(String, PathBuf)> {
    let id = new_id(now);
    let (unfinished, path) = (dir.join(UNFINISHED), dir.join(format!("{id}.{EXTENSION}")));
    // Left by a start that crashed: we hold the lock, so nobody else is writing one.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private().write(true).create_new(true).open(&unfinished)?;
    let key = Zeroizing::new(random_bytes::<32>());
    file.write_all(Zeroizing::new(base64url(&*key)).as_bytes())?;
    file.sync_all()?;
    // This replaces no key: the name is random, and we hold the lock.
    fs::rename(&unfinished, &path)?;
    sync_folder(dir)?;
    Ok((id, path))
}

/// IDs sort by creation time, because the last key is the one that seals. They are random, so that two installations
/// never have different keys of the same name.
fn new_id(now: Timestamp) -> String {
    format!("kek-{:012x}-{}", now.millis().max(0), base64url(&random_bytes::<6>()))
}

fn make_folder(dir: &Path) -> io::Result<()> {
    let new: Vec<&Path> = dir.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    new.into_iter().filter_map(Path::parent).try_for_each(sync_folder)
}

/// Flushes the entries of a folder to disk.
fn sync_folder(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn make_in(dir: &tempfile::TempDir, needed: &[&str]) -> Result<KeyFolder, StartError> {
        let needed = needed.iter().map(|id| (*id).to_owned()).collect();
        load_or_make(dir.path(), &needed, Timestamp::from_millis(1_700_000_000_000))
    }

    fn refusal(dir: &tempfile::TempDir, needed: &[&str]) -> String {
        make_in(dir, needed).unwrap_err().to_string()
    }

    fn key_files(dir: &tempfile::TempDir) -> Vec<PathBuf> {
        let paths = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION)).collect()
    }

    #[test]
    fn a_key_is_made_once_and_only_its_owner_can_read_it() {
        let dir = dir();
        let first = make_in(&dir, &[]).unwrap();
        let id = first.ring.active_id().unwrap();
        let second = make_in(&dir, &[id]).unwrap();
        assert_eq!(second.ring.active_id(), Some(id));
        assert_eq!((first.made.is_some(), second.made.is_some()), (true, false));
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        }
        assert_eq!(key_files(&dir).len(), 1);
    }

    #[test]
    fn the_key_made_last_is_the_one_that_seals() {
        let at = |millis| new_id(Timestamp::from_millis(millis));
        let mut times = vec![0, 1, 15, 16, 255, 1_700_000_000_000, 1_700_000_000_001, 4_102_444_800_000];
        for _ in 0..20 {
            let ids: Vec<String> = times.iter().map(|millis| at(*millis)).collect();
            assert!(ids.is_sorted(), "{ids:?}");
        }
        times.dedup();
        assert!(!at(0).contains('.') && at(0) != at(0));
    }

    #[test]
    fn r_19_nodes_that_share_a_folder_make_only_one_key() {
        for _ in 0..20 {
            let dir = dir();
            std::thread::scope(|scope| {
                let nodes: Vec<_> = (0..8).map(|_| scope.spawn(|| make_in(&dir, &[]).unwrap())).collect();
                let ids: BTreeSet<String> =
                    nodes.into_iter().map(|node| format!("{:?}", node.join().unwrap().ring)).collect();
                assert_eq!(ids.len(), 1, "{ids:?}");
            });
            assert_eq!(key_files(&dir).len(), 1);
        }
    }

    #[test]
    fn r_28_a_missing_key_is_named_and_never_replaced_if_rows_are_sealed() {
        let dir = dir();
        let said = refusal(&dir, &["kek-b", "kek-a"]);
        assert!(said.contains("kek-a.kek and kek-b.kek is not in"), "{said}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn r_19_a_useless_key_is_deleted_and_one_in_use_stays() {
        let dir = dir();
        let found = make_in(&dir, &[]).unwrap();
        let own = found.ring.active_id().unwrap().to_owned();
        let needed = BTreeSet::from([own.clone()]);
        assert_eq!(found.settle(&needed, dir.path()).unwrap(), Some(key_files(&dir)[0].as_path()));
        let both = BTreeSet::from([own, "kek-other".to_owned()]);
        assert!(found.settle(&both, dir.path()).is_err());
        assert_eq!(key_files(&dir).len(), 1, "something is sealed under it");
        let others = BTreeSet::from(["kek-other".to_owned()]);
        let said = found.settle(&others, dir.path()).unwrap_err().to_string();
        assert!(said.contains("kek-other.kek"), "{said}");
        assert_eq!(key_files(&dir).len(), 0);
    }

    #[test]
    fn ls_08_a_key_that_others_can_read_or_that_is_malformed_stops_the_start() {
        let dir = dir();
        let path = dir.path().join("a.kek");
        fs::write(&path, base64url(&[7; 32])).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(refusal(&dir, &[]).contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(make_in(&dir, &["a"]).is_ok());
        fs::write(&path, "short").unwrap();
        assert!(refusal(&dir, &[]).contains("not a key-encryption key"));
        fs::rename(&path, dir.path().join("a.b.kek")).unwrap();
        assert!(refusal(&dir, &[]).contains("a.b.kek: the file name of a key-encryption key must be ID.kek"));
    }

    #[test]
    fn a_file_instead_of_a_folder_stops_the_start() {
        let dir = dir();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let said = load(&file).unwrap_err().to_string();
        assert!(said.contains("/file (keys.dir) cannot be read: Not a directory"), "{said}");
    }
}
