//! What the adaptive cap is held to, on the real engine: against static caps, and when the load shifts.
//!
//! `cargo bench -p trunkline --features load --bench acceptance [-- ROUNDS] [--directory PATH] [--seconds-divisor N]`.
//! In each round, one after the other: a closed loop under each static cap and under the adaptive one from several
//! starts, then loads that shift. About four minutes a round. Two tables in Markdown, as in `docs/TUNING.md`, and a
//! line for each criterion; what is missed is said and fails nothing, since a noisy machine misses too. With a divisor
//! all times are that much shorter, those of windows too: for trying the bench out, its figures say nothing. Not here:
//! `figures` makes figures of windows, `report` text of figures; scenarios in virtual time are in `tests/control`.

#[path = "acceptance/figures.rs"]
mod figures;
#[path = "acceptance/report.rs"]
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use trunkline::config::ControlMode;
use trunkline::load::{Distribution, Load, Mode, Phase, Plan, Run, Workload};
use trunkline::{Config, Engine};

use figures::{Rest, Shift};
use report::{Measured, Series, grouped, in_short};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str =
    "arguments: [ROUNDS, at least 1] [--directory PATH] [--seconds-divisor 1 to 10]";

const STATIC_CAPS: [usize; 5] = [500, 2_000, 5_000, 20_000, 80_000];
const STATIC_S: f64 = 6.0;
const STARTS: [usize; 3] = [500, 20_000, 200_000];
const ADAPTIVE_S: f64 = 24.0;
/// Windows in which the adaptive cap may find its place, left out.
const SEARCHING_WINDOWS: u64 = 20;
const TARGET_MS: u64 = 200;

