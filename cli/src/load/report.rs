//! Formats the output of `load`: its plan before the run, and the figures after it.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};
use trunkline::core::record::Root;
use trunkline::decisions::{Change, Window};
use trunkline::{MetricsSnapshot, Quantiles};
use trunkline_load::{LoadError, Mode, Outcome, Plan, Run, Totals, Warning};

use super::LoadArguments;
use super::check::Checks;
use super::measured;
use crate::error::CommandError;
use crate::output::{
    byte_size, counted, duration, escaped_line, grouped, micros, rate, without_nulls,
};
use crate::report::{decisions, second};
use crate::table::Table;

pub(super) fn head(arguments: &LoadArguments, plan: &Plan, directory: &Path) -> String {
    let kept = match arguments.dir {
        Some(_) => "kept",
        None => "temporary, removed at the end",
    };
    let mut text = match &arguments.service.target {
        Some(url) => format!("service    {url}\n"),
        None => format!("directory  {} ({kept})\n", directory.display()),
    };
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
        Some(_) => "custom mix".to_owned(),
        None => name(&plan.workload),
    }
}

/// Returns a choice as a plan writes it.
fn name(choice: &impl Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

fn pace(plan: &Plan, is_replay: bool) -> String {
    let batches = format!("batches of {}", grouped(plan.batch as u64));
    match (plan.mode, plan.rate) {
        (Mode::Closed, _) => format!(
            "closed: {batches}, {} of them in flight, {} reading",
            plan.concurrency,
            counted(plan.readers() as u64, "thread")
        ),
        (Mode::Open, _) if is_replay => format!("open, at the recorded times: {batches}"),
        (Mode::Open, Some(rate)) => format!(
            "open: {} operations/s, {}, {batches}",
            grouped(rate.round() as u64),
            name(&plan.arrivals)
        ),
        (Mode::Open, None) => format!(
            "open, at {} % of the peak that a closed loop measures first, {}, {batches}",
            (plan.rate_share * 100.0).round(),
            name(&plan.arrivals)
        ),
    }
}

pub(super) fn figures(
    outcome: &Outcome,
    metrics: Option<&MetricsSnapshot>,
) -> Result<String, CommandError> {
    let mut parts = vec![
        stage_times(outcome).to_string(),
        loop_lines(outcome),
        operations(&outcome.run.totals).to_string(),
    ];
    if let Some(metrics) = metrics {
        parts.extend(of_engine(outcome, metrics)?);
    }
    parts.push(warnings(&outcome.run.warnings));
    parts.retain(|part| !part.is_empty());
    Ok(parts.join("\n"))
}

/// Reports the engine's own figures, for an engine in this process.
fn of_engine(outcome: &Outcome, metrics: &MetricsSnapshot) -> Result<[String; 6], CommandError> {
    let windows: Vec<Window> = outcome.run.measured_windows().copied().collect();
    let stages = measured::stages(&outcome.log, &windows).map_err(LoadError::from)?;
    Ok([
        measured::batches(&windows),
        stages.to_string(),
        since_opening(metrics).to_string(),
        totals(metrics),
        decisions(&outcome.run),
        reloads_refused(&outcome.run),
    ])
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

/// Returns the offered and the achieved operations, without the warm-up.
fn loop_lines(outcome: &Outcome) -> String {
    let run = &outcome.run;
    let figures = &run.totals;
    let mut text = String::new();
    if let Some(found) = outcome.calibrated {
        let _ = writeln!(
            text,
            "a closed loop reached {} operations/s",
            grouped(found.round() as u64)
        );
    }
    let part = |count: u64, per_second: f64| {
        format!(
            "{} ({}/s)",
            grouped(count),
            grouped(per_second.round() as u64)
        )
    };
    let after_us = figures.elapsed_us.saturating_sub(figures.scheduled_us);
    let after = match after_us {
        0 => String::new(),
        _ => format!(" and {} until the last one ended", micros(after_us)),
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
            "the load generator was late by {} (p50), {} (p99), {} at most",
            micros_part(late.p50_us),
            micros_part(late.p99_us),
            micros_part(late.max_us),
        );
    }
    text
}

/// Returns latencies, measured from the time at which an operation was due, and service times, measured from its start.
fn operations(figures: &Totals) -> Table {
    let mut table = Table::new(["operation", "count", "p50", "p90", "p99", "p99.9", "max"]);
    for (kind, total) in &figures.operations {
        for (what, times) in [("latency", &total.latency), ("service", &total.service)] {
            let figures = [
                times.p50_us,
                times.p90_us,
                times.p99_us,
                times.p999_us,
                times.max_us,
            ];
            let head = [format!("{} {what}", kind.name()), grouped(times.count)];
            table.row(head.into_iter().chain(figures.map(micros_part)));
        }
    }
    table
}

/// Formats microseconds, with a fraction below 100.
fn micros_part(value_us: f64) -> String {
    match value_us < 100.0 {
        true => format!("{value_us:.1} µs"),
        false => micros(value_us.round() as u64),
    }
}

/// Returns the figures that the engine counts only since it was opened, including fill, calibration and warm-up.
fn since_opening(metrics: &MetricsSnapshot) -> Table {
    let mut table = Table::new(["since opening", "count", "p50", "p95", "p99", "max"]);
    let mut row = |name: &str, of: &Quantiles, text: fn(u64) -> String| {
        let head = [name.to_owned(), grouped(of.count)];
        let figures = [of.p50, of.p95, of.p99, of.max].map(text);
        table.row(head.into_iter().chain(figures));
    };
    row("batch until accepted", &metrics.accepted_us, micros);
    row("batch until hashed", &metrics.hashed_us, micros);
    row("batch until root ready", &metrics.root_ready_us, micros);
    row("sync, versions", &metrics.versions_per_sync, grouped);
    table
}

/// Most refused reloads that are shown. The last ones are.
const REFUSED_MAX: usize = 20;

/// Reports refused reloads, however many decisions followed, so that nobody takes such a file for the settings of the
/// run.
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
        "reloads refused: {}; the previous settings stayed\n",
        refused.len()
    );
    let left_out = refused.len().saturating_sub(REFUSED_MAX);
    for (at_us, message) in refused.into_iter().skip(left_out) {
        let second = second(run, at_us);
        let _ = writeln!(text, "  {second:8.1} s  {}", escaped_line(message));
    }
    text
}

