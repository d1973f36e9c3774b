//! Load against our own server, on loopback only: rates, latencies, CPU and memory, beside what the machine
//! could do at best.
//!
//! `arguments` and `environment` say what to run and where; `server`, `people` and `database` bring a server up;
//! `http`, `browser`, `oauth` talk to it; `scenarios` are what one connection repeats; `drive` repeats it in a
//! closed loop or at a fixed rate and `stats` counts; `bare` holds the servers and loops that do as little as
//! possible, `limits` measures them; `aims` compares, `plan` orders the whole report, `report` prints it. `compare`
//! holds two programs against each other. `timing` is another question: whether the time of a response tells what the response itself does not.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring tool talks to the person who runs it"
)]

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
    // One thread: the generator has one core, and tasks on one thread need no hand-over.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let work = async {
            match arguments.verb {
                Verb::Report(report) => plan::report(report).await,
                Verb::One(one) => plan::one(one).await,
                Verb::Compare(compare) => compare::run(compare).await,
                Verb::Timing(timing) => timing::run(timing).await,
                Verb::Bare(_) => Ok(()),
            }
        };
        // Whoever stops this program leaves by the same door: the server is ended, its folder removed.
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            done = work => done,
            _ = terminate.recv() => bail!("stopped"),
            _ = tokio::signal::ctrl_c() => bail!("stopped"),
        }
    })
}
