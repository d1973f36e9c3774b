//! libpq's environment variables, as far as the driver reads them. It ignores one that it cannot use, and whoever set
//! it would believe that it counts.

use std::ffi::OsString;

use crate::error::OpenError;

/// Those that the driver reads as text.
const TEXTS: [&str; 12] = [
    "PGHOST", "PGHOSTADDR", PORT, "PGDATABASE", "PGUSER", "PGPASSWORD", "PGAPPNAME", "PGOPTIONS",
    "PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY",
];
const PORT: &str = "PGPORT";

/// An environment in which each of them can be read.
pub(crate) struct Variables<E>(E);

impl<E: Fn(&str) -> Option<OsString>> Variables<E> {
    /// Checks an environment.
    ///
    /// # Errors
    /// [`OpenError::Variable`], which does not repeat the value: it may be a password.
    pub(crate) fn check(env: E) -> Result<Self, OpenError> {
        if let Some(name) =
            TEXTS.into_iter().find(|name| env(name).is_some_and(|text| text.to_str().is_none()))
        {
            return Err(refused(name, "its value is not UTF-8"));
        }
        let variables = Self(env);
        match variables.set(PORT) {
            Some(port) if !port.parse::<u16>().is_ok_and(|port| port > 0) => {
                Err(refused(PORT, "its value is not a number from 1 to 65535"))
            }
            _ => Ok(variables),
        }
    }

    /// The value of a variable, which may be empty.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        self.0(name)?.into_string().ok()
    }

    /// The value of a variable, unless it is empty.
    pub(crate) fn set(&self, name: &str) -> Option<String> {
        self.value(name).filter(|value| !value.is_empty())
    }
}

pub(crate) fn refused(name: &'static str, why: impl Into<String>) -> OpenError {
    OpenError::Variable { name, why: why.into() }
}
