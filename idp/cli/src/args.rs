//! The command line. Passwords and secrets have no place on it: others can see it.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};

use crate::hint::program;
use crate::{client, config, db, dev, key, user};
use idp_server::config::quoted;

/// An OAuth 2 and OpenID Connect identity provider.
#[derive(Debug, Parser)]
#[command(name = "idp", version, max_term_width = 100, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  it worked
  1  it did not; standard error says why, one line for each reason
  2  the command line is wrong

With `-o json`, standard error holds one object instead: {\"error\": \"…\"}";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Try everything on this computer: server, example application and mailbox in one process
    Dev(dev::Args),
    /// Run the server in production
    Serve(Place),
    /// The database
    Db(db::Args),
    /// The configuration
    Config(config::Args),
    /// Accounts
    User(user::Args),
    /// Applications
    Client(client::Args),
    /// Signing keys
    Key(key::Args),
    /// Which version this is
    Version {
        /// How to answer
        #[arg(short = 'o', long = "output", value_enum, default_value_t)]
        format: Format,
    },
}

/// Where the settings are. Every one can also be an environment variable, `IDP__SECTION__KEY`.
#[derive(Clone, Debug, Default, Group)]
pub(crate) struct Place {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A setting; wins over environment and file; can be repeated. Secrets are refused here
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
}

/// What every operator's command takes.
#[derive(Clone, Debug, Default, Group)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Work on the database of `idp dev`
    #[arg(long, global = true, conflicts_with = "config")]
    pub(crate) dev: bool,
    /// How to answer
    #[arg(short = 'o', long = "output", global = true, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// How a command answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

impl Common {
    /// A command on the same database, as it can be typed.
    pub(crate) fn command(&self, verb: &str) -> String {
        [program(), verb.to_owned(), self.flags()].join(" ").trim_end().to_owned()
    }

    /// The flags that lead to the database.
    pub(crate) fn flags(&self) -> String {
        let mut words = Vec::new();
        if let Some(file) = &self.place.config {
            words.push(format!("--config {}", quoted(&file.to_string_lossy())));
        }
        if self.dev {
            words.push("--dev".to_owned());
        }
        let set = |(name, value): &(String, String)| format!("--set {}", quoted(&format!("{name}={value}")));
        words.extend(self.place.set.iter().map(set));
        words.join(" ")
    }
}

impl Args {
    /// How to answer; commands that run on have no form of their own.
    pub(crate) fn format(&self) -> Format {
        match &self.verb {
            Verb::Dev(_) | Verb::Serve(_) => Format::Text,
            Verb::Db(args) => args.common.format,
            Verb::Config(args) => args.format,
            Verb::User(args) => args.common.format,
            Verb::Client(args) => args.common.format,
            Verb::Key(args) => args.common.format,
            Verb::Version { format } => *format,
        }
    }
}

/// Whether a command line that cannot be read asks for JSON.
pub(crate) fn asks_for_json(words: &[String]) -> bool {
    let follows = |pair: &[String]| ["-o", "--output"].contains(&pair[0].as_str()) && pair[1] == "json";
    words.windows(2).any(follows)
        || words.iter().any(|word| ["-ojson", "-o=json", "--output=json"].contains(&word.as_str()))
}

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write it as section.key=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_argument_is_explained() {
        fn walk(command: &clap::Command, found: &mut Vec<String>) {
            let silent = command.get_arguments().filter(|arg| arg.get_help().is_none());
            found.extend(silent.map(|arg| format!("{} {}", command.get_name(), arg.get_id())));
            command.get_subcommands().for_each(|command| walk(command, found));
        }
        let mut found = Vec::new();
        walk(&Args::command(), &mut found);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn no_argument_takes_a_secret_itself() {
        fn walk(command: &clap::Command, found: &mut Vec<String>) {
            let secret = |name: &str| name.contains("password") || name.contains("secret");
            let takes_text = |arg: &&clap::Arg| {
                let name = arg.get_id().as_str();
                secret(name) && !name.ends_with("_file") && !name.ends_with("_stdin")
            };
            found.extend(command.get_arguments().filter(takes_text).map(|arg| arg.get_id().to_string()));
            command.get_subcommands().for_each(|command| walk(command, found));
        }
        let mut found = Vec::new();
        walk(&Args::command(), &mut found);
        assert_eq!(found, [""; 0]);
    }
}
