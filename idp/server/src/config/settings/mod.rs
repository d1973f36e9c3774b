//! The settings: one [`TABLE`] defines them for the file, the environment, the flags, the hints and the reference.
//!
//! A flag overrides the environment, the environment the file, the file the default. Every value records where it
//! was given, and every error is one line: where it is, what is wrong, and what would be right.

mod reading;
mod resolved;
mod table;
mod values;

pub use reading::{broken_toml, line_of, load, load_for_command};
pub use resolved::{LogConfig, SettingSource, Settings, SettingsError};
pub use table::{DEFAULT_FILE, PREFIX, Setting, TABLE, ValueKind, letters, unknown};

#[cfg(test)]
mod contradiction_tests;
#[cfg(test)]
mod tests;
