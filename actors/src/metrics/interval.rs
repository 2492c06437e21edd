//! Measurements between the ends of two windows: counts, and histograms that are emptied when a window ends.
//!
//! Recording takes a lock for one addition, once for each group or submission.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::decisions::{Latencies, Quantiles, StageWindow, Window, Work, histogram};
use crate::failure::Stage;
use crate::metrics::group::{ClosedBy, GroupTag};
use crate::runtime::clock::{self, micros};

/// Returns the quantiles of the recorded values, and empties the histogram.
fn take(histogram: &mut Histogram<u64>) -> Quantiles {
    let quantiles = Quantiles::of(histogram);
    histogram.reset();
    quantiles
}

#[derive(Debug)]
struct StageInterval {
    busy: Duration,
    served: u64,
    queue_wait_us: Histogram<u64>,
}

#[derive(Debug)]
struct Groups {
    sealed: u64,
    full: u64,
    full_of_bytes: u64,
    shared_out: u64,
    operations: Histogram<u64>,
    /// The number of times that work was cut into shards, and the sum of the shards: for tree and for hash.
    cuts: [(u64, u64); 2],
}

#[derive(Debug)]
struct Durable {
    operations: u64,
    seal_wait_us: Histogram<u64>,
    durable_us: Histogram<u64>,
    /// Latencies from acceptance to durability of the groups that were sealed under `cap`.
    under_cap: Latencies,
    cap: u64,
}

/// The measurements since the last window ended.
#[derive(Debug)]
pub struct Interval {
    stages: [Mutex<StageInterval>; 5],
    groups: Mutex<Groups>,
    durable: Mutex<Durable>,
}

impl Default for Interval {
    fn default() -> Self {
        let stage = |_| {
            Mutex::new(StageInterval {
                busy: Duration::ZERO,
                served: 0,
                queue_wait_us: histogram(),
            })
        };
        Self {
            stages: Stage::ALL.map(stage),
            groups: Mutex::new(Groups {
                sealed: 0,
                full: 0,
                full_of_bytes: 0,
                shared_out: 0,
                operations: histogram(),
                cuts: [(0, 0); 2],
            }),
            durable: Mutex::new(Durable {
                operations: 0,
                seal_wait_us: histogram(),
                durable_us: histogram(),
                under_cap: Latencies::default(),
                cap: 0,
            }),
        }
    }
}

impl Interval {
    /// Records that a stage served a message.
    pub fn served(&self, stage: Stage, queue_wait: Duration, service: Duration) {
        let mut interval = self.stages[stage as usize].lock();
        interval.busy += service;
        interval.served += 1;
        interval.queue_wait_us.saturating_record(micros(queue_wait));
    }

    /// Records work of a stage that is not the service of one message.
    pub fn busy(&self, stage: Stage, work: Duration) {
        self.stages[stage as usize].lock().busy += work;
    }

    /// Records that a group was sealed.
    pub fn sealed(&self, tag: &GroupTag) {
        let mut groups = self.groups.lock();
        groups.sealed += 1;
        match tag.closed_by {
            ClosedBy::Nothing => {}
            ClosedBy::Operations => groups.full += 1,
            ClosedBy::Bytes => groups.full_of_bytes += 1,
            ClosedBy::Share => groups.shared_out += 1,
        }
        groups.operations.saturating_record(tag.operations);
    }

    /// Records that work on a group is cut into shards. Proofs do not count.
    pub fn cut(&self, work: Work, shards: usize) {
        if let Some((times, sum)) = self.groups.lock().cuts.get_mut(work as usize) {
            *times += 1;
            *sum += shards as u64;
        }
    }

    /// Records that a group is durable. `accepted` tells when its submissions were accepted.
    pub fn durable(&self, tag: &GroupTag, accepted: &[Instant], cap_of_now: u64) {
        let now = clock::now();
        let mut durable = self.durable.lock();
        durable.operations += tag.operations;
        if durable.cap != cap_of_now {
            durable.cap = cap_of_now;
            durable.under_cap.clear();
        }
        if tag.operations_max == cap_of_now {
            let since_us = micros(now.saturating_duration_since(tag.sealed_at));
            let sum_us = since_us.saturating_mul(tag.operations);
            let sum_us = sum_us.saturating_add(tag.operations_waited_us);
            durable.under_cap.weigh(tag.operations, sum_us);
        }
        for accepted_at in accepted.iter().copied() {
            let waited = micros(tag.sealed_at.saturating_duration_since(accepted_at));
            let latency = micros(now.saturating_duration_since(accepted_at));
            durable.seal_wait_us.saturating_record(waited);
            durable.durable_us.saturating_record(latency);
            if tag.operations_max == cap_of_now {
                durable.under_cap.record(latency, 1);
            }
        }
    }

