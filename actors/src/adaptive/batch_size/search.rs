//! Searching the cap by throughput, and trying a smaller one for the sake of the latency. Not here: how a trial is
//! judged (`trial`), and what is let in (`admission`).

use super::trial::{Aim, Trial};
use super::{BatchSize, CALM_MIN, GAIN_MIN, Moves, PAUSE_MAX, PAUSE_MIN, RECENT_MAX};
use crate::adaptive::observation::Observation;
use crate::decisions::{Change, Move, Reason};

/// Share of the target above which no small trial is begun: it would take some windows above the target.
const TRY_BELOW: f64 = 0.85;
/// Factor of a small trial at rest.
const SMALL: f64 = 1.09;
/// A cap larger than groups by this factor is not felt at all.
const UNFELT: f64 = 2.0;
/// A throughput that moved by this factor is another one.
const SHIFT: f64 = 1.25;
/// Observations between two searches that ended alike, at most: a search costs some ten windows a few percent.
const SPACING_MAX: u32 = 128;
/// Observations in a row that show it.
const SHIFT_WINDOWS: u32 = 3;

/// How far the search for the best throughput has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Search {
    pub(super) up_done: bool,
    pub(super) down_done: bool,
    /// The last doubling gave nearly as much again: take two at once.
    pub(super) fast: bool,
    /// So it was when halving.
    pub(super) fast_down: bool,
}

impl BatchSize {
    pub(super) fn grow(&mut self, seen: Observation, reason: Reason) -> Moves {
        let factor = if self.search.fast { 4.0 } else { 2.0 };
        // Submissions are not split: a cap below one of them is none.
        let binding = seen.group_operations.max(self.cap as f64);
        let wanted = (binding * factor).min(self.ceiling(self.level(4).rate, seen.inside));
        if wanted < self.cap as f64 * SMALL {
            self.search.up_done = true;
            return Moves::new();
        }
        self.try_cap(wanted, Aim::Throughput, reason)
    }

    /// Whether smaller groups are to be tried: the cap closes groups, or is so far above them that nobody chose it for
    /// what comes in now. One that a cut left just above them is neither.
    pub(super) fn may_be_smaller(&self, seen: Observation) -> bool {
        seen.closed || self.cap as f64 > UNFELT * seen.group_largest
    }

    /// A cap that is clearly felt, and leaves groups enough to overlap.
    pub(super) fn smaller(&self, seen: Observation) -> f64 {
        let felt = seen.group_largest.min(self.cap as f64);
        let factor = if self.search.fast_down || !seen.full {
            4.0
        } else {
            2.0
        };
        felt / factor
    }

    /// The search is over: what holds now is what later windows are compared with.
    pub(super) fn rest(&mut self) {
        self.found = Some(self.level(4).rate);
        self.judged = None;
        self.shifted = 0;
        self.search_spacing = if self.cap == self.found_cap {
            self.search_spacing.saturating_mul(2).min(SPACING_MAX)
        } else {
            10
        };
        self.found_cap = self.cap;
        self.pause_next = PAUSE_MIN;
        self.pause = PAUSE_MIN;
    }

    pub(super) fn small_trial(&mut self, seen: Observation) -> Moves {
        if self.pause > 0 || self.recent.len() < RECENT_MAX {
            return Moves::new();
        }
        let before = self.level(RECENT_MAX);
        if !seen.full || before.p99_us > TRY_BELOW * self.target_us {
            return Moves::new();
        }
        let factor = if self.small_up { SMALL } else { 1.0 / SMALL };
        let wanted = self.cap as f64 * factor;
        let moves = self.try_cap(wanted, Aim::Throughput, Reason::Probe);
        if let Some(trial) = &mut self.trial {
            (trial.small, trial.before) = (true, before);
        }
        moves
    }

