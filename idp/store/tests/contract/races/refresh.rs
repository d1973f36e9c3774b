//! Parallel uses of one refresh token.

use idp_core::client::ClientId;
use idp_core::ids::GrantId;
use idp_core::oauth::grant::Lifetimes;
use idp_core::oauth::token::{self, RefreshDecision};
use idp_store::Store;

use super::{CALLERS, RaceOutcome, line_up, report, rounds, wide, winners};
use crate::given::{NOW, OFFLINE, SignedInPerson};
use crate::harness::Db;

contract! { tk_17_one_of_fifty_parallel_uses_of_a_refresh_token_gets_its_successor }

async fn tk_17_one_of_fifty_parallel_uses_of_a_refresh_token_gets_its_successor(db: Db) {
    let store = wide(&db).await;
    let ada = SignedInPerson::new(&store).await;
    for round in 0..rounds() {
        let id = ada.a_grant(&store, OFFLINE).await.facts.id;
        let got = line_up(CALLERS, |_| refresh(store.clone(), id, ada.client.id.clone())).go().await;
        assert_eq!(winners(&got), 1, "round {round}");
        let stored = ask!(store, |r, id| r.grant(*id)).unwrap();
        assert_eq!((stored.grant.generation, stored.live), (1, false), "one successor, in a revoked family");
    }
    report(&db, "tk_17 use of a refresh token");
}

/// As the token endpoint does it with a token of generation 0, in strict mode: the second use is a theft, by one side
/// or the other, and ends the family.
pub(crate) async fn refresh(store: Store, id: GrantId, client: ClientId) -> RaceOutcome {
    tell!(store, |tx, id, client| async move {
        let stored = tx.grant(*id).await?.unwrap();
        let until = stored.grant.next_idle_expiry(&Lifetimes::default(), NOW);
        let rotated = match token::refresh(&stored.grant, 0, client, None, NOW) {
            RefreshDecision::Rotate(_) if stored.live => tx.rotate_grant(*id, 0, until).await?,
            RefreshDecision::Rotate(_) | RefreshDecision::Reused => false,
            RefreshDecision::Refuse(refusal) => panic!("{refusal:?}"),
        };
        if !rotated {
            tx.revoke_grant(*id, NOW).await?;
        }
        Ok(if rotated { RaceOutcome::It } else { RaceOutcome::Refused })
    })
}
