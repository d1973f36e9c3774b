//! The layers (docs/architecture.md): a module may import only from its own layer or a lower one, and never in a
//! circle.
//!
//! An import is every path in a file that starts with `crate`, `self`, `super` or a child module: in code, in `use`
//! with any nesting of braces, and inside macros. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A module's path inside its crate.
type Module = String;

/// The modules of each crate, from the top layer to the bottom. A name includes the modules inside it, unless they are
/// listed themselves.
const LAYERS: &[(&str, &[&[&str]])] =
    &[("idp/core/src", CORE), ("idp/store/src", STORE), ("idp/server/src", SERVER), ("idp/cli/src", CLI)];

const CORE: &[&[&str]] = &[
    &["lib"],
    &["flow"],
    &["oauth", "account"],
    &["audit", "client", "consent", "mail_server", "session", "user"],
    &["redirect_uri", "scope", "single_use", "typed_code", "seal", "ids"],
    &["secret", "time", "text", "authority", "loopback", "server_url", "file_access"],
];

const STORE: &[&[&str]] = &[
    &["lib"],
    &["cleanup", "engine::readiness"],
    &["engine::migrate", "grants", "sessions", "throttles"],
    &[
        "engine::store", "audit", "clients", "clock", "codes", "consents", "flows", "keys", "known_browsers",
        "outbox",
    ],
    &["registrations", "roles", "single_use", "users"],
    &["engine::read", "engine::group_commit", "engine::postgres"],
    &["row"],
    &["engine::connection"],
    &["engine"],
    &["error", "lock"],
];

const SERVER: &[&[&str]] = &[
    &["lib"],
    &["routes", "tasks"],
    &["pages", "oauth", "mail::delivery", "http::health"],
    &["flow", "accounts"],
    &["mail::quota", "mail::contents", "pages::continue_to_client", "pages::signed_in"],
    &["http::middleware", "http::enforcement", "http::context"],
    &["http"],
    &["state"],
    &["accounts::hasher", "accounts::lanes", "mail::transport"],
    &["mail::server", "mail::availability"],
    &[
        "http::connections", "http::limits", "http::readiness", "http::errors", "http::form",
        "http::field_value",
    ],
    &[
        "http::address", "http::assets", "http::cookies", "http::panics", "http::policy",
        "http::refusal_log", "http::shares", "http::socket", "http::traffic",
    ],
    &["keys", "text"],
    &["config", "mail"],
    &["start_error", "clock"],
];

const CLI: &[&[&str]] = &[
    &["main"],
    &["args"],
    &["commands::dev", "commands::serve"],
    &["commands"],
    &["commands::account_ref", "commands::new_account", "commands::new_client"],
    &["operator", "secret_input"],
    &["database", "output", "audit"],
    &["failure", "in_use", "logging", "options", "signals"],
];

/// Finds the modules below a folder, with their code.
fn modules(folder: &Path, name: &[String], found: &mut BTreeMap<Module, TokenStream>) {
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
            let code = std::fs::read_to_string(&path).unwrap().parse().unwrap();
            found.insert(own.join("::"), code);
        }
    }
}

/// Collects the paths in a piece of code that stay in its crate.
struct Reader<'a> {
    /// The module of the code, from the crate's root.
    module: Vec<String>,
    is_module: &'a dyn Fn(&str) -> bool,
    paths: Vec<Vec<String>>,
}

impl Reader<'_> {
    fn read(&mut self, code: TokenStream) {
        let tokens: Vec<TokenTree> = code.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if is_test_attribute(&tokens[at..]) {
                at = end_of_item(&tokens, at);
                continue;
            }
            if let TokenTree::Group(group) = &tokens[at] {
                self.read(group.stream());
            }
            let follows_path = at > 1 && is_path_separator(&tokens[at - 2..at]);
            match self.root(&tokens[at..]).filter(|_| !follows_path) {
                Some(root) => at = self.path(root, &tokens, at + 1),
                None => at += 1,
            }
        }
    }

    /// The root of a path that starts here.
    fn root(&self, tokens: &[TokenTree]) -> Option<Vec<String>> {
        let [TokenTree::Ident(word), rest @ ..] = tokens else { return None };
        if !is_path_separator(rest) {
            return None;
        }
        let inside = |name: &str| [self.module.clone(), vec![name.to_owned()]].concat();
        match word.to_string().as_str() {
            "crate" => Some(Vec::new()),
            "self" => Some(self.module.clone()),
            "super" => Some(self.module[..self.module.len() - 1].to_vec()),
            name if (self.is_module)(&inside(name).join("::")) => Some(inside(name)),
            _ => None,
        }
    }

    /// Follows a path after `so_far`, into every branch of its braces. Returns where the code continues.
    fn path(&mut self, mut so_far: Vec<String>, tokens: &[TokenTree], mut at: usize) -> usize {
        while is_path_separator(&tokens[at.min(tokens.len())..]) {
            at += 2;
            match tokens.get(at) {
                Some(TokenTree::Ident(word)) if word == "super" => drop(so_far.pop()),
                Some(TokenTree::Ident(word)) => so_far.push(word.to_string()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let branches: Vec<TokenTree> = group.stream().into_iter().collect();
                    for branch in branches
                        .split(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ','))
                    {
                        self.branch(&so_far, branch);
                    }
                    return at + 1;
                }
                _ => break,
            }
            at += 1;
        }
        self.paths.push(so_far);
        at
    }

    fn branch(&mut self, so_far: &[String], branch: &[TokenTree]) {
        match branch.first() {
            Some(TokenTree::Ident(word)) if word == "self" => self.paths.push(so_far.to_vec()),
            Some(TokenTree::Ident(word)) => {
                self.path([so_far, &[word.to_string()]].concat(), branch, 1);
            }
            Some(_) => self.paths.push(so_far.to_vec()),
            None => {}
        }
    }
}