    /// Throughput at the limit that is not what it was begins the search anew.
    pub(super) fn notice_shift(&mut self, seen: Observation) {
        let Some(found) = self.found else { return };
        let moved = seen.rate > found * SHIFT || seen.rate < found / SHIFT;
        self.shifted = if seen.saturated() && moved {
            self.shifted.saturating_add(1)
        } else {
            0
        };
        if self.shifted >= SHIFT_WINDOWS && self.since_search >= self.search_spacing {
            self.found = None;
            self.search = Search::default();
            (self.calm, self.calm_needed) = (CALM_MIN, CALM_MIN);
            self.in_flight_too_many = f64::MAX;
            self.since_search = 0;
            while self.recent.len() > SHIFT_WINDOWS as usize {
                self.recent.pop_front();
            }
        }
    }

    pub(super) fn propose_for_latency(&mut self, seen: Observation) -> Moves {
        if self.latency_pause > 0 || seen.waits {
            return self.cut(seen);
        }
        let felt = seen.group_largest.min(self.cap as f64);
        self.try_cap(felt / 1.5, Aim::Latency, Reason::AboveTarget)
    }

    pub(super) fn try_cap(&mut self, wanted: f64, aim: Aim, reason: Reason) -> Moves {
        let to = self.limits.cap(wanted);
        let from = self.cap;
        if to == from {
            self.end_of_range(aim, wanted);
            return Moves::new();
        }
        self.trial = Some(Trial {
            aim,
            small: false,
            from,
            to,
            before: self.level(4),
            seen: Vec::new(),
        });
        vec![self.set_cap(to, reason)]
    }

    fn end_of_range(&mut self, aim: Aim, wanted: f64) {
        match aim {
            Aim::Latency => self.latency_failed(),
            Aim::Throughput if wanted >= self.cap as f64 => self.search.up_done = true,
            Aim::Throughput => self.search.down_done = true,
        }
    }

    pub(super) fn set_cap(&mut self, to: u64, reason: Reason) -> Move {
        let from = std::mem::replace(&mut self.cap, to);
        self.begin_anew();
        Move::new(Change::GroupOperationsMax { from, to }, reason)
    }

    pub(super) fn judge_trial(&mut self, mut trial: Trial, seen: Observation) -> Moves {
        trial.seen.push(seen);
        let Some(helped) = trial.verdict(self.target_us) else {
            self.trial = Some(trial);
            return Moves::new();
        };
        self.judged = Some(trial.evidence());
        if !helped {
            self.failed(&trial);
            return vec![self.set_cap(trial.from, Reason::NoGain)];
        }
        self.keep(&trial);
        // What is done faster may come in faster.
        self.calm = self.calm_needed;
        self.relax(seen)
    }

    fn keep(&mut self, trial: &Trial) {
        let up = trial.to > trial.from;
        if trial.aim == Aim::Latency {
            self.latency_pause_next = PAUSE_MIN;
            return;
        }
        if trial.small {
            self.pause = PAUSE_MIN;
            self.found = Some(trial.rate());
            return;
        }
        self.cap_wanted = trial.to;
        let gain = 1.0 + trial.gain();
        self.search.fast = up && gain >= 1.7;
        self.search.fast_down = !up && gain >= 1.3;
        // Each doubling gives half of what the one before gave, or less.
        self.search.up_done |= !up || gain < 1.0 + 2.0 * GAIN_MIN;
        self.search.down_done |= up;
    }

    fn failed(&mut self, trial: &Trial) {
        let up = trial.to > trial.from;
        if trial.aim == Aim::Latency {
            return self.latency_failed();
        }
        if trial.small {
            self.small_up = !self.small_up;
            self.pause = self.pause_next;
            self.pause_next = self.pause_next.saturating_mul(2).min(PAUSE_MAX);
            return;
        }
        if up && self.search.fast {
            // Four times was too much; twice may not be.
            self.search.fast = false;
            return;
        }
        self.search.up_done |= up;
        // The cost of an operation, a / cap + b + c × cap, is convex: halving gives at most half of what doubling cost.
        self.search.down_done |= !up || trial.gain() > -2.0 * GAIN_MIN;
    }

    fn latency_failed(&mut self) {
        self.latency_pause = self.latency_pause_next;
        self.latency_pause_next = self.latency_pause_next.saturating_mul(2).min(PAUSE_MAX);
    }
}
