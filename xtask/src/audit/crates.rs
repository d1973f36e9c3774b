//! The crates of the dependency tree, for every target platform, as `cargo metadata` lists them.

use crate::tools;
use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
}

/// One version of one crate.
#[derive(Debug, Deserialize)]
pub(crate) struct Crate {
    /// Its name on the registry.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// The SPDX expression in its manifest, if it has one.
    #[serde(rename = "license")]
    pub(crate) licence: Option<String>,
    /// Where it comes from, such as `registry+https://...`; `None` for a path.
    pub(crate) source: Option<String>,
}

/// Every crate that the workspace is built from on some target platform.
pub(crate) fn of_workspace() -> anyhow::Result<Vec<Crate>> {
    let output = tools::cargo().args(["metadata", "--locked", "--format-version", "1"]).output()?;
    if !output.status.success() {
        anyhow::bail!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    from_metadata(&output.stdout)
}

fn from_metadata(json: &[u8]) -> anyhow::Result<Vec<Crate>> {
    let metadata: Metadata =
        serde_json::from_slice(json).context("cannot understand what `cargo metadata` printed")?;
    Ok(metadata.packages)
}

/// The crates with more than one version in the tree: `base64 0.21.7, 0.22.1`.
pub(crate) fn duplicates(crates: &[Crate]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in crates {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let several = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    several.map(|(name, versions)| format!("{name} {}", versions.join(", "))).collect()
}

#[cfg(test)]
mod tests {
    use super::{Crate, duplicates, from_metadata};
    use serde_json::{Value, json};

    fn crates(metadata: &Value) -> anyhow::Result<Vec<Crate>> {
        from_metadata(metadata.to_string().as_bytes())
    }

    #[test]
    fn crates_are_read_from_metadata() {
        let metadata = json!({ "packages": [
            { "name": "idp", "version": "0.1.0", "license": "MIT", "source": null },
            { "name": "odd", "version": "2.0.0", "license": null, "source": "git+https://example.com/odd" },
        ]});
        let crates = crates(&metadata).unwrap();
        assert_eq!((crates[0].name.as_str(), crates[0].licence.as_deref()), ("idp", Some("MIT")));
        assert_eq!(crates[0].source, None);
        assert_eq!((crates[1].version.as_str(), crates[1].licence.as_deref()), ("2.0.0", None));
        assert_eq!(crates[1].source.as_deref(), Some("git+https://example.com/odd"));
    }

    #[test]
    fn metadata_that_cannot_be_understood_is_an_error_and_not_an_empty_tree() {
        assert!(crates(&json!({})).is_err());
        assert!(crates(&json!({ "packages": [{ "name": "idp" }] })).is_err());
    }

    #[test]
    fn a_crate_in_two_versions_is_a_duplicate() {
        let package = |name: &str, version: &str| json!({ "name": name, "version": version });
        let metadata = json!({ "packages": [package("rand", "0.9.1"), package("url", "2.5.0"), package("rand", "0.10.0")] });
        assert_eq!(duplicates(&crates(&metadata).unwrap()), ["rand 0.9.1, 0.10.0"]);
    }
}
