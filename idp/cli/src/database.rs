//! The file of an embedded database: where it is, and that it is its owner's alone.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use idp_core::secret::Secret;
use idp_server::StartError;
use idp_server::config::settings::Settings;
use idp_server::{database_url, secret_files};
use idp_store::{OpenError, Store};

use crate::failure::Failure;
use idp_server::config::quoted;

/// Makes the data folder, for its owner only, and refuses a database file that others can read: it holds
/// everybody's address and password hash.
///
/// # Errors
/// When the folder cannot be made, or the file is not the owner's alone.
pub(crate) fn prepare(settings: &Settings) -> Result<(), Failure> {
    if let Some(folder) = settings.data_dir() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        let shown = folder.display();
        made.map_err(|error| Failure::new(format_args!("the data folder {shown} cannot be made: {error}")))?;
    }
    exists(&settings.database_url()?).map(drop)
}

/// Refuses to keep an embedded database in a folder that everybody can write, or in a stranger's: whoever can write
/// the folder can exchange the file. With `dev`, root may use the folder of whoever it works for.
///
/// # Errors
/// One line that names the folder and the setting.
pub(crate) fn check_folder(settings: &Settings, dev: bool) -> Result<(), Failure> {
    let Some(file) = file(&settings.database_url()?)? else { return Ok(()) };
    let name = if settings.data_dir().is_some() { "server.data_dir" } else { "database.url" };
    let setting = format!("{name}, {}", settings.origin(name));
    // The companions of a database lie beside the file itself, not beside a link to it.
    let files = [file.canonicalize().unwrap_or_default(), file];
    for folder in files.iter().filter_map(|file| file.parent()) {
        secret_files::check_folder(folder, &setting, dev)?;
    }
    Ok(())
}

/// The file of an embedded database; `None` for another one.
///
/// # Errors
/// When the URL names no file.
pub(crate) fn file(url: &Secret) -> Result<Option<PathBuf>, Failure> {
    Ok(idp_store::database_file(url.expose())?)
}

/// Whether the database is there, as far as its file tells.
///
/// # Errors
/// When others can read the file or one of its companions, which hold what was written last.
pub(crate) fn exists(url: &Secret) -> Result<bool, Failure> {
    let Some(file) = file(url)? else { return Ok(true) };
    for companion in ["-wal", "-shm"] {
        let mut path = file.clone().into_os_string();
        path.push(companion);
        check(Path::new(&path), &file)?;
    }
    check(&file, &file)
}

fn check(path: &Path, database: &Path) -> Result<bool, Failure> {
    let shown = path.display();
    match path.metadata() {
        Ok(facts) if facts.mode() & 0o077 != 0 => Err(Failure::new(format_args!(
            "others can read the database {shown}; keep them out with `chmod 600 {}*`",
            quoted(&database.to_string_lossy())
        ))),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::new(format_args!("the database {shown} cannot be read: {error}"))),
    }
}

/// Opens the database.
///
/// # Errors
/// [`Failure`], with the setting that named it.
pub(crate) async fn open(settings: &Settings) -> Result<Store, Failure> {
    let url = settings.database_url()?;
    database_url::check(url.expose()).map_err(|error| not_started(error, &place(settings)))?;
    Store::open(url.expose(), 2).await.map_err(|error| named(error, &place(settings)))
}

/// Where the settings name the database.
pub(crate) fn place(settings: &Settings) -> String {
    format!("database.url, {}", settings.origin("database.url"))
}

/// Says of a server that cannot be used where the settings name it.
pub(crate) fn named(error: OpenError, place: &str) -> Failure {
    match error {
        OpenError::Unreachable { .. } | OpenError::Refused { .. } | OpenError::Unprotected { .. } => {
            Failure::new(format_args!("{error} ({place})"))
        }
        other => other.into(),
    }
}

/// The same for a server of ours that does not start.
pub(crate) fn not_started(error: StartError, place: &str) -> Failure {
    match error {
        StartError::Open(error) => named(error, place),
        StartError::Files(why) => Failure::new(format_args!("{why} ({place})")),
        other => other.into(),
    }
}
