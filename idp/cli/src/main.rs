//! `idp`: the identity provider as one program. `dev` shows it, `serve` runs it, the other commands are the
//! operator's.

mod args;
mod audit;
mod client;
mod config;
mod database;
mod db;
mod dev;
mod example;
mod failure;
mod key;
mod logging;
mod new_account;
mod new_client;
mod operator;
mod output;
mod secret_input;
mod seed;
mod serve;
mod user;
mod user_change;
mod words;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Verb};
use failure::Failure;

/// Gives memory back after a burst of password hashes, which the system's allocator was measured not to do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::errors(&failure);
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    match args.verb {
        Verb::Dev(args) => dev::run(args).await,
        Verb::Serve(place) => serve::run(&place).await,
        Verb::Db(args) => db::run(args).await,
        Verb::Config(args) => config::run(args),
        Verb::User(args) => user::run(args).await,
        Verb::Client(args) => client::run(args).await,
        Verb::Key(args) => key::run(args).await,
        Verb::Version { format } => {
            output::version(format);
            Ok(())
        }
    }
}
