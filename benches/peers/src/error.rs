//! The errors of a measurement.

use std::path::PathBuf;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The reason why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// An engine returned an error.
    #[error("the engine failed at: {step}")]
    Engine {
        /// The failed step.
        step: &'static str,
        /// The error of the engine.
        #[source]
        source: Source,
    },
    /// An engine lost or changed a value: its figures would be meaningless.
    #[error("a {read} read returned something other than what was written")]
    WrongRead {
        /// `present` or `absent`.
        read: &'static str,
    },
    /// An engine's proof was refused.
    #[error("a proof ({kind}) did not verify")]
    ProofRefused {
        /// The kind of the proof.
        kind: &'static str,
    },
    /// An engine's proof was accepted for a wrong value.
    #[error("a proof ({kind}) verified for another value as well")]
    ProofShowsAnything {
        /// The kind of the proof.
        kind: &'static str,
    },
    /// The engine is behind a cargo feature.
    #[error("{engine} is not in this build; build with --features {feature}, or --features all")]
    NotBuilt {
        /// The engine.
        engine: String,
        /// The feature that it needs.
        feature: &'static str,
    },
    /// Neither version of control groups limits memory here.
    #[error(
        "{path} could not be made a control group with a memory limit; run as root on Linux, where version 2 has the memory controller or version 1 is mounted at /sys/fs/cgroup/memory"
    )]
    NoMemoryLimit {
        /// The directory of the group.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file or directory could not be used.
    #[error("{path} could not be used")]
    File {
        /// The path of the file or directory.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The process for a run could not be started, or its output not read.
    #[error("the process for a run could not be started")]
    Process(#[source] std::io::Error),
    /// The process for a run ended without figures.
    #[error("the process for a run of {line} ended with {status}; its own message is above")]
    RunFailed {
        /// The line that the process ran.
        line: String,
        /// The exit status of the process.
        status: std::process::ExitStatus,
    },
    /// The messages between the processes could not be read.
    #[error("a run's job or figures cannot be read")]
    Json(#[from] serde_json::Error),
    /// A latency is larger than the histogram allows.
    #[error("a latency is beyond an hour")]
    Latency(#[from] hdrhistogram::RecordError),
}

impl BenchError {
    /// Returns a function for `map_err`, for an engine that failed at a step.
    pub(crate) fn at<E: Into<Source>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Engine {
            step,
            source: source.into(),
        }
    }
}
