//! Lays out the page of a report.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use trunkline_load::compare::{Counts, Recorded};
use trunkline_load::{Latency, OperationFigures, OperationKind, Run, Second};

use crate::inspect::date;
use crate::output::{byte_size, grouped};

use super::label::{Unit, compact};
use super::pipeline::Pipeline;
use super::plot::{Line, Look, Plot};
use super::{control, label::micros, text};
use crate::thresholds;

const STYLE: &str = include_str!("style.css");

/// Forbids the page to fetch anything or to run scripts.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Most warnings that are shown.
const WARNINGS_MAX: usize = 100;
/// Most bytes of a configuration or workload that are shown.
const TEXT_MAX: usize = 64 * 1024;

pub(super) fn page(recorded: &Recorded) -> Markup {
    let run = &recorded.run;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (name(run)) " · trunkline" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (head(run))
                    (warnings(run))
                    (judged(run))
                    (throughput(recorded))
                    (latency_over_time(run))
                    (percentiles(recorded))
                    (pipeline(run))
                    (controllers(run))
                    (totals(run))
                    (machine(run))
                    (texts(run))
                }
            }
        }
    }
}

pub(super) fn name(run: &Run) -> &str {
    if run.name.is_empty() {
        "run"
    } else {
        &run.name
    }
}

fn head(run: &Run) -> Markup {
    let totals = &run.totals;
    let (offered, achieved) = (totals.offered_per_second(), totals.achieved_per_second());
    let commonest = totals
        .operations
        .iter()
        .max_by_key(|(_, total)| total.achieved);
    html! {
        header {
            p.brand { "trunkline " (run.version) @if !run.git_revision.is_empty() { " · " (run.git_revision) } }
            h1 { (name(run)) }
            p.note {
                (date(run.began_unix_ms)) " · " (micros(totals.elapsed_us as f64))
                " · " (run.machine.processor) " · seed " (run.seed)
                @if let Some(merged) = text::merged(run) { " · " (merged) }
            }
        }
        dl.tiles {
            (tile("operations a second", &compact(achieved), &format!("of {} offered", compact(offered))))
            @if let Some((kind, total)) = commonest {
                @let of = format!("of {}, from the time due", kind.name());
                (tile("p50", &micros(total.latency.p50_us), &of))
                (tile("p99", &micros(total.latency.p99_us), &of))
            }
            (tile("dropped", &compact(totals.dropped as f64), &format!("of {} offered", grouped(totals.offered))))
            (tile("failed", &compact(totals.failed as f64), "operations"))
        }
    }
}

fn tile(name: &str, figure: &str, note: &str) -> Markup {
    html! {
        div { dt { (name) } dd { (figure) } dd.note { (note) } }
    }
}

fn warnings(run: &Run) -> Markup {
    let left_out = run.warnings.len().saturating_sub(WARNINGS_MAX);
    html! {
        @if !run.warnings.is_empty() {
            section.warnings {
                h2 { "Warnings" }
                ul {
                    @for warning in run.warnings.iter().take(WARNINGS_MAX) { li { (warning) } }
                    @if left_out > 0 { li { (left_out) " more warnings are in run.json" } }
                }
            }
        }
    }
}

