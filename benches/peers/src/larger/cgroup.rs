//! A control group with a memory limit, for one process. Page cache counts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use crate::error::BenchError;

/// The mount point of version 2, or of the controllers of version 1.
const ROOT: &str = "/sys/fs/cgroup";

/// The names of files, which differ between the two versions.
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

/// A group of its own. It is removed when this is dropped, if it contains no process.
pub(crate) struct MemoryGroup {
    directory: PathBuf,
    names: Names,
}

impl MemoryGroup {
    /// Creates a group whose processes get at most this many bytes.
    pub(crate) fn create(bytes_max: u64) -> Result<Self, BenchError> {
        let v1 = Path::new(ROOT).join("memory");
        let (parent, names) = match v1.is_dir() {
            true => (v1, V1),
            false => {
                let root = PathBuf::from(ROOT);
                // Also fails if it is already set: the limit below shows whether it is in force.
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

    /// Returns its directory, for a process that will enter it.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the peak of the bytes of its processes.
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

/// Writes dirty pages, and empties the page cache: otherwise pages that another group has read would not be charged.
pub(crate) fn drop_page_cache() -> Result<(), BenchError> {
    let synced = process::Command::new("sync").status();
    let path = PathBuf::from("/proc/sys/vm/drop_caches");
    let dropped: io::Result<()> = synced.and_then(|_| fs::write(&path, "3"));
    dropped.map_err(|source| BenchError::File { path, source })
}
