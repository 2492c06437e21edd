//! A run in a directory: `run.json`, and the interval log beside it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::run::{RUN_FORMAT, Run};

/// Name of the file in a run's directory.
pub const RUN_FILE: &str = "run.json";

/// Bytes of the longest file of a run that is read.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// Why a run can't be written or read.
///
/// ```
/// let error = trunkline_load::Run::read_from("/nowhere".as_ref()).unwrap_err();
/// assert_eq!(error.to_string(), "cannot use /nowhere/run.json");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum RunFileError {
    /// A file can't be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is longer than any run.
    #[error("{} is longer than {bytes_max} bytes; check the path", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// It is no JSON of a run.
    #[error("{} is not a run", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Why, with line and column.
        source: serde_json::Error,
    },
    /// It is of another form.
    #[error("{} has format {found}, this version reads {RUN_FORMAT}; use the version that wrote it", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Number of its form.
        found: u32,
    },
}

/// What every form of a run begins with.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

impl Run {
    /// Writes [`RUN_FILE`] into a directory, which is created if missing. The old file stays until the new one is
    /// whole.
    pub fn write_to(&self, directory: &Path) -> Result<PathBuf, RunFileError> {
        let mut text = serde_json::to_vec(self).map_err(|source| RunFileError::Form {
            path: directory.join(RUN_FILE),
            source,
        })?;
        text.push(b'\n');
        write_file(directory, RUN_FILE, &text)
    }

    /// Whether a run can be written into a directory, which is created if missing: to be asked before hours of work.
    ///
    /// ```
    /// let file = tempfile::NamedTempFile::new()?;
    /// assert!(trunkline_load::Run::can_be_written_to(&file.path().join("run")).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn can_be_written_to(directory: &Path) -> Result<(), RunFileError> {
        let tried = std::fs::create_dir_all(directory)
            .and_then(|()| tempfile::NamedTempFile::new_in(directory));
        match tried {
            Ok(_) => Ok(()),
            Err(source) => Err(RunFileError::File {
                path: directory.join(RUN_FILE),
                source,
            }),
        }
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
        let text = read_file(&path, FILE_BYTES_MAX)?;
        let form = |source| RunFileError::Form {
            path: path.clone(),
            source,
        };
        let head: Head = serde_json::from_slice(&text).map_err(form)?;
        if head.format != RUN_FORMAT {
            let found = head.format;
            return Err(RunFileError::Format { path, found });
        }
        serde_json::from_slice(&text).map_err(form)
    }
}

/// Writes a file beside its final place, then puts it there.
pub(crate) fn write_file(
    directory: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<PathBuf, RunFileError> {
    let path = directory.join(name);
    let failed = |source| RunFileError::File {
        path: path.clone(),
        source,
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    readable_by_all(file.as_file()).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(path)
}

/// As other files are made: temporary ones are readable by their owner alone.
#[cfg(unix)]
fn readable_by_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_file: &File) -> io::Result<()> {
    Ok(())
}

pub(crate) fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, RunFileError> {
    let failed = |source| RunFileError::File {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let too_long = || RunFileError::TooLong {
        path: path.to_owned(),
        bytes_max,
    };
    // Said before anything is read, where the system knows.
    if file.metadata().map_err(failed)?.len() > bytes_max {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    let read = file
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    match read as u64 > bytes_max {
        true => Err(too_long()),
        false => Ok(bytes),
    }
}