fn judged(run: &Run) -> Markup {
    html! {
        @if !run.thresholds.is_empty() {
            section {
                h2 { "Thresholds" }
                div.scroll {
                    table {
                        thead { tr { th { "threshold" } th.number { "measured" } th { "" } } }
                        tbody {
                            @for result in &run.thresholds {
                                tr {
                                    td { (result.threshold) }
                                    td.number { (result.measured_text()) }
                                    td { (thresholds::verdict(result)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns a figure of each second.
fn by_second(run: &Run, figure: impl Fn(&Second) -> Option<f64>) -> Vec<(f64, f64)> {
    let seconds = run.seconds.iter();
    let points = seconds.filter_map(|second| Some((second.second as f64, figure(second)?)));
    points.collect()
}

fn x_range(run: &Run) -> (f64, f64) {
    let seconds = || run.seconds.iter().map(|second| second.second);
    let first = seconds().min().unwrap_or(0);
    (first as f64, seconds().max().unwrap_or(1) as f64)
}

fn throughput(recorded: &Recorded) -> Markup {
    let run = &recorded.run;
    let line = |name: &str, colour, look, figure: fn(&Second) -> u64| {
        let mut points = by_second(run, |second| Some(figure(second) as f64));
        points.truncate(recorded.whole_seconds());
        Line::new(name, colour, look, points)
    };
    let mut lines = vec![
        line("achieved", 1, Look::Filled, |second| second.achieved),
        line("offered", 7, Look::Dashed, |second| second.offered),
    ];
    if run.totals.dropped > 0 {
        lines.push(line("dropped", 6, Look::Solid, |second| second.dropped));
    }
    let description = "Operations a second over time";
    let plot = Plot::over_time(description, 240.0, Unit::PerSecond, x_range(run), lines);
    html! {
        section {
            h2 { "Throughput" }
            p.note { "Operations that ended in each whole second, and those that were due in it." }
            (plot.draw())
        }
    }
}

fn latency_over_time(run: &Run) -> Markup {
    html! {
        section {
            h2 { "Latency over time" }
            p.note {
                "From the time when an operation was due to its end, so a stall counts for all operations that waited."
            }
            @for kind in run.totals.operations.keys() {
                h3 { (kind.name()) }
                (kind_over_time(run, *kind).draw())
            }
        }
    }
}

fn kind_over_time(run: &Run, kind: OperationKind) -> Plot {
    let line = |name: &str, colour, look, figure: fn(&Latency) -> f64| {
        let figure = |second: &Second| {
            let latency = second.operations.get(&kind)?.latency;
            (latency.count > 0).then(|| figure(&latency))
        };
        Line::new(name, colour, look, by_second(run, figure))
    };
    let lines = vec![
        line("p50", 1, Look::Solid, |latency| latency.p50_us),
        line("p99", 2, Look::Solid, |latency| latency.p99_us),
        line("largest", 7, Look::Thin, |latency| latency.max_us),
    ];
    let description = format!("Latency of {} over time", kind.name());
    Plot {
        is_y_logarithmic: true,
        ..Plot::over_time(description, 210.0, Unit::Micros, x_range(run), lines)
    }
}

/// Draws latencies over the share of slower operations, as HdrHistogram does.
fn percentiles(recorded: &Recorded) -> Markup {
    let lines = |series: &BTreeMap<OperationKind, Vec<Counts>>, look, suffix: &str| {
        let line = |(kind, counts): (&OperationKind, &Vec<Counts>)| {
            let name = format!("{}{suffix}", kind.name());
            let points = rarities(&Counts::merged(counts));
            Line::new(name, *kind as usize + 1, look, points)
        };
        series.iter().map(line).collect::<Vec<_>>()
    };
    let mut all = lines(&recorded.latency, Look::Solid, "");
    all.extend(lines(&recorded.service, Look::Dashed, ", service"));
    all.retain(|line| !line.points.is_empty());
    let rarest = all.iter().flat_map(|line| line.points.last());
    let rarest = rarest.map(|point| point.0).fold(100.0, f64::max);
    let description = "Latency by percentile";
    let plot = Plot {
        x: Unit::Rarity,
        is_y_logarithmic: true,
        ..Plot::over_time(description, 320.0, Unit::Micros, (1.0, rarest), all)
    };
    html! {
        @if !plot.lines.is_empty() {
            section {
                h2 { "Latency by percentile" }
                p.note {
                    "Each step to the right leaves a tenth of the operations above it. Dashed: from the actual start, without \
                     the wait for the generator."
                }
                (plot.draw())
            }
        }
    }
}

/// Returns latencies at enough shares of the operations for a smooth line, up to the last operation.
fn rarities(counts: &Counts) -> Vec<(f64, f64)> {
    const STEPS: f64 = 24.0;
    let total = counts.total() as f64;
    if total == 0.0 {
        return Vec::new();
    }
    let steps = 0..=(total.log10() * STEPS) as i32;
    let rarities: Vec<f64> = steps
        .map(|step| 10f64.powf(f64::from(step) / STEPS))
        .collect();
    let shares: Vec<f64> = rarities.iter().map(|rarity| 1.0 - 1.0 / rarity).collect();
    let latencies = counts.quantiles(&shares).into_iter();
    rarities
        .into_iter()
        .zip(latencies.map(|nanos| nanos as f64 / 1e3))
        .collect()
}

fn pipeline(run: &Run) -> Markup {
    let Some(pipeline) = Pipeline::of(&run.spans) else {
        return html! {};
    };
    let (overlapping, pairs) = pipeline.overlapping_pairs();
    html! {
        section {
            h2 { "Pipeline over " (pipeline.versions()) " versions" }
            p {
                "In " strong { (overlapping) " of " (pairs) } " pairs of consecutive versions, tree or hash worked on the \
                 later one while kzg or persist worked on the earlier one. At least two stages worked at once for "
                strong { (format!("{:.0} %", 100.0 * pipeline.overlapping_share())) } " of this time."
            }
            p.note { "A bar is the work of a stage on a version. Its number is the last two digits of the version." }
            (pipeline.draw())
        }
    }
}

fn controllers(run: &Run) -> Markup {
    if run.windows.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Adaptive settings" }
            p.note {
                "Numbers refer to the decisions below. Seconds before 0 are the time before the measurement: filling, \
                 calibration if no rate was given, and the warm-up."
            }
            (control::bounds(run))
            h3 { "Decisions" }
            (control::decisions(run))
        }
        section {
            h2 { "Stage utilization" }
            (control::utilisation(run))
        }
    }
}

fn totals(run: &Run) -> Markup {
    html! {
        section {
            h2 { "Totals" }
            div.scroll {
                table {
                    thead { tr {
                        th { "operation" } th { "" }
                        @for name in ["count", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "largest"] {
                            th.number { (name) }
                        }
                    } }
                    tbody {
                        @for (kind, total) in &run.totals.operations { (total_rows(*kind, total)) }
                    }
                }
            }
        }
    }
}

fn total_rows(kind: OperationKind, total: &OperationFigures) -> Markup {
    let cells = |latency: &Latency| {
        let figures = [
            latency.mean_us,
            latency.p50_us,
            latency.p90_us,
            latency.p99_us,
            latency.p999_us,
            latency.p9999_us,
            latency.max_us,
        ];
        html! { @for figure in figures { td.number { (micros(figure)) } } }
    };
    html! {
        tr {
            td rowspan="2" { (kind.name()) }
            td { "latency" }
            td.number rowspan="2" { (grouped(total.achieved)) }
            (cells(&total.latency))
        }
        tr { td.note { "service" } (cells(&total.service)) }
    }
}

fn machine(run: &Run) -> Markup {
    let machine = &run.machine;
    let totals = &run.totals;
    let rows = [
        ("processor", machine.processor.clone()),
        ("cores", grouped(machine.cores)),
        ("memory", byte_size(machine.memory_bytes)),
        ("system", machine.system.clone()),
        ("trunkline", format!("{} {}", run.version, run.git_revision)),
        ("began", date(run.began_unix_ms)),
        ("took", micros(totals.elapsed_us as f64)),
        ("seed", run.seed.to_string()),
        ("offered", grouped(totals.offered)),
        ("achieved", grouped(totals.achieved)),
        ("dropped", grouped(totals.dropped)),
        ("failed", grouped(totals.failed)),
    ];
    html! {
        section {
            h2 { "Machine and run" }
            div.scroll {
                table {
                    tbody { @for (name, value) in rows { tr { th scope="row" { (name) } td { (value) } } } }
                }
            }
        }
    }
}

fn texts(run: &Run) -> Markup {
    let texts = [("Workload", &run.workload), ("Configuration", &run.config)];
    html! {
        @for (name, text) in texts {
            @if !text.is_empty() {
                details {
                    summary { (name) }
                    pre { (shortened(text)) }
                }
            }
        }
    }
}

fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_MAX))
        .unwrap_or(text)
}
