//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bare::Bare;
use crate::drive::Schedule;
use crate::scenarios::ScenarioKind;
use crate::timing::PairKind;

/// Load tests of our own server, on loopback
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Measure everything: the machine's limits, every scenario with 16 and 64 connections, sign-ins beside a fixed
    /// rate, memory; and check the aims
    Report(ReportArguments),
    /// Measure one scenario
    One(OneArguments),
    /// Measure jwks at a fixed rate, alone and beside sign-ins
    Beside(BesideArguments),
    /// Compare the CPU time per request of two programs, such as the last version and this one, in interleaved pairs
    Compare(CompareArguments),
    /// Check that response times do not tell who exists, with pairs of requests that must be indistinguishable
    Timing(TimingArguments),
    /// Run a bare server or loop; `report` starts these itself
    #[command(subcommand, hide = true)]
    Bare(Bare),
}

/// `load report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// Numbers of connections for the closed loops
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
    /// Number of connections
    #[arg(long, default_value = "16", value_parser = connections)]
    pub(crate) connections: usize,
    /// Operations per second at a fixed rate, instead of a closed loop
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub(crate) rate: Option<u32>,
    #[command(flatten)]
    pub(crate) schedule: ScheduleArguments,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// `load beside`.
#[derive(Debug, Args)]
pub(crate) struct BesideArguments {
    #[command(flatten)]
    pub(crate) schedule: ScheduleArguments,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// `load compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// The program to compare with: the earlier one
    #[arg(value_name = "PATH")]
    pub(crate) before: PathBuf,
    /// Rounds per program
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u8).range(1..=50))]
    pub(crate) pairs: u8,
    /// Seconds per round
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// `load timing`.
#[derive(Debug, Args)]
pub(crate) struct TimingArguments {
    /// Which pairs; all if omitted
    #[arg(value_enum)]
    pub(crate) pairs: Vec<PairKind>,
    /// Responses to time for each side of a pair
    #[arg(long, default_value = "500", value_parser = clap::value_parser!(u32).range(10..=20_000))]
    pub(crate) samples: u32,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// How long to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct ScheduleArguments {
    /// Seconds per round
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Number of rounds; the median is reported
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// Seconds of warm-up before the first round
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
    /// PostgreSQL server on loopback on which to create a throw-away database; SQLite if omitted
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,
    /// Signature algorithm of ID tokens
    #[arg(long, value_enum, default_value = "es256")]
    pub(crate) id_token: Algorithm,
    /// The server's setting `password.scheduling`; its default if omitted
    #[arg(long, value_name = "WORD")]
    pub(crate) scheduling: Option<String>,
    /// Server binary to use instead of `target/release/idp`, to try this tool; the figures mean nothing
    #[arg(long, value_name = "PATH")]
    pub(crate) debug_binary: Option<PathBuf>,
    /// Name of the JSON file in `build/load`
    #[arg(long)]
    pub(crate) name: Option<String>,
}

/// How ID tokens are signed. Access tokens are always ES256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Algorithm {
    /// ECDSA on P-256
    Es256,
    /// RSA with 2048 bits, the default of OpenID Connect
    Rs256,
}

impl Algorithm {
    /// Its name in JOSE, and on the server's command line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

fn connections(text: &str) -> Result<usize, String> {
    let count = text.parse().map_err(|_| "must be a whole number".to_owned())?;
    if (1..=1_000).contains(&count) { Ok(count) } else { Err("must be between 1 and 1000".to_owned()) }
}
