//! Controls how many operations a group may have, and how many may be in flight.
//!
//! Groups are self-clocked: waiting submissions are sealed as soon as a slot is free, so the cap of a group matters
//! only while work waits. Then Little's law holds (Little 1961): mean latency = operations in flight / throughput. So
//! the cap is for throughput, and the operations in flight are for the latency. After each observation the first rule
//! of its row that has a move is applied:
//!
//! | saturated | above the target | rules |
//! | --- | --- | --- |
//! | yes | yes | `cut`, `search`; `search` alone while the cap is far below what the target allows |
//! | yes | no | `relax`, `search` |
//! | no | yes | `shrink`, `cut` |
//! | no | no | `relax` |
//!
//! - `search` tries caps by throughput, as BBR (Cardwell et al. 2016) probes for bandwidth. [`State`] is its progress:
//!
//!   | state | tries | if that helped | if not |
//!   | --- | --- | --- | --- |
//!   | growing | twice the cap, or four times after a gain of 70 % | growing; resting if the gain was below 6 % | twice after four times; shrinking if the loss was 6 %; else resting |
//!   | shrinking | half of the cap | shrinking | resting |
//!   | resting | nothing | | growing once the throughput is another one by a quarter |
//!
//! - `cut` lowers the operations in flight to throughput × target, as Vegas and Netflix's concurrency limits do with a
//!   window, and the cap so that groups still overlap. Smaller groups alone would lower the throughput, and so raise
//!   the latency.
//! - `relax` raises them after four observations with enough margin below the target.
//! - `shrink` tries a smaller cap if little of the latency is waiting: groups are too large to overlap.
//!
//! Every change except `relax` is a trial: levels before and after it are compared, and a change that did not help is
//! undone. Failed trials for the latency are repeated after longer and longer pauses, so a cause that no setting can
//! help changes nothing. Groups that the cap of bytes closes saturate too, but no larger cap of operations is tried for
//! them. Groups closed by their share of the work in the pipeline (`group_share`) do not: a closed loop fills shares at
//! any load.

use std::cmp::Ordering;

use super::backoff::Backoff;
use super::observation::{Level, Observation, Observer};
use super::{ControlSettings, Limits};
use crate::decisions::{Change, Evidence, Latencies, Move, Reason, Window};

/// The gain that a larger or smaller cap must show to be kept.
const GAIN_MIN: f64 = 0.03;
/// The gain from a doubling after which the cap is quadrupled.
const GAIN_FAST: f64 = 0.7;
/// A gain or loss for which two observations are enough.
const GAIN_CLEAR: f64 = 0.15;
/// The number of observations by which a cap is judged otherwise. The first one is mixed with earlier work.
const CAP_OBSERVATIONS: usize = 4;
/// The factor over the size of groups above which a cap has no effect.
const UNFELT: f64 = 2.0;
/// The factor below the allowed cap at which the cap is raised before anything else.
const FAR: f64 = 4.0;
/// The factor by which a throughput must change to count as another one.
const SHIFT: f64 = 1.25;
/// The number of successive observations that must show it.
const SHIFT_OBSERVATIONS: u32 = 3;

/// The share of the target that a cut aims at.
const AIM: f64 = 0.88;
/// The same when more is admitted, with more caution.
const AIM_UP: f64 = 0.86;
/// The share of the target below which more may be in flight.
const ROOM: f64 = 0.79;
/// The number of successive observations that must show it.
const CALM: u32 = 4;
/// The lowest ratio of the mean latency to its 99th percentile that a cut assumes: it is lower while a queue builds up,
/// but not once the operations in flight are bounded.
const EVENNESS_MIN: f64 = 0.8;
/// The share of the throughput that a cut may cost.
const COST_MAX: f64 = 0.25;
/// The share of the latency that a smaller cap must save.
const SAVED_MIN: f64 = 0.1;

type Moves = Vec<Move>;

/// The limits in force: operations of a group, and operations in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Setting {
    cap: u64,
    in_flight: u64,
}

/// The progress of the search for the cap with the best throughput.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Larger caps are tried: two or four times as large.
    Growing { fast: bool },
    /// Smaller caps are tried.
    Shrinking,
    /// The best cap is in force; observations in a row with another throughput are counted.
    Resting { rate: f64, shifted: u32 },
}

const START: State = State::Growing { fast: false };

/// The purpose of a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Aim {
    /// A cap for more throughput.
    Throughput,
    /// A smaller cap for a lower latency.
    Latency,
    /// Fewer operations in flight for a lower latency.
    Admission,
}

