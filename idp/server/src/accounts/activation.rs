//! Activation: the link in the mail or the typed code turns a registration into an account.

use idp_core::audit::{Actor, AuditEvent, AuditRecord};
use idp_core::ids::{MailId, RegistrationId};
use idp_core::secret::Digest;
use idp_core::single_use::{self, SingleUseDigest};
use idp_core::time::Timestamp;
use idp_core::typed_code::TypedCode;
use idp_store::{
    Activation, CodeTry, Mail, MailKind, Reader, Registration, RegistrationState, StoreError, Tx,
};

use crate::accounts::proven_registration;
use crate::http::context::RequestContext;
use crate::http::errors::PageError;

/// The token of an activation link, as it is stored.
pub(crate) type LinkToken = SingleUseDigest<single_use::ActivationLink>;

/// What an activation link leads to.
pub(crate) enum LinkState {
    /// This registration, which it can activate.
    Open(Box<Registration>),
    /// Its registration has ended: it, or another one for its address, became an account.
    Used(RegistrationId),
    /// Its 24 hours are over. It still leads to its registration while that is kept; its holder reads the mailbox, so
    /// they may learn what became of it.
    Expired(Option<Box<Registration>>),
    /// No such link exists.
    Unknown,
}

/// The result of using an activation link.
pub(crate) enum LinkOutcome {
    /// The registration is an account now.
    Activated(RegistrationId),
    /// As [`LinkState::Used`].
    Used(RegistrationId),
    /// Its 24 hours are over.
    Expired,
    /// No such link exists, or another browser used it and did not prove the password.
    Unknown,
}

/// Looks up a link without consuming it.
pub(crate) async fn find_link(context: &RequestContext, token: LinkToken) -> Result<LinkState, PageError> {
    let input = (token, context.app.clock.now());
    let read = context.app.store.read(input, |db, (token, now)| {
        Box::pin(async move {
            let Some((subject, usable)) = db.peek(token, *now).await? else { return Ok(LinkState::Unknown) };
            let Ok(id) = subject.parse::<RegistrationId>() else { return Ok(LinkState::Unknown) };
            if db.registration_ended(id).await? {
                return Ok(LinkState::Used(id));
            }
            Ok(match db.registration_and_state(id, *now).await? {
                Some((registration, RegistrationState::Waiting)) if usable => {
                    LinkState::Open(Box::new(registration))
                }
                kept => LinkState::Expired(kept.map(|(registration, _)| Box::new(registration))),
            })
        })
    });
    Ok(read.await?)
}

/// The registration that a link activates, if both are still valid.
pub(crate) async fn registration_to_activate(
    context: &RequestContext,
    token: &LinkToken,
) -> Result<Option<Registration>, PageError> {
    let input = (token.clone(), context.app.clock.now());
    let read = context.app.store.read(input, |db, (token, now)| Box::pin(registration_of(db, token, *now)));
    Ok(read.await?)
}

async fn registration_of(
    db: &mut Reader,
    token: &LinkToken,
    now: Timestamp,
) -> Result<Option<Registration>, StoreError> {
    let Some((subject, true)) = db.peek(token, now).await? else { return Ok(None) };
    match subject.parse::<RegistrationId>() {
        Ok(id) => db.registration(id, now).await,
        Err(_) => Ok(None),
    }
}

/// Whether this browser neither made the registration nor proved its password. Then it must prove it, because the person
/// who reads the mailbox need not be the one who registered. The account gets the password chosen at registration, so a
/// click in a mail that a stranger caused would give the stranger an account in somebody else's name.
pub(crate) fn is_foreign(context: &RequestContext, registration: &Registration) -> bool {
    !proven_registration::belongs_here(context, registration)
}

/// Consumes a link and creates the account, in one write. `proven`: the person proved the password.
pub(crate) async fn use_link(
    context: &RequestContext,
    token: LinkToken,
    proven: bool,
) -> Result<LinkOutcome, PageError> {
    let input = (token, context.browser.digest(), proven, record(context, None));
    let write = context.app.store.write(input, |tx, (token, browser, proven, record)| {
        Box::pin(consume(tx, token, browser, *proven, record))
    });
    Ok(write.await?)
}

/// Checks a typed code and activates if it is right, in one write.
pub(crate) async fn try_code(
    context: &RequestContext,
    id: RegistrationId,
    code: &TypedCode,
) -> Result<CodeTry, PageError> {
    let tag = code.tag(&context.app.keys.load().mac, &id.to_string());
    let input = (id, tag, context.browser.digest(), record(context, Some(id)));
    let tried = context
        .app
        .store
        .write(input, |tx, (id, tag, browser, record)| {
            Box::pin(async move {
                let tried = tx.try_registration_code(*id, tag, record.at).await?;
                if tried == CodeTry::Right {
                    activate(tx, *id, browser, record).await?;
                }
                Ok(tried)
            })
        })
        .await?;
    Ok(tried)
}

/// The audit record of an activation.
fn record(context: &RequestContext, id: Option<RegistrationId>) -> AuditRecord {
    context.audit(AuditEvent::Activated, Actor::Anonymous, id.map(|id| id.to_string()))
}

/// Consumes the link and creates the account. `proven`: by the password; the browser that registered need not prove it.
async fn consume(
    tx: &mut Tx,
    token: &LinkToken,
    browser: &Digest,
    proven: bool,
    record: &AuditRecord,
) -> Result<LinkOutcome, StoreError> {
    let now = record.at;
    if !proven
        && registration_of(tx, token, now).await?.is_some_and(|registration| registration.browser != *browser)
    {
        return Ok(LinkOutcome::Unknown);
    }
    if let Some(subject) = tx.consume(token, now).await? {
        let Ok(id) = subject.parse::<RegistrationId>() else { return Ok(LinkOutcome::Unknown) };
        return Ok(match activate(tx, id, browser, record).await? {
            Activation::Activated(..) => LinkOutcome::Activated(id),
            Activation::AlreadyUsed => LinkOutcome::Used(id),
            Activation::Unknown => LinkOutcome::Expired,
        });
    }
    let Some((subject, _)) = tx.peek(token, now).await? else { return Ok(LinkOutcome::Unknown) };
    Ok(match subject.parse::<RegistrationId>() {
        Ok(id) if tx.registration_ended(id).await? => LinkOutcome::Used(id),
        _ => LinkOutcome::Expired,
    })
}

/// Creates the account, audits it, and puts the welcome mail into the outbox.
async fn activate(
    tx: &mut Tx,
    id: RegistrationId,
    browser: &Digest,
    record: &AuditRecord,
) -> Result<Activation, StoreError> {
    let own = tx.registration(id, record.at).await?.map(|registration| registration.browser);
    let activation = tx.activate(id, record.at).await?;
    if let Activation::Activated(user, _) = &activation {
        // Whoever reads the mailbox is the owner: strangers' wrong tries must not lock this browser out, nor the one that
        // registered, whose password was proven here if it is another one.
        for browser in [Some(browser), own.as_ref().filter(|own| *own != browser)].into_iter().flatten() {
            tx.remember_browser(user.id, browser, record.at).await?;
        }
        let subject = Some(user.id.to_string());
        tx.audit(&AuditRecord { subject, actor: Actor::User(user.id), ..record.clone() }).await?;
        tx.enqueue_mail(&Mail {
            id: MailId::new(record.at),
            kind: MailKind::Welcome,
            recipient: user.email.clone(),
            name: user.name.clone(),
            subject: user.id.to_string(),
            minutes: None,
            created_at: record.at,
            attempts: 0,
        })
        .await?;
    }
    Ok(activation)
}
