//! The verdict on a run: against the best static setting, and against the bands of its scenario.

use trunkline_actors::adaptive::{ControlSettings, Governor, Limits, Proposal};
use trunkline_actors::decisions::{Change, Latencies, Window};

use crate::scenario::Scenario;
use crate::simulator::run;
use trunkline_testkit::cap_at_rest::{amplitude, reversals};

/// The verdict on one phase of one run; a failure shows all of it.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) ratio: f64,
    pub(crate) over: f64,
    pub(crate) amplitude: f64,
    pub(crate) reversals: usize,
    pub(crate) moves: usize,
    pub(crate) cap: u64,
    pub(crate) in_flight: u64,
    pub(crate) best: (u64, u64),
    pub(crate) rate: f64,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            ratio,
            over,
            amplitude,
            reversals,
            moves,
            ..
        } = self;
        write!(
            formatter,
            "{ratio:.3} of the best static throughput, {over:.3} of windows over the target, amplitude {amplitude:.2}, \
             {reversals} reversals, {moves} moves; cap {} and in flight {} at the end, {:.0} a second, best static {:?}",
            self.cap, self.in_flight, self.rate, self.best
        )
    }
}

/// Runs the controller, and reports its proposals.
pub(crate) fn controlled(
    scenario: &Scenario,
    seed: u64,
    tell: &mut dyn FnMut(&Proposal),
) -> Vec<Window> {
    let settings = ControlSettings {
        target_p99_ms: scenario.target_p99_ms,
        admission: scenario.admission,
        ..ControlSettings::default()
    };
    let mut governor = Governor::new(&settings, &limits(scenario));
    let mut decide = |window: &Window, latencies: &Latencies| -> Vec<Change> {
        let proposals = governor.decide(window, latencies);
        proposals.iter().for_each(&mut *tell);
        proposals
            .into_iter()
            .map(|proposal| proposal.change)
            .collect()
    };
    run(
        scenario,
        seed,
        (scenario.start_cap, scenario.in_flight_max),
        &mut decide,
    )
}

pub(crate) fn limits(scenario: &Scenario) -> Limits {
    Limits {
        group_operations_min: scenario.cap_min,
        group_operations_max: scenario.cap_max,
        in_flight_operations_min: scenario.in_flight_min,
        in_flight_operations_max: scenario.in_flight_max,
        groups_in_flight_max: scenario.pipeline.groups_in_flight_max,
        ..Limits::default()
    }
}

fn judged(scenario: &Scenario, windows: &[Window]) -> Vec<Vec<Window>> {
    let mut from = 0;
    let of_phase = |phase: &crate::scenario::Phase| {
        let (begin, end) = (from + phase.settle as usize, from + phase.windows as usize);
        from = end;
        windows[begin..end].to_vec()
    };
    scenario.phase.iter().map(of_phase).collect()
}

fn rate(windows: &[Window]) -> f64 {
    let durable: u64 = windows.iter().map(|window| window.operations_durable).sum();
    let length_us: u64 = windows.iter().map(|window| window.length_us).sum();
    durable as f64 * 1e6 / length_us as f64
}

fn over(scenario: &Scenario, windows: &[Window]) -> f64 {
    let target_us = scenario.target_p99_ms * 1000;
    let over = windows
        .iter()
        .filter(|window| window.durable_us.p99 > target_us);
    over.count() as f64 / windows.len() as f64
}

/// The throughput of a phase under a static setting.
#[derive(Clone, Copy, Default, PartialEq, PartialOrd)]
struct Static {
    meets: bool,
    rate: f64,
    setting: (u64, u64),
}

/// Returns for each phase the best static setting with its throughput, among those that meet the target as the
/// controller must; among all, if none does.
pub(crate) fn best_static(scenario: &Scenario, seed: u64) -> Vec<(f64, (u64, u64))> {
    let mut best = vec![Static::default(); scenario.phase.len()];
    let mut cap = scenario.cap_min.max(250) as f64;
    while cap <= scenario.cap_max.min(scenario.in_flight_max) as f64 {
        consider(
            scenario,
            seed,
            (cap as u64, scenario.in_flight_max),
            &mut best,
        );
        cap *= 1.6;
    }
    for found in best.clone() {
        if found.meets || !scenario.admission {
            continue;
        }
        // By Little's law, the operations in flight at the target.
        let inside = found.rate * scenario.target_p99_ms as f64 / 1e3;
        for share in [0.65, 0.75, 0.85, 0.95] {
            for groups in [1.5, 2.0, 3.0, 4.0, 6.0] {
                let in_flight = (inside * share) as u64;
                let setting = ((inside * share / groups) as u64, in_flight);
                consider(scenario, seed, setting, &mut best);
            }
        }
    }
    best.into_iter()
        .map(|found| (found.rate, found.setting))
        .collect()
}

fn consider(scenario: &Scenario, seed: u64, setting: (u64, u64), best: &mut [Static]) {
    let windows = run(scenario, seed, setting, &mut |_, _| Vec::new());
    let parts = judged(scenario, &windows);
    for ((best, part), phase) in best.iter_mut().zip(&parts).zip(&scenario.phase) {
        let meets = over(scenario, part) <= phase.expect.over_max;
        let found = Static {
            meets,
            rate: rate(part),
            setting,
        };
        if found > *best {
            *best = found;
        }
    }
}

/// Returns the verdict on each phase of a run.
pub(crate) fn verdicts(scenario: &Scenario, seed: u64) -> Vec<Verdict> {
    let windows = controlled(scenario, seed, &mut |_| {});
    let best = best_static(scenario, seed);
    let judge = |(part, (best_rate, best)): (Vec<Window>, (f64, (u64, u64)))| {
        let caps: Vec<u64> = part
            .iter()
            .map(|window| window.group_operations_max)
            .collect();
        Verdict {
            ratio: rate(&part) / best_rate,
            over: over(scenario, &part),
            amplitude: amplitude(&caps),
            reversals: reversals(&caps),
            moves: caps.windows(2).filter(|pair| pair[0] != pair[1]).count(),
            cap: caps[caps.len() - 1],
            in_flight: part[part.len() - 1].in_flight_operations_max,
            best,
            rate: rate(&part),
        }
    };
    judged(scenario, &windows)
        .into_iter()
        .zip(best)
        .map(judge)
        .collect()
}
