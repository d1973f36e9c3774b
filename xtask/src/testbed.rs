//! The environment of the tests: installed programs, a running PostgreSQL, and the variables that point to them.

use crate::postgres::{self, Cluster};
use crate::setup::{self, Programs};
use std::process::Command;

/// Lives as long as the tests run. The PostgreSQL cluster ends with it.
pub(crate) struct Testbed {
    programs: Programs,
    cluster: Cluster,
}

impl Testbed {
    /// Installs what is missing and starts the cluster.
    pub(crate) fn prepare() -> anyhow::Result<Self> {
        Ok(Self { programs: setup::install_missing()?, cluster: Cluster::start()? })
    }

    /// Sets the variables for `command` and the tests it starts.
    pub(crate) fn set_environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("PATH", &self.programs.path)
            .env("IDP_TEST_CHROMIUM", &self.programs.chromium)
            .env(postgres::URL_VARIABLE, self.cluster.url())
    }
}
