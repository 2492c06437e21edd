//! Temporary directories of engines. Each is removed when it is dropped, and by signals that end the process at once. After
//! a kill the next command that makes one removes it.

use std::fs;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use trunkline::temporary::TemporaryDirectory;

use crate::error::CommandError;

/// Beginning of the names of all of them.
const PREFIX: &str = "trunkline-load-";

/// The temporary directories that exist.
static ALL: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// How often the removal of a directory is tried while the engine in it still writes.
const REMOVALS_MAX: usize = 10;

/// A temporary directory, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Temporary(Option<TemporaryDirectory>);

impl Temporary {
    /// Makes a directory in a parent, or in the system's directory for temporary files.
    pub(crate) fn new(parent: Option<&Path>) -> Result<Self, CommandError> {
        let system = std::env::temp_dir();
        // Under the lock, so that a signal cannot come between making it and noting it.
        let mut all = ALL.lock();
        let made = TemporaryDirectory::create(parent.unwrap_or(&system), PREFIX);
        let made = made.map_err(CommandError::Temporary)?;
        all.push(outermost(&made));
        Ok(Self(Some(made)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0
            .as_ref()
            .map_or(Path::new(""), TemporaryDirectory::path)
    }

    /// Removes the directory.
    pub(crate) fn remove(mut self) -> Result<(), CommandError> {
        let path = self.path().to_owned();
        let removed = self.forget().map_or(Ok(()), TemporaryDirectory::remove);
        removed.map_err(CommandError::file("remove", path))
    }

    fn forget(&mut self) -> Option<TemporaryDirectory> {
        let directory = self.0.take()?;
        let path = outermost(&directory);
        ALL.lock().retain(|known| *known != path);
        Some(directory)
    }
}

/// Returns the directory with everything that was made.
fn outermost(directory: &TemporaryDirectory) -> PathBuf {
    let path = directory.path();
    path.parent().unwrap_or(path).to_owned()
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