const SHIFTS: [ShiftingLoad; 3] = [
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
const SHIFTING_S: f64 = 30.0;
const SHIFT_AT_S: f64 = 12.0;
/// What is left out at the beginning of a load that shifts.
const SHIFTING_FROM_S: f64 = 2.0;
/// A window that ends sooner after a shift is not counted as one behind it.
const SHIFT_LAG_S: f64 = 0.1;
const SHIFTING_TARGET_MS: u64 = 100;

/// An open loop at a rate, or a closed one, and what is different from a time on.
struct ShiftingLoad {
    name: &'static str,
    rate: Option<f64>,
    rate_factor: f64,
    distribution: Option<Distribution>,
}

fn main() -> ExitCode {
    let Some(bench) = Bench::asked_for(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let mut measured = Measured {
        fixed: STATIC_CAPS
            .map(|cap| Series::new(format!("{}, fixed", grouped(cap))))
            .into(),
        adaptive: STARTS
            .map(|start| Series::new(format!("adaptive from {}", grouped(start))))
            .into(),
        shifts: SHIFTS.map(|load| Series::new(load.name.to_owned())).into(),
        target_ms: TARGET_MS,
    };
    for round in 1..=bench.rounds {
        eprintln!("round {round} of {}", bench.rounds);
        bench.measure(&mut measured);
    }
    if bench.seconds_divisor > 1 {
        let divisor = bench.seconds_divisor;
        println!("All times divided by {divisor}: these figures say nothing.\n");
    }
    print!("{measured}");
    ExitCode::SUCCESS
}

/// How it is run.
struct Bench {
    rounds: usize,
    seconds_divisor: u32,
    parent: PathBuf,
}

impl Bench {
    /// Nothing if the words are not understood.
    fn asked_for(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut bench = Self {
            rounds: 3,
            seconds_divisor: 1,
            parent: env!("CARGO_TARGET_TMPDIR").into(),
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                // Cargo says it to every bench.
                "--bench" => {}
                "--directory" => bench.parent = words.next()?.into(),
                "--seconds-divisor" => bench.seconds_divisor = words.next()?.parse().ok()?,
                rounds => bench.rounds = rounds.parse().ok()?,
            }
        }
        let is_sound = bench.rounds > 0 && (1..=10).contains(&bench.seconds_divisor);
        is_sound.then_some(bench)
    }

    fn seconds(&self, whole_s: f64) -> f64 {
        whole_s / f64::from(self.seconds_divisor)
    }

    fn micros(&self, whole_s: f64) -> u64 {
        (self.seconds(whole_s) * 1e6) as u64
    }

    fn window_ms(&self) -> u64 {
        Config::default().control.window_ms / u64::from(self.seconds_divisor)
    }

    /// One round.
    fn measure(&self, measured: &mut Measured) {
        for (series, cap) in measured.fixed.iter_mut().zip(STATIC_CAPS) {
            let rest = self.fixed(cap);
            eprintln!("  {}: {}", series.name, in_short(rest.as_ref()));
            series.rounds.push(rest);
        }
        for (series, start) in measured.adaptive.iter_mut().zip(STARTS) {
            let rest = self.adaptive(start);
            eprintln!("  {}: {}", series.name, in_short(rest.as_ref()));
            series.rounds.push(rest);
        }
        for (series, load) in measured.shifts.iter_mut().zip(&SHIFTS) {
            let shift = self.shifting(load);
            let (name, later) = (&series.name, shift.later);
            eprintln!("  {name}: later {later} windows above the target");
            series.rounds.push(shift);
        }
    }

    fn fixed(&self, cap: usize) -> Option<Rest> {
        let mut config = Config::default();
        config.control.mode = ControlMode::Fixed;
        config.group.operations_max = cap;
        let run = self.run(config, &self.steady(STATIC_S));
        Rest::of(&run.windows, run.begun_engine_us, TARGET_MS * 1000)
    }

    fn adaptive(&self, start: usize) -> Option<Rest> {
        let mut config = Config::default();
        config.control.target_p99_ms = TARGET_MS;
        config.group.operations_max = start;
        let run = self.run(config, &self.steady(ADAPTIVE_S));
        let from_us = run.begun_engine_us + SEARCHING_WINDOWS * self.window_ms() * 1000;
        Rest::of(&run.windows, from_us, TARGET_MS * 1000)
    }

    fn shifting(&self, load: &ShiftingLoad) -> Shift {
        let mut config = Config::default();
        config.control.target_p99_ms = SHIFTING_TARGET_MS;
        let run = self.run(config, &self.shifting_plan(load));
        let shift_us = run.begun_engine_us + self.micros(SHIFT_AT_S);
        Shift::of(
            &run.windows,
            run.begun_engine_us + self.micros(SHIFTING_FROM_S)..shift_us,
            shift_us + self.micros(SHIFT_LAG_S),
            SHIFTING_TARGET_MS * 1000,
        )
    }

    /// A closed loop that stays as it is.
    fn steady(&self, duration_s: f64) -> Plan {
        Plan {
            mode: Mode::Closed,
            concurrency: 120,
            warmup_s: Some(self.seconds(1.0)),
            duration_s: Some(self.seconds(duration_s)),
            ..updates()
        }
    }

    fn shifting_plan(&self, load: &ShiftingLoad) -> Plan {
        let mode = match load.rate {
            Some(_) => Mode::Open,
            None => Mode::Closed,
        };
        let shift = Phase {
            at_s: self.seconds(SHIFT_AT_S),
            rate_factor: load.rate_factor,
            workload: None,
            distribution: load.distribution,
        };
        Plan {
            mode,
            rate: load.rate,
            concurrency: 60,
            warmup_s: Some(self.seconds(2.0)),
            duration_s: Some(self.seconds(SHIFTING_S)),
            phase: vec![shift],
            ..updates()
        }
    }

    /// A plan on a new engine, in a directory that goes away.
    fn run(&self, mut config: Config, plan: &Plan) -> Run {
        let mut place = tempfile::Builder::new();
        let place = place
            .prefix("trunkline-acceptance-")
            .tempdir_in(&self.parent);
        let place = place.expect("the directory can be written");
        config.engine.directory = place.path().join("state");
        config.control.window_ms = self.window_ms();
        let engine = Engine::open_blocking(config).expect("an empty directory");
        let outcome = Load::new(plan, &engine).and_then(Load::run);
        let run = outcome.expect("an engine that works").run;
        engine.shutdown_blocking().expect("a disk that works");
        for warning in &run.warnings {
            eprintln!("  warning: {warning}");
        }
        run
    }
}

/// What all loads have in common.
fn updates() -> Plan {
    Plan {
        workload: Workload::Write,
        distribution: Some(Distribution::Uniform),
        keys: 200_000,
        value_bytes: 32,
        batch: 500,
        ..Plan::default()
    }
}
