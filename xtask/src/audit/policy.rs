//! The rules of `deny.toml`, in cargo-deny's format. Only the keys that are used there are implemented; any other is
//! an error, so that no rule is written down and then ignored.

use super::crates::Crate;
use anyhow::Context;
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseError, ParseMode};
use std::path::Path;

/// What the dependency tree may contain: the whole of `deny.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    advisories: Advisories,
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advisories {
    ignore: Vec<IgnoredAdvisory>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IgnoredAdvisory {
    id: String,
    #[expect(dead_code, reason = "required, but for people to read")]
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Licences {
    allow: Vec<AllowedLicence>,
    exceptions: Vec<LicenceException>,
}

/// Licences that are allowed for one crate only.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LicenceException {
    #[serde(rename = "crate")]
    name: CrateName,
    allow: Vec<AllowedLicence>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    #[expect(dead_code, reason = "it has only one value")]
    multiple_versions: OnlyWarn,
    deny: Vec<BannedCrate>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BannedCrate {
    #[serde(rename = "crate")]
    name: CrateName,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    #[expect(dead_code, reason = "it has only one value")]
    unknown_registry: OnlyDeny,
    #[expect(dead_code, reason = "it has only one value")]
    unknown_git: OnlyDeny,
    allow_registry: Vec<String>,
}

/// The one level that is implemented for duplicate versions.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnlyWarn {
    Warn,
}

/// The one level that is implemented for unknown sources.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnlyDeny {
    Deny,
}

/// A licence by its SPDX identifier, with or without an exception: `Apache-2.0 WITH LLVM-exception`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct AllowedLicence(Licensee);

impl TryFrom<String> for AllowedLicence {
    type Error = ParseError;

    fn try_from(identifier: String) -> Result<Self, ParseError> {
        Licensee::parse(&identifier).map(Self)
    }
}

/// A crate, in whatever version. cargo-deny also takes `name@version` and `name:requirement`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct CrateName(String);

impl TryFrom<String> for CrateName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.contains(['@', ':']) {
            return Err(format!("`{name}`: rules for some versions only are not implemented"));
        }
        Ok(Self(name))
    }
}

