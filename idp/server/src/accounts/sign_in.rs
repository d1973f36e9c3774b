//! Sign-in. Credentials are checked only here.

use idp_core::account::throttle;
use idp_core::audit::{Actor, AuditEvent, AuditRecord};
use idp_core::ids::{MailId, RegistrationId, SessionId, UserId};
use idp_core::secret::{Digest, Secret};
use idp_core::session::{Authentication, Session};
use idp_core::time::Timestamp;
use idp_core::user::{Email, User, UserState};
use idp_store::{Mail, MailKind, NewSession, Registration, StoreError, ThrottleKey, Tx};

use crate::accounts::hasher::HashError;
use crate::accounts::lanes::Lane;
use crate::accounts::try_counts::{AddressFacts, Locks, Reserved, TryCounters, refund, reserve};
use crate::http::context::RequestContext;
use crate::http::errors::{PageError, Reason};

/// The result of a try.
pub(crate) enum SignInOutcome {
    /// Signed in; this is the session's cookie.
    SignedIn(Secret),
    /// Wrong password or no such account; which of the two is not revealed.
    Wrong,
    /// Too many tries; nothing was verified.
    Throttled {
        /// How long to wait, in minutes.
        minutes: u64,
    },
    /// Too many tries in a row: waiting does not help, an administrator must unlock the account.
    LockedForGood,
    /// Right password, but an administrator has deactivated the account.
    Deactivated,
    /// Right password, but while it was compared the account was changed, which ends everything that began before.
    Changed,
    /// The right password of a registration whose address is not proven yet.
    Unactivated(RegistrationId),
}

/// `Retry-After` in seconds for an account that only an administrator can unlock: nobody knows when that will be.
pub(crate) const LOCKED_RETRY_AFTER: u64 = 24 * 60 * 60;

/// Counts the try, verifies the password, and signs in or returns why not.
pub(crate) async fn sign_in(
    context: &RequestContext,
    email: &Email,
    password: Secret,
) -> Result<SignInOutcome, PageError> {
    let (context, email) = (context.clone(), email.clone());
    run_detached(async move {
        let now = context.app.clock.now();
        let known = look_up(&context, &email, now).await?;
        let counts = TryCounters::of(&context, &email, &known);
        let (counts, proof) = match try_password(&context, counts, password, known, now).await? {
            Ok(proven) => proven,
            Err(outcome) => return Ok(outcome),
        };
        match proof {
            Proof::Account(user) if user.state == UserState::Active => {
                begin_session(&context, counts, user, now).await
            }
            Proof::Account(user) => refuse_account(&context, counts, user.id, user.state, now).await,
            Proof::Registration(id) => {
                let refused = RefusedSignIn { counts, subject: None, why: "not activated" };
                refused.record(&context, now).await?;
                Ok(SignInOutcome::Unactivated(id))
            }
        }
    })
    .await
}

/// The same for somebody who holds a registration's link and claims to have begun it: [`SignInOutcome::Unactivated`] if
/// the password is the one chosen then. Nobody is signed in.
pub(crate) async fn prove_registration(
    context: &RequestContext,
    registration: Registration,
    password: Secret,
) -> Result<SignInOutcome, PageError> {
    let context = context.clone();
    run_detached(async move {
        let (id, now) = (registration.id, context.app.clock.now());
        let known =
            AddressFacts { credentials: None, registration: Some(registration), browser_known: false };
        // Its own counter, which nobody without the link can fill.
        let network = Some(ThrottleKey::Network(context.info.network().to_string()));
        let counts =
            TryCounters { account: ThrottleKey::Registration(id), network, account_of_known_browser: None };
        match try_password(&context, counts, password, known, now).await? {
            Err(outcome) => Ok(outcome),
            Ok((counts, _)) => {
                refund(&context, counts, now).await?;
                Ok(SignInOutcome::Unactivated(id))
            }
        }
    })
    .await
}

/// Runs to the end even if the browser hangs up: a counted try is audited, and the owner is told of a lock-out.
async fn run_detached(
    work: impl Future<Output = Result<SignInOutcome, PageError>> + Send + 'static,
) -> Result<SignInOutcome, PageError> {
    // The panic's message may quote what a person sent. Its place is already in the log.
    let panicked = |_| Err(PageError::new(Reason::INTERNAL).detail("the sign-in panicked"));
    tokio::spawn(work).await.unwrap_or_else(panicked)
}

