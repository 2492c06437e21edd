//! Compares the adaptive cap, from several starts, with static caps under a steady load.
//!
//! All runs have the same length and are measured from the same window on, because an engine that makes checkpoints is
//! slower than a new one. Static and adaptive runs alternate. An adaptive run is compared with the same round of the
//! static cap that is best by the median of all rounds. The best static cap of each round is the luckiest of several
//! similar ones, so it is shown but not compared.

use std::fmt::{self, Display, Formatter};

use trunkline::Config;
use trunkline::config::ControlMode;
use trunkline_load::{Mode, Plan};

use super::criteria::{Aim, Criterion, Finding};
use super::figures::{
    Rest, SEARCHING_WINDOWS, Series, Share, Spread, best_by_median, best_of_round, searched,
};
use super::runs::{Runs, by_turns, updates};
use super::text::{grouped, millis, percent, shown, thousands};
use trunkline_testkit::cap_at_rest::{AMPLITUDE_WINDOWS, REVERSAL_WINDOWS};

const STATIC_CAPS: [usize; 5] = [2_000, 5_000, 20_000, 80_000, 200_000];
const STARTS: [usize; 3] = [500, 20_000, 200_000];
/// The order of the settings in a round.
const ORDER: [Setting; 8] = [
    Setting::Fixed(0),
    Setting::Adaptive(0),
    Setting::Fixed(1),
    Setting::Fixed(2),
    Setting::Adaptive(1),
    Setting::Fixed(3),
    Setting::Adaptive(2),
    Setting::Fixed(4),
];
/// Length of a run, including the windows in which the engine may search for the cap.
const LENGTH_S: f64 = 20.0;
const TARGET_MS: u64 = 200;
const TARGET_US: u64 = TARGET_MS * 1000;

/// An index of the static caps, or of the starts.
#[derive(Clone, Copy)]
enum Setting {
    Fixed(usize),
    Adaptive(usize),
}

/// All rounds.
pub(crate) struct Caps {
    fixed: Vec<Series<Option<Rest>>>,
    adaptive: Vec<Series<Option<Rest>>>,
}

impl Caps {
    pub(crate) fn new() -> Self {
        Self {
            fixed: STATIC_CAPS
                .map(|cap| Series::new(format!("{}, fixed", grouped(cap))))
                .into(),
            adaptive: STARTS
                .map(|start| Series::new(format!("adaptive from {}", grouped(start))))
                .into(),
        }
    }

    /// Measures a round, counted from 1.
    pub(crate) fn measure(&mut self, runs: &Runs, round: usize) {
        for setting in by_turns(ORDER, round) {
            let (series, cap, mode) = match setting {
                Setting::Fixed(index) => {
                    let cap = STATIC_CAPS[index];
                    (&mut self.fixed[index], cap, ControlMode::Fixed)
                }
                Setting::Adaptive(index) => {
                    let start = STARTS[index];
                    (&mut self.adaptive[index], start, ControlMode::Adaptive)
                }
            };
            let rest = at_rest(runs, cap, mode);
            eprintln!("  {}: {}", series.name, in_short(rest.as_ref()));
            series.rounds.push(rest);
        }
    }

    fn best(&self) -> Option<&Series<Option<Rest>>> {
        best_by_median(&self.fixed, TARGET_US)
    }

    fn against_best(&self, adaptive: &Series<Option<Rest>>) -> Vec<Option<f64>> {
        let best = self.best();
        adaptive.against(|round| best?.per_second(round))
    }

    fn against_best_of_round(&self, adaptive: &Series<Option<Rest>>) -> Vec<Option<f64>> {
        adaptive.against(|round| best_of_round(&self.fixed, round, TARGET_US))
    }

