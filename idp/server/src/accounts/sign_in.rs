//! The one credential check.

use idp_core::account::throttle::{self, Reservation, Throttle};
use idp_core::audit::{Actor, AuditEvent, AuditRecord};
use idp_core::ids::{MailId, RegistrationId, SessionId, UserId};
use idp_core::secret::{Digest, Secret};
use idp_core::session::{Authentication, Session};
use idp_core::time::Timestamp;
use idp_core::user::{Email, User, UserState};
use idp_store::{Counted, Credentials, Mail, MailKind, NewSession, Registration, StoreError, Tx};

use crate::accounts::hasher::HashError;
use crate::accounts::lanes::Lane;
use crate::http::context::RequestContext;
use crate::http::errors::{PageError, Reason};

/// What came of a try.
pub(crate) enum SignInOutcome {
    /// The session's cookie.
    SignedIn(Secret),
    /// Wrong password or no such account: nobody learns which.
    Wrong,
    /// Too many tries; nothing was verified.
    Throttled {
        /// How long to wait.
        minutes: u64,
    },
    /// Too many tries in a row: no waiting helps, an administrator must unlock.
    Closed,
    /// Right password, but an administrator switched the account off.
    Deactivated,
    /// Right password of a registration whose address is not proven.
    Unactivated(RegistrationId),
}

/// How long to wait at an account that only an administrator opens, in seconds: nobody knows when that will be.
pub(crate) const CLOSED_FOR_A_DAY: u64 = 24 * 60 * 60;

/// What is known of an address before a password is verified.
struct AddressFacts {
    credentials: Option<Credentials>,
    registration: Option<Registration>,
    browser_known: bool,
}

/// Counts the try, verifies the password, and signs in or says why not.
pub(crate) async fn sign_in(
    context: &RequestContext,
    email: &Email,
    password: Secret,
) -> Result<SignInOutcome, PageError> {
    let (context, email) = (context.clone(), email.clone());
    to_its_end(async move {
        let now = context.app.clock.now();
        let known = look_up(&context, &email, now).await?;
        let counts = Counts::of(&context, &email, &known);
        let (counts, proof) = match try_password(&context, counts, password, known, now).await? {
            Ok(proven) => proven,
            Err(outcome) => return Ok(outcome),
        };
        match proof {
            Proof::Account(user) if user.state == UserState::Active => {
                begin_session(&context, counts, user, now).await
            }
            // Whether it may sign in is for a node to say that knows the state.
            Proof::Account(user) if user.state == UserState::Newer => {
                let id = user.id.to_string();
                let why = "in a state of a newer version";
                let refused = RefusedSignIn { counts, subject: Some(id.clone()), adopted: None, why };
                refused.record(&context, now).await?;
                Err(StoreError::Newer { table: "users", column: "state", id }.into())
            }
            Proof::Account(user) => {
                let why = "deactivated";
                let refused =
                    RefusedSignIn { counts, subject: Some(user.id.to_string()), adopted: None, why };
                refused.record(&context, now).await?;
                Ok(SignInOutcome::Deactivated)
            }
            Proof::Registration(id) => {
                let refused =
                    RefusedSignIn { counts, subject: None, adopted: Some(id), why: "not activated" };
                refused.record(&context, now).await?;
                Ok(SignInOutcome::Unactivated(id))
            }
        }
    })
    .await
}

/// The same for somebody who holds the link of a registration and says to have begun it: [`SignInOutcome::Unactivated`] when
/// the password is the one chosen then. The registration stays its own browser's, which may be waiting for it; nobody is
/// signed in.
pub(crate) async fn prove_registration(
    context: &RequestContext,
    registration: Registration,
    password: Secret,
) -> Result<SignInOutcome, PageError> {
    let context = context.clone();
    to_its_end(async move {
        let (id, now) = (registration.id, context.app.clock.now());
        let known =
            AddressFacts { credentials: None, registration: Some(registration), browser_known: false };
        // A count of its own, which nobody without the link can fill.
        let network = Some(Counted::Network(context.info.network().to_string()));
        let counts = Counts { account: Counted::Registration(id), network, owners: None };
        match try_password(&context, counts, password, known, now).await? {
            Err(outcome) => Ok(outcome),
            Ok((counts, _)) => {
                give_back(&context, counts, now).await?;
                Ok(SignInOutcome::Unactivated(id))
            }
        }
    })
    .await
}

/// Goes on even if the browser hangs up: a try that was counted leaves its record, and a lock is told to the owner.
async fn to_its_end(
    work: impl Future<Output = Result<SignInOutcome, PageError>> + Send + 'static,
) -> Result<SignInOutcome, PageError> {
    // What a panic says is nobody's business; where it was stands in the log already.
    let panicked = |_| Err(PageError::new(Reason::INTERNAL).detail("the sign-in panicked"));
    tokio::spawn(work).await.unwrap_or_else(panicked)
}