/// A change whose effect is being observed.
#[derive(Clone, Debug)]
struct Trial {
    aim: Aim,
    from: Setting,
    before: Level,
    seen: Vec<Level>,
}

/// The controller of group size and admission.
#[derive(Clone, Debug)]
pub struct BatchSize {
    limits: Limits,
    target_us: f64,
    admission: bool,
    observer: Observer,
    setting: Setting,
    state: State,
    trial: Option<Trial>,
    /// The last trial of a cap that was kept, until the next trial reports it.
    kept: Option<Evidence>,
    /// The cap that was found or set; a cut may have lowered the current one since.
    cap_found: u64,
    /// The number of successive observations with enough margin for more in flight.
    calm: u32,
    shrink_pause: Backoff,
    cut_pause: Backoff,
}

impl BatchSize {
    /// Returns a controller that takes the first window's setting as its start.
    pub fn new(settings: &ControlSettings, limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            target_us: settings.target_us(),
            admission: settings.admission,
            observer: Observer::new(settings, limits),
            setting: Setting::default(),
            state: START,
            trial: None,
            kept: None,
            cap_found: 0,
            calm: 0,
            shrink_pause: Backoff::default(),
            cut_pause: Backoff::default(),
        }
    }

    /// Takes a window and returns the changes; mostly none.
    pub fn decide(&mut self, window: &Window, latencies: &Latencies) -> Vec<Move> {
        self.adopt(window);
        let Some(seen) = self.observer.add(window, latencies) else {
            return Moves::new();
        };
        self.shrink_pause.tick();
        self.cut_pause.tick();
        match self.trial.take() {
            Some(trial) => self.judge(trial, &seen),
            None => self.propose(&seen),
        }
    }

    /// Takes a setting that something else put in force as a new start.
    fn adopt(&mut self, window: &Window) {
        let in_force = Setting {
            cap: window.group_operations_max,
            in_flight: window.in_flight_operations_max,
        };
        if in_force != self.setting {
            (self.setting, self.cap_found) = (in_force, in_force.cap);
            (self.state, self.trial, self.kept) = (START, None, None);
            self.observer.restart(0);
        }
    }

    /// Applies the first rule that has a move.
    fn propose(&mut self, seen: &Observation) -> Moves {
        type Rule = fn(&mut BatchSize, &Observation) -> Moves;
        self.notice_shift(seen);
        let rules: &[Rule] = match (self.observer.is_saturated(), self.observer.is_over()) {
            (true, true) if self.is_far_below(seen) => &[Self::search],
            (true, true) => &[Self::cut, Self::search],
            (true, false) => &[Self::relax, Self::search],
            (false, true) => &[Self::shrink, Self::cut],
            (false, false) => &[Self::relax],
        };
        let mut moves = rules.iter().map(|rule| rule(self, seen));
        moves.find(|moves| !moves.is_empty()).unwrap_or_default()
    }

    /// Starts the search again once the throughput at the limit has changed.
    fn notice_shift(&mut self, seen: &Observation) {
        let State::Resting { rate, shifted } = &mut self.state else {
            return;
        };
        let is_near = (*rate / SHIFT..=*rate * SHIFT).contains(&seen.level.rate);
        let is_shifted = seen.is_saturated() && !is_near;
        *shifted = if is_shifted { *shifted + 1 } else { 0 };
        if *shifted >= SHIFT_OBSERVATIONS {
            self.state = START;
        }
    }

    /// Tries the next cap of the search, or moves on to its next state.
    fn search(&mut self, seen: &Observation) -> Moves {
        let (cap, level) = (self.setting.cap as f64, self.observer.level(4));
        match self.state {
            State::Growing { fast } if seen.is_full => {
                let factor = if fast { 4.0 } else { 2.0 };
                // Submissions are not split: a cap below one of them has no effect.
                let larger = seen.group_operations.max(cap) * factor;
                let reason = match self.observer.is_over() {
                    true => Reason::Saturated,
                    false => Reason::RoomBelowTarget,
                };
                let wanted = larger.min(self.ceiling(level.rate, seen)).max(cap);
                let moves = self.try_cap(wanted, Aim::Throughput, reason);
                if moves.is_empty() {
                    self.state = State::Shrinking;
                }
                moves
            }
            State::Growing { .. } | State::Shrinking => {
                let factor = if seen.is_full { 2.0 } else { 4.0 };
                // A cap far above all groups was chosen for another load. One just above them was left by a cut.
                let is_due = seen.is_closed || cap > UNFELT * seen.group_largest;
                let smaller = seen.group_largest.min(cap) / factor;
                let wanted = if is_due { smaller } else { cap };
                let moves = self.try_cap(wanted, Aim::Throughput, Reason::Probe);
                if moves.is_empty() {
                    self.rest(level.rate);
                }
                moves
            }
            State::Resting { .. } => Moves::new(),
        }
    }

    fn rest(&mut self, rate: f64) {
        self.state = State::Resting { rate, shifted: 0 };
        self.kept = None;
    }

    /// Returns whether the cap is so far below the allowed one that larger caps come first.
    fn is_far_below(&self, seen: &Observation) -> bool {
        let is_growing = seen.is_full && matches!(self.state, State::Growing { .. });
        is_growing && (self.setting.cap as f64) < self.ceiling(seen.level.rate, seen) / FAR
    }

    /// Returns the cap above which overlapping groups hold more operations than the target allows in flight.
    fn ceiling(&self, rate: f64, seen: &Observation) -> f64 {
        (rate * AIM * self.target_us / 1e6).min(seen.level.inside) / self.overlapping()
    }

    /// Returns the number of groups in flight while another one waits.
    fn overlapping(&self) -> f64 {
        self.limits.groups_in_flight_max.saturating_sub(1).max(1) as f64
    }

    /// Tries a smaller cap for the latency, if little of the latency is waiting.
    fn shrink(&mut self, seen: &Observation) -> Moves {
        if seen.waits || !self.shrink_pause.is_due() {
            return Moves::new();
        }
        let wanted = seen.group_largest.min(self.setting.cap as f64) / 1.5;
        self.try_cap(wanted, Aim::Latency, Reason::AboveTarget)
    }

    /// Admits fewer operations, so that those in the pipeline are done in time, in groups that still overlap.
    fn cut(&mut self, _: &Observation) -> Moves {
        let level = self.observer.level(2);
        let evenness = level.evenness.max(EVENNESS_MIN);
        let wanted = level.rate * self.target_us / 1e6 * AIM * evenness;
        let in_flight = self.limits.in_flight(wanted);
        if !self.admission || !self.cut_pause.is_due() || in_flight >= self.setting.in_flight {
            return Moves::new();
        }
        let cap = self.limits.cap(in_flight as f64 / self.overlapping());
        let to = Setting {
            cap: cap.min(self.setting.cap),
            in_flight,
        };
        self.calm = 0;
        self.begin(Aim::Admission, level);
        self.move_to(to, Reason::TooManyInFlight, Some(level.evidence()))
    }

    /// Admits more operations once there has been enough margin for a while, up to twice as many.
    fn relax(&mut self, _: &Observation) -> Moves {
        let has_room = self.observer.level(2).p99_us < ROOM * self.target_us;
        self.calm = if has_room { self.calm + 1 } else { 0 };
        if self.calm < CALM || !self.admission {
            return Moves::new();
        }
        self.calm = 0;
        let level = self.observer.level(4);
        let factor = (AIM_UP * self.target_us / level.p99_us.max(1.0)).clamp(1.0, 2.0);
        let in_flight = self
            .limits
            .in_flight(self.setting.in_flight as f64 * factor);
        if in_flight <= self.setting.in_flight {
            return Moves::new();
        }
        let cap = self.limits.cap(in_flight as f64 / self.overlapping());
        let to = Setting {
            cap: cap.min(self.cap_found).max(self.setting.cap),
            in_flight,
        };
        self.move_to(to, Reason::RoomForMore, Some(level.evidence()))
    }

    /// Tries a cap, unless it is in force already.
    fn try_cap(&mut self, wanted: f64, aim: Aim, reason: Reason) -> Moves {
        let cap = self.limits.cap(wanted);
        if cap == self.setting.cap {
            return Moves::new();
        }
        self.begin(aim, self.observer.level(4));
        let kept = self.kept.take();
        self.move_to(
            Setting {
                cap,
                ..self.setting
            },
            reason,
            kept,
        )
    }

    fn begin(&mut self, aim: Aim, before: Level) {
        self.trial = Some(Trial {
            aim,
            from: self.setting,
            before,
            seen: Vec::new(),
        });
    }

    /// Puts a setting in force: returns a move for each part of it that changes.
    fn move_to(&mut self, to: Setting, reason: Reason, evidence: Option<Evidence>) -> Moves {
        let from = std::mem::replace(&mut self.setting, to);
        let skip = match to.in_flight.cmp(&from.in_flight) {
            // Operations in the pipeline stay, so a cut shows only once they are done.
            Ordering::Less => self.observer.backlog(),
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        };
        self.observer.restart(skip);
        let in_flight = Change::InFlightOperationsMax {
            from: from.in_flight,
            to: to.in_flight,
        };
        let cap = Change::GroupOperationsMax {
            from: from.cap,
            to: to.cap,
        };
        let changed = [
            (to.in_flight != from.in_flight).then_some(in_flight),
            (to.cap != from.cap).then_some(cap),
        ];
        let moved = |change| Move {
            change,
            reason,
            evidence,
        };
        changed.into_iter().flatten().map(moved).collect()
    }

    /// Adds an observation to the trial, and undoes the change if it did not help.
    fn judge(&mut self, mut trial: Trial, seen: &Observation) -> Moves {
        trial.seen.push(seen.level);
        let Some(helped) = trial.verdict(self.target_us) else {
            self.trial = Some(trial);
            return Moves::new();
        };
        match trial.aim {
            Aim::Throughput => self.search_on(&trial, helped),
            Aim::Latency => self.shrink_pause.note(helped),
            Aim::Admission => self.cut_pause.note(helped),
        }
        if !helped {
            return self.move_to(trial.from, Reason::NoGain, Some(trial.evidence()));
        }
        // Work that is done faster may be admitted faster.
        self.calm = CALM;
        self.relax(seen)
    }

    /// Draws the conclusion from a trial of the search.
    fn search_on(&mut self, trial: &Trial, helped: bool) {
        let (gain, is_larger) = (trial.gain(), self.setting.cap > trial.from.cap);
        if helped {
            (self.cap_found, self.kept) = (self.setting.cap, Some(trial.evidence()));
        }
        match (is_larger, helped) {
            // Each doubling gains at most half as much as the previous one.
            (true, true) if gain >= 2.0 * GAIN_MIN => {
                let fast = gain >= GAIN_FAST;
                self.state = State::Growing { fast };
            }
            // Four times was too much; twice may not be.
            (true, false) if self.state == (State::Growing { fast: true }) => self.state = START,
            // The cost of an operation, a / cap + b + c × cap, is convex: halving gains at most half of what doubling
            // cost.
            (true, false) if gain <= -2.0 * GAIN_MIN => self.state = State::Shrinking,
            (false, true) => self.state = State::Shrinking,
            (_, true) => self.rest(trial.after().rate),
            (_, false) => self.rest(trial.before.rate),
        }
    }
}

