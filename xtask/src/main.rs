//! `cargo xtask <verb>`: what is done to this repository rather than by it.
//!
//! One topic per file. The verbs are `gate` (called `test`), `postgres`, `proof` and `audit`; beside them stand
//! `setup` (what has to be installed), `testbed` (what the tests find around them), `cargo_test` (one run of
//! `cargo test`, counted) and `steps` (named, timed steps).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a build tool talks to the person who runs it")]

mod apt;
mod audit;
mod cargo_test;
mod gate;
mod node;
mod npm;
mod postgres;
mod proof;
mod rustup;
mod setup;
mod steps;
mod tally;
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
        about: "install what is missing, then format, clippy, tests, docs and audit; `test <filter>…` runs matching tests",
        run: gate::run,
    },
    Verb {
        name: "postgres",
        about: "keep a throwaway PostgreSQL running for `cargo test` by hand, until Ctrl-C or the end of input",
        run: postgres::run,
    },
    Verb {
        name: "proof",
        about: "the tests in their long versions, with a report; `proof <filter>…` runs matching tests",
        run: proof::run,
    },
    Verb {
        name: "audit",
        about: "check licences, banned crates, sources, and advisories where they can be reached",
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
