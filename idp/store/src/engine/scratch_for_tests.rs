//! An SQLite file for a test of this crate, removed however the test ends.

use std::path::PathBuf;

use super::store::Store;

pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// `name` must be unique to the test, because tests run in parallel.
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("idp-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.0.join("idp.db").display())
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.url(), 1).await.unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
