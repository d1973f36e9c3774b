//! The floors of the house (docs/architecture.md): no two modules import each other, by whatever way round, and what only
//! one may import, only one does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The modules of a crate with their text, without comments and tests.
fn modules(folder: &Path, name: &[String], found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut own = name.to_vec();
        if stem != "mod" {
            own.push(stem.clone());
        }
        if path.is_dir() {
            modules(&path, &own, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") && !stem.ends_with("tests") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = text
                .split("#[cfg(test)]\nmod ")
                .next()
                .unwrap()
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            found.insert(own.join("::"), code.join("\n"));
        }
    }
}

/// What stands behind `crate::` and `super::` in a module's text, as names from the crate's root.
fn named(module: &str, text: &str) -> Vec<String> {
    let parent = module.rsplit_once("::").map(|(parent, _)| format!("{parent}::")).unwrap_or_default();
    let mut names = Vec::new();
    for (start, root) in [("crate::", ""), ("super::", parent.as_str())] {
        for rest in text.split(start).skip(1) {
            let several = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
            for name in several.unwrap_or(rest).split(',').take(if several.is_some() { 99 } else { 1 }) {
                let name = name.trim_start();
                let end = name.find(|sign: char| !(sign.is_ascii_alphanumeric() || "_:".contains(sign)));
                names.push(format!("{root}{}", &name[..end.unwrap_or(name.len())]));
            }
        }
    }
    names
}

/// Which module of the crate imports which.
fn imports(source: &str) -> BTreeMap<String, BTreeSet<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(source);
    let mut texts = BTreeMap::new();
    modules(&folder, &[], &mut texts);
    let home = |name: &str| {
        let mut name = name.to_owned();
        while !texts.contains_key(&name) {
            name.truncate(name.rfind("::")?);
        }
        Some(name)
    };
    let of = |(module, text): (&String, &String)| {
        let names = named(module, text);
        let found = names.iter().filter_map(|name| home(name)).filter(|name| name != module);
        (module.clone(), found.collect())
    };
    texts.iter().map(of).collect()
}

#[test]
fn no_module_of_core_and_server_imports_in_a_circle() {
    for source in ["idp/core/src", "idp/server/src"] {
        let mut left = imports(source);
        let count = left.len();
        assert!(count > 20 && left.values().map(BTreeSet::len).sum::<usize>() > count, "{left:?}");
        loop {
            let standing: BTreeSet<String> = left.keys().cloned().collect();
            left.retain(|_, below| !below.is_disjoint(&standing));
            if left.len() == standing.len() {
                break;
            }
        }
        assert!(left.is_empty(), "{source}: {left:?}");
    }
}

#[test]
fn the_table_of_routes_is_imported_by_the_server_itself_alone() {
    let imports = imports("idp/server/src");
    let importing = imports.iter().filter(|(_, below)| below.contains("routes"));
    let importing: Vec<&str> = importing.map(|(module, _)| module.as_str()).collect();
    assert_eq!(importing, ["lib"]);
}
