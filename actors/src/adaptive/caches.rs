//! Divides one budget of bytes between two caches: values that were read, and the tree in memory.
//!
//! Bytes go to the side on which they save more reads of the store (the marginal utility of Qureshi and Patt, 2006).
//! The cache of values counts the hits that a given number of additional bytes would have had. The tree counts the
//! pages that it had to restore: each additional byte is assumed to save its share of these misses.

use super::{ControlSettings, Limits};
use crate::decisions::{Change, Evidence, Move, Reason, Window};

/// The largest step, as a fraction of the budget: a sixteenth.
const STEP_SHARE: u64 = 16;
/// The factor by which the gain of one side must exceed the loss of the other.
const CLEARLY: u128 = 2;
/// The number of saved reads for which a step is made, over the observed windows.
const SAVED_MIN: u128 = 64;
/// The number of windows that are observed together.
const WINDOWS: u32 = 4;
/// The longest pause after steps back and forth, in windows.
const PAUSE_MAX: u32 = 512;

/// Moves bytes between the cache of values and the tree.
///
/// ```
/// use trunkline_actors::adaptive::{Caches, ControlSettings, Limits};
/// use trunkline_actors::decisions::Window;
/// let mut caches = Caches::new(&ControlSettings::default(), &Limits::default());
/// let window = Window {
///     value_cache_bytes_max: 64 << 20,
///     tree_bytes_max: 0, // unbounded: there is nothing to share
///     value_cache_near_misses: 10_000,
///     ..Window::default()
/// };
/// assert_eq!(caches.decide(&window), None);
/// ```
#[derive(Clone, Debug)]
pub struct Caches {
    on: bool,
    limits: Limits,
    value_saved: u128,
    tree_saved: u128,
    /// The measurements of the window from which both were computed.
    near_misses: u64,
    pages_restored: u64,
    windows: u32,
    pause: u32,
    pause_next: u32,
    last_up: Option<bool>,
}

impl Caches {
    /// Returns a controller that has made no step yet.
    pub fn new(settings: &ControlSettings, limits: &Limits) -> Self {
        Self {
            on: settings.caches,
            limits: limits.clone(),
            value_saved: 0,
            tree_saved: 0,
            near_misses: 0,
            pages_restored: 0,
            windows: 0,
            pause: 0,
            pause_next: 1,
            last_up: None,
        }
    }

    /// Takes a window and returns a step, if one is needed.
    pub fn decide(&mut self, window: &Window) -> Option<Move> {
        if !self.on || window.value_cache_bytes_max == 0 || window.tree_bytes_max == 0 {
            return None;
        }
        self.add(window);
        if self.windows < WINDOWS {
            return None;
        }
        let (values, tree) = (self.value_saved, self.tree_saved);
        let evidence = Evidence::Bytes {
            near_misses: self.near_misses,
            near_bytes: near_bytes(window),
            pages_restored: self.pages_restored,
            tree_bytes: window.tree_bytes_max,
        };
        (self.value_saved, self.tree_saved, self.windows) = (0, 0, 0);
        (self.near_misses, self.pages_restored) = (0, 0);
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        let up = direction(values, tree)?;
        let change = self.step(window, up)?;
        Some(Move::new(change, Reason::MarginalHits).judged_by(evidence))
    }

    /// Adds the reads that one more mebibyte would have saved on each side, in thousandths.
    fn add(&mut self, window: &Window) {
        self.windows += 1;
        // Near misses are counted over the bytes that they stand for; the tree's restored pages over all its bytes.
        self.value_saved += per_mebibyte(window.value_cache_near_misses, near_bytes(window));
        self.tree_saved += per_mebibyte(window.pages_restored, window.tree_bytes_max);
        let near_misses = window.value_cache_near_misses;
        self.near_misses = self.near_misses.saturating_add(near_misses);
        self.pages_restored = self.pages_restored.saturating_add(window.pages_restored);
    }

    fn step(&mut self, window: &Window, up: bool) -> Option<Change> {
        let from = window.value_cache_bytes_max;
        let budget = from.saturating_add(window.tree_bytes_max);
        let step = budget / STEP_SHARE;
        let highest = budget.saturating_sub(self.limits.tree_bytes_min);
        let lowest = self.limits.value_cache_bytes_min.max(1);
        if highest < lowest {
            return None;
        }
        let wanted = if up {
            from.saturating_add(step)
        } else {
            from.saturating_sub(step)
        };
        let to = wanted.clamp(lowest, highest);
        if to == from || (to > from) != up || to.abs_diff(from) > step {
            return None;
        }
        self.settle(up);
        Some(Change::ValueCacheBytes { from, to })
    }

