//! `idp config check`: would the server start with this, and where does each value come from?

use clap::Subcommand;
use serde_json::json;

use crate::args::{Format, Place};
use crate::failure::Failure;
use crate::{operator, output};

/// The configuration
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// How to answer
    #[arg(short = 'o', long = "output", global = true, value_enum, default_value_t)]
    format: Format,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check every setting and show where its value comes from
    Check,
}

/// Checks.
///
/// # Errors
/// Everything that is wrong.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let Verb::Check = args.verb;
    let settings = operator::load(&args.place)?;
    let (mut rows, mut shown) = (Vec::new(), Vec::new());
    for (setting, value, origin) in settings.shown() {
        shown.push(json!({ "name": setting.name, "value": value, "origin": origin.to_string() }));
        rows.push([setting.name.to_owned(), value.to_owned(), origin.to_string()]);
    }
    settings.into_config()?;
    let text = format!("{}\nThe configuration is good.", output::table(["setting", "value", "from"], &rows));
    output::answer(args.format, json!({ "settings": shown }), text);
    Ok(())
}
