//! What ends a measurement.

use std::path::PathBuf;
use std::process::ExitStatus;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no factor.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LadderError {
    /// Something that is measured gave an error.
    #[error("it failed at: {step}")]
    Measured {
        /// What was asked of it.
        step: &'static str,
        /// Its own error.
        #[source]
        source: Source,
    },
    /// The engine lost or changed something: its figures would mean nothing.
    #[error("a {read} read gave something else than was written")]
    WrongRead {
        /// `present` or `absent`.
        read: &'static str,
    },
    /// Two ways to the same thing gave two things.
    #[error("{what} differs from what it has to be: the figures would mean nothing")]
    Differs {
        /// What was compared.
        what: &'static str,
    },
    /// A name that is in no table.
    #[error("there is no \"{0}\"; `ladder list` says what there is")]
    NoSuchName(String),
    /// A patch does not fit the sources as they are.
    #[error(
        "patches/{name}.patch no longer applies to the sources: write it anew, or leave it out\n{message}"
    )]
    PatchDoesNotApply {
        /// Its name.
        name: String,
        /// What git said.
        message: String,
    },
    /// The patched sources don't compile.
    #[error("the engine did not build for {name}; what the compiler said is above")]
    Build {
        /// Which variant.
        name: String,
    },
    /// A program could not be run.
    #[error("{program} could not be run")]
    Program {
        /// Which.
        program: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A program ended badly.
    #[error("{program} ended with {status}: {message}")]
    ProgramFailed {
        /// Which.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        message: String,
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
    /// What goes between the processes was unreadable.
    #[error("a run's figures or order are unreadable")]
    Json(#[from] serde_json::Error),
}

impl LadderError {
    /// For `map_err`: what is measured failed at a step.
    pub(crate) fn at<E: Into<Source>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Measured {
            step,
            source: source.into(),
        }
    }

    /// For `map_err`: a file could not be used.
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
