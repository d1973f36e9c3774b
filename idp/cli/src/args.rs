//! The command line. It takes no passwords or secrets: other users can see it.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::client::ClientArgs;
use crate::commands::config::ConfigArgs;
use crate::commands::db::DbArgs;
use crate::commands::dev::DevArgs;
use crate::commands::key::KeyArgs;
use crate::commands::user::UserArgs;
use crate::options::{GLOBAL, OutputFormat, SettingsSource};

/// An OAuth 2 and OpenID Connect identity provider.
#[derive(Debug, Parser)]
#[command(name = "idp", version, max_term_width = 100, after_help = EXAMPLES_AND_EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES_AND_EXIT_CODES: &str = "\
Examples:
  idp dev                    try everything on this computer
  idp help user create       explain one command
  idp serve                  run the server with the settings in /etc/idp/idp.toml

Exit codes:
  0  success
  1  failure; standard error has one line for each reason
  2  invalid command line

With `-o json`, standard error has one object instead: {\"error\": \"…\"}";

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try everything on this computer: server, example application and mailbox in one process
    Dev(DevArgs),
    /// Run the server in production
    #[command(after_help = "\
Examples:
  idp serve
  idp serve --config idp.toml --set log.level=debug

The settings are in docs/configuration.md. `idp config check` shows the ones in force.")]
    Serve(SettingsSource),
    /// Create, migrate and inspect the database
    Db(DbArgs),
    /// Check the configuration
    Config(ConfigArgs),
    /// Manage accounts
    User(UserArgs),
    /// Register and manage clients
    Client(ClientArgs),
    /// List the signing keys
    Key(KeyArgs),
    /// Print the version
    #[command(after_help = "Example:\n  idp version -o json")]
    Version {
        /// Output format: text is for people, json for programs
        #[arg(short = 'o', long = "output", help_heading = GLOBAL, value_enum, default_value_t)]
        format: OutputFormat,
    },
}

impl Args {
    /// The output format. `dev` and `serve` have only one.
    pub(crate) fn format(&self) -> OutputFormat {
        match &self.command {
            Command::Dev(_) | Command::Serve(_) => OutputFormat::Text,
            Command::Db(args) => args.common.format,
            Command::Config(args) => args.format,
            Command::User(args) => args.common.format,
            Command::Client(args) => args.common.format,
            Command::Key(args) => args.common.format,
            Command::Version { format } => *format,
        }
    }
}

/// Whether an invalid command line asks for JSON.
pub(crate) fn asks_for_json(arguments: &[String]) -> bool {
    let follows = |pair: &[String]| ["-o", "--output"].contains(&pair[0].as_str()) && pair[1] == "json";
    arguments.windows(2).any(follows)
        || arguments
            .iter()
            .any(|argument| ["-ojson", "-o=json", "--output=json"].contains(&argument.as_str()))
}

/// What people call a command, and what it is called here.
const OTHER_NAMES: [(&str, &[&str]); 7] = [
    ("add", &["create"]),
    ("new", &["create"]),
    ("delete", &["deactivate", "disable"]),
    ("remove", &["deactivate", "disable"]),
    ("init", &["migrate"]),
    ("upgrade", &["migrate"]),
    ("start", &["serve"]),
];

/// The arguments without a `-h` that follows `help`, as in `idp help -h`.
pub(crate) fn without_help_for_help(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let root = Args::command();
    let (group, depth) = group_of(&root, &arguments);
    if group.has_subcommands() && arguments.get(depth).is_some_and(|word| word == "help") {
        arguments.retain(|word| word != "-h" && word != "--help");
    }
    arguments
}

/// The command that the arguments begin with, and how many of them it takes up.
fn group_of<'a>(root: &'a clap::Command, arguments: &[OsString]) -> (&'a clap::Command, usize) {
    let (mut group, mut depth) = (root, 1);
    while let Some(inner) = arguments.get(depth).and_then(|word| group.find_subcommand(word)) {
        (group, depth) = (inner, depth + 1);
    }
    (group, depth)
}

/// The same error. If it is about an unknown command, and there are commands of that name elsewhere, or of another name
/// in its place, it names those.
pub(crate) fn with_full_commands(mut wrong: clap::Error, arguments: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(name)) = wrong.get(ContextKind::InvalidSubcommand) else { return wrong };
    let root = Args::command();
    let full = meant(&root, group_of(&root, arguments).0, name);
    let hint = match full.split_last() {
        None => return wrong,
        Some((only, [])) => format!("there is {only}"),
        Some((last, others)) => format!("there are {} and {last}", others.join(", ")),
    };
    // clap's own guess compares spellings only.
    wrong.remove(ContextKind::SuggestedSubcommand);
    wrong.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    wrong
}

/// The commands that somebody may have meant who wrote `name` after `group`.
fn meant(root: &clap::Command, group: &clap::Command, name: &str) -> Vec<String> {
    let also = OTHER_NAMES.iter().find(|(other, _)| *other == name).map_or(&[][..], |(_, names)| names);
    let is_meant =
        |command: &&clap::Command| command.get_name() == name || also.contains(&command.get_name());
    let in_group = |group: &clap::Command, before: &str| {
        let found = group.get_subcommands().filter(is_meant);
        found.map(|command| format!("`idp {before}{}`", command.get_name())).collect::<Vec<_>>()
    };
    if group.get_name() != root.get_name() {
        return in_group(group, &format!("{} ", group.get_name()));
    }
    let inner = root.get_subcommands().flat_map(|group| in_group(group, &format!("{} ", group.get_name())));
    in_group(root, "").into_iter().chain(inner).collect()
}

#[cfg(test)]
mod tests {
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
    fn every_example_is_a_command_that_can_be_given() {
        fn walk(command: &clap::Command, examples: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            examples.extend(help.lines().filter_map(|line| line.strip_prefix("  idp ")).map(str::to_owned));
            command.get_subcommands().for_each(|command| walk(command, examples));
        }
        let mut examples = Vec::new();
        walk(&Args::command(), &mut examples);
        assert!(examples.len() > 30, "{examples:?}");
        for example in examples {
            // What follows several spaces explains the example.
            let line = example.split("   ").next().unwrap_or_default();
            let quoted = line.split('"').enumerate();
            let words = quoted.flat_map(|(at, text)| match at % 2 {
                0 => text.split_whitespace().map(str::to_owned).collect(),
                _ => vec![text.to_owned()],
            });
            let words = ["idp".to_owned()].into_iter().chain(words);
            let given = Args::try_parse_from(words);
            let help = |error: &clap::Error| error.kind() == clap::error::ErrorKind::DisplayHelp;
            assert!(given.as_ref().err().is_none_or(help), "{line}: {:?}", given.err());
        }
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
