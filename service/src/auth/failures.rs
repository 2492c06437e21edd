//! Limits what a peer that keeps failing costs: answers and lines of the log. A token of 256 random bits cannot be
//! guessed, so a peer that shows a valid one is let in whatever else came from its address: a limit that locked it out
//! would be a weapon of those who share its address.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Failures of one peer in a minute that are answered and logged one by one.
pub(crate) const FAILURES_MAX: u32 = 10;

const WINDOW: Duration = Duration::from_secs(60);
const CELLS: usize = 1024;

/// Counts of failures, in cells that addresses share by a keyed hash: the table never grows.
pub(crate) struct Failures {
    /// The number of the window in the upper half, failures in the lower.
    cells: Box<[AtomicU64]>,
    keys: RandomState,
    begun: Instant,
}

impl Failures {
    pub(crate) fn new() -> Self {
        Self {
            cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
            keys: RandomState::new(),
            begun: Instant::now(),
        }
    }

    /// Counts a failure now. Returns whether the peer may have it answered and logged.
    pub(crate) fn count(&self, peer: Option<IpAddr>) -> bool {
        let windows = self.begun.elapsed().as_secs() / WINDOW.as_secs();
        self.count_in(peer, u32::try_from(windows).unwrap_or(u32::MAX))
    }

    fn count_in(&self, peer: Option<IpAddr>, window: u32) -> bool {
        let cell = self.keys.hash_one(peer.map(network)) as usize % CELLS;
        let window = u64::from(window) << 32;
        let add = |cell: u64| {
            let failures = if cell >> 32 == window >> 32 {
                cell as u32
            } else {
                0
            };
            window | u64::from(failures.saturating_add(1))
        };
        let counted = self.cells[cell]
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |cell| Some(add(cell)));
        let before = counted.unwrap_or_else(|cell| cell);
        add(before) as u32 <= FAILURES_MAX
    }
}

/// The part of an address that its owner cannot change at will: 64 bits with IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> 64 << 64;
            IpAddr::V6(bits.into())
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_may_fail_some_times_in_each_minute() {
        let failures = Failures::new();
        let peer = Some("192.0.2.1".parse().unwrap());
        for window in [0, 1, 7] {
            for _ in 0..FAILURES_MAX {
                assert!(failures.count_in(peer, window));
            }
            assert!(!failures.count_in(peer, window));
        }
    }

    #[test]
    fn addresses_of_one_network_count_as_one_peer() {
        let failures = Failures::new();
        let peers = ["2001:db8::1", "2001:db8::ffff:2"].map(|peer| Some(peer.parse().unwrap()));
        for at in 0..FAILURES_MAX as usize {
            assert!(failures.count_in(peers[at % 2], 0));
        }
        assert!(!failures.count_in(peers[0], 0) && !failures.count_in(peers[1], 0));
    }
}
