//! Reports the number of shards of groups, which depends on the work in flight at each moment
//! ([`free_shards`](crate::in_flight::free_shards)).

use super::ControlSettings;
use crate::decisions::{Change, Move, Reason, Window, Work};

/// Number of successive windows that must agree before a change is reported.
const AGREE_WINDOWS: u32 = 2;

/// Reports the mean number of shards of the groups in a window, when it has changed.
#[derive(Clone, Debug)]
pub struct ShardReport {
    on: bool,
    works: [Reported; 2],
}

#[derive(Clone, Copy, Debug)]
struct Reported {
    work: Work,
    shards: u64,
    /// The other number of shards in the last windows, and the number of those windows.
    other: (u64, u32),
}

impl ShardReport {
    /// Returns a report that starts from work without sharding.
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
