//! What the operator's commands share: settings, an open database, a clock.

use std::path::Path;

use idp_core::account::password::PasswordPolicy;
use idp_core::time::Timestamp;
use idp_server::clock::Clock;
use idp_server::config::quoted;
use idp_server::config::settings::{self, Settings};
use idp_store::{OpenError, Store};

use crate::database;
use crate::failure::Failure;
use crate::options::{CommonOptions, OutputFormat, SettingsSource, program};

/// Where `idp dev` keeps its database.
pub(crate) const DEV_DATA_DIR: &str = "data/dev";
/// The file in that folder with the issuer of the last start.
pub(crate) const DEV_ISSUER: &str = "issuer";

/// An operator at work.
pub(crate) struct Operator {
    pub(crate) store: Store,
    pub(crate) now: Timestamp,
    pub(crate) policy: PasswordPolicy,
    /// Where people and applications reach the server, if that is known here.
    pub(crate) issuer: Option<String>,
    common: CommonOptions,
}

impl Operator {
    /// How to answer.
    pub(crate) fn format(&self) -> OutputFormat {
        self.common.format
    }

    /// A command on the same database, as it can be typed.
    pub(crate) fn command(&self, verb: &str) -> String {
        self.common.command(verb)
    }
}

/// Opens the database, which must be there and of this program's version.
///
/// # Errors
/// [`Failure`]: wrong settings, or no such database.
pub(crate) async fn open(common: &CommonOptions) -> Result<Operator, Failure> {
    let settings = settings(common)?;
    if !database::exists(&settings)?
        && let Some(file) = database::file(&settings.database_url()?)?
    {
        return Err(no_database(common, &settings, &file));
    }
    let store = database::open(&settings).await?;
    store.require_current().await.map_err(|error| behind(common, error))?;
    Ok(Operator {
        store,
        now: Clock::system().now(),
        policy: settings.password_policy(),
        issuer: issuer(common, &settings),
        common: common.clone(),
    })
}

fn no_database(common: &CommonOptions, settings: &Settings, file: &Path) -> Failure {
    let make = match settings.data_dir() {
        Some(folder) if common.dev => format!("start `{}` once", dev_command(&folder)),
        _ => format!("make it with `{}`", common.command("db migrate")),
    };
    Failure::new(format_args!("there is no database {}; {make}", file.display()))
}

fn dev_command(folder: &Path) -> String {
    match folder == Path::new(DEV_DATA_DIR) {
        true => format!("{} dev", program()),
        false => format!("{} dev --data-dir {}", program(), quoted(&folder.to_string_lossy())),
    }
}

fn behind(common: &CommonOptions, error: OpenError) -> Failure {
    match error {
        OpenError::Behind(count) => Failure::new(format_args!(
            "the database lacks {count} migration(s); run `{}`",
            common.command("db migrate")
        )),
        other => other.into(),
    }
}

/// What applications are to be told; `idp dev` writes down with which port it was started last.
fn issuer(common: &CommonOptions, settings: &Settings) -> Option<String> {
    let given = settings.issuer().map(|issuer| issuer.as_str().to_owned());
    if given.is_some() || !common.dev {
        return given;
    }
    let written = std::fs::read_to_string(settings.data_dir()?.join(DEV_ISSUER)).ok();
    Some(written.unwrap_or_else(|| "http://localhost:8080".to_owned()))
}

/// The settings of a command.
///
/// # Errors
/// Every error in them.
pub(crate) fn settings(common: &CommonOptions) -> Result<Settings, Failure> {
    if !common.dev {
        return load(&common.source);
    }
    // The environment of a production server must not lead `--dev` to its database.
    let mut flags = common.source.set.clone();
    if !flags.iter().any(|(name, _)| name == "server.data_dir") {
        flags.push(("server.data_dir".to_owned(), DEV_DATA_DIR.to_owned()));
    }
    Ok(settings::load(None, &[], &flags)?)
}

/// The settings of a place: flags, environment, file.
///
/// # Errors
/// Every error in them.
pub(crate) fn load(source: &SettingsSource) -> Result<Settings, Failure> {
    Ok(settings::load(source.config.as_deref(), &environment(), &source.set)?)
}

/// The environment. What is not Unicode becomes so, and is then refused by name where it is ours.
pub(crate) fn environment() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}
