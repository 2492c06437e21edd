//! `load`: runs a workload against an engine, reports on it, and proves a sample of the written keys.
//!
//! `trunkline_load` runs the load. Here `plan` makes a plan from the arguments, `watch` shows the progress, `report`
//! formats the results, `measured` the engine's own figures, `metrics_file` those for Prometheus, and `check` proves
//! keys. `subject` is the target of the load: an engine in this process, or a running service, whose client is
//! `service`. The expected value of each key is known without the engine: the load's records derive values from the
//! seed and count the writes of each key.

mod check;
mod measured;
mod metrics_file;
pub(crate) mod plan;
mod report;
mod service;
mod subject;
mod watch;

use std::path::{Path, PathBuf};

use clap::Args;
use trunkline::Engine;
use trunkline_load::{
    INTERVAL_LOG_FILE, Load, LoadError, Outcome, Plan, Progress, PrometheusText, RUN_FILE, Run,
    TRACE_HEAD, Threshold, may_replace,
};

use crate::arguments::PlanArguments;
use crate::configuration::SettingsArguments;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::serve::Companion;
use crate::temporary::Temporary;
use crate::tui::Screen;
use crate::{Exit, configuration, junit, output, thresholds};

use check::Checks;
use metrics_file::MetricsFile;
pub(crate) use service::ServiceError;
use service::{Service, ServiceArguments};
use subject::Subject;
use watch::Watch;

/// Arguments of `load`. Flags that are not given keep the value of the plan.
#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// Directory of the engine, created if missing. Default: a temporary one, removed at the end.
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    service: ServiceArguments,
    #[command(flatten)]
    plan: PlanArguments,

    /// Write the operations of the run to a file.
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Run the recorded operations of a file at their recorded times, instead of a workload.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "rate", "rate_share", "phases", "keys", "value_bytes", "workload", "dist", "duration", "ops"
    ])]
    replay: Option<PathBuf>,
    /// Speed of the replay, as a factor [default: 1].
    #[arg(long, value_name = "FACTOR", requires = "replay")]
    replay_speed: Option<f64>,

    /// Serve the engine at this address while it is loaded, with its status page, such as 127.0.0.1:7460.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "target")]
    serve: Option<String>,

    /// Number of keys to prove at the end, half of them absent.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    proofs: u32,
    /// Directory for the results of the run: run.json and latency.hlog.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Threshold for a figure, such as update.p99<50ms, throughput>100k, dropped<0.1% or failed<1. If it is not met,
    /// the exit code is 4. May be repeated, and replaces the plan's thresholds of the same metric. plans/default.toml
    /// lists the metrics and units.
    #[arg(long = "threshold", value_name = "THRESHOLD")]
    thresholds: Vec<Threshold>,
    /// Write a JUnit XML file with one test case for the run and one for each threshold.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Rewrite a file each second with the figures in the text format of Prometheus, such as
    /// trunkline.prom in the directory of the node exporter's textfile collector.
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,
    /// Show the run on the whole terminal; q stops it.
    #[arg(long, conflicts_with = "json")]
    tui: bool,
    /// Print only the totals of the run, as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(crate) fn run(arguments: &LoadArguments) -> Result<Exit, CommandError> {
    let mut plan = plan::of(&arguments.plan)?;
    thresholds::lay_over(&arguments.thresholds, &mut plan.thresholds);
    plan.validate()?;
    if arguments.replay.is_none() {
        plan.validate_thresholds()?;
    }
    if arguments.tui {
        Screen::check()?;
    }
    check_outputs(arguments)?;
    match &arguments.service.target {
        Some(url) => on_service(arguments, &plan, url),
        None => on_engine(arguments, &plan),
    }
}

/// Loads a running service.
fn on_service(arguments: &LoadArguments, plan: &Plan, url: &str) -> Result<Exit, CommandError> {
    let service = Service::connect(&arguments.service, url)?;
    let interrupt = Interrupt::listen()?;
    if !arguments.json {
        output::show(report::head(arguments, plan, Path::new("")));
    }
    work(arguments, plan, Subject::Service(&service), &interrupt)
}

