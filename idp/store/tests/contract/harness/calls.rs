//! Short forms of what every test does.

/// Runs each `async fn(Db)` (or `async fn(TestDatabase)`, on an empty database) on both engines or on the named one:
/// `contract! { a_story, another }`, `contract! { sqlite: a_story }`.
macro_rules! contract {
    (sqlite: $($story:ident),* $(,)?) => {$(
        mod $story {
            #[test]
            fn sqlite() {
                crate::harness::run(idp_store::Engine::Sqlite, super::$story);
            }
        }
    )*};
    (postgres: $($story:ident),* $(,)?) => {$(
        mod $story {
            #[test]
            fn postgres() {
                crate::harness::run(idp_store::Engine::Postgres, super::$story);
            }
        }
    )*};
    ($($story:ident),* $(,)?) => {$(
        mod $story {
            #[test]
            fn sqlite() {
                crate::harness::run(idp_store::Engine::Sqlite, super::$story);
            }
            #[test]
            fn postgres() {
                crate::harness::run(idp_store::Engine::Postgres, super::$story);
            }
        }
    )*};
}

/// One write and its result as it is: `try_tell!(store, |tx, user| tx.insert_user(user, None))`. The names after `tx`
/// are cloned for the write and passed as references.
macro_rules! try_tell {
    ($store:expr, |$tx:ident $(, $input:ident)*| $job:expr) => {
        $store.write(($($input.clone(),)*), |$tx, ($($input,)*)| Box::pin($job)).await
    };
}

/// One write that must succeed.
macro_rules! tell {
    ($store:expr, |$tx:ident $(, $input:ident)*| $job:expr) => {
        try_tell!($store, |$tx $(, $input)*| $job).unwrap()
    };
}

/// One read and its result as it is.
macro_rules! try_ask {
    ($store:expr, |$reader:ident $(, $input:ident)*| $job:expr) => {
        $store.read(($($input.clone(),)*), |$reader, ($($input,)*)| Box::pin($job)).await
    };
}

/// One read that must succeed.
macro_rules! ask {
    ($store:expr, |$reader:ident $(, $input:ident)*| $job:expr) => {
        try_ask!($store, |$reader $(, $input)*| $job).unwrap()
    };
}

/// One write that must succeed and is then rolled back. Returns what it would have returned.
macro_rules! undone {
    ($store:expr, |$tx:ident $(, $input:ident)*| $job:expr) => {{
        let answer = std::sync::Arc::new(std::sync::OnceLock::new());
        let kept = answer.clone();
        let undone = try_tell!($store, |$tx, kept $(, $input)*| async move {
            let answer = $job.await?;
            kept.set(answer).ok();
            Err::<(), _>(idp_store::StoreError::Conflict("the test undoes it"))
        });
        assert!(matches!(undone, Err(idp_store::StoreError::Conflict(_))), "{undone:?}");
        *answer.get().unwrap()
    }};
}
