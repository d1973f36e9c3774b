//! One file per test, in a folder of its own.

use std::path::{Path, PathBuf};

use idp_store::Store;
use tokio::sync::OnceCell;

use super::next_number;

/// The bytes of a migrated database. Copying them is faster than migrating each time.
static TEMPLATE: OnceCell<Vec<u8>> = OnceCell::const_new();

pub(crate) async fn create(migrated: bool) -> String {
    let file = empty_folder().join("idp.db");
    if migrated {
        let template = TEMPLATE.get_or_init(template).await;
        std::fs::write(&file, template).unwrap();
    }
    format!("sqlite:{}", file.display())
}

pub(crate) fn remove(url: &str) {
    std::fs::remove_dir_all(file(url).parent().unwrap()).unwrap();
}

/// The file behind a URL.
pub(crate) fn file(url: &str) -> &Path {
    Path::new(url.strip_prefix("sqlite:").unwrap())
}

/// The bytes of a migrated database.
pub(crate) async fn migrated() -> &'static [u8] {
    TEMPLATE.get_or_init(template).await
}

fn empty_folder() -> PathBuf {
    let name = format!("idp-contract-{}-{}", std::process::id(), next_number());
    let folder = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&folder); // of a killed run that had the same process id
    std::fs::create_dir(&folder).unwrap();
    folder
}

async fn template() -> Vec<u8> {
    let folder = empty_folder();
    let file = folder.join("template.db");
    let store = Store::open(&format!("sqlite:{}", file.display()), 1).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await; // moves everything from the log into the file
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    bytes
}
