//! `compare`: reports whether two sides of runs differ and whether one is worse. `trunkline_load::compare` decides.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use trunkline_load::compare::{
    Comparison, Metric, MetricComparison, Observed, Recorded, Settings, compare,
};
use trunkline_load::{Plan, Run};

use crate::Exit;
use crate::arguments::ArgumentError;
use crate::error::CommandError;
use crate::output::{self, escaped_line, grouped, micros};
use crate::table::Table;

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// Runs before a change: a directory, or several separated by commas.
    #[arg(value_name = "A", required = true, value_parser = parse_side)]
    before: Side,
    /// Runs after the change, in the same form.
    #[arg(value_name = "B", required = true, value_parser = parse_side)]
    after: Side,
    /// Exit with code 1 if any figure is certainly worse by at least this much.
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    fail_on: Option<f64>,
    /// Ignore changes up to this size, however certain.
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = parse_percent)]
    negligible: f64,
    /// Compare each run of A with the run of B made next to it, so that a machine that gets slower affects both. Needs
    /// the same number of runs on both sides, at least three, made alternately.
    #[arg(long)]
    paired: bool,
    /// Compare runs of different workloads or machines anyway.
    #[arg(long)]
    force: bool,
    /// Resamples for each figure of each side.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    resamples: u32,
    /// Seed of the resampling.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Largest percentage.
const PERCENT_MAX: f64 = 1e6;

/// Directories of the runs of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Side(Vec<PathBuf>);

/// Parses a side. A text that names a directory is one, even with commas.
fn parse_side(text: &str) -> Result<Side, ArgumentError> {
    if Path::new(text).is_dir() {
        return Ok(Side(vec![text.into()]));
    }
    let directories: Vec<PathBuf> = text.split(',').map(PathBuf::from).collect();
    if directories.iter().any(|path| path.as_os_str().is_empty()) {
        return Err(ArgumentError::Side);
    }
    Ok(Side(directories))
}

/// Parses a percentage, with or without its sign, as a share.
fn parse_percent(text: &str) -> Result<f64, ArgumentError> {
    let digits = text.strip_suffix('%').unwrap_or(text).trim_end();
    let percent: f64 = digits.parse().map_err(|_| ArgumentError::Percent)?;
    match (0.0..=PERCENT_MAX).contains(&percent) {
        true => Ok(percent / 100.0),
        false => Err(ArgumentError::Percent),
    }
}

pub(crate) fn run(arguments: &CompareArguments) -> Result<Exit, CommandError> {
    let before = read(&arguments.before)?;
    let after = read(&arguments.after)?;
    let unlike = unlike(&before, &after);
    if let (false, Some(first)) = (arguments.force, unlike.first()) {
        return Err(CommandError::Unlike(first.clone()));
    }
    let settings = Settings {
        seed: arguments.seed,
        resamples: arguments.resamples as usize,
        negligible: arguments.negligible,
        paired: arguments.paired,
        ..Settings::default()
    };
    let comparison = compare(&observed(&before), &observed(&after), &settings)?;
    let report = Report {
        before: &before,
        after: &after,
        comparison: &comparison,
        fail_on: arguments.fail_on,
        warnings: unlike
            .into_iter()
            .chain(warnings(&before, &after))
            .collect(),
    };
    let is_json = arguments.json;
    let (json, text) = (|| json(arguments, &report), || text(&report));
    match arguments.fail_on {
        // The exit code is the verdict.
        Some(_) => output::show_either(is_json, json, text),
        None => output::print_either(is_json, json, text)?,
    }
    Ok(Exit::of(!report.has_failed()))
}

struct Report<'a> {
    before: &'a [Recorded],
    after: &'a [Recorded],
    comparison: &'a Comparison,
    fail_on: Option<f64>,
    warnings: Vec<String>,
}

