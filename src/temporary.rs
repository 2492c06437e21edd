//! Temporary directories that are removed even if their process is killed: the next process that creates one of the
//! same kind sweeps them.
//!
//! A directory that is in use has a locked marker file. The operating system releases the lock whenever the process
//! ends. A directory without a marker is not ours, whatever its name.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tempfile::TempDir;

/// The file that marks a temporary directory as ours. It is locked while the directory is in use.
const MARKER: &str = "TRUNKLINE-TEMPORARY";
/// The subdirectory for the user's files.
const CONTENT: &str = "content";

/// Number of times that removing a directory is tried while threads still write into it.
const REMOVALS_MAX: usize = 10;

/// The temporary directories of this process.
static OWN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A directory that is listed in [`OWN`].
#[derive(Debug)]
struct Listed(PathBuf);

impl Drop for Listed {
    fn drop(&mut self) {
        OWN.lock().retain(|path| *path != self.0);
    }
}

/// A temporary directory. Dropping it removes it.
///
/// ```
/// use trunkline::temporary::TemporaryDirectory;
/// # let parent = tempfile::tempdir()?;
/// let directory = TemporaryDirectory::create(parent.path(), "trunkline-example-")?;
/// std::fs::write(directory.path().join("notes"), "of a moment")?;
/// directory.remove()?;
/// # assert_eq!(std::fs::read_dir(parent.path())?.count(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TemporaryDirectory {
    // The fields are dropped in this order, so that no process sweeps the directory while it is being removed.
    directory: TempDir,
    _in_use: File,
    _listed: Listed,
    content: PathBuf,
}

impl TemporaryDirectory {
    /// Creates an empty directory, whose name begins with `prefix`, and sweeps those of killed processes.
    ///
    /// # Errors
    ///
    /// Fails if the directory cannot be created.
    pub fn create(parent: &Path, prefix: &str) -> io::Result<Self> {
        sweep(parent, prefix);
        // This holds the lock, so that `remove_own` cannot run between creating the directory and listing it.
        let mut own = OWN.lock();
        let directory = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
        own.push(directory.path().to_owned());
        drop(own);
        let listed = Listed(directory.path().to_owned());
        // The marker is locked before it gets its name: a sweep never finds an unlocked directory that is in use.
        let unnamed = directory.path().join("new");
        let in_use = File::create_new(&unnamed)?;
        in_use.lock()?;
        fs::rename(&unnamed, directory.path().join(MARKER))?;
        let content = directory.path().join(CONTENT);
        fs::create_dir(&content)?;
        Ok(Self {
            directory,
            _in_use: in_use,
            _listed: listed,
            content,
        })
    }

    /// Returns the path of the directory for files.
    pub fn path(&self) -> &Path {
        &self.content
    }

    /// Removes the directory.
    ///
    /// # Errors
    ///
    /// Fails if something in it cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        self.directory.close()
    }
}

/// Removes all temporary directories of this process, although they may still be in use, for a process that a signal
/// ends. Creating or dropping one blocks for ever from then on, so the process must end.
pub fn remove_own() {
    let own = std::mem::ManuallyDrop::new(OWN.lock());
    for directory in own.iter() {
        let mut tries = 0..REMOVALS_MAX;
        while tries.next().is_some() && directory.exists() {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

/// Removes the temporary directories with this prefix whose processes have ended without removing them. Directories
/// that cannot be removed now are left to the next sweep.
pub fn sweep(parent: &Path, prefix: &str) {
    for (path, _unused) in unused(parent, prefix) {
        let _ = fs::remove_dir_all(path);
    }
}

/// Returns the temporary directories with this prefix whose processes have ended, each with the lock of its marker.
pub(crate) fn unused(parent: &Path, prefix: &str) -> impl Iterator<Item = (PathBuf, File)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let has_prefix = entry.file_name().to_string_lossy().starts_with(prefix);
        let lock = || lock_unused(&entry.path().join(MARKER)).ok();
        let lock = has_prefix.then(lock).flatten()?;
        Some((entry.path(), lock))
    })
}

/// Locks a marker that no process has locked.
fn lock_unused(marker: &Path) -> io::Result<File> {
    let file = File::open(marker)?;
    file.try_lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "trunkline-test-";

    fn names(parent: &Path) -> Vec<String> {
        let entries = fs::read_dir(parent).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_is_removed_when_it_is_dropped() {
        let parent = tempfile::tempdir().unwrap();
        let directory = TemporaryDirectory::create(parent.path(), PREFIX).unwrap();
        fs::write(directory.path().join("a"), "1").unwrap();
        drop(directory);
        assert!(names(parent.path()).is_empty());
    }

    #[test]
    fn a_sweep_removes_what_a_killed_process_left_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(PREFIX.to_owned() + name);
        for name in ["killed", "foreign"] {
            fs::create_dir_all(path(name).join(CONTENT)).unwrap();
            fs::write(path(name).join(CONTENT).join("file"), "of old").unwrap();
        }
        fs::write(path("killed").join(MARKER), "").unwrap();
        fs::write(path("file"), "").unwrap();
        fs::create_dir(parent.path().join("other-killed")).unwrap();
        fs::write(parent.path().join("other-killed").join(MARKER), "").unwrap();

        let in_use = TemporaryDirectory::create(parent.path(), PREFIX).unwrap();
        sweep(parent.path(), PREFIX);
        assert!(in_use.path().is_dir());
        assert!(!path("killed").exists());
        in_use.remove().unwrap();
        let left = [
            "other-killed",
            "trunkline-test-file",
            "trunkline-test-foreign",
        ];
        assert_eq!(names(parent.path()), left);
    }

    #[test]
    fn a_sweep_follows_no_link() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("target");
        fs::create_dir(&target).unwrap();
        fs::write(target.join(MARKER), "").unwrap();
        std::os::unix::fs::symlink(&target, parent.path().join(format!("{PREFIX}link"))).unwrap();
        sweep(parent.path(), PREFIX);
        assert!(target.join(MARKER).exists());
    }
}
