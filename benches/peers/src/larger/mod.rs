//! States larger than memory: each engine is filled once without a limit, and then runs inside a control group.
//!
//! The parent makes the group and reads its peak; the child enters it before it opens the engine. Each phase lasts a
//! fixed time. A key has the value of the fill or that of an update, whatever ran before, so that a filled state can be
//! used again.

mod cgroup;
mod choice;
mod measured;
mod report;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::engines::EngineKind;
use crate::error::BenchError;
use crate::job::{Job, Line};
use crate::workload::Fresh;
use cgroup::MemoryGroup;
use measured::Measured;
pub(crate) use measured::measure_in_child;

/// A compared engine.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// trunkline with a budget, inside the limit.
    Trunkline,
    /// trunkline without a budget and without the limit.
    TrunklineUnbounded,
    /// NOMT inside the limit.
    Nomt,
}

impl Contender {
    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn engine(self) -> EngineKind {
        match self {
            Self::Trunkline | Self::TrunklineUnbounded => EngineKind::Trunkline,
            Self::Nomt => EngineKind::Nomt,
        }
    }
}

/// A step of the measurement.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Step {
    /// Fills a state, untimed and without a limit.
    Fill,
    /// Measures a filled state.
    Measure,
    /// Both; removes the state afterwards.
    All,
}

/// Options of `peers larger`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Engines to compare, in this order.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "trunkline,nomt"
    )]
    contender: Vec<Contender>,
    /// Keys of the state.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1_000_000..))]
    keys: u64,
    /// Memory of the process, page cache included, bytes. The default is a GiB for 30,000,000 keys.
    #[arg(long)]
    memory_max: Option<u64>,
    /// trunkline's `memory.budget_bytes`; half of the limit without it.
    #[arg(long)]
    budget: Option<u64>,
    /// A setting of trunkline that differs from its default: section.key=value. Can be repeated.
    #[arg(long = "set", value_name = "SETTING")]
    settings: Vec<String>,
    /// Puts in a batch.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    batch: u64,
    /// Submissions in flight for trunkline; NOMT has one.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1024))]
    in_flight: u64,
    /// Duration of each phase, seconds.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Step to run. Single steps take less time at once.
    #[arg(long, value_enum, default_value_t = Step::All)]
    step: Step,
    /// Directory for the states, on the disk to measure.
    #[arg(long, default_value = ".")]
    directory: PathBuf,
    /// A file for all figures.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

/// The work of a child.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct LargerJob {
    /// The engine, its keys and settings.
    job: Job,
    /// The group to enter; none to fill.
    group: Option<PathBuf>,
    /// Length of each phase, seconds; none to fill.
    seconds: Option<u64>,
}

/// The figures of one contender.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct LargerRun {
    contender: Contender,
    keys: u64,
    memory_max: u64,
    budget: u64,
    measured: Measured,
    /// The peak of the group's bytes; 0 without a group.
    group_peak_bytes: u64,
}

/// Runs every contender, and returns the figures of those that were measured.
pub(crate) fn run(options: &Options) -> Result<Vec<LargerRun>, BenchError> {
    let mut runs = Vec::new();
    for &contender in &options.contender {
        let state = options.state(contender);
        if options.step != Step::Measure {
            options.fill(contender)?;
        }
        if options.step != Step::Fill {
            runs.push(options.measure(contender)?);
        }
        if options.step == Step::All {
            std::fs::remove_dir_all(&state).map_err(|source| BenchError::File {
                path: state,
                source,
            })?;
        }
    }
    Ok(runs)
}

pub(crate) use report::markdown;

impl Options {
    fn memory_max(&self) -> u64 {
        const KEYS_OF_A_GIB: u64 = 30_000_000;
        let of_keys = self.keys.saturating_mul(1 << 30) / KEYS_OF_A_GIB;
        self.memory_max.unwrap_or(of_keys)
    }

    fn budget(&self) -> u64 {
        self.budget.unwrap_or(self.memory_max() / 2)
    }

    /// Returns the directory of a state. The two forms of trunkline share one.
    fn state(&self, contender: Contender) -> PathBuf {
        let engine = contender.engine().name();
        self.directory
            .join(format!("larger-{engine}-{}", self.keys))
    }

    fn job(&self, contender: Contender) -> Job {
        let engine = contender.engine();
        let mut settings = self.settings.clone();
        if contender == Contender::Trunkline {
            settings.insert(0, format!("memory.budget_bytes={}", self.budget()));
        }
        Job {
            line: Line {
                engine,
                in_flight: engine.in_flight(self.in_flight as usize),
                tasks: None,
            },
            directory: self.state(contender),
            keys: self.keys,
            operations: 0,
            fresh: Fresh::None,
            batch: self.batch,
            preload_batch: 50_000,
            settings,
            reads: 0,
            proofs: 0,
            schedule: None,
            cache_bytes: Some(self.memory_max() / 4 * 3),
        }
    }

    fn fill(&self, contender: Contender) -> Result<(), BenchError> {
        let path = self.state(contender);
        std::fs::create_dir_all(&path).map_err(|source| BenchError::File { path, source })?;
        let mut job = self.job(match contender {
            Contender::Trunkline => Contender::TrunklineUnbounded,
            other => other,
        });
        job.cache_bytes = None;
        let filled = in_child(&LargerJob {
            job,
            group: None,
            seconds: None,
        })?;
        eprintln!(
            "{} filled in {:.0} s",
            contender.name(),
            filled.fill_seconds
        );
        Ok(())
    }

    fn measure(&self, contender: Contender) -> Result<LargerRun, BenchError> {
        cgroup::drop_page_cache()?;
        let group = match contender {
            Contender::TrunklineUnbounded => None,
            _ => Some(MemoryGroup::create(self.memory_max())?),
        };
        let measured = in_child(&LargerJob {
            job: self.job(contender),
            group: group.as_ref().map(|group| group.directory().to_owned()),
            seconds: Some(self.seconds),
        })?;
        let run = LargerRun {
            contender,
            keys: self.keys,
            memory_max: group.as_ref().map_or(0, |_| self.memory_max()),
            budget: match contender {
                Contender::Trunkline => self.budget(),
                _ => 0,
            },
            measured,
            group_peak_bytes: group.as_ref().map_or(0, MemoryGroup::peak_bytes),
        };
        eprintln!("{}", report::row(&run));
        Ok(run)
    }
}

fn in_child(job: &LargerJob) -> Result<Measured, BenchError> {
    let program = std::env::current_exe().map_err(BenchError::Process)?;
    let output = Command::new(program)
        .arg("run-larger")
        .arg(serde_json::to_string(job)?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(BenchError::Process)?;
    if !output.status.success() {
        return Err(BenchError::RunFailed {
            line: job.job.line.to_string(),
            status: output.status,
        });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().next_back().unwrap_or_default();
    Ok(serde_json::from_str(last)?)
}
