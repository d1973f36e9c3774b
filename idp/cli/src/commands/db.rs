//! `idp db`: the schema of the database.

use clap::Subcommand;
use idp_server::config::settings::Settings;
use idp_store::MigrationStatus;
use serde_json::{Value, json};

use crate::database::NamedBy;
use crate::failure::Failure;
use crate::options::CommonOptions;
use crate::{database, operator, output};

/// Create, migrate and inspect the database
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  idp db status\n  idp db migrate --config idp.toml")]
pub(crate) struct DbArgs {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Debug, Subcommand)]
enum DbCommand {
    /// Create the database, or migrate it to this version
    #[command(after_help = "Example:\n  idp db migrate --config idp.toml")]
    Migrate,
    /// Show which migrations the database has
    #[command(after_help = "Examples:\n  idp db status\n  idp db status --config idp.toml -o json")]
    Status,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn run(args: DbArgs) -> Result<(), Failure> {
    let settings = operator::settings(&args.common)?;
    let exists = database::exists(&settings)?;
    match args.command {
        DbCommand::Migrate => {
            if !exists {
                database::check_folder(&settings, args.common.dev)?;
            }
            database::make_folder(settings.data_dir().as_deref())?;
        }
        DbCommand::Status if !exists => return no_database(&args.common, &settings),
        DbCommand::Status => {}
    }
    let store = database::open(&settings).await?;
    let named = NamedBy::of(&settings)?;
    let before = store.migrations().await.map_err(|error| named.not_opened(error))?;
    let (json, text) = match args.command {
        DbCommand::Migrate => {
            store.migrate().await.map_err(|error| named.not_opened(error))?;
            migrated(&before)
        }
        DbCommand::Status => status(&before, &args.common.command("db migrate")),
    };
    store.close().await;
    output::answer(args.common.format, json, text);
    Ok(())
}

fn no_database(common: &CommonOptions, settings: &Settings) -> Result<(), Failure> {
    let file = database::file(&settings.database_url()?)?.unwrap_or_default();
    let make = operator::no_database(common, settings, &file)?;
    let text = format!("There is no database {}; {make}.", file.display());
    output::answer(common.format, json!({ "exists": false, "migrations": [] }), text);
    Ok(())
}

fn missing(migrations: &[MigrationStatus]) -> usize {
    migrations.iter().filter(|migration| !migration.applied).count()
}

fn migrated(before: &[MigrationStatus]) -> (Value, String) {
    let text = match missing(before) {
        0 => "The database is already up to date.".to_owned(),
        count => format!("The database is up to date; migrations run: {count}."),
    };
    (json!({ "applied": missing(before) }), text)
}

fn status(migrations: &[MigrationStatus], migrate: &str) -> (Value, String) {
    let shown = migrations.iter().map(|migration| {
        json!({ "version": migration.version, "name": migration.name, "applied": migration.applied })
    });
    let rows: Vec<[String; 3]> = migrations
        .iter()
        .map(|migration| {
            let state = if migration.applied { "applied" } else { "missing" };
            [migration.version.to_string(), migration.name.clone(), state.to_owned()]
        })
        .collect();
    let advice = match missing(migrations) {
        0 => "The database is up to date.".to_owned(),
        count => format!("Migrations missing: {count}. Run `{migrate}`."),
    };
    let text = format!("{}\n{advice}", output::table(["version", "name", "state"], &rows));
    (json!({ "exists": true, "migrations": shown.collect::<Vec<_>>() }), text)
}
