//! Probes into how many shards work is cut: one step up, one step down, back in between.
//!
//! Throughput here is noisy (a tenth to a quarter), so a step is judged A/B/A: medians of windows before, with, and
//! after it, as one judges by hand; what gave nothing is tried again after ever longer pauses. The hill climbing is that of
//! the thread pool of .NET (Hellerstein, Morrison, Eilebrecht 2009) without its waves. Shards of commits are tried while
//! commits are at their limit, by what becomes durable; those of proofs while it is proofs that are asked for, by the
//! keys proven, whatever commits do. A step that takes
//! processors from another stage shows as throughput lost. Reads of many keys follow what was found for proofs, since a
//! window does not tell them from reads of single keys.

use super::backoff::Backoff;
use super::span::{per_mille, per_second, typical};
use super::{ControlSettings, Limits};
use crate::decisions::{Change, Evidence, Move, Reason, Window, Work};

/// More shards than this are never tried: one a slot of the root.
const SHARDS_MAX: u64 = 128;
/// The gain that a step must show.
const GAIN_MIN: f64 = 1.05;
/// Windows on each side, after one that is mixed.
const SIDE_WINDOWS: usize = 3;
/// Keys proven in a window that it takes to judge their rate.
const PROOFS_MIN: u64 = 100;
/// Keys proven for each operation made durable from which on it is proofs that are asked for. Below, shards of proofs
/// may take from commits what the rate of proofs does not show.
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
    work: Work,
    from: u64,
    to: u64,
    side: Side,
    before: f64,
    with: Vec<f64>,
    seen: Vec<f64>,
}

/// The probes of one kind of work.
#[derive(Clone, Copy, Debug)]
struct Tried {
    up: bool,
    pause: Backoff,
}

/// Probes the shards of the busiest work.
///
/// ```
/// use trunkline_actors::adaptive::{ControlSettings, Limits, Parallelism};
/// use trunkline_actors::decisions::Window;
/// let mut workers = Parallelism::new(&ControlSettings::default(), &Limits { threads: 8, ..Limits::default() });
/// // The load is what limits, so there is nothing to try.
/// assert!(workers.decide(&Window::default(), false).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Parallelism {
    on: bool,
    /// Of work of commits, and of proofs.
    shards_max: u64,
    proof_shards_max: u64,
    tried: [Tried; 3],
    probe: Option<Probe>,
    /// Shards that a probe which was given up left in force, and those that were there before.
    left: Option<(Work, u64, u64)>,
}

impl Parallelism {
    /// Returns a controller that has tried nothing yet.
    pub fn new(settings: &ControlSettings, limits: &Limits) -> Self {
        Self {
            on: settings.workers,
            shards_max: limits.threads.clamp(1, SHARDS_MAX),
            proof_shards_max: limits.read_threads.clamp(1, SHARDS_MAX),
            tried: [Tried {
                up: true,
                pause: Backoff::default(),
            }; 3],
            probe: None,
            left: None,
        }
    }

    /// Takes the place of another controller, and takes back what that one was trying.
    pub(super) fn after(self, old: &Self) -> Self {
        let in_force = |probe: &&Probe| probe.side == Side::With;
        let probe = old.probe.as_ref().filter(in_force);
        let left = probe.map(|probe| (probe.work, probe.to, probe.from));
        Self {
            left: left.or(old.left),
            ..self
        }
    }