/// Counts the try and compares. `Err`: the password is nobody's, or was not compared; that is written down already.
async fn try_password(
    context: &RequestContext,
    counts: Counts,
    password: Secret,
    known: AddressFacts,
    now: Timestamp,
) -> Result<Result<(Counts, Proof), SignInOutcome>, PageError> {
    let refused = |outcome| Ok(Err(outcome));
    let locks = match reserve(context, &counts, now).await? {
        Reserved::Locked { until } => {
            return refused(SignInOutcome::Throttled { minutes: now.minutes_until(until) });
        }
        Reserved::Closed => return refused(SignInOutcome::Closed),
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
            // Nothing was compared, so nothing was tried.
            give_back(context, counts, now).await?;
            Err(error.into())
        }
    }
}

/// What a password turned out to be.
enum Proof {
    /// That of an account, whatever its state.
    Account(User),
    /// That of a registration whose address is not proven.
    Registration(RegistrationId),
}

/// A password that is not the account's is compared with that of a registration for the same address as well, and
/// where there is none, or no account, with nobody's: every wrong password costs two comparisons. A stranger may
/// have registered the address and try the password chosen then; the answer is the same whether the address has an
/// account or not.
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
                // Asked for a made-up account as well, so that both ways cost the same.
                let id = credentials.as_ref().map_or(UserId::new(*now), |credentials| credentials.user.id);
                let browser_known = db.knows_browser(id, browser, *now).await?;
                // That a registration is over, since another one was the owner's, is for the owner's browsers to know,
                // and for those that its page told.
                let stranger = (!browser_known).then_some(browser);
                let registration = db.newest_registration(email, stranger, *now).await?;
                Ok(AddressFacts { credentials, registration, browser_known })
            })
        })
        .await?;
    Ok(known)
}

/// The counts of a try: whoever's it is, and wherever it comes from.
#[derive(Clone)]
struct Counts {
    /// The account's, or that of a browser it is known in.
    account: Counted,
    /// The client address's. None for a known browser: nobody else's tries from there keep the owner out.
    network: Option<Counted>,
    /// The account's own count, for a known browser.
    owners: Option<Counted>,
}

impl Counts {
    fn of(context: &RequestContext, email: &Email, known: &AddressFacts) -> Self {
        let user = known.credentials.as_ref().map(|credentials| credentials.user.id);
        let account = Counted::Account { email_key: email.key().to_owned(), user };
        match user.filter(|_| known.browser_known) {
            Some(user) => Self {
                account: Counted::KnownBrowser(user, context.browser.digest()),
                network: None,
                owners: Some(account),
            },
            None => Self {
                account,
                network: Some(Counted::Network(context.info.network().to_string())),
                owners: None,
            },
        }
    }

    /// Every write takes the rows in one order, the network's first: otherwise two would wait for each other.
    async fn reserve(&self, tx: &mut Tx, now: Timestamp) -> Result<Reserved, StoreError> {
        let mut locks = Locks::default();
        if let Some(network) = &self.network {
            match tx.reserve(network, &throttle::NETWORK, now).await? {
                Reservation::Locked { until } => return Ok(Reserved::Locked { until }),
                Reservation::Closed => return Ok(Reserved::Closed),
                Reservation::Granted { locks_until } => locks.network = locks_until.is_some(),
            }
        }
        let refused = match tx.reserve(&self.account, &throttle::ACCOUNT, now).await? {
            Reservation::Granted { locks_until } => {
                return Ok(Reserved::Granted(Locks { account: locks_until, ..locks }));
            }
            Reservation::Locked { until } => Reserved::Locked { until },
            Reservation::Closed => Reserved::Closed,
        };
        // Nothing is tried at a locked account, so its network is not charged for it.
        self.refund_network(tx, now).await?;
        Ok(refused)
    }

    async fn refund_network(&self, tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
        match &self.network {
            Some(network) => tx.refund(network, &throttle::NETWORK, now).await,
            None => Ok(()),
        }
    }

    async fn give_back(&self, tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
        self.refund_network(tx, now).await?;
        tx.refund(&self.account, &throttle::ACCOUNT, now).await
    }

    /// The password was right: nothing is left of the tries before.
    async fn clear(&self, tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
        self.refund_network(tx, now).await?;
        tx.clear_throttle(&self.account).await?;
        match &self.owners {
            Some(account) => tx.owner_was_here(account).await,
            None => Ok(()),
        }
    }
}

