//! How many operations a group may have, and how many may be in flight.
//!
//! Groups are self-clocked: what waits is sealed as soon as there is room, so a cap matters only where work
//! waits. There Little's law holds (Little 1961): mean latency = operations in flight / throughput. So three cases:
//!
//! - *Saturated*: the cap decides the throughput, and the operations in flight decide the latency. The cap is
//!   searched by throughput, as BBR (Cardwell et al. 2016) probes for bandwidth: doubled, as in slow start, while
//!   a doubling gives at least 3 %; halved if halving does. A latency above its target is answered at the door:
//!   in flight = throughput × target, which is what Vegas and Netflix' concurrency limits do with a window.
//!   Shrinking groups there would lower the throughput and with it raise the latency, and so on.
//! - *Not saturated, latency above its target*: groups are too large to overlap, or there are too many of them. A
//!   smaller cap is tried if little of the latency is waiting, and kept only if the latency fell; else less is let in.
//! - *Not saturated and below the target*: nothing is done.
//!
//! Groups that the cap of bytes closes saturate too, but no larger cap of operations is tried for them: it would not be
//! felt.
//!
//! Each change of the cap is a trial: windows before and after are compared by their medians, and what did not
//! help is taken back, with longer and longer pauses (doubling, as in truncated exponential backoff). So what no cap
//! can help (a disk that stalls) moves none. A cap that was found holds until throughput moves by a quarter for
//! three windows; then the search begins anew. Between the bounds of the target nothing moves (a deadband).

use std::collections::VecDeque;

use super::observation::{Gathered, Observation, typical};
use super::{Change, ControlSettings, Evidence, Latencies, Limits, Move, Reason, Window};

/// Observations kept for medians.
const RECENT_MAX: usize = 8;
/// What a doubling of the cap must give to be kept.
const GAIN_MIN: f64 = 0.03;
/// A difference that two windows are enough for.
const GAIN_CLEAR: f64 = 0.15;
/// Windows that a difference which is not clear is judged by, beside the first one, which is mixed.
const TRIAL_WINDOWS: usize = 3;
/// Where in flight is moved to: this share of the target.
const AIM: f64 = 0.88;
/// The same when it is raised, more carefully.
const AIM_UP: f64 = 0.85;
/// Mean latency against the 99th percentile when what is in flight is bounded, at least.
const EVEN_MIN: f64 = 0.8;
/// Above this share of the target, chance alone will exceed it often.
const CLOSE: f64 = 0.95;
/// A cut that brings the latency this near to the target is a success.
const NEARLY: f64 = 1.1;
/// Share of the throughput that a cut may not go below without reaching the target.
const WORTH: f64 = 0.75;
/// In flight is raised if the latency is below this share of the target.
const ROOM: f64 = 0.79;
/// Windows with room before in flight is raised, at first; it doubles whenever that was too much.
const CALM_MIN: u32 = 4;
/// In flight is not raised by less than this factor.
const STEP_MIN: f64 = 1.03;
/// What a change of the latency must be, to be kept for its sake.
const LATENCY_GAIN_MIN: f64 = 0.10;
/// Windows between small trials at rest: first and longest pause.
const PAUSE_MIN: u32 = 16;
const PAUSE_MAX: u32 = 1024;
/// A cap that is below what the target allows by more than this is raised before anything else.
const FAR: f64 = 4.0;
/// Factor of a small trial at rest.
const SMALL: f64 = 1.09;
/// Groups larger than this share of what is in flight, evenly cut, are lumps that overlap with nothing.
const LUMP: f64 = 1.5;
/// What it must give: a gain that is not chance.
const SMALL_GAIN_MIN: f64 = 0.05;
/// A throughput that moved by this factor is another one.
const SHIFT: f64 = 1.25;
/// Observations in a row that show it.
const SHIFT_WINDOWS: u32 = 3;
/// Less than this share of the usual throughput, with groups stuck in the pipeline, is a stall.
const STALL_SHARE: f64 = 0.25;
/// Windows that are left out after a stall, at most; and those that a move is given to take effect, at most.
const SETTLE_MAX: u32 = 8;

