//! A report as Markdown.

use std::fmt::Write;

use crate::arguments::Workload;
use crate::engines::EngineKind;
use crate::job::Line;
use crate::report::{Report, Run, Spread};
use crate::workload::Fresh;

/// Returns the table, with the facts that belong above it.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = heading(report);
    match report.workload {
        Workload::OpenLoop => open_loop(&mut text, report),
        Workload::Updates => {
            updates(&mut text, report);
            proofs(&mut text, report);
        }
        Workload::Curve => updates(&mut text, report),
        Workload::SinglePuts => single_puts(&mut text, report),
    }
    for failed in &report.failed {
        let _ = writeln!(text, "\nNo figures: {failed}.");
    }
    text
}

/// Returns the line that the ratios refer to: fjall, or else the last engine of a round.
fn base(report: &Report) -> Option<Line> {
    let mut lines = report.lines.iter();
    let fjall = lines.find(|line| line.engine == EngineKind::Fjall);
    fjall.or(report.lines.last()).copied()
}

fn heading(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{}: {}, {} cores, {:.0} GiB memory, Linux {}, disk {}. Allocator: {}.",
        machine.date,
        machine.processor,
        machine.cores,
        machine.memory_bytes as f64 / f64::from(1 << 30),
        machine.kernel,
        machine.disk,
        machine.allocator,
    );
    let _ = writeln!(
        text,
        "trunkline {}, {}.",
        machine.trunkline,
        report.versions.join(", ")
    );
    if let Some(run) = report.runs.last() {
        let _ = writeln!(
            text,
            "{} keys, then {}, {} of fresh keys; {} rounds, interleaved; medians.\n",
            run.job.keys,
            puts(report, run),
            match run.job.fresh {
                Fresh::Half => "half of them",
                Fresh::None => "none of them",
            },
            run.round + 1,
        );
    }
    text
}

fn puts(report: &Report, run: &Run) -> String {
    match report.workload {
        Workload::OpenLoop => format!("puts by the clock in batches of {}", run.job.batch),
        Workload::Updates | Workload::Curve => format!(
            "{} puts in batches of {}",
            run.job.operations, run.job.batch
        ),
        Workload::SinglePuts => "single puts".to_owned(),
    }
}

fn updates(text: &mut String, report: &Report) {
    let base = base(report);
    let base_name = base.map(|line| line.to_string()).unwrap_or_default();
    let _ = writeln!(
        text,
        "| engine | updates/s (min–max) | ÷ {base_name}, round by round | durable p50 / p99 ms | CPU µs/update | written B/update | resident (peak) MB | disk MB | reads/s present / absent |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for &line in &report.lines {
        let median = |figure: fn(&Run) -> f64| report.median(line, figure);
        let rates = report
            .runs_of(line)
            .map(|run| run.figures.updates_per_second);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} / {:.1} | {:.2} | {:.0} | {:.0} ({:.0}) | {:.0} | {} / {} |",
            line,
            rate(Spread::of(rates)),
            ratio(report, line, base),
            median(|run| run.figures.durable.p50_ms),
            median(|run| run.figures.durable.p99_ms),
            median(|run| run.figures.cpu_seconds * 1e6 / run.job.operations as f64),
            median(|run| run.figures.written_bytes_per_update),
            median(|run| run.figures.resident_bytes as f64 / 1e6),
            median(|run| run.figures.resident_bytes_peak as f64 / 1e6),
            median(|run| run.figures.disk_bytes as f64 / 1e6),
            thousands(median(|run| run.figures.reads_present_per_second)),
            thousands(median(|run| run.figures.reads_absent_per_second)),
        );
    }
}

