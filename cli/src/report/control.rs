//! What was decided in a run, and what it changed: the bounds over time with the decisions marked on them, and how
//! busy the stages were.

use maud::{Markup, html};
use trunkline::decisions::{Change, Decision, Window};
use trunkline::{Quantiles, Stage};
use trunkline_load::Run;

use crate::output::{grouped, micros};

use super::label::{self, Unit};
use super::plot::{Line, Look, Marker, Plot};

/// Decisions that the table has.
const ROWS_MAX: usize = 500;

/// The setting that is the target of the controllers' percentile.
const TARGET_KEY: &str = "control.target_p99_ms";

/// Which plot a decision is marked on.
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
        Change::HotPrefixes { .. }
        | Change::Setting { .. }
        | Change::ReloadRefused { .. } => None,
    }
}

/// The engine's clock in seconds of the run; what was before is negative.
fn second(run: &Run, at_us: u64) -> f64 {
    (at_us as f64 - run.begun_engine_us as f64) / 1e6
}

/// One figure of each window over time.
fn points(run: &Run, figure: impl Fn(&Window) -> f64) -> Vec<(f64, f64)> {
    let point = |window: &Window| (second(run, window.ended_us), figure(window));
    run.windows.iter().map(point).collect()
}

fn line(run: &Run, name: &str, colour: usize, figure: impl Fn(&Window) -> f64) -> Line {
    Line {
        name: name.to_owned(),
        colour,
        look: Look::Solid,
        points: points(run, figure),
    }
}

