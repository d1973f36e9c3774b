//! Known vulnerabilities, by whichever checker is installed. Building one would take longer than all other checks.

use crate::tools;
use std::fmt;
use std::process::Command;

const DATABASE: &str = "https://github.com/rustsec/advisory-db";

/// What can be said about advisories when none was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Advisories {
    /// This program looked and found none.
    Checked(&'static str),
    /// Nobody looked, for this reason.
    NotChecked(String),
}

impl fmt::Display for Advisories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checked(by) => write!(f, "advisories: none, says {by}"),
            Self::NotChecked(reason) => write!(f, "advisories: NOT checked, because {reason}"),
        }
    }
}

/// Looks for advisories except the `ignored` ones; an error when there are any.
pub(crate) fn check<'a>(ignored: impl Iterator<Item = &'a str>) -> anyhow::Result<Advisories> {
    let Some(checker) = ["deny", "audit"].into_iter().find(|name| is_installed(name)) else {
        return Ok(Advisories::NotChecked("neither cargo-deny nor cargo-audit is installed".to_owned()));
    };
    if !database_is_reachable() {
        return Ok(Advisories::NotChecked(format!("{DATABASE} cannot be reached")));
    }
    match checker {
        "deny" => {
            tools::run(tools::cargo().args(["deny", "--locked", "check", "advisories"]))?;
            Ok(Advisories::Checked("cargo-deny"))
        }
        _ => {
            // cargo-audit has a file of its own for this; ours stays the only list.
            let ignore = ignored.flat_map(|id| ["--ignore", id]);
            tools::run(tools::cargo().arg("audit").args(ignore))?;
            Ok(Advisories::Checked("cargo-audit"))
        }
    }
}

fn is_installed(subcommand: &str) -> bool {
    tools::succeeds(tools::cargo().args([subcommand, "--version"]))
}

/// Asked first, because both checkers fail alike for a finding and for a database they cannot fetch.
fn database_is_reachable() -> bool {
    let mut git = Command::new("timeout");
    git.args(["20", "git", "ls-remote", "--quiet", DATABASE, "HEAD"]);
    tools::succeeds(git.env("GIT_TERMINAL_PROMPT", "0"))
}

#[cfg(test)]
mod tests {
    use super::Advisories;

    #[test]
    fn what_nobody_looked_at_is_never_called_good() {
        let said = Advisories::NotChecked("the network is down".to_owned()).to_string();
        assert_eq!(said, "advisories: NOT checked, because the network is down");
    }
}
