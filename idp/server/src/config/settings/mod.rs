//! The settings: one [`TABLE`] from which file, environment, flags, hints and the printed reference all follow.
//!
//! A flag wins over the environment, the environment over the file, the file over the default. Every value
//! remembers where it was given, and every error is one line: where, what, and what would be right.

mod reading;
mod resolved;
mod table;
mod values;

pub use reading::{broken_toml, line_of, load};
pub use resolved::{LogConfig, SettingSource, Settings, SettingsError};
pub use table::{Kind, PREFIX, Setting, TABLE, unknown};

#[cfg(test)]
mod tests;
