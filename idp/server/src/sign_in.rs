//! The one credential check.

use idp_core::account::password::PasswordHash;
use idp_core::account::throttle::{self, Reservation};
use idp_core::ids::{MailId, RegistrationId, SessionId, UserId};
use idp_core::secret::{Digest, Secret};
use idp_core::session::Authentication;
use idp_core::time::Timestamp;
use idp_core::user::{Email, User, UserState};
use idp_store::{
    Actor, Attempt, AuditEvent, AuditRecord, Counted, Credentials, Mail, MailKind, NewSession, StoreError, Tx,
};

use crate::errors::PageError;
use crate::visit::Visit;

/// What came of a try.
pub(crate) enum Outcome {
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

/// What is known of an address before a password is verified.
struct Known {
    credentials: Option<Credentials>,
    attempt: Option<Attempt>,
    browser_known: bool,
}

/// Counts the try, verifies the password, and signs in or says why not.
pub(crate) async fn sign_in(visit: &Visit, email: &Email, password: Secret) -> Result<Outcome, PageError> {
    let now = visit.app.clock.now();
    let known = look_up(visit, email, now).await?;
    let counted = Counts::of(visit, email, &known);
    let reserved = match reserve(visit, &counted, now).await? {
        Reserved::Locked { until } => return Ok(Outcome::Throttled { minutes: now.minutes_until(until) }),
        Reserved::Closed => return Ok(Outcome::Closed),
        Reserved::Granted { locks } => locks,
    };
    let verified = visit.app.hasher.verify(password, hash_of(&known).cloned()).await;
    let right = match verified {
        Ok(right) => right,
        Err(busy) => {
            // Nothing was verified, so nothing was tried.
            give_back(visit, &counted, now).await?;
            return Err(busy.into());
        }
    };
    match (right, known.credentials, known.attempt) {
        (true, Some(Credentials { user, .. }), _) if user.state == UserState::Active => {
            begin_session(visit, counted, user, now).await
        }
        (true, Some(_), _) => {
            give_back(visit, &counted, now).await?;
            Ok(Outcome::Deactivated)
        }
        (true, None, Some(attempt)) => {
            give_back(visit, &counted, now).await?;
            adopt(visit, &attempt, now).await?;
            Ok(Outcome::Unactivated(attempt.id))
        }
        (_, credentials, _) => {
            let user = credentials.map(|credentials| credentials.user);
            fail(visit, counted, user, reserved).await?;
            Ok(Outcome::Wrong)
        }
    }
}

async fn look_up(visit: &Visit, email: &Email, now: Timestamp) -> Result<Known, PageError> {
    let input = (email.clone(), visit.visitor.browser(), now);
    let known = visit
        .app
        .store
        .read(input, |db, (email, browser, now)| {
            Box::pin(async move {
                let credentials = db.credentials(email).await?;
                let attempt = db.newest_attempt(email, *now).await?;
                // Asked for a made-up account as well, so that both ways cost the same.
                let id = credentials.as_ref().map_or(UserId::new(*now), |credentials| credentials.user.id);
                let browser_known = db.knows_browser(id, browser, *now).await?;
                Ok(Known { credentials, attempt, browser_known })
            })
        })
        .await?;
    Ok(known)
}

fn hash_of(known: &Known) -> Option<&PasswordHash> {
    match (&known.credentials, &known.attempt) {
        (Some(credentials), _) => credentials.password.as_ref(),
        (None, Some(attempt)) => attempt.password.as_ref(),
        (None, None) => None,
    }
}

/// The two counts of a try: whoever's it is, and wherever it comes from.
#[derive(Clone)]
struct Counts {
    account: Counted,
    network: Counted,
}

impl Counts {
    fn of(visit: &Visit, email: &Email, known: &Known) -> Self {
        let account = match &known.credentials {
            Some(credentials) if known.browser_known => {
                Counted::KnownBrowser(credentials.user.id, visit.visitor.browser())
            }
            credentials => {
                Counted::Account { email_key: email.key().to_owned(), exists: credentials.is_some() }
            }
        };
        Self { account, network: Counted::Network(visit.info.network()) }
    }
}

enum Reserved {
    /// `locks`: when this try fails, the account is locked until then.
    Granted {
        locks: Option<Timestamp>,
    },
    Locked {
        until: Timestamp,
    },
    Closed,
}

async fn reserve(visit: &Visit, counted: &Counts, now: Timestamp) -> Result<Reserved, PageError> {
    let record = visit.audit(AuditEvent::Spray, Actor::Anonymous, None);
    let reserved = visit
        .app
        .store
        .write((counted.clone(), record, now), |tx, (counted, spray, now)| {
            Box::pin(reserve_both(tx, counted, spray, *now))
        })
        .await?;
    Ok(reserved)
}

async fn reserve_both(
    tx: &mut Tx,
    counted: &Counts,
    spray: &AuditRecord,
    now: Timestamp,
) -> Result<Reserved, StoreError> {
    match tx.reserve(&counted.network, &throttle::NETWORK, now).await? {
        Reservation::Locked { until } => return Ok(Reserved::Locked { until }),
        Reservation::Closed => return Ok(Reserved::Closed),
        Reservation::Granted { locks_until: Some(_) } => tx.audit(spray).await?,
        Reservation::Granted { locks_until: None } => {}
    }
    let refused = match tx.reserve(&counted.account, &throttle::ACCOUNT, now).await? {
        Reservation::Granted { locks_until } => return Ok(Reserved::Granted { locks: locks_until }),
        Reservation::Locked { until } => Reserved::Locked { until },
        Reservation::Closed => Reserved::Closed,
    };
    // Nothing is tried at a locked account, so its network is not charged for it.
    tx.refund(&counted.network, now).await?;
    Ok(refused)
}

async fn give_back(visit: &Visit, counted: &Counts, now: Timestamp) -> Result<(), PageError> {
    visit
        .app
        .store
        .write((counted.clone(), now), |tx, (counted, now)| {
            Box::pin(async move {
                tx.refund(&counted.account, *now).await?;
                tx.refund(&counted.network, *now).await
            })
        })
        .await?;
    Ok(())
}

/// The person proved with the password that this registration is theirs: this browser may ask for its mail.
async fn adopt(visit: &Visit, attempt: &Attempt, now: Timestamp) -> Result<(), PageError> {
    let input = (attempt.id, visit.visitor.browser(), now);
    visit
        .app
        .store
        .write(input, |tx, (id, browser, now)| {
            Box::pin(async move { tx.adopt_attempt(*id, browser, *now).await.map(drop) })
        })
        .await?;
    Ok(())
}

async fn begin_session(
    visit: &Visit,
    counted: Counts,
    user: User,
    now: Timestamp,
) -> Result<Outcome, PageError> {
    let cookie = Secret::random();
    let session = NewSession {
        id: SessionId::new(now),
        digest: cookie.digest(),
        user_id: user.id,
        authentication: Authentication::Password,
        client_address: visit.info.address.to_string(),
        user_agent: visit.user_agent.to_string(),
    };
    let started = Started {
        session,
        counted,
        old: visit.visitor.signed_in.as_ref().map(|signed_in| signed_in.session.id),
        browser: visit.visitor.browser(),
        record: visit.audit(AuditEvent::SignedIn, Actor::User(user.id), Some(user.id.to_string())),
    };
    let input = (started, visit.app.config.session);
    let made =
        visit.app.store.write(input, |tx, (started, lifetime)| Box::pin(started.save(tx, lifetime))).await?;
    Ok(if made { Outcome::SignedIn(cookie) } else { Outcome::Deactivated })
}

struct Started {
    session: NewSession,
    counted: Counts,
    /// The session this browser had before: it ends, its cookie is dead.
    old: Option<SessionId>,
    browser: Digest,
    record: AuditRecord,
}

impl Started {
    async fn save(
        &self,
        tx: &mut Tx,
        lifetime: &idp_core::session::SessionLifetime,
    ) -> Result<bool, StoreError> {
        let now = self.record.at;
        tx.clear_throttle(&self.counted.account).await?;
        tx.refund(&self.counted.network, now).await?;
        if !tx.insert_session(&self.session, lifetime, now).await? {
            return Ok(false);
        }
        if let Some(old) = self.old {
            tx.end_session(old, now).await?;
        }
        tx.remember_browser(self.session.user_id, &self.browser, now).await?;
        tx.audit(&self.record).await?;
        Ok(true)
    }
}

async fn fail(
    visit: &Visit,
    counted: Counts,
    user: Option<User>,
    locks: Option<Timestamp>,
) -> Result<(), PageError> {
    let subject = user.as_ref().map(|user| user.id.to_string());
    let record = visit.audit(AuditEvent::SignInFailed, Actor::Anonymous, subject);
    visit
        .app
        .store
        .write((counted, user, locks, record), |tx, (counted, user, locks, record)| {
            Box::pin(async move {
                tx.audit(record).await?;
                match locks {
                    Some(until) => locked(tx, &counted.account, user.as_ref(), *until, record).await,
                    None => Ok(()),
                }
            })
        })
        .await?;
    Ok(())
}

/// This try locked the account: it is written down, and the owner is told once.
async fn locked(
    tx: &mut Tx,
    account: &Counted,
    user: Option<&User>,
    until: Timestamp,
    failed: &AuditRecord,
) -> Result<(), StoreError> {
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
