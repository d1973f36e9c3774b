//! A database and its keys, made once per run and copied for each story: migrating and generating RSA keys hundreds of
//! times took much of the suite's time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use idp_server::App;
use idp_server::clock::Clock;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::database::Database;
use super::{Engine, config};

/// What a first start leaves behind.
struct Template {
    database: Content,
    /// The name and content of each file in the key folder.
    keys: Vec<(String, Vec<u8>)>,
}

enum Content {
    Sqlite(Vec<u8>),
    /// A database on the test server. Nothing drops it: the server itself is thrown away.
    Postgres(String),
}

static SQLITE: OnceCell<Arc<Template>> = OnceCell::const_new();
static POSTGRES: OnceCell<Arc<Template>> = OnceCell::const_new();

/// A database and a key folder as a first start leaves them.
pub(crate) async fn copy(engine: Engine) -> (Database, TempDir) {
    let cell = match engine {
        Engine::Sqlite => &SQLITE,
        Engine::Postgres => &POSTGRES,
    };
    let template = Arc::clone(cell.get_or_init(|| async move { Arc::new(make(engine).await) }).await);
    let database = match &template.database {
        Content::Sqlite(file) => Database::sqlite(file),
        Content::Postgres(name) => Database::postgres(name).await,
    };
    (database, keys(&template.keys))
}

async fn make(engine: Engine) -> Template {
    let (database, folder) = (Database::new(engine).await, tempfile::tempdir().unwrap());
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let config = config(nowhere, &database, "smtp://127.0.0.1:9", folder.path());
    let app = App::build(config, Clock::system()).await.unwrap();
    app.store().close().await;
    let keys = files(folder.path());
    let database = match engine {
        Engine::Sqlite => {
            Content::Sqlite(std::fs::read(database.url().trim_start_matches("sqlite:")).unwrap())
        }
        Engine::Postgres => {
            let name = database.name().to_owned();
            std::mem::forget(database);
            Content::Postgres(name)
        }
    };
    Template { database, keys }
}

/// The name and content of each file in a folder.
pub(crate) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: PathBuf| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
    };
    paths.map(named).filter(|(name, _)| !name.starts_with('.')).collect()
}

/// A key folder with these files.
pub(crate) fn keys(files: &[(String, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        write(&folder.path().join(name), content);
    }
    folder
}

/// Writes a new file for its owner only, as the product does.
pub(super) fn write(path: &Path, content: &[u8]) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.unwrap().write_all(content).unwrap();
}
