//! Draws the decisions of a run and their effects: limits over time with the decisions marked on them, and the
//! utilization of the stages.

use maud::{Markup, html};
use trunkline::decisions::{Change, Decision, Window};
use trunkline::{Quantiles, Stage};
use trunkline_load::Run;

use crate::output::{grouped, micros};

use super::label::{self, Unit};
use super::plot::{Line, Look, Marker, Plot};

/// Most rows of the table of decisions.
const ROWS_MAX: usize = 500;

/// The setting that is the target of the controllers' percentile.
const TARGET_KEY: &str = "control.target_p99_ms";

/// Plot on which a decision is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Cap,
    Admission,
    Parallelism,
    Cache,
}

fn subject(change: &Change) -> Option<(Subject, f64)> {
    match change {
        Change::GroupOperationsMax { to, .. } => Some((Subject::Cap, *to as f64)),
        Change::InFlightOperationsMax { to, .. } => Some((Subject::Admission, *to as f64)),
        Change::Parallelism { to, .. } => Some((Subject::Parallelism, *to as f64)),
        Change::ValueCacheBytes { to, .. } => Some((Subject::Cache, *to as f64)),
        Change::HotPrefixes { .. } | Change::Setting { .. } | Change::ReloadRefused { .. } => None,
    }
}

/// Converts the engine's clock to seconds of the run, negative before its start.
pub(crate) fn second(run: &Run, at_us: u64) -> f64 {
    (at_us as f64 - run.begun_engine_us as f64) / 1e6
}

/// Returns a figure of each window over time.
fn points(run: &Run, figure: impl Fn(&Window) -> f64) -> Vec<(f64, f64)> {
    let point = |window: &Window| (second(run, window.ended_us), figure(window));
    run.windows.iter().map(point).collect()
}

fn line(run: &Run, name: &str, colour: usize, figure: impl Fn(&Window) -> f64) -> Line {
    Line::new(name, colour, Look::Solid, points(run, figure))
}

fn x_range(run: &Run) -> (f64, f64) {
    let windows = run.windows.iter();
    let ends = windows.map(|window| second(run, window.ended_us));
    let first = ends.clone().fold(0.0, f64::min);
    let last = run.seconds.last();
    let last = last.map_or(0.0, |last| last.second as f64 + 1.0);
    let last = ends.fold(last, f64::max);
    (first, last)
}

fn markers(run: &Run, wanted: Subject) -> Vec<Marker> {
    let marker = |decision: &Decision| {
        let (subject, value) = subject(&decision.change)?;
        let marker = Marker {
            number: decision.number,
            at: (second(run, decision.at_us), value),
            text: format!(
                "{}. {}\n{}",
                decision.number,
                label::change(&decision.change),
                decision.reason
            ),
        };
        (subject == wanted).then_some(marker)
    };
    run.decisions.iter().filter_map(marker).collect()
}

