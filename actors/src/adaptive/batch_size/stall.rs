//! Telling windows in which groups were stuck from those that are too short to tell. Not here: what a stall means for
//! trials, which `mod.rs` says.

use std::collections::VecDeque;

use super::push_bounded;
use crate::adaptive::observation::{per_second, typical};
use crate::decisions::Window;

/// Less than this share of the usual throughput, with groups stuck in the pipeline, is a stall.
const STALL_SHARE: f64 = 0.25;
/// Groups that are usually sealed in a span of windows that is judged: with fewer, none may be how it always is.
const GROUPS_MIN: f64 = 4.0;
/// Windows of a span, at most.
const SPAN_WINDOWS_MAX: u32 = 8;
/// Spans of a stall; one that lasts longer is no stall, but how it is now.
const STALL_SPANS_MAX: u32 = 8;

/// What a window is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Work that moves, or too little to tell.
    Moving,
    Stalled,
    /// What seemed to be stuck for so long is the pace of now.
    Slower,
}

/// Windows that are judged together: one, if groups are much shorter.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    windows: u32,
    length_us: u64,
    durable: u64,
    groups: u64,
}

/// What flowed a second.
#[derive(Clone, Copy, Debug)]
struct Pace {
    operations: f64,
    groups: f64,
}

/// Paces of the last spans under any setting, and how many stalled in a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Stall {
    usual: VecDeque<Pace>,
    span: Span,
    stalled: u32,
}

impl Stall {
    /// Operations that usually become durable in a second.
    pub(super) fn usual(&self) -> f64 {
        typical(self.usual.iter().map(|pace| pace.operations))
    }

    /// Takes a window; `groups_max`: how many the pipeline holds.
    pub(super) fn add(&mut self, window: &Window, groups_max: u64) -> Flow {
        let span = &mut self.span;
        span.windows += 1;
        span.length_us = span.length_us.saturating_add(window.length_us);
        span.durable = span.durable.saturating_add(window.operations_durable);
        span.groups = span.groups.saturating_add(window.groups);
        let span = *span;
        let groups_a_second = typical(self.usual.iter().map(|pace| pace.groups));
        let expected = groups_a_second * span.length_us as f64 / 1e6;
        let enough = expected.max(span.groups as f64) >= GROUPS_MIN;
        if !enough && span.windows < SPAN_WINDOWS_MAX {
            return Flow::Moving;
        }
        self.span = Span::default();
        let pace = Pace {
            operations: per_second(span.durable, span.length_us),
            groups: per_second(span.groups, span.length_us),
        };
        let stuck = window.groups_in_flight >= groups_max && expected >= GROUPS_MIN;
        if !stuck || pace.operations >= STALL_SHARE * self.usual() {
            self.stalled = 0;
            push_bounded(&mut self.usual, pace);
            return Flow::Moving;
        }
        if self.stalled < STALL_SPANS_MAX {
            self.stalled += 1;
            return Flow::Stalled;
        }
        self.stalled = 0;
        self.usual.clear();
        push_bounded(&mut self.usual, pace);
        Flow::Slower
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS_MAX: u64 = 4;

    /// Windows of half a second, each with so many groups of 1,000 operations sealed and durable.
    fn flow(stall: &mut Stall, groups: u64) -> Flow {
        let window = Window {
            length_us: 500_000,
            groups,
            operations_durable: 1_000 * groups,
            groups_in_flight: GROUPS_MAX,
            ..Window::default()
        };
        stall.add(&window, GROUPS_MAX)
    }

    fn after(windows: &[u64]) -> Stall {
        let mut stall = Stall::default();
        for groups in windows {
            assert_eq!(flow(&mut stall, *groups), Flow::Moving);
        }
        stall
    }

    #[test]
    fn a_window_without_one_of_many_groups_is_one() {
        let mut stall = after(&[100, 90, 110]);
        assert_eq!(flow(&mut stall, 0), Flow::Stalled);
        assert_eq!(flow(&mut stall, 20), Flow::Stalled);
        assert_eq!(flow(&mut stall, 60), Flow::Moving);
    }

    #[test]
    fn windows_between_groups_that_take_longer_are_none() {
        after(&[0, 0, 1, 0, 1, 0, 0, 0, 1, 0].repeat(20));
    }

    #[test]
    fn many_windows_without_a_group_are_one_if_two_had_one() {
        let mut stall = after(&[0, 1].repeat(16));
        let flows: Vec<Flow> = (0..8).map(|_| flow(&mut stall, 0)).collect();
        assert_eq!(flows[7], Flow::Stalled, "{flows:?}");
        assert!(!flows[..7].contains(&Flow::Stalled));
    }

    #[test]
    fn what_lasts_is_the_pace_of_now() {
        let mut stall = after(&[100, 100, 100]);
        for _ in 0..STALL_SPANS_MAX {
            assert_eq!(flow(&mut stall, 10), Flow::Stalled);
        }
        assert_eq!(flow(&mut stall, 10), Flow::Slower);
        assert_eq!(stall.usual(), 20_000.0);
        assert_eq!(flow(&mut stall, 10), Flow::Moving);
    }
}
