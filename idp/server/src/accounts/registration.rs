//! Registration: the form becomes a registration, whose mail can be requested again.

use idp_core::account::password::{self, HashMemory, PasswordHash};
use idp_core::account::registration::{
    self as rules, CheckedRegistration, RegistrationForm, RegistrationRefusal, resend_wait,
};
use idp_core::audit::{Actor, AuditEvent, AuditRecord};
use idp_core::ids::{FlowId, RegistrationId};
use idp_core::secret::{Digest, Secret};
use idp_core::time::Timestamp;
use idp_core::user::{Email, FullName};
use idp_store::{NewRegistration, Registration, RegistrationState, StoreError, Tx};

use crate::accounts::hasher::HashError;
use crate::accounts::known_mailbox;
use crate::accounts::lanes::Lane;
use crate::accounts::proven_registration;
use crate::http::context::RequestContext;
use crate::http::errors::{PageError, Reason};
use crate::mail::quota::{self, Registrant};

/// Fails if registration is closed. Registrations begun before that stop as well.
pub(crate) fn must_be_open(context: &RequestContext) -> Result<(), PageError> {
    match context.app.config.registration {
        true => Ok(()),
        false => Err(PageError::new(Reason::REGISTRATION_CLOSED)),
    }
}

/// This browser's registration, in whatever state. A browser that neither made it nor proved its password learns nothing
/// about it.
pub(crate) async fn own(
    context: &RequestContext,
    id: RegistrationId,
) -> Result<Option<(Registration, RegistrationState)>, PageError> {
    let input = (id, context.app.clock.now());
    let read = context.app.store.read(input, |db, (id, now)| Box::pin(db.registration_and_state(*id, *now)));
    Ok(read.await?.filter(|(registration, _)| proven_registration::belongs_here(context, registration)))
}

/// The registration form as it was typed.
pub(crate) struct TypedForm {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) password: Secret,
    pub(crate) password_confirm: Secret,
}

/// A valid form, with its password hashed.
pub(crate) struct Checked {
    name: FullName,
    email: Email,
    password: PasswordHash,
}

/// Checks the form and hashes the password, both on the hashing threads: judging a password costs about as much as
/// hashing it. Also returns name and address, to show them again.
pub(crate) async fn check(
    context: &RequestContext,
    typed: TypedForm,
) -> Result<(String, String, Result<Checked, Vec<RegistrationRefusal>>), PageError> {
    let policy = context.app.config.password.clone();
    let work = move |memory: &mut HashMemory| {
        let TypedForm { name, email, password, password_confirm } = typed;
        let fields = RegistrationForm {
            name: &name,
            email: &email,
            password: password.expose(),
            password_confirm: password_confirm.expose(),
        };
        let checked = match rules::check(&fields, &policy) {
            Ok(CheckedRegistration { name, email, password }) => {
                password::hash(&password, memory).map(|password| Ok(Checked { name, email, password }))
            }
            Err(refusals) => Ok(Err(refusals)),
        };
        checked.map(|checked| (name, email, checked)).map_err(|_| HashError::Failed)
    };
    Ok(context.app.hasher.submit(Lane::Registration, work).await??)
}

pub(crate) async fn register(
    context: &RequestContext,
    flow: Option<&str>,
    Checked { name, email, password }: Checked,
) -> Result<RegistrationId, PageError> {
    let now = context.app.clock.now();
    let registration = NewRegistration {
        id: RegistrationId::new(now),
        email,
        name,
        password,
        known_address: false,
        browser: context.browser.digest(),
        flow_id: flow.and_then(|id| id.parse::<FlowId>().ok()),
    };
    let id = registration.id;
    let opened_mail = known_mailbox::was_opened(context, &registration.email);
    let record = context.audit(AuditEvent::Registered, Actor::Anonymous, Some(id.to_string()));
    context
        .app
        .store
        .write((registration, opened_mail, record), |tx, (registration, opened_mail, record)| {
            Box::pin(save(tx, registration, *opened_mail, record))
        })
        .await?;
    context.app.mailer.wake();
    Ok(id)
}

/// Known address or not: one registration, one mail, one audit record. For a known address, the registration can never
/// become an account, and the mail tells the owner that somebody tried.
async fn save(
    tx: &mut Tx,
    registration: &NewRegistration,
    opened_mail: bool,
    record: &AuditRecord,
) -> Result<(), StoreError> {
    let now = record.at;
    let owner = tx.credentials(&registration.email).await?.map(|credentials| credentials.user);
    let mut registration = registration.clone();
    let mut record = record.clone();
    if owner.is_some() {
        registration.known_address = true;
        record.event = AuditEvent::RegisteredKnown;
    }
    tx.insert_registration(&registration, now).await?;
    let NewRegistration { id, email, name, browser, .. } = &registration;
    let registrant = Registrant { id: *id, email, name, browser, opened_mail };
    quota::enqueue(tx, registrant, owner.as_ref(), now).await?;
    tx.audit(&record).await
}

/// The result of requesting a mail again.
pub(crate) enum MailAgain {
    Sent,
    /// The last one was requested only just now.
    TooSoon {
        seconds: u64,
    },
    /// This registration has used up its mails.
    TooOften {
        minutes: u64,
    },
}

/// Requests the mail again. The result depends only on this registration's own requests, so it is the same for every
/// address; nobody learns whether the address has used up its mails. `opened_mail`: a link mailed to it was opened in
/// this browser.
pub(crate) async fn mail_again(
    context: &RequestContext,
    registration: &Registration,
    opened_mail: bool,
) -> Result<MailAgain, PageError> {
    let now = context.app.clock.now();
    let from = AskedFrom { browser: context.browser.digest(), opened_mail };
    let input = (registration.clone(), from, now);
    let write = context
        .app
        .store
        .write(input, |tx, (registration, from, now)| Box::pin(ask(tx, registration, from, *now)));
    let asked = write.await?;
    if matches!(asked, MailAgain::Sent) {
        context.app.mailer.wake();
    }
    Ok(asked)
}

/// The browser that requests a mail.
struct AskedFrom {
    browser: Digest,
    opened_mail: bool,
}

async fn ask(
    tx: &mut Tx,
    registration: &Registration,
    from: &AskedFrom,
    now: Timestamp,
) -> Result<MailAgain, StoreError> {
    if let Some(until) = quota::closed_until(tx, registration.id, now).await? {
        return Ok(MailAgain::TooOften { minutes: now.minutes_until(until) });
    }
    if !tx.registration_mailed(registration.id, now).await? {
        return Ok(MailAgain::TooSoon { seconds: resend_wait(registration.mailed_at, now).max(1) });
    }
    // Looked up every time: an address without an account at registration may have one by now.
    let owner = tx.credentials(&registration.email).await?.map(|credentials| credentials.user);
    tx.forget_registration_code(registration.id).await?;
    let Registration { id, email, name, .. } = registration;
    let registrant =
        Registrant { id: *id, email, name, browser: &from.browser, opened_mail: from.opened_mail };
    quota::enqueue(tx, registrant, owner.as_ref(), now).await?;
    Ok(MailAgain::Sent)
}