/// Draws limits, parallelism and the value cache over time, each with the decisions about it, and the latency that they
/// are chosen for.
pub(super) fn bounds(run: &Run) -> Markup {
    type Figure = fn(&Window) -> u64;
    let lines = |figures: &[(&str, Figure)]| -> Vec<Line> {
        let figures = figures.iter().zip(1..);
        let lines = figures.map(|((name, figure), colour)| {
            line(run, name, colour, |window| figure(window) as f64)
        });
        lines.collect()
    };
    let group: Figure = |window| window.group_operations_max;
    let admission: Figure = |window| window.in_flight_operations_max;
    let cache: Figure = |window| window.value_cache_bytes_max;
    let parallelism: [(&str, Figure); 3] = [
        ("tree", |window| window.tree_parallelism),
        ("hash", |window| window.hash_parallelism),
        ("proof", |window| window.proof_parallelism),
    ];
    let mut plots = vec![
        (
            "Group size limit",
            "Most operations of a group.",
            Subject::Cap,
            Unit::Count,
            lines(&[("group size limit", group)]),
        ),
        (
            "Admission limit",
            "Most operations that are accepted and not yet durable.",
            Subject::Admission,
            Unit::Count,
            lines(&[("admission limit", admission)]),
        ),
        (
            "Parallelism",
            "Number of parts that a stage splits its work into.",
            Subject::Parallelism,
            Unit::Count,
            lines(&parallelism),
        ),
    ];
    if run
        .windows
        .iter()
        .any(|window| window.value_cache_bytes_max > 0)
    {
        plots.push((
            "Value cache limit",
            "Most bytes of the value cache, of the budget that it shares with the tree.",
            Subject::Cache,
            Unit::Bytes,
            lines(&[("value cache limit", cache)]),
        ));
    }
    html! {
        @for (title, note, subject, unit, lines) in plots {
            h3 { (title) }
            p.note { (note) }
            (Plot {
                is_stepped: true,
                markers: markers(run, subject),
                ..Plot::over_time(format!("{title} over time"), 150.0, unit, x_range(run), lines)
            }.draw())
        }
        h3 { "Latency to durability" }
        p.note {
            "By window. Solid: all submissions that became durable in the window. Thin: the p99 of those that were \
             sealed under the current group size limit, which the controllers use, over several windows where one has \
             too few. Dashed: the target at that time."
        }
        (durability(run).draw())
    }
}

fn durability(run: &Run) -> Plot {
    type Of = fn(&Window) -> &Quantiles;
    let quantile = |name: &str, colour, look, of: Of, figure: fn(&Quantiles) -> u64| {
        let counted = run.windows.iter().filter(|window| of(window).count > 0);
        let point = |window: &Window| (second(run, window.ended_us), figure(of(window)) as f64);
        Line::new(name, colour, look, counted.map(point).collect())
    };
    let all: Of = |window| &window.durable_us;
    let under_cap: Of = |window| &window.durable_under_cap_us;
    let mut lines = vec![
        quantile("p50", 1, Look::Solid, all, |quantiles| quantiles.p50),
        quantile("p99", 2, Look::Solid, all, |quantiles| quantiles.p99),
        quantile(
            "p99 under the limit",
            3,
            Look::Thin,
            under_cap,
            |quantiles| quantiles.p99,
        ),
        Line::new("target of p99", 7, Look::Dashed, target(run)),
    ];
    lines.retain(|line| !line.points.is_empty());
    let description = "Latency to durability over time";
    Plot {
        is_y_logarithmic: true,
        ..Plot::over_time(description, 190.0, Unit::Micros, x_range(run), lines)
    }
}

/// Returns the target of the percentile over time, as steps. Empty if no decision names it.
fn target(run: &Run) -> Vec<(f64, f64)> {
    let mut steps: Vec<(f64, u64)> = Vec::new();
    let (first, last) = x_range(run);
    for decision in &run.decisions {
        let at = second(run, decision.at_us);
        let (before_us, after_us) = match &decision.change {
            Change::Setting { key, from, to } if key == TARGET_KEY => {
                (micros_of_millis(from), micros_of_millis(to))
            }
            // A decision about a reload has no target.
            _ => match decision.seen.target_p99_us {
                0 => continue,
                target_us => (target_us, target_us),
            },
        };
        if steps.is_empty() {
            steps.push((first, before_us));
        }
        if steps.last().is_some_and(|step| step.1 != after_us) {
            steps.push((at, after_us));
        }
    }
    let mut points = Vec::new();
    for (place, (at, target_us)) in steps.iter().enumerate() {
        let until = steps.get(place + 1).map_or(last, |next| next.0);
        points.extend([(*at, *target_us as f64), (until, *target_us as f64)]);
    }
    points
}

/// Parses a setting in milliseconds as decisions write it; 0 if it is not a number.
fn micros_of_millis(text: &str) -> u64 {
    text.parse().map_or(0, |ms: u64| ms.saturating_mul(1000))
}

