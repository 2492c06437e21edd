//! What was decided in a run, and what it changed: the bounds over time with the decisions marked on them, and how
//! busy the stages were.

use maud::{Markup, html};
use trunkline::control::{Change, Decision, Window};
use trunkline::load::Run;
use trunkline::{Quantiles, Stage};

use crate::output::{grouped, micros};

use super::label::{self, Unit};
use super::plot::{Line, Look, Marker, Plot};

/// Decisions that the table has.
const ROWS_MAX: usize = 500;

/// Which plot a decision is marked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Cap,
    Admission,
    Pieces,
    Cache,
}

fn subject(change: &Change) -> Option<(Subject, f64)> {
    match change {
        Change::GroupOperationsMax { to, .. } => Some((Subject::Cap, *to as f64)),
        Change::InFlightOperationsMax { to, .. } => Some((Subject::Admission, *to as f64)),
        Change::Pieces { to, .. } => Some((Subject::Pieces, *to as f64)),
        Change::ValueCacheBytes { to, .. } => Some((Subject::Cache, *to as f64)),
        Change::HotPrefixes { .. }
        | Change::Phase { .. }
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

/// Cap, admission, pieces and caches over time, and the latency that they are chosen for.
pub(super) fn bounds(run: &Run) -> Markup {
    let cap = line(run, "cap", 1, |window| window.group_operations_max as f64);
    let admission = line(run, "admission", 1, |window| {
        window.in_flight_operations_max as f64
    });
    let pieces = vec![
        line(run, "tree", 1, |window| window.tree_pieces as f64),
        line(run, "hash", 2, |window| window.hash_pieces as f64),
        line(run, "proof", 3, |window| window.proof_pieces as f64),
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
        h3 { "Pieces" }
        p.note { "Into how many parts a stage cuts its work." }
        (stepped(run, "Pieces over time", Subject::Pieces, Unit::Count, pieces).draw())
        @if run.windows.iter().any(|window| window.value_cache_bytes_max > 0) {
            h3 { "Cache of values" }
            p.note { "Bytes that it may take of the budget that it shares with the tree." }
            (stepped(run, "Cache of values over time", Subject::Cache, Unit::Bytes, vec![cache]).draw())
        }
        h3 { "Latency to durability" }
        p.note { "Window by window, as the controller sees it, with its target." }
        (durability(run).draw())
    }
}

fn durability(run: &Run) -> Plot {
    let quantile = |name, colour, look, figure: fn(&Quantiles) -> u64| {
        let counted = run
            .windows
            .iter()
            .filter(|window| window.durable_us.count > 0);
        let point = |window: &Window| {
            (
                second(run, window.ended_us),
                figure(&window.durable_us) as f64,
            )
        };
        Line {
            name: String::from(name),
            colour,
            look,
            points: counted.map(point).collect(),
        }
    };
    let mut lines = vec![
        quantile("p50", 1, Look::Solid, |quantiles| quantiles.p50),
        quantile("p99", 2, Look::Solid, |quantiles| quantiles.p99),
    ];
    let target_us = run
        .decisions
        .iter()
        .map(|decision| decision.seen.target_p99_us)
        .max();
    if let Some(target_us) = target_us.filter(|target_us| *target_us > 0) {
        let (first, last) = x_range(run);
        lines.push(Line {
            name: "target of p99".to_owned(),
            colour: 7,
            look: Look::Dashed,
            points: vec![(first, target_us as f64), (last, target_us as f64)],
        });
    }
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

/// The same over all windows.
pub(super) fn busy_mean_percent(run: &Run, stage: usize) -> f64 {
    let of_stage = |window: &Window| window.stages.get(stage).map_or(0, |stage| stage.busy_us);
    let busy_us: f64 = run
        .windows
        .iter()
        .map(|window| of_stage(window) as f64)
        .sum();
    let length_us: f64 = run
        .windows
        .iter()
        .map(|window| window.length_us as f64)
        .sum();
    100.0 * (busy_us / length_us.max(1.0)).min(1.0)
}

/// How busy each stage was.
pub(super) fn utilisation(run: &Run) -> Markup {
    html! {
        @for (place, stage) in Stage::ALL.into_iter().enumerate() {
            h3 {
                (stage.name()) " "
                span.note { "busy " (format!("{:.0}", busy_mean_percent(run, place))) " % of the time" }
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
