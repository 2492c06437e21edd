//! Merges runs that several generators made at the same time into one. Pure.
//!
//! Histograms are added and counts are summed, so the figures are those of one histogram of all values that the
//! generators recorded. Each run has its own clock, so its seconds are shifted by whole seconds to match the time of
//! day. Totals do not depend on that.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::interval_log::{IntervalLog, IntervalLogError, Line, Measure, Subject, add, histogram};
use super::plan::Plan;
use super::run::{
    Latency, Machine, OperationFigures, OperationKind, RUN_FORMAT, Run, Second, ThreadTimes, Totals,
};
use super::warning::Warning;

/// Most runs that are merged at once.
pub const MERGED_MAX: usize = 64;

/// Precision of latencies in digits.
const DIGITS: u8 = 3;
/// The share of the whole time during which all runs must have operations due. Below it, the merged run warns.
const OVERLAP_MIN: f64 = 0.95;

/// An error of merging runs. Runs are named by their numbers, from 1.
///
/// ```
/// use trunkline_load::{IntervalLog, MergeError, Run, merge};
/// let one = (Run::default(), IntervalLog::new(0));
/// assert!(matches!(merge(&[one.clone()]), Err(MergeError::Count(1))));
/// assert!(matches!(merge(&[one.clone(), one]), Err(MergeError::Same { first: 1, second: 2 })));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There are too few runs, or too many.
    #[error("2 to {MERGED_MAX} runs can be merged, not {0}")]
    Count(usize),
    /// A run is there twice.
    #[error("runs {first} and {second} are the same run; name each once")]
    Same {
        /// Number of the first one.
        first: usize,
        /// Number of the other one.
        second: usize,
    },
    /// A run is itself the result of a merge.
    #[error("run {0} was merged already; merge the runs that it came from, all at once")]
    Merged(usize),
    /// The formats differ.
    #[error("run {number} has format {found}, not {RUN_FORMAT}; use the version that made it")]
    Format {
        /// Number of the run.
        number: usize,
        /// Format of the run.
        found: u32,
    },
    /// The versions of trunkline differ.
    #[error(
        "run {number} was made by version {found}, not {expected}; make all runs by the same version"
    )]
    Version {
        /// Number of the run.
        number: usize,
        /// Version of the run.
        found: String,
        /// The version of the first run.
        expected: String,
    },
    /// The plans differ.
    #[error("run {number} had another plan than the first ({}); give all the same one (a rate too)", keys.join(", "))]
    Plans {
        /// Number of the run.
        number: usize,
        /// The keys that differ.
        keys: Vec<String>,
    },
    /// A run has no plan that can be read.
    #[error("run {0} has no plan that can be read; make it again")]
    NoPlan(usize),
    /// One run replayed a trace that another one did not.
    #[error("run {0} did other operations than the first: another trace, or another speed")]
    Traces(usize),
    /// Two runs did not overlap in time.
    #[error(
        "the runs were not made at the same time: run {ended} had ended when run {began} began"
    )]
    Apart {
        /// Number of the run that ended first.
        ended: usize,
        /// Number of the run that began last.
        began: usize,
    },
    /// The histograms of a run do not contain all its operations.
    #[error(
        "run {number} has {counted} times of {} in its histograms, and {achieved} in its totals; a run of many hours keeps \
         only its last ones, and cannot be merged", kind.name()
    )]
    Incomplete {
        /// Number of the run.
        number: usize,
        /// Kind of the operations.
        kind: OperationKind,
        /// Values in the histograms.
        counted: u64,
        /// Operations in the totals.
        achieved: u64,
    },
    /// The histograms of a run cannot be used.
    #[error("the histograms of run {number} cannot be used")]
    Log {
        /// Number of the run.
        number: usize,
        /// The cause, with its position in the log.
        source: IntervalLogError,
    },
}