impl Report<'_> {
    fn failures(&self) -> usize {
        let fail_on = self.fail_on.unwrap_or(f64::INFINITY);
        self.comparison.worse_by(fail_on).count()
    }

    fn has_failed(&self) -> bool {
        self.failures() > 0
    }
}

fn read(side: &Side) -> Result<Vec<Recorded>, CommandError> {
    let runs = side.0.iter().map(|path| Recorded::read_from(path));
    Ok(runs.collect::<Result<_, _>>()?)
}

fn observed(side: &[Recorded]) -> Vec<Observed> {
    side.iter().map(Recorded::observed).collect()
}

/// Returns reasons why the runs are not comparable.
pub(crate) fn unlike(before: &[Recorded], after: &[Recorded]) -> Vec<String> {
    let mut runs = before.iter().chain(after).map(|recorded| &recorded.run);
    let Some(first) = runs.next() else {
        return Vec::new();
    };
    let others: Vec<&Run> = runs.collect();
    let differing = |run: &&Run| differing_keys(&first.workload, &run.workload);
    let differing: BTreeSet<String> = others.iter().flat_map(differing).collect();
    let mut unlike = Vec::new();
    if !differing.is_empty() {
        let keys = Vec::from_iter(differing).join(", ");
        unlike.push(format!("the runs have different workloads ({keys})"));
    }
    let differs = |run: &&&Run| traced(run) != traced(first);
    if let Some(other) = others.iter().find(differs) {
        unlike.push(format!(
            "the runs did different operations ({} and {})",
            source(first),
            source(other)
        ));
    }
    if others
        .iter()
        .any(|run| generators(run) != generators(first))
    {
        unlike.push("the runs were made by different numbers of generators".to_owned());
    }
    if others.iter().any(|run| run.machine != first.machine) {
        unlike.push("the runs were made on different machines".to_owned());
    }
    unlike
}

/// Returns the number of generators that made a run.
fn generators(run: &Run) -> usize {
    run.merged.as_ref().map_or(1, |merged| merged.parts.len())
}

/// Returns the digest of a replayed trace and its speed, regardless of the file's name.
fn traced(run: &Run) -> Option<(&str, f64)> {
    let replayed = run.replayed.as_ref()?;
    Some((&replayed.digest, replayed.speed))
}

fn source(run: &Run) -> String {
    match &run.replayed {
        None => "those of the workload".to_owned(),
        Some(replayed) => format!(
            "those of the trace {} at speed {}",
            escaped_line(&replayed.name),
            replayed.speed
        ),
    }
}

/// Returns the settings that differ between two plans, without those that do not affect the load.
fn differing_keys(one: &str, other: &str) -> Vec<String> {
    let plan = |text| Plan::from_toml("plan", text);
    match (one == other, plan(one), plan(other)) {
        (true, ..) => Vec::new(),
        (false, Ok(one), Ok(other)) => one.differing_keys(&other),
        (false, ..) => vec!["one is no plan".to_owned()],
    }
}

/// Returns warnings about runs that can be compared.
fn warnings(before: &[Recorded], after: &[Recorded]) -> Vec<String> {
    let mut warnings = Vec::new();
    if before.len() < 2 || after.len() < 2 {
        warnings.push(
            "a side has one run, which hides the differences between starts; make several of both, alternately"
                .to_owned(),
        );
    }
    for (side, runs) in [("A", before), ("B", after)] {
        for (index, recorded) in runs.iter().enumerate() {
            let said = recorded.run.warnings.iter();
            warnings.extend(said.map(|warning| {
                format!(
                    "{side}{}: {}",
                    index + 1,
                    escaped_line(&warning.to_string())
                )
            }));
        }
    }
    warnings
}

