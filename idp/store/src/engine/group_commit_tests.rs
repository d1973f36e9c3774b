use idp_core::audit::{Actor, AuditEvent, AuditRecord, AuditSource};
use idp_core::time::Timestamp;

use super::*;
use crate::engine::scratch_for_tests::Scratch;
use crate::engine::store::Pools;

fn waiting<F>(job: F) -> Box<dyn QueuedWrite>
where
    F: for<'t> Fn(&'t mut Tx, &'t ()) -> JobFuture<'t, ()> + Send + Sync + 'static,
{
    Box::new(PendingWrite { input: (), job, outcome: None, reply: oneshot::channel().0 })
}

fn record() -> AuditRecord {
    AuditRecord {
        at: Timestamp::from_millis(0),
        event: AuditEvent::SignedIn,
        actor: Actor::System,
        subject: None,
        client_id: None,
        source: AuditSource::default(),
        detail: "",
    }
}

/// What ends up in `events` is logged: the event of each write that was committed, once, however often it ran.
#[tokio::test]
async fn a_group_that_runs_again_logs_each_event_once_and_none_of_a_failed_write() {
    let scratch = Scratch::new("group");
    let store = scratch.store().await;
    store.migrate().await.unwrap();
    let Pools::Sqlite(pool) = store.pools() else { panic!("not SQLite") };
    let audited = || waiting(|tx, ()| Box::pin(async { tx.audit(&record()).await }));
    let fails = || {
        waiting(|tx, ()| {
            Box::pin(async {
                tx.audit(&record()).await?;
                Err(StoreError::Conflict("thing"))
            })
        })
    };
    for (mut group, kept) in [
        (vec![audited(), audited()], vec![true, true]),
        (vec![audited(), fails(), audited()], vec![true, false, true]),
        (vec![fails(), audited(), fails()], vec![false, true, false]),
        (vec![fails()], vec![false]),
    ] {
        let mut tx = Tx::new(pool.acquire().await.unwrap().into());
        let wrote = run_group(&mut tx, &mut mpsc::channel(1).1, &mut group, true).await.unwrap();
        assert_eq!(wrote, kept.contains(&true), "{kept:?}");
        assert_eq!(group.iter().map(|write| write.succeeded()).collect::<Vec<_>>(), kept);
        assert_eq!(tx.events.len(), kept.iter().filter(|kept| **kept).count(), "{kept:?}");
        tx.give_back();
    }
    let rows =
        store.read((), |reader, ()| Box::pin(async { reader.audit_count(AuditEvent::SignedIn, None).await }));
    assert_eq!(rows.await.unwrap(), 5);
    store.close().await;
}
