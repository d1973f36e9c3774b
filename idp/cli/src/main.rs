//! `idp`: the identity provider as one program. `dev` is for trying it, `serve` for production; the other commands
//! are for operators.

mod args;
mod audit;
mod commands;
mod database;
mod failure;
mod in_use;
mod logging;
mod operator;
mod options;
mod output;
mod secret_input;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use commands::{client, config, db, dev, key, serve, user, version};
use failure::Failure;
use options::OutputFormat;

/// Returns memory after a burst of password hashes; the system's allocator was measured not to.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    signals::outlive_the_limit_on_files();
    let given = args::without_help_for_help(std::env::args_os().collect());
    let args = match Args::try_parse_from(&given) {
        Ok(args) => args,
        Err(wrong) => return misread(&args::with_full_commands(wrong, &given)),
    };
    let format = args.format();
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::errors(format, &failure);
            ExitCode::FAILURE
        }
    }
}

/// Answers a command line that is invalid or asks for help.
fn misread(wrong: &clap::Error) -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    if wrong.use_stderr() && args::asks_for_json(&arguments) {
        let said = wrong.to_string();
        let failure = Failure::new(said.trim_start_matches("error: ").trim_end());
        output::errors(OutputFormat::Json, &failure);
    } else {
        output::misread(wrong);
    }
    ExitCode::from(u8::try_from(wrong.exit_code()).unwrap_or(2))
}

async fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Dev(args) => dev::run(args).await,
        Command::Serve(source) => serve::run(&source).await,
        Command::Db(args) => db::run(args).await,
        Command::Config(args) => config::run(args).await,
        Command::User(args) => user::run(args).await,
        Command::Client(args) => client::run(args).await,
        Command::Key(args) => key::run(args).await,
        Command::Version { format } => {
            version::run(format);
            Ok(())
        }
    }
}
