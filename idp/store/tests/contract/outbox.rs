//! Outgoing mail.

use std::time::Duration;

use idp_core::ids::MailId;
use idp_core::time::{DAY, HOUR, MINUTE, SECOND, Timestamp};
use idp_core::user::FullName;
use idp_store::{LeftOut, Mail, MailKind, Store};

use crate::given::{NONE_LEFT_OUT, NOW, after, email};
use crate::harness::Db;

contract! {
    every_kind_of_mail_reads_back_as_written,
    the_mail_that_is_due_longest_comes_first_and_none_before_its_time,
    a_claimed_mail_is_given_to_no_other_sender_until_the_lease_ends,
    a_delivered_mail_is_deleted,
    a_postponed_mail_comes_again_later,
    a_mail_is_given_up_after_a_day,
    r_13_parallel_senders_never_get_the_same_mail,
    fault_20_the_mails_of_one_recipient_leave_one_after_the_other,
    fault_20_parallel_senders_keep_the_order_of_each_recipient,
    fault_20_a_returned_mail_keeps_its_place_and_its_tries,
    fault_20_a_claim_leaves_out_domains_and_retries,
    fault_20_a_claim_leaves_out_what_lies_below_a_domain,
    fault_20_a_mail_that_cannot_be_sent_holds_up_its_recipient_only_for_a_while,
}

const LEASE: Duration = MINUTE;

async fn every_kind_of_mail_reads_back_as_written(db: Db) {
    for &kind in MailKind::ALL {
        for minutes in [None, Some(0), Some(15), Some(i64::MAX)] {
            let welcome = mail(NOW);
            let recipient = email(&format!("{}@example.org", welcome.id));
            let written = Mail { kind, minutes, recipient, ..welcome };
            tell!(db, |tx, written| tx.enqueue_mail(written));
            let claimed = claim(&db, NOW).await.unwrap();
            assert_eq!(claimed, Mail { attempts: 1, ..written });
        }
    }
    assert_eq!(waiting(&db).await, 4 * i64::try_from(MailKind::ALL.len()).unwrap());
}

async fn the_mail_that_is_due_longest_comes_first_and_none_before_its_time(db: Db) {
    let (third, first, second) = (
        enqueue_to(&db, "c@example.org", after(SECOND * 3)).await,
        enqueue_to(&db, "a@example.org", after(SECOND)).await,
        enqueue_to(&db, "b@example.org", after(SECOND * 2)).await,
    );
    assert_eq!(claim(&db, NOW).await, None);
    let now = after(SECOND * 2);
    assert_eq!(claim(&db, now).await.unwrap().id, first);
    assert_eq!(claim(&db, now).await.unwrap().id, second);
    assert_eq!(claim(&db, now).await, None);
    assert_eq!(claim(&db, after(SECOND * 3)).await.unwrap().id, third);
}

async fn a_claimed_mail_is_given_to_no_other_sender_until_the_lease_ends(db: Db) {
    let id = enqueue(&db, NOW).await;
    assert_eq!(claim(&db, NOW).await.unwrap().attempts, 1);
    assert_eq!(claim(&db, after(LEASE - SECOND)).await, None);
    let again = claim(&db, after(LEASE)).await.unwrap();
    assert_eq!((again.id, again.attempts), (id, 2), "its sender died");
}

async fn a_delivered_mail_is_deleted(db: Db) {
    let (id, other) = (enqueue(&db, NOW).await, enqueue(&db, NOW).await);
    let row = id.to_string();
    tell!(db, |tx, row| tx.delete_mail(row));
    tell!(db, |tx, row| tx.delete_mail(row));
    assert_eq!(waiting(&db).await, 1);
    assert_eq!(claim(&db, NOW).await.unwrap().id, other);
}

async fn a_postponed_mail_comes_again_later(db: Db) {
    let (id, later) = (enqueue(&db, NOW).await.to_string(), after(HOUR));
    claim(&db, NOW).await;
    assert!(tell!(db, |tx, id, later| tx.postpone_mail(id, *later)));
    assert_eq!(claim(&db, after(HOUR - SECOND)).await, None);
    assert_eq!(claim(&db, later).await.unwrap().attempts, 2);
}

async fn a_mail_is_given_up_after_a_day(db: Db) {
    let (id, other) = (enqueue(&db, NOW).await.to_string(), enqueue(&db, NOW).await);
    let (last, too_late) = (after(DAY - SECOND), after(DAY));
    assert!(tell!(db, |tx, id, last| tx.postpone_mail(id, *last)));
    assert!(!tell!(db, |tx, id, too_late| tx.postpone_mail(id, *too_late)));
    assert_eq!(waiting(&db).await, 1);
    assert!(!tell!(db, |tx, id, last| tx.postpone_mail(id, *last)), "it is forgotten");
    assert_eq!(claim(&db, NOW).await.unwrap().id, other);
}