type Moves = Vec<Move>;

/// What a trial is for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Aim {
    Throughput,
    Latency,
}

/// A change whose effect is being watched.
#[derive(Clone, Debug)]
struct Trial {
    aim: Aim,
    /// A small step at rest, not one of the search.
    small: bool,
    from: u64,
    to: u64,
    before: Level,
    seen: Vec<Observation>,
}

/// Medians of a few observations.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    rate: f64,
    p99_us: f64,
    inside: f64,
}

/// How far the search for the best throughput has come.
#[derive(Clone, Copy, Debug, Default)]
struct Search {
    up_done: bool,
    down_done: bool,
    /// The last doubling gave nearly as much again: take two at once.
    fast: bool,
    /// So it was when halving.
    fast_down: bool,
}

/// A cut of the operations in flight whose effect is being watched.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Before the first of several cuts: operations in flight, the group's, throughput and latency.
    from: u64,
    cap: u64,
    rate: f64,
    p99_us: f64,
    /// What the latency must have come down to, or the cut was in vain.
    p99_us_max: f64,
}

/// The controller of group size and admission; see the module's source for how it decides.
///
/// ```
/// use trunkline::control::{BatchSize, ControlSettings, Latencies, Limits, Window};
/// let mut controller = BatchSize::new(&ControlSettings::default(), &Limits::default());
/// // Nothing was measured: nothing is changed.
/// assert!(controller.decide(&Window::default(), &Latencies::default()).is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct BatchSize {
    limits: Limits,
    target_us: f64,
    samples_min: u64,
    admission: bool,

    cap: u64,
    in_flight: u64,
    /// What was above the target last.
    in_flight_too_many: f64,
    gathered: Gathered,
    recent: VecDeque<Observation>,
    /// Rates of the last windows under any setting, to recognise a stall by.
    usual: VecDeque<f64>,
    settle: u32,
    stalled: u32,
    /// Windows that what waits now takes.
    backlog: u32,

    search: Search,
    trial: Option<Trial>,
    /// How the last trial came out, until a decision shows it.
    judged: Option<Evidence>,
    /// Throughput when the search ended.
    found: Option<f64>,
    shifted: u32,
    since_search: u32,
    search_spacing: u32,
    found_cap: u64,
    /// What the cap was before a cut lowered it, to go back to when there is room.
    cap_wanted: u64,

    pause: u32,
    pause_next: u32,
    small_up: bool,

    latency_pause: u32,
    latency_pause_next: u32,

    cut: Option<Cut>,
    /// Cuts that helped, and not enough yet.
    cut_short: Option<Cut>,
    cut_pause: u32,
    cut_pause_next: u32,
    calm: u32,
    calm_needed: u32,
    /// Whether in flight was raised since it was cut.
    relaxed: bool,
}

