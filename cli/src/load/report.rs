//! What `load` prints: what it is about to do, and how it went.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use trunkline::core::record::Root;
use trunkline::load::{Latency, Mode, Outcome, Plan, Totals};
use trunkline::{MetricsSnapshot, Quantiles};

use super::check::Checks;
use crate::arguments::LoadArguments;
use crate::output::{byte_size, duration, grouped, micros, rate};
use crate::report::decisions;
use crate::table::Table;

pub(super) fn head(arguments: &LoadArguments, plan: &Plan, directory: &Path) -> String {
    let kept = match arguments.dir {
        Some(_) => "kept",
        None => "temporary, removed at the end",
    };
    let mut text = format!("directory  {} ({kept})\n", directory.display());
    let _ = match &arguments.replay {
        Some(trace) => writeln!(
            text,
            "workload   as recorded in {}, seed {}",
            trace.display(),
            plan.seed
        ),
        None => writeln!(
            text,
            "workload   {}, {}, seed {}: {} keys, values of {} bytes",
            mix_name(plan),
            name(&plan.distribution.unwrap_or(plan.workload.distribution())),
            plan.seed,
            grouped(plan.keys),
            grouped(plan.value_bytes as u64),
        ),
    };
    let _ = writeln!(
        text,
        "loop       {}\n",
        pace(plan, arguments.replay.is_some())
    );
    text
}

fn mix_name(plan: &Plan) -> String {
    match plan.mix {
        Some(_) => "a mix of the plan's own".to_owned(),
        None => name(&plan.workload),
    }
}

/// A choice as it is written in a plan.
fn name(choice: &impl Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

fn pace(plan: &Plan, is_replay: bool) -> String {
    let batches = format!("batches of {}", grouped(plan.batch as u64));
    match (plan.mode, plan.rate) {
        (Mode::Closed, _) => format!(
            "closed: {batches}, {} of them under way, {} reading",
            plan.concurrency,
            threads(plan.readers)
        ),
        (Mode::Open, _) if is_replay => format!("open, at the times recorded: {batches}"),
        (Mode::Open, Some(rate)) => format!(
            "open: {} operations/s, {}, {batches}",
            grouped(rate.round() as u64),
            name(&plan.arrivals)
        ),
        (Mode::Open, None) => format!(
            "open, at {} % of what a closed loop finds first, {}, {batches}",
            (plan.rate_share * 100.0).round(),
            name(&plan.arrivals)
        ),
    }
}

fn threads(count: usize) -> String {
    match count {
        1 => "1 thread".to_owned(),
        _ => format!("{count} threads"),
    }
}

pub(super) fn figures(outcome: &Outcome, metrics: &MetricsSnapshot) -> String {
    [
        stage_times(outcome).to_string(),
        loop_lines(outcome),
        operations(&outcome.run.totals).to_string(),
        states(metrics).to_string(),
        stages(metrics).to_string(),
        sizes(metrics).to_string(),
        totals(metrics),
        decisions(&outcome.run),
        warnings(&outcome.run.warnings),
    ]
    .join("\n")
}

fn stage_times(outcome: &Outcome) -> Table {
    let mut table = Table::new(["phase", "operations", "time", "operations/s"]);
    for time in &outcome.stages {
        table.row([
            time.stage.to_string(),
            grouped(time.operations),
            duration(time.elapsed),
            grouped(rate(time.operations, time.elapsed)),
        ]);
    }
    table
}

/// What was asked of the engine, and what it did, warm-up left out.
fn loop_lines(outcome: &Outcome) -> String {
    let run = &outcome.run;
    let figures = &run.totals;
    let mut text = String::new();
    if let Some(found) = outcome.calibrated {
        let _ = writeln!(
            text,
            "a closed loop found {} operations/s",
            grouped(found.round() as u64)
        );
    }
    let part = |count: u64, per_second: f64| {
        let per_second = grouped(per_second.round() as u64);
        format!("{} ({per_second}/s)", grouped(count))
    };
    let after_us = figures.elapsed_us.saturating_sub(figures.scheduled_us);
    let after = match after_us {
        0 => String::new(),
        _ => format!(" and {} until the last one had ended", micros(after_us)),
    };
    let _ = writeln!(
        text,
        "offered {}, achieved {}, dropped {}, failed {}, in {}{after}",
        part(figures.offered, figures.offered_per_second()),
        part(figures.achieved, figures.achieved_per_second()),
        grouped(figures.dropped),
        grouped(figures.failed),
        micros(figures.scheduled_us),
    );
    let late = &figures.generator_late;
    if late.max_us > 0.0 {
        let _ = writeln!(
            text,
            "the generator itself was late by {} (p50), {} (p99), {} at most",
            micros_part(late.p50_us),
            micros_part(late.p99_us),
            micros_part(late.max_us),
        );
    }
    text
}

/// Latency from when an operation was due, service time from when it was begun.
fn operations(figures: &Totals) -> Table {
    let mut table = Table::new(["operation", "count", "p50", "p90", "p99", "p99.9", "max"]);
    for (kind, total) in &figures.operations {
        table.row(latency_row(
            format!("{} latency", kind.name()),
            &total.latency,
        ));
        table.row(latency_row(
            format!("{} service", kind.name()),
            &total.service,
        ));
    }
    table
}

fn latency_row(name: String, latency: &Latency) -> Vec<String> {
    let Latency {
        p50_us,
        p90_us,
        p99_us,
        p999_us,
        max_us,
        ..
    } = *latency;
    let mut row = vec![name, grouped(latency.count)];
    row.extend([p50_us, p90_us, p99_us, p999_us, max_us].map(micros_part));
    row
}

/// Microseconds with a fraction where there are few.
fn micros_part(value_us: f64) -> String {
    match value_us < 100.0 {
        true => format!("{value_us:.1} µs"),
        false => micros(value_us.round() as u64),
    }
}

/// All phases together: the engine counts from its opening.
fn states(metrics: &MetricsSnapshot) -> Table {
    let mut table = Table::new(["batch until", "count", "p50", "p95", "p99", "max"]);
    let states = [
        ("accepted", &metrics.accepted_us),
        ("hashed", &metrics.hashed_us),
        ("committed", &metrics.committed_us),
        ("durable", &metrics.durable_us),
    ];
    for (name, quantiles) in states {
        table.row(times(name, quantiles));
    }
    table
}

fn times(name: &str, quantiles: &Quantiles) -> Vec<String> {
    let Quantiles {
        count,
        p50,
        p95,
        p99,
        max,
    } = *quantiles;
    let mut row = vec![name.to_owned(), grouped(count)];
    row.extend([p50, p95, p99, max].map(micros));
    row
}

fn warnings(warnings: &[String]) -> String {
    let lines = warnings
        .iter()
        .map(|warning| format!("warning: {warning}\n"));
    lines.collect()
}

/// A run's totals for other programs.
#[derive(Debug, Serialize)]
pub(super) struct Json<'a> {
    name: &'a str,
    calibrated_operations_per_s: Option<f64>,
    workload: &'a str,
    totals: &'a Totals,
    warnings: &'a [String],
    is_interrupted: bool,
    version: u64,
    state_digest: String,
    checks: &'a Checks,
}

