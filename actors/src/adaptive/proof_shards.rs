//! Finds the number of shards of proofs by probing: one step up, one step down, and back in between.
//!
//! Throughput here is noisy (a tenth to a quarter), so a step is judged A/B/A, by the medians of windows before, with
//! and after it; a step without gain is tried again after ever longer pauses. The hill climbing is that of the .NET
//! thread pool (Hellerstein, Morrison, Eilebrecht 2009) without its waves. Steps are tried while most requests are for
//! proofs, and judged by the keys proven, whatever commits do. Reads of many keys use the same number, since a window
//! does not distinguish them from reads of single keys.

use super::backoff::Backoff;
use super::span::{per_second, typical};
use super::{ControlSettings, Limits};
use crate::decisions::{Change, Evidence, Move, Reason, Window, Work};

/// The highest number of shards that is tried.
const SHARDS_MAX: u64 = 128;
/// The gain that a step must show.
const GAIN_MIN: f64 = 1.05;
/// Number of windows on each side, after one that is mixed.
const SIDE_WINDOWS: usize = 3;
/// Number of keys proven in a window that is needed to judge their rate.
const PROOFS_MIN: u64 = 100;
/// The number of keys proven per durable operation from which on most requests count as proofs. Below it, shards of
/// proofs may slow down commits, which the rate of proofs does not show.
const PROOFS_LEAD: u64 = 4;

/// The progress of a probe.
#[derive(Clone, Debug, PartialEq)]
enum Side {
    Before,
    With,
    After,
}

#[derive(Clone, Debug)]
struct Probe {
    from: u64,
    to: u64,
    side: Side,
    before: f64,
    with: Vec<f64>,
    seen: Vec<f64>,
}

/// The controller of the number of shards of proofs.
///
/// ```
/// use trunkline_actors::adaptive::{ControlSettings, Limits, ProofShards};
/// use trunkline_actors::decisions::Window;
/// let mut shards = ProofShards::new(&ControlSettings::default(), &Limits { read_threads: 8, ..Limits::default() });
/// // Nothing is proven, so there is nothing to try.
/// assert!(shards.decide(&Window::default()).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct ProofShards {
    on: bool,
    /// The most shards: one for each thread of the pool.
    most: u64,
    /// The direction of the next step.
    up: bool,
    pause: Backoff,
    probe: Option<Probe>,
    /// The shards that an abandoned probe left in force, and the earlier ones.
    left: Option<(u64, u64)>,
}

impl ProofShards {
    /// Returns a controller that has tried nothing yet.
    pub fn new(settings: &ControlSettings, limits: &Limits) -> Self {
        Self {
            on: settings.workers,
            most: limits.read_threads.clamp(1, SHARDS_MAX),
            up: true,
            pause: Backoff::default(),
            probe: None,
            left: None,
        }
    }

    /// Replaces another controller, and undoes its current trial.
    pub(super) fn after(self, old: &Self) -> Self {
        let in_force = |probe: &&Probe| probe.side == Side::With;
        let probe = old.probe.as_ref().filter(in_force);
        let left = probe.map(|probe| (probe.to, probe.from));
        Self {
            left: left.or(old.left),
            ..self
        }
    }

    /// Takes a window and returns a change, if any.
    pub fn decide(&mut self, window: &Window) -> Option<Move> {
        let now = window.proof_parallelism;
        if let Some((tried, from)) = self.left.take()
            && now == tried
        {
            return Some(change(tried, from, Reason::BrokenOff));
        }
        if !self.on {
            return None;
        }
        self.pause.tick();
        let Some(probe) = self.probe.take() else {
            self.begin(window);
            return None;
        };
        let expected = if probe.side == Side::With {
            probe.to
        } else {
            probe.from
        };
        if now != expected {
            // The setting was changed from outside: that is the new start.
            return None;
        }
        if !is_asked_for(window) {
            return (now != probe.from).then(|| change(now, probe.from, Reason::BrokenOff));
        }
        self.advance(probe, window)
    }

    /// Begins a probe if one is due.
    fn begin(&mut self, window: &Window) {
        let from = window.proof_parallelism;
        if self.most == 1 || !self.pause.is_due() || !is_asked_for(window) {
            return;
        }
        let Some(to) = self.next(from) else {
            return;
        };
        self.probe = Some(Probe {
            from,
            to,
            side: Side::Before,
            before: 0.0,
            with: Vec::new(),
            seen: Vec::new(),
        });
    }

    fn next(&mut self, from: u64) -> Option<u64> {
        let higher = from.saturating_mul(2).clamp(1, self.most);
        let lower = (from / 2).clamp(1, self.most);
        for _ in 0..2 {
            let to = if self.up { higher } else { lower };
            if to != from && (to > from) == self.up {
                return Some(to);
            }
            self.up = !self.up;
        }
        None
    }

    fn advance(&mut self, mut probe: Probe, window: &Window) -> Option<Move> {
        probe.seen.push(rate(window));
        if probe.seen.len() <= SIDE_WINDOWS {
            self.probe = Some(probe);
            return None;
        }
        let seen = probe.seen.split_off(1);
        probe.seen.clear();
        let (from, to) = (probe.from, probe.to);
        match probe.side {
            Side::Before => {
                (probe.before, probe.side) = (typical(seen), Side::With);
                self.probe = Some(probe);
                Some(change(from, to, Reason::Probe))
            }
            Side::With => {
                let evidence = evidence(probe.before, &seen);
                (probe.with, probe.side) = (seen, Side::After);
                self.probe = Some(probe);
                Some(change(to, from, Reason::Probe).judged_by(evidence))
            }
            Side::After => {
                let without = probe.before.max(typical(seen));
                let evidence = evidence(without, &probe.with);
                self.conclude(&probe, without)
                    .then(|| change(from, to, Reason::Gain).judged_by(evidence))
            }
        }
    }