fn warnings(warnings: &[Warning]) -> String {
    let lines = warnings
        .iter()
        .map(|warning| format!("warning: {warning}\n"));
    lines.collect()
}

fn texts(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(Warning::to_string).collect()
}

/// Returns the totals of a run for other programs.
pub(super) fn json(outcome: &Outcome, root: Option<&Root>, checks: &Checks) -> Value {
    let run = &outcome.run;
    let json = json!({
        "name": run.name,
        "calibrated_operations_per_s": outcome.calibrated,
        "workload": run.workload,
        "totals": run.totals,
        "warnings": texts(&run.warnings),
        "is_interrupted": outcome.is_interrupted,
        "ended_by": run.ended_by,
        "version": root.map(|root| root.version),
        "state_digest": root.map(|root| hex::encode(root.state_digest)),
        "checks": checks,
        "thresholds": run.thresholds,
    });
    without_nulls(json, &["ended_by"])
}

fn totals(metrics: &MetricsSnapshot) -> String {
    let lines = [
        ("keys", grouped(metrics.keys)),
        ("log written since opening", byte_size(metrics.log_bytes)),
        ("checkpoints since opening", grouped(metrics.checkpoints)),
        ("resident memory", byte_size(metrics.resident_bytes)),
    ];
    lines
        .map(|(name, value)| format!("{name:<25}  {value}\n"))
        .concat()
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
        let expected = "reloads refused: 1; the previous settings stayed\n       1.0 s  a.toml:1: unknown key\n";
        assert_eq!(reloads_refused(&run), expected);
    }
}