    /// Takes a window and returns what to change. `steady` says that the pipeline is at its limit and that nothing else
    /// was moved lately.
    pub fn decide(&mut self, window: &Window, steady: bool) -> Option<Move> {
        if let Some((work, tried, from)) = self.left.take()
            && shards(window, work) == tried
        {
            return Some(change(work, tried, from, Reason::BrokenOff));
        }
        if !self.on {
            return None;
        }
        for tried in &mut self.tried {
            tried.pause.tick();
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
        let now = shards(window, probe.work);
        if now != expected {
            // Somebody else set it: that is the start now.
            return None;
        }
        if !may_probe(probe.work, window, steady) {
            return (now != probe.from)
                .then(|| change(probe.work, now, probe.from, Reason::BrokenOff));
        }
        self.advance(probe, window)
    }

    /// Begins a probe of the busiest work that may be probed.
    fn begin(&mut self, window: &Window, steady: bool) {
        let due = |work: &Work| {
            let tried = self.tried.get(*work as usize);
            let rested = tried.is_some_and(|tried| tried.pause.is_due());
            rested && self.most(*work) > 1 && may_probe(*work, window, steady)
        };
        let works = [Work::Tree, Work::Hash, Work::Proof];
        let busiest = works
            .into_iter()
            .filter(due)
            .max_by_key(|work| utilisation(window, *work));
        let Some(work) = busiest.filter(|work| utilisation(window, *work) > 0) else {
            return;
        };
        let from = shards(window, work);
        let Some(to) = self.next(work, from) else {
            return;
        };
        self.probe = Some(Probe {
            work,
            from,
            to,
            side: Side::Before,
            before: 0.0,
            with: Vec::new(),
            seen: Vec::new(),
        });
    }

    /// Returns the most shards: one for each thread of the pool that does the work.
    fn most(&self, work: Work) -> u64 {
        match work {
            Work::Tree | Work::Hash => self.shards_max,
            Work::Proof => self.proof_shards_max,
        }
    }

    fn next(&mut self, work: Work, from: u64) -> Option<u64> {
        let most = self.most(work);
        let tried = self.tried.get_mut(work as usize)?;
        let higher = from.saturating_mul(2).clamp(1, most);
        let lower = (from / 2).clamp(1, most);
        for _ in 0..2 {
            let to = if tried.up { higher } else { lower };
            if to != from && (to > from) == tried.up {
                return Some(to);
            }
            tried.up = !tried.up;
        }
        None
    }

    fn advance(&mut self, mut probe: Probe, window: &Window) -> Option<Move> {
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
                let evidence = evidence(probe.before, &seen);
                (probe.with, probe.side) = (seen, Side::After);
                self.probe = Some(probe);
                Some(change(work, to, from, Reason::Probe).judged_by(evidence))
            }
            Side::After => {
                let without = probe.before.max(typical(seen));
                let evidence = evidence(without, &probe.with);
                self.conclude(&probe, without)
                    .then(|| change(work, from, to, Reason::Gain).judged_by(evidence))
            }
        }
    }

    /// Returns whether the step gained what it must, in most of its windows and together.
    fn conclude(&mut self, probe: &Probe, without: f64) -> bool {
        let above = probe
            .with
            .iter()
            .filter(|rate| **rate >= without * GAIN_MIN)
            .count();
        let gained = above >= 2 && typical(probe.with.iter().copied()) >= without * GAIN_MIN;
        if let Some(tried) = self.tried.get_mut(probe.work as usize) {
            tried.pause.note(gained);
            tried.up ^= !gained;
        }
        gained
    }
}

fn evidence(without: f64, with: &[f64]) -> Evidence {
    Evidence::Parallelism {
        rate_without: without as u64,
        rate_with: typical(with.iter().copied()) as u64,
    }
}

fn change(work: Work, from: u64, to: u64, reason: Reason) -> Move {
    Move::new(Change::Parallelism { work, from, to }, reason)
}

/// Returns whether the window says something about the shards of this work.
fn may_probe(work: Work, window: &Window, steady: bool) -> bool {
    match work {
        Work::Tree | Work::Hash => steady,
        Work::Proof => {
            let commits = window.operations_durable;
            window.proofs >= commits.saturating_mul(PROOFS_LEAD).max(PROOFS_MIN)
        }
    }
}

fn shards(window: &Window, work: Work) -> u64 {
    match work {
        Work::Tree => window.tree_parallelism,
        Work::Hash => window.hash_parallelism,
        Work::Proof => window.proof_parallelism,
    }
}

