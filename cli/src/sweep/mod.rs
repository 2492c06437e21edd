//! `sweep`: runs a workload under every combination of some settings. A closed loop measures the peak throughput of each,
//! open loops at shares of that give its curve of latency over throughput, and the knee of the curve.
//!
//! `grid` makes the combinations, `knee` reads the curves; both are pure. Each round runs all combinations, so that a
//! machine that gets slower affects all of them.

mod grid;
mod knee;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use trunkline_load::{Mode, Plan};

use crate::arguments::{PlanArguments, parse_milliseconds};
use crate::configuration::SettingsArguments;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::load::plan;
use crate::output::{self, grouped, micros};
use crate::table::Table;
use crate::trial::{self, Choice, Figures, RATE_MIN, Stop, median};
use crate::{Exit, configuration};

pub(crate) use grid::{Varied, parse_all, parse_varied};

use grid::combinations;
use knee::{knee, within_target};

#[derive(Debug, Args)]
pub(crate) struct SweepArguments {
    #[command(flatten)]
    plan: PlanArguments,
    /// A setting and the values to try, such as group.operations_max=5000,20000; may be repeated. Default: the maximum
    /// operations of a group and the maximum groups in flight.
    #[arg(long, value_name = "SECTION.KEY=VALUE,…", value_parser = parse_varied)]
    vary: Vec<Varied>,
    /// Rates of the open loops, percent of the closed loop's throughput. --rate, --rate-share and --closed are refused,
    /// and the rate of a plan is ignored: use tune --rate to compare settings at one rate.
    #[arg(long, value_delimiter = ',', default_value = "30,50,70,80,90", value_parser = clap::value_parser!(u8).range(1..=100))]
    shares: Vec<u8>,
    /// Number of runs of every combination.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// Highest allowed 99th percentile of the latency, milliseconds. Without it only the knee is found.
    #[arg(long, value_name = "MILLISECONDS", value_parser = parse_milliseconds)]
    target_p99_ms: Option<f64>,
    /// Parent of the temporary directories of trials; choose the disk to measure. Default: the system's temporary
    /// directory.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArguments,
}

/// Result of a combination: medians over the rounds.
#[derive(Clone, Debug, Serialize)]
struct Curve {
    settings: Vec<Choice>,
    closed: Figures,
    /// Figures at each share of the closed loop's rate, ascending.
    open: Vec<Figures>,
    /// Index in `open` of the knee.
    knee: Option<usize>,
    /// Index in `open` of the highest rate within the target.
    within_target: Option<usize>,
}

pub(crate) fn run(arguments: &SweepArguments) -> Result<Exit, CommandError> {
    check_rates(&arguments.plan)?;
    let plan = plan::of_trials(&arguments.plan)?;
    let layers = configuration::layers(&arguments.settings)?;
    let varied = match arguments.vary.is_empty() {
        true => grid::default(),
        false => arguments.vary.clone(),
    };
    let combinations = combinations(&varied)?;
    for choices in &combinations {
        // An invalid setting fails now, not after an hour of trials.
        trial::configuration(&layers, choices)?;
    }
    let interrupt = Interrupt::listen()?;
    let mut shares = arguments.shares.clone();
    shares.sort_unstable();

    let mut rounds: Vec<Vec<Vec<Figures>>> = vec![Vec::new(); combinations.len()];
    let mut ended = Ok(());
    'rounds: for round in 1..=arguments.rounds {
        for place in trial::order(combinations.len(), round) {
            let choices = &combinations[place];
            let (count, name) = (arguments.rounds, trial::name(choices));
            output::tell(format!("round {round} of {count}: {name}"));
            let parent = arguments.dir.as_deref();
            let trial = |plan: &Plan| trial::run(plan, &layers, choices, parent, &interrupt);
            let mut points = Vec::new();
            ended = measure(&plan, &shares, &mut points, trial);
            rounds[place].push(points);
            if ended.is_err() {
                break 'rounds;
            }
        }
    }
    let target_us = arguments.target_p99_ms.map(|target| target * 1e3);
    // Measurements before an interruption or a failure are shown, too.
    let curves = combinations.into_iter().zip(&rounds);
    let curves: Vec<Curve> = curves
        .filter_map(|(settings, rounds)| curve(settings, rounds, target_us))
        .collect();
    output::show_measured(&match arguments.json {
        true => output::json_text(&curves)?,
        false => text(&curves, &shares, target_us),
    });
    trial::exit(ended)
}