/// Draws all decisions in a table, with the figures behind them.
pub(super) fn decisions(run: &Run) -> Markup {
    let left_out = run.decisions.len().saturating_sub(ROWS_MAX);
    html! {
        @if run.decisions.is_empty() {
            p.note { "Nothing was decided." }
        } @else {
            div.scroll {
                table {
                    thead { tr {
                        th.number { "#" } th.number { "time" } th { "change" } th { "reason" }
                        th.number { "p99" } th.number { "target" } th.number { "samples" } th.number { "ops/s" }
                        th.number { "full groups" } th.number { "busiest stage" }
                    } }
                    tbody {
                        @for decision in run.decisions.iter().take(ROWS_MAX) { (row(run, decision)) }
                    }
                }
            }
            @if left_out > 0 { p.note { (grouped(left_out as u64)) " more decisions are in run.json." } }
        }
    }
}

fn row(run: &Run, decision: &Decision) -> Markup {
    let seen = &decision.seen;
    let percent = |per_mille: u64| Unit::Percent.text(per_mille as f64 / 10.0);
    html! {
        tr {
            td.number { (decision.number) }
            td.number { (format!("{:.1} s", second(run, decision.at_us))) }
            td { (label::change(&decision.change)) }
            td { (label::why(decision)) }
            td.number { (micros(seen.durable_p99_us)) }
            td.number { (micros(seen.target_p99_us)) }
            td.number { (grouped(seen.samples)) }
            td.number { (grouped(seen.operations_per_second)) }
            td.number { (percent(seen.full_per_mille)) }
            td.number { (percent(seen.busiest_per_mille)) }
        }
    }
}

/// Returns the percentage of a window in which a stage worked.
pub(crate) fn busy_percent(window: &Window, stage: usize) -> f64 {
    let busy_us = window.stages.get(stage).map_or(0, |stage| stage.busy_us);
    let share = busy_us as f64 / window.length_us.max(1) as f64;
    100.0 * share.min(1.0)
}

/// Returns the same over all windows of the measured time, as text. A run shorter than a window has none.
pub(super) fn busy_mean(run: &Run, stage: usize) -> String {
    let windows = || run.measured_windows();
    let busy = windows().filter_map(|window| window.stages.get(stage));
    let busy_us: u64 = busy.map(|stage| stage.busy_us).sum();
    match windows().map(|window| window.length_us).sum() {
        0u64 => "–".to_owned(),
        length_us => format!(
            "{:.0} %",
            (100.0 * busy_us as f64 / length_us as f64).min(100.0)
        ),
    }
}

