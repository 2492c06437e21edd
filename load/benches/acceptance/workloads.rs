//! Compares the adaptive engine with the default configuration, under YCSB's mixes and others. They run as with
//! `trunkline load --closed --workload W --keys 200000`; bursts are an open loop.

use std::fmt::{self, Display, Formatter};

use trunkline::Config;
use trunkline::config::ControlMode;
use trunkline_load::{Mode, Phases, Plan, Shape, Workload};

use super::criteria::{Aim, Criterion, Finding};
use super::figures::{Alternated, Ran, Spread};
use super::runs::{Runs, by_turns};
use super::text::{millis, shown, thousands};

const MIXES: [(&str, Workload); 6] = [
    ("YCSB A", Workload::A),
    ("YCSB B", Workload::B),
    ("YCSB C", Workload::C),
    ("YCSB D", Workload::D),
    ("YCSB F", Workload::F),
    ("`write`", Workload::Write),
];
const WARMUP_S: f64 = 1.0;
const LOAD_S: f64 = 6.0;
/// Rate between bursts.
const BURSTS_RATE: f64 = 100_000.0;
const BURSTS: &str = include_str!("../../../plans/bursts.toml");

/// All rounds.
pub(crate) struct Workloads {
    loads: Vec<(Plan, Alternated)>,
}

impl Workloads {
    pub(crate) fn new(runs: &Runs) -> Self {
        let alternated = |(name, plan)| {
            let alternated = Alternated {
                name,
                fixed: Vec::new(),
                adaptive: Vec::new(),
            };
            (plan, alternated)
        };
        Self {
            loads: plans(runs).into_iter().map(alternated).collect(),
        }
    }

    /// Measures a round, counted from 1.
    pub(crate) fn measure(&mut self, runs: &Runs, round: usize) {
        for (plan, alternated) in &mut self.loads {
            for mode in by_turns([ControlMode::Fixed, ControlMode::Adaptive], round) {
                let mut config = Config::default();
                config.control.mode = mode;
                let ran = Ran::of(&runs.run(config, plan).run.totals);
                let per_second = thousands(ran.per_second);
                let (name, mode, ran_before) = match mode {
                    ControlMode::Adaptive => {
                        (alternated.name, "adaptive", &mut alternated.adaptive)
                    }
                    ControlMode::Fixed => (alternated.name, "fixed", &mut alternated.fixed),
                };
                eprintln!("  {name}, {mode}: {per_second} operations/s");
                ran_before.push(ran);
            }
        }
    }

    fn criterion(&self) -> Criterion {
        let finding = |alternated: &Alternated| {
            let runs = alternated.ratios();
            let spread = spread(&runs);
            Finding {
                name: alternated.name.to_owned(),
                figure: spread.map(|spread| spread.median),
                runs,
                shown: shown(spread, 2),
            }
        };
        Criterion {
            what:
                "throughput against the default configuration of the same round, the median of the rounds"
                    .to_owned(),
            aim: Aim::AtLeast(0.95),
            unit: "",
            findings: self
                .loads
                .iter()
                .map(|(_, alternated)| finding(alternated))
                .collect(),
        }
    }
}

impl Display for Workloads {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| workload | fixed, operations/s | adaptive | against fixed of the same round, least / median / greatest | \
             p99 of writes, median: fixed / adaptive |\n| --- | --- | --- | --- | --- |"
        )?;
        for (_, alternated) in &self.loads {
            writeln!(
                f,
                "| {} | {} | {} | {} | {} |",
                alternated.name,
                each(&alternated.fixed),
                each(&alternated.adaptive),
                shown(spread(&alternated.ratios()), 2),
                p99s(alternated),
            )?;
        }
        writeln!(f, "\n{}", self.criterion())
    }
}

fn plans(runs: &Runs) -> Vec<(&'static str, Plan)> {
    let closed = Plan {
        mode: Mode::Closed,
        keys: 200_000,
        warmup_s: Some(runs.seconds(WARMUP_S)),
        duration_s: Some(runs.seconds(LOAD_S)),
        ..Plan::default()
    };
    let of_mix = |(name, workload)| {
        let plan = Plan {
            workload,
            ..closed.clone()
        };
        (name, plan)
    };
    let large_values = Plan {
        workload: Workload::Write,
        keys: 20_000,
        value_bytes: 4096,
        batch: 100,
        ..closed.clone()
    };
    let bursts = Plan {
        workload: Workload::Write,
        mode: Mode::Open,
        rate: Some(BURSTS_RATE),
        shape: bursts(runs),
        ..closed.clone()
    };
    let mut plans: Vec<(&'static str, Plan)> = MIXES.into_iter().map(of_mix).collect();
    plans.push(("`write`, 4 KiB", large_values));
    plans.push(("`write`, bursts", bursts));
    plans
}

/// Returns the bursts of the plan file, with the bench's divisor.
fn bursts(runs: &Runs) -> Shape {
    let phases = Phases::from_toml("plans/bursts.toml", BURSTS).expect("a file that is tested");
    match phases.shape {
        Shape::Bursts {
            every_s,
            length_s,
            factor,
        } => Shape::Bursts {
            every_s: runs.seconds(every_s),
            length_s: runs.seconds(length_s),
            factor,
        },
        other => other,
    }
}

fn spread(ratios: &[Option<f64>]) -> Option<Spread> {
    Spread::of(ratios.iter().flatten().copied())
}

fn each(rounds: &[Ran]) -> String {
    let each: Vec<String> = rounds.iter().map(|ran| thousands(ran.per_second)).collect();
    each.join(", ")
}

fn p99s(alternated: &Alternated) -> String {
    let median = |rounds: &[Ran]| Spread::of(rounds.iter().filter_map(|ran| ran.write_p99_us));
    match (median(&alternated.fixed), median(&alternated.adaptive)) {
        (Some(fixed), Some(adaptive)) => {
            format!("{} / {}", millis(fixed.median), millis(adaptive.median))
        }
        _ => "no writes".to_owned(),
    }
}
