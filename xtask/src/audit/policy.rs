//! The rules of `deny.toml`, in the format of cargo-deny: as much of it as is used here, and not a key more.

use super::crates::Crate;
use super::section::Section;
use super::spdx;
use anyhow::Context;
use std::collections::BTreeMap;
use std::path::Path;

/// What the dependency tree may be made of.
#[derive(Debug)]
pub(crate) struct Policy {
    ignored_advisories: Vec<String>,
    licences: Vec<String>,
    /// Licences that are allowed for one crate, by its name.
    exceptions: BTreeMap<String, Vec<String>>,
    /// Why a crate is banned, by its name.
    banned: BTreeMap<String, String>,
    registries: Vec<String>,
}

impl Policy {
    /// Reads the file; every key has to be there, and no other.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut file = Section::of_file(text)?;
        let ignored_advisories = parse_advisories(file.section("advisories")?)?;
        let (licences, exceptions) = parse_licences(file.section("licenses")?)?;
        let banned = parse_bans(file.section("bans")?)?;
        let registries = parse_sources(file.section("sources")?)?;
        file.finish()?;
        Ok(Self { ignored_advisories, licences, exceptions, banned, registries })
    }

    /// Advisories that do not concern us, for a reason the file gives.
    pub(crate) fn ignored_advisories(&self) -> &[String] {
        &self.ignored_advisories
    }

    /// A sentence for each rule that `package` breaks.
    pub(crate) fn problems(&self, package: &Crate) -> Vec<String> {
        let found = [self.licence_problem(package), self.ban(package), self.source_problem(package)];
        found
            .into_iter()
            .flatten()
            .map(|what| format!("{} {}: {what}", package.name, package.version))
            .collect()
    }

    fn licence_problem(&self, package: &Crate) -> Option<String> {
        let Some(expression) = &package.licence else {
            return Some("it states no licence".to_owned());
        };
        let exception = self.exceptions.get(&package.name);
        let is_allowed = |licence: &str| {
            let mut allowed = self.licences.iter().chain(exception.into_iter().flatten());
            allowed.any(|entry| entry == licence)
        };
        match spdx::is_satisfied(expression, &is_allowed) {
            Ok(true) => None,
            Ok(false) => Some(format!("its licence is not allowed: {expression}")),
            Err(error) => Some(format!("its licence cannot be read: {error:#}")),
        }
    }

    fn ban(&self, package: &Crate) -> Option<String> {
        self.banned.get(&package.name).map(|reason| format!("it is banned: {reason}"))
    }

    fn source_problem(&self, package: &Crate) -> Option<String> {
        let source = package.source.as_deref()?;
        let known = source
            .strip_prefix("registry+")
            .is_some_and(|url| self.registries.iter().any(|known| known == url));
        (!known).then(|| format!("it comes from {source}"))
    }
}

fn parse_advisories(mut section: Section) -> anyhow::Result<Vec<String>> {
    let mut ignored = Vec::new();
    for mut entry in section.entries("ignore")? {
        ignored.push(entry.string("id")?);
        entry.string("reason")?;
        entry.finish()?;
    }
    section.finish()?;
    Ok(ignored)
}

type Exceptions = BTreeMap<String, Vec<String>>;

fn parse_licences(mut section: Section) -> anyhow::Result<(Vec<String>, Exceptions)> {
    let licences = section.strings("allow")?;
    let mut exceptions = Exceptions::new();
    for mut entry in section.entries("exceptions")? {
        exceptions.insert(crate_name(&mut entry)?, entry.strings("allow")?);
        entry.finish()?;
    }
    section.finish()?;
    Ok((licences, exceptions))
}

fn parse_bans(mut section: Section) -> anyhow::Result<BTreeMap<String, String>> {
    section.only("multiple-versions", "warn")?;
    let mut banned = BTreeMap::new();
    for mut entry in section.entries("deny")? {
        banned.insert(crate_name(&mut entry)?, entry.string("reason")?);
        entry.finish()?;
    }
    section.finish()?;
    Ok(banned)
}

fn parse_sources(mut section: Section) -> anyhow::Result<Vec<String>> {
    section.only("unknown-registry", "deny")?;
    section.only("unknown-git", "deny")?;
    let registries = section.strings("allow-registry")?;
    section.finish()?;
    Ok(registries)
}

