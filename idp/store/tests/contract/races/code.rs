//! Parallel redemptions of one authorization code.

use idp_core::oauth::grant::{Grant, Lifetimes};
use idp_store::Store;

use super::{CALLERS, RaceOutcome, line_up, report, rounds, wide, winners};
use crate::given::{CodeDigest, NOW, OFFLINE, SignedInPerson, insert_code, new_code_digest};
use crate::harness::Db;
use idp_core::client::ClientId;

contract! { tk_02_one_of_fifty_parallel_redemptions_of_a_code_gets_the_grant }

async fn tk_02_one_of_fifty_parallel_redemptions_of_a_code_gets_the_grant(db: Db) {
    let store = wide(&db).await;
    let ada = SignedInPerson::new(&store).await;
    for round in 0..rounds() {
        let (digest, code) = (new_code_digest(), ada.new_code(OFFLINE));
        assert!(insert_code(&store, &digest, &code).await);
        let redeem = |_| redeem(store.clone(), digest.clone(), ada.client.id.clone());
        let got = line_up(CALLERS, redeem).go().await;
        assert_eq!(winners(&got), 1, "round {round}");
        let id = code.facts.id;
        let live = ask!(store, |r, id| r.grant(*id)).unwrap().live;
        assert!(!live, "the other callers replayed the code, so its grant is revoked");
    }
    assert_eq!(db.database.rows("grants").await, rounds() as i64, "never two grants of one code");
    report(&db, "tk_02 redemption of a code");
}

/// As the token endpoint does it: redeeming the code, or revoking after a replay, is one write.
pub(crate) async fn redeem(store: Store, digest: CodeDigest, client: ClientId) -> RaceOutcome {
    tell!(store, |tx, digest, client| async move {
        let Some(code) = tx.consume_code(digest, client, NOW).await? else {
            tx.revoke_replayed(digest, client, NOW).await?;
            return Ok(RaceOutcome::Refused);
        };
        let grant = Grant::of_code(&code.code, &Lifetimes::default(), NOW);
        assert!(tx.insert_grant(&grant, &code, NOW).await?, "everything it was issued under is live");
        Ok(RaceOutcome::It)
    })
}