/// The time in which all merged runs had operations due, in microseconds from the beginning of the first one.
///
/// See [`Merged`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OverlapWindow {
    /// The time at which the last run began.
    pub begin_us: u64,
    /// The time at which the first schedule ended.
    pub end_us: u64,
}

/// The runs that a run was merged from.
///
/// ```
/// use trunkline_load::{Merged, OverlapWindow};
/// let merged = Merged { window: OverlapWindow { begin_us: 250_000, end_us: 10_000_000 }, ..Merged::default() };
/// assert_eq!(merged.window.end_us - merged.window.begin_us, 9_750_000);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Merged {
    /// The time during which all runs had operations due.
    pub window: OverlapWindow,
    /// The runs.
    pub parts: Vec<MergedPart>,
}

/// One of the runs that a run was merged from.
///
/// See [`Merged`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MergedPart {
    /// Name of the run.
    pub name: String,
    /// The time at which it began, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// Length of its schedule, in microseconds.
    pub scheduled_us: u64,
    /// Operations that ended.
    pub achieved: u64,
    /// Seed of the run.
    pub seed: u64,
    /// The machine that it ran on.
    pub machine: Machine,
    /// Revision of the source code.
    pub git_revision: String,
}

/// Merges runs that several generators made at the same time, with their interval logs. The merged run has neither
/// windows nor decisions nor spans of engines. Rates are over the time from the beginning of the first run to the end of
/// the last schedule, so they never say more than what was done.
///
/// ```no_run
/// use trunkline_load::{IntervalLog, Run, merge};
/// let read = |directory: &str| {
///     Ok::<_, trunkline_load::RunFileError>((Run::read_from(directory.as_ref())?, IntervalLog::read_from(directory.as_ref())?))
/// };
/// let (run, log) = merge(&[read("runs/a")?, read("runs/b")?])?;
/// println!("{} operations by {} generators", run.totals.achieved, run.merged.map_or(1, |merged| merged.parts.len()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn merge(parts: &[(Run, IntervalLog)]) -> Result<(Run, IntervalLog), MergeError> {
    let runs: Vec<&Run> = parts.iter().map(|(run, _)| run).collect();
    let plan = check_alike(&runs)?;
    let times = Times::of(&runs)?;
    let mut log = IntervalLog::new(times.began_unix_ms);
    let (seconds, sums, late) = histograms(parts, &times, &mut log)?;
    let totals = totals(&runs, &times, &sums, &late);
    let thresholds = plan
        .thresholds
        .iter()
        .map(|threshold| threshold.check(&totals));
    let thresholds = thresholds.collect();
    let run = Run {
        format: RUN_FORMAT,
        name: plan.name.clone(),
        began_unix_ms: times.began_unix_ms,
        version: runs[0].version.clone(),
        git_revision: same(&runs, |run| run.git_revision.clone()),
        machine: machine(&runs),
        seed: runs[0].seed,
        workload: plan.to_toml(),
        replayed: runs[0].replayed.clone(),
        merged: Some(Merged {
            window: times.window,
            parts: runs.iter().map(|run| part(run)).collect(),
        }),
        ended_by: runs.iter().find_map(|run| run.ended_by.clone()),
        config: same(&runs, |run| run.config.clone()),
        totals,
        seconds,
        warnings: warnings(&runs, &times),
        thresholds,
        ..Run::default()
    };
    Ok((run, log))
}

/// Checks that runs may be merged. Returns their plan.
fn check_alike(runs: &[&Run]) -> Result<Plan, MergeError> {
    if !(2..=MERGED_MAX).contains(&runs.len()) {
        return Err(MergeError::Count(runs.len()));
    }
    for (index, run) in runs.iter().enumerate() {
        if let Some(first) = runs[..index].iter().position(|earlier| earlier == run) {
            let (first, second) = (first + 1, index + 1);
            return Err(MergeError::Same { first, second });
        }
    }
    let plan = plan_of(runs[0], 1)?;
    for (number, run) in (1..).zip(runs) {
        check_one(number, run, runs[0], &plan)?;
    }
    Ok(plan)
}

