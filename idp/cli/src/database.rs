//! The file of an embedded database: where it is, and that it is its owner's alone.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use idp_core::secret::Secret;
use idp_server::StartError;
use idp_server::config::quoted;
use idp_server::config::settings::Settings;
use idp_server::{database_url, secret_files};
use idp_store::{OpenError, Store};

use crate::failure::Failure;

/// Makes the data folder, for its owner only.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn make_folder(data_dir: Option<&Path>) -> Result<(), Failure> {
    let Some(folder) = data_dir else { return Ok(()) };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let shown = folder.display();
    made.map_err(|error| Failure::new(format_args!("the data folder {shown} cannot be made: {error}")))
}

/// Refuses to keep an embedded database in a folder that everybody can write, or in a stranger's: whoever can write
/// the folder, or one on the way to it, can exchange the file. We must be able to write it. With `dev`, root may use
/// the folder of whoever it works for.
///
/// # Errors
/// One line that names the folder and the setting.
pub(crate) fn check_folder(settings: &Settings, dev: bool) -> Result<(), Failure> {
    let Some(file) = file(&settings.database_url()?)? else { return Ok(()) };
    let setting = folder_setting(settings);
    for folder in folders(&file) {
        secret_files::check_folder(&folder, &setting, dev)?;
    }
    Ok(check_writable(settings, &file)?)
}

/// Whether we can make the files of a database beside it.
fn check_writable(settings: &Settings, file: &Path) -> Result<(), String> {
    let setting = folder_setting(settings);
    // No folder but the data folder is made.
    let there = folders(file).into_iter().filter(|folder| settings.data_dir().is_some() || folder.exists());
    there.into_iter().try_for_each(|folder| secret_files::check_writable(&folder, &setting))
}

/// The setting that names the folder of the database, and where it was set.
fn folder_setting(settings: &Settings) -> String {
    let name = if settings.data_dir().is_some() { "server.data_dir" } else { "database.url" };
    format!("{name}, {}", settings.origin(name))
}

/// The folders of a database: its companions lie beside the file itself, not beside a link to it.
fn folders(file: &Path) -> Vec<PathBuf> {
    let files = [file.canonicalize().unwrap_or_default(), file.to_owned()];
    let parents = files.iter().filter_map(|file| file.parent());
    parents
        .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder }.to_owned())
        .collect()
}

/// The file of an embedded database; `None` for another one.
///
/// # Errors
/// When the URL names no file.
pub(crate) fn file(url: &Secret) -> Result<Option<PathBuf>, Failure> {
    Ok(idp_store::database_file(url.expose())?)
}

/// Whether the database is there, as far as its file tells. It holds everybody's address and password hash.
///
/// # Errors
/// When others can read the file or one of its companions, which hold what was written last, or when we cannot.
pub(crate) fn exists(settings: &Settings) -> Result<bool, Failure> {
    let Some(file) = file(&settings.database_url()?)? else { return Ok(true) };
    for companion in ["-wal", "-shm"] {
        let mut path = file.clone().into_os_string();
        path.push(companion);
        check(Path::new(&path), &file, settings)?;
    }
    check(&file, &file, settings)
}

fn check(path: &Path, database: &Path, settings: &Settings) -> Result<bool, Failure> {
    let shown = path.display();
    match path.metadata() {
        Ok(facts) if facts.mode() & 0o077 != 0 => Err(Failure::new(format_args!(
            "others can read the database {shown}; keep them out with `chmod 600 {}*`",
            quoted(&database.to_string_lossy())
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        _ => secret_files::check_database(path, database).map(|()| true).map_err(|why| {
            let setting = folder_setting(settings);
            Failure::new(format_args!("the database {shown} ({setting}) cannot be used: {why}"))
        }),
    }
}

/// Opens the database.
///
/// # Errors
/// [`Failure`], with the setting that named it.
pub(crate) async fn open(settings: &Settings) -> Result<Store, Failure> {
    let url = settings.database_url()?;
    database_url::check(url.expose()).map_err(|error| not_started(error, &url_source(settings)))?;
    let opened = Store::open(url.expose(), 2).await;
    opened.map_err(|error| match file(&url) {
        // SQLite does not say what it could not open.
        Ok(Some(file)) => match check_writable(settings, &file) {
            Ok(()) => error.into(),
            Err(why) => Failure::new(why),
        },
        _ => named(error, &url_source(settings)),
    })
}

/// Where the settings name the database.
pub(crate) fn url_source(settings: &Settings) -> String {
    format!("database.url, {}", settings.origin("database.url"))
}

/// Says of a server that cannot be used where the settings name it.
pub(crate) fn named(error: OpenError, source: &str) -> Failure {
    match error {
        OpenError::Unreachable { .. } | OpenError::Refused { .. } | OpenError::Unprotected { .. } => {
            Failure::new(format_args!("{error} ({source})"))
        }
        other => other.into(),
    }
}

/// The same for a server of ours that does not start.
pub(crate) fn not_started(error: StartError, source: &str) -> Failure {
    match error {
        StartError::Open(error) => named(error, source),
        StartError::Files(why) => Failure::new(format_args!("{why} ({source})")),
        other => other.into(),
    }
}
