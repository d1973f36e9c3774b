//! Reads the settings from a TOML file, the environment and flags.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;

use idp_core::file_access::Readers;
use idp_core::secret::Secret;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::config::secret_files::{self, Opened};
use crate::config::settings::resolved::{SettingSource, Settings, SettingsError};
use crate::config::settings::table::{
    PREFIX, Setting, TABLE, ValueKind, find, letters, names, text_problem, unknown, variables,
};

/// The longest configuration file, in bytes.
const LONGEST_FILE: u64 = 1024 * 1024;

/// Reads the settings. `env` is the environment; `flags` are pairs of `section.key` and value.
///
/// # Errors
/// Everything that is wrong, in the order of reading: unknown names, wrong kinds, values out of bounds,
/// settings given twice, missing files, and secrets that others can read.
pub fn load(
    file: Option<&Path>,
    env: &[(OsString, OsString)],
    flags: &[(String, String)],
) -> Result<Settings, Vec<SettingsError>> {
    let mut reading = Reading::default();
    if let Some(path) = file {
        reading.file(path);
    }
    reading.variables_and_flags(env, flags);
    reading.finish()
}

/// The settings that a command gives itself, each as its name, its value and with what it is given. They come after
/// `env` and `flags`; no file is read.
///
/// # Errors
/// As from [`load`].
pub fn load_for_command(
    env: &[(OsString, OsString)],
    flags: &[(String, String)],
    own: &[(&str, &str, &'static str)],
) -> Result<Settings, Vec<SettingsError>> {
    let mut reading = Reading::default();
    reading.variables_and_flags(env, flags);
    for (name, value, with) in own {
        reading.flag(name, value, SettingSource::Command(with));
    }
    reading.finish()
}

/// The state of reading.
#[derive(Default)]
struct Reading {
    settings: Settings,
    errors: Vec<SettingsError>,
}

impl Reading {
    fn refuse(&mut self, at: impl fmt::Display, what: impl Into<String>) {
        self.errors.push(SettingsError { at: at.to_string(), what: what.into() });
    }

    fn variables_and_flags(&mut self, env: &[(OsString, OsString)], flags: &[(String, String)]) {
        for (name, value) in env {
            self.any_variable(name, value);
        }
        for (name, value) in flags {
            self.flag(name, value, SettingSource::Flag(name.to_owned()));
        }
    }

    fn finish(mut self) -> Result<Settings, Vec<SettingsError>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        self.settings.warn_of_contradictions();
        Ok(self.settings)
    }

    fn file(&mut self, path: &Path) {
        self.settings.file = Some(path.to_owned());
        let opened = match secret_files::open(path, LONGEST_FILE) {
            Ok(opened) => opened,
            Err(why) => return self.refuse(path.display(), format!("this file cannot be read: {why}")),
        };
        let text = opened.text.as_str();
        let (before, errors) = (self.settings.warnings.len(), self.errors.len());
        self.tables(path, text, &opened);
        // A secret in it has the stricter rule, and then its own refusal.
        if let Err(refusal) = &opened.decides
            && self.errors.len() == errors
        {
            self.refuse(path.display(), refusal.sentence("this file", path));
        }
        // One warning for the file, however many secrets it holds.
        self.settings.warnings.truncate(before + 1);
    }

    fn tables(&mut self, path: &Path, text: &str, opened: &Opened) {
        let line = |at: usize| SettingSource::File(path.to_owned(), line_of(text, at));
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                return self.refuse(line(at), broken_toml(text, &error));
            }
        };
        for (section, content) in in_order(&table) {
            let is_section = names().any(|name| name.split('.').next() == Some(section.get_ref()));
            match content.get_ref() {
                DeValue::Table(keys) if is_section => {
                    for (key, value) in in_order(keys) {
                        let name = format!("{}.{}", section.get_ref(), key.get_ref());
                        self.file_value(&name, value.get_ref(), line(key.span().start), (path, opened));
                    }
                }
                value => self.refuse(line(section.span().start), no_section(section.get_ref(), value)),
            }
        }
    }

    fn file_value(
        &mut self,
        name: &str,
        value: &DeValue<'_>,
        at: SettingSource,
        (path, file): (&Path, &Opened),
    ) {
        let Some(setting) = find(name) else { return self.refuse(at, unknown(name, "setting", names())) };
        let Some(text) = setting.kind.text_of(value) else {
            return self.refuse(at, format!("{name} takes {}", setting.kind));
        };
        if setting.conceals(&text) {
            match &file.judged {
                Ok(Readers::Owner) => {}
                Ok(Readers::Others) => self.settings.warnings.push(secret_files::warning(path, file.access)),
                Err(refusal) => {
                    let (what, fix) = (refusal.what("this file"), refusal.fix(""));
                    let variable = setting.file_variable().unwrap_or_default();
                    self.refuse(&at, format!("{name} holds a secret and {what}; {fix}, or use {variable}"));
                }
            }
        }
        self.put(setting, text, at);
    }

    /// Reads a variable if it is ours. One that is not Unicode is refused: a replaced character would change a secret.
    fn any_variable(&mut self, name: &OsStr, value: &OsStr) {
        let shown = name.to_string_lossy();
        let at = SettingSource::Variable(shown.clone().into_owned());
        match (name.to_str(), value.to_str()) {
            (Some(name), Some(value)) => self.variable(name, value),
            // Only its name counts if it has no effect.
            (Some(name), None) if !variables().iter().any(|known| known == name) => {
                self.no_variable(name, at)
            }
            (Some(_), None) => self.refuse(at, "its value is not UTF-8"),
            (None, _) if shown.starts_with(PREFIX) => self.refuse(at, "its name is not UTF-8"),
            (None, _) => {}
        }
    }

    fn variable(&mut self, name: &str, value: &str) {
        let at = SettingSource::Variable(name.to_owned());
        let is = |known: Option<String>| known.is_some_and(|known| known == name);
        if let Some(setting) = TABLE.iter().find(|setting| is(Some(setting.variable()))) {
            self.put(setting, value.to_owned(), at);
        } else if let Some(setting) = TABLE.iter().find(|setting| is(setting.file_variable())) {
            match secret_files::read(Path::new(value)) {
                Ok(file) => {
                    self.settings.warnings.extend(file.warning.map(|warning| format!("{at}: {warning}")));
                    self.put(setting, file.secret.expose().to_owned(), at);
                }
                Err(what) => self.refuse(at, what),
            }
        } else {
            self.no_variable(name, at);
        }
    }

    /// Refuses an unknown variable that looks like ours. Variables of other programs are ignored, unless only underscores
    /// or the letter case are different.
    fn no_variable(&mut self, name: &str, at: SettingSource) {
        let known = variables();
        if name.starts_with(PREFIX) {
            self.refuse(at, unknown(name, "setting", known.iter().map(String::as_str)));
        } else if let Some(meant) = known.iter().find(|known| letters(known) == letters(name)) {
            self.refuse(at, format!("this has no effect; the right name is {meant}"));
        }
    }

    fn flag(&mut self, name: &str, value: &str, at: SettingSource) {
        let Some(setting) = find(name) else { return self.refuse(at, unknown(name, "setting", names())) };
        if setting.conceals(value) {
            let variable = setting.file_variable().unwrap_or_default();
            return self.refuse(at, format!("others can see a secret on the command line; use {variable}"));
        }
        self.put(setting, value.to_owned(), at);
    }

    /// Sets a value, replacing one from a source of lower rank. A source may give a setting only once.
    fn put(&mut self, setting: &'static Setting, text: String, at: SettingSource) {
        if let (ValueKind::Text, Some(problem)) = (&setting.kind, text_problem(&text)) {
            return self.refuse(at, format!("{} cannot be used: {problem}", setting.name));
        }
        if !setting.kind.fits(&text) {
            let given = if setting.secret { String::new() } else { format!(", not `{text}`") };
            return self.refuse(at, format!("{} takes {}{given}", setting.name, setting.kind));
        }
        let before = self.settings.given.get(setting.name).map(|(_, source)| source);
        match (before, &at) {
            (Some(SettingSource::Variable(other)), SettingSource::Variable(_)) => {
                let what = format!("{other} sets the same setting; keep one of them");
                self.refuse(at, what);
            }
            (Some(SettingSource::Flag(_)), SettingSource::Flag(_)) => {
                self.refuse(at, "it is given twice; keep one of them");
            }
            _ => drop(self.settings.given.insert(setting.name, (Secret::new(text), at))),
        }
    }
}

/// What is wrong with a name at the top of the file under which there are no settings.
fn no_section(name: &str, content: &DeValue<'_>) -> String {
    let sections = names().filter_map(|name| name.split('.').next());
    let is_table = matches!(content, DeValue::Table(_));
    match find(name).and_then(|_| name.split_once('.')) {
        // Quoted, the dot is a part of the name.
        Some((section, key)) => format!("write `{name}` without quotes, or `{key}` below `[{section}]`"),
        None if is_table => unknown(name, "section", sections),
        None if sections.clone().any(|section| section == name) => {
            format!("`{name}` is a section; write `[{name}]`, and its settings below")
        }
        None => unknown(name, "setting or section", names().chain(sections)),
    }
}

/// The entries of a table in the order of the file.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// What is wrong with a TOML text, in plain words.
pub fn broken_toml(text: &str, error: &toml::de::Error) -> String {
    match error.span().and_then(|span| text.get(span)) {
        Some(key) if error.message() == "duplicate key" => {
            format!("`{key}` is given twice; keep one of them")
        }
        _ => error.message().to_owned(),
    }
}

/// The line of a byte position in a text. The first line is 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
