//! What each client address has in progress: connections, requests, bytes of heads and bodies. Each address has a share of the
//! total, so that none takes what the others need.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::http::address::Network;

/// Bytes of heads and bodies that may be in progress in total: 16,384 of the longest forms.
const BYTES: u64 = 256 * 1024 * 1024;
/// One address may have the total divided by this.
const BYTES_PART: u64 = 16;
/// One address may have all connections divided by this, and as many requests.
const PART: u64 = 4;
/// Requests in total, for each connection in total. This bounds memory; the shares of addresses keep it fair. It is
/// high because an HTTP/2 connection carries many requests, and a few addresses must not use up the total.
const REQUESTS: u64 = 10;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShareKind {
    Connection,
    /// From its head to the end of its response.
    Request,
    /// Bytes of a head until its response is made, and of a body, that have arrived.
    Bytes,
}

/// One number for each of [`ShareKind`].
#[derive(Debug, Default)]
struct Counts([AtomicU64; 3]);

impl Counts {
    /// Adds `amount`, unless the sum would exceed `most`.
    fn add(&self, kind: ShareKind, amount: u64, most: [u64; 3]) -> bool {
        let (count, most) = (&self.0[kind as usize], most[kind as usize]);
        let sum = |now: u64| now.checked_add(amount).filter(|sum| *sum <= most);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
    }

    fn subtract(&self, kind: ShareKind, amount: u64) {
        self.0[kind as usize].fetch_sub(amount, Ordering::Relaxed);
    }
}

/// The total, and the shares of all addresses.
#[derive(Debug)]
pub(crate) struct Shares {
    total: [u64; 3],
    each: [u64; 3],
    taken: Counts,
    of: Mutex<HashMap<Network, Weak<Share>>>,
}

/// The share of one client address. It exists while anybody holds it.
#[derive(Debug)]
pub(crate) struct Share {
    all: Arc<Shares>,
    /// `None`: one of the operator's own addresses, to which only the total applies.
    network: Option<Network>,
    taken: Counts,
}

/// An amount taken from a share. Dropping it gives the amount back.
#[derive(Debug)]
pub(crate) struct Taken {
    share: Arc<Share>,
    kind: ShareKind,
    amount: u64,
}

/// Who sent a request. [`crate::http::connections`] puts it into the request.
#[derive(Clone, Debug)]
pub(crate) struct AddressShare {
    /// The client's address.
    pub(crate) address: IpAddr,
    pub(crate) share: Arc<Share>,
    /// Whether a trusted proxy sent it.
    pub(crate) by_proxy: bool,
    /// Whether there is room for the request.
    pub(crate) admitted: bool,
}

impl Shares {
    /// `most` connections and ten times as many requests. One address may have `each` of either, by default a quarter
    /// of `most`.
    pub(crate) fn new(most: u32, each: Option<u32>) -> Arc<Self> {
        let most = u64::from(most);
        let each = each.map_or(most / PART, u64::from).max(1);
        let (total, each) = ([most, most * REQUESTS, BYTES], [each, each, BYTES / BYTES_PART]);
        Arc::new(Self { total, each, taken: Counts::default(), of: Mutex::default() })
    }

    /// The share of an address.
    pub(crate) fn of(self: &Arc<Self>, network: Network) -> Arc<Share> {
        let mut shares = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&network).and_then(Weak::upgrade) {
            return share;
        }
        let share =
            Arc::new(Share { all: Arc::clone(self), network: Some(network), taken: Counts::default() });
        shares.insert(network, Arc::downgrade(&share));
        share
    }

    /// A share without a limit of its own.
    pub(crate) fn unbounded(self: &Arc<Self>) -> Arc<Share> {
        Arc::new(Share { all: Arc::clone(self), network: None, taken: Counts::default() })
    }
}

impl Share {
    /// Takes `amount`, if both the address and the total have that much left.
    pub(crate) fn take(self: &Arc<Self>, kind: ShareKind, amount: u64) -> Option<Taken> {
        self.add(kind, amount).then(|| Taken { share: Arc::clone(self), kind, amount })
    }

    fn add(&self, kind: ShareKind, amount: u64) -> bool {
        if self.network.is_some() && !self.taken.add(kind, amount, self.all.each) {
            return false;
        }
        let added = self.all.taken.add(kind, amount, self.all.total);
        if !added && self.network.is_some() {
            self.taken.subtract(kind, amount);
        }
        added
    }
}