/// cargo-deny also takes `name@version` and `name:requirement`; here a rule is about all versions.
fn crate_name(entry: &mut Section) -> anyhow::Result<String> {
    let name = entry.string("crate")?;
    anyhow::ensure!(
        !name.contains(['@', ':']),
        "`{name}`: a rule about some versions only is not understood here"
    );
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::Policy;
    use crate::audit::crates::Crate;

    const FILE: &str = r#"
        [advisories]
        ignore = [{ id = "RUSTSEC-2023-0071", reason = "only verifies" }]
        [licenses]
        allow = ["MIT", "Apache-2.0"]
        exceptions = [{ crate = "webpki-roots", allow = ["CDLA-Permissive-2.0"] }]
        [bans]
        multiple-versions = "warn"
        deny = [{ crate = "native-tls", reason = "TLS is rustls" }]
        [sources]
        unknown-registry = "deny"
        unknown-git = "deny"
        allow-registry = ["https://github.com/rust-lang/crates.io-index"]
    "#;

    fn package(name: &str, licence: Option<&str>, source: Option<&str>) -> Crate {
        Crate {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: licence.map(str::to_owned),
            source: source.map(str::to_owned),
        }
    }

    fn problems(name: &str, licence: Option<&str>, source: Option<&str>) -> Vec<String> {
        Policy::parse(FILE).unwrap().problems(&package(name, licence, source))
    }

    /// What is said about the file after `from` in it has become `to`.
    fn refusal(from: &str, to: &str) -> String {
        assert!(FILE.contains(from), "{from}");
        Policy::parse(&FILE.replace(from, to)).unwrap_err().to_string()
    }

    #[test]
    fn an_allowed_licence_from_the_registry_or_a_path_is_no_problem() {
        let registry = "registry+https://github.com/rust-lang/crates.io-index";
        assert_eq!(problems("url", Some("MIT OR Apache-2.0"), Some(registry)), [""; 0]);
        assert_eq!(problems("idp", Some("MIT OR Apache-2.0"), None), [""; 0]);
    }

    #[test]
    fn a_licence_that_is_not_listed_is_a_problem() {
        assert_eq!(
            problems("odd", Some("GPL-3.0-only"), None),
            ["odd 1.0.0: its licence is not allowed: GPL-3.0-only"]
        );
        assert_eq!(problems("odd", None, None), ["odd 1.0.0: it states no licence"]);
        assert!(problems("odd", Some("MIT OR"), None)[0].contains("cannot be read"));
    }

    #[test]
    fn an_exception_holds_for_its_own_crate_only() {
        assert_eq!(problems("webpki-roots", Some("CDLA-Permissive-2.0"), None), [""; 0]);
        assert_eq!(problems("other", Some("CDLA-Permissive-2.0"), None).len(), 1);
    }

    #[test]
    fn a_banned_crate_is_a_problem_with_the_reason_of_the_ban() {
        assert_eq!(
            problems("native-tls", Some("MIT"), None),
            ["native-tls 1.0.0: it is banned: TLS is rustls"]
        );
    }

    #[test]
    fn another_registry_or_a_repository_is_a_problem() {
        for source in
            ["registry+https://example.com/index", "git+https://github.com/rust-lang/crates.io-index"]
        {
            assert_eq!(
                problems("odd", Some("MIT"), Some(source)),
                [format!("odd 1.0.0: it comes from {source}")]
            );
        }
    }

    #[test]
    fn advisories_are_ignored_by_id_and_only_with_a_reason() {
        assert_eq!(Policy::parse(FILE).unwrap().ignored_advisories(), ["RUSTSEC-2023-0071"]);
        assert!(refusal(r#", reason = "only verifies""#, "").contains("`reason` is missing"));
    }

    #[test]
    fn a_key_that_is_not_understood_is_refused_wherever_it_stands() {
        assert!(refusal("[advisories]", "[graph]\n[advisories]").contains("`graph` is not understood"));
        assert!(refusal("[licenses]", "[licenses]\nprivate = { ignore = true }").contains("`private`"));
        assert!(refusal(r#"reason = "TLS"#, r#"wrappers = [], reason = "TLS"#).contains("`wrappers`"));
        assert!(refusal("[bans]", "[bans]\nwildcards = \"deny\"").contains("`wildcards`"));
        assert!(refusal("[sources]", "[sources]\nallow-git = []").contains("`allow-git`"));
    }

    #[test]
    fn a_value_that_is_not_implemented_is_refused() {
        assert!(
            refusal(r#"multiple-versions = "warn""#, r#"multiple-versions = "deny""#)
                .contains("only be \"warn\"")
        );
        assert!(refusal(r#"unknown-git = "deny""#, r#"unknown-git = "allow""#).contains("only be \"deny\""));
        assert!(
            refusal(r#"crate = "native-tls""#, r#"crate = "native-tls:<1""#).contains("some versions only")
        );
    }

    #[test]
    fn the_file_of_this_repository_is_understood() {
        Policy::parse(include_str!("../../../deny.toml")).unwrap();
    }
}