fn check_one(number: usize, run: &Run, first: &Run, plan: &Plan) -> Result<(), MergeError> {
    if run.format != RUN_FORMAT {
        let found = run.format;
        return Err(MergeError::Format { number, found });
    }
    if run.version != first.version {
        return Err(MergeError::Version {
            number,
            found: run.version.clone(),
            expected: first.version.clone(),
        });
    }
    if run.merged.is_some() {
        return Err(MergeError::Merged(number));
    }
    let traced = |run: &Run| {
        run.replayed
            .as_ref()
            .map(|one| (one.digest.clone(), one.speed))
    };
    if traced(run) != traced(first) {
        return Err(MergeError::Traces(number));
    }
    let keys = plan_of(run, number)?.differing_keys(plan);
    match keys.is_empty() {
        true => Ok(()),
        false => Err(MergeError::Plans { number, keys }),
    }
}

fn plan_of(run: &Run, number: usize) -> Result<Plan, MergeError> {
    Plan::from_toml("workload", &run.workload).map_err(|_| MergeError::NoPlan(number))
}

/// The times of the runs, by the time of day.
struct Times {
    began_unix_ms: u64,
    /// The beginning of each run, in microseconds from the beginning of the first one.
    begin_us: Vec<u64>,
    window: OverlapWindow,
    /// End of the last schedule.
    scheduled_us: u64,
    /// End of the last operation.
    elapsed_us: u64,
}

impl Times {
    fn of(runs: &[&Run]) -> Result<Self, MergeError> {
        let began_unix_ms = runs.iter().map(|run| run.began_unix_ms).min().unwrap_or(0);
        let begin_us = |run: &&Run| (run.began_unix_ms - began_unix_ms).saturating_mul(1000);
        let begin_us: Vec<u64> = runs.iter().map(begin_us).collect();
        let ends = |length: fn(&Totals) -> u64| -> Vec<u64> {
            let ends = begin_us.iter().zip(runs);
            ends.map(|(begin_us, run)| begin_us.saturating_add(length(&run.totals)))
                .collect()
        };
        let scheduled = ends(|totals| totals.scheduled_us);
        let elapsed = ends(|totals| totals.elapsed_us);
        let number =
            |all: &[u64], figure: u64| 1 + all.iter().position(|one| *one == figure).unwrap_or(0);
        let window = OverlapWindow {
            begin_us: begin_us.iter().copied().max().unwrap_or(0),
            end_us: scheduled.iter().copied().min().unwrap_or(0),
        };
        if window.end_us <= window.begin_us {
            return Err(MergeError::Apart {
                ended: number(&scheduled, window.end_us),
                began: number(&begin_us, window.begin_us),
            });
        }
        Ok(Self {
            began_unix_ms,
            window,
            scheduled_us: scheduled.into_iter().max().unwrap_or(0),
            elapsed_us: elapsed.into_iter().max().unwrap_or(0),
            begin_us,
        })
    }

    /// Returns the number of seconds by which those of a run are shifted.
    fn shift(&self, index: usize) -> u64 {
        self.begin_us[index].saturating_add(500_000) / 1_000_000
    }
}

/// The latency and service histograms of one kind.
#[derive(Clone)]
struct Pair {
    latency: Histogram<u64>,
    service: Histogram<u64>,
}

impl Default for Pair {
    fn default() -> Self {
        Self {
            latency: histogram(DIGITS),
            service: histogram(DIGITS),
        }
    }
}

impl Pair {
    fn of(&mut self, measure: Measure) -> &mut Histogram<u64> {
        match measure {
            Measure::Latency => &mut self.latency,
            Measure::Service => &mut self.service,
        }
    }

    fn figures(&self) -> OperationFigures {
        OperationFigures {
            achieved: self.latency.len(),
            latency: Latency::of(&self.latency),
            service: Latency::of(&self.service),
        }
    }
}

