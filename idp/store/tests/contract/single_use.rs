//! Values that can be used once.

use idp_core::single_use::{ActivationLink, SingleUse, SingleUseDigest};
use idp_core::time::{HOUR, SECOND, Timestamp};

use crate::given::{NOW, after};
use crate::harness::Db;

contract! {
    a_value_is_consumed_once_and_can_be_read_any_number_of_times,
    rg_10_an_expired_value_opens_nothing,
    rg_10_an_unknown_value_opens_nothing,
    a_value_of_another_kind_opens_nothing,
    a_value_is_stored_once,
}

type Link = SingleUseDigest<ActivationLink>;

async fn a_value_is_consumed_once_and_can_be_read_any_number_of_times(db: Db) {
    let (link, other) = (a_link(&db, "ada").await, a_link(&db, "bob").await);
    assert_eq!(peek(&db, &link, NOW).await, Some(("ada".to_owned(), true)));
    assert_eq!(peek(&db, &link, NOW).await, Some(("ada".to_owned(), true)), "reading consumes nothing");
    assert_eq!(consume(&db, &link, NOW).await.as_deref(), Some("ada"));
    assert_eq!(peek(&db, &link, NOW).await, Some(("ada".to_owned(), false)));
    assert_eq!(consume(&db, &link, NOW).await, None);
    assert_eq!(consume(&db, &other, NOW).await.as_deref(), Some("bob"), "others are not touched");
}

async fn rg_10_an_expired_value_opens_nothing(db: Db) {
    let link = a_link(&db, "ada").await;
    let before = db.database.everything().await;
    assert_eq!(peek(&db, &link, after(HOUR)).await, Some(("ada".to_owned(), false)));
    assert_eq!(consume(&db, &link, after(HOUR)).await, None);
    assert_eq!(db.database.everything().await, before);
    assert_eq!(consume(&db, &link, after(HOUR - SECOND)).await.as_deref(), Some("ada"));
}

async fn rg_10_an_unknown_value_opens_nothing(db: Db) {
    a_link(&db, "ada").await;
    let before = db.database.everything().await;
    let link = SingleUse::generate().digest();
    assert_eq!(peek(&db, &link, NOW).await, None);
    assert_eq!(consume(&db, &link, NOW).await, None);
    assert_eq!(db.database.everything().await, before);
}

async fn a_value_of_another_kind_opens_nothing(db: Db) {
    let link = a_link(&db, "ada").await;
    assert_eq!(db.database.execute("UPDATE single_use SET kind = 'ac_'").await, 1);
    assert_eq!(peek(&db, &link, NOW).await, None);
    assert_eq!(consume(&db, &link, NOW).await, None);
}

async fn a_value_is_stored_once(db: Db) {
    let (link, until) = (a_link(&db, "ada").await, after(HOUR));
    assert!(try_tell!(db, |tx, link, until| tx.insert_single_use(link, "eve", *until)).is_err());
    assert_eq!(consume(&db, &link, NOW).await.as_deref(), Some("ada"));
}

async fn a_link(db: &Db, subject: &'static str) -> Link {
    let (link, until) = (SingleUse::generate().digest(), after(HOUR));
    tell!(db, |tx, link, subject, until| tx.insert_single_use(link, subject, *until));
    link
}

async fn peek(db: &Db, link: &Link, now: Timestamp) -> Option<(String, bool)> {
    ask!(db, |r, link, now| r.peek(link, *now))
}

async fn consume(db: &Db, link: &Link, now: Timestamp) -> Option<String> {
    tell!(db, |tx, link, now| tx.consume(link, *now))
}
