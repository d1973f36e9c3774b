//! The file of an embedded database: where it is, and that it is its owner's alone.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use idp_core::secret::Secret;
use idp_server::config::settings::Settings;

use crate::failure::Failure;

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
    match file(&settings.database_url()?) {
        Some(file) => check(&file).map(drop),
        None => Ok(()),
    }
}

/// The file of an `sqlite:` URL.
pub(crate) fn file(url: &Secret) -> Option<PathBuf> {
    let rest = url.expose().strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let name = rest.split('?').next().unwrap_or_default();
    Some(PathBuf::from(name.replace("%3f", "?").replace("%25", "%")))
}

/// Whether the file exists.
///
/// # Errors
/// When others can read it.
pub(crate) fn check(file: &Path) -> Result<bool, Failure> {
    let shown = file.display();
    match file.metadata() {
        Ok(facts) if facts.mode() & 0o077 != 0 => Err(Failure::new(format_args!(
            "others can read the database {shown}; keep them out with `chmod 600 {shown}*`"
        ))),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::new(format_args!("the database {shown} cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_one_the_store_opens() {
        for (url, path) in [
            ("sqlite:data/idp.db", Some("data/idp.db")),
            ("sqlite:///var/idp.db?mode=rw", Some("/var/idp.db")),
            ("sqlite:a%3fb%25/idp.db", Some("a?b%/idp.db")),
            ("postgres://idp@localhost/idp", None),
        ] {
            assert_eq!(file(&Secret::new(url.to_owned())), path.map(PathBuf::from));
        }
    }
}
