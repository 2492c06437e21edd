//! What `load` prints: what it is about to do, and how it went.

use std::fmt::Write;
use std::path::Path;

use clap::ValueEnum;
use hdrhistogram::Histogram;
use trunkline::{MetricsSnapshot, Quantiles};

use super::drive::Driven;
use crate::arguments::LoadArguments;
use crate::output::{byte_size, duration, grouped, micros, rate};
use crate::table::Table;

pub(super) fn head(arguments: &LoadArguments, directory: &Path) -> String {
    let kept = match arguments.dir {
        Some(_) => "kept",
        None => "temporary, removed at the end",
    };
    let dist = arguments.dist.unwrap_or(arguments.workload.dist());
    format!(
        "directory  {} ({kept})\n\
         workload   {}, {}, seed {}: {} keys, then {} operations\n\
         batches    of {}, {} in flight, values of {} bytes\n\n",
        directory.display(),
        name(&arguments.workload),
        name(&dist),
        arguments.seed,
        grouped(arguments.keys.get()),
        grouped(arguments.ops),
        grouped(arguments.batch.get() as u64),
        arguments.in_flight,
        grouped(arguments.value_bytes as u64),
    )
}

/// A choice as it is typed.
fn name(choice: &impl ValueEnum) -> String {
    let value = choice.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

pub(super) fn figures(driven: &Driven, metrics: &MetricsSnapshot) -> String {
    [
        phases(driven).to_string(),
        states(driven, metrics).to_string(),
        stages(metrics).to_string(),
        sizes(metrics).to_string(),
        totals(metrics),
    ]
    .join("\n")
}

fn phases(driven: &Driven) -> Table {
    let mut table = Table::new(["phase", "operations", "time", "operations/s"]);
    for phase in &driven.phases {
        table.row([
            phase.name.to_owned(),
            grouped(phase.operations),
            duration(phase.elapsed),
            grouped(rate(phase.operations, phase.elapsed)),
        ]);
    }
    table
}

/// Both phases together: the engine counts from its opening.
fn states(driven: &Driven, metrics: &MetricsSnapshot) -> Table {
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
    if !driven.reads.latency.is_empty() {
        table.row(read_times(&driven.reads.latency));
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

fn read_times(reads: &Histogram<u64>) -> Vec<String> {
    let quantiles = [0.5, 0.95, 0.99, 1.0].map(|quantile| reads.value_at_quantile(quantile));
    let mut row = vec!["one read".to_owned(), grouped(reads.len())];
    row.extend(quantiles.map(read_time));
    row
}

/// Reads mostly take less than a microsecond.
fn read_time(nanos: u64) -> String {
    match nanos {
        0..1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        _ => micros(nanos / 1_000),
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
