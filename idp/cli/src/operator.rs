//! What commands on a database share: the settings, the open store and the time.

use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use idp_core::account::password::PasswordPolicy;
use idp_core::time::Timestamp;
use idp_server::clock::Clock;
use idp_server::config::settings::{self, DEFAULT_FILE, Settings, SettingsError};
use idp_server::key_files;
use idp_store::{OpenError, Store};

use crate::database::NamedBy;
use crate::failure::Failure;
use crate::options::{CommonOptions, OutputFormat, SettingsSource, option, program};
use crate::{database, output};

/// The data folder of `idp dev`.
pub(crate) const DEV_DATA_DIR: &str = "data/dev";
/// A file in that folder with the issuer of the last start.
pub(crate) const DEV_ISSUER: &str = "issuer";

/// What a command works with.
pub(crate) struct Operator {
    pub(crate) store: Store,
    pub(crate) now: Timestamp,
    pub(crate) policy: PasswordPolicy,
    /// The issuer, if it is known here.
    pub(crate) issuer: Option<String>,
    common: CommonOptions,
}

impl Operator {
    /// The output format.
    pub(crate) fn format(&self) -> OutputFormat {
        self.common.format
    }

    /// A command line for the same database, ready to be typed.
    pub(crate) fn command(&self, command: &str) -> String {
        self.common.command(command)
    }

    /// The same for a command about these values, with more options.
    pub(crate) fn command_about(&self, verb: &str, values: &[&str], options: &str) -> String {
        self.common.command_about(verb, values, options)
    }
}

/// Opens the database, which must exist and have this program's schema.
///
/// # Errors
/// [`Failure`]: invalid settings, or no such database.
pub(crate) async fn open(common: &CommonOptions) -> Result<Operator, Failure> {
    let settings = settings(common)?;
    if !database::exists(&settings)?
        && let Some(file) = database::file(&settings.database_url()?)?
    {
        let make = no_database(common, &settings, &file)?;
        return Err(Failure::new(format_args!("there is no database {}; {make}", file.display())));
    }
    let store = database::open(&settings).await?;
    let named = NamedBy::of(&settings)?;
    store.require_current().await.map_err(|error| behind(common, &named, error))?;
    Ok(Operator {
        store,
        now: Clock::system().now(),
        policy: settings.password_policy(),
        issuer: issuer(common, &settings),
        common: common.clone(),
    })
}

/// How to make a database that does not exist, or how to use another one.
///
/// # Errors
/// [`Failure`]: there was one, and it is gone. The server says the same.
pub(crate) fn no_database(
    common: &CommonOptions,
    settings: &Settings,
    file: &Path,
) -> Result<String, Failure> {
    let dev_has_one = Path::new(DEV_DATA_DIR).join("idp.db").exists();
    // Whoever starts `dev` anew removes its database, and while it has one, the keys can be its own.
    if !common.dev && !dev_has_one {
        key_files::check_not_gone(file, &settings.keys_dir())?;
    }
    let make = match settings.data_dir() {
        Some(folder) if common.dev => format!("start `{}` once", dev_command(&folder)),
        _ => format!("create it with `{}`", common.command("db migrate")),
    };
    let no_settings = match common.dev || common.source.config.is_some() || default_file().is_some() {
        true => String::new(),
        false => {
            format!(" (no settings file was read: {DEFAULT_FILE} does not exist, and --config is not given)")
        }
    };
    let dev = match common.dev || !dev_has_one {
        true => "",
        false => ", or add --dev to use the one of `idp dev`",
    };
    Ok(format!("{make}{dev}{no_settings}"))
}

fn dev_command(folder: &Path) -> String {
    match folder == Path::new(DEV_DATA_DIR) {
        true => format!("{} dev", program()),
        false => format!("{} dev {}", program(), option("--data-dir", &folder.to_string_lossy())),
    }
}

fn behind(common: &CommonOptions, named: &NamedBy, error: OpenError) -> Failure {
    match error {
        OpenError::Behind(count) => Failure::new(format_args!(
            "the database lacks {count} migration(s); run `{}`",
            common.command("db migrate")
        )),
        other => named.not_opened(other),
    }
}

/// The issuer that clients need. `idp dev` saves its own, as its port can differ from start to start.
fn issuer(common: &CommonOptions, settings: &Settings) -> Option<String> {
    let given = settings.issuer().map(|issuer| issuer.as_str().to_owned());
    if given.is_some() || !common.dev {
        return given;
    }
    let written = std::fs::read_to_string(settings.data_dir()?.join(DEV_ISSUER)).ok();
    Some(written.unwrap_or_else(|| "http://localhost:8080".to_owned()))
}

/// The settings of a command on a database.
///
/// # Errors
/// Every error in them.
pub(crate) fn settings(common: &CommonOptions) -> Result<Settings, Failure> {
    if !common.dev {
        let (settings, file) = load(&common.source)?;
        if let Some(file) = file.filter(|_| common.format == OutputFormat::Text) {
            output::remark(&settings_are_from(file));
        }
        return Ok(settings);
    }
    // With `--dev`, a production server's environment must not lead to its database.
    let flags = &common.source.set;
    let is_given = flags.iter().any(|(name, _)| name == "server.data_dir");
    let own = [("server.data_dir", DEV_DATA_DIR, "option --dev")];
    Ok(settings::load_for_command(&[], flags, if is_given { &[] } else { &own })?)
}

/// The settings from flags, environment and file; and the default file, if it was read because no other was named.
///
/// # Errors
/// Every error in them.
pub(crate) fn load(source: &SettingsSource) -> Result<(Settings, Option<&'static Path>), Failure> {
    let default = if source.config.is_none() { default_file() } else { None };
    let settings = settings::load(source.config.as_deref().or(default), &environment(), &source.set);
    let settings = settings.map_err(|errors| match default.filter(|file| File::open(file).is_err()) {
        Some(file) => Failure::from(
            errors.into_iter().map(SettingsError::without_command_for_root).collect::<Vec<_>>(),
        )
        .and(format_args!(
            "{} is read because it is there and no --config names another file; if it is the file of another user's \
             server, run this command as that user (`sudo -u USER`)",
            file.display()
        )),
        None => errors.into(),
    })?;
    Ok((settings, default))
}

/// The file that is read when no other is named. `None`: it does not exist. One that we may not see is an error later:
/// a command must not go on with other settings than the server's.
fn default_file() -> Option<&'static Path> {
    let file = Path::new(DEFAULT_FILE);
    let missing =
        |error: &std::io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    match file.symlink_metadata() {
        Err(error) if missing(&error) => None,
        _ => Some(file),
    }
}

/// Tells the operator which file was found.
pub(crate) fn settings_are_from(file: &Path) -> String {
    format!("settings are from {}", file.display())
}

/// The environment, as it is: whether a variable of ours is Unicode is checked where it is read.
pub(crate) fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}