fn text(report: &Report<'_>) -> String {
    let mut text = String::new();
    for (side, runs) in [("A", report.before), ("B", report.after)] {
        for (index, recorded) in runs.iter().enumerate() {
            text += &format!("{side}{}  {}\n", index + 1, line(&recorded.run));
        }
    }
    text += &format!("\n{}", table(&report.comparison.metrics));
    for left_out in &report.comparison.left_out {
        text += &format!("not compared: {left_out}\n");
    }
    for warning in &report.warnings {
        text += &format!("warning: {warning}\n");
    }
    if let Some(fail_on) = report.fail_on {
        text += &format!(
            "\n{}: {} of {} figures worse by {} or more\n",
            if report.has_failed() {
                "FAILED"
            } else {
                "passed"
            },
            report.failures(),
            report.comparison.metrics.len(),
            percent(fail_on),
        );
    }
    text
}

fn line(run: &Run) -> String {
    format!(
        "{}  {} {}  {} s",
        escaped_line(&run.name),
        escaped_line(&run.version),
        escaped_line(&run.git_revision),
        run.seconds.len()
    )
}

fn table(metrics: &[MetricComparison]) -> Table {
    let mut table = Table::new(["", "A", "B", "change", "between", "and", "verdict"]);
    for one in metrics {
        table.row([
            one.metric.to_string(),
            figure(one.metric, one.before),
            figure(one.metric, one.after),
            change(one.change),
            change(one.interval.0),
            change(one.interval.1),
            one.verdict.to_string(),
        ]);
    }
    table
}

pub(crate) fn figure(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Throughput => format!("{}/s", grouped(value.round() as u64)),
        Metric::Latency { .. } if value < 100.0 => format!("{value:.2} µs"),
        Metric::Latency { .. } => micros(value.round() as u64),
    }
}

pub(crate) fn change(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

fn percent(share: f64) -> String {
    format!("{} %", share * 100.0)
}

fn json<'a>(arguments: &CompareArguments, report: &'a Report<'_>) -> Json<'a> {
    let names = |side: &Side| {
        let paths = side.0.iter();
        paths.map(|path| path.display().to_string()).collect()
    };
    Json {
        before: names(&arguments.before),
        after: names(&arguments.after),
        comparison: report.comparison,
        warnings: &report.warnings,
        fail_on: report.fail_on,
        failed: report.has_failed(),
    }
}

#[derive(Serialize)]
struct Json<'a> {
    before: Vec<String>,
    after: Vec<String>,
    #[serde(flatten)]
    comparison: &'a Comparison,
    warnings: &'a [String],
    fail_on: Option<f64>,
    failed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_a_number_with_or_without_its_sign() {
        assert_eq!(parse_percent("5%"), Ok(0.05));
        assert_eq!(parse_percent("2.5 %"), Ok(0.025));
        assert_eq!(parse_percent("5"), Ok(0.05));
        for text in ["", "%", "-1%", "inf", "nan", "five"] {
            assert_eq!(parse_percent(text), Err(ArgumentError::Percent), "{text}");
        }
    }

    #[test]
    fn plans_differ_in_what_they_ask_for_alone() {
        let text = |change: fn(&mut Plan)| {
            let mut plan = Plan::default();
            change(&mut plan);
            plan.to_toml()
        };
        let plan = text(|_| {});
        let renamed = text(|plan| (plan.name, plan.seed) = ("b".to_owned(), 7));
        assert_eq!(differing_keys(&plan, &renamed), [""; 0]);
        let faster = text(|plan| (plan.rate, plan.batch) = (Some(5.0), 7));
        assert_eq!(differing_keys(&plan, &faster), ["batch", "rate"]);
        assert_eq!(differing_keys(&plan, "x"), ["one is no plan"]);
    }

    #[test]
    fn a_side_is_one_directory_or_several() {
        assert_eq!(parse_side("a"), Ok(Side(vec!["a".into()])));
        assert_eq!(
            parse_side("a,b/c"),
            Ok(Side(vec!["a".into(), "b/c".into()]))
        );
        assert_eq!(parse_side("a,"), Err(ArgumentError::Side));
    }
}
