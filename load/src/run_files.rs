//! A run in a directory: `run.json`, with the interval log in the same directory.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files::{self, FILE_BYTES_MAX, FileError};
use super::interval_log::{INTERVAL_LOG_FILE, IntervalLog};
use super::run::{RUN_FORMAT, Run};

/// Name of the file in a run's directory.
pub const RUN_FILE: &str = "run.json";

/// An error of writing or reading a run.
///
/// ```
/// use trunkline_load::{Run, RunFileError};
/// let directory = tempfile::tempdir()?;
/// std::fs::write(directory.path().join("run.json"), "{}")?;
/// let error = Run::read_from(directory.path()).unwrap_err();
/// assert!(matches!(error, RunFileError::Form { .. }));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum RunFileError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not the JSON of a run.
    #[error("{} is not a run", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The cause, with line and column.
        source: serde_json::Error,
    },
    /// A directory for a run holds other files.
    #[error("{} holds other files and no run; choose a new or empty directory", directory.display())]
    NotARun {
        /// The directory.
        directory: PathBuf,
    },
    /// A run has another format.
    #[error("{} has format {found}, this version reads {RUN_FORMAT}; use the version that wrote it", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Number of its format.
        found: u32,
    },
}

impl RunFileError {
    /// Returns a function that makes an error of this file's JSON.
    fn of_form(path: &Path) -> impl Fn(serde_json::Error) -> Self + Copy + '_ {
        move |source| Self::Form {
            path: path.to_owned(),
            source,
        }
    }
}

/// Returns whether a directory has only hidden entries and those that a file system puts into its root.
fn is_unused(directory: &Path) -> io::Result<bool> {
    let is_hidden =
        |name: &OsStr| name.as_encoded_bytes().starts_with(b".") || name == "lost+found";
    for entry in std::fs::read_dir(directory)? {
        if !is_hidden(&entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether a file is a run of any format.
fn holds_run(path: &Path) -> bool {
    let text = files::read_text(path, FILE_BYTES_MAX);
    text.is_ok_and(|text| serde_json::from_str::<Head>(&text).is_ok())
}

/// The beginning of a run of any format.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

impl Run {
    /// Writes [`RUN_FILE`] into a directory, which is created if missing. An older file stays until the new one is
    /// complete.
    pub fn write_to(&self, directory: &Path) -> Result<PathBuf, RunFileError> {
        let text = self.to_json(directory)?;
        Ok(files::write(directory, RUN_FILE, &text)?)
    }

    /// Writes [`RUN_FILE`] and the interval log into a directory, which is created if missing: both or none.
    ///
    /// ```
    /// use trunkline_load::{IntervalLog, RUN_FORMAT, Run};
    /// let directory = tempfile::tempdir()?;
    /// let run = Run { format: RUN_FORMAT, ..Run::default() };
    /// run.write_with(&IntervalLog::new(run.began_unix_ms), directory.path())?;
    /// assert_eq!(Run::read_from(directory.path())?, run);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_with(&self, log: &IntervalLog, directory: &Path) -> Result<(), RunFileError> {
        let run = self.to_json(directory)?;
        let files = [(INTERVAL_LOG_FILE, log.as_bytes()), (RUN_FILE, &run[..])];
        Ok(files::write_all(directory, &files)?)
    }

    /// Returns the content of the file in a directory.
    fn to_json(&self, directory: &Path) -> Result<Vec<u8>, RunFileError> {
        let text = serde_json::to_vec(self);
        let mut text = text.map_err(RunFileError::of_form(&directory.join(RUN_FILE)))?;
        text.push(b'\n');
        Ok(text)
    }

    /// Checks that a run can be written into a directory, which is created if missing, and that it is empty or holds a
    /// run, whose files will be replaced. Call it before hours of work.
    ///
    /// ```
    /// let file = tempfile::NamedTempFile::new()?;
    /// assert!(trunkline_load::Run::can_be_written_to(&file.path().join("run")).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn can_be_written_to(directory: &Path) -> Result<(), RunFileError> {
        let path = directory.join(RUN_FILE);
        let failed = FileError::of(&path);
        std::fs::create_dir_all(directory)
            .and_then(|()| tempfile::NamedTempFile::new_in(directory))
            .map_err(failed)?;
        if !is_unused(directory).map_err(failed)? && !holds_run(&path) {
            return Err(RunFileError::NotARun {
                directory: directory.to_owned(),
            });
        }
        Ok(())
    }

    /// Reads [`RUN_FILE`] from a directory.
    ///
    /// ```
    /// use trunkline_load::{RUN_FORMAT, Run};
    /// let directory = tempfile::tempdir()?;
    /// let run = Run { format: RUN_FORMAT, name: "first".into(), ..Run::default() };
    /// run.write_to(directory.path())?;
    /// assert_eq!(Run::read_from(directory.path())?, run);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_from(directory: &Path) -> Result<Self, RunFileError> {
        let path = directory.join(RUN_FILE);
        let text = files::read_text(&path, FILE_BYTES_MAX)?;
        let form = RunFileError::of_form(&path);
        let Head { format: found } = serde_json::from_str(&text).map_err(form)?;
        match found == RUN_FORMAT {
            true => serde_json::from_str(&text).map_err(form),
            false => Err(RunFileError::Format { path, found }),
        }
    }
}