/// What is locked if this try turns out wrong.
#[derive(Clone, Copy, Default)]
struct Locks {
    /// The account, until then.
    account: Option<Timestamp>,
    /// The client address.
    network: bool,
}

enum Reserved {
    Granted(Locks),
    Locked { until: Timestamp },
    Closed,
}

async fn reserve(context: &RequestContext, counts: &Counts, now: Timestamp) -> Result<Reserved, PageError> {
    let write = context
        .app
        .store
        .write((counts.clone(), now), |tx, (counts, now)| Box::pin(counts.reserve(tx, *now)));
    Ok(write.await?)
}

async fn give_back(context: &RequestContext, counts: Counts, now: Timestamp) -> Result<(), PageError> {
    let write =
        context.app.store.write((counts, now), |tx, (counts, now)| Box::pin(counts.give_back(tx, *now)));
    Ok(write.await?)
}

/// The right password of somebody who may not sign in.
struct RefusedSignIn {
    counts: Counts,
    subject: Option<String>,
    /// The registration that this browser may ask the mail of: its person proved to have begun it.
    adopted: Option<RegistrationId>,
    why: &'static str,
}

impl RefusedSignIn {
    async fn record(self, context: &RequestContext, now: Timestamp) -> Result<(), PageError> {
        let record = context.audit(AuditEvent::SignInFailed, Actor::Anonymous, self.subject.clone());
        let record = AuditRecord { detail: self.why, ..record };
        let input = (self, context.browser.digest(), record, now);
        let write = context.app.store.write(input, |tx, (refused, browser, record, now)| {
            Box::pin(async move {
                refused.counts.give_back(tx, *now).await?;
                if let Some(id) = refused.adopted {
                    tx.adopt_registration(id, browser).await?;
                }
                tx.audit(record).await
            })
        });
        Ok(write.await?)
    }
}

async fn begin_session(
    context: &RequestContext,
    counts: Counts,
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
    let input = (started, context.app.config.session);
    let made = context
        .app
        .store
        .write(input, |tx, (started, lifetime)| Box::pin(started.save(tx, lifetime)))
        .await?;
    Ok(if made { SignInOutcome::SignedIn(cookie) } else { SignInOutcome::Deactivated })
}

struct NewSignIn {
    session: NewSession,
    counts: Counts,
    /// The session this browser had before. Its cookie is dead; the session itself goes on when the same person signs
    /// in again, so that what applications got from it lives.
    old: Option<Session>,
    browser: Digest,
    record: AuditRecord,
}

impl NewSignIn {
    async fn save(
        &self,
        tx: &mut Tx,
        lifetime: &idp_core::session::SessionLifetime,
    ) -> Result<bool, StoreError> {
        let now = self.record.at;
        self.counts.clear(tx, now).await?;
        let own = self.old.as_ref().filter(|old| old.user_id == self.session.user_id);
        let renewed = match own {
            Some(old) => tx.renew_session(old, &self.session, lifetime, now).await?,
            None => false,
        };
        if !renewed {
            if !tx.insert_session(&self.session, lifetime, now).await? {
                return Ok(false);
            }
            // One of the same person has ended, or was renewed by another try at this very moment: then both live.
            if let Some(old) = self.old.as_ref().filter(|_| own.is_none()) {
                tx.end_session(old.id, now).await?;
            }
        }
        tx.remember_browser(self.session.user_id, &self.browser, now).await?;
        tx.audit(&self.record).await?;
        Ok(true)
    }
}

async fn fail(
    context: &RequestContext,
    counts: Counts,
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

/// This try locked the account: it is written down, and the owner is told once.
async fn locked(
    tx: &mut Tx,
    account: &Counted,
    user: Option<&User>,
    until: Timestamp,
    failed: &AuditRecord,
) -> Result<(), StoreError> {
    // A try beside this one may have turned out right, or not to have been made: then there is no lock.
    let lifted = |count: Option<Throttle>| count.is_none_or(|count| count.locked_until != Some(until));
    if lifted(tx.throttle(account).await?) {
        return Ok(());
    }
    tx.audit(&AuditRecord { event: AuditEvent::Throttled, ..failed.clone() }).await?;
    if let Some(user) = user.filter(|user| user.state == UserState::Active)
        && tx.tell_once(account).await?
    {
        let mail = Mail {
            id: MailId::new(failed.at),
            kind: MailKind::Locked,
            recipient: user.email.clone(),
            name: user.name.clone(),
            subject: user.id.to_string(),
            minutes: i64::try_from(failed.at.minutes_until(until)).ok(),
            created_at: failed.at,
            attempts: 0,
        };
        tx.enqueue_mail(&mail).await?;
    }
    Ok(())
}