/// Counts the try and compares. Inner `Err`: the password matched nothing, which is audited already, or the try was
/// locked out and nothing was compared.
async fn try_password(
    context: &RequestContext,
    counts: TryCounters,
    password: Secret,
    known: AddressFacts,
    now: Timestamp,
) -> Result<Result<(TryCounters, Proof), SignInOutcome>, PageError> {
    let refused = |outcome| Ok(Err(outcome));
    let locks = match reserve(context, &counts, now).await? {
        Reserved::Locked { until } => {
            return refused(SignInOutcome::Throttled { minutes: now.minutes_until(until) });
        }
        Reserved::LockedForGood => return refused(SignInOutcome::LockedForGood),
        Reserved::Granted(locks) => locks,
    };
    match prove(context, password, &known).await {
        Ok(Some(proof)) => Ok(Ok((counts, proof))),
        Ok(None) => {
            let user = known.credentials.map(|credentials| credentials.user);
            fail(context, counts, user, locks).await?;
            refused(SignInOutcome::Wrong)
        }
        Err(error) => {
            // Nothing was compared, so the try does not count.
            refund(context, counts, now).await?;
            Err(error.into())
        }
    }
}

/// What a password matched.
enum Proof {
    /// An account, in whatever state.
    Account(User),
    /// A registration whose address is not proven yet.
    Registration(RegistrationId),
}

/// Compares the password with the account's, then with that of a registration for the same address. If there is no
/// account or no registration, a dummy hash takes its place, so every wrong password costs two comparisons. A stranger
/// may have registered the address and now try that password: the answer does not depend on whether the address has an
/// account.
async fn prove(
    context: &RequestContext,
    password: Secret,
    known: &AddressFacts,
) -> Result<Option<Proof>, HashError> {
    let accounts = known.credentials.as_ref().and_then(|credentials| credentials.password.clone());
    let registrations = known.registration.as_ref().map(|registration| registration.password.clone());
    let lane = if known.browser_known { Lane::KnownBrowser } else { Lane::SignIn };
    let found = context.app.hasher.find(lane, password, [accounts, registrations]).await?;
    Ok(match (found, &known.credentials, &known.registration) {
        (Some(0), Some(credentials), _) => Some(Proof::Account(credentials.user.clone())),
        (Some(1), _, Some(registration)) => Some(Proof::Registration(registration.id)),
        _ => None,
    })
}

async fn look_up(context: &RequestContext, email: &Email, now: Timestamp) -> Result<AddressFacts, PageError> {
    let input = (email.clone(), context.browser.digest(), now);
    let known = context
        .app
        .store
        .read(input, |db, (email, browser, now)| {
            Box::pin(async move {
                let credentials = db.credentials(email).await?;
                // Looked up for a made-up account too, so that both cases cost the same.
                let id = credentials.as_ref().map_or(UserId::new(*now), |credentials| credentials.user.id);
                let browser_known = db.knows_browser(id, browser, *now).await?;
                // Only the owner's browsers, and those whose page has said so, may learn that a registration has ended
                // because another one became the account.
                let stranger = (!browser_known).then_some(browser);
                let registration = db.newest_registration(email, stranger, *now).await?;
                Ok(AddressFacts { credentials, registration, browser_known })
            })
        })
        .await?;
    Ok(known)
}

/// A try with the right password by somebody who may not sign in.
struct RefusedSignIn {
    counts: TryCounters,
    subject: Option<String>,
    why: &'static str,
}

impl RefusedSignIn {
    async fn record(self, context: &RequestContext, now: Timestamp) -> Result<(), PageError> {
        let record = context.audit(AuditEvent::SignInFailed, Actor::Anonymous, self.subject.clone());
        let record = AuditRecord { detail: self.why, ..record };
        let input = (self.counts, record, now);
        let write = context.app.store.write(input, |tx, (counts, record, now)| {
            Box::pin(async move {
                counts.refund(tx, *now).await?;
                tx.audit(record).await
            })
        });
        Ok(write.await?)
    }
}

