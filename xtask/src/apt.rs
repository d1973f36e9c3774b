//! Debian packages that the checks need.

use crate::{postgres, tools};
use anyhow::bail;
use std::process::Command;

/// Something the checks need, and the Debian packages that provide it.
struct Need {
    packages: &'static [&'static str],
    is_met: fn() -> bool,
}

/// The PostgreSQL server, in Debian's default version.
pub(crate) const POSTGRESQL: &str = "postgresql";

const NEEDS: &[Need] = &[
    Need { packages: &[POSTGRESQL], is_met: || postgres::binaries().is_some() },
    // Chromium only recommends fonts, and measuring pages without any proves nothing.
    Need { packages: &["chromium", "fonts-liberation"], is_met: || is_installed("chromium") },
    Need { packages: &["strace"], is_met: || is_installed("strace") },
    // Debian's Node.js may be too old for the browser tests. Then `node` installs a newer one with this npm.
    Need { packages: &["nodejs", "npm"], is_met: || is_installed("npm") },
    Need { packages: &["perl"], is_met: || is_installed("perl") },
    Need { packages: &["make"], is_met: || is_installed("make") },
    Need { packages: &["gcc", "libc6-dev"], is_met: || is_installed("cc") },
];

/// Installs missing packages. If none is missing, uses neither the network nor the package lists.
pub(crate) fn install_missing() -> anyhow::Result<()> {
    let unmet = NEEDS.iter().filter(|need| !(need.is_met)());
    let missing: Vec<&str> = unmet.flat_map(|need| need.packages).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing)
}

/// Installs `packages`, as root or through sudo.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let names = packages.join(" ");
    if !is_installed("apt-get") {
        bail!("install these packages first (Debian names): {names}");
    }
    if !tools::is_root() && !is_installed("sudo") {
        bail!("installing {names} needs root, and there is no sudo");
    }
    println!("installing {names}");
    tools::run(apt_get().args(["update", "--quiet"]))?;
    let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
    tools::run(apt_get().args(install).args(packages))
}

/// `apt-get` as root, asking no questions.
fn apt_get() -> Command {
    let mut command = Command::new(if tools::is_root() { "env" } else { "sudo" });
    // Both `env` and `sudo` take variables before the program.
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    command
}

fn is_installed(program: &str) -> bool {
    tools::find_on_path(program).is_some()
}