    /// Returns whether the step gained enough, in most of its windows and overall.
    fn conclude(&mut self, probe: &Probe, without: f64) -> bool {
        let above = probe
            .with
            .iter()
            .filter(|rate| **rate >= without * GAIN_MIN)
            .count();
        let gained = above >= 2 && typical(probe.with.iter().copied()) >= without * GAIN_MIN;
        self.pause.note(gained);
        self.up ^= !gained;
        gained
    }
}

fn evidence(without: f64, with: &[f64]) -> Evidence {
    Evidence::Parallelism {
        rate_without: without as u64,
        rate_with: typical(with.iter().copied()) as u64,
    }
}

fn change(from: u64, to: u64, reason: Reason) -> Move {
    let work = Work::Proof;
    Move::new(Change::Parallelism { work, from, to }, reason)
}

/// Returns whether most requests in a window are for proofs.
fn is_asked_for(window: &Window) -> bool {
    let commits = window.operations_durable;
    window.proofs >= commits.saturating_mul(PROOFS_LEAD).max(PROOFS_MIN)
}

fn rate(window: &Window) -> f64 {
    per_second(window.proofs, window.length_us)
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn threads(read_threads: u64) -> Limits {
        Limits {
            read_threads,
            ..Limits::default()
        }
    }

    fn window(shards: u64, proofs: u64) -> Window {
        Window {
            length_us: 500_000,
            proof_parallelism: shards,
            proofs,
            ..Window::default()
        }
    }

    /// Simulates windows whose rate of proofs is a function of their shards, with noise. Returns the shards at the end,
    /// and the number of the last hundred windows with other shards.
    fn run(
        cores: u64,
        start: u64,
        speed: impl Fn(u64) -> f64,
        noise: f64,
        seed: u64,
    ) -> (u64, u64) {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut shards = ProofShards::new(&ControlSettings::default(), &threads(cores));
        let mut now = start;
        let mut history = Vec::new();
        for _ in 0..600 {
            let noisy = speed(now) * (1.0 + noise * (random.random::<f64>() * 2.0 - 1.0));
            let moved = shards.decide(&window(now, (noisy * 1e5) as u64));
            if let Some(Change::Parallelism { from, to, .. }) = moved.map(|moved| moved.change) {
                assert_eq!(from, now);
                assert!((1..=cores.min(128)).contains(&to));
                now = to;
            }
            history.push(now);
        }
        let last = history.iter().rev().take(100);
        let away = last.filter(|shards| **shards != now).count();
        (now, away as u64)
    }

    #[test]
    fn shards_that_help_are_found_despite_noise() {
        for seed in 0..10 {
            let (shards, _) = run(8, 1, |shards| (shards as f64).min(4.0).sqrt(), 0.10, seed);
            assert!(shards >= 4, "{shards}");
        }
    }

    #[test]
    fn shards_that_hurt_are_given_up() {
        for seed in 0..10 {
            let (shards, _) = run(8, 8, |shards| 1.0 / (shards as f64).sqrt(), 0.10, seed);
            assert_eq!(shards, 1);
        }
    }

    #[test]
    fn what_gives_nothing_is_hardly_tried_at_rest() {
        let speed = |shards| if shards == 1 { 1.0 } else { 0.9 };
        for seed in 0..10 {
            let (shards, away) = run(2, 1, speed, 0.15, seed);
            assert_eq!(shards, 1);
            assert!(away <= 8, "{away}");
        }
    }

    #[test]
    fn a_probe_ends_where_it_began_when_something_else_moves() {
        let limits = threads(4);
        let mut shards = ProofShards::new(&ControlSettings::default(), &limits);
        let mut moved = None;
        while moved.is_none() {
            moved = shards.decide(&window(1, 1_000));
        }
        let broken_off = change(2, 1, Reason::BrokenOff);
        // The next controller undoes it too, even if it tries nothing itself.
        let fixed = ControlSettings {
            workers: false,
            ..ControlSettings::default()
        };
        let mut successor = ProofShards::new(&fixed, &limits).after(&shards);
        assert_eq!(
            successor.decide(&window(2, 1_000)),
            Some(broken_off.clone())
        );
        assert_eq!(successor.decide(&window(1, 1_000)), None);
        // Unless other shards were set meanwhile.
        let mut successor = ProofShards::new(&fixed, &limits).after(&shards);
        assert_eq!(successor.decide(&window(1, 1_000)), None);

        assert_eq!(shards.decide(&window(2, 0)), Some(broken_off));
    }

    #[test]
    fn shards_keep_to_the_threads_that_read() {
        let sqrt = |shards| (shards as f64).sqrt();
        assert_eq!(run(1, 1, sqrt, 0.0, 0), (1, 0));
        assert_eq!(run(2, 1, sqrt, 0.0, 0).0, 2);
    }

    #[test]
    fn shards_stay_where_commits_are_the_load() {
        let mut shards = ProofShards::new(&ControlSettings::default(), &threads(8));
        for _ in 0..200 {
            let window = Window {
                operations_durable: 50_000,
                ..window(1, 50_000)
            };
            assert_eq!(shards.decide(&window), None);
        }
    }
}
