//! How many mails strangers can cause to one address.

use idp_core::account::registration::MAILS_PER_HOUR;
use idp_core::account::throttle::{Limits, Reservation};
use idp_core::time::HOUR;
use idp_store::{Counted, Mail, StoreError, Tx};

/// The third mail within an hour closes the address for an hour.
const LIMITS: Limits = Limits { tries: MAILS_PER_HOUR, window: HOUR, lock: HOUR, longest_lock: HOUR, in_a_row: None };

/// Puts a mail into the outbox, unless its recipient has had enough of them. Whoever asked is told the same
/// either way.
pub(crate) async fn enqueue(tx: &mut Tx, mail: &Mail) -> Result<(), StoreError> {
    let counted = Counted::Mail(mail.recipient.key().to_owned());
    match tx.reserve(&counted, &LIMITS, mail.created_at).await? {
        Reservation::Granted { .. } => tx.enqueue_mail(mail).await,
        Reservation::Locked { .. } | Reservation::Closed => Ok(()),
    }
}