fn is_path_separator(tokens: &[TokenTree]) -> bool {
    let colon = |token: &TokenTree| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ':');
    tokens.len() > 1 && tokens[..2].iter().all(colon)
}

/// `#[cfg(test)]`.
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(group), ..] = tokens else { return false };
    hash.as_char() == '#' && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

fn end_of_item(tokens: &[TokenTree], from: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Punct(mark) => mark.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    let length = tokens[from..].iter().position(ends).unwrap();
    from + length + 1
}

/// Which modules of a crate import which.
fn imports(source: &str) -> BTreeMap<Module, BTreeSet<Module>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(source);
    let mut code = BTreeMap::new();
    modules(&folder, &[], &mut code);
    let names: BTreeSet<Module> = code.keys().cloned().collect();
    let is_module = |name: &str| names.contains(name);
    let home = |path: &[String]| {
        let longest = (1..=path.len()).rev().map(|length| path[..length].join("::"));
        longest.into_iter().find(|name| is_module(name))
    };
    let of = |(module, code): (Module, TokenStream)| {
        let root = ["lib", "main"].contains(&module.as_str());
        let path = if root { Vec::new() } else { module.split("::").map(str::to_owned).collect() };
        let mut reader = Reader { module: path, is_module: &is_module, paths: Vec::new() };
        reader.read(code);
        let found =
            reader.paths.iter().filter_map(|path| home(path)).filter(|name| *name != module).collect();
        (module, found)
    };
    code.into_iter().map(of).collect()
}

/// The layer of a module, counted from the top; the longest matching name decides.
fn layer(layers: &[&[&str]], module: &str) -> Option<usize> {
    let names =
        layers.iter().enumerate().flat_map(|(layer, names)| names.iter().map(move |name| (layer, *name)));
    let starts = |name: &str| module == name || module.starts_with(&format!("{name}::"));
    names.filter(|(_, name)| starts(name)).max_by_key(|(_, name)| name.len()).map(|(layer, _)| layer)
}

/// The circles: what is left after repeatedly removing the modules that import nothing of the rest, and those that the
/// rest does not import.
fn circles(mut left: BTreeMap<Module, BTreeSet<Module>>) -> BTreeMap<Module, BTreeSet<Module>> {
    loop {
        let before = left.len();
        let imported: BTreeSet<Module> = left.values().flatten().cloned().collect();
        left.retain(|module, _| imported.contains(module));
        let standing: BTreeSet<Module> = left.keys().cloned().collect();
        left.retain(|_, below| {
            below.retain(|name| standing.contains(name));
            !below.is_empty()
        });
        if left.len() == before {
            return left;
        }
    }
}

#[test]
fn imports_lead_down_and_never_in_a_circle() {
    let mut wrong = Vec::new();
    for (source, layers) in LAYERS {
        let left = imports(source);
        assert!(left.values().map(BTreeSet::len).sum::<usize>() > left.len(), "{source}: {left:?}");
        for (module, below) in &left {
            let Some(own) = layer(layers, module) else {
                wrong.push(format!("{source}: {module} is on no layer"));
                continue;
            };
            let upward = below.iter().filter(|name| layer(layers, name).is_some_and(|layer| layer < own));
            wrong.extend(upward.map(|name| format!("{source}: {module} imports {name}, which is above it")));
        }
        wrong.extend(
            circles(left).iter().map(|(module, of)| format!("{source}: a circle: {module} -> {of:?}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_crate_root_imports_the_route_table() {
    let imports = imports("idp/server/src");
    let importing = imports.iter().filter(|(_, below)| below.contains("routes"));
    let importing: Vec<&str> = importing.map(|(module, _)| module.as_str()).collect();
    assert_eq!(importing, ["lib"]);
}

/// What [`Reader`] finds in a piece of code in `http::form`, whose only child module is `inner`.
#[test]
fn an_import_is_found_however_it_is_written() {
    for (code, expected) in [
        (
            "use crate::http::{cookies::{Cookie, Jar}, errors};",
            "http::cookies::Cookie http::cookies::Jar http::errors",
        ),
        ("use crate::{state::Shared, text::{self, dates}};", "state::Shared text text::dates"),
        ("use super::errors::{PageError as Error};", "http::errors::PageError"),
        ("use super::super::state;", "state"),
        ("fn f() { crate::http::errors::new(self::inner::X) }", "http::errors::new http::form::inner::X"),
        ("fn f() { inner::g(); other::h(); }", "http::form::inner::g"),
        ("macro_rules! m { () => { $crate::state::X } }", "state::X"),
        ("trace!(\"crate::text\", x = crate::text::LANGUAGE);", "text::LANGUAGE"),
        ("#[cfg(test)] mod tests { use crate::text; } use crate::state;", "state"),
        ("#[cfg(test)]\n#[path = \"x.rs\"] mod tests; use crate::state;", "state"),
        ("// use crate::text;\n use crate::http::*;", "http"),
    ] {
        let is_module = |name: &str| name == "http::form::inner";
        let module = vec!["http".to_owned(), "form".to_owned()];
        let mut reader = Reader { module, is_module: &is_module, paths: Vec::new() };
        reader.read(code.parse().unwrap());
        let paths: Vec<String> = reader.paths.iter().map(|path| path.join("::")).collect();
        assert_eq!(paths.join(" "), expected, "{code}");
    }
}