type Pairs = BTreeMap<OperationKind, Pair>;

fn figures(pairs: &Pairs) -> BTreeMap<OperationKind, OperationFigures> {
    pairs
        .iter()
        .map(|(kind, pair)| (*kind, pair.figures()))
        .collect()
}

/// A line of one of the logs, in the order of the merged seconds. Its histogram is decoded when its turn comes.
struct Entry<'a> {
    second: u64,
    part: usize,
    line: Line<'a>,
}

/// Adds up all histograms, second by second, into a log. Returns the seconds, the sums over all of them, and the delays
/// of the generators.
fn histograms(
    parts: &[(Run, IntervalLog)],
    times: &Times,
    log: &mut IntervalLog,
) -> Result<(Vec<Second>, Pairs, Histogram<u64>), MergeError> {
    let entries = entries(parts, times)?;
    let mut seconds = counted_seconds(parts, times);
    let mut sums = Pairs::new();
    let mut late = histogram(DIGITS);
    let mut counts: BTreeMap<(usize, OperationKind), u64> = BTreeMap::new();
    for of_second in entries.chunk_by(|one, next| one.second == next.second) {
        let mut pairs = Pairs::new();
        for Entry { part, line, .. } in of_second {
            let failed = |source| MergeError::Log {
                number: part + 1,
                source,
            };
            let more = line.histogram().map_err(failed)?;
            match line.subject() {
                Subject::GeneratorLate => add(&mut late, &more),
                Subject::Stage(_) => {}
                Subject::Operation(kind, measure) => {
                    add(pairs.entry(kind).or_default().of(measure), &more);
                    if measure == Measure::Latency {
                        let count = counts.entry((*part, kind)).or_default();
                        *count = count.saturating_add(more.len());
                    }
                }
            }
        }
        close(of_second[0].second, &pairs, &mut seconds, log)?;
        for (kind, pair) in &pairs {
            let sum = sums.entry(*kind).or_default();
            add(&mut sum.latency, &pair.latency);
            add(&mut sum.service, &pair.service);
        }
    }
    check_complete(parts, &counts)?;
    let failed = |source| MergeError::Log { number: 1, source };
    log.add_generator_late(&late).map_err(failed)?;
    Ok((seconds.into_values().collect(), sums, late))
}

fn entries<'a>(
    parts: &'a [(Run, IntervalLog)],
    times: &Times,
) -> Result<Vec<Entry<'a>>, MergeError> {
    let mut entries = Vec::new();
    for (part, (_, log)) in parts.iter().enumerate() {
        for line in log.lines() {
            let line = line.map_err(|source| MergeError::Log {
                number: part + 1,
                source,
            })?;
            let second = line.second().saturating_add(times.shift(part));
            entries.push(Entry { second, part, line });
        }
    }
    entries.sort_by_key(|entry| entry.second);
    Ok(entries)
}

/// Returns the counts of all seconds, without the figures of their operations.
fn counted_seconds(parts: &[(Run, IntervalLog)], times: &Times) -> BTreeMap<u64, Second> {
    let mut seconds: BTreeMap<u64, Second> = BTreeMap::new();
    for (index, (run, _)) in parts.iter().enumerate() {
        for more in &run.seconds {
            let number = more.second.saturating_add(times.shift(index));
            let sum = seconds.entry(number).or_default();
            sum.second = number;
            for (count, more) in [
                (&mut sum.offered, more.offered),
                (&mut sum.achieved, more.achieved),
                (&mut sum.dropped, more.dropped),
                (&mut sum.failed, more.failed),
            ] {
                *count = count.saturating_add(more);
            }
            sum.generator_late_us = sum.generator_late_us.max(more.generator_late_us);
        }
    }
    seconds
}