async fn r_13_parallel_senders_never_get_the_same_mail(db: Db) {
    let mut enqueued = Vec::new();
    for number in 0..30 {
        enqueued.push(enqueue_to(&db, &format!("ada{number}@example.org"), NOW).await);
    }
    let senders: Vec<_> = (0..8).map(|_| tokio::spawn(send_some(db.store.clone()))).collect();
    let mut sent = Vec::new();
    for sender in senders {
        sent.extend(sender.await.unwrap());
    }
    // Senders that collided got nothing at that moment; the mails they missed are still there.
    while let Some(mail) = claim(&db, NOW).await {
        sent.push(mail.id);
    }
    enqueued.sort();
    sent.sort();
    assert_eq!(sent, enqueued, "each mail once");
}

async fn fault_20_the_mails_of_one_recipient_leave_one_after_the_other(db: Db) {
    let first = enqueue_to(&db, "ada@example.org", NOW).await;
    let second = enqueue_to(&db, "Ada@example.org", after(SECOND)).await;
    let other = enqueue_to(&db, "mia@example.org", after(SECOND * 2)).await;
    let now = after(SECOND * 3);
    assert_eq!(claim(&db, now).await.unwrap().id, first);
    assert_eq!(claim(&db, now).await.unwrap().id, other, "another recipient's mail does not wait");
    assert_eq!(claim(&db, now).await, None, "the first one is being sent");
    let (row, later) = (first.to_string(), after(MINUTE));
    assert!(tell!(db, |tx, row, later| tx.postpone_mail(row, *later)));
    assert_eq!(claim(&db, after(SECOND * 59)).await, None, "the first one is tried again later");
    assert_eq!(claim(&db, later).await.unwrap().id, first);
    tell!(db, |tx, row| tx.delete_mail(row));
    assert_eq!(claim(&db, later).await.unwrap().id, second);
}

async fn fault_20_parallel_senders_keep_the_order_of_each_recipient(db: Db) {
    for number in 0..20 {
        for recipient in ["ada@example.org", "mia@example.org"] {
            enqueue_to(&db, recipient, after(SECOND * number)).await;
        }
    }
    let senders: Vec<_> = (0..4).map(|_| tokio::spawn(send_in_order(db.store.clone()))).collect();
    for sender in senders {
        sender.await.unwrap();
    }
    assert_eq!(waiting(&db).await, 0);
}

/// Sends until nothing is left. While it sends a mail, nobody else gets one of the same recipient.
async fn send_in_order(store: Store) {
    while ask!(store, |r| r.mails_waiting()) > 0 {
        let Some(mail) = claim(&store, after(MINUTE)).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let others = claim(&store, after(MINUTE)).await;
        if let Some(other) = others {
            assert_ne!(other.recipient, mail.recipient);
            let row = other.id.to_string();
            tell!(store, |tx, row| tx.delete_mail(row));
        }
        let row = mail.id.to_string();
        tell!(store, |tx, row| tx.delete_mail(row));
    }
}

async fn fault_20_a_returned_mail_keeps_its_place_and_its_tries(db: Db) {
    let first = enqueue_to(&db, "ada@example.org", NOW).await;
    let second = enqueue_to(&db, "mia@example.org", after(SECOND)).await;
    let now = after(SECOND * 2);
    let (row, next) = (first.to_string(), after(MINUTE));
    for _ in 0..6 {
        let claimed = claim(&db, now).await.unwrap();
        assert_eq!((claimed.id, claimed.attempts), (first, 1));
        assert!(tell!(db, |tx, row, next| tx.return_mail(row, *next)));
    }
    assert_eq!(claim(&db, now).await.unwrap().id, first);
    assert_eq!(claim(&db, now).await.unwrap().id, second);
    let too_late = after(DAY);
    assert!(!tell!(db, |tx, row, too_late| tx.return_mail(row, *too_late)));
    assert_eq!(waiting(&db).await, 1);
}

async fn fault_20_a_claim_leaves_out_domains_and_retries(db: Db) {
    let slow = enqueue_to(&db, "ada@Slow.example", NOW).await;
    let behind = enqueue_to(&db, "ada@slow.example", after(SECOND)).await;
    let other = enqueue_to(&db, "ada@notslow.example", after(SECOND * 2)).await;
    let short = enqueue_to(&db, "a@b.c", after(SECOND * 3)).await;
    let now = after(SECOND * 4);
    let domains = ["full.example", "a-much-longer-name.example", "b.example", "slow.example"]
        .map(str::to_owned)
        .to_vec();
    let busy = LeftOut { domains, retries: false };
    for expected in [other, short] {
        assert_eq!(claim_but(&db, &busy, now).await.unwrap().id, expected);
    }
    assert_eq!(claim_but(&db, &busy, now).await, None);
    assert_eq!(claim(&db, now).await.unwrap().id, slow);
    // It waits for its next try, and the one behind it for this one.
    let (row, due) = (slow.to_string(), after(MINUTE));
    assert!(tell!(db, |tx, row, due| tx.postpone_mail(row, *due)));
    let new = enqueue_to(&db, "mia@slow.example", due).await;
    let new_only = LeftOut { domains: Vec::new(), retries: true };
    assert_eq!(claim_but(&db, &new_only, due).await.unwrap().id, new);
    assert_eq!(claim_but(&db, &new_only, due).await, None);
    tell!(db, |tx, row| tx.delete_mail(row));
    assert_eq!(claim_but(&db, &new_only, due).await.unwrap().id, behind);
}