    /// Ends the window: writes its measurements into `window`, and the latencies of groups that were sealed under the
    /// cap in force into `latencies`.
    pub fn end(&self, window: &mut Window, latencies: &mut Latencies) {
        for (stage, into) in self.stages.iter().zip(&mut window.stages) {
            let mut stage = stage.lock();
            *into = StageWindow {
                busy_us: micros(std::mem::take(&mut stage.busy)),
                served: std::mem::take(&mut stage.served),
                queue_wait_us: take(&mut stage.queue_wait_us),
            };
        }
        let mut groups = self.groups.lock();
        window.groups = std::mem::take(&mut groups.sealed);
        window.groups_full = std::mem::take(&mut groups.full);
        window.groups_full_bytes = std::mem::take(&mut groups.full_of_bytes);
        window.groups_shared = std::mem::take(&mut groups.shared_out);
        window.group_operations = take(&mut groups.operations);
        let [tree, hash] = std::mem::take(&mut groups.cuts);
        for ((times, sum), shards) in [
            (tree, &mut window.tree_parallelism),
            (hash, &mut window.hash_parallelism),
        ] {
            // The nearest whole number. Without a group, the former value stays.
            *shards = (2 * sum + times).checked_div(2 * times).unwrap_or(*shards);
        }
        drop(groups);
        let mut durable = self.durable.lock();
        window.operations_durable = std::mem::take(&mut durable.operations);
        window.seal_wait_us = take(&mut durable.seal_wait_us);
        window.durable_us = take(&mut durable.durable_us);
        // The cap may have moved with nothing durable since.
        if durable.cap != window.group_operations_max {
            durable.under_cap.clear();
        }
        latencies.clear();
        std::mem::swap(latencies, &mut durable.under_cap);
        window.durable_under_cap_us = Quantiles::of(latencies.submissions());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends a window and returns the latencies under its cap.
    fn end(interval: &Interval, window: &mut Window) -> Latencies {
        let mut latencies = Latencies::default();
        interval.end(window, &mut latencies);
        latencies
    }

    fn tag(operations_max: u64, closed_by: ClosedBy) -> GroupTag {
        GroupTag {
            version: 1,
            operations: 100,
            bytes: 1_000,
            operations_max,
            closed_by,
            operations_waited_us: 0,
            sealed_at: clock::now(),
        }
    }

    #[test]
    fn a_window_has_what_was_recorded_since_the_one_before() {
        let interval = Interval::default();
        interval.served(
            Stage::Hash,
            Duration::from_micros(7),
            Duration::from_millis(3),
        );
        for closed_by in [
            ClosedBy::Operations,
            ClosedBy::Bytes,
            ClosedBy::Share,
            ClosedBy::Nothing,
        ] {
            interval.sealed(&tag(50, closed_by));
        }
        let mut window = Window::default();
        end(&interval, &mut window);
        assert_eq!(window.stages[Stage::Hash as usize].busy_us, 3000);
        assert_eq!(window.stages[Stage::Hash as usize].queue_wait_us.max, 7);
        assert_eq!((window.groups, window.groups_full), (4, 1));
        assert_eq!((window.groups_full_bytes, window.groups_shared), (1, 1));
        assert_eq!(window.group_operations.max, 100);

        let mut next = Window::default();
        end(&interval, &mut next);
        assert_eq!(next, Window::default());
    }

    #[test]
    fn the_mean_by_operations_weighs_submissions_by_what_they_have() {
        let interval = Interval::default();
        let tag = GroupTag {
            operations: 10_001,
            // A submission of one operation came at once, one of 10,000 had waited 3 s.
            operations_waited_us: 10_000 * 3_000_000,
            ..tag(50, ClosedBy::Operations)
        };
        let now = tag.sealed_at;
        let before = now.checked_sub(Duration::from_secs(3)).unwrap_or(now);
        interval.durable(&tag, &[now, before], 50);
        let mut window = Window {
            group_operations_max: 50,
            ..Window::default()
        };
        let latencies = end(&interval, &mut window);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.operation_mean_us() >= 2_999_700);
        assert!(latencies.mean_us() < latencies.operation_mean_us());
    }

    #[test]
    fn latencies_under_another_cap_are_told_apart() {
        let interval = Interval::default();
        let accepted = clock::now();
        interval.durable(&tag(50, ClosedBy::Operations), &[accepted; 3], 50);
        interval.durable(&tag(70, ClosedBy::Operations), &[accepted; 2], 50);
        let mut window = Window {
            group_operations_max: 50,
            ..Window::default()
        };
        assert_eq!(end(&interval, &mut window).count(), 3);
        assert_eq!(window.operations_durable, 200);
        assert_eq!(window.durable_us.count, 5);
        assert_eq!(window.durable_under_cap_us.count, 3);

        // The cap was changed: groups that were sealed under the old one say nothing about the new one.
        interval.durable(&tag(50, ClosedBy::Operations), &[accepted; 3], 50);
        interval.durable(&tag(70, ClosedBy::Operations), &[accepted; 2], 70);
        window.group_operations_max = 70;
        assert_eq!(end(&interval, &mut window).count(), 2);

        // Also if nothing has become durable since.
        interval.durable(&tag(70, ClosedBy::Operations), &[accepted; 2], 70);
        window.group_operations_max = 90;
        assert_eq!(end(&interval, &mut window).count(), 0);
        assert_eq!(window.durable_us.count, 2);
        assert_eq!(window.durable_under_cap_us.count, 0);
    }
}
