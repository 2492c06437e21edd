//! What the live mix of reads and writes looks like, with hysteresis. Not here: what follows from it.

use crate::decisions::{Change, Evidence, Move, Phase, Reason, Window};

/// Operations, reads and proofs a second below which nothing is said.
const IDLE_PER_SECOND: u128 = 20;
/// Shares of writes, of a hundred: below the first it is reads, above the second writes.
const MIXED: std::ops::RangeInclusive<u128> = 20..=80;
/// The same, for leaving another phase than mixed.
const MIXED_ENTERED: std::ops::RangeInclusive<u128> = 25..=75;
/// Windows that must agree.
const WINDOWS: u32 = 3;

/// Recognises phases: another one is named once three windows in a row show it.
///
/// ```
/// use trunkline_actors::adaptive::Phases;
/// use trunkline_actors::decisions::{Change, Phase, Window};
/// let mut phases = Phases::default();
/// let window = Window { length_us: 500_000, reads: 50_000, operations_accepted: 10, ..Window::default() };
/// assert_eq!(phases.decide(&window), None);
/// assert_eq!(phases.decide(&window), None);
/// let named = phases.decide(&window).unwrap();
/// assert_eq!(named.change, Change::Phase { from: Phase::Idle, to: Phase::ReadHeavy });
/// ```
#[derive(Clone, Debug, Default)]
pub struct Phases {
    now: Phase,
    seen: Phase,
    times: u32,
}

impl Phases {
    /// Looks at a window.
    pub fn decide(&mut self, window: &Window) -> Option<Move> {
        let seen = self.classify(window);
        self.times = if seen == self.seen {
            self.times.saturating_add(1)
        } else {
            1
        };
        self.seen = seen;
        if seen == self.now || self.times < WINDOWS {
            return None;
        }
        let from = std::mem::replace(&mut self.now, seen);
        let mix = Evidence::Mix {
            writes: window.operations_accepted,
            reads: window.reads,
            proofs: window.proofs,
        };
        Some(Move::new(Change::Phase { from, to: seen }, Reason::Mix).judged_by(mix))
    }

    fn classify(&self, window: &Window) -> Phase {
        let writes = u128::from(window.operations_accepted);
        let all = writes + u128::from(window.reads) + u128::from(window.proofs);
        if all * 1_000_000 < IDLE_PER_SECOND * u128::from(window.length_us.max(1)) {
            return Phase::Idle;
        }
        let share = writes * 100 / all.max(1);
        let pure = matches!(self.now, Phase::ReadHeavy | Phase::WriteHeavy);
        let mixed = if pure { MIXED_ENTERED } else { MIXED };
        match share {
            share if mixed.contains(&share) => Phase::Mixed,
            share if share < *mixed.start() => Phase::ReadHeavy,
            _ => Phase::WriteHeavy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(writes: u64, reads: u64) -> Window {
        Window {
            length_us: 500_000,
            operations_accepted: writes,
            reads,
            ..Window::default()
        }
    }

    #[test]
    fn each_mix_has_its_phase() {
        for (writes, reads, phase) in [
            (0, 9, Phase::Idle),
            (0, 1000, Phase::ReadHeavy),
            (190, 810, Phase::ReadHeavy),
            (500, 500, Phase::Mixed),
            (900, 100, Phase::WriteHeavy),
            (u64::MAX, u64::MAX, Phase::Mixed),
        ] {
            assert_eq!(Phases::default().classify(&window(writes, reads)), phase);
        }
    }

    #[test]
    fn a_phase_that_comes_and_goes_is_not_named() {
        let mut phases = Phases::default();
        for round in 0..30 {
            let window = if round % 3 == 2 {
                window(0, 0)
            } else {
                window(1000, 0)
            };
            assert_eq!(phases.decide(&window), None);
        }
    }

    #[test]
    fn a_mix_at_the_border_does_not_flap() {
        let mut phases = Phases::default();
        let changes = (0..100).filter(|round| {
            // Runs of four windows on either side of 80 %.
            let writes = if round / 4 % 2 == 0 { 790 } else { 810 };
            phases.decide(&window(writes, 1000 - writes)).is_some()
        });
        assert!(changes.count() <= 2);
    }
}
