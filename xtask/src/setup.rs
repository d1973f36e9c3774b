//! Installs what a bare machine lacks, and leaves alone what is there.

use crate::{apt, node, npm, rustup, tools};
use anyhow::Context;
use std::ffi::OsString;
use std::path::PathBuf;

/// Where the programs are that the tests start.
pub(crate) struct Programs {
    /// The browser.
    pub(crate) chromium: PathBuf,
    /// A `PATH` whose `node` is new enough.
    pub(crate) path: OsString,
}

/// Installs what is missing and returns where it is.
pub(crate) fn install_missing() -> anyhow::Result<Programs> {
    rustup::install_missing()?;
    apt::install_missing()?;
    let newer_node = node::install_missing()?;
    npm::install(&tools::root().join("tests/browser"))?;
    Ok(Programs {
        chromium: tools::find_on_path("chromium").context("chromium is installed but not on PATH")?,
        path: path_with(newer_node)?,
    })
}

fn path_with(folder: Option<PathBuf>) -> anyhow::Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(folder.into_iter().chain(std::env::split_paths(&path)))?)
}