/// Rejects rates from the user: a sweep chooses its own.
fn check_rates(plan: &PlanArguments) -> Result<(), CommandError> {
    let typed = [
        ("--rate", plan.rate.is_some()),
        ("--rate-share", plan.rate_share.is_some()),
        ("--closed", plan.closed),
    ];
    match typed.iter().find(|(_, is_typed)| *is_typed) {
        Some((flag, _)) => Err(CommandError::SweptRate(flag)),
        None => Ok(()),
    }
}

/// Adds the points of a combination in one round: the closed loop, then an open loop at each share.
fn measure(
    plan: &Plan,
    shares: &[u8],
    points: &mut Vec<Figures>,
    mut trial: impl FnMut(&Plan) -> Result<Option<Figures>, CommandError>,
) -> Result<(), Stop> {
    // All points have the same number of readers; otherwise the rates could not be compared.
    let mut plan = trial::with_open_readers(plan);
    plan.mode = Mode::Closed;
    let closed = trial(&plan)?.ok_or(Stop::Interrupted)?;
    let per_second = closed.achieved_per_second;
    points.push(closed);
    plan.mode = Mode::Open;
    for share in shares {
        plan.rate = Some((per_second * f64::from(*share) / 100.0).max(RATE_MIN));
        points.push(trial(&plan)?.ok_or(Stop::Interrupted)?);
    }
    Ok(())
}

/// Returns the medians over the rounds, if anything was measured.
fn curve(settings: Vec<Choice>, rounds: &[Vec<Figures>], target_us: Option<f64>) -> Option<Curve> {
    let places = rounds.iter().map(Vec::len).max().unwrap_or(0);
    let at = |place: usize| {
        let points = rounds.iter().filter_map(|round| round.get(place).cloned());
        median(&points.collect::<Vec<_>>())
    };
    let open: Vec<Figures> = (1..places).map(at).collect();
    (places > 0).then(|| Curve {
        settings,
        closed: at(0),
        knee: knee(&open),
        within_target: target_us.and_then(|target| within_target(&open, target)),
        open,
    })
}

fn text(curves: &[Curve], shares: &[u8], target_us: Option<f64>) -> String {
    let mut table = Table::new([
        "settings",
        "loop",
        "offered/s",
        "achieved/s",
        "p50",
        "p99",
        "",
    ]);
    let mut warnings = String::new();
    for curve in curves {
        let settings = trial::name(&curve.settings);
        let mut row = |first: &str, at: &str, figures: &Figures, mut marks: Vec<&str>| {
            for warning in &figures.warnings {
                warnings += &format!("warning: {settings}, {at}: {warning}\n");
            }
            marks.extend(mark(figures));
            let rates = [figures.offered_per_second, figures.achieved_per_second];
            let latencies = [figures.p50_us, figures.p99_us];
            let mut cells = vec![first.to_owned(), at.to_owned()];
            cells.extend(rates.map(|rate| grouped(rate as u64)));
            cells.extend(latencies.map(|latency| micros(latency as u64)));
            cells.push(marks.join(", "));
            table.row(cells);
        };
        row(&settings, "closed", &curve.closed, Vec::new());
        for (place, (figures, share)) in curve.open.iter().zip(shares).enumerate() {
            let mut marks = Vec::new();
            if curve.knee == Some(place) {
                marks.push("knee");
            }
            if curve.within_target == Some(place) {
                marks.push("highest within the target");
            }
            row("", &format!("{share} %"), figures, marks);
        }
    }
    format!("{table}\n{}{warnings}", verdict(curves, target_us))
}

