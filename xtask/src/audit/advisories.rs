//! Known vulnerabilities, found by cargo-deny or cargo-audit if one is installed. Building one would take longer than
//! all other checks.

use crate::tools;
use std::fmt;
use std::process::Command;

const DATABASE: &str = "https://github.com/rustsec/advisory-db";

/// Why no advisory was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Advisories {
    /// This program checked and found none.
    Checked(&'static str),
    /// None was looked for, for this reason.
    NotChecked(String),
}

impl fmt::Display for Advisories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checked(by) => write!(f, "advisories: none ({by})"),
            Self::NotChecked(reason) => write!(f, "advisories: NOT checked, because {reason}"),
        }
    }
}

/// Looks for advisories other than the `ignored` ones. An error if there are any.
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
            // cargo-audit reads a configuration file of its own; deny.toml stays the only list.
            let ignore = ignored.flat_map(|id| ["--ignore", id]);
            tools::run(tools::cargo().arg("audit").args(ignore))?;
            Ok(Advisories::Checked("cargo-audit"))
        }
    }
}

fn is_installed(subcommand: &str) -> bool {
    tools::succeeds(tools::cargo().args([subcommand, "--version"]))
}

/// Tried first, because both checkers fail in the same way for a finding and for a database they cannot fetch.
fn database_is_reachable() -> bool {
    let mut git = Command::new("timeout");
    git.args(["20", "git", "ls-remote", "--quiet", DATABASE, "HEAD"]);
    tools::succeeds(git.env("GIT_TERMINAL_PROMPT", "0"))
}

#[cfg(test)]
mod tests {
    use super::Advisories;

    #[test]
    fn unchecked_advisories_are_never_reported_as_none() {
        let said = Advisories::NotChecked("the network is down".to_owned()).to_string();
        assert_eq!(said, "advisories: NOT checked, because the network is down");
    }
}
