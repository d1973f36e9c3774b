//! Registration: a form becomes a registration, and its mail can be asked for again.

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
use crate::http::context::RequestContext;
use crate::http::errors::{PageError, Reason};
use crate::mail::quota::{self, Registrant};

/// Where registration is closed, nothing that was begun before goes on either.
pub(crate) fn must_be_open(context: &RequestContext) -> Result<(), PageError> {
    match context.app.config.registration {
        true => Ok(()),
        false => Err(PageError::new(Reason::REGISTRATION_CLOSED)),
    }
}

/// A registration of this browser, however it stands. Another browser learns nothing of it.
pub(crate) async fn own(
    context: &RequestContext,
    id: RegistrationId,
) -> Result<Option<(Registration, RegistrationState)>, PageError> {
    let input = (id, context.app.clock.now());
    let read = context.app.store.read(input, |db, (id, now)| Box::pin(db.registration_and_state(*id, *now)));
    Ok(read.await?.filter(|(registration, _)| registration.browser == context.browser.digest()))
}

/// The registration form as it was typed.
pub(crate) struct Typed {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) password: Secret,
    pub(crate) password_confirm: Secret,
}

/// A person who may be registered.
pub(crate) struct Checked {
    name: FullName,
    email: Email,
    password: PasswordHash,
}

/// Checks the form and hashes the password, where passwords are hashed: judging one costs about as much. Gives back what
/// may be shown again.
pub(crate) async fn check(
    context: &RequestContext,
    typed: Typed,
) -> Result<(String, String, Result<Checked, Vec<RegistrationRefusal>>), PageError> {
    let policy = context.app.config.password.clone();
    let work = move |memory: &mut HashMemory| {
        let Typed { name, email, password, password_confirm } = typed;
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

/// Either way one attempt, one mail, one record. For a known address the attempt can become nothing, and the
/// mail goes to the owner, who learns that somebody tried.
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

/// What came of asking for a mail again.
pub(crate) enum MailAgain {
    Sent,
    /// The last one was sent only just now.
    TooSoon {
        seconds: u64,
    },
    /// This registration asked for all the mails it may.
    TooOften {
        minutes: u64,
    },
}

/// Asks for the mail again. What comes of it depends on what this registration asked for itself, so it is the same for
/// every address; whether the address had enough mails is told to nobody. `opened_mail`: a link mailed to it was opened
/// in this browser.
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

/// The browser that asks for a mail.
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
    // Asked for every address: one that was free when it was registered may have an account by now.
    let owner = tx.credentials(&registration.email).await?.map(|credentials| credentials.user);
    tx.forget_registration_code(registration.id).await?;
    let Registration { id, email, name, .. } = registration;
    let registrant =
        Registrant { id: *id, email, name, browser: &from.browser, opened_mail: from.opened_mail };
    quota::enqueue(tx, registrant, owner.as_ref(), now).await?;
    Ok(MailAgain::Sent)
}