async fn fault_20_a_claim_leaves_out_what_lies_below_a_domain(db: Db) {
    let mut below = Vec::new();
    for recipient in ["ada@slow.example", "ada@X.Slow.Example", "slow.example@b.a.slow.example"] {
        below.push(enqueue_to(&db, recipient, NOW).await);
    }
    let mut elsewhere = Vec::new();
    for recipient in
        ["slow.example@example.org", "x.slow@example.com", "ada@slow.example.org", "ada@xslow.example"]
    {
        elsewhere.push(enqueue_to(&db, recipient, after(SECOND)).await);
    }
    let (busy, now) = (LeftOut { domains: vec!["slow.example".to_owned()], retries: false }, after(SECOND));
    let mut claimed = Vec::new();
    while let Some(mail) = claim_but(&db, &busy, now).await {
        claimed.push(mail.id);
    }
    elsewhere.sort();
    claimed.sort();
    assert_eq!(claimed, elsewhere);
    for _ in &below {
        assert!(below.contains(&claim(&db, now).await.unwrap().id), "they are still there");
    }
}

async fn fault_20_a_mail_that_cannot_be_sent_holds_up_its_recipient_only_for_a_while(db: Db) {
    let (stuck, later) = (enqueue(&db, NOW).await, enqueue(&db, after(SECOND)).await);
    let row = stuck.to_string();
    for number in 1..=5 {
        let now = after(MINUTE * number);
        assert_eq!(claim(&db, now).await.unwrap().id, stuck);
        assert!(number == 5 || claim(&db, now).await.is_none(), "{number}");
        let due = after(MINUTE * (number + 1));
        assert!(tell!(db, |tx, row, due| tx.postpone_mail(row, *due)));
    }
    assert_eq!(claim(&db, after(MINUTE * 5)).await.unwrap().id, later, "five tries");
    let (old, new) = (enqueue_to(&db, "mia@example.org", NOW).await, after(HOUR * 23));
    let row = old.to_string();
    assert!(tell!(db, |tx, row, new| tx.postpone_mail(row, new.plus(MINUTE))));
    let young = enqueue_to(&db, "mia@example.org", new).await;
    let mut claimed = Vec::new();
    while let Some(mail) = claim(&db, new).await {
        claimed.push(mail.id);
    }
    assert!(claimed.contains(&young) && !claimed.contains(&old), "a day is nearly over");
}

async fn send_some(store: Store) -> Vec<MailId> {
    let mut sent = Vec::new();
    for _ in 0..10 {
        sent.extend(claim(&store, NOW).await.map(|mail| mail.id));
    }
    sent
}

/// Ids sort in the opposite order of times, so that no order is right by chance.
fn mail(created_at: Timestamp) -> Mail {
    Mail {
        id: MailId::new(after(DAY.saturating_sub(created_at.since(NOW)))),
        kind: MailKind::Welcome,
        recipient: email("ada@example.org"),
        name: FullName::parse("Ada Lovelace").unwrap(),
        subject: "a user's id".to_owned(),
        minutes: None,
        created_at,
        attempts: 0,
    }
}

async fn enqueue(db: &Db, due: Timestamp) -> MailId {
    enqueue_to(db, "ada@example.org", due).await
}

async fn enqueue_to(db: &Db, recipient: &str, due: Timestamp) -> MailId {
    let mail = Mail { recipient: email(recipient), ..mail(due) };
    tell!(db, |tx, mail| tx.enqueue_mail(mail));
    mail.id
}

async fn claim(store: &Store, now: Timestamp) -> Option<Mail> {
    claim_but(store, &NONE_LEFT_OUT, now).await
}

async fn claim_but(store: &Store, left_out: &LeftOut, now: Timestamp) -> Option<Mail> {
    let left_out = left_out.clone();
    let claimed = tell!(store, |tx, left_out, now| tx.claim_mail(LEASE, left_out, *now))?;
    let mail = claimed.mail.unwrap();
    assert_eq!(
        (claimed.id, claimed.subject, claimed.attempts),
        (mail.id.to_string(), mail.subject.clone(), mail.attempts)
    );
    Some(mail)
}

async fn waiting(db: &Db) -> i64 {
    ask!(db, |r| r.mails_waiting())
}
