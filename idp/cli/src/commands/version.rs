//! `idp version`.

use serde_json::json;

use crate::options::OutputFormat;
use crate::output;

/// Prints the name and version of this program.
pub(crate) fn run(format: OutputFormat) {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    output::answer(format, json!({ "name": "idp", "version": VERSION }), format_args!("idp {VERSION}"));
}
