//! Errors of a measurement.

use std::path::PathBuf;
use std::process::ExitStatus;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// An error that ends a measurement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LadderError {
    /// The measured program returned an error.
    #[error("it failed at: {step}")]
    Measured {
        /// The step that failed.
        step: &'static str,
        /// The error of the measured program.
        #[source]
        source: Source,
    },
    /// A read returned a wrong value: the engine lost or changed something, and its figures would mean nothing.
    #[error("a {read} read returned something other than what was written")]
    WrongRead {
        /// The kind of read: `present` or `absent`.
        read: &'static str,
    },
    /// Two ways to compute the same thing gave different results.
    #[error("{what} differs from the expected result, so the figures would mean nothing")]
    Differs {
        /// The result that was compared.
        what: &'static str,
    },
    /// A name that is in no table.
    #[error("there is no \"{0}\"; `ladder list` lists the names")]
    NoSuchName(String),
    /// A patch does not apply to the current sources.
    #[error(
        "patches/{name}.patch no longer applies to the sources: rewrite it or leave it out\n{message}"
    )]
    PatchDoesNotApply {
        /// The name of the patch.
        name: String,
        /// The message from git.
        message: String,
    },
    /// The patched sources do not compile.
    #[error("the engine could not be built for {name}; see the compiler's messages above")]
    Build {
        /// The name of the variant.
        name: String,
    },
    /// A program could not be run.
    #[error("{program} could not be run")]
    Program {
        /// The name of the program.
        program: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A program exited with an error.
    #[error("{program} exited with {status}: {message}")]
    ProgramFailed {
        /// The name of the program.
        program: &'static str,
        /// The exit status.
        status: ExitStatus,
        /// The program's error output.
        message: String,
    },
    /// A file or directory could not be used.
    #[error("{path} could not be read or written")]
    File {
        /// The path of the file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A message between the parent and a child process is not valid JSON.
    #[error("the job or the figures of a run are not valid JSON")]
    Json(#[from] serde_json::Error),
}

impl LadderError {
    /// Converts an error of the measured program at a step, for `map_err`.
    pub(crate) fn at<E: Into<Source>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Measured {
            step,
            source: source.into(),
        }
    }

    /// Converts an error of a file, for `map_err`.
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
