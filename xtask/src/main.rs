//! `cargo xtask <verb>`: the chores of this repository.
//!
//! One topic per file. The verbs are `test`, `postgres`, `proof` and `audit`. They share `setup` (installs what is
//! missing), `testbed` (the environment of the tests), `cargo_test` (one counted run of `cargo test`) and `steps`
//! (named, timed steps).
//!
//! This crate is built on bare machines, before anything is installed, so its dependencies are few and pure Rust.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

mod apt;
mod audit;
mod cargo_test;
mod failures;
mod node;
mod npm;
mod postgres;
mod proof;
mod rustup;
mod setup;
mod steps;
mod tally;
mod test;
mod testbed;
mod tools;

use std::process::ExitCode;

/// One word after `cargo xtask`.
struct Verb {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> anyhow::Result<ExitCode>,
}

const VERBS: &[Verb] = &[
    Verb {
        name: "test",
        about: "install what is missing, then run format, clippy, tests, docs and audit; `test <filter>…` runs matching tests only",
        run: test::run,
    },
    Verb {
        name: "postgres",
        about: "run a throw-away PostgreSQL for `cargo test` by hand, until Ctrl-C or end of input",
        run: postgres::run,
    },
    Verb {
        name: "proof",
        about: "run the long versions of the tests and print their report; `proof <filter>…` runs matching tests only",
        run: proof::run,
    },
    Verb {
        name: "audit",
        about: "check licences, banned crates and sources, and advisories if they can be reached",
        run: audit::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((verb, rest)) = arguments
        .split_first()
        .and_then(|(name, rest)| Some((VERBS.iter().find(|verb| verb.name == name)?, rest)))
    else {
        print_verbs();
        return ExitCode::from(2);
    };
    (verb.run)(rest).unwrap_or_else(|error| {
        eprintln!("cargo xtask {}: {error:#}", verb.name);
        ExitCode::FAILURE
    })
}

fn print_verbs() {
    for verb in VERBS {
        eprintln!("cargo xtask {:<10} {}", verb.name, verb.about);
    }
}
