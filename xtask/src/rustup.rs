//! Components that a minimal Rust toolchain lacks.

use crate::tools;
use std::process::Command;

/// Adds rustfmt and clippy to the toolchain if they are missing.
pub(crate) fn install_missing() -> anyhow::Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !tools::succeeds(tools::cargo().args([subcommand, "--version"])) {
            println!("installing {component}");
            tools::run(
                Command::new("rustup").current_dir(tools::root()).args(["component", "add", component]),
            )?;
        }
    }
    Ok(())
}