    /// Pauses after steps back and forth, longer each time.
    fn settle(&mut self, up: bool) {
        let back = self.last_up.is_some_and(|last| last != up);
        self.pause_next = if back {
            (self.pause_next * 2).min(PAUSE_MAX)
        } else {
            self.pause_next.max(2) / 2
        };
        self.pause = if back { self.pause_next } else { 1 };
        self.last_up = Some(up);
    }
}

/// Returns whether values should get more bytes, if one side gains clearly more than the other loses.
fn direction(values: u128, tree: u128) -> Option<bool> {
    if values.max(tree) < SAVED_MIN {
        return None;
    }
    if values > tree * CLEARLY {
        return Some(true);
    }
    (tree > values * CLEARLY).then_some(false)
}

/// Returns the number of bytes that near misses stand for; an eighth of the cache if they were not measured.
fn near_bytes(window: &Window) -> u64 {
    match window.value_cache_near_bytes {
        0 => window.value_cache_bytes_max / 8,
        measured => measured,
    }
}

fn per_mebibyte(reads: u64, bytes: u64) -> u128 {
    ((u128::from(reads) * 1000) << 20) / u128::from(bytes.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn caches() -> Caches {
        Caches::new(&ControlSettings::default(), &Limits::default())
    }

    fn window(near_misses: u64, restored: u64, value_bytes: u64) -> Window {
        Window {
            value_cache_bytes_max: value_bytes,
            tree_bytes_max: 1024 * MIB - value_bytes,
            value_cache_near_misses: near_misses,
            pages_restored: restored,
            ..Window::default()
        }
    }

    /// Simulates values that a cache of `value_knee` bytes holds completely; the tree likewise.
    fn run(value_knee: u64, tree_knee: u64, rounds: u32) -> (u64, usize) {
        let (mut caches, mut bytes, mut moves) = (caches(), 512 * MIB, 0);
        for _ in 0..rounds {
            let lacks = |has: u64, knee: u64| knee.saturating_sub(has) / MIB * 10;
            let now = window(
                lacks(bytes, value_knee),
                lacks(1024 * MIB - bytes, tree_knee),
                bytes,
            );
            let moved = caches.decide(&now).map(|moved| moved.change);
            if let Some(Change::ValueCacheBytes { from, to }) = moved {
                assert_eq!(from, bytes);
                assert!(from.abs_diff(to) <= 64 * MIB);
                (bytes, moves) = (to, moves + 1);
            }
        }
        (bytes, moves)
    }

    #[test]
    fn bytes_go_where_they_save_reads() {
        assert!(run(900 * MIB, 64 * MIB, 200).0 >= 896 * MIB);
        assert!(run(64 * MIB, 900 * MIB, 200).0 <= 128 * MIB);
    }

    #[test]
    fn near_misses_weigh_by_the_room_that_they_stand_for() {
        let moved = |near_bytes: u64| {
            let mut caches = caches();
            // There are as many restored pages as near misses in an eighth of the cache, byte for byte: no reason for a
            // step.
            let now = Window {
                value_cache_near_bytes: near_bytes,
                ..window(1_000, 8_000, 512 * MIB)
            };
            (0..8).find_map(|_| caches.decide(&now))
        };
        assert_eq!(moved(0), None);
        assert_eq!(moved(64 * MIB), None);
        // Only a part of many small values is remembered, so these near misses stand for more.
        let up = moved(5 * MIB).unwrap();
        let (from, to) = (512 * MIB, 576 * MIB);
        assert_eq!(up.change, Change::ValueCacheBytes { from, to });
        let evidence = Evidence::Bytes {
            near_misses: 4_000,
            near_bytes: 5 * MIB,
            pages_restored: 32_000,
            tree_bytes: 512 * MIB,
        };
        assert_eq!(up.evidence, Some(evidence));
        // More large values may be remembered than the cache holds: near misses in that many bytes are worth less.
        let (from, to) = (512 * MIB, 448 * MIB);
        let down = moved(1088 * MIB).unwrap();
        assert_eq!(down.change, Change::ValueCacheBytes { from, to });
    }

    #[test]
    fn two_that_both_lack_bytes_do_not_play_ping_pong() {
        let early = run(800 * MIB, 800 * MIB, 200).1;
        let late = run(800 * MIB, 800 * MIB, 400).1;
        assert!(late - early <= 4, "{early} {late}");
    }

    #[test]
    fn floors_are_kept() {
        let (mut most, mut least) = (caches(), caches());
        for _ in 0..20 {
            assert_eq!(most.decide(&window(u64::MAX, 0, 1023 * MIB)), None);
            assert_eq!(least.decide(&window(0, u64::MAX, MIB)), None);
        }
    }
}
