//! The file of an embedded database: where it is, and that only its owner can use it.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use idp_core::secret::Secret;
use idp_server::StartError;
use idp_server::config::settings::Settings;
use idp_server::{database_url, secret_files};
use idp_store::{FileOrigin, OpenError, Store};

use crate::failure::Failure;

/// Creates the data folder, accessible to its owner only.
///
/// # Errors
/// When it cannot be created.
pub(crate) fn make_folder(data_dir: Option<&Path>) -> Result<(), Failure> {
    let Some(folder) = data_dir else { return Ok(()) };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let shown = folder.display();
    made.map_err(|error| Failure::new(format_args!("the data folder {shown} cannot be created: {error}")))
}

/// Refuses to keep an embedded database in a folder that belongs to another user, or that everybody can write:
/// whoever can write the folder, or one on its path, can replace the file. We must be able to write it. With `dev`,
/// root may use another user's folder.
///
/// # Errors
/// One line that names the folder and the setting.
pub(crate) fn check_folder(settings: &Settings, dev: bool) -> Result<(), Failure> {
    let Some(file) = file(&settings.database_url()?)? else { return Ok(()) };
    let setting = settings.database_folder_setting();
    for folder in folders(&file) {
        secret_files::check_folder(&folder, &setting, dev)?;
    }
    Ok(check_writable(settings, &file)?)
}

/// Checks that we can create files beside the database.
fn check_writable(settings: &Settings, file: &Path) -> Result<(), String> {
    let setting = settings.database_folder_setting();
    // We create no folder but the data folder.
    let there = folders(file).into_iter().filter(|folder| settings.data_dir().is_some() || folder.exists());
    there.into_iter().try_for_each(|folder| secret_files::check_writable(&folder, &setting))
}

/// The database's folders: of the file itself, where SQLite puts the companion files, and of a link to it.
fn folders(file: &Path) -> Vec<PathBuf> {
    let files = [file.canonicalize().unwrap_or_default(), file.to_owned()];
    let parents = files.iter().filter_map(|file| file.parent());
    parents
        .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder }.to_owned())
        .collect()
}

/// The file of an embedded database; `None` for PostgreSQL.
///
/// # Errors
/// When the URL names no file.
pub(crate) fn file(url: &Secret) -> Result<Option<PathBuf>, Failure> {
    Ok(idp_store::database_file(url.expose())?)
}

/// The folder of an embedded database, with links followed; `None` for PostgreSQL.
///
/// # Errors
/// When the URL names no file.
pub(crate) fn folder(settings: &Settings) -> Result<Option<PathBuf>, Failure> {
    let file = file(&settings.database_url()?)?;
    Ok(file.and_then(|file| folders(&file).into_iter().next()))
}

/// Whether the database file exists; without a file, `true`. It holds everybody's address and password hash.
///
/// # Errors
/// When others can read the file or a companion (`-wal`, `-shm`: these hold the latest writes), when we cannot use one,
/// or when the file is gone and its companion or a link to it shows that there was one.
pub(crate) fn exists(settings: &Settings) -> Result<bool, Failure> {
    let Some(file) = file(&settings.database_url()?)? else { return Ok(true) };
    let is_denied = file.metadata().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    if is_denied && file.parent().is_some_and(Path::is_dir) {
        // To reach the file would not be enough: SQLite puts companions beside it.
        check_writable(settings, &file)?;
    }
    let setting = settings.database_folder_setting();
    for companion in ["", "-wal", "-shm"] {
        let mut path = file.clone().into_os_string();
        path.push(companion);
        secret_files::check_database(Path::new(&path), &file, &setting)?;
    }
    Ok(idp_store::database_file_exists(&file)?)
}

/// Opens the database.
///
/// # Errors
/// [`Failure`], with the setting that named it.
pub(crate) async fn open(settings: &Settings) -> Result<Store, Failure> {
    let (url, named) = (settings.database_url()?, NamedBy::of(settings)?);
    database_url::check(url.expose()).map_err(|error| named.not_started(error))?;
    let opened = Store::open(url.expose(), 2).await;
    opened.map_err(|error| match file(&url) {
        // SQLite does not say which file it could not open.
        Ok(Some(file)) => match check_writable(settings, &file) {
            Ok(()) => named.not_opened(error),
            Err(why) => Failure::new(why),
        },
        _ => named.not_opened(error),
    })
}

/// What the operator knows a database by: its file, if it has one, and the settings that name it.
#[derive(Debug)]
pub(crate) struct NamedBy {
    file: Option<PathBuf>,
    url: String,
    folder: String,
}

impl NamedBy {
    /// # Errors
    /// When the URL names no file.
    pub(crate) fn of(settings: &Settings) -> Result<Self, Failure> {
        let (url, folder) = (settings.database_url_setting(), settings.database_folder_setting());
        Ok(Self { file: file(&settings.database_url()?)?, url, folder })
    }

    /// Adds the setting to an error about a database that does not open, and the file if there is one.
    pub(crate) fn not_opened(&self, error: OpenError) -> Failure {
        let is_broken = error.is_broken_file();
        match (error, &self.file) {
            (OpenError::Connect(error), Some(file)) => {
                let why = match error.as_database_error() {
                    Some(said) => said.message().to_owned(),
                    None => error.to_string(),
                };
                Failure::new(secret_files::unopened_database(file, &self.folder, &why, is_broken))
            }
            (
                error @ (OpenError::BadUrl(_)
                | OpenError::Unreachable { .. }
                | OpenError::Refused { .. }
                | OpenError::Unprotected { .. }),
                _,
            ) => Failure::new(format_args!("{error} ({})", self.url)),
            (other, _) => other.into(),
        }
    }

    /// The same for an error of our own start.
    pub(crate) fn not_started(&self, error: StartError) -> Failure {
        match error {
            StartError::Open(error) => self.not_opened(error),
            StartError::Files { origin: FileOrigin::Parameter(_), .. } => {
                Failure::new(format_args!("{error} ({})", self.url))
            }
            other => other.into(),
        }
    }
}
