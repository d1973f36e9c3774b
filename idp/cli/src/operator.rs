//! What the operator's commands share: settings, an open database, a clock.

use std::path::Path;

use idp_core::account::password::PasswordPolicy;
use idp_core::time::Timestamp;
use idp_server::clock::Clock;
use idp_server::config::settings::{self, Settings};
use idp_store::Store;

use crate::args::{Common, Format, Place};
use crate::database;
use crate::failure::Failure;

/// Where `idp dev` keeps its database.
pub(crate) const DEV_DATA_DIR: &str = "data/dev";

/// An operator at work.
pub(crate) struct Operator {
    pub(crate) store: Store,
    pub(crate) now: Timestamp,
    pub(crate) policy: PasswordPolicy,
    pub(crate) format: Format,
}

/// Opens the database, which must be there and of this program's version.
///
/// # Errors
/// [`Failure`]: wrong settings, or no such database.
pub(crate) async fn open(common: &Common) -> Result<Operator, Failure> {
    let settings = settings(common)?;
    let url = settings.database_url()?;
    if let Some(file) = database::file(&url)
        && !database::check(&file)?
    {
        return Err(no_database(common, &file));
    }
    let store = Store::open(url.expose(), 2).await?;
    store.require_current().await?;
    let policy = settings.password_policy();
    Ok(Operator { store, now: Clock::system().now(), policy, format: common.format })
}

fn no_database(common: &Common, file: &Path) -> Failure {
    let make = if common.dev { "start `idp dev` once" } else { "make it with `idp db migrate`" };
    Failure::new(format_args!("there is no database {}; {make}", file.display()))
}

/// The settings of a command.
///
/// # Errors
/// Every error in them.
pub(crate) fn settings(common: &Common) -> Result<Settings, Failure> {
    if !common.dev {
        return load(&common.place);
    }
    // The environment of a production server must not lead `--dev` to its database.
    let mut flags = common.place.set.clone();
    if !flags.iter().any(|(name, _)| name == "server.data_dir") {
        flags.push(("server.data_dir".to_owned(), DEV_DATA_DIR.to_owned()));
    }
    Ok(settings::load(None, &[], &flags)?)
}

/// The settings of a place: flags, environment, file.
///
/// # Errors
/// Every error in them.
pub(crate) fn load(place: &Place) -> Result<Settings, Failure> {
    Ok(settings::load(place.config.as_deref(), &environment(), &place.set)?)
}

/// The environment. What is not Unicode becomes so, and is then refused by name where it is ours.
pub(crate) fn environment() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}
