//! Finds the most accessed parts of the key space, with a bounded, decaying count of 14-bit prefixes.
//!
//! Space-Saving (Metwally, Agrawal, El Abbadi 2005, "Efficient Computation of Frequent and Top-k Elements in Data
//! Streams"): a prefix that is not counted replaces the one with the lowest count, and takes that count as its error.
//! All counts decay by a factor each window, so that formerly hot prefixes cool down.

use std::collections::HashMap;

use crate::decisions::{Change, Evidence, Move, Reason};

/// Number of prefixes that are counted at the same time.
const COUNTERS: usize = 256;
/// Longest list.
const LISTED_MAX: usize = 32;
/// The share of a count that is left after a window: about half is left after two.
const DECAY: f64 = 0.7;
/// Number of possible prefixes.
const PREFIXES: f64 = 16_384.0;
/// The multiple of its share that a prefix certainly has if it is hot.
const HOT: f64 = 16.0;
/// The multiple at which it stays in the list.
const WARM: f64 = 8.0;
/// The number of decayed samples below which there is no result.
const SAMPLES_MIN: f64 = 500.0;
/// The number of windows for which a different list must last before it is reported.
const WINDOWS: u32 = 3;
/// The percentage of the list that must have changed.
const CHANGED_MIN: usize = 25;

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    seen: f64,
    /// The part of the count that may belong to others.
    error: f64,
}

/// The list of hot prefixes, which changes only when they do.
///
/// ```
/// use trunkline_actors::adaptive::HotPrefixes;
/// use trunkline_actors::decisions::Change;
/// let mut hot = HotPrefixes::new(4);
/// let mut list = None;
/// for _ in 0..5 {
///     hot.touch((0..2_000_u16).map(|at| if at % 2 == 0 { 7 } else { at * 8 }));
///     list = hot.decide().or(list);
/// }
/// assert_eq!(list.unwrap().change, Change::HotPrefixes { prefixes: vec![7] });
/// ```
#[derive(Clone, Debug)]
pub struct HotPrefixes {
    listed_max: usize,
    counts: HashMap<u16, Count>,
    samples: f64,
    listed: Vec<u16>,
    differed: u32,
}

impl HotPrefixes {
    /// Creates an empty count that lists at most `listed_max` prefixes: 0 to 32.
    pub fn new(listed_max: usize) -> Self {
        Self {
            listed_max: listed_max.min(LISTED_MAX),
            counts: HashMap::with_capacity(COUNTERS),
            samples: 0.0,
            listed: Vec::new(),
            differed: 0,
        }
    }

    /// Counts sampled operations by the first 14 bits of their paths; higher bits are ignored.
    pub fn touch(&mut self, prefixes: impl IntoIterator<Item = u16>) {
        if self.listed_max == 0 {
            return;
        }
        for prefix in prefixes {
            self.samples += 1.0;
            self.count(prefix & 0x3fff);
        }
    }

    fn count(&mut self, prefix: u16) {
        if let Some(count) = self.counts.get_mut(&prefix) {
            count.seen += 1.0;
            return;
        }
        let error = if self.counts.len() < COUNTERS {
            0.0
        } else {
            self.evict()
        };
        let seen = error + 1.0;
        self.counts.insert(prefix, Count { seen, error });
    }

    /// Removes the prefix with the lowest count (the smallest of several) and returns its count.
    fn evict(&mut self) -> f64 {
        let order = |(a_prefix, a): &(u16, f64), (b_prefix, b): &(u16, f64)| {
            a.total_cmp(b).then(a_prefix.cmp(b_prefix))
        };
        let all = self
            .counts
            .iter()
            .map(|(prefix, count)| (*prefix, count.seen));
        let Some((prefix, seen)) = all.min_by(order) else {
            return 0.0;
        };
        self.counts.remove(&prefix);
        seen
    }

    /// Ends a window: counts decay. Returns the list if other prefixes have been hot for a while.
    pub fn decide(&mut self) -> Option<Move> {
        let hot = self.hot();
        let touched = self.touched(&hot);
        self.decay();
        if !self.differs(&hot) {
            self.differed = 0;
            return None;
        }
        self.differed = self.differed.saturating_add(1);
        if self.differed < WINDOWS {
            return None;
        }
        self.differed = 0;
        self.listed.clone_from(&hot);
        let change = Change::HotPrefixes { prefixes: hot };
        Some(Move::new(change, Reason::Skew).judged_by(touched))
    }

