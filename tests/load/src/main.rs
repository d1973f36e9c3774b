//! Load tests of our own server, on loopback only: rates, latencies, CPU and memory, compared with the best this
//! machine can do.
//!
//! * what to run, and where: `arguments`, `environment`
//! * starting and filling a server: `server`, `database`, `people`
//! * talking to it: `http`, `browser`, `oauth`
//! * generating load: `scenarios` (what one connection repeats), `drive` (in a closed loop or at a fixed rate), `stats`
//! * the machine's limits: `bare` (servers and loops that do as little as possible), `limits` (measures them)
//! * the report: `plan` (what is measured, in which order), `aims`, `report`
//! * two versions of the program: `compare`
//! * whether response times tell what responses do not: `timing`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

mod aims;
mod arguments;
mod bare;
mod browser;
mod compare;
mod database;
mod drive;
mod environment;
mod http;
mod limits;
mod loopback;
mod oauth;
mod people;
mod plan;
mod process;
mod report;
mod scenarios;
mod server;
mod stats;
mod timing;

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Arguments, Verb};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Verb::Bare(bare) = arguments.verb {
        return bare::run(bare);
    }
    environment::pin_generator()?;
    // One thread: the generator has one core, and tasks on one thread are not handed over.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let work = async {
            match arguments.verb {
                Verb::Report(report) => plan::report(report).await,
                Verb::One(one) => plan::one(one).await,
                Verb::Beside(beside) => plan::beside(beside).await,
                Verb::Compare(compare) => compare::run(compare).await,
                Verb::Timing(timing) => timing::run(timing).await,
                Verb::Bare(_) => Ok(()),
            }
        };
        // A signal ends the program in the normal way, so that the server is stopped and its folder removed.
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            done = work => done,
            _ = terminate.recv() => bail!("stopped"),
            _ = tokio::signal::ctrl_c() => bail!("stopped"),
        }
    })
}
