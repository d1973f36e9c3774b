use super::*;
use crate::engine::connection::on;
use crate::engine::readiness::NotReady;
use crate::engine::scratch_for_tests::Scratch;

/// A [`Reader`] has no method that writes. This is the second line of defence: the engine refuses as well.
async fn a_reader_cannot_change_anything(url: &str, refusal: &str) {
    let store = Store::open(url, 1).await.unwrap();
    let made = store.read((), |reader, ()| {
        Box::pin(async move {
            on!(reader, c => sqlx::query("CREATE TABLE made_by_a_reader (a TEXT)").execute(c).await.map(drop))?;
            Ok(())
        })
    });
    let refused = made.await.unwrap_err();
    assert!(refused.to_string().contains(refusal), "{refused}");
    store.close().await;
}

#[tokio::test]
async fn a_reader_of_sqlite_cannot_change_anything() {
    let scratch = Scratch::new("reader");
    a_reader_cannot_change_anything(&scratch.url(), "readonly database").await;
}

#[tokio::test]
async fn a_reader_of_postgres_cannot_change_anything() {
    let url =
        std::env::var("IDP_TEST_POSTGRES_URL").expect("run `cargo xtask test`, which starts a PostgreSQL");
    a_reader_cannot_change_anything(&url, "read-only transaction").await;
}

#[tokio::test]
async fn a_store_whose_writer_has_stopped_says_so() {
    let scratch = Scratch::new("writer");
    let store = scratch.store().await;
    store.migrate().await.unwrap();
    assert!(store.check_readiness().await.is_ok());
    let StoreInner::Sqlite { writer, .. } = &*store.0 else { panic!("not SQLite") };
    writer.stop().await;
    assert!(matches!(store.check_readiness().await, Err(NotReady::WriterStopped)));
    store.close().await;
}
