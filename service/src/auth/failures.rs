//! Limits the cost of a peer that keeps failing: responses and log lines. A token of 256 random bits cannot be guessed,
//! so a peer with a valid one is accepted whatever else came from its address: if the limit locked it out, others who
//! share its address could use that against it.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Number of failures of one peer per minute that are answered and logged one by one.
pub(crate) const FAILURES_MAX: u32 = 10;

const WINDOW: Duration = Duration::from_secs(60);
const CELLS: usize = 1024;

/// Counts of failures, in cells that addresses share by a keyed hash, so that the table never grows.
pub(crate) struct Failures {
    /// The number of the window in the upper half of a cell, and the failures in the lower half.
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

    /// Counts a failure now. Returns whether it may be answered and logged.
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

/// Returns the part of an address that its owner cannot choose freely: 64 bits for IPv6.
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
