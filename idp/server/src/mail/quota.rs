//! The mail of a registration, and how many mails strangers can cause to one address.

use idp_core::account::registration::{MAILS_PER_HOUR, MAILS_PER_HOUR_IF_KNOWN};
use idp_core::account::throttle::{Limits, Reservation};
use idp_core::ids::{MailId, RegistrationId, UserId};
use idp_core::secret::Digest;
use idp_core::time::{HOUR, Timestamp};
use idp_core::user::{Email, FullName, User};
use idp_store::{Counted, Mail, MailKind, StoreError, Tx};

/// The third mail within an hour closes the address for an hour, for strangers.
const LIMITS: Limits = Limits {
    tries: MAILS_PER_HOUR,
    window: HOUR,
    extends: true,
    lock: HOUR,
    longest_lock: HOUR,
    in_a_row: None,
};
/// What is left of an hour for browsers in which the address is known.
const LIMITS_IF_KNOWN: Limits = Limits { tries: MAILS_PER_HOUR_IF_KNOWN, ..LIMITS };

/// Whoever registers an address.
pub(crate) struct Registrant<'a> {
    pub(crate) id: RegistrationId,
    pub(crate) email: &'a Email,
    pub(crate) name: &'a FullName,
    /// The browser that asks.
    pub(crate) browser: &'a Digest,
    /// Whether a link mailed to the address was opened in it.
    pub(crate) opened_mail: bool,
}

/// Until when a registration may ask for no more mails, by its own count.
pub(crate) async fn closed_until(
    tx: &mut Tx,
    id: RegistrationId,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let own = tx.throttle(&Counted::RegistrationMail(id)).await?;
    Ok(own.and_then(|own| own.locked_until).filter(|until| *until > now))
}

/// Puts the mail of a registration into the outbox: the activation, or, where the address has an account, a
/// word to its owner, which holds nothing that the stranger typed. An address that has had enough mails gets
/// none; whoever asked is told the same in every case. Strangers cannot use up what is kept for browsers in which the
/// address is known.
pub(crate) async fn enqueue(
    tx: &mut Tx,
    registrant: Registrant<'_>,
    owner: Option<&User>,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.reserve(&Counted::RegistrationMail(registrant.id), &LIMITS, now).await?;
    let (kind, recipient, name, subject) = match owner {
        None => (MailKind::Activation, registrant.email, registrant.name, registrant.id.to_string()),
        Some(owner) => (MailKind::AlreadyRegistered, &owner.email, &owner.name, owner.id.to_string()),
    };
    // Asked for a made-up account as well, so that both ways cost the same.
    let user = owner.map_or(UserId::new(now), |owner| owner.id);
    let known = tx.knows_browser(user, registrant.browser, now).await? || registrant.opened_mail;
    if !may_have_another(tx, recipient, known, now).await? {
        return Ok(());
    }
    let mail = Mail {
        id: MailId::new(now),
        kind,
        recipient: recipient.clone(),
        name: name.clone(),
        subject,
        minutes: None,
        created_at: now,
        attempts: 0,
    };
    tx.enqueue_mail(&mail).await
}

async fn may_have_another(
    tx: &mut Tx,
    recipient: &Email,
    known: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let granted = |reservation| matches!(reservation, Reservation::Granted { .. });
    let address = || recipient.key().to_owned();
    Ok(granted(tx.reserve(&Counted::Mail(address()), &LIMITS, now).await?)
        || known && granted(tx.reserve(&Counted::MailIfKnown(address()), &LIMITS_IF_KNOWN, now).await?))
}
