//! Files that are read up to a bound, and replaced as a whole.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use trunkline::config::{TextError, utf8};

/// Bytes of the longest file of a run that is read.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// A file that cannot be used.
///
/// ```
/// let error = trunkline_load::Run::read_from("/nowhere".as_ref()).unwrap_err();
/// assert_eq!(error.to_string(), "cannot use /nowhere/run.json");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path is that of a directory, a FIFO or a device.
    #[error("{} is not a regular file; copy its content into one", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is not UTF-8.
    #[error("cannot use {}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TextError,
    },
    /// The file is longer than any file of its kind.
    #[error("{} is longer than {bytes_max} bytes; check the path", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
}

impl FileError {
    /// Returns what makes an error of this file.
    pub(crate) fn of(path: &Path) -> impl Fn(io::Error) -> Self + Copy + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// Returns what makes an error of this file's text.
    pub(crate) fn of_text(path: &Path) -> impl Fn(TextError) -> Self + Copy + '_ {
        move |source| Self::Text {
            path: path.to_owned(),
            source,
        }
    }
}

/// Reads a file of text without its byte order mark.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, FileError> {
    let bytes = read(path, bytes_max)?;
    let text = utf8(&bytes).map_err(FileError::of_text(path))?;
    Ok(text.to_owned())
}

/// Reads a file. If it is longer than `bytes_max`, it fails before it reads more than that.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| {
        let length = file.metadata()?.len();
        match length > bytes_max {
            true => Ok(length),
            false => Ok(file.take(bytes_max + 1).read_to_end(&mut bytes)? as u64),
        }
    });
    match read.map_err(FileError::of(path))? > bytes_max {
        true => Err(FileError::TooLong {
            path: path.to_owned(),
            bytes_max,
        }),
        false => Ok(bytes),
    }
}

/// Writes a file into a directory, which is created if missing. An older file stays until the new one is complete.
pub(crate) fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, FileError> {
    let path = directory.join(name);
    let temporary = directory.join(format!(".{name}.new"));
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&temporary, bytes))
        .and_then(|()| std::fs::rename(&temporary, &path))
        .map_err(FileError::of(&path))?;
    Ok(path)
}
