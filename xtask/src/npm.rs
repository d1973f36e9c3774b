//! Installs npm packages, exactly those of a lock file.

use crate::tools;
use anyhow::Context;
use serde_json::{Map, Value};
use std::path::Path;
use std::process::Command;

/// Makes `folder/node_modules` match `folder/package-lock.json`. Does nothing if it already does.
pub(crate) fn install(folder: &Path) -> anyhow::Result<()> {
    let wanted = read_lock(&folder.join("package-lock.json"))?;
    // npm records what it has installed in the format of the lock file. If that record cannot be read, install.
    let installed = read_lock(&folder.join("node_modules/.package-lock.json")).unwrap_or_default();
    if is_installed(&wanted, &installed) {
        return Ok(());
    }
    println!("installing npm packages in {}", folder.display());
    tools::run(Command::new("npm").current_dir(folder).args(["ci", "--no-audit", "--no-fund"]))
}

fn read_lock(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))
}

/// Whether `installed` has exactly the packages of the lock file `wanted`, with the same content.
fn is_installed(wanted: &Value, installed: &Value) -> bool {
    let (Some(wanted), Some(installed)) = (packages(wanted), packages(installed)) else {
        return false;
    };
    let all_there = wanted
        .iter()
        .filter(|(path, _)| !path.is_empty()) // the entry of the project itself
        .all(|(path, package)| match installed.get(path) {
            Some(found) => identity(found) == identity(package),
            // npm skips optional packages that are for other machines.
            None => package["optional"] == Value::Bool(true),
        });
    all_there && installed.keys().all(|path| wanted.contains_key(path))
}

fn packages(lock: &Value) -> Option<&Map<String, Value>> {
    lock["packages"].as_object()
}

fn identity(package: &Value) -> (&Value, &Value) {
    (&package["version"], &package["integrity"])
}

#[cfg(test)]
mod tests {
    use super::is_installed;
    use serde_json::{Value, json};

    fn lock() -> Value {
        json!({ "packages": {
            "": { "name": "browser-tests" },
            "node_modules/axe-core": { "version": "4.14.1", "integrity": "sha512-a" },
            "node_modules/for-another-machine": { "version": "1.0.0", "integrity": "sha512-b", "optional": true },
        }})
    }

    fn installed() -> Value {
        json!({ "packages": { "node_modules/axe-core": { "version": "4.14.1", "integrity": "sha512-a" } } })
    }

    #[test]
    fn the_packages_of_the_lock_file_count_as_installed() {
        assert!(is_installed(&lock(), &installed()));
    }

    #[test]
    fn an_optional_package_may_be_left_out_and_any_other_may_not() {
        let mut lock = lock();
        lock["packages"]["node_modules/for-another-machine"]["optional"] = json!(false);
        assert!(!is_installed(&lock, &installed()));
    }

    #[test]
    fn another_version_is_not_installed() {
        let mut installed = installed();
        installed["packages"]["node_modules/axe-core"]["version"] = json!("4.14.0");
        assert!(!is_installed(&lock(), &installed));
    }

    #[test]
    fn the_same_version_with_other_content_is_not_installed() {
        let mut installed = installed();
        installed["packages"]["node_modules/axe-core"]["integrity"] = json!("sha512-z");
        assert!(!is_installed(&lock(), &installed));
    }

    #[test]
    fn a_package_that_left_the_lock_file_has_to_go() {
        let mut installed = installed();
        installed["packages"]["node_modules/left-over"] = json!({ "version": "1.0.0" });
        assert!(!is_installed(&lock(), &installed));
    }

    #[test]
    fn nothing_is_installed_if_npm_never_ran() {
        assert!(!is_installed(&lock(), &Value::Null));
    }
}
