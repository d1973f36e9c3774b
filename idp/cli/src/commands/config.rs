//! `idp config check`: whether the server would start, and where each value comes from.

use clap::Subcommand;
use idp_server::App;
use serde_json::json;

use crate::failure::Failure;
use crate::options::{GLOBAL, OutputFormat, SettingsSource};
use crate::{database, operator, output};

/// Check the configuration
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  idp config check --config idp.toml")]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    source: SettingsSource,
    /// Output format: text is for people, json for programs
    #[arg(short = 'o', long = "output", global = true, help_heading = GLOBAL, value_enum, default_value_t)]
    pub(crate) format: OutputFormat,
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check everything that `serve` checks before it listens, and show where each value comes from; create nothing
    #[command(after_help = "Example:\n  idp config check --config idp.toml")]
    Check,
}

/// Runs the check.
///
/// # Errors
/// Everything that is wrong.
pub(crate) async fn run(args: ConfigArgs) -> Result<(), Failure> {
    let ConfigCommand::Check = args.command;
    // The origin of each value names the file.
    let (settings, _) = operator::load(&args.source)?;
    let (mut rows, mut shown) = (Vec::new(), Vec::new());
    for (setting, value, origin) in settings.shown() {
        shown.push(json!({ "name": setting.name, "value": value, "origin": origin.to_string() }));
        rows.push([setting.name.to_owned(), value.to_owned(), origin.to_string()]);
    }
    let mut warnings = settings.warnings().to_vec();
    database::check_folder(&settings, false)?;
    database::exists(&settings)?;
    let named = database::NamedBy::of(&settings)?;
    let (config, _) = settings.into_config()?;
    warnings.extend(App::check(&config).await.map_err(|error| named.not_started(error))?);
    warnings.iter().for_each(|warning| output::warning(warning));
    let text = format!("{}\nThe configuration is valid.", output::table(["setting", "value", "from"], &rows));
    output::answer(args.format, json!({ "settings": shown, "warnings": warnings }), text);
    Ok(())
}
