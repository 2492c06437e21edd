//! The parent process: rounds of pairs, each side in a child process of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::arguments::Arguments;
use crate::catalog::{Load, Off, RUNGS, Rung, SameRoot, Side, find};
use crate::error::LadderError;
use crate::figures::{Comparison, Figures, Outcome};
use crate::job::{EngineJob, Job, MicroJob, NaiveJob};
use crate::machine;
use crate::report::{Found, Report, Sample};
use crate::variant;

/// Returns the optimisations that were asked for by name or kind, or all of them.
pub(crate) fn selected(arguments: &Arguments) -> Result<Vec<&'static Rung>, LadderError> {
    for name in &arguments.only {
        find(name)?;
    }
    let is_named = |rung: &Rung| arguments.only.iter().any(|name| name == rung.name);
    let is_of_kind = |rung: &Rung| arguments.kind.contains(&rung.off.kind());
    let all = arguments.only.is_empty() && arguments.kind.is_empty();
    let wanted = |rung: &&Rung| all || is_named(rung) || is_of_kind(rung);
    Ok(RUNGS.iter().filter(wanted).collect())
}

/// Measures all rounds. After each pair it calls `keep` with the results so far. A failure is noted, and the other
/// measurements continue.
pub(crate) fn measure(
    arguments: &Arguments,
    keep: impl Fn(&Report) -> Result<(), LadderError>,
) -> Result<Report, LadderError> {
    let mut report = Report {
        machine: machine::look_around(&arguments.directory),
        keys: arguments.keys,
        operations: arguments.ops,
        naive_keys: arguments.naive_keys,
        samples: Vec::new(),
        failed: Vec::new(),
    };
    let mut rungs = Vec::new();
    for rung in selected(arguments)? {
        match variant::program(rung) {
            Ok(program) => rungs.push((rung, program)),
            Err(error) => note(&mut report, rung, &error),
        }
    }
    let bench = Bench::new(arguments)?;
    for round in 0..arguments.rounds {
        for (rung, program) in &rungs {
            match bench.pair(rung, program.as_deref(), round) {
                Ok(found) => {
                    say(rung, round, &found);
                    report.samples.push(Sample {
                        rung: rung.name.to_owned(),
                        round,
                        found,
                    });
                }
                Err(error) => note(&mut report, rung, &error),
            }
            keep(&report)?;
        }
    }
    Ok(report)
}

fn note(report: &mut Report, rung: &Rung, error: &LadderError) {
    let text = format!("{}: {error}", rung.name);
    eprintln!("{text}");
    if !report.failed.contains(&text) {
        report.failed.push(text);
    }
}

fn say(rung: &Rung, round: u32, found: &Found) {
    let (with, without) = found.sides(rung.measure);
    eprintln!(
        "round {} {}: {with:.1} with, {without:.1} without ({}): {:.2}×",
        round + 1,
        rung.name,
        found.unit(rung.measure),
        found.factor(rung.measure),
    );
}