/// Loads an engine in this process.
fn on_engine(arguments: &LoadArguments, plan: &Plan) -> Result<Exit, CommandError> {
    let mut config = configuration::layers(&arguments.settings)?.build()?;
    let interrupt = Interrupt::listen()?;
    let temporary = match &arguments.dir {
        Some(_) => None,
        None => Some(Temporary::new(None)?),
    };
    let of_temporary = temporary.as_ref().map(Temporary::path);
    let directory = arguments.dir.as_deref().or(of_temporary);
    let directory = directory.unwrap_or(Path::new("")).to_owned();
    config.engine.directory.clone_from(&directory);
    if !arguments.json {
        output::show(report::head(arguments, plan, &directory));
    }

    let engine = configuration::open_watching(&arguments.settings, config)?;
    let exit = companion(arguments, &engine)
        .and_then(|_served| work(arguments, plan, Subject::Engine(&engine), &interrupt));
    let closed = engine.shutdown_blocking();
    drop(engine);
    let cleared = temporary.map_or(Ok(()), Temporary::remove);

    let exit = exit?;
    closed?;
    cleared?;
    Ok(exit)
}

/// Serves the engine while it is loaded, if requested.
fn companion(
    arguments: &LoadArguments,
    engine: &Engine,
) -> Result<Option<Companion>, CommandError> {
    let address = arguments.serve.as_deref();
    address
        .map(|address| Companion::start(engine, address))
        .transpose()
}

/// Checks that all outputs can be written and replace nothing else, before the run rather than hours later.
fn check_outputs(arguments: &LoadArguments) -> Result<(), CommandError> {
    let inputs = || arguments.plan.inputs().chain(arguments.settings.input());
    if let Some(directory) = &arguments.out {
        Run::can_be_written_to(directory)?;
        let file = directory.join(RUN_FILE);
        output::check_apart(directory, inputs().chain(&arguments.dir))?;
        output::check_apart(&file, inputs())?;
    }
    let files = [
        (&arguments.record, TRACE_HEAD),
        (&arguments.junit, junit::HEAD),
        (&arguments.metrics_file, PrometheusText::HEAD),
    ];
    let mut written: Vec<&PathBuf> = Vec::new();
    for (file, head) in files {
        let Some(file) = file else { continue };
        output::check_apart(file, inputs())?;
        may_replace(file, head)?;
        let is_of_run = |name: &str| file.ends_with(name);
        let is_in_run = arguments.out.as_deref() == file.parent()
            && [RUN_FILE, INTERVAL_LOG_FILE].into_iter().any(is_of_run);
        if is_in_run || written.contains(&file) {
            return Err(CommandError::OutputTwice(file.clone()));
        }
        written.push(file);
    }
    Ok(())
}

fn work(
    arguments: &LoadArguments,
    plan: &Plan,
    subject: Subject<'_>,
    interrupt: &Interrupt,
) -> Result<Exit, CommandError> {
    let Carried { outcome, trouble } = carry_out(arguments, plan, subject, interrupt)?;
    // The run is written first, so that it is kept whatever fails later.
    let kept = keep(arguments, &outcome, trouble.is_some());
    let checked = match &trouble {
        Some(_) => Ok(None),
        None => checked(arguments, &outcome, subject),
    };
    let checks = checked.as_ref().ok().and_then(Option::as_ref);
    let judged = judge(arguments, &outcome, &checked);
    let shown = show(arguments, &outcome, subject, checks);
    if let Some(trouble) = trouble {
        // The command ends with the first error and prints the later ones.
        for error in [kept.err(), judged.err(), shown.err()]
            .into_iter()
            .flatten()
        {
            output::tell_error("also", &error);
        }
        return Err(trouble);
    }
    shown?;
    kept?;
    judged?;
    Ok(match checked? {
        None => Exit::Interrupted,
        Some(checks) if checks.all_hold() => thresholds::exit(&outcome.run.thresholds),
        Some(_) => Exit::Failed,
    })
}

