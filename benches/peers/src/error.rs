//! What ends a measurement.

use std::path::PathBuf;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// An engine gave an error.
    #[error("the engine failed at: {step}")]
    Engine {
        /// What was asked of it.
        step: &'static str,
        /// Its own error.
        #[source]
        source: Source,
    },
    /// An engine lost or changed something: its figures would mean nothing.
    #[error("a {read} read gave something else than was written")]
    WrongRead {
        /// `present` or `absent`.
        read: &'static str,
    },
    /// An engine's proof did not hold.
    #[error("a proof ({kind}) did not verify")]
    ProofRefused {
        /// Which of its kinds.
        kind: &'static str,
    },
    /// An engine's proof held for what is not so.
    #[error("a proof ({kind}) verified for another value as well")]
    ProofShowsAnything {
        /// Which of its kinds.
        kind: &'static str,
    },
    /// The engine is behind a cargo feature.
    #[error("{engine} is not in this build; build with --features {feature}, or --features all")]
    NotBuilt {
        /// The engine.
        engine: String,
        /// The feature it needs.
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
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The process for a run could not be started or heard.
    #[error("the process for a run could not be started")]
    Process(#[source] std::io::Error),
    /// The process for a run ended without figures.
    #[error("the process for a run of {line} ended with {status}; its own message is above")]
    RunFailed {
        /// Which line it ran.
        line: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// What goes between the processes was unreadable.
    #[error("a run's figures or order are unreadable")]
    Json(#[from] serde_json::Error),
    /// A latency beyond what the histogram holds.
    #[error("a latency is beyond an hour")]
    Latency(#[from] hdrhistogram::RecordError),
}

impl BenchError {
    /// For `map_err`: an engine failed at a step.
    pub(crate) fn at<E: Into<Source>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Engine {
            step,
            source: source.into(),
        }
    }
}