pub(super) fn json<'a>(outcome: &'a Outcome, root: &Root, checks: &'a Checks) -> Json<'a> {
    Json {
        name: &outcome.run.name,
        calibrated_operations_per_s: outcome.calibrated,
        workload: &outcome.run.workload,
        totals: &outcome.run.totals,
        warnings: &outcome.run.warnings,
        is_interrupted: outcome.is_interrupted,
        version: root.version,
        state_digest: hex::encode(root.state_digest),
        checks,
    }
}

fn stages(metrics: &MetricsSnapshot) -> Table {
    let mut table = Table::new([
        "stage",
        "count",
        "wait p50",
        "p99",
        "max",
        "service p50",
        "p99",
        "max",
    ]);
    for stage in &metrics.stages {
        let (wait, service) = (&stage.queue_wait_us, &stage.service_us);
        let mut row = vec![stage.name.to_owned(), grouped(service.count)];
        row.extend([wait.p50, wait.p99, wait.max].map(micros));
        row.extend([service.p50, service.p99, service.max].map(micros));
        table.row(row);
    }
    table
}

fn sizes(metrics: &MetricsSnapshot) -> Table {
    let mut table = Table::new(["size of", "count", "p50", "p95", "p99", "max"]);
    let sizes = [
        ("group, operations", &metrics.group_operations),
        ("sync, versions", &metrics.versions_per_sync),
    ];
    for (name, size) in sizes {
        let figures = [size.count, size.p50, size.p95, size.p99, size.max];
        table.row(std::iter::once(name.to_owned()).chain(figures.map(grouped)));
    }
    table
}

fn totals(metrics: &MetricsSnapshot) -> String {
    let mut text = String::new();
    let lines = [
        ("keys", grouped(metrics.keys)),
        ("log written", byte_size(metrics.log_bytes)),
        ("checkpoints", grouped(metrics.checkpoints)),
        ("resident memory", byte_size(metrics.resident_bytes)),
    ];
    for (name, value) in lines {
        let _ = writeln!(text, "{name:<16} {value}");
    }
    text
}
