//! How many operations are let in, so that those inside are done in time. Not here: the cap's search (`search`).

use super::trial::Level;
use super::{AIM, BatchSize, Moves, PAUSE_MAX, PAUSE_MIN};
use crate::adaptive::observation::{Observation, typical};
use crate::decisions::{Change, Evidence, Move, Reason};

/// The same when it is raised, more carefully.
const AIM_UP: f64 = 0.85;
/// Mean latency against the 99th percentile when what is in flight is bounded, at least.
const EVEN_MIN: f64 = 0.8;
/// A cut that brings the latency this near to the target is a success.
const NEARLY: f64 = 1.1;
/// Share of the throughput that a cut may not go below without reaching the target.
const WORTH: f64 = 0.75;
/// In flight is raised if the latency is below this share of the target.
const ROOM: f64 = 0.79;
/// In flight is not raised by less than this factor.
const STEP_MIN: f64 = 1.03;

/// A cut of the operations in flight whose effect is being watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Before the first of several cuts: operations in flight, the group's, throughput and latency.
    pub(super) from: u64,
    pub(super) cap: u64,
    pub(super) rate: f64,
    pub(super) p99_us: f64,
    /// What the latency must have come down to, or the cut was in vain.
    pub(super) p99_us_max: f64,
}

impl BatchSize {
    /// Lets fewer operations in, so that those inside are done in time, in groups that still overlap.
    pub(super) fn cut(&mut self, seen: Observation) -> Moves {
        let wanted = self.wanted_in_flight(2);
        let to = self.limits.in_flight(wanted);
        if !self.admission || self.cut_pause > 0 || to >= self.in_flight {
            return Moves::new();
        }
        let before = self.level(2);
        let evidence = before.evidence();
        let less = (1.0 - to as f64 / seen.inside.max(1.0)).clamp(0.0, 1.0);
        let first = Cut {
            from: self.in_flight,
            cap: self.cap,
            rate: before.rate,
            p99_us: before.p99_us,
            p99_us_max: 0.0,
        };
        self.cut = Some(Cut {
            p99_us_max: before.p99_us * (1.1 - 0.4 * less),
            ..self.cut_short.unwrap_or(first)
        });
        self.calm = 0;
        if std::mem::take(&mut self.relaxed) {
            self.calm_needed = self.calm_needed.saturating_mul(2).min(PAUSE_MAX);
        }
        self.in_flight_too_many = self.in_flight as f64;
        let reason = Reason::TooManyInFlight;
        let mut moves = vec![self.set_in_flight(to, reason).judged_by(evidence)];
        let cap = self.limits.cap(to as f64 / self.overlapping());
        if cap < self.cap {
            self.cap_wanted = self.cap_wanted.max(self.cap);
            moves.push(self.set_cap(cap, reason).judged_by(evidence));
        }
        moves
    }

    /// Operations in flight at which the 99th percentile would be where it should, by Little's law.
    fn wanted_in_flight(&self, count: usize) -> f64 {
        let rate = typical(self.last(count).map(|seen| seen.rate));
        // While a queue builds up, the percentile is far above the mean; once it is bounded, it is not.
        let even = typical(
            self.last(count)
                .map(|seen| seen.mean_us / seen.p99_us.max(1.0)),
        );
        rate * self.target_us / 1e6 * AIM * even.max(EVEN_MIN)
    }

    fn set_in_flight(&mut self, to: u64, reason: Reason) -> Move {
        let from = std::mem::replace(&mut self.in_flight, to);
        self.settle = if to < from { self.backlog.max(1) } else { 1 };
        self.begin_anew();
        Move::new(Change::InFlightOperationsMax { from, to }, reason)
    }

    pub(super) fn judge_cut(&mut self, cut: Cut, seen: Observation) -> Moves {
        if self.recent.len() < 2 {
            self.cut = Some(cut);
            return Moves::new();
        }
        let after = self.level(2);
        self.cut_short = None;
        if after.p99_us <= self.target_us * NEARLY {
            self.cut_pause_next = PAUSE_MIN;
            self.calm = self.calm_needed;
            return self.relax(seen);
        }
        if after.p99_us <= cut.p99_us_max && after.rate >= cut.rate * WORTH {
            self.cut_short = Some(cut);
            return Moves::new();
        }
        self.cut_pause = self.cut_pause_next;
        self.cut_pause_next = self.cut_pause_next.saturating_mul(2).min(PAUSE_MAX);
        let evidence = cut.evidence(after);
        let back = self.set_in_flight(cut.from, Reason::NoGain);
        let mut moves = vec![back.judged_by(evidence)];
        if cut.cap != self.cap {
            let back = self.set_cap(cut.cap, Reason::NoGain);
            moves.push(back.judged_by(evidence));
        }
        moves
    }

    /// Lets more operations in, once there has been room for a while.
    pub(super) fn relax(&mut self, seen: Observation) -> Moves {
        let room = seen.p99_us < ROOM * self.target_us;
        self.calm = if room { self.calm.saturating_add(1) } else { 0 };
        let at_most = self.limits.in_flight_operations_max;
        if self.calm < self.calm_needed || self.in_flight >= at_most || !self.admission {
            return Moves::new();
        }
        self.calm = 0;
        let level = self.level(4);
        let (p99_us, evidence) = (level.p99_us.max(1.0), level.evidence());
        let factor = (AIM_UP * self.target_us / p99_us).clamp(1.0, 2.0);
        let now = self.in_flight as f64;
        // Half the way to what was too much, as CUBIC does, unless that is long past.
        let halfway = if factor < 2.0 {
            (now + self.in_flight_too_many) / 2.0
        } else {
            f64::MAX
        };
        let to = self.limits.in_flight((now * factor).min(halfway));
        if (to as f64) < now * STEP_MIN {
            return Moves::new();
        }
        self.relaxed = true;
        let reason = Reason::RoomForMore;
        let mut moves = vec![self.set_in_flight(to, reason).judged_by(evidence)];
        let overlapping = self.limits.cap(to as f64 / self.overlapping());
        let cap = self.cap_wanted.min(overlapping);
        if cap > self.cap {
            moves.push(self.set_cap(cap, reason).judged_by(evidence));
        }
        moves
    }
}

impl Cut {
    fn evidence(&self, after: Level) -> Evidence {
        Evidence::Trial {
            rate_before: self.rate as u64,
            rate_after: after.rate as u64,
            p99_before_us: self.p99_us as u64,
            p99_after_us: after.p99_us as u64,
        }
    }
}
