//! Cores, folders, child processes.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// The core that server, bare servers and bare loops have to themselves.
const SERVER_CORE: &str = "0";
/// The core of the generator.
const GENERATOR_CORE: &str = "1";
/// Set in the process that is already pinned.
const PINNED: &str = "IDP_LOAD_PINNED";

/// Restarts this program on the generator's core. Returns if it already runs there.
pub(crate) fn pin_generator() -> anyhow::Result<()> {
    if std::env::var_os(PINNED).is_some() {
        return Ok(());
    }
    let this = std::env::current_exe()?;
    let failed = Command::new("taskset")
        .args(["-c", GENERATOR_CORE])
        .arg(this)
        .args(std::env::args_os().skip(1))
        .env(PINNED, "1")
        .exec();
    bail!("cannot run taskset, which keeps server and generator on separate cores: {failed}");
}

/// A command on the server's core. `taskset` becomes the program, so the child's process id is the program's.
pub(crate) fn on_server_core(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", SERVER_CORE]).arg(program);
    command
}

/// The workspace this program was built from.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `build/load`, for reports and throw-away folders. It must be on the disk to be measured.
pub(crate) fn output_folder() -> anyhow::Result<PathBuf> {
    let folder = workspace().join("build/load");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    folder.canonicalize().context("build/load")
}

/// A folder that is removed when its value is dropped.
pub(crate) fn temporary_folder() -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(output_folder()?)
        .context("cannot create a throw-away folder")
}

/// The server's release binary, built if it does not exist.
pub(crate) fn release_binary() -> anyhow::Result<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let binary = target.join("release/idp");
    if !binary.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        eprintln!("building {}", binary.display());
        let built = Command::new(cargo)
            .args(["build", "--release", "--locked", "-p", "idp"])
            .current_dir(workspace())
            .status()
            .context("cannot run cargo")?;
        if !built.success() {
            bail!("the server's release build failed");
        }
    }
    binary.canonicalize().with_context(|| format!("{} does not exist", binary.display()))
}
