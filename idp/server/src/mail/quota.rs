//! Queues the mail of a registration, and limits how many mails strangers can send to one address.

use idp_core::account::registration::{MAILS_PER_HOUR, MAILS_PER_HOUR_IF_KNOWN};
use idp_core::account::throttle::{Limits, Reservation};
use idp_core::ids::{MailId, RegistrationId, UserId};
use idp_core::secret::Digest;
use idp_core::time::{HOUR, Timestamp};
use idp_core::user::{Email, FullName, User};
use idp_store::{Mail, MailKind, StoreError, ThrottleKey, Tx};

/// For strangers, the third mail within an hour closes the address for an hour.
const LIMITS: Limits = Limits {
    tries: MAILS_PER_HOUR,
    window: HOUR,
    sliding: true,
    lock: HOUR,
    longest_lock: HOUR,
    in_a_row: None,
};
/// Further mails per hour for browsers that are known to read the address's mail.
const LIMITS_IF_KNOWN: Limits = Limits { tries: MAILS_PER_HOUR_IF_KNOWN, ..LIMITS };

/// The registration that a mail is for, and the browser that requests it.
pub(crate) struct Registrant<'a> {
    pub(crate) id: RegistrationId,
    pub(crate) email: &'a Email,
    pub(crate) name: &'a FullName,
    /// The browser that requests the mail.
    pub(crate) browser: &'a Digest,
    /// Whether a link mailed to the address was opened in it.
    pub(crate) opened_mail: bool,
}

/// Until when a registration may request no more mails, by its own counter.
pub(crate) async fn closed_until(
    tx: &mut Tx,
    id: RegistrationId,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let own = tx.throttle(&ThrottleKey::RegistrationMail(id)).await?;
    Ok(own.and_then(|own| own.locked_until).filter(|until| *until > now))
}

/// Puts the mail of a registration into the outbox: the activation mail or, if the address has an account, a notice to
/// its owner that contains nothing the stranger typed. An address that has had its mails gets none; the browser is told
/// the same in every case. Strangers cannot use up the mails reserved for browsers that are known to read the address's
/// mail.
pub(crate) async fn enqueue(
    tx: &mut Tx,
    registrant: Registrant<'_>,
    owner: Option<&User>,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.reserve(&ThrottleKey::RegistrationMail(registrant.id), &LIMITS, now).await?;
    let (kind, recipient, name, subject) = match owner {
        None => (MailKind::Activation, registrant.email, registrant.name, registrant.id.to_string()),
        Some(owner) => (MailKind::AlreadyRegistered, &owner.email, &owner.name, owner.id.to_string()),
    };
    // Looked up for a made-up account too, so that both cases cost the same.
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
    Ok(granted(tx.reserve(&ThrottleKey::Mail(address()), &LIMITS, now).await?)
        || known && granted(tx.reserve(&ThrottleKey::MailIfKnown(address()), &LIMITS_IF_KNOWN, now).await?))
}