impl Taken {
    /// Takes `amount` more. `false`: that much is not left.
    pub(crate) fn grow(&mut self, amount: u64) -> bool {
        let added = self.share.add(self.kind, amount);
        if added {
            self.amount += amount;
        }
        added
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Self { share, kind, amount } = self;
        if share.network.is_some() {
            share.taken.subtract(*kind, *amount);
        }
        share.all.taken.subtract(*kind, *amount);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some(network) = self.network else { return };
        let mut shares = self.all.of.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have made a new share since the last holder dropped this one.
        if shares.get(&network).is_some_and(|share| share.strong_count() == 0) {
            shares.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    #[test]
    fn fault_04_one_address_may_have_a_quarter_and_all_together_the_total() {
        let shares = Shares::new(8, None);
        let (ada, eve) = (shares.of(network("192.0.2.1")), shares.of(network("192.0.2.2")));
        for (kind, whole) in [(ShareKind::Connection, 8), (ShareKind::Request, 80)] {
            let of_eve: Vec<Taken> = (0..10).filter_map(|_| eve.take(kind, 1)).collect();
            assert_eq!(of_eve.len(), 2);
            assert!(
                shares.of(network("192.0.2.2")).take(kind, 1).is_none(),
                "another connection of the same address"
            );
            assert!(ada.take(kind, 1).is_some());
            let own = shares.unbounded();
            let of_proxy: Vec<Taken> = (0..100).filter_map(|_| own.take(kind, 1)).collect();
            assert_eq!(of_proxy.len(), whole - 2, "all that is left");
            assert!(ada.take(kind, 1).is_none());
            drop(of_eve);
            assert!(ada.take(kind, 1).is_some() && eve.take(kind, 1).is_some(), "after it was given back");
        }
        assert!(eve.take(ShareKind::Bytes, BYTES / BYTES_PART + 1).is_none());
        let much = eve.take(ShareKind::Bytes, BYTES / BYTES_PART);
        assert!(
            much.is_some()
                && eve.take(ShareKind::Bytes, 1).is_none()
                && ada.take(ShareKind::Bytes, 1).is_some()
        );
    }

    #[test]
    fn fault_04_a_few_addresses_with_full_shares_leave_room_for_others() {
        let shares = Shares::new(10_000, None);
        let mut taken = Vec::new();
        for number in 0..=20u8 {
            let share = shares.of(Network::of(IpAddr::from([192, 0, 2, number])));
            let before = taken.len();
            taken.extend((0..3_000).filter_map(|_| share.take(ShareKind::Request, 1)));
            assert_eq!(taken.len() - before, 2_500, "{number}");
        }
    }

    #[test]
    fn fault_04_a_body_counts_as_it_arrives() {
        let shares = Shares::new(8, None);
        let eve = shares.of(network("192.0.2.2"));
        let mut body = eve.take(ShareKind::Bytes, 0).unwrap();
        assert!(body.grow(BYTES / BYTES_PART - 10) && body.grow(10) && !body.grow(1));
        assert!(eve.take(ShareKind::Bytes, 1).is_none());
        drop(body);
        assert_eq!(shares.taken.0[ShareKind::Bytes as usize].load(Ordering::Relaxed), 0);
        assert!(eve.take(ShareKind::Bytes, BYTES / BYTES_PART).is_some());
    }

    #[test]
    fn fault_04_an_ipv6_household_has_one_share_which_a_setting_changes() {
        let shares = Shares::new(100, Some(3));
        let household = |end: u32| shares.of(network(&format!("2001:db8::{end:x}")));
        let taken: Vec<Taken> =
            (1..10).filter_map(|end| household(end).take(ShareKind::Connection, 1)).collect();
        assert_eq!(taken.len(), 3);
        assert!(shares.of(network("2001:db8:0:1::1")).take(ShareKind::Connection, 1).is_some());
    }

    #[test]
    fn fault_04_a_share_that_nobody_holds_is_removed() {
        let shares = Shares::new(100, None);
        for number in 0..=255u8 {
            let share = shares.of(Network::of(IpAddr::from([192, 0, 2, number])));
            drop(share.take(ShareKind::Request, 1));
        }
        assert!(shares.of.lock().unwrap().is_empty());
        assert_eq!(shares.taken.0[ShareKind::Request as usize].load(Ordering::Relaxed), 0);
    }
}