impl Policy {
    /// Reads the file. Every key has to be there, and no other.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        toml::from_str(&text).with_context(|| format!("cannot understand {}", file.display()))
    }

    /// The advisories that the file says do not affect us.
    pub(crate) fn ignored_advisories(&self) -> impl Iterator<Item = &str> {
        self.advisories.ignore.iter().map(|advisory| advisory.id.as_str())
    }

    /// A message for each rule that `package` breaks.
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
        // Old manifests say `MIT/Apache-2.0`, and the registry keeps them.
        let parsed = match Expression::parse_mode(expression, ParseMode::LAX) {
            Ok(parsed) => parsed,
            // The error is the expression with a mark below the place.
            Err(error) => return Some(format!("its licence cannot be understood:\n{error}")),
        };
        let exceptions = self.licenses.exceptions.iter().filter(|entry| entry.name.0 == package.name);
        let allowed: Vec<&AllowedLicence> =
            self.licenses.allow.iter().chain(exceptions.flat_map(|entry| &entry.allow)).collect();
        let is_allowed = parsed.evaluate(|required| allowed.iter().any(|entry| entry.0.satisfies(required)));
        (!is_allowed).then(|| format!("its licence is not allowed: {expression}"))
    }

    fn ban(&self, package: &Crate) -> Option<String> {
        let ban = self.bans.deny.iter().find(|ban| ban.name.0 == package.name)?;
        Some(format!("it is banned: {}", ban.reason))
    }

    fn source_problem(&self, package: &Crate) -> Option<String> {
        let source = package.source.as_deref()?;
        let is_known = source
            .strip_prefix("registry+")
            .is_some_and(|url| self.sources.allow_registry.iter().any(|known| known == url));
        (!is_known).then(|| format!("it comes from {source}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Policy;
    use crate::audit::crates::Crate;

    const FILE: &str = r#"
        [advisories]
        ignore = [{ id = "RUSTSEC-2023-0071", reason = "only verifies" }]
        [licenses]
        allow = ["MIT", "Apache-2.0", "MPL-2.0 WITH LLVM-exception"]
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
        toml::from_str::<Policy>(FILE).unwrap().problems(&package(name, licence, source))
    }

    /// The error once `from` in the file has become `to`.
    fn refusal(from: &str, to: &str) -> String {
        assert!(FILE.contains(from), "{from}");
        toml::from_str::<Policy>(&FILE.replace(from, to)).unwrap_err().to_string()
    }

    #[track_caller]
    fn assert_refusal(from: &str, to: &str, expected: &str) {
        let refusal = refusal(from, to);
        assert!(refusal.contains(expected), "{refusal}");
    }

    #[track_caller]
    fn allowed(expression: &str) {
        assert_eq!(problems("some", Some(expression), None), [""; 0]);
    }

    #[track_caller]
    fn refused(expression: &str) {
        let expected = format!("some 1.0.0: its licence is not allowed: {expression}");
        assert_eq!(problems("some", Some(expression), None), [expected]);
    }

    #[test]
    fn an_allowed_licence_from_the_registry_or_a_path_is_no_problem() {
        let registry = "registry+https://github.com/rust-lang/crates.io-index";
        assert_eq!(problems("url", Some("MIT OR Apache-2.0"), Some(registry)), [""; 0]);
        assert_eq!(problems("idp", Some("MIT OR Apache-2.0"), None), [""; 0]);
    }

    #[test]
    fn a_licence_that_is_not_listed_is_a_problem() {
        allowed("MIT");
        refused("GPL-3.0-only");
        assert_eq!(problems("odd", None, None), ["odd 1.0.0: it states no licence"]);
    }

    #[test]
    fn one_of_several_alternatives_is_enough() {
        allowed("GPL-3.0-only OR MIT");
        allowed("MIT OR GPL-3.0-only");
        refused("GPL-3.0-only OR LGPL-2.1-or-later");
    }

    #[test]
    fn all_licences_that_hold_together_are_needed() {
        allowed("MIT AND Apache-2.0");
        refused("MIT AND GPL-3.0-only");
        refused("GPL-3.0-only AND MIT");
    }

    #[test]
    fn and_binds_tighter_than_or_and_brackets_bind_tightest() {
        allowed("MIT OR Apache-2.0 AND GPL-3.0-only");
        refused("(MIT OR Apache-2.0) AND GPL-3.0-only");
        allowed("(MIT OR GPL-3.0-only) AND ((Apache-2.0))");
    }

    #[test]
    fn older_ways_to_write_or_are_understood() {
        allowed("GPL-3.0-only/MIT");
        allowed("GPL-3.0-only / MIT");
        allowed("GPL-3.0-only or MIT");
        refused("GPL-3.0-only/LGPL-2.1-or-later");
        refused("MIT and GPL-3.0-only");
    }

    #[test]
    fn a_licence_with_an_exception_is_another_licence() {
        allowed("MPL-2.0 WITH LLVM-exception");
        refused("MPL-2.0");
        refused("MIT WITH LLVM-exception");
    }

    #[test]
    fn an_expression_that_cannot_be_understood_is_a_problem_and_never_allowed() {
        for broken in [
            "",
            "MIT OR",
            "MIT OR AND",
            "OR MIT",
            "(MIT",
            "MIT)",
            "MIT Apache-2.0",
            "MIT WITH",
            "()",
            "MIT OR Unheard-Of-1.0",
            "MIT WITH some-exception",
        ] {
            let problems = problems("odd", Some(broken), None);
            let expected = format!("odd 1.0.0: its licence cannot be understood:\n{broken}\n");
            assert!(problems.len() == 1 && problems[0].starts_with(&expected), "{broken}: {problems:?}");
        }
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
        let policy: Policy = toml::from_str(FILE).unwrap();
        assert_eq!(policy.ignored_advisories().collect::<Vec<_>>(), ["RUSTSEC-2023-0071"]);
        assert_refusal(r#", reason = "only verifies""#, "", "missing field `reason`");
    }

    #[test]
    fn an_unknown_key_is_refused_wherever_it_stands() {
        assert_refusal("[advisories]", "[graph]\n[advisories]", "unknown field `graph`");
        assert_refusal("[licenses]", "[licenses]\nprivate = { ignore = true }", "unknown field `private`");
        assert_refusal(r#"reason = "TLS"#, r#"wrappers = [], reason = "TLS"#, "unknown field `wrappers`");
        assert_refusal(r#"reason = "only"#, r#"level = 1, reason = "only"#, "unknown field `level`");
        assert_refusal("[{ crate", "[{ version = \"1\", crate", "unknown field `version`");
        assert_refusal("[bans]", "[bans]\nwildcards = \"deny\"", "unknown field `wildcards`");
        assert_refusal("[sources]", "[sources]\nallow-git = []", "unknown field `allow-git`");
    }

    #[test]
    fn a_key_that_is_missing_is_refused() {
        assert_refusal(r#"unknown-git = "deny""#, "", "missing field `unknown-git`");
        assert_refusal(r#"multiple-versions = "warn""#, "", "missing field `multiple-versions`");
    }

    #[test]
    fn a_value_that_is_not_implemented_is_refused() {
        let multiple = r#"multiple-versions = "warn""#;
        assert_refusal(multiple, r#"multiple-versions = "deny""#, "unknown variant `deny`, expected `warn`");
        let unknown_git = r#"unknown-git = "deny""#;
        assert_refusal(unknown_git, r#"unknown-git = "allow""#, "unknown variant `allow`, expected `deny`");
        assert_refusal(r#"crate = "native-tls""#, r#"crate = "native-tls:<1""#, "some versions only");
    }

    #[test]
    fn a_misspelt_licence_in_the_list_is_refused_with_its_line() {
        let refusal = refusal(r#"["MIT","#, r#"["MTI","#);
        assert!(refusal.contains("line 5") && refusal.contains("MTI\n^^^ unknown term"), "{refusal}");
    }

    #[test]
    fn the_file_of_this_repository_is_understood() {
        toml::from_str::<Policy>(include_str!("../../../deny.toml")).unwrap();
    }
}
