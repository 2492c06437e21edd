//! What `load` prints: what it is about to do, and how it went.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use trunkline::core::record::Root;
use trunkline::decisions::{Change, Window};
use trunkline::{MetricsSnapshot, Quantiles};
use trunkline_load::{Latency, LoadError, Mode, Outcome, Plan, Run, Totals};

use super::check::Checks;
use super::measured;
use crate::arguments::LoadArguments;
use crate::error::CommandError;
use crate::output::{byte_size, duration, grouped, micros, printable, rate};
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
            threads(plan.readers())
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

pub(super) fn figures(
    outcome: &Outcome,
    metrics: &MetricsSnapshot,
) -> Result<String, CommandError> {
    let windows: Vec<Window> = outcome.run.measured_windows().copied().collect();
    let stages = measured::stages(&outcome.log, &windows).map_err(LoadError::from)?;
    let parts = [
        stage_times(outcome).to_string(),
        loop_lines(outcome),
        operations(&outcome.run.totals).to_string(),
        measured::batches(&windows),
        stages.to_string(),
        since_opening(metrics).to_string(),
        totals(metrics),
        decisions(&outcome.run),
        reloads_refused(&outcome.run),
        warnings(&outcome.run.warnings),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Ok(parts.join("\n"))
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

/// What the engine counts from its opening alone: fill, calibration and warm-up are in it.
fn since_opening(metrics: &MetricsSnapshot) -> Table {
    let mut table = Table::new(["since opening", "count", "p50", "p95", "p99", "max"]);
    let states = [
        ("batch until accepted", &metrics.accepted_us),
        ("batch until hashed", &metrics.hashed_us),
        ("batch until root ready", &metrics.root_ready_us),
    ];
    for (name, quantiles) in states {
        table.row(times(name, quantiles));
    }
    let size = &metrics.versions_per_sync;
    let figures = [size.count, size.p50, size.p95, size.p99, size.max];
    table.row(std::iter::once("sync, versions".to_owned()).chain(figures.map(grouped)));
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

/// Refused reloads that are shown: the last ones.
const REFUSED_MAX: usize = 20;

/// Nobody should take a file for what was run that was not. However much was decided since, they are shown.
fn reloads_refused(run: &Run) -> String {
    let refused = run
        .decisions
        .iter()
        .filter_map(|decision| match &decision.change {
            Change::ReloadRefused { message } => Some((decision.at_us, message)),
            _ => None,
        });
    let refused: Vec<(u64, &String)> = refused.collect();
    if refused.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "reloads refused: {}; the settings of before stayed\n",
        refused.len()
    );
    for (at_us, message) in refused.iter().rev().take(REFUSED_MAX).rev() {
        let second = (*at_us as f64 - run.begun_engine_us as f64) / 1e6;
        let _ = writeln!(text, "  {second:8.1} s  {}", printable(message));
    }
    text
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
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<&'a str>,
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
        ended_by: outcome.run.ended_by.as_deref(),
        version: root.version,
        state_digest: hex::encode(root.state_digest),
        checks,
    }
}

fn totals(metrics: &MetricsSnapshot) -> String {
    let mut text = String::new();
    let lines = [
        ("keys", grouped(metrics.keys)),
        ("log written since opening", byte_size(metrics.log_bytes)),
        ("checkpoints since opening", grouped(metrics.checkpoints)),
        ("resident memory", byte_size(metrics.resident_bytes)),
    ];
    for (name, value) in lines {
        let _ = writeln!(text, "{name:<25}  {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use trunkline::decisions::{Decision, Reason, Seen};

    use super::*;

    fn decision(number: u64, change: Change) -> Decision {
        Decision {
            number,
            at_us: number * 1_000_000,
            window_us: 0,
            change,
            reason: Reason::Reloaded,
            seen: Seen::default(),
        }
    }

    #[test]
    fn a_refused_reload_is_shown_however_much_was_decided_since() {
        let message = "a.toml:1: unknown key\n".to_owned();
        let mut run = Run::default();
        assert_eq!(reloads_refused(&run), "");
        run.decisions
            .push(decision(1, Change::ReloadRefused { message }));
        for number in 2..100 {
            let change = Change::GroupOperationsMax { from: 1, to: 2 };
            run.decisions.push(decision(number, change));
        }
        let expected = "reloads refused: 1; the settings of before stayed\n       1.0 s  a.toml:1: unknown key\n";
        assert_eq!(reloads_refused(&run), expected);
    }
}
