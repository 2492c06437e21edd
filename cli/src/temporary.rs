//! Temporary directories of engines. Each is removed when it is dropped, and by signals that end the process at once. After
//! a kill the next command that makes one removes it.

use std::path::Path;

use trunkline::temporary::TemporaryDirectory;

use crate::error::CommandError;

/// Beginning of the names of all of them.
const PREFIX: &str = "trunkline-load-";

/// A temporary directory, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Temporary(TemporaryDirectory);

impl Temporary {
    /// Makes a directory in a parent, or in the system's directory for temporary files.
    pub(crate) fn new(parent: Option<&Path>) -> Result<Self, CommandError> {
        let system = std::env::temp_dir();
        let made = TemporaryDirectory::create(parent.unwrap_or(&system), PREFIX);
        made.map(Self).map_err(CommandError::Temporary)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Removes the directory.
    pub(crate) fn remove(self) -> Result<(), CommandError> {
        let path = self.path().to_owned();
        self.0.remove().map_err(CommandError::file("remove", path))
    }
}