/// Returns the mark of a row whose figures have a warning.
fn mark(figures: &Figures) -> Option<&'static str> {
    match (figures.warnings.is_empty(), figures.are_the_engines()) {
        (true, _) => None,
        (false, true) => Some("operations dropped"),
        (false, false) => Some("not the engine alone"),
    }
}

fn verdict(curves: &[Curve], target_us: Option<f64>) -> String {
    let best = |what: &str, place: fn(&Curve) -> Option<usize>| {
        let rate = |curve: &Curve| Some(curve.open.get(place(curve)?)?.achieved_per_second);
        let rates = curves
            .iter()
            .filter_map(|curve| Some((curve, rate(curve)?)));
        match rates.max_by(|(_, a), (_, b)| a.total_cmp(b)) {
            None => format!("{what}: none\n"),
            Some((curve, rate)) => {
                let (name, rate) = (trial::name(&curve.settings), grouped(rate as u64));
                format!("{what}: {name} ({rate} operations/s)\n")
            }
        }
    };
    let mut text = best("knee with the most throughput", |curve| curve.knee);
    if target_us.is_some() {
        text += &best("most throughput within the target", |curve| {
            curve.within_target
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use trunkline_load::Warning;

    use super::*;

    fn figures(achieved_per_second: f64) -> Figures {
        Figures {
            achieved_per_second,
            offered_per_second: achieved_per_second,
            ..Figures::default()
        }
    }

    fn combination() -> Vec<Choice> {
        let vary = parse_varied("group.linger_ms=1").unwrap();
        combinations(&[vary]).unwrap().remove(0)
    }

    #[test]
    fn points_before_a_failure_are_kept() {
        let mut left = 3;
        let mut points = Vec::new();
        let ended = measure(&Plan::default(), &[30, 50, 70], &mut points, |plan| {
            left -= 1;
            match left {
                0 => Err(CommandError::VariedTwice("a disk".to_owned())),
                _ => Ok(Some(figures(plan.rate.unwrap_or(100.0)))),
            }
        });
        assert!(matches!(ended, Err(Stop::Failed(_))));
        assert_eq!(points, [100.0, 30.0].map(figures));
        let whole = [100.0, 30.0, 50.0].map(figures).to_vec();
        let curve = curve(combination(), &[points, whole], None).unwrap();
        assert_eq!(curve.open, [figures(30.0), figures(50.0)]);
    }

    #[test]
    fn all_points_have_as_many_readers() {
        let mut readers = Vec::new();
        let ended = measure(&Plan::default(), &[30, 50], &mut Vec::new(), |plan| {
            readers.push(plan.readers());
            Ok(Some(figures(100.0)))
        });
        assert!(ended.is_ok());
        assert_eq!(readers, [1; 3]);
    }

    #[test]
    fn figures_of_a_load_generator_that_could_not_keep_up_are_marked() {
        let warned = |warning| Figures {
            warnings: vec![warning],
            ..figures(50.0)
        };
        let points = vec![
            warned(Warning::Missing { keys: 7 }),
            figures(30.0),
            warned(Warning::Dropped {
                percent: 1.0,
                in_flight_max: 5,
                readers_busy: false,
                load_busy: false,
            }),
        ];
        let curves = [curve(combination(), &[points], None).unwrap()];
        let text = text(&curves, &[30, 50], None);
        let ends = |row: &str, end: &str| {
            let line = text.lines().find(|line| line.contains(row)).unwrap();
            assert!(line.ends_with(end), "{text}");
        };
        ends("  closed", "not the engine alone");
        ends("  50 %", "operations dropped");
        let says = "warning: group.linger_ms=1, closed: 7 reads found nothing";
        assert!(
            text.contains("1.0 % of the operations were dropped") && text.contains(says),
            "{text}"
        );
        let json = serde_json::to_value(&curves).unwrap();
        let first = json[0]["closed"]["warnings"][0].as_str().unwrap();
        assert!(first.starts_with("7 reads found nothing"), "{first}");
    }
}
