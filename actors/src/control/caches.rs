//! One budget of bytes for two caches: values that were read, and the tree in memory.
//!
//! Bytes go to where the next ones save more reads of the store, the marginal utility of Qureshi and Patt (2006).
//! The cache of values counts what an eighth more would have hit. The tree counts what it had to restore: its
//! misses, of which an eighth more memory is taken to save the share that lies outside. Not here: measuring either.

use super::{Change, ControlSettings, Limits, Reason, Window};

/// The largest step: a sixteenth of the budget.
const STEP_SHARE: u64 = 16;
/// One side must gain so many times more than the other one loses.
const CLEARLY: u128 = 2;
/// Saved reads that are worth a step, over the windows looked at.
const SAVED_MIN: u128 = 64;
/// Windows looked at together.
const WINDOWS: u32 = 4;
/// Longest pause after steps that went back and forth, windows.
const PAUSE_MAX: u32 = 512;

/// Moves bytes between the cache of values and the tree.
///
/// ```
/// use trunkline::control::{Caches, ControlSettings, Limits, Window};
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
    windows: u32,
    pause: u32,
    pause_next: u32,
    last_up: Option<bool>,
}

impl Caches {
    /// Nothing moved yet.
    pub fn new(settings: &ControlSettings, limits: &Limits) -> Self {
        Self {
            on: settings.caches,
            limits: limits.clone(),
            value_saved: 0,
            tree_saved: 0,
            windows: 0,
            pause: 0,
            pause_next: 1,
            last_up: None,
        }
    }

    /// Looks at a window.
    pub fn decide(&mut self, window: &Window) -> Option<(Change, Reason)> {
        if !self.on || window.value_cache_bytes_max == 0 || window.tree_bytes_max == 0 {
            return None;
        }
        self.add(window);
        if self.windows < WINDOWS {
            return None;
        }
        let (values, tree) = (self.value_saved, self.tree_saved);
        (self.value_saved, self.tree_saved, self.windows) = (0, 0, 0);
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        let up = direction(values, tree)?;
        self.step(window, up)
    }

    /// Reads that a mebibyte more would have saved, in thousandths, on each side.
    fn add(&mut self, window: &Window) {
        self.windows += 1;
        // The last eighth of the cache is what near misses are counted over; the tree's restored cells over all of it.
        let value_bytes = window.value_cache_bytes_max / 8;
        self.value_saved += per_mebibyte(window.value_cache_near_misses, value_bytes);
        self.tree_saved += per_mebibyte(window.cells_restored, window.tree_bytes_max);
    }

    fn step(&mut self, window: &Window, up: bool) -> Option<(Change, Reason)> {
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
        Some((Change::ValueCacheBytes { from, to }, Reason::MarginalHits))
    }

    /// Steps that go back and forth are paused, longer each time.
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

/// Whether values should have more, if one side gains clearly more than the other one.
fn direction(values: u128, tree: u128) -> Option<bool> {
    if values.max(tree) < SAVED_MIN {
        return None;
    }
    if values > tree * CLEARLY {
        return Some(true);
    }
    (tree > values * CLEARLY).then_some(false)
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
            cells_restored: restored,
            ..Window::default()
        }
    }

    /// Values hit so often, at most, that a cache of `value_knee` has them all; the tree likewise.
    fn run(value_knee: u64, tree_knee: u64, rounds: u32) -> (u64, usize) {
        let (mut caches, mut bytes, mut moves) = (caches(), 512 * MIB, 0);
        for _ in 0..rounds {
            let lacks = |has: u64, knee: u64| knee.saturating_sub(has) / MIB * 10;
            let now = window(
                lacks(bytes, value_knee),
                lacks(1024 * MIB - bytes, tree_knee),
                bytes,
            );
            if let Some((Change::ValueCacheBytes { from, to }, _)) = caches.decide(&now) {
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
