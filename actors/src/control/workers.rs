//! Into how many pieces work is cut, by trying: one step up, one step down, back in between.
//!
//! Throughput here is noisy (a tenth to a quarter), so a step is judged A/B/A: medians of windows before, with, and
//! after it, as one judges by hand; what gave nothing is tried again after ever longer pauses. The hill climbing is that of
//! the thread pool of .NET (Hellerstein, Morrison, Eilebrecht 2009) without its waves. Not here: sharing processors
//! between stages; a step that takes them from another one shows as throughput lost.

use super::observation::{per_second, typical};
use super::{Change, ControlSettings, Limits, Reason, Window, Work};

/// More pieces than this are never tried: one a slot of the root.
const PIECES_MAX: u64 = 128;
/// What a step must give.
const GAIN_MIN: f64 = 1.05;
/// Windows on each side, after one that is mixed.
const SIDE_WINDOWS: usize = 3;
/// Windows between probes: first and longest pause.
const PAUSE_MIN: u32 = 16;
const PAUSE_MAX: u32 = 4096;

/// Where a probe stands.
#[derive(Clone, Debug, PartialEq)]
enum Side {
    Before,
    With,
    After,
}

#[derive(Clone, Debug)]
struct Probe {
    work: Work,
    from: u64,
    to: u64,
    side: Side,
    before: f64,
    with: Vec<f64>,
    seen: Vec<f64>,
}

/// What was tried of one kind of work.
#[derive(Clone, Copy, Debug)]
struct Tried {
    up: bool,
    pause: u32,
    pause_next: u32,
}

impl Default for Tried {
    fn default() -> Self {
        Self {
            up: true,
            pause: 0,
            pause_next: PAUSE_MIN,
        }
    }
}

/// Probes the pieces of the busiest work.
///
/// ```
/// use trunkline::control::{ControlSettings, Limits, Window, Workers};
/// let mut workers = Workers::new(&ControlSettings::default(), &Limits { cores: 8, ..Limits::default() });
/// // The load is what limits, so there is nothing to try.
/// assert!(workers.decide(&Window::default(), false).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Workers {
    on: bool,
    pieces_max: u64,
    tried: [Tried; 3],
    probe: Option<Probe>,
}

impl Workers {
    /// Nothing tried yet.
    pub fn new(settings: &ControlSettings, limits: &Limits) -> Self {
        Self {
            on: settings.workers,
            pieces_max: limits.cores.clamp(1, PIECES_MAX),
            tried: [Tried::default(); 3],
            probe: None,
        }
    }

    /// Looks at a window. `steady`: the pipeline is at its limit, and nothing else was moved lately.
    pub fn decide(&mut self, window: &Window, steady: bool) -> Option<(Change, Reason)> {
        if !self.on || self.pieces_max < 2 {
            return None;
        }
        for tried in &mut self.tried {
            tried.pause = tried.pause.saturating_sub(1);
        }
        let Some(probe) = self.probe.take() else {
            self.begin(window, steady);
            return None;
        };
        let expected = if probe.side == Side::With {
            probe.to
        } else {
            probe.from
        };
        let now = pieces(window, probe.work);
        if now != expected {
            // Somebody else set it: that is the start now.
            return None;
        }
        if !steady {
            return (now != probe.from)
                .then(|| change(probe.work, now, probe.from, Reason::NoGain));
        }
        self.advance(probe, window)
    }

    /// Takes up the busiest work that may be probed.
    fn begin(&mut self, window: &Window, steady: bool) {
        if !steady {
            return;
        }
        let due = |work: &Work| {
            self.tried
                .get(*work as usize)
                .is_some_and(|tried| tried.pause == 0)
        };
        let works = [Work::Tree, Work::Hash, Work::Proof];
        let busiest = works
            .into_iter()
            .filter(due)
            .max_by_key(|work| utilisation(window, *work));
        let Some(work) = busiest.filter(|work| utilisation(window, *work) > 0) else {
            return;
        };
        let from = pieces(window, work);
        let Some(to) = self.next(work, from) else {
            return;
        };
        let (before, with) = (0.0, Vec::new());
        self.probe = Some(Probe {
            work,
            from,
            to,
            side: Side::Before,
            before,
            with,
            seen: Vec::new(),
        });
    }

    fn next(&mut self, work: Work, from: u64) -> Option<u64> {
        let tried = self.tried.get_mut(work as usize)?;
        let higher = from.saturating_mul(2).clamp(1, self.pieces_max);
        let lower = (from / 2).clamp(1, self.pieces_max);
        for _ in 0..2 {
            let to = if tried.up { higher } else { lower };
            if to != from && (to > from) == tried.up {
                return Some(to);
            }
            tried.up = !tried.up;
        }
        None
    }

    fn advance(&mut self, mut probe: Probe, window: &Window) -> Option<(Change, Reason)> {
        probe.seen.push(rate(window, probe.work));
        if probe.seen.len() <= SIDE_WINDOWS {
            self.probe = Some(probe);
            return None;
        }
        let seen = probe.seen.split_off(1);
        probe.seen.clear();
        let (work, from, to) = (probe.work, probe.from, probe.to);
        match probe.side {
            Side::Before => {
                (probe.before, probe.side) = (typical(seen), Side::With);
                self.probe = Some(probe);
                Some(change(work, from, to, Reason::Probe))
            }
            Side::With => {
                (probe.with, probe.side) = (seen, Side::After);
                self.probe = Some(probe);
                Some(change(work, to, from, Reason::Probe))
            }
            Side::After => {
                let without = probe.before.max(typical(seen));
                self.conclude(&probe, without)
                    .then(|| change(work, from, to, Reason::Gain))
            }
        }
    }

