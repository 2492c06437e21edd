//! Formats a run as text for a terminal.

use trunkline::Stage;
use trunkline::decisions::Decision;
use trunkline_load::{Latency, Run};

use crate::inspect::date;
use crate::output::{escaped_line, grouped};
use crate::table::Table;
use crate::thresholds;

use super::control::{busy_mean, second};
use super::label::{self, compact, micros};
use super::page::name;
use super::pipeline::Pipeline;

/// Most decisions and most warnings that are printed.
const LINES_MAX: usize = 20;

pub(super) fn text(run: &Run) -> String {
    [
        head(run),
        latencies(run),
        stages(run),
        decisions(run),
        warnings(run),
        judged(run),
    ]
    .concat()
}

fn judged(run: &Run) -> String {
    let thresholds = thresholds::text(&run.thresholds);
    if thresholds.is_empty() {
        return thresholds;
    }
    format!("\n{thresholds}")
}

/// Returns the number of merged runs, and the time during which all of them ran; nothing for a single run.
pub(super) fn merged(run: &Run) -> Option<String> {
    let merged = run.merged.as_ref()?;
    let [begin, end] =
        [merged.window.begin_us, merged.window.end_us].map(|at_us| micros(at_us as f64));
    Some(format!(
        "{} runs, all of them from {begin} to {end}",
        merged.parts.len()
    ))
}

fn head(run: &Run) -> String {
    let totals = &run.totals;
    let merged = merged(run).map_or(String::new(), |merged| {
        format!("  merged        {merged}\n")
    });
    format!(
        "{}\n{merged}  began         {}\n  version       {} {}\n  machine       {}, {} cores\n  took          {}\n  offered       {} ({}/s)\n  achieved      {} ({}/s)\n  dropped       {}\n  failed        {}\n",
        escaped_line(name(run)),
        date(run.began_unix_ms),
        escaped_line(&run.version),
        escaped_line(&run.git_revision),
        escaped_line(&run.machine.processor),
        run.machine.cores,
        micros(totals.elapsed_us as f64),
        grouped(totals.offered),
        compact(totals.offered_per_second()),
        grouped(totals.achieved),
        compact(totals.achieved_per_second()),
        grouped(totals.dropped),
        grouped(totals.failed),
    )
}

fn latencies(run: &Run) -> String {
    let mut table = Table::new([
        "", "count", "p50", "p90", "p99", "p99.9", "p99.99", "largest",
    ]);
    for (kind, total) in &run.totals.operations {
        table.row(cells(kind.name(), &total.latency));
        table.row(cells("  service", &total.service));
    }
    format!("\n{table}")
}

fn cells(name: &str, latency: &Latency) -> Vec<String> {
    let figures = [
        latency.p50_us,
        latency.p90_us,
        latency.p99_us,
        latency.p999_us,
        latency.p9999_us,
        latency.max_us,
    ];
    let head = [name.to_owned(), grouped(latency.count)];
    head.into_iter().chain(figures.map(micros)).collect()
}

fn stages(run: &Run) -> String {
    if run.windows.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["stage", "busy"]);
    for (place, stage) in Stage::ALL.into_iter().enumerate() {
        table.row([stage.name().to_owned(), busy_mean(run, place)]);
    }
    let overlap = Pipeline::of(&run.spans).map_or(String::new(), |pipeline| {
        format!(
            "two or more stages at once: {:.0} % of the time, over {} versions\n",
            100.0 * pipeline.overlapping_share(),
            pipeline.versions()
        )
    });
    format!("\n{table}{overlap}")
}

/// Returns the last decisions with their reasons.
pub(crate) fn decisions(run: &Run) -> String {
    if run.decisions.is_empty() {
        return String::new();
    }
    let left_out = run.decisions.len().saturating_sub(LINES_MAX);
    let line = |decision: &Decision| {
        let second = second(run, decision.at_us);
        let change = label::change(&decision.change);
        let change = escaped_line(&change);
        format!("  {second:8.1} s  {change}: {}\n", label::why(decision))
    };
    let lines = run.decisions.iter().skip(left_out).map(line);
    let lines: String = lines.collect();
    format!(
        "\n{} decisions; the last ones\n{lines}",
        run.decisions.len()
    )
}

fn warnings(run: &Run) -> String {
    if run.warnings.is_empty() {
        return String::new();
    }
    let lines = run.warnings.iter().take(LINES_MAX);
    let lines = lines.map(|warning| format!("warning: {}\n", escaped_line(&warning.to_string())));
    format!("\n{}", lines.collect::<String>())
}
