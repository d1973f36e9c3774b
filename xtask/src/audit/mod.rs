//! `cargo xtask audit`: checks the dependency tree against `deny.toml`.

mod advisories;
mod crates;
mod policy;

use crate::tools;
use advisories::Advisories;
use anyhow::bail;
use policy::Policy;
use std::process::ExitCode;

/// Runs all checks and prints what could not be checked.
pub(crate) fn run(_arguments: &[String]) -> anyhow::Result<ExitCode> {
    let advisories = check()?;
    println!("{advisories}");
    Ok(ExitCode::SUCCESS)
}

/// An error if a crate breaks a rule or there is an advisory; otherwise whether advisories could be checked.
pub(crate) fn check() -> anyhow::Result<Advisories> {
    let policy = Policy::read(&tools::root().join("deny.toml"))?;
    let crates = crates::of_workspace()?;
    let duplicates = crates::duplicates(&crates);
    if !duplicates.is_empty() {
        println!("note: crates with more than one version: {}", duplicates.join("; "));
    }
    let problems: Vec<String> = crates.iter().flat_map(|package| policy.problems(package)).collect();
    for problem in &problems {
        println!("error: {problem}");
    }
    if !problems.is_empty() {
        bail!("deny.toml does not allow the above ({} problems in {} crates)", problems.len(), crates.len());
    }
    println!("{} crates: licences, bans and sources are fine", crates.len());
    advisories::check(policy.ignored_advisories())
}