/// Writes the lines of a second, and sets the figures of its operations.
fn close(
    number: u64,
    pairs: &Pairs,
    seconds: &mut BTreeMap<u64, Second>,
    log: &mut IntervalLog,
) -> Result<(), MergeError> {
    for (kind, pair) in pairs {
        for (measure, histogram) in [
            (Measure::Latency, &pair.latency),
            (Measure::Service, &pair.service),
        ] {
            let added = log.add_line(number, Subject::Operation(*kind, measure), histogram);
            added.map_err(|source| MergeError::Log { number: 1, source })?;
        }
    }
    if let Some(second) = seconds.get_mut(&number) {
        second.operations = figures(pairs);
    }
    Ok(())
}

/// Checks that the histograms of each run contain all its operations.
fn check_complete(
    parts: &[(Run, IntervalLog)],
    counts: &BTreeMap<(usize, OperationKind), u64>,
) -> Result<(), MergeError> {
    for (index, (run, _)) in parts.iter().enumerate() {
        for kind in OperationKind::ALL {
            let counted = counts.get(&(index, kind)).copied().unwrap_or(0);
            let achieved = run
                .totals
                .operations
                .get(&kind)
                .map_or(0, |total| total.achieved);
            if counted != achieved {
                return Err(MergeError::Incomplete {
                    number: index + 1,
                    kind,
                    counted,
                    achieved,
                });
            }
        }
    }
    Ok(())
}

fn totals(runs: &[&Run], times: &Times, sums: &Pairs, late: &Histogram<u64>) -> Totals {
    let sum = |count: fn(&Totals) -> u64| {
        let counts = runs.iter().map(|run| count(&run.totals));
        counts.fold(0, u64::saturating_add)
    };
    Totals {
        elapsed_us: times.elapsed_us,
        scheduled_us: times.scheduled_us,
        ended_in_schedule: sum(|totals| totals.ended_in_schedule),
        offered: sum(|totals| totals.offered),
        achieved: sum(|totals| totals.achieved),
        dropped: sum(|totals| totals.dropped),
        failed: sum(|totals| totals.failed),
        missing: sum(|totals| totals.missing),
        generator_late: Latency::of(late),
        cpu: ThreadTimes {
            generator_us: sum(|totals| totals.cpu.generator_us),
            submitter_us: sum(|totals| totals.cpu.submitter_us),
            completer_us: sum(|totals| totals.cpu.completer_us),
            reader_us: runs
                .iter()
                .map(|run| run.totals.cpu.reader_us)
                .max()
                .unwrap_or(0),
        },
        operations: figures(sums),
    }
}

fn part(run: &Run) -> MergedPart {
    MergedPart {
        name: run.name.clone(),
        began_unix_ms: run.began_unix_ms,
        scheduled_us: run.totals.scheduled_us,
        achieved: run.totals.achieved,
        seed: run.seed,
        machine: run.machine.clone(),
        git_revision: run.git_revision.clone(),
    }
}

/// Returns a text that is the same in all runs, or an empty one.
fn same(runs: &[&Run], text: fn(&Run) -> String) -> String {
    let first = text(runs[0]);
    let is_same = runs.iter().all(|run| text(run) == first);
    if is_same { first } else { String::new() }
}

/// Returns the machine of all runs, or a description that stands for several.
fn machine(runs: &[&Run]) -> Machine {
    let first = &runs[0].machine;
    if runs.iter().all(|run| run.machine == *first) {
        return first.clone();
    }
    Machine {
        processor: "several machines".to_owned(),
        ..Machine::default()
    }
}

/// Returns the warnings of all runs, each once, and one about their times.
fn warnings(runs: &[&Run], times: &Times) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = Vec::new();
    for warning in runs.iter().flat_map(|run| &run.warnings) {
        if !warnings.contains(warning) {
            warnings.push(warning.clone());
        }
    }
    let window_s = (times.window.end_us - times.window.begin_us) as f64 / 1e6;
    let whole_s = times.scheduled_us as f64 / 1e6;
    if window_s < OVERLAP_MIN * whole_s {
        warnings.push(Warning::PartlyOverlapping { window_s, whole_s });
    }
    warnings
}
