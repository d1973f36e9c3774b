//! Why a command failed: one or more lines, each saying what to do next.

use std::fmt;

use idp_server::StartError;
use idp_server::config::settings::SettingsError;
use idp_store::{OpenError, StoreError};

/// The reasons, one line each.
#[derive(Debug)]
pub(crate) struct Failure(Vec<String>);

impl Failure {
    /// A failure with one reason.
    pub(crate) fn new(line: impl fmt::Display) -> Self {
        Self(vec![line.to_string()])
    }

    /// With one more line.
    pub(crate) fn and(mut self, line: impl fmt::Display) -> Self {
        self.0.push(line.to_string());
        self
    }

    /// The reasons.
    pub(crate) fn lines(&self) -> &[String] {
        &self.0
    }
}

impl From<String> for Failure {
    fn from(line: String) -> Self {
        Self(vec![line])
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::new(error)
    }
}

impl From<Vec<SettingsError>> for Failure {
    fn from(errors: Vec<SettingsError>) -> Self {
        Self(errors.iter().map(ToString::to_string).collect())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::new(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let advice = match error {
            StoreError::Defect(_) => "nothing was changed; this is a bug in this program",
            StoreError::Corrupt { .. } | StoreError::Newer { .. } => unread_advice(&error),
            // A connection that broke during the commit: the change may have been made.
            StoreError::Unavailable(_) | StoreError::Disconnected(_) => {
                "check whether a change was made, then try again"
            }
            StoreError::Conflict(_) | StoreError::Retry(_) | StoreError::Panicked => {
                "nothing was changed; try again"
            }
        };
        Self::new(format_args!("{error}; {advice}"))
    }
}

/// What to do about a row that this version cannot read. Only a row that no version wrote may be repaired.
pub(crate) fn unread_advice(error: &StoreError) -> &'static str {
    match error {
        StoreError::Newer { .. } => "use the version that wrote it",
        _ => "if a newer version wrote it, use that version; if none did, repair the row",
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::new(error)
    }
}
