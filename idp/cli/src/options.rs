//! Options that several commands share, and how to write a command for the same database.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use idp_server::config::shell_quoted;

/// The section of `--help` for the options that several commands share.
pub(crate) const GLOBAL: &str = "Global options";

/// Where the settings come from. Every setting can also be an environment variable, `IDP__SECTION__KEY`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingsSource {
    /// Read settings from this file [default: /etc/idp/idp.toml, if it exists]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set one setting, over the environment and the file; can be repeated. Secrets are not accepted here
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "SECTION.KEY=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
}

/// The options of every command that works on a database.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CommonOptions {
    #[command(flatten)]
    pub(crate) source: SettingsSource,
    /// Use the database of `idp dev`
    #[arg(long, global = true, help_heading = GLOBAL, conflicts_with = "config")]
    pub(crate) dev: bool,
    /// Output format: text is for people, json for programs
    #[arg(short = 'o', long = "output", global = true, help_heading = GLOBAL, value_enum, default_value_t)]
    pub(crate) format: OutputFormat,
}

/// How a command prints its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    #[default]
    Text,
    Json,
}

impl CommonOptions {
    /// A command line for the same database, ready to be typed.
    pub(crate) fn command(&self, command: &str) -> String {
        [program(), command.to_owned(), self.flags()].join(" ").trim_end().to_owned()
    }

    /// The same for a command about these values, with more options. A value that begins with a dash goes to the end,
    /// where no option can be meant.
    pub(crate) fn command_about(&self, verb: &str, values: &[&str], options: &str) -> String {
        let is_like_an_option = values.iter().any(|value| value.starts_with('-'));
        let values = values.iter().map(|value| shell_quoted(value)).collect::<Vec<_>>().join(" ");
        let parts = match is_like_an_option {
            false => [&*program(), verb, &values, options, &self.flags()].map(str::to_owned),
            true => [program(), verb.to_owned(), options.to_owned(), self.flags(), format!("-- {values}")],
        };
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// The flags that select the database.
    pub(crate) fn flags(&self) -> String {
        let mut flags = Vec::new();
        if let Some(file) = &self.source.config {
            flags.push(option("--config", &file.to_string_lossy()));
        }
        if self.dev {
            flags.push("--dev".to_owned());
        }
        let set =
            |(name, value): &(String, String)| format!("--set {}", shell_quoted(&format!("{name}={value}")));
        flags.extend(self.source.set.iter().map(set));
        flags.join(" ")
    }
}

/// An option with its value, quoted for a shell.
pub(crate) fn option(name: &str, value: &str) -> String {
    // Otherwise a value that begins with a dash would be taken for the next option.
    let between = if value.starts_with('-') { '=' } else { ' ' };
    format!("{name}{between}{}", shell_quoted(value))
}

/// The name this program was started under, quoted for a shell: `idp`, or a path.
pub(crate) fn program() -> String {
    let name = std::env::args_os().next().unwrap_or_default();
    if name.is_empty() { "idp".to_owned() } else { shell_quoted(&name.to_string_lossy()) }
}

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write it as section.key=value")?;
    Ok((name.to_owned(), value.to_owned()))
}
