//! Accounts.

use idp_core::ids::UserId;
use idp_core::time::{HOUR, SECOND};
use idp_core::user::{User, UserState};

use crate::given::{NOW, a_hash, a_user, after, email, new_user};
use crate::harness::Db;

contract! {
    an_account_reads_back_as_written,
    an_account_is_found_by_its_address_in_any_letter_case,
    an_account_may_have_no_password,
    an_unknown_account_is_none,
    a_second_account_for_an_address_in_another_letter_case_changes_nothing,
    an_account_is_deactivated_and_activated_once_each,
    a_raised_epoch_affects_its_account_only,
    accounts_are_listed_in_pages_in_the_order_they_were_made,
    ad_09_a_page_of_zero_or_negative_size_is_empty,
}

async fn an_account_reads_back_as_written(db: Db) {
    let id = UserId::new(NOW);
    let user = User { id, epoch: 7, updated_at: after(SECOND), ..new_user("Ada.L+x@Example.org") };
    assert!(tell!(db, |tx, user| tx.insert_user(user, None)));
    let read = ask!(db, |r, id| r.user(*id)).unwrap();
    assert_eq!(
        (read.id, read.email.as_str(), read.name.as_str()),
        (id, "Ada.L+x@example.org", "Ada Lovelace")
    );
    assert_eq!((read.state, read.epoch), (UserState::Active, 7));
    assert_eq!((read.created_at, read.updated_at), (NOW, after(SECOND)));
}

async fn an_account_is_found_by_its_address_in_any_letter_case(db: Db) {
    let user = a_user(&db, "Ada@Example.org").await;
    for address in ["Ada@Example.org", "ada@example.org", "ADA@EXAMPLE.ORG"] {
        let address = email(address);
        let found = ask!(db, |r, address| r.credentials(address)).unwrap();
        assert_eq!((found.user.id, found.user.email.as_str()), (user.id, "Ada@example.org"));
        assert_eq!(found.password.unwrap().as_str(), a_hash().as_str());
    }
}

async fn an_account_may_have_no_password(db: Db) {
    let user = new_user("ada@example.org");
    assert!(tell!(db, |tx, user| tx.insert_user(user, None)));
    assert!(ask!(db, |r, user| r.credentials(&user.email)).unwrap().password.is_none());
}

async fn an_unknown_account_is_none(db: Db) {
    let (id, address) = (a_user(&db, "ada@example.org").await.id, email("ad@example.org"));
    let other = UserId::new(NOW);
    assert!(ask!(db, |r, id| r.user(*id)).is_some());
    assert!(ask!(db, |r, other| r.user(*other)).is_none());
    assert!(ask!(db, |r, address| r.credentials(address)).is_none());
}

async fn a_second_account_for_an_address_in_another_letter_case_changes_nothing(db: Db) {
    a_user(&db, "ada@example.org").await;
    let before = db.database.everything().await;
    let second = new_user("ADA@example.ORG");
    assert!(!tell!(db, |tx, second| tx.insert_user(second, None)));
    assert_eq!(db.database.everything().await, before);
}

async fn an_account_is_deactivated_and_activated_once_each(db: Db) {
    let (user, nobody) = (a_user(&db, "ada@example.org").await.id, UserId::new(NOW));
    let bystander = a_user(&db, "bob@example.org").await.id;
    let (off, on, then) = (UserState::Deactivated, UserState::Active, after(HOUR));
    assert!(!tell!(db, |tx, user, on| tx.set_user_state(*user, *on, NOW)), "it is already on");
    assert!(tell!(db, |tx, user, off, then| tx.set_user_state(*user, *off, *then)));
    assert!(!tell!(db, |tx, user, off, then| tx.set_user_state(*user, *off, *then)), "it is already off");
    let read = ask!(db, |r, user| r.user(*user)).unwrap();
    assert_eq!((read.state, read.epoch, read.updated_at), (off, 1, then));
    assert!(tell!(db, |tx, user, on, then| tx.set_user_state(*user, *on, *then)));
    assert!(!tell!(db, |tx, nobody, off, then| tx.set_user_state(*nobody, *off, *then)));
    let other = ask!(db, |r, bystander| r.user(*bystander)).unwrap();
    assert_eq!((other.state, other.epoch), (on, 0), "nobody else is touched");
}

async fn a_raised_epoch_affects_its_account_only(db: Db) {
    let (user, other) = (a_user(&db, "a@example.org").await.id, a_user(&db, "b@example.org").await.id);
    tell!(db, |tx, user| async move {
        tx.raise_user_epoch(*user).await?;
        tx.raise_user_epoch(*user).await
    });
    assert_eq!(ask!(db, |r, user| r.user(*user)).unwrap().epoch, 2);
    assert_eq!(ask!(db, |r, other| r.user(*other)).unwrap().epoch, 0);
}

async fn accounts_are_listed_in_pages_in_the_order_they_were_made(db: Db) {
    let mut made = Vec::new();
    for number in 0..5 {
        let user =
            User { id: UserId::new(after(SECOND * number)), ..new_user(&format!("u{number}@example.org")) };
        assert!(tell!(db, |tx, user| tx.insert_user(user, None)));
        made.push(user.id);
    }
    assert_eq!(page(&db, None, 2).await, made[..2]);
    assert_eq!(page(&db, Some(made[1]), 2).await, made[2..4]);
    assert_eq!(page(&db, Some(made[3]), 2).await, made[4..]);
    assert_eq!(page(&db, Some(made[4]), 2).await, []);
    assert_eq!(page(&db, None, i64::MAX).await, made);
}

async fn ad_09_a_page_of_zero_or_negative_size_is_empty(db: Db) {
    a_user(&db, "ada@example.org").await;
    for size in [0, -1, i64::MIN] {
        assert_eq!(page(&db, None, size).await, []);
    }
}

async fn page(db: &Db, after: Option<UserId>, limit: i64) -> Vec<UserId> {
    ask!(db, |r, after, limit| r.users(*after, *limit)).found.into_iter().map(|(user, _)| user.id).collect()
}
