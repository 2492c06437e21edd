//! Loads that shift, adaptive and with the default cap. If both miss the target equally, the machine is too slow.

use std::fmt::{self, Display, Formatter};

use trunkline::Config;
use trunkline::config::ControlMode;
use trunkline_load::{Distribution, Mode, Phase, Plan};

use super::criteria::{Aim, Criterion, Finding};
use super::figures::{ADAPTING_WINDOWS, Series, Share, Shift, Spread};
use super::runs::{Runs, by_turns, updates};
use super::text::{grouped, percent, thousands};

const LOADS: [ShiftingLoad; 3] = [
    ShiftingLoad {
        name: "rate 200,000 to 400,000",
        rate: Some(200_000.0),
        rate_factor: 2.0,
        distribution: None,
    },
    ShiftingLoad {
        name: "rate 400,000 to 200,000",
        rate: Some(400_000.0),
        rate_factor: 0.5,
        distribution: None,
    },
    ShiftingLoad {
        name: "`skew`: uniform to 90 % on 1 % of the keys",
        rate: None,
        rate_factor: 1.0,
        distribution: Some(Distribution::Hotspot),
    },
];
const WARMUP_S: f64 = 2.0;
const LOAD_S: f64 = 30.0;
const SHIFT_AT_S: f64 = 12.0;
/// Time after the warm-up that is left out.
const FROM_S: f64 = 2.0;
/// Time after the shift before which a window must not end to count.
const LAG_S: f64 = 0.1;
const TARGET_MS: u64 = 100;

/// An open loop at a rate, or a closed loop, with the change at the shift.
struct ShiftingLoad {
    name: &'static str,
    rate: Option<f64>,
    rate_factor: f64,
    distribution: Option<Distribution>,
}

/// All rounds.
pub(crate) struct Shifts {
    loads: Vec<OfLoad>,
}

/// All rounds of one load.
struct OfLoad {
    name: &'static str,
    adaptive: Series<Shift>,
    fixed: Series<Shift>,
}

impl Shifts {
    pub(crate) fn new() -> Self {
        let cap = grouped(Config::default().group.operations_max);
        let of_load = |load: &ShiftingLoad| OfLoad {
            name: load.name,
            adaptive: Series::new("adaptive"),
            fixed: Series::new(format!("{cap}, fixed")),
        };
        Self {
            loads: LOADS.iter().map(of_load).collect(),
        }
    }

    /// Measures a round, counted from 1.
    pub(crate) fn measure(&mut self, runs: &Runs, round: usize) {
        for (of_load, load) in self.loads.iter_mut().zip(&LOADS) {
            for mode in by_turns([ControlMode::Adaptive, ControlMode::Fixed], round) {
                let shift = shifting(runs, load, mode);
                let series = match mode {
                    ControlMode::Adaptive => &mut of_load.adaptive,
                    ControlMode::Fixed => &mut of_load.fixed,
                };
                let (name, later) = (&series.name, shift.later);
                eprintln!(
                    "  {}, {name}: later {later} windows above the target",
                    of_load.name
                );
                series.rounds.push(shift);
            }
        }
    }

    fn table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| shift | cap | windows above {TARGET_MS} ms: before | first {ADAPTING_WINDOWS} after | later | updates/s \
             before / after |\n| --- | --- | --- | --- | --- | --- |"
        )?;
        for of_load in &self.loads {
            writeln!(f, "| {} {}", of_load.name, row(&of_load.adaptive))?;
            writeln!(f, "| … {}", row(&of_load.fixed))?;
        }
        Ok(())
    }

    fn criterion(&self) -> Criterion {
        let finding = |of_load: &OfLoad| {
            let (adaptive, fixed) = (&of_load.adaptive, &of_load.fixed);
            let later = |series| sum(series, |shift| shift.later);
            let of_run = |shift: &Shift| shift.later.percent();
            Finding {
                name: of_load.name.to_owned(),
                figure: later(adaptive).percent(),
                runs: adaptive.rounds.iter().map(of_run).collect(),
                shown: format!(
                    "adaptive {}, fixed {}",
                    percent(later(adaptive)),
                    percent(later(fixed))
                ),
            }
        };
        Criterion {
            what: format!(
                "windows above the target after the {ADAPTING_WINDOWS}th after a shift, adaptive"
            ),
            aim: Aim::AtMost(5.0),
            unit: " %",
            findings: self.loads.iter().map(finding).collect(),
        }
    }
}

impl Display for Shifts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.table(f)?;
        writeln!(f, "\n{}", self.criterion())
    }
}

fn shifting(runs: &Runs, load: &ShiftingLoad, mode: ControlMode) -> Shift {
    let mut config = Config::default();
    config.control.mode = mode;
    config.control.target_p99_ms = TARGET_MS;
    let run = runs.run(config, &plan(runs, load)).run;
    let shift_us = run.begun_engine_us + runs.micros(SHIFT_AT_S);
    Shift::of(
        &run.windows,
        run.begun_engine_us + runs.micros(FROM_S)..shift_us,
        shift_us + runs.micros(LAG_S),
        TARGET_MS * 1000,
    )
}

fn plan(runs: &Runs, load: &ShiftingLoad) -> Plan {
    let mode = match load.rate {
        Some(_) => Mode::Open,
        None => Mode::Closed,
    };
    let shift = Phase {
        at_s: runs.seconds(SHIFT_AT_S),
        rate_factor: load.rate_factor,
        workload: None,
        mix: None,
        distribution: load.distribution,
    };
    Plan {
        mode,
        rate: load.rate,
        concurrency: 60,
        warmup_s: Some(runs.seconds(WARMUP_S)),
        duration_s: Some(runs.seconds(LOAD_S)),
        phase: vec![shift],
        ..updates()
    }
}

fn sum(series: &Series<Shift>, share: impl Fn(&Shift) -> Share) -> Share {
    series.rounds.iter().map(share).sum()
}

fn row(series: &Series<Shift>) -> String {
    let median = |figure: fn(&Shift) -> f64| {
        let spread = Spread::of(series.rounds.iter().map(figure));
        spread.map_or("–".to_owned(), |spread| thousands(spread.median))
    };
    format!(
        "| {} | {} | {} | {} | {} / {} |",
        series.name,
        sum(series, |shift| shift.before),
        sum(series, |shift| shift.adapting),
        sum(series, |shift| shift.later),
        median(|shift| shift.per_second_before),
        median(|shift| shift.per_second_later),
    )
}