impl BatchSize {
    /// A controller that takes the window's settings as its start.
    pub fn new(settings: &ControlSettings, limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            target_us: settings.target_p99_ms.max(1) as f64 * 1e3,
            samples_min: settings.samples_min.max(1),
            admission: settings.admission,
            cap: 0,
            in_flight: 0,
            in_flight_too_many: f64::MAX,
            gathered: Gathered::default(),
            recent: VecDeque::new(),
            usual: VecDeque::new(),
            settle: 0,
            stalled: 0,
            backlog: 0,
            search: Search::default(),
            trial: None,
            judged: None,
            found: None,
            shifted: 0,
            since_search: 0,
            search_spacing: 10,
            found_cap: 0,
            cap_wanted: 0,
            pause: 0,
            pause_next: PAUSE_MIN,
            small_up: true,
            latency_pause: 0,
            latency_pause_next: PAUSE_MIN,
            cut: None,
            cut_short: None,
            cut_pause: 0,
            cut_pause_next: PAUSE_MIN,
            calm: 0,
            calm_needed: CALM_MIN,
            relaxed: false,
        }
    }

    /// Whether the pipeline is at its limit, the best cap is known and nothing is being tried: others may try things.
    pub fn is_settled(&self) -> bool {
        let moving = self.trial.is_some() || self.cut.is_some() || self.settle > 0;
        !moving && self.found.is_some() && self.is_saturated()
    }

    /// Whether the last windows were at the limit of what the pipeline can do.
    fn is_saturated(&self) -> bool {
        self.recent.len() >= 2 && self.last(2).all(|seen| seen.saturated())
    }

    /// Looks at a window; mostly changes nothing.
    pub fn decide(&mut self, window: &Window, latencies: &Latencies) -> Vec<Move> {
        let mut moves = self.moves(window, latencies);
        for wanted in &mut moves {
            if wanted.evidence.is_none() {
                wanted.evidence = self.judged.take();
            }
        }
        moves
    }

    fn moves(&mut self, window: &Window, latencies: &Latencies) -> Moves {
        self.adopt(window);
        if self.is_stall(window) {
            return Moves::new();
        }
        let Some(seen) = self.gathered.add(window, latencies, self.samples_min) else {
            return Moves::new();
        };
        if self.settle > 0 {
            self.settle -= 1;
            return Moves::new();
        }
        self.count_down();
        push_bounded(&mut self.recent, seen);
        if let Some(trial) = self.trial.take() {
            return self.judge_trial(trial, seen);
        }
        if let Some(cut) = self.cut.take() {
            return self.judge_cut(cut, seen);
        }
        self.notice_shift(seen);
        self.propose(seen)
    }

    /// Takes over what is in force, whoever set it.
    fn adopt(&mut self, window: &Window) {
        let (cap, in_flight) = (window.group_operations_max, window.in_flight_operations_max);
        if (cap, in_flight) == (self.cap, self.in_flight) {
            return;
        }
        (self.cap, self.in_flight) = (cap, in_flight);
        (self.trial, self.cut, self.settle) = (None, None, 0);
        self.search = Search::default();
        (self.found, self.judged) = (None, None);
        // What was given up for a cut that somebody has overruled is nobody's wish any more.
        (self.cut_short, self.cap_wanted) = (None, cap);
        self.in_flight_too_many = f64::MAX;
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        self.recent.clear();
        self.gathered.clear();
    }

    fn count_down(&mut self) {
        self.pause = self.pause.saturating_sub(1);
        self.latency_pause = self.latency_pause.saturating_sub(1);
        self.cut_pause = self.cut_pause.saturating_sub(1);
        self.since_search = self.since_search.saturating_add(1);
    }

    /// A window in which groups were stuck says nothing about any cap, nor do those in which the jam clears.
    fn is_stall(&mut self, window: &Window) -> bool {
        let rate = super::observation::per_second(window.operations_durable, window.length_us);
        let usual = typical(self.usual.iter().copied());
        let stuck = window.groups_in_flight >= self.limits.groups_in_flight_max;
        let backlog_us = window.operations_waiting as f64 * 1e6 / usual.max(1.0);
        self.backlog = windows_of(backlog_us + self.target_us, window.length_us);
        if stuck && rate < STALL_SHARE * usual && self.stalled < 2 * SETTLE_MAX {
            self.stalled = self.stalled.saturating_add(1);
            self.settle = self.settle.max(self.backlog);
            self.gathered.clear();
            return true;
        }
        self.stalled = 0;
        push_bounded(&mut self.usual, rate);
        false
    }

    fn last(&self, count: usize) -> impl Iterator<Item = &Observation> {
        self.recent.iter().rev().take(count)
    }

    fn level(&self, count: usize) -> Level {
        Level {
            rate: typical(self.last(count).map(|seen| seen.rate)),
            p99_us: typical(self.last(count).map(|seen| seen.p99_us)),
            inside: typical(self.last(count).map(|seen| seen.inside)),
        }
    }

    /// Above the target twice lately, or close below it all the time: one window alone is chance.
    fn is_over(&self) -> bool {
        let over = |seen: &&Observation| seen.p99_us > self.target_us;
        let close =
            self.recent.len() >= 4 && self.level(RECENT_MAX).p99_us > CLOSE * self.target_us;
        close || self.recent.iter().filter(over).count() >= 2
    }

    fn propose(&mut self, seen: Observation) -> Moves {
        if self.is_saturated() {
            return self.propose_saturated(seen);
        }
        if self.is_over() {
            return self.propose_for_latency(seen);
        }
        self.relax(seen)
    }

    fn propose_saturated(&mut self, seen: Observation) -> Moves {
        let over = self.is_over();
        let growing = seen.full && !self.search.up_done;
        let far = (self.cap as f64) < self.ceiling(seen.rate, seen.inside) / FAR;
        if over && !(growing && far) {
            let moves = self.cut(seen);
            if !moves.is_empty() {
                return moves;
            }
        }
        let moves = self.relax(seen);
        if !moves.is_empty() {
            return moves;
        }
        if growing {
            return self.grow(
                seen,
                if over {
                    Reason::Saturated
                } else {
                    Reason::RoomBelowTarget
                },
            );
        }
        if !self.search.down_done {
            return self.try_cap(self.smaller(seen), Aim::Throughput, Reason::Probe);
        }
        if self.found.is_none() {
            self.rest();
        }
        self.small_trial(seen)
    }

    /// The cap above which groups that overlap, as many as the pipeline takes, hold more than the target allows to be
    /// in flight at this throughput.
    fn ceiling(&self, rate: f64, inside: f64) -> f64 {
        (rate * AIM * self.target_us / 1e6).min(inside) / self.overlapping()
    }

    /// Groups in flight beside one that waits.
    fn overlapping(&self) -> f64 {
        self.limits.groups_in_flight_max.saturating_sub(1).max(1) as f64
    }

    fn grow(&mut self, seen: Observation, reason: Reason) -> Moves {
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

    /// A cap that is clearly felt, and leaves groups enough to overlap.
    fn smaller(&self, seen: Observation) -> f64 {
        let felt = seen.group_largest.min(self.cap as f64);
        let factor = if self.search.fast_down || !seen.full {
            4.0
        } else {
            2.0
        };
        felt / factor
    }

    /// The search is over: what holds now is what later windows are compared with.
    fn rest(&mut self) {
        self.found = Some(self.level(4).rate);
        self.judged = None;
        self.shifted = 0;
        self.search_spacing = if self.cap == self.found_cap {
            self.search_spacing.saturating_mul(2).min(PAUSE_MAX)
        } else {
            10
        };
        self.found_cap = self.cap;
        self.pause_next = PAUSE_MIN;
        self.pause = PAUSE_MIN;
    }

    fn small_trial(&mut self, seen: Observation) -> Moves {
        if self.pause > 0 || self.recent.len() < RECENT_MAX {
            return Moves::new();
        }
        let overlap = seen.group_largest <= LUMP * seen.inside / self.overlapping();
        if !seen.full && overlap {
            return Moves::new();
        }
        let factor = if self.small_up { SMALL } else { 1.0 / SMALL };
        let before = self.level(RECENT_MAX);
        // A cap that is not felt takes more than a small step.
        let wanted = if seen.full {
            self.cap as f64 * factor
        } else {
            self.smaller(seen)
        };
        let moves = self.try_cap(wanted, Aim::Throughput, Reason::Probe);
        if let Some(trial) = &mut self.trial {
            (trial.small, trial.before) = (true, before);
        }
        moves
    }

    /// Throughput at the limit that is not what it was begins the search anew.
    fn notice_shift(&mut self, seen: Observation) {
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

    fn propose_for_latency(&mut self, seen: Observation) -> Moves {
        if self.latency_pause > 0 || seen.waits {
            return self.cut(seen);
        }
        let felt = seen.group_largest.min(self.cap as f64);
        self.try_cap(felt / 1.5, Aim::Latency, Reason::AboveTarget)
    }

    fn try_cap(&mut self, wanted: f64, aim: Aim, reason: Reason) -> Moves {
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

    fn set_cap(&mut self, to: u64, reason: Reason) -> Move {
        let from = std::mem::replace(&mut self.cap, to);
        self.begin_anew();
        Move::new(Change::GroupOperationsMax { from, to }, reason)
    }

    fn judge_trial(&mut self, mut trial: Trial, seen: Observation) -> Moves {
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

    /// Lets fewer operations in, so that those inside are done in time, in groups that still overlap.
    fn cut(&mut self, seen: Observation) -> Moves {
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

    fn judge_cut(&mut self, cut: Cut, seen: Observation) -> Moves {
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
    fn relax(&mut self, seen: Observation) -> Moves {
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

impl Level {
    fn evidence(&self) -> Evidence {
        Evidence::InFlight {
            operations: self.inside as u64,
            rate: self.rate as u64,
            p99_us: self.p99_us as u64,
        }
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

impl Trial {
    fn evidence(&self) -> Evidence {
        Evidence::Trial {
            rate_before: self.before.rate as u64,
            rate_after: self.rate() as u64,
            p99_before_us: self.before.p99_us as u64,
            p99_after_us: self.p99_us() as u64,
        }
    }

    /// The first window is mixed with what was under way before, so it counts only alone.
    fn settled(&self) -> &[Observation] {
        match self.seen.as_slice() {
            [_, rest @ ..] if !rest.is_empty() => rest,
            all => all,
        }
    }

    fn rate(&self) -> f64 {
        typical(self.settled().iter().map(|seen| seen.rate))
    }

    /// Whether each window shows a gain that is not chance, the mixed one too: a single one may be lucky.
    fn clearly_more(&self) -> bool {
        let least = self.before.rate * (1.0 + GAIN_CLEAR);
        self.seen.iter().all(|seen| seen.rate >= least)
    }

    fn gain(&self) -> f64 {
        self.rate() / self.before.rate.max(1.0) - 1.0
    }

    fn p99_us(&self) -> f64 {
        typical(self.settled().iter().map(|seen| seen.p99_us))
    }

    /// Whether it helped, once that can be said.
    fn verdict(&self, target_us: f64) -> Option<bool> {
        let gain = self.gain();
        let enough = self.seen.len() > TRIAL_WINDOWS;
        match self.aim {
            Aim::Throughput => {
                let doublings = (self.to as f64 / self.from as f64).log2().abs();
                let needed = if self.small {
                    SMALL_GAIN_MIN
                } else {
                    GAIN_MIN * doublings.max(0.5)
                };
                let late = self.before.p99_us <= target_us && self.p99_us() > target_us;
                let clear = self.seen.len() > 1 && (gain <= -GAIN_CLEAR || self.clearly_more());
                // A small step must show in each window.
                let chance = self.small
                    && self
                        .settled()
                        .iter()
                        .any(|seen| seen.rate < self.before.rate);
                (enough || clear).then_some(gain >= needed && !late && !chance)
            }
            Aim::Latency => {
                let better = self.p99_us() <= self.before.p99_us * (1.0 - LATENCY_GAIN_MIN);
                let harm = gain < -0.05 && self.p99_us() > target_us * 0.9;
                let enough = self.seen.len() >= TRIAL_WINDOWS
                    || (gain <= -GAIN_CLEAR && self.seen.len() > 1);
                enough.then_some(better && !harm)
            }
        }
    }
}

fn push_bounded<T>(ring: &mut VecDeque<T>, item: T) {
    if ring.len() >= RECENT_MAX {
        ring.pop_front();
    }
    ring.push_back(item);
}

/// Windows that a duration takes, at least one and at most a few.
fn windows_of(duration_us: f64, length_us: u64) -> u32 {
    let windows = (duration_us / length_us.max(1) as f64).ceil();
    (windows as u32).clamp(1, SETTLE_MAX)
}