/// Draws the utilization of each stage over time.
pub(super) fn utilisation(run: &Run) -> Markup {
    html! {
        @for (place, stage) in Stage::ALL.into_iter().enumerate() {
            @let busy = points(run, |window| busy_percent(window, place));
            @let lines = vec![Line::new("busy", 1, Look::Filled, busy)];
            @let description = format!("Utilization of the stage {} over time", stage.name());
            h3 { (stage.name()) " " span.note { "busy " (busy_mean(run, place)) " of the time" } }
            (Plot::over_time(description, 92.0, Unit::Percent, x_range(run), lines).draw())
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkline::decisions::{Reason, Seen, Work};

    use super::*;

    fn decision(number: u64, at_us: u64, change: Change, target_p99_us: u64) -> Decision {
        Decision {
            number,
            at_us,
            window_us: 500_000,
            change,
            reason: Reason::Probe,
            seen: Seen {
                target_p99_us,
                ..Seen::default()
            },
        }
    }

    fn cap(number: u64, at_us: u64, to: u64, target_p99_us: u64) -> Decision {
        let change = Change::GroupOperationsMax { from: 1, to };
        decision(number, at_us, change, target_p99_us)
    }

    /// Returns ten windows of half a second. The measured seconds begin with the third window.
    fn run(decisions: Vec<Decision>) -> Run {
        let window = |number: u64| Window {
            number,
            ended_us: number * 500_000,
            length_us: 500_000,
            durable_us: Quantiles {
                count: 1,
                p99: 400,
                ..Quantiles::default()
            },
            durable_under_cap_us: Quantiles {
                count: number % 2,
                p99: 100 * number,
                ..Quantiles::default()
            },
            ..Window::default()
        };
        Run {
            begun_engine_us: 1_000_000,
            windows: (1..=10).map(window).collect(),
            decisions,
            ..Run::default()
        }
    }

    #[test]
    fn a_decision_is_marked_at_its_time_and_value_on_the_plot_of_what_it_changed() {
        let (from, to) = (9, 70_000);
        let shards = |work, to| Change::Parallelism { work, from: 1, to };
        let (key, old, new) = ("group.linger_ms", "0", "1");
        let setting = Change::Setting {
            key: key.to_owned(),
            from: old.to_owned(),
            to: new.to_owned(),
        };
        let run = run(vec![
            cap(1, 500_000, 5_000, 0),
            decision(2, 1_500_000, Change::InFlightOperationsMax { from, to }, 0),
            decision(3, 2_000_000, shards(Work::Hash, 4), 0),
            decision(4, 2_500_000, Change::ValueCacheBytes { from, to: 80 }, 0),
            decision(5, 3_000_000, setting, 0),
            cap(6, 3_500_000, 6_000, 0),
        ]);
        let marked = |subject| -> Vec<(u64, (f64, f64))> {
            let markers = markers(&run, subject).into_iter();
            markers.map(|marker| (marker.number, marker.at)).collect()
        };
        assert_eq!(
            marked(Subject::Cap),
            [(1, (-0.5, 5_000.0)), (6, (2.5, 6_000.0))]
        );
        assert_eq!(marked(Subject::Admission), [(2, (0.5, 70_000.0))]);
        assert_eq!(marked(Subject::Parallelism), [(3, (1.0, 4.0))]);
        assert_eq!(marked(Subject::Cache), [(4, (1.5, 80.0))]);
        assert!(markers(&run, Subject::Cap)[0].text.contains("5000"));
    }

    #[test]
    fn the_target_is_drawn_as_it_was_at_each_time() {
        let reloaded = |from: &str, to: &str| Change::Setting {
            key: "control.target_p99_ms".to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
        };
        let run = run(vec![
            cap(1, 500_000, 2, 250_000),
            cap(2, 2_000_000, 3, 250_000),
            decision(3, 3_000_000, reloaded("250", "60"), 0),
            cap(4, 4_000_000, 4, 60_000),
        ]);
        let expected = [
            (-0.5, 250_000.0),
            (2.0, 250_000.0),
            (2.0, 60_000.0),
            (4.0, 60_000.0),
        ];
        assert_eq!(target(&run), expected);

        let first = decision(1, 3_000_000, reloaded("80", "90"), 0);
        let told_by_a_reload = self::run(vec![first]);
        assert_eq!(target(&told_by_a_reload)[0], (-0.5, 80_000.0));
        assert_eq!(target(&self::run(Vec::new())), []);
    }

    #[test]
    fn the_latency_that_is_judged_has_a_line_of_its_own() {
        let plot = durability(&run(Vec::new()));
        let line = |name: &str| plot.lines.iter().find(|line| line.name == name);
        let all: Vec<(f64, f64)> = (1..=10)
            .map(|number| (f64::from(number) / 2.0 - 1.0, 400.0))
            .collect();
        assert_eq!(line("p99").map(|line| &line.points), Some(&all));
        // Windows in which no group was sealed by the limit have no point.
        let judged = [1, 3, 5, 7, 9].map(|number| {
            let number = f64::from(number);
            (number / 2.0 - 1.0, 100.0 * number)
        });
        let drawn = line("p99 under the limit").map(|line| line.points.as_slice());
        assert_eq!(drawn, Some(&judged[..]));
    }
}
