//! A control group with a memory limit, for one process. Page cache counts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use crate::error::BenchError;

/// Where version 2 is mounted, or the controllers of version 1 are.
const ROOT: &str = "/sys/fs/cgroup";

/// Names of files, which the two versions call differently.
struct Names {
    limit: &'static str,
    peak: &'static str,
}

const V1: Names = Names {
    limit: "memory.limit_in_bytes",
    peak: "memory.max_usage_in_bytes",
};
const V2: Names = Names {
    limit: "memory.max",
    peak: "memory.peak",
};

/// A group of its own. It is removed when this is dropped, if no process is in it.
pub(crate) struct MemoryGroup {
    directory: PathBuf,
    names: Names,
}

impl MemoryGroup {
    /// Creates a group whose processes get at most so many bytes.
    pub(crate) fn create(bytes_max: u64) -> Result<Self, BenchError> {
        let v1 = Path::new(ROOT).join("memory");
        let (parent, names) = match v1.is_dir() {
            true => (v1, V1),
            false => {
                let root = PathBuf::from(ROOT);
                // Fails where it is set already, too: the limit below tells whether it holds.
                let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
                (root, V2)
            }
        };
        let directory = parent.join(format!("peers-{}", process::id()));
        let group = Self { directory, names };
        let made = fs::create_dir(&group.directory).and_then(|()| {
            let limit = group.directory.join(group.names.limit);
            fs::write(limit, bytes_max.to_string())
        });
        match made {
            Ok(()) => Ok(group),
            Err(source) => Err(BenchError::NoMemoryLimit {
                path: group.directory.clone(),
                source,
            }),
        }
    }

    /// Returns its directory, for a process that is to enter it.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the most bytes that its processes had.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let text = fs::read_to_string(self.directory.join(self.names.peak)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // Nothing depends on it: an empty group costs a few pages.
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Moves this process into a group.
pub(crate) fn enter(directory: &Path) -> Result<(), BenchError> {
    let path = directory.join("cgroup.procs");
    fs::write(&path, process::id().to_string()).map_err(|source| BenchError::File { path, source })
}

/// Writes what is dirty, and empties the page cache: what another group has read would be free of charge.
pub(crate) fn drop_page_cache() -> Result<(), BenchError> {
    let synced = process::Command::new("sync").status();
    let path = PathBuf::from("/proc/sys/vm/drop_caches");
    let dropped: io::Result<()> = synced.and_then(|_| fs::write(&path, "3"));
    dropped.map_err(|source| BenchError::File { path, source })
}
