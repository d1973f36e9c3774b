//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bare::Bare;
use crate::drive::Schedule;
use crate::scenarios::ScenarioKind;
use crate::timing::PairKind;

/// Load against our own server, on loopback.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Everything: the limits, every scenario with 16 and 64 connections, sign-ins beside a fixed rate,
    /// memory, and whether the aims are met
    Report(ReportArguments),
    /// One scenario
    One(OneArguments),
    /// What a request costs two programs, such as the version before and this one, in interleaved pairs
    Compare(CompareArguments),
    /// Whether the time of a response tells who exists: pairs of requests that nobody may tell apart (UNI)
    Timing(TimingArguments),
    /// A bare server or loop; the report starts these by itself
    #[command(subcommand, hide = true)]
    Bare(Bare),
}

/// `load report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// Connections of the closed loops
    #[arg(long, value_delimiter = ',', default_value = "16,64", value_parser = connections)]
    pub(crate) connections: Vec<usize>,
    #[command(flatten)]
    pub(crate) schedule: ScheduleArguments,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// `load one`.
#[derive(Debug, Args)]
pub(crate) struct OneArguments {
    /// What each connection repeats
    #[arg(value_enum)]
    pub(crate) scenario: ScenarioKind,
    /// How many connections
    #[arg(long, default_value = "16", value_parser = connections)]
    pub(crate) connections: usize,
    /// Operations a second at a fixed rate, instead of a closed loop
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub(crate) rate: Option<u32>,
    #[command(flatten)]
    pub(crate) schedule: ScheduleArguments,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// `load compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// The other program, the one before
    #[arg(value_name = "PATH")]
    pub(crate) before: PathBuf,
    /// Rounds of each program
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u8).range(1..=50))]
    pub(crate) pairs: u8,
    /// Seconds of a round
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// `load timing`.
#[derive(Debug, Args)]
pub(crate) struct TimingArguments {
    /// Which pairs; all of them without this
    #[arg(value_enum)]
    pub(crate) pairs: Vec<PairKind>,
    /// Answers timed of each side of a pair
    #[arg(long, default_value = "500", value_parser = clap::value_parser!(u32).range(10..=20_000))]
    pub(crate) samples: u32,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// How long to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct ScheduleArguments {
    /// Seconds of a round
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Rounds; the median of them is reported
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// Seconds before the first round
    #[arg(long, default_value = "2", value_parser = clap::value_parser!(u64).range(0..=60))]
    warm_up: u64,
}

impl From<&ScheduleArguments> for Schedule {
    fn from(given: &ScheduleArguments) -> Self {
        Self {
            warm_up: Duration::from_secs(given.warm_up),
            round: Duration::from_secs(given.seconds),
            rounds: usize::from(given.rounds),
        }
    }
}

/// Which server.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArguments {
    /// The PostgreSQL server on loopback to make a throw-away database on; without it, SQLite
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,
    /// The algorithm of ID tokens
    #[arg(long, value_enum, default_value = "es256")]
    pub(crate) id_token: Algorithm,
    /// Another server binary than `target/release/idp`, to try this tool; its figures say nothing
    #[arg(long, value_name = "PATH")]
    pub(crate) debug_binary: Option<PathBuf>,
    /// The name of the JSON file in `build/load`
    #[arg(long)]
    pub(crate) name: Option<String>,
}

/// How ID tokens are signed. Access tokens are always ES256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Algorithm {
    /// ECDSA on P-256
    Es256,
    /// RSA of 2048 bits, what OpenID Connect makes the default
    Rs256,
}

impl Algorithm {
    /// Its name in JOSE and on the server's command line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

fn connections(text: &str) -> Result<usize, String> {
    let count = text.parse().map_err(|_| "a whole number".to_owned())?;
    if (1..=1_000).contains(&count) { Ok(count) } else { Err("between 1 and 1000".to_owned()) }
}