/// Returns how busy the work is, per mille. Proofs have no stage, so they come last while there are any.
fn utilisation(window: &Window, work: Work) -> u64 {
    let busy = |stage: usize| window.stages.get(stage).map_or(0, |stage| stage.busy_us);
    match work {
        Work::Tree => per_mille(busy(1), window.length_us),
        Work::Hash => per_mille(busy(2), window.length_us),
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

    /// Windows whose throughput is a function of the shards of hashing, with noise; shards at the end, and how many
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
            threads: cores,
            ..Limits::default()
        };
        let mut workers = Parallelism::new(&ControlSettings::default(), &limits);
        let mut window = Window {
            length_us: 500_000,
            tree_parallelism: 1,
            hash_parallelism: start,
            ..Window::default()
        };
        window.stages[2].busy_us = 490_000;
        let mut history = Vec::new();
        for _ in 0..600 {
            let noisy = speed(window.hash_parallelism)
                * (1.0 + noise * (random.random::<f64>() * 2.0 - 1.0));
            window.operations_durable = (noisy * 1e5) as u64;
            let moved = workers.decide(&window, true).map(|moved| moved.change);
            if let Some(Change::Parallelism {
                work: Work::Hash,
                from,
                to,
            }) = moved
            {
                assert_eq!(from, window.hash_parallelism);
                assert!((1..=cores.min(128)).contains(&to));
                window.hash_parallelism = to;
            }
            history.push(window.hash_parallelism);
        }
        let last = history[history.len() - 1];
        let away = history
            .iter()
            .rev()
            .take(100)
            .filter(|shards| **shards != last)
            .count();
        (last, away as u64)
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
        for seed in 0..10 {
            let (shards, away) = run(
                2,
                1,
                |shards| if shards == 1 { 1.0 } else { 0.9 },
                0.15,
                seed,
            );
            assert_eq!(shards, 1);
            assert!(away <= 8, "{away}");
        }
    }

    #[test]
    fn a_probe_ends_where_it_began_when_something_else_moves() {
        let limits = Limits {
            threads: 4,
            ..Limits::default()
        };
        let mut workers = Parallelism::new(&ControlSettings::default(), &limits);
        let mut window = Window {
            length_us: 500_000,
            hash_parallelism: 1,
            ..Window::default()
        };
        window.stages[2].busy_us = 400_000;
        let mut moved = None;
        while moved.is_none() {
            moved = workers.decide(&window, true);
        }
        window.hash_parallelism = 2;
        let back = Change::Parallelism {
            work: Work::Hash,
            from: 2,
            to: 1,
        };
        let broken_off = Move::new(back, Reason::BrokenOff);
        // The next controller undoes it too, even if it tries nothing itself.
        let fixed = ControlSettings {
            workers: false,
            ..ControlSettings::default()
        };
        let mut successor = Parallelism::new(&fixed, &limits).after(&workers);
        assert_eq!(successor.decide(&window, true), Some(broken_off.clone()));
        window.hash_parallelism = 1;
        assert_eq!(successor.decide(&window, true), None);
        // Unless somebody has set other shards meanwhile.
        let mut successor = Parallelism::new(&fixed, &limits).after(&workers);
        assert_eq!(successor.decide(&window, true), None);

        window.hash_parallelism = 2;
        assert_eq!(workers.decide(&window, false), Some(broken_off));
    }

    /// Runs on proofs whose rate is a function of their shards, with this many durable operations, none of it at
    /// the limit of commits; shards at the end, and the last move.
    fn run_proofs(
        threads: u64,
        read_threads: u64,
        start: u64,
        durable: u64,
    ) -> (u64, Option<Move>) {
        let limits = Limits {
            threads,
            read_threads,
            ..Limits::default()
        };
        let mut workers = Parallelism::new(&ControlSettings::default(), &limits);
        let mut window = Window {
            length_us: 500_000,
            tree_parallelism: 1,
            hash_parallelism: 1,
            proof_parallelism: start,
            operations_durable: durable,
            ..Window::default()
        };
        let mut last = None;
        for _ in 0..200 {
            let speed = (window.proof_parallelism as f64).sqrt();
            window.proofs = (speed * 50_000.0) as u64;
            let Some(moved) = workers.decide(&window, false) else {
                continue;
            };
            if let Change::Parallelism { to, .. } = moved.change {
                window.proof_parallelism = to;
            }
            last = Some(moved);
        }
        (window.proof_parallelism, last)
    }

    #[test]
    fn shards_of_proofs_are_found_where_nothing_is_committed() {
        let (shards, last) = run_proofs(1, 8, 1, 0);
        assert_eq!(shards, 8);
        assert!(matches!(
            last.and_then(|moved| moved.evidence),
            Some(Evidence::Parallelism { .. })
        ));
    }

    #[test]
    fn shards_of_proofs_keep_to_the_threads_that_read() {
        // However many there are for commits.
        assert_eq!(run_proofs(8, 1, 1, 0), (1, None));
        assert_eq!(run_proofs(8, 2, 1, 0).0, 2);
    }

    #[test]
    fn shards_of_proofs_stay_where_commits_are_the_load() {
        assert_eq!(run_proofs(8, 8, 1, 50_000), (1, None));
    }
}
