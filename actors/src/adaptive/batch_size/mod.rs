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
//! felt. Those that their share of what is inside closes (`group_share`) do not: a closed loop fills shares at any load.
//!
//! Each change of the cap is a trial: windows before and after are compared by their medians, and what did not
//! help is taken back, with longer and longer pauses (doubling, as in truncated exponential backoff). So what no cap
//! can help (a disk that stalls) moves none. A cap that was found holds until throughput moves by a quarter for
//! three windows; then the search begins anew. Between the bounds of the target nothing moves (a deadband).

mod admission;
mod search;
mod stall;
mod trial;

use std::collections::VecDeque;

use admission::Cut;
use search::Search;
use stall::{Flow, Stall};
use trial::{Aim, Level, Trial};

use super::observation::{Gathered, Observation, typical};
use super::{ControlSettings, Limits};
use crate::decisions::{Evidence, Latencies, Move, Reason, Window};

/// Observations kept for medians.
const RECENT_MAX: usize = 8;
/// What a doubling of the cap must give to be kept.
const GAIN_MIN: f64 = 0.03;
/// Where in flight is moved to: this share of the target.
const AIM: f64 = 0.88;
/// Above this share of the target, chance alone will exceed it often.
const CLOSE: f64 = 0.95;
/// Windows with room before in flight is raised, at first; it doubles whenever that was too much.
const CALM_MIN: u32 = 4;
/// Windows between small trials at rest: first and longest pause.
const PAUSE_MIN: u32 = 16;
const PAUSE_MAX: u32 = 1024;
/// A cap that is below what the target allows by more than this is raised before anything else.
const FAR: f64 = 4.0;
/// Windows that are left out after a stall, at most; and those that a move is given to take effect, at most.
const SETTLE_MAX: u32 = 8;

type Moves = Vec<Move>;

/// The controller of group size and admission; see the module's source for how it decides.
///
/// ```
/// use trunkline_actors::adaptive::{BatchSize, ControlSettings, Limits};
/// use trunkline_actors::decisions::{Latencies, Window};
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
    stall: Stall,
    /// Windows in which work moves that are left out still.
    settle: u32,
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
            stall: Stall::default(),
            settle: 0,
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
        if self.settle > 0 {
            self.settle -= u32::from(window.operations_durable > 0);
            return Moves::new();
        }
        let Some(seen) = self.gathered.add(window, latencies, self.samples_min) else {
            return Moves::new();
        };
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
        let flow = self.stall.add(window, self.limits.groups_in_flight_max);
        let backlog_us = window.operations_waiting as f64 * 1e6 / self.stall.usual().max(1.0);
        self.backlog = windows_of(backlog_us + self.target_us, window.length_us);
        match flow {
            Flow::Moving => {}
            Flow::Stalled => {
                self.settle = self.settle.max(self.backlog);
                self.gathered.clear();
            }
            Flow::Slower => {
                self.settle = 0;
                self.begin_anew();
            }
        }
        flow == Flow::Stalled
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
        if !self.search.down_done && self.may_be_smaller(seen) {
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
