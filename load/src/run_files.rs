//! A run in a directory: `run.json`, with the interval log in the same directory.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files::{self, FILE_BYTES_MAX, FileError};
use super::run::{RUN_FORMAT, Run};

/// Name of the file in a run's directory.
pub const RUN_FILE: &str = "run.json";

/// Why a run cannot be written or read.
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
        /// Why, with line and column.
        source: serde_json::Error,
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
    /// Returns what makes an error of this file's JSON.
    fn of_form(path: &Path) -> impl Fn(serde_json::Error) -> Self + Copy + '_ {
        move |source| Self::Form {
            path: path.to_owned(),
            source,
        }
    }
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
        let text = serde_json::to_vec(self);
        let mut text = text.map_err(RunFileError::of_form(&directory.join(RUN_FILE)))?;
        text.push(b'\n');
        Ok(files::write(directory, RUN_FILE, &text)?)
    }

    /// Checks that a run can be written into a directory, which is created if missing. Call it before hours of work.
    ///
    /// ```
    /// let file = tempfile::NamedTempFile::new()?;
    /// assert!(trunkline_load::Run::can_be_written_to(&file.path().join("run")).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn can_be_written_to(directory: &Path) -> Result<(), RunFileError> {
        std::fs::create_dir_all(directory)
            .and_then(|()| tempfile::NamedTempFile::new_in(directory))
            .map_err(FileError::of(&directory.join(RUN_FILE)))?;
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