fn proofs(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "\n| proofs of one key | made, µs | verified, µs | bytes |\n| --- | --- | --- | --- |"
    );
    for &line in &report.lines {
        let Some(first) = report.runs_of(line).next() else {
            continue;
        };
        for (index, proof) in first.figures.proofs.iter().enumerate() {
            let median = |figure: fn(&crate::figures::ProofFigures) -> f64| {
                report.median(line, |run| {
                    run.figures.proofs.get(index).map_or(0.0, figure)
                })
            };
            let _ = writeln!(
                text,
                "| {}, {} | {:.1} | {:.1} | {:.0} |",
                line,
                proof.kind,
                median(|proof| proof.prove_us),
                median(|proof| proof.verify_us),
                median(|proof| proof.bytes),
            );
        }
    }
}

fn open_loop(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "| engine | closed loop updates/s | offered updates/s | done updates/s | durable p50 / p99 / max ms | p99 ÷ p50 | CPU µs/update | resident MB |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for &line in &report.lines {
        let median = |figure: fn(&Run) -> f64| report.median(line, figure);
        let _ = writeln!(
            text,
            "| {}{} | {} | {} | {} | {:.1} / {:.1} / {:.1} | {:.1} | {:.2} | {:.0} |",
            line,
            if report.runs_of(line).all(kept_up) {
                ""
            } else {
                " (fell behind)"
            },
            thousands(median(|run| run
                .closed_loop_updates_per_second
                .unwrap_or(0.0))),
            thousands(median(offered)),
            thousands(median(|run| run.figures.updates_per_second)),
            median(|run| run.figures.durable.p50_ms),
            median(|run| run.figures.durable.p99_ms),
            median(|run| run.figures.durable.max_ms),
            median(|run| run.figures.durable.p99_ms / run.figures.durable.p50_ms),
            median(|run| run.figures.cpu_seconds * 1e6 / run.job.operations as f64),
            median(|run| run.figures.resident_bytes as f64 / 1e6),
        );
    }
    if !report.runs.iter().all(kept_up) {
        let _ = writeln!(
            text,
            "\nAn engine that fell behind could not hold the rate in some round: its latencies are the length of a queue that grew until the end."
        );
    }
}

fn single_puts(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "| engine | puts/s (min–max) | durable p50 / p99 ms | CPU µs/put | resident MB |\n| --- | --- | --- | --- | --- |"
    );
    for &line in &report.lines {
        let median = |figure: fn(&Run) -> f64| report.median(line, figure);
        let rates = report.runs_of(line);
        let rates = rates.map(|run| run.figures.updates_per_second);
        let _ = writeln!(
            text,
            "| {line} | {} | {:.2} / {:.2} | {:.1} | {:.0} |",
            rate(Spread::of(rates)),
            median(|run| run.figures.durable.p50_ms),
            median(|run| run.figures.durable.p99_ms),
            median(|run| run.figures.cpu_seconds * 1e6 / run.job.operations as f64),
            median(|run| run.figures.resident_bytes as f64 / 1e6),
        );
    }
}

fn offered(run: &Run) -> f64 {
    run.job.schedule.map_or(0.0, |schedule| schedule.rate)
}

/// Returns whether the last batch was finished about when it was due.
fn kept_up(run: &Run) -> bool {
    run.figures.updates_per_second > 0.95 * offered(run)
}

fn rate(spread: Spread) -> String {
    let Spread { min, median, max } = spread;
    format!(
        "{} ({}–{})",
        thousands(median),
        thousands(min),
        thousands(max)
    )
}

fn ratio(report: &Report, line: Line, base: Option<Line>) -> String {
    match base.and_then(|base| report.ratio(line, base)) {
        Some(Spread { min, median, max }) => format!("{min:.2} / {median:.2} / {max:.2}"),
        None => "–".to_owned(),
    }
}

fn thousands(figure: f64) -> String {
    match figure {
        0.0 => "–".to_owned(),
        figure if figure < 1e4 => format!("{:.1}k", figure / 1e3),
        figure if figure < 1e6 => format!("{:.0}k", figure / 1e3),
        figure => format!("{:.2}M", figure / 1e6),
    }
}
