//! Cuts work on a group into shards by what is in flight, and reports what it did.
//!
//! A group that is alone in the pipeline uses one core at a time, unless its work is cut. In a full pipeline every core
//! has a stage to run, and cutting only moves work about. Which of the two holds is known at every moment, so nothing is
//! tried out and nothing is learnt.

use super::ControlSettings;
use crate::decisions::{Change, Move, Reason, Window, Work};

/// Windows in a row that must agree before a change is reported.
const AGREE_WINDOWS: u32 = 2;

/// Returns the shards for the work on one group or batch: one for each core that nothing else keeps busy. `groups` and
/// `batches` count the others: groups that a stage computes on, and batches that their callers prepare.
///
/// ```
/// use trunkline_actors::adaptive::free_shards;
/// assert_eq!(free_shards(8, 0, 0), 8); // alone
/// assert_eq!(free_shards(8, 2, 1), 5);
/// assert_eq!(free_shards(2, 3, 1), 1); // a full pipeline
/// ```
pub fn free_shards(cores: usize, groups: usize, batches: usize) -> usize {
    cores.saturating_sub(groups + batches).max(1)
}

/// Reports the shards that groups of a window were cut into, on average, when they are others than before.
#[derive(Clone, Debug)]
pub struct ShardReport {
    on: bool,
    works: [Reported; 2],
}

#[derive(Clone, Copy, Debug)]
struct Reported {
    work: Work,
    shards: u64,
    /// Other shards that the last windows saw, and how many windows.
    other: (u64, u32),
}

impl ShardReport {
    /// Returns a report that starts from work that is not cut.
    pub fn new(settings: &ControlSettings) -> Self {
        let uncut = |work| Reported {
            work,
            shards: 1,
            other: (1, 0),
        };
        Self {
            on: settings.workers,
            works: [Work::Tree, Work::Hash].map(uncut),
        }
    }

    /// Returns the changes to report after a window.
    pub fn decide(&mut self, window: &Window) -> impl Iterator<Item = Move> {
        let used = window.groups > 0 && self.on;
        let works = self.works.iter_mut().filter(move |_| used);
        works.filter_map(|reported| reported.next(window))
    }
}

impl Reported {
    fn next(&mut self, window: &Window) -> Option<Move> {
        let now = match self.work {
            Work::Tree => window.tree_parallelism,
            _ => window.hash_parallelism,
        };
        self.other = match self.other {
            (other, windows) if other == now => (now, windows + 1),
            _ => (now, 1),
        };
        if now == self.shards || self.other.1 < AGREE_WINDOWS {
            return None;
        }
        let (work, from, to) = (self.work, self.shards, now);
        self.shards = now;
        let reason = match to > from {
            true => Reason::CoresFree,
            false => Reason::CoresBusy,
        };
        Some(Move::new(Change::Parallelism { work, from, to }, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(report: &mut ShardReport, groups: u64, shards: u64) -> Vec<(Change, Reason)> {
        let window = Window {
            groups,
            tree_parallelism: shards,
            hash_parallelism: shards,
            ..Window::default()
        };
        let moves = report.decide(&window);
        moves.map(|moved| (moved.change, moved.reason)).collect()
    }

    #[test]
    fn shards_follow_the_cores_that_nothing_else_keeps_busy() {
        let shards = |groups| free_shards(4, groups, 0);
        assert_eq!([0, 1, 2, 3, 4, 9].map(shards), [4, 3, 2, 1, 1, 1]);
        assert_eq!(free_shards(4, 0, 2), 2);
        assert_eq!(free_shards(1, 0, 0), 1);
    }

    #[test]
    fn other_shards_are_reported_once_two_windows_agree() {
        let mut report = ShardReport::new(&ControlSettings::default());
        assert_eq!(changes(&mut report, 9, 2), []);
        let change =
            |from, to| [Work::Tree, Work::Hash].map(|work| Change::Parallelism { work, from, to });
        let cores_free = change(1, 2).map(|change| (change, Reason::CoresFree));
        assert_eq!(changes(&mut report, 9, 2), cores_free);
        assert_eq!(changes(&mut report, 9, 2), []);
        // One window is chance, and a window without groups says nothing.
        assert_eq!(changes(&mut report, 9, 1), []);
        assert_eq!(changes(&mut report, 9, 2), []);
        assert_eq!(changes(&mut report, 0, 1), []);
        assert_eq!(changes(&mut report, 9, 1), []);
        let cores_busy = change(2, 1).map(|change| (change, Reason::CoresBusy));
        assert_eq!(changes(&mut report, 9, 1), cores_busy);
    }

    #[test]
    fn nothing_is_reported_of_fixed_shards() {
        let settings = ControlSettings {
            workers: false,
            ..ControlSettings::default()
        };
        let mut report = ShardReport::new(&settings);
        assert_eq!(changes(&mut report, 9, 2), []);
        assert_eq!(changes(&mut report, 9, 2), []);
    }
}