    /// Returns the number of samples, and the number that certainly had these prefixes.
    fn touched(&self, hot: &[u16]) -> Evidence {
        let counts = hot.iter().filter_map(|prefix| self.counts.get(prefix));
        let listed: f64 = counts.map(|count| count.seen - count.error).sum();
        Evidence::Touched {
            samples: self.samples as u64,
            listed: listed as u64,
        }
    }

    fn hot(&self) -> Vec<u16> {
        if self.samples < SAMPLES_MIN {
            return self.listed.clone();
        }
        let share = self.samples / PREFIXES;
        let sure = |prefix: &u16, count: &Count| {
            let times = if self.listed.contains(prefix) {
                WARM
            } else {
                HOT
            };
            // A few hits are chance, however small a share is.
            count.seen - count.error >= (times * share).max(times / 2.0)
        };
        let mut hot: Vec<(u16, f64)> = self
            .counts
            .iter()
            .filter(|(prefix, count)| sure(prefix, count))
            .map(|(prefix, count)| (*prefix, count.seen - count.error))
            .collect();
        hot.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        hot.truncate(self.listed_max);
        hot.into_iter().map(|(prefix, _)| prefix).collect()
    }

    fn decay(&mut self) {
        self.samples *= DECAY;
        self.counts.retain(|_, count| {
            count.seen *= DECAY;
            count.error *= DECAY;
            count.seen >= 0.1
        });
    }

    /// Returns whether a quarter of the list or more has changed. The order does not count.
    fn differs(&self, hot: &[u16]) -> bool {
        let (now, then) = (hot.len(), self.listed.len());
        let common = hot
            .iter()
            .filter(|prefix| self.listed.contains(prefix))
            .count();
        let longest = now.max(then);
        longest > 0 && (longest - common) * 100 >= longest * CHANGED_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a window of samples: half on `hot` keys from `from` on, half anywhere.
    fn window(from: u16, hot: u16, round: u32) -> impl Iterator<Item = u16> {
        (0..4_000_u32).map(move |at| {
            let mixed = at.wrapping_mul(2_654_435_761).wrapping_add(round * 97);
            if at % 2 == 0 {
                from + (mixed >> 8) as u16 % hot
            } else {
                (mixed >> 16) as u16
            }
        })
    }

    #[test]
    fn the_hot_ones_are_listed_once_and_again_only_when_they_shift() {
        let mut hot = HotPrefixes::new(16);
        let mut told = Vec::new();
        for round in 0..60 {
            hot.touch(window(if round < 30 { 100 } else { 9_000 }, 8, round));
            if let Some(Change::HotPrefixes { prefixes }) = hot.decide().map(|told| told.change) {
                told.push((round, prefixes));
            }
        }
        assert!(told.len() <= 4, "{told:?}");
        let at = |round: u32| {
            let before = told.iter().rev().find(|(told, _)| *told < round);
            let mut listed = before
                .map(|(_, prefixes)| prefixes.clone())
                .unwrap_or_default();
            listed.sort_unstable();
            listed
        };
        assert_eq!(at(15), (100..108).collect::<Vec<_>>());
        assert_eq!(at(50), (9_000..9_008).collect::<Vec<_>>());
    }

    #[test]
    fn even_load_has_no_hot_ones() {
        let mut hot = HotPrefixes::new(16);
        for round in 0..40_u32 {
            hot.touch((0..4_000_u32).map(|at| {
                (at.wrapping_mul(2_654_435_761)
                    .wrapping_add(round.wrapping_mul(40_503))
                    >> 16) as u16
            }));
            assert_eq!(hot.decide(), None);
        }
        assert!(hot.counts.len() <= COUNTERS);
    }

    #[test]
    fn nothing_is_listed_if_nothing_may_be() {
        let mut hot = HotPrefixes::new(0);
        hot.touch(std::iter::repeat_n(3, 10_000));
        assert_eq!(hot.decide(), None);
    }
}
