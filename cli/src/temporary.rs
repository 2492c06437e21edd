//! Temporary directories of engines. Each is removed when it is dropped, and by signals that end the process at once.

use std::fs;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::error::CommandError;

/// The temporary directories that exist.
static ALL: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// How often the removal of a directory is tried while the engine in it still writes.
const REMOVALS_MAX: usize = 10;

/// A temporary directory, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Temporary(Option<TempDir>);

impl Temporary {
    /// Makes a directory in a parent, or in the system's directory for temporary files.
    pub(crate) fn new(prefix: &str, parent: Option<&Path>) -> Result<Self, CommandError> {
        let system = std::env::temp_dir();
        let parent = parent.unwrap_or(&system);
        // Under the lock, so that a signal cannot come between making it and noting it.
        let mut all = ALL.lock();
        let made = tempfile::Builder::new().prefix(prefix).tempdir_in(parent);
        let made = made.map_err(CommandError::Temporary)?;
        all.push(made.path().to_owned());
        Ok(Self(Some(made)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// Removes the directory.
    pub(crate) fn remove(mut self) -> Result<(), CommandError> {
        let path = self.path().to_owned();
        let removed = self.forget().map_or(Ok(()), TempDir::close);
        removed.map_err(CommandError::file("remove", path))
    }

    fn forget(&mut self) -> Option<TempDir> {
        let directory = self.0.take()?;
        ALL.lock().retain(|path| path != directory.path());
        Some(directory)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(self.forget());
    }
}

/// Removes all temporary directories, although engines may still use them. The process must end after this.
pub(crate) fn remove_all() {
    // Never unlocked: no directory is made any more.
    let all = std::mem::ManuallyDrop::new(ALL.lock());
    for directory in all.iter() {
        let mut tries = 0..REMOVALS_MAX;
        while tries.next().is_some() && directory.exists() {
            let _ = fs::remove_dir_all(directory);
        }
    }
}