fn x_range(run: &Run) -> (f64, f64) {
    let ends = run
        .windows
        .iter()
        .map(|window| second(run, window.ended_us));
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

/// A bound over time, with the decisions about it.
fn stepped(run: &Run, description: &str, subject: Subject, y: Unit, lines: Vec<Line>) -> Plot {
    Plot {
        description: description.to_owned(),
        height: 150.0,
        x: Unit::Seconds,
        y,
        x_range: x_range(run),
        is_y_logarithmic: false,
        is_stepped: true,
        lines,
        markers: markers(run, subject),
    }
}

/// Cap, admission, shards and caches over time, and the latency that they are chosen for.
pub(super) fn bounds(run: &Run) -> Markup {
    let cap = line(run, "cap", 1, |window| window.group_operations_max as f64);
    let admission = line(run, "admission", 1, |window| {
        window.in_flight_operations_max as f64
    });
    let shards = vec![
        line(run, "tree", 1, |window| window.tree_parallelism as f64),
        line(run, "hash", 2, |window| window.hash_parallelism as f64),
        line(run, "proof", 3, |window| window.proof_parallelism as f64),
    ];
    let cache = line(run, "cache of values", 1, |window| {
        window.value_cache_bytes_max as f64
    });
    html! {
        h3 { "Group cap" }
        p.note { "Operations after which a group is sealed." }
        (stepped(run, "Group cap over time", Subject::Cap, Unit::Count, vec![cap]).draw())
        h3 { "Admission" }
        p.note { "Operations that may be accepted and not yet durable." }
        (stepped(run, "Admission over time", Subject::Admission, Unit::Count, vec![admission]).draw())
        h3 { "Parallelism" }
        p.note { "Into how many parts a stage cuts its work." }
        (stepped(run, "Parallelism over time", Subject::Parallelism, Unit::Count, shards).draw())
        @if run.windows.iter().any(|window| window.value_cache_bytes_max > 0) {
            h3 { "Cache of values" }
            p.note { "Bytes that it may take of the budget that it shares with the tree." }
            (stepped(run, "Cache of values over time", Subject::Cache, Unit::Bytes, vec![cache]).draw())
        }
        h3 { "Latency to durability" }
        p.note {
            "Window by window. Solid: of all submissions that became durable in it. Thin: the p99 of those alone that \
             were sealed under the cap in force at its end, which is what controllers judge by, over several windows \
             where one has too few. Dashed: its target at the time."
        }
        (durability(run).draw())
    }
}

fn durability(run: &Run) -> Plot {
    type Of = fn(&Window) -> &Quantiles;
    let quantile = |name: &str, colour, look, of: Of, figure: fn(&Quantiles) -> u64| {
        let counted = run.windows.iter().filter(|window| of(window).count > 0);
        let point = |window: &Window| (second(run, window.ended_us), figure(of(window)) as f64);
        Line {
            name: name.to_owned(),
            colour,
            look,
            points: counted.map(point).collect(),
        }
    };
    let all: Of = |window| &window.durable_us;
    let under_cap: Of = |window| &window.durable_under_cap_us;
    let mut lines = vec![
        quantile("p50", 1, Look::Solid, all, |quantiles| quantiles.p50),
        quantile("p99", 2, Look::Solid, all, |quantiles| quantiles.p99),
        quantile("p99 under the cap", 3, Look::Thin, under_cap, |quantiles| {
            quantiles.p99
        }),
    ];
    lines.push(Line {
        name: "target of p99".to_owned(),
        colour: 7,
        look: Look::Dashed,
        points: target(run),
    });
    lines.retain(|line| !line.points.is_empty());
    Plot {
        description: "Latency to durability over time".to_owned(),
        height: 190.0,
        x: Unit::Seconds,
        y: Unit::Micros,
        x_range: x_range(run),
        is_y_logarithmic: true,
        is_stepped: false,
        lines,
        markers: Vec::new(),
    }
}

/// The target of the percentile as it was at each time: steps, where it was reloaded. Nothing if no decision tells it.
fn target(run: &Run) -> Vec<(f64, f64)> {
    let mut steps: Vec<(f64, u64)> = Vec::new();
    let (first, last) = x_range(run);
    for decision in &run.decisions {
        let at = second(run, decision.at_us);
        let (before_us, after_us) = match &decision.change {
            Change::Setting { key, from, to } if key == TARGET_KEY => {
                (micros_of_millis(from), micros_of_millis(to))
            }
            // What is recorded of reloading saw no target.
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

/// A setting in milliseconds as decisions write it; 0 if it is no number.
fn micros_of_millis(text: &str) -> u64 {
    text.parse().map_or(0, |ms: u64| ms.saturating_mul(1000))
}

/// All decisions in a table, with what they were made from.
pub(super) fn decisions(run: &Run) -> Markup {
    let left_out = run.decisions.len().saturating_sub(ROWS_MAX);
    html! {
        @if run.decisions.is_empty() {
            p.note { "Nothing was decided." }
        } @else {
            div.scroll {
                table {
                    thead { tr {
                        th.number { "#" } th.number { "at" } th { "change" } th { "reason" }
                        th.number { "p99" } th.number { "target" } th.number { "samples" } th.number { "ops/s" }
                        th.number { "full groups" } th.number { "busiest stage" }
                    } }
                    tbody {
                        @for decision in run.decisions.iter().take(ROWS_MAX) { (row(run, decision)) }
                    }
                }
            }
            @if left_out > 0 { p.note { (grouped(left_out as u64)) " more are in run.json." } }
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

/// Share of a window in which a stage worked, percent.
pub(crate) fn busy_percent(window: &Window, stage: usize) -> f64 {
    let busy_us = window.stages.get(stage).map_or(0, |stage| stage.busy_us);
    let share = busy_us as f64 / window.length_us.max(1) as f64;
    100.0 * share.min(1.0)
}

/// The same over all windows of what was measured, in words; a run shorter than a window has none.
pub(super) fn busy_mean(run: &Run, stage: usize) -> String {
    let of_stage = |window: &Window| window.stages.get(stage).map_or(0, |stage| stage.busy_us);
    let (mut busy_us, mut length_us) = (0.0, 0.0);
    for window in run.measured_windows() {
        busy_us += of_stage(window) as f64;
        length_us += window.length_us as f64;
    }
    match length_us > 0.0 {
        true => format!("{:.0} %", 100.0 * (busy_us / length_us).min(1.0)),
        false => "–".to_owned(),
    }
}

/// How busy each stage was.
pub(super) fn utilisation(run: &Run) -> Markup {
    html! {
        @for (place, stage) in Stage::ALL.into_iter().enumerate() {
            h3 {
                (stage.name()) " "
                span.note { "busy " (busy_mean(run, place)) " of the time" }
            }
            (Plot {
                description: format!("How busy the stage {} was over time", stage.name()),
                height: 92.0,
                x: Unit::Seconds,
                y: Unit::Percent,
                x_range: x_range(run),
                is_y_logarithmic: false,
                is_stepped: false,
                lines: vec![Line {
                    name: "busy".to_owned(),
                    colour: 1,
                    look: Look::Filled,
                    points: points(run, |window| busy_percent(window, place)),
                }],
                markers: Vec::new(),
            }.draw())
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

    /// Ten windows of half a second; the measured seconds begin with the third one.
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
        // Windows in which nothing was sealed under the cap have no point.
        let judged = [1, 3, 5, 7, 9].map(|number| {
            let number = f64::from(number);
            (number / 2.0 - 1.0, 100.0 * number)
        });
        let drawn = line("p99 under the cap").map(|line| line.points.as_slice());
        assert_eq!(drawn, Some(&judged[..]));
    }
}
