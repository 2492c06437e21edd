//! The parent process: interleaved rounds of runs, each in a child process, so that no engine is favoured by memory,
//! caches or changes of the machine's speed.

use std::process::{Command, Stdio};

use crate::arguments::{Arguments, Workload};
use crate::engines::EngineKind;
use crate::error::BenchError;
use crate::figures::Figures;
use crate::job::{Job, Line, Schedule};
use crate::report::{Report, Run};
use crate::workload::Fresh;
use crate::{machine, single_puts, versions};

/// Runs everything: the first run of every engine, then the second of every engine, and so on. Calls `keep` after each
/// with all runs so far; a failed run is recorded, and the others continue.
pub(crate) fn measure(
    arguments: &Arguments,
    keep: impl Fn(&Report) -> Result<(), BenchError>,
) -> Result<Report, BenchError> {
    let mut report = Report {
        machine: machine::look_around(&arguments.directory),
        versions: versions::locked(),
        workload: arguments.workload,
        lines: lines(arguments),
        runs: Vec::new(),
        failed: Vec::new(),
    };
    for round in 0..arguments.runs {
        for line in report.lines.clone() {
            let job = job(arguments, line);
            let run = match arguments.workload {
                Workload::OpenLoop => open_loop(arguments, round, job),
                Workload::Updates | Workload::Curve | Workload::SinglePuts => {
                    closed_loop(round, job)
                }
            };
            match run {
                Ok(run) => report.runs.push(run),
                Err(error) => {
                    let text = format!("round {}: {error}", round + 1);
                    eprintln!("{text}");
                    report.failed.push(text);
                }
            }
            keep(&report)?;
        }
    }
    Ok(report)
}

/// The points of a curve: the submissions in flight.
const CURVE: [usize; 5] = [1, 2, 4, 8, 16];

fn lines(arguments: &Arguments) -> Vec<Line> {
    let lines = |&engine: &EngineKind| {
        let line = |in_flight, tasks| Line {
            engine,
            in_flight,
            tasks,
        };
        match arguments.workload {
            Workload::Updates | Workload::OpenLoop => {
                vec![line(engine.in_flight(arguments.in_flight), None)]
            }
            Workload::Curve => {
                let points = CURVE
                    .into_iter()
                    .take_while(|&count| count <= engine.in_flight_max());
                points.map(|count| line(count, None)).collect()
            }
            Workload::SinglePuts => {
                let tasks = arguments.tasks.iter();
                let line = |&tasks| line(1, Some(arguments.keys.min(tasks)));
                tasks.map(line).collect()
            }
        }
    };
    arguments.engine.iter().flat_map(lines).collect()
}

fn job(arguments: &Arguments, line: Line) -> Job {
    Job {
        line,
        directory: arguments.directory.clone(),
        keys: arguments.keys,
        operations: match line.tasks {
            Some(tasks) => single_puts::operations(arguments.ops, tasks),
            None => arguments.ops,
        },
        fresh: arguments.fresh,
        batch: batch(arguments),
        preload_batch: arguments.preload_batch,
        settings: arguments.settings.clone(),
        reads: arguments.reads,
        proofs: match arguments.workload {
            Workload::Curve => 0,
            _ => arguments.proofs,
        },
        schedule: None,
        cache_bytes: None,
    }
}

/// Returns the number of puts in a batch, so that it has no more existing keys than there are.
fn batch(arguments: &Arguments) -> u64 {
    arguments.batch.min(match arguments.fresh {
        Fresh::Half => arguments.keys.saturating_mul(2),
        Fresh::None => arguments.keys,
    })
}

fn closed_loop(round: u32, job: Job) -> Result<Run, BenchError> {
    let figures = in_child(&job)?;
    eprintln!(
        "round {} {}: {:.0} updates/s, durable p50 {:.2} ms, p99 {:.2} ms",
        round + 1,
        job.line,
        figures.updates_per_second,
        figures.durable.p50_ms,
        figures.durable.p99_ms,
    );
    Ok(Run {
        round,
        job,
        closed_loop_updates_per_second: None,
        figures,
    })
}

fn open_loop(arguments: &Arguments, round: u32, mut job: Job) -> Result<Run, BenchError> {
    (job.reads, job.proofs) = (0, 0);
    let (rate, closed_rate) = match arguments.rate {
        Some(rate) => (rate, None),
        None => {
            let closed_rate = sustained_rate(&job, arguments.seconds, round)?;
            (closed_rate * arguments.fraction, Some(closed_rate))
        }
    };
    job.schedule = Some(Schedule { rate });
    job.operations = operations_of(&job, rate, arguments.seconds);
    let figures = in_child(&job)?;
    eprintln!(
        "round {} {} at {rate:.0} updates/s: {:.0} done, durable p50 {:.1}, p99 {:.1}, max {:.1} ms",
        round + 1,
        job.line,
        figures.updates_per_second,
        figures.durable.p50_ms,
        figures.durable.p99_ms,
        figures.durable.max_ms,
    );
    Ok(Run {
        round,
        job,
        closed_loop_updates_per_second: closed_rate,
        figures,
    })
}

/// Returns the rate of a closed loop of this many seconds. A short one before determines the number of puts; alone it
/// would end before flushes and compactions begin to cost.
fn sustained_rate(job: &Job, seconds: f64, round: u32) -> Result<f64, BenchError> {
    let short = closed_loop(round, job.clone())?.figures.updates_per_second;
    let operations = operations_of(job, short, seconds);
    if operations <= job.operations {
        return Ok(short);
    }
    let long = Job {
        operations,
        ..job.clone()
    };
    Ok(closed_loop(round, long)?.figures.updates_per_second)
}

/// Returns the number of puts in complete batches that last this long at a rate.
fn operations_of(job: &Job, rate: f64, seconds: f64) -> u64 {
    let batches = (rate * seconds / job.batch as f64).ceil() as u64;
    batches.max(1) * job.batch
}

fn in_child(job: &Job) -> Result<Figures, BenchError> {
    let program = std::env::current_exe().map_err(BenchError::Process)?;
    let output = Command::new(program)
        // With mimalloc, freed memory is reused instead of being returned to the system and faulted in again. This is
        // the same for every engine.
        .env("MIMALLOC_PURGE_DELAY", "1000")
        .arg("run")
        .arg(serde_json::to_string(job)?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(BenchError::Process)?;
    if !output.status.success() {
        return Err(BenchError::RunFailed {
            line: job.line.to_string(),
            status: output.status,
        });
    }
    // Engines may print; the figures come last.
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().next_back().unwrap_or_default();
    Ok(serde_json::from_str(last)?)
}
