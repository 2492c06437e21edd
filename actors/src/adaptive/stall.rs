//! Distinguishes windows in which groups were stuck from windows that are too short to tell.

use std::collections::VecDeque;

use super::span::{Span, typical};
use crate::decisions::Window;

/// The share of the usual throughput below which groups stuck in the pipeline are a stall.
const STALL_SHARE: f64 = 0.25;
/// Number of groups that are usually sealed in a span that is judged. With fewer, a span without any is nothing
/// unusual.
const GROUPS_MIN: f64 = 4.0;
/// Longest span, in windows.
const SPAN_WINDOWS_MAX: u32 = 8;
/// Longest stall, in spans. A longer one counts as the new pace.
const STALL_SPANS_MAX: u32 = 8;
/// Number of spans that define the usual pace.
const USUAL_SPANS: usize = 8;

/// The state that a window belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Work is moving, or there is too little to tell.
    Moving,
    /// Groups are stuck.
    Stalled,
    /// A seeming stall lasts: it is the new pace.
    Slower,
}

/// Compares the pace of spans with that of the last spans, under any setting.
#[derive(Clone, Debug, Default)]
pub(super) struct Stall {
    usual: VecDeque<Span>,
    span: Span,
    stalled: u32,
}

impl Stall {
    /// Returns the operations that usually become durable in a second.
    pub(super) fn usual_rate(&self) -> f64 {
        typical(self.usual.iter().map(Span::rate))
    }

    /// Adds a window and returns its state. `groups_max` is the number of groups that the pipeline holds.
    pub(super) fn add(&mut self, window: &Window, groups_max: u64) -> Flow {
        self.span.add(window);
        let span = self.span;
        let expected = span.groups_at(typical(self.usual.iter().map(Span::group_rate)));
        let is_enough = expected.max(span.groups as f64) >= GROUPS_MIN;
        if !is_enough && span.windows < SPAN_WINDOWS_MAX {
            return Flow::Moving;
        }
        self.span = Span::default();
        let is_stuck = window.groups_in_flight >= groups_max && expected >= GROUPS_MIN;
        let stalls = is_stuck && span.rate() < STALL_SHARE * self.usual_rate();
        if stalls && self.stalled < STALL_SPANS_MAX {
            self.stalled += 1;
            return Flow::Stalled;
        }
        self.stalled = 0;
        if stalls {
            self.usual.clear();
        }
        self.usual.truncate(USUAL_SPANS - 1);
        self.usual.push_front(span);
        if stalls { Flow::Slower } else { Flow::Moving }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS_MAX: u64 = 4;

    /// Adds a window of half a second in which `groups` groups of 1,000 operations were sealed and became durable.
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
    fn a_window_without_one_of_many_groups_is_a_stall() {
        let mut stall = after(&[100, 90, 110]);
        assert_eq!(flow(&mut stall, 0), Flow::Stalled);
        assert_eq!(flow(&mut stall, 20), Flow::Stalled);
        assert_eq!(flow(&mut stall, 60), Flow::Moving);
    }

    #[test]
    fn windows_between_groups_that_take_longer_are_no_stall() {
        after(&[0, 0, 1, 0, 1, 0, 0, 0, 1, 0].repeat(20));
    }

    #[test]
    fn many_windows_without_a_group_are_a_stall_if_two_had_one() {
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
        assert_eq!(stall.usual_rate(), 20_000.0);
        assert_eq!(flow(&mut stall, 10), Flow::Moving);
    }
}
