//! How tries at a password are counted: per account, per known browser and per network.

use idp_core::account::throttle::{self, Reservation};
use idp_core::time::Timestamp;
use idp_core::user::Email;
use idp_store::{Credentials, Registration, StoreError, ThrottleKey, Tx};

use crate::http::context::RequestContext;
use crate::http::errors::PageError;

/// What is known of an address before a password is verified.
pub(super) struct AddressFacts {
    pub(super) credentials: Option<Credentials>,
    pub(super) registration: Option<Registration>,
    pub(super) browser_known: bool,
}

/// The counters of a try: of the account it is for, and of the network it comes from.
#[derive(Clone)]
pub(super) struct TryCounters {
    /// The account's counter, or that of one of its known browsers.
    pub(super) account: ThrottleKey,
    /// The client address's counter. `None` for a known browser: other people's tries from there must not lock the
    /// owner out.
    pub(super) network: Option<ThrottleKey>,
    /// The account's own counter, if `account` is that of a known browser.
    pub(super) account_of_known_browser: Option<ThrottleKey>,
}

impl TryCounters {
    pub(super) fn of(context: &RequestContext, email: &Email, known: &AddressFacts) -> Self {
        let user = known.credentials.as_ref().map(|credentials| credentials.user.id);
        let account = ThrottleKey::Account { email_key: email.key().to_owned(), user };
        match user.filter(|_| known.browser_known) {
            Some(user) => Self {
                account: ThrottleKey::KnownBrowser(user, context.browser.digest()),
                network: None,
                account_of_known_browser: Some(account),
            },
            None => Self {
                account,
                network: Some(ThrottleKey::Network(context.info.network().to_string())),
                account_of_known_browser: None,
            },
        }
    }

    /// Every write takes the rows in the same order, the network's first; otherwise two writes could deadlock.
    async fn reserve(&self, tx: &mut Tx, now: Timestamp) -> Result<Reserved, StoreError> {
        let mut locks = Locks::default();
        if let Some(network) = &self.network {
            match tx.reserve(network, &throttle::NETWORK, now).await? {
                Reservation::Locked { until } => return Ok(Reserved::Locked { until }),
                Reservation::LockedForGood => return Ok(Reserved::LockedForGood),
                Reservation::Granted { locks_until } => locks.network = locks_until.is_some(),
            }
        }
        let refused = match tx.reserve(&self.account, &throttle::ACCOUNT, now).await? {
            Reservation::Granted { locks_until } => {
                return Ok(Reserved::Granted(Locks { account: locks_until, ..locks }));
            }
            Reservation::Locked { until } => Reserved::Locked { until },
            Reservation::LockedForGood => Reserved::LockedForGood,
        };
        // A locked account verifies nothing, so the network is not charged.
        self.refund_network(tx, now).await?;
        Ok(refused)
    }

    async fn refund_network(&self, tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
        match &self.network {
            Some(network) => tx.refund(network, &throttle::NETWORK, now).await,
            None => Ok(()),
        }
    }

    pub(super) async fn refund(&self, tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
        self.refund_network(tx, now).await?;
        tx.refund(&self.account, &throttle::ACCOUNT, now).await
    }

    /// The password was right: earlier tries no longer count.
    pub(super) async fn clear(&self, tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
        self.refund_network(tx, now).await?;
        tx.clear_throttle(&self.account).await?;
        match &self.account_of_known_browser {
            Some(account) => tx.note_owner_sign_in(account).await,
            None => Ok(()),
        }
    }
}

/// What this try locks if it turns out wrong.
#[derive(Clone, Copy, Default)]
pub(super) struct Locks {
    /// The account, until this time.
    pub(super) account: Option<Timestamp>,
    /// The client address.
    pub(super) network: bool,
}

/// Whether a try may go on.
pub(super) enum Reserved {
    Granted(Locks),
    Locked { until: Timestamp },
    LockedForGood,
}

/// Counts a try before the password is verified.
pub(super) async fn reserve(
    context: &RequestContext,
    counts: &TryCounters,
    now: Timestamp,
) -> Result<Reserved, PageError> {
    let write = context
        .app
        .store
        .write((counts.clone(), now), |tx, (counts, now)| Box::pin(counts.reserve(tx, *now)));
    Ok(write.await?)
}

/// Takes a try back: nothing was compared, or the password was right.
pub(super) async fn refund(
    context: &RequestContext,
    counts: TryCounters,
    now: Timestamp,
) -> Result<(), PageError> {
    let write = context.app.store.write((counts, now), |tx, (counts, now)| Box::pin(counts.refund(tx, *now)));
    Ok(write.await?)
}