/// Writes the JUnit file, if one was requested.
fn judge(
    arguments: &LoadArguments,
    outcome: &Outcome,
    checked: &Result<Option<Checks>, CommandError>,
) -> Result<(), CommandError> {
    let Some(file) = &arguments.junit else {
        return Ok(());
    };
    let problems = match checked {
        Ok(Some(checks)) => checks.failures(),
        Ok(None) => Vec::new(),
        Err(error) => vec![trunkline_load::error_chain(error)],
    };
    let xml = junit::xml(&outcome.run, &problems)?;
    output::write(file, xml.as_bytes()).map(drop)
}

/// Writes the run to the output directory, if there is one.
fn keep(arguments: &LoadArguments, outcome: &Outcome, is_broken: bool) -> Result<(), CommandError> {
    let Some(directory) = &arguments.out else {
        return Ok(());
    };
    outcome.write_to(directory)?;
    if is_broken {
        output::tell(format!(
            "the figures until the failure are in {}",
            directory.display()
        ));
    }
    Ok(())
}

fn checked(
    arguments: &LoadArguments,
    outcome: &Outcome,
    subject: Subject<'_>,
) -> Result<Option<Checks>, CommandError> {
    let state = subject.settle()?;
    match outcome.is_interrupted {
        true => Ok(None),
        false => check::check(outcome, arguments.proofs as usize, &state).map(Some),
    }
}

fn show(
    arguments: &LoadArguments,
    outcome: &Outcome,
    subject: Subject<'_>,
    checks: Option<&Checks>,
) -> Result<(), CommandError> {
    // The figures are shown even if the service is no longer available.
    let root = subject.root();
    if arguments.json {
        let none = Checks::default();
        let json = report::json(outcome, root.as_ref().ok(), checks.unwrap_or(&none));
        match arguments.out {
            Some(_) => output::show_json(&json),
            None => output::show_measured(&output::json_text(&json)?),
        }
        return Ok(());
    }
    output::show(report::figures(outcome, subject.metrics().as_ref())?);
    match &root {
        Ok(root) => output::show(format!("\nlast root\n{}\n", output::root_lines(root))),
        Err(error) => output::tell_error("warning", error),
    }
    output::show(match checks {
        Some(checks) => checks.to_string(),
        None if outcome.is_interrupted => "interrupted: nothing was checked\n".to_owned(),
        None => "nothing was checked\n".to_owned(),
    });
    let thresholds = thresholds::text(&outcome.run.thresholds);
    if !thresholds.is_empty() {
        output::show(format!("\n{thresholds}"));
    }
    Ok(())
}

/// A finished load, complete or not.
struct Carried {
    outcome: Outcome,
    /// The error that ended the load early.
    trouble: Option<CommandError>,
}

fn carry_out(
    arguments: &LoadArguments,
    plan: &Plan,
    subject: Subject<'_>,
    interrupt: &Interrupt,
) -> Result<Carried, CommandError> {
    let mut watch = Watch::new(arguments.tui)?;
    let metrics_file = arguments.metrics_file.as_deref();
    let mut metrics_file = metrics_file.map(|path| MetricsFile::new(path, &plan.name));
    let mut observer = |progress: &Progress<'_>| {
        if let Some(file) = &mut metrics_file {
            file.observe(progress);
        }
        if watch.show(progress) {
            interrupt.request();
        }
    };
    let mut load = Load::new(plan, subject.target())?
        .revision(env!("GIT_REVISION"))
        .stop(interrupt.flag())
        .observer(&mut observer);
    if let Some(path) = &arguments.record {
        load = load.record(path);
    }
    if let Some(path) = &arguments.replay {
        load = load.replay(path, arguments.replay_speed.unwrap_or(1.0))?;
    }
    let run = load.run();
    let carried = match run {
        Err(LoadError::BrokenOff(broken)) => Carried {
            outcome: broken.outcome,
            trouble: Some(CommandError::BrokenOff(Box::new(broken.source))),
        },
        run => Carried {
            outcome: run?,
            trouble: None,
        },
    };
    watch.end(&carried.outcome.run.decisions);
    if let Some(file) = metrics_file {
        file.end(&carried.outcome.run);
    }
    Ok(carried)
}