async fn begin_session(
    context: &RequestContext,
    counts: TryCounters,
    user: User,
    now: Timestamp,
) -> Result<SignInOutcome, PageError> {
    let cookie = Secret::random();
    let session = NewSession {
        id: SessionId::new(now),
        digest: cookie.digest(),
        user_id: user.id,
        user_epoch: user.epoch,
        authentication: Authentication::Password,
        client_address: context.info.address.to_string(),
        user_agent: context.user_agent.to_string(),
    };
    let started = NewSignIn {
        session,
        counts,
        old: context.browser.signed_in.as_ref().map(|signed_in| signed_in.session.clone()),
        browser: context.browser.digest(),
        record: context.audit(AuditEvent::SignedIn, Actor::User(user.id), Some(user.id.to_string())),
    };
    let (counts, lifetime) = (started.counts.clone(), context.app.config.session);
    let write = context
        .app
        .store
        .write((started, lifetime), |tx, (started, lifetime)| Box::pin(started.save(tx, lifetime)));
    match write.await {
        Ok(()) => Ok(SignInOutcome::SignedIn(cookie)),
        Err(StoreError::Conflict(_)) => {
            let found = context.app.store.read(user.id, |db, id| Box::pin(db.user(*id))).await?;
            let state = found.map_or(user.state, |user| user.state);
            refuse_account(context, counts, user.id, state, now).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The answer to the right password of an account that may not sign in, or whose session could not begin.
async fn refuse_account(
    context: &RequestContext,
    counts: TryCounters,
    id: UserId,
    state: UserState,
    now: Timestamp,
) -> Result<SignInOutcome, PageError> {
    let why = match state {
        UserState::Active => "changed during the sign-in",
        UserState::Deactivated => "deactivated",
        UserState::Newer => "in a state of a newer version",
    };
    let refused = RefusedSignIn { counts, subject: Some(id.to_string()), why };
    refused.record(context, now).await?;
    match state {
        UserState::Active => Ok(SignInOutcome::Changed),
        UserState::Deactivated => Ok(SignInOutcome::Deactivated),
        // Only a node that knows the state can decide whether this account may sign in.
        UserState::Newer => {
            Err(StoreError::Newer { table: "users", column: "state", id: id.to_string() }.into())
        }
    }
}

struct NewSignIn {
    session: NewSession,
    counts: TryCounters,
    /// This browser's previous session. Its cookie becomes invalid. If the same person signs in again, the session
    /// itself goes on, so that what clients got from it stays valid.
    old: Option<Session>,
    browser: Digest,
    record: AuditRecord,
}

impl NewSignIn {
    async fn save(
        &self,
        tx: &mut Tx,
        lifetime: &idp_core::session::SessionLifetime,
    ) -> Result<(), StoreError> {
        let now = self.record.at;
        self.counts.clear(tx, now).await?;
        let own = self.old.as_ref().filter(|old| old.user_id == self.session.user_id);
        let renewed = match own {
            Some(old) => tx.renew_session(old, &self.session, lifetime, now).await?,
            None => false,
        };
        if !renewed {
            if !tx.insert_session(&self.session, lifetime, now).await? {
                // Nothing of this is kept, and the refusal is recorded instead.
                return Err(StoreError::Conflict("active account"));
            }
            // A session of the same person is not ended here: it has ended already, or a concurrent sign-in has just
            // renewed it, and then both go on.
            if let Some(old) = self.old.as_ref().filter(|_| own.is_none()) {
                tx.end_session(old.id, now).await?;
            }
        }
        tx.remember_browser(self.session.user_id, &self.browser, now).await?;
        tx.audit(&self.record).await
    }
}

async fn fail(
    context: &RequestContext,
    counts: TryCounters,
    user: Option<User>,
    locks: Locks,
) -> Result<(), PageError> {
    let subject = user.as_ref().map(|user| user.id.to_string());
    let record = context.audit(AuditEvent::SignInFailed, Actor::Anonymous, subject);
    let write =
        context.app.store.write((counts, user, locks, record), |tx, (counts, user, locks, record)| {
            Box::pin(async move {
                tx.audit(record).await?;
                if locks.network {
                    tx.audit(&AuditRecord { event: AuditEvent::Spray, subject: None, ..record.clone() })
                        .await?;
                }
                match locks.account {
                    Some(until) => locked(tx, &counts.account, user.as_ref(), until, record).await,
                    None => Ok(()),
                }
            })
        });
    Ok(write.await?)
}

/// This try locked the account: audits that, and tells the owner once, and again if the lock is for good.
async fn locked(
    tx: &mut Tx,
    account: &ThrottleKey,
    user: Option<&User>,
    until: Timestamp,
    failed: &AuditRecord,
) -> Result<(), StoreError> {
    // A concurrent try may have turned out right, or may not have been made after all: then there is no lock.
    let Some(count) = tx.throttle(account).await?.filter(|count| count.locked_until == Some(until)) else {
        return Ok(());
    };
    let is_for_good = count.is_locked_for_good(&throttle::ACCOUNT);
    tx.audit(&AuditRecord { event: AuditEvent::Throttled, ..failed.clone() }).await?;
    // That it opens no more by itself is news, whatever the owner was told before.
    let is_news = tx.claim_lockout_notice(account).await? || is_for_good;
    if let Some(user) = user.filter(|user| is_news && user.state == UserState::Active) {
        let mail = Mail {
            id: MailId::new(failed.at),
            kind: MailKind::Locked,
            recipient: user.email.clone(),
            name: user.name.clone(),
            subject: user.id.to_string(),
            minutes: i64::try_from(failed.at.minutes_until(until)).ok().filter(|_| !is_for_good),
            created_at: failed.at,
            attempts: 0,
        };
        tx.enqueue_mail(&mail).await?;
    }
    Ok(())
}
