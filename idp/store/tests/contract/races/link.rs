//! Parallel uses of one activation link.

use idp_core::single_use::{ActivationLink as Link, SingleUse, SingleUseDigest};
use idp_core::time::HOUR;
use idp_store::{Activation, Store};

use super::{CALLERS, RaceOutcome, line_up, report, rounds, wide, winners};
use crate::given::{NOW, a_registration, after};
use crate::harness::Db;

contract! { r_04_one_of_fifty_parallel_uses_of_an_activation_link_makes_the_account }

async fn r_04_one_of_fifty_parallel_uses_of_an_activation_link_makes_the_account(db: Db) {
    let store = wide(&db).await;
    for round in 0..rounds() {
        let link = a_link(&store, round).await.digest();
        let got = line_up(CALLERS, |_| follow(store.clone(), link.clone())).go().await;
        assert_eq!(winners(&got), 1, "round {round}");
    }
    assert_eq!(db.database.rows("users").await, rounds() as i64);
    report(&db, "r_04 use of an activation link");
}

/// A link for a registration of a new address.
pub(crate) async fn a_link(store: &Store, number: usize) -> SingleUse<Link> {
    let registration = a_registration(store, &format!("ada{number}@example.org"), NOW).await.id.to_string();
    let (link, until) = (SingleUse::generate(), after(HOUR));
    let digest = link.digest();
    tell!(store, |tx, digest, registration, until| tx.insert_single_use(digest, registration, *until));
    link
}

/// As the activation page does it.
pub(crate) async fn follow(store: Store, link: SingleUseDigest<Link>) -> RaceOutcome {
    tell!(store, |tx, link| async move {
        let Some(registration) = tx.consume(link, NOW).await? else { return Ok(RaceOutcome::Refused) };
        match tx.activate(registration.parse().unwrap(), NOW).await? {
            Activation::Activated(..) => Ok(RaceOutcome::It),
            other => panic!("who consumed the link gets the account, not {other:?}"),
        }
    })
}
