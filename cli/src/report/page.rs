//! The page: what stands where in it.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use trunkline_load::compare::{Counts, Recorded};
use trunkline_load::{Latency, OperationKind, OperationTotal, Run, Second};

use crate::inspect::date;
use crate::output::{byte_size, grouped};

use super::label::{Unit, compact};
use super::pipeline::Pipeline;
use super::plot::{Line, Look, Plot};
use super::{control, label::micros};

const STYLE: &str = include_str!("style.css");

/// Nothing is fetched, no script runs, whatever should get into the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Warnings that are shown.
const WARNINGS_MAX: usize = 100;
/// Characters of a configuration or workload that are shown.
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
            }
        }
        dl.tiles {
            (tile("operations a second", &compact(achieved), &format!("of {} offered", compact(offered))))
            @if let Some((kind, total)) = commonest {
                @let of = format!("of {}, from the intended start", kind.name());
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
                h2 { "Read this first" }
                ul {
                    @for warning in run.warnings.iter().take(WARNINGS_MAX) { li { (warning) } }
                    @if left_out > 0 { li { (left_out) " more are in run.json" } }
                }
            }
        }
    }
}

/// A figure of each second.
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
        Line {
            name: name.to_owned(),
            colour,
            look,
            points,
        }
    };
    let mut lines = vec![
        line("achieved", 1, Look::Filled, |second| second.achieved),
        line("offered", 7, Look::Dashed, |second| second.offered),
    ];
    if run.totals.dropped > 0 {
        lines.push(line("dropped", 6, Look::Solid, |second| second.dropped));
    }
    let plot = Plot {
        description: "Operations a second over time".to_owned(),
        height: 240.0,
        x: Unit::Seconds,
        y: Unit::PerSecond,
        x_range: x_range(run),
        is_y_logarithmic: false,
        is_stepped: false,
        lines,
        markers: Vec::new(),
    };
    html! {
        section {
            h2 { "Throughput" }
            p.note { "Operations that ended in each whole second, and those that the schedule meant to start." }
            (plot.draw())
        }
    }
}

fn latency_over_time(run: &Run) -> Markup {
    html! {
        section {
            h2 { "Latency over time" }
            p.note {
                "From the intended start of an operation to its end, so a stall counts for all that waited in it."
            }
            @for kind in run.totals.operations.keys() {
                h3 { (kind.name()) }
                (kind_over_time(run, *kind).draw())
            }
        }
    }
}

fn kind_over_time(run: &Run, kind: OperationKind) -> Plot {
    let line = |name: &str, colour, look, figure: fn(&Latency) -> f64| Line {
        name: name.to_owned(),
        colour,
        look,
        points: by_second(run, |second| {
            let latency = second.operations.get(&kind)?.latency;
            (latency.count > 0).then(|| figure(&latency))
        }),
    };
    Plot {
        description: format!("Latency of {} over time", kind.name()),
        height: 210.0,
        x: Unit::Seconds,
        y: Unit::Micros,
        x_range: x_range(run),
        is_y_logarithmic: true,
        is_stepped: false,
        lines: vec![
            line("p50", 1, Look::Solid, |latency| latency.p50_us),
            line("p99", 2, Look::Solid, |latency| latency.p99_us),
            line("largest", 7, Look::Thin, |latency| latency.max_us),
        ],
        markers: Vec::new(),
    }
}

/// Latencies over the share of operations that are slower, the way HdrHistogram plots them.
fn percentiles(recorded: &Recorded) -> Markup {
    let lines = |series: &BTreeMap<OperationKind, Vec<Counts>>, look, suffix: &str| {
        let line = |(kind, counts): (&OperationKind, &Vec<Counts>)| Line {
            name: format!("{}{suffix}", kind.name()),
            colour: *kind as usize + 1,
            look,
            points: rarities(&Counts::merged(counts)),
        };
        series.iter().map(line).collect::<Vec<_>>()
    };
    let mut all = lines(&recorded.latency, Look::Solid, "");
    all.extend(lines(&recorded.service, Look::Dashed, ", service"));
    all.retain(|line| !line.points.is_empty());
    let rarest = all.iter().flat_map(|line| line.points.last());
    let rarest = rarest.map(|point| point.0).fold(100.0, f64::max);
    let plot = Plot {
        description: "Latency by percentile".to_owned(),
        height: 320.0,
        x: Unit::Rarity,
        y: Unit::Micros,
        x_range: (1.0, rarest),
        is_y_logarithmic: true,
        is_stepped: false,
        lines: all,
        markers: Vec::new(),
    };
    html! {
        @if !plot.lines.is_empty() {
            section {
                h2 { "Latency by percentile" }
                p.note {
                    "Each step to the right leaves a tenth of the operations above it. Dashed: from the real start, so \
                     without the wait for the generator."
                }
                (plot.draw())
            }
        }
    }
}

/// Latencies at so many shares a decade that the line is smooth, up to the last operation.
fn rarities(counts: &Counts) -> Vec<(f64, f64)> {
    const STEPS: i32 = 24;
    let total = counts.total() as f64;
    let decades = total.max(1.0).log10();
    let steps = 0..=(decades * f64::from(STEPS)) as i32;
    let rarities = steps.map(|step| 10f64.powf(f64::from(step) / f64::from(STEPS)));
    let rarities: Vec<f64> = rarities.collect();
    if total == 0.0 {
        return Vec::new();
    }
    let shares: Vec<f64> = rarities.iter().map(|rarity| 1.0 - 1.0 / rarity).collect();
    let latencies = counts.quantiles(&shares);
    let latencies = latencies.into_iter().map(|nanos| nanos as f64 / 1e3);
    rarities.into_iter().zip(latencies).collect()
}

fn pipeline(run: &Run) -> Markup {
    let Some(pipeline) = Pipeline::of(&run.spans) else {
        return html! {};
    };
    let (overlapping, pairs) = pipeline.overlapping_pairs();
    html! {
        section {
            h2 { "The pipeline, " (pipeline.versions()) " versions of it" }
            p {
                "In " strong { (overlapping) " of " (pairs) } " pairs of neighbouring versions, tree or hash worked on \
                 the later one while kzg or persist still had the earlier one. At least two stages worked at once for "
                strong { (format!("{:.0} %", 100.0 * pipeline.overlapping_share())) } " of this time."
            }
            p.note { "A bar is a stage's work on a version; its number is the version's last two digits." }
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
            h2 { "What was tuned" }
            p.note {
                "Numbers are decisions, listed below. Seconds before 0 are all that the engine did before the run was \
                 measured: filling, looking for a rate if none was given, and the warm-up."
            }
            (control::bounds(run))
            h3 { "Decisions" }
            (control::decisions(run))
        }
        section {
            h2 { "How busy the stages were" }
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
                        th { "operation" } th { "" } th.number { "count" } th.number { "mean" } th.number { "p50" }
                        th.number { "p90" } th.number { "p99" } th.number { "p99.9" } th.number { "p99.99" }
                        th.number { "largest" }
                    } }
                    tbody {
                        @for (kind, total) in &run.totals.operations { (total_rows(*kind, total)) }
                    }
                }
            }
        }
    }
}

fn total_rows(kind: OperationKind, total: &OperationTotal) -> Markup {
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
