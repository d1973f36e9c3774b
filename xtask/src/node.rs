//! Makes sure that there is a Node.js new enough for the browser tests.

use crate::{npm, tools};
use anyhow::Context;
use std::path::PathBuf;
use std::process::Command;

/// The oldest major version that the packages in `tests/browser` support.
const OLDEST: u32 = 20;

/// The folder to put in front of `PATH`, or `None` if the `node` found there is new enough.
///
/// Debian 12 has Node.js 18. Newer ones are packages on the npm registry; `xtask/node` depends on one.
pub(crate) fn install_missing() -> anyhow::Result<Option<PathBuf>> {
    let version = tools::output_of(Command::new("node").arg("--version"));
    if version.as_deref().and_then(major).is_some_and(|major| major >= OLDEST) {
        return Ok(None);
    }
    let folder = tools::root().join("xtask/node");
    npm::install(&folder)?;
    let package = format!("node-linux-{}", architecture());
    let bin = folder.join("node_modules").join(&package).join("bin");
    let folder = bin.canonicalize();
    folder
        .map(Some)
        .with_context(|| format!("Node.js {OLDEST} or newer is needed, and {package} does not contain it"))
}

/// Node.js's name for this machine's processor architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The major version in what `node --version` prints, such as `v20.20.2`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_major_version_is_the_first_number() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("v9.1.0"), Some(9));
    }

    #[test]
    fn anything_else_is_no_version() {
        assert_eq!(major("node: not found"), None);
        assert_eq!(major(""), None);
    }
}
