//! What a bare machine lacks: installed when it is missing, left alone when it is not.

use crate::{apt, node, npm, rustup, tools};
use anyhow::Context;
use std::ffi::OsString;
use std::path::PathBuf;

/// Where the tests find the programs they start.
pub(crate) struct Programs {
    /// The browser.
    pub(crate) chromium: PathBuf,
    /// `PATH`, with a `node` in it that is new enough.
    pub(crate) path: OsString,
}

/// Installs what is missing and says where it is.
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
