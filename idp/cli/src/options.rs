//! The options that several commands share, and how a command on the same database is written.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use idp_server::config::quoted;

/// Where the settings come from. Every setting can also be an environment variable, `IDP__SECTION__KEY`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingsSource {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A setting; wins over environment and file; can be repeated. Secrets are refused here
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
}

/// The options of every command that works on a database.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CommonOptions {
    #[command(flatten)]
    pub(crate) source: SettingsSource,
    /// Work on the database of `idp dev`
    #[arg(long, global = true, conflicts_with = "config")]
    pub(crate) dev: bool,
    /// How to answer
    #[arg(short = 'o', long = "output", global = true, value_enum, default_value_t)]
    pub(crate) format: OutputFormat,
}

/// How a command answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

impl CommonOptions {
    /// The command line of `verb` on the same database, as it can be typed.
    pub(crate) fn command(&self, verb: &str) -> String {
        [program(), verb.to_owned(), self.flags()].join(" ").trim_end().to_owned()
    }

    /// The flags that lead to the database.
    pub(crate) fn flags(&self) -> String {
        let mut words = Vec::new();
        if let Some(file) = &self.source.config {
            words.push(format!("--config {}", quoted(&file.to_string_lossy())));
        }
        if self.dev {
            words.push("--dev".to_owned());
        }
        let set = |(name, value): &(String, String)| format!("--set {}", quoted(&format!("{name}={value}")));
        words.extend(self.source.set.iter().map(set));
        words.join(" ")
    }
}

/// The name this program was started under, quoted for a shell: `idp`, or a path.
pub(crate) fn program() -> String {
    let name = std::env::args_os().next().unwrap_or_default();
    if name.is_empty() { "idp".to_owned() } else { quoted(&name.to_string_lossy()) }
}

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write it as section.key=value")?;
    Ok((name.to_owned(), value.to_owned()))
}