/// The parts that all pairs of an invocation share.
struct Bench<'a> {
    arguments: &'a Arguments,
    this_program: PathBuf,
    /// A file with the KZG tables, for all runs except those that must compute them.
    tables: PathBuf,
    _directory: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    fn new(arguments: &'a Arguments) -> Result<Self, LadderError> {
        let directory = tempfile::Builder::new()
            .prefix("ladder-tables-")
            .tempdir_in(&arguments.directory)
            .map_err(LadderError::file(&arguments.directory))?;
        let this_program = std::env::current_exe().map_err(|source| LadderError::Program {
            program: "this program",
            source,
        })?;
        let bench = Self {
            arguments,
            this_program,
            tables: directory.path().join("KZG-TABLES"),
            _directory: directory,
        };
        // The first run that opens an engine makes the file.
        let opening = Side {
            settings: &[],
            load: Load {
                batch: 1,
                in_flight: 1,
                operations_max: 0,
                preload: false,
            },
            environment: &[],
            one_core: false,
            tables_kept: true,
        };
        bench.engine(&opening, None)?;
        Ok(bench)
    }

    /// Measures both sides, one directly after the other. The order alternates from round to round.
    fn pair(&self, rung: &Rung, program: Option<&Path>, round: u32) -> Result<Found, LadderError> {
        let with_first = round.is_multiple_of(2);
        let (with, without) = match &rung.off {
            Off::Micro(_) => return Ok(Found::Comparison(self.micro(rung)?)),
            Off::Naive(side) => in_order(with_first, || self.engine(side, None), || self.naive())?,
            Off::Config(with, without) => in_order(
                with_first,
                || self.engine(with, None),
                || self.engine(without, None),
            )?,
            Off::Build(side, _) | Off::Patch(side, _) => in_order(
                with_first,
                || self.engine(side, None),
                || self.engine(side, program),
            )?,
        };
        if has_same_root(&rung.off) && with.root != without.root {
            return Err(LadderError::Differs {
                what: "the root without it",
            });
        }
        Ok(Found::Runs {
            with: Box::new(with),
            without: Box::new(without),
        })
    }

    fn engine(&self, side: &Side, program: Option<&Path>) -> Result<Figures, LadderError> {
        let mut settings: Vec<String> = side.settings.iter().map(ToString::to_string).collect();
        if side.tables_kept {
            settings.push(format!("kzg.tables_path={}", self.tables.display()));
        }
        let job = Job::Engine(EngineJob {
            directory: self.arguments.directory.clone(),
            settings,
            keys: if side.load.preload {
                self.arguments.keys
            } else {
                0
            },
            operations: self.arguments.ops.min(side.load.operations_max),
            batch: side.load.batch,
            in_flight: side.load.in_flight,
            reads: self.arguments.reads,
        });
        self.run(&job, program, side)
    }

    fn naive(&self) -> Result<Figures, LadderError> {
        let job = Job::Naive(NaiveJob {
            directory: self.arguments.directory.clone(),
            keys: self.arguments.naive_keys,
            puts: self.arguments.naive_puts,
        });
        match in_child(&mut Command::new(&self.this_program), &job)? {
            Outcome::Run(figures) => Ok(figures),
            Outcome::Comparison(_) => Err(unexpected()),
        }
    }

    fn micro(&self, rung: &Rung) -> Result<Comparison, LadderError> {
        let job = Job::Micro(MicroJob {
            name: rung.name.to_owned(),
            directory: self.arguments.directory.clone(),
            keys: self.arguments.keys,
        });
        match in_child(&mut Command::new(&self.this_program), &job)? {
            Outcome::Comparison(comparison) => Ok(comparison),
            Outcome::Run(_) => Err(unexpected()),
        }
    }

    fn run(&self, job: &Job, program: Option<&Path>, side: &Side) -> Result<Figures, LadderError> {
        let program = program.unwrap_or(&self.this_program);
        let mut command = Command::new(program);
        if side.one_core {
            command = Command::new("taskset");
            command.args(["--cpu-list", "0"]).arg(program);
        }
        command.envs(side.environment.iter().copied());
        match in_child(&mut command, job)? {
            Outcome::Run(figures) => Ok(figures),
            Outcome::Comparison(_) => Err(unexpected()),
        }
    }
}

fn in_order<T>(
    with_first: bool,
    with: impl Fn() -> Result<T, LadderError>,
    without: impl Fn() -> Result<T, LadderError>,
) -> Result<(T, T), LadderError> {
    if with_first {
        return Ok((with()?, without()?));
    }
    let without = without()?;
    Ok((with()?, without))
}

/// Returns whether both sides end in the same state and compute the same root of it.
fn has_same_root(off: &Off) -> bool {
    match off {
        Off::Naive(_) | Off::Micro(_) => false,
        Off::Build(..) => true,
        Off::Patch(_, same) => *same == SameRoot::Yes,
        Off::Config(with, without) => {
            let work = |load: &Load| (load.batch, load.operations_max, load.preload);
            work(&with.load) == work(&without.load)
        }
    }
}

fn unexpected() -> LadderError {
    LadderError::at("run a child")("it answered another question")
}

fn in_child(command: &mut Command, job: &Job) -> Result<Outcome, LadderError> {
    // Earlier runs may have left data to be written back, which would count in this one.
    let _ = Command::new("sync").status();
    // Freed memory is reused instead of being faulted in again, unless a side says otherwise.
    let says_otherwise = command
        .get_envs()
        .any(|(name, _)| name == "MIMALLOC_PURGE_DELAY");
    if !says_otherwise {
        command.env("MIMALLOC_PURGE_DELAY", "1000");
    }
    let output = command
        .arg("run")
        .arg(serde_json::to_string(job)?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| LadderError::Program {
            program: "a run (taskset, if it is on one core)",
            source,
        })?;
    if !output.status.success() {
        return Err(LadderError::ProgramFailed {
            program: "a run",
            status: output.status,
            message: "its own message is above".to_owned(),
        });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().next_back().unwrap_or_default();
    Ok(serde_json::from_str(last)?)
}
