//! Servers and loops that do as little as possible: the limits of this machine. Each runs as a child process on the
//! server's core, so that the figures are for the same core.

mod commits;
mod hash;
mod servers;

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

/// A bare server or loop.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Bare {
    /// A server that responds with hello
    Hello,
    /// The same, with headers that it reads from standard input as JSON
    Headers,
    /// A server that parses a form and signs one ES256 JWT with a cached signer
    Sign,
    /// Argon2id with the server's parameters, reusing memory
    Hash {
        #[arg(long)]
        seconds: u64,
    },
    /// One row per commit into SQLite, WAL, synchronous=FULL
    Commits {
        #[arg(long)]
        seconds: u64,
        #[arg(long)]
        folder: PathBuf,
    },
}

impl Bare {
    /// The command-line arguments for this variant.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Self::Hello => words(&["hello"]),
            Self::Headers => words(&["headers"]),
            Self::Sign => words(&["sign"]),
            Self::Hash { seconds } => words(&["hash", "--seconds", &seconds.to_string()]),
            Self::Commits { seconds, folder } => {
                words(&["commits", "--seconds", &seconds.to_string(), "--folder", &folder.to_string_lossy()])
            }
        }
    }
}

/// Runs it. A server prints its address and serves until standard input ends; a loop prints its rate.
pub(crate) fn run(bare: Bare) -> anyhow::Result<()> {
    // The same runtime as the server's: one worker per usable core, so here one.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match bare {
        Bare::Hello => runtime.block_on(servers::hello()),
        Bare::Headers => runtime.block_on(servers::hello_with_headers()),
        Bare::Sign => runtime.block_on(servers::sign()),
        Bare::Hash { seconds } => print_rate(hash::rate(Duration::from_secs(seconds))?),
        Bare::Commits { seconds, folder } => {
            print_rate(runtime.block_on(commits::rate(Duration::from_secs(seconds), &folder))?)
        }
    }
}

fn print_rate(rate: f64) -> anyhow::Result<()> {
    println!("{rate}");
    Ok(())
}
