//! `report`: shows the results of a run, or of several merged runs, as text, as Markdown, as JUnit XML, or as one
//! self-contained page with plots, without scripts or network.
//!
//! `page` lays out the page, `plot` draws lines over axes, `pipeline` the timeline of the stages, `control` the decisions
//! and their effects. `scale` maps figures to positions, `label` to texts. maud escapes all text of a run in the page,
//! and `markdown` in Markdown.

mod control;
mod label;
mod markdown;
mod page;
mod pipeline;
mod plot;
mod scale;
mod text;

use std::path::{Path, PathBuf};

use clap::Args;
use trunkline_load::compare::{RecordError, Recorded};
use trunkline_load::{IntervalLog, Run, Threshold, merge};

use crate::Exit;
use crate::error::CommandError;
use crate::input::is_standard;
use crate::{junit, output, thresholds};

pub(crate) use control::{busy_percent, second};
pub(crate) use label::{change, compact, micros};
pub(crate) use text::decisions;

/// Default name of the page in the run's directory.
const PAGE_FILE: &str = "report.html";

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// Directory of the run; several with --merge.
    #[arg(value_name = "RUN", required = true)]
    directories: Vec<PathBuf>,
    /// Merge runs that several load generators made at the same time by the same plan: histograms and counts are added.
    #[arg(long)]
    merge: bool,
    /// Directory for the merged run.
    #[arg(long, value_name = "DIR", requires = "merge")]
    out: Option<PathBuf>,
    /// Write one self-contained page with plots. Default file: report.html in the run's directory, or that of --out; - is
    /// standard output.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    html: Option<Option<PathBuf>>,
    /// Write a short summary in Markdown, for a pull request. Default: standard output.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    markdown: Option<PathBuf>,
    /// Directory of a run to compare with, in the Markdown.
    #[arg(long, value_name = "RUN", requires = "markdown")]
    base: Option<PathBuf>,
    /// Threshold for a figure, such as update.p99<50ms. May be repeated, and replaces the run's own thresholds of the
    /// same metric. With it, and with --merge, the exit code is 4 if a threshold is not met.
    #[arg(long = "threshold", value_name = "THRESHOLD")]
    thresholds: Vec<Threshold>,
    /// Write a JUnit XML file with one test case for the run and one for each threshold.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl ReportArguments {
    /// Returns whether the exit code is the verdict on the thresholds.
    fn is_judged(&self) -> bool {
        self.merge || !self.thresholds.is_empty()
    }

    /// Prints text. A verdict stands even if it cannot be printed.
    fn print(&self, text: &str) -> Result<(), CommandError> {
        match self.is_judged() {
            true => output::show(text),
            false => output::print(text)?,
        }
        Ok(())
    }
}

pub(crate) fn run(arguments: &ReportArguments) -> Result<Exit, CommandError> {
    if let Some(directory) = &arguments.out {
        Run::can_be_written_to(directory)?;
        output::check_apart(directory, &arguments.directories)?;
    }
    let (mut run, log) = read(arguments)?;
    judge(&arguments.thresholds, &mut run);
    if let Some(directory) = &arguments.out {
        run.write_with(&log, directory)?;
    }
    let recorded = Recorded::of(run, &log).map_err(|source| RecordError::Histograms {
        directory: arguments.directories[0].display().to_string(),
        source,
    })?;
    write(arguments, &recorded)?;
    Ok(match arguments.is_judged() {
        true => thresholds::exit(&recorded.run.thresholds),
        false => Exit::Done,
    })
}

/// Reads the run, or merges the runs.
fn read(arguments: &ReportArguments) -> Result<(Run, IntervalLog), CommandError> {
    let mut runs = Vec::new();
    for directory in &arguments.directories {
        runs.push(read_one(directory)?);
    }
    match (arguments.merge, runs.pop()) {
        (false, Some(run)) if runs.is_empty() => Ok(run),
        (true, Some(last)) => {
            runs.push(last);
            Ok(merge(&runs)?)
        }
        _ => Err(CommandError::SeveralRuns(arguments.directories.len())),
    }
}

fn read_one(directory: &Path) -> Result<(Run, IntervalLog), RecordError> {
    let run = Run::read_from(directory)?;
    Ok((run, IntervalLog::read_from(directory)?))
}

/// Checks the thresholds of a run again, overridden by the typed ones.
fn judge(typed: &[Threshold], run: &mut Run) {
    let own = run.thresholds.iter().map(|result| result.threshold);
    let mut all: Vec<Threshold> = own.collect();
    thresholds::lay_over(typed, &mut all);
    let results = all.iter().map(|threshold| threshold.check(&run.totals));
    run.thresholds = results.collect();
}

/// Writes all requested outputs.
fn write(arguments: &ReportArguments, recorded: &Recorded) -> Result<(), CommandError> {
    if let Some(file) = &arguments.junit {
        output::write(file, junit::xml(&recorded.run, &[])?.as_bytes())?;
    }
    if let Some(file) = &arguments.markdown {
        let base = arguments.base.as_deref().map(Recorded::read_from);
        let text = markdown::markdown(recorded, base.transpose()?.as_ref());
        match is_standard(file) {
            true => arguments.print(&text)?,
            false => drop(output::write(file, text.as_bytes())?),
        }
    }
    if let Some(file) = &arguments.html {
        write_page(arguments, recorded, file.as_deref())?;
    }
    match arguments.markdown.is_none() && arguments.html.is_none() {
        true => arguments.print(&text::text(&recorded.run)),
        false => Ok(()),
    }
}

fn write_page(
    arguments: &ReportArguments,
    recorded: &Recorded,
    file: Option<&Path>,
) -> Result<(), CommandError> {
    let page = page::page(recorded).into_string();
    let directory = arguments.out.as_ref().unwrap_or(&arguments.directories[0]);
    let file = file.map_or_else(|| directory.join(PAGE_FILE), Path::to_owned);
    if output::write(&file, page.as_bytes())? {
        output::show(format!("{}\n", file.display()));
    }
    Ok(())
}