impl Trial {
    /// Returns the level with the change, without the first observation if there are more.
    fn after(&self) -> Level {
        Level::of(match self.seen.as_slice() {
            [_, rest @ ..] if !rest.is_empty() => rest,
            all => all,
        })
    }

    fn gain(&self) -> f64 {
        self.after().rate / self.before.rate.max(1.0) - 1.0
    }

    fn evidence(&self) -> Evidence {
        let after = self.after();
        Evidence::Trial {
            rate_before: self.before.rate as u64,
            rate_after: after.rate as u64,
            p99_before_us: self.before.p99_us as u64,
            p99_after_us: after.p99_us as u64,
        }
    }

    /// Returns whether the change helped, once that is clear.
    fn verdict(&self, target_us: f64) -> Option<bool> {
        let (gain, count) = (self.gain(), self.seen.len());
        // A single lucky observation is no gain: each must show it, including the mixed one.
        let least = self.before.rate * (1.0 + GAIN_CLEAR);
        let is_clear = gain <= -GAIN_CLEAR || self.seen.iter().all(|seen| seen.rate >= least);
        // The backlog of a cut is gone before its first observation.
        let is_enough = is_clear || self.aim == Aim::Admission || count >= CAP_OBSERVATIONS;
        if count < 2 || !is_enough {
            return None;
        }
        let (before_us, p99_us) = (self.before.p99_us, self.after().p99_us);
        let is_late = p99_us > target_us;
        Some(match self.aim {
            Aim::Throughput => gain >= GAIN_MIN && !(is_late && before_us <= target_us),
            Aim::Latency => p99_us <= before_us * (1.0 - SAVED_MIN),
            Aim::Admission => !is_late || (p99_us <= before_us && gain >= -COST_MAX),
        })
    }
}