    /// Whether the step gave what it must, in most of its windows and together.
    fn conclude(&mut self, probe: &Probe, without: f64) -> bool {
        let above = probe
            .with
            .iter()
            .filter(|rate| **rate >= without * GAIN_MIN)
            .count();
        let gained = above >= 2 && typical(probe.with.iter().copied()) >= without * GAIN_MIN;
        if let Some(tried) = self.tried.get_mut(probe.work as usize) {
            tried.pause_next = if gained {
                PAUSE_MIN
            } else {
                (tried.pause_next * 2).min(PAUSE_MAX)
            };
            tried.pause = if gained { 1 } else { tried.pause_next };
            tried.up ^= !gained;
        }
        gained
    }
}

fn change(work: Work, from: u64, to: u64, reason: Reason) -> (Change, Reason) {
    (Change::Pieces { work, from, to }, reason)
}

fn pieces(window: &Window, work: Work) -> u64 {
    match work {
        Work::Tree => window.tree_pieces,
        Work::Hash => window.hash_pieces,
        Work::Proof => window.proof_pieces,
    }
}

/// How busy it is, per mille; proofs have no stage, so they come last while there are any.
fn utilisation(window: &Window, work: Work) -> u64 {
    let busy = |stage: usize| window.stages.get(stage).map_or(0, |stage| stage.busy_us);
    match work {
        Work::Tree => super::observation::per_mille(busy(1), window.length_us),
        Work::Hash => super::observation::per_mille(busy(2), window.length_us),
        Work::Proof => window.proofs.min(1),
    }
}

fn rate(window: &Window, work: Work) -> f64 {
    match work {
        Work::Tree | Work::Hash => per_second(window.operations_durable, window.length_us),
        Work::Proof => per_second(window.proofs, window.length_us),
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Windows whose throughput is a function of the pieces of hashing, with noise; pieces at the end, and how many
    /// windows of the last hundred were not at them.
    fn run(
        cores: u64,
        start: u64,
        speed: impl Fn(u64) -> f64,
        noise: f64,
        seed: u64,
    ) -> (u64, u64) {
        let mut random = SmallRng::seed_from_u64(seed);
        let limits = Limits {
            cores,
            ..Limits::default()
        };
        let mut workers = Workers::new(&ControlSettings::default(), &limits);
        let mut window = Window {
            length_us: 500_000,
            tree_pieces: 1,
            hash_pieces: start,
            ..Window::default()
        };
        window.stages[2].busy_us = 490_000;
        let mut history = Vec::new();
        for _ in 0..600 {
            let noisy =
                speed(window.hash_pieces) * (1.0 + noise * (random.random::<f64>() * 2.0 - 1.0));
            window.operations_durable = (noisy * 1e5) as u64;
            if let Some((
                Change::Pieces {
                    work: Work::Hash,
                    from,
                    to,
                },
                _,
            )) = workers.decide(&window, true)
            {
                assert_eq!(from, window.hash_pieces);
                assert!((1..=cores.min(128)).contains(&to));
                window.hash_pieces = to;
            }
            history.push(window.hash_pieces);
        }
        let last = history[history.len() - 1];
        let away = history
            .iter()
            .rev()
            .take(100)
            .filter(|pieces| **pieces != last)
            .count();
        (last, away as u64)
    }

    #[test]
    fn pieces_that_help_are_found_despite_noise() {
        for seed in 0..10 {
            let (pieces, _) = run(8, 1, |pieces| (pieces as f64).min(4.0).sqrt(), 0.10, seed);
            assert!(pieces >= 4, "{pieces}");
        }
    }

    #[test]
    fn pieces_that_hurt_are_given_up() {
        for seed in 0..10 {
            let (pieces, _) = run(8, 8, |pieces| 1.0 / (pieces as f64).sqrt(), 0.10, seed);
            assert_eq!(pieces, 1);
        }
    }

    #[test]
    fn what_gives_nothing_is_hardly_tried_at_rest() {
        for seed in 0..10 {
            let (pieces, away) = run(
                2,
                1,
                |pieces| if pieces == 1 { 1.0 } else { 0.9 },
                0.15,
                seed,
            );
            assert_eq!(pieces, 1);
            assert!(away <= 8, "{away}");
        }
    }

    #[test]
    fn a_probe_ends_where_it_began_when_something_else_moves() {
        let limits = Limits {
            cores: 4,
            ..Limits::default()
        };
        let mut workers = Workers::new(&ControlSettings::default(), &limits);
        let mut window = Window {
            length_us: 500_000,
            hash_pieces: 1,
            ..Window::default()
        };
        window.stages[2].busy_us = 400_000;
        let mut moved = None;
        while moved.is_none() {
            moved = workers.decide(&window, true);
        }
        window.hash_pieces = 2;
        let back = Change::Pieces {
            work: Work::Hash,
            from: 2,
            to: 1,
        };
        assert_eq!(workers.decide(&window, false), Some((back, Reason::NoGain)));
    }
}