    fn table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let best = self.best_name();
        writeln!(
            f,
            "| cap | updates/s, median | p99, median | windows above {TARGET_MS} ms | against {best} in the same round, \
             least / median / greatest | against the best static cap of each round |\n\
             | --- | --- | --- | --- | --- | --- |",
        )?;
        for series in &self.fixed {
            writeln!(f, "{} | |", row(series))?;
        }
        for series in &self.adaptive {
            let against_best = shown(spread(&self.against_best(series)), 2);
            let of_round = shown(spread(&self.against_best_of_round(series)), 2);
            writeln!(f, "{} {against_best} | {of_round} |", row(series))?;
        }
        writeln!(
            f,
            "\nOf each run of {LENGTH_S} s the first {SEARCHING_WINDOWS} windows are left out. The best static cap is the \
             one with the most updates/s of those that keep the target, both by the median of all rounds: {best}. The \
             best of each round is partly luck."
        )
    }

    fn best_name(&self) -> String {
        let name = |best: &Series<Option<Rest>>| best.name.clone();
        self.best().map_or("none".to_owned(), name)
    }

    fn criteria(&self) -> [Criterion; 4] {
        [
            self.criterion(
                "throughput against the static cap that is best by the median of all rounds, the median of the rounds"
                    .to_owned(),
                (Aim::AtLeast(0.95), ""),
                |series| {
                    let ratios = self.against_best(series);
                    let spread = spread(&ratios);
                    let median = spread.map(|spread| spread.median);
                    (median, ratios, shown(spread, 2))
                },
            ),
            self.criterion(
                format!("windows above the target after the first {SEARCHING_WINDOWS}"),
                (Aim::AtMost(5.0), " %"),
                |series| {
                    let over = series.over();
                    let of_run = |rest: &Rest| rest.over.percent();
                    (over.percent(), of_runs(series, of_run), percent(over))
                },
            ),
            self.criterion(
                format!(
                    "amplitude of the cap in any {AMPLITUDE_WINDOWS} of them, the greatest of the rounds"
                ),
                (Aim::AtMost(20.0), " %"),
                |series| greatest(series, |rest| rest.amplitude_percent),
            ),
            self.criterion(
                format!(
                    "reversals of the cap in any {REVERSAL_WINDOWS} of them, the most of the rounds"
                ),
                (Aim::AtMost(1.0), ""),
                |series| greatest(series, |rest| rest.reversals as f64),
            ),
        ]
    }

    fn criterion(
        &self,
        what: String,
        (aim, unit): (Aim, &'static str),
        judge: impl Fn(&Series<Option<Rest>>) -> Judged,
    ) -> Criterion {
        let finding = |series: &Series<Option<Rest>>| {
            let (figure, runs, shown) = judge(series);
            Finding {
                name: series.name.clone(),
                figure,
                runs,
                shown,
            }
        };
        Criterion {
            what,
            aim,
            unit,
            findings: self.adaptive.iter().map(finding).collect(),
        }
    }
}

impl Display for Caps {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.table(f)?;
        writeln!(f)?;
        for criterion in self.criteria() {
            writeln!(f, "{criterion}")?;
        }
        Ok(())
    }
}

fn at_rest(runs: &Runs, cap: usize, mode: ControlMode) -> Option<Rest> {
    let mut config = Config::default();
    config.control.mode = mode;
    config.control.target_p99_ms = TARGET_MS;
    config.group.operations_max = cap;
    let plan = Plan {
        mode: Mode::Closed,
        concurrency: 120,
        warmup_s: Some(0.0),
        duration_s: Some(runs.seconds(LENGTH_S)),
        ..updates()
    };
    let run = runs.run(config, &plan).run;
    Rest::of(searched(&run.windows), TARGET_US)
}

/// A figure, the figure of each run, and its text.
type Judged = (Option<f64>, Vec<Option<f64>>, String);

fn of_runs(
    series: &Series<Option<Rest>>,
    figure: impl Fn(&Rest) -> Option<f64>,
) -> Vec<Option<f64>> {
    let rounds = series.rounds.iter();
    rounds.map(|rest| rest.as_ref().and_then(&figure)).collect()
}

fn greatest(series: &Series<Option<Rest>>, figure: impl Fn(&Rest) -> f64) -> Judged {
    let runs = of_runs(series, |rest| Some(figure(rest)));
    let spread = spread(&runs);
    (spread.map(|spread| spread.greatest), runs, shown(spread, 0))
}

fn spread(runs: &[Option<f64>]) -> Option<Spread> {
    Spread::of(runs.iter().flatten().copied())
}

fn row(series: &Series<Option<Rest>>) -> String {
    let median = |spread: Option<Spread>, show: fn(f64) -> String| {
        spread.map_or("–".to_owned(), |spread| show(spread.median))
    };
    let updates = median(series.spread(|rest| rest.per_second), thousands);
    let p99 = median(series.spread(|rest| rest.p99_us), millis);
    let over: Share = series.over();
    format!("| {} | {updates} | {p99} | {over} |", series.name)
}

/// Returns a run as a short text.
fn in_short(rest: Option<&Rest>) -> String {
    let words = |rest: &Rest| {
        let (updates, p99) = (thousands(rest.per_second), millis(rest.p99_us));
        format!("{updates} updates/s, p99 {p99}")
    };
    rest.map_or("nothing became durable".to_owned(), words)
}
