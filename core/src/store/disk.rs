//! The few file operations that the stores need, so that a simulated disk can replace the real one.
//!
//! Not here: truncation, and writing anywhere but at the end of the last write. A file is created, or an unused one is
//! reused; then it is appended to, synced, perhaps renamed, and finally removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The operations of a file system that the stores use.
///
/// Rules of durability: the content of a file after [`DiskFile::sync`]; that a file exists under its name (or no longer
/// does) after [`Disk::sync_directory`] of its directory. Before that a crash may keep it, lose it, or tear it.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::store::{disk::{Disk, read_file}, simulated::SimulatedDisk};
/// let disk = SimulatedDisk::new(1);
/// let mut file = disk.create(Path::new("greeting"))?;
/// file.append(b"hello")?;
/// file.sync()?;
/// disk.sync_directory(Path::new(""))?;
/// assert_eq!(read_file(&disk, Path::new("greeting"), 100)?, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Disk: Send + Sync + 'static {
    /// Creates a directory whose parent exists; not an error if it already exists.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Creates an empty file to append to; `AlreadyExists` if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file of which only the first `kept_bytes` are still needed, to overwrite the rest; `UnexpectedEof` if it
    /// is shorter. Old content stays where nothing is written; after a crash, also where new content was not synced.
    ///
    /// Existing blocks make syncing cheaper: the file system changes no metadata.
    fn reuse(&self, path: &Path, kept_bytes: u64) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>>;
    /// Returns the names in a directory, in ascending order.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Renames a file, replacing an existing one: at every moment, and after a crash, the new name refers to either the
    /// old file or the new one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    /// Returns the identity of the file or directory that has a name now.
    fn identity(&self, path: &Path) -> io::Result<FileId>;
}

/// The identity of a file or directory, independent of its names. Another file may get the same one once this file is
/// removed and all its handles are closed. Never stored: a copy of a file is another file.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::store::{disk::Disk, simulated::SimulatedDisk};
/// let (disk, path) = (SimulatedDisk::new(1), Path::new("note"));
/// let file = disk.create(path)?;
/// assert_eq!(file.identity()?, disk.identity(path)?);
/// disk.remove(path)?;
/// let other = disk.create(path)?;
/// assert_ne!(file.identity()?, other.identity()?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    /// The number of the file system.
    pub device: u64,
    /// The number of the file in it.
    pub inode: u64,
}

impl FileId {
    /// Returns the identity of an open file or directory.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from(&file.metadata()?))
    }
}

impl From<&fs::Metadata> for FileId {
    fn from(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// A file being written. It stays the same file when it is renamed.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::store::{disk::{Disk, DiskFile, read_file}, simulated::SimulatedDisk};
/// let disk = SimulatedDisk::new(1);
/// let mut file: Box<dyn DiskFile> = disk.create(Path::new("note.tmp"))?;
/// file.append(b"one")?;
/// disk.rename(Path::new("note.tmp"), Path::new("note"))?;
/// file.append(b", two")?;
/// file.sync()?; // the content is durable; the name is after `sync_directory`
/// assert_eq!(read_file(&disk, Path::new("note"), 100)?, b"one, two");
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait DiskFile: Send {
    /// Appends all the bytes to those written before. After an error an unknown prefix of them may have been appended.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything appended so far durable. After an error it is unknown *forever* whether the bytes appended
    /// since the last success are durable: a later success says nothing about them.
    fn sync(&mut self) -> io::Result<()>;
    /// Returns the identity of the file.
    fn identity(&self) -> io::Result<FileId>;
}

/// A file being read.
///
/// ```
/// use std::{io::ErrorKind, path::Path};
/// use trunkline_core::store::{disk::{Disk, DiskReader}, simulated::SimulatedDisk};
/// let disk = SimulatedDisk::new(1);
/// disk.create(Path::new("note"))?.append(b"one, two")?;
/// let mut reader: Box<dyn DiskReader> = disk.open(Path::new("note"))?;
/// let mut word = [0; 3];
/// reader.read_exact_at(5, &mut word)?;
/// assert_eq!((&word, reader.length()?), (b"two", 8));
/// assert_eq!(reader.read_exact_at(6, &mut word).unwrap_err().kind(), ErrorKind::UnexpectedEof);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait DiskReader: Send {
    /// Returns the length of the file, bytes.
    fn length(&self) -> io::Result<u64>;
    /// Fills the buffer from `offset`; `UnexpectedEof` if the file ends before that.
    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// The operating system's files (POSIX: directories can be synced).
///
/// ```
/// use trunkline_core::store::disk::{Disk, OsDisk};
/// let directory = tempfile::tempdir()?;
/// OsDisk.create(&directory.path().join("a"))?.append(b"1")?;
/// assert_eq!(OsDisk.list(directory.path())?, ["a"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(path)?;
        Ok(Box::new(OsFile(file)))
    }

    fn reuse(&self, path: &Path, kept_bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() < kept_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.seek(SeekFrom::Start(kept_bytes))?;
        Ok(Box::new(OsFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        Ok(Box::new(OsReader(File::open(path)?)))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = fs::read_dir(directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<String>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        // The parent of a relative path of one component is the empty path.
        let directory = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        File::open(directory)?.sync_all()
    }

    fn identity(&self, path: &Path) -> io::Result<FileId> {
        Ok(FileId::from(&fs::metadata(path)?))
    }
}

struct OsFile(File);

impl DiskFile for OsFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn identity(&self) -> io::Result<FileId> {
        FileId::of(&self.0)
    }
}

struct OsReader(File);

impl DiskReader for OsReader {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.read_exact(buffer)
    }
}

/// Reads a small file completely; `InvalidData` if it is longer than `bytes_max`.
pub fn read_file(disk: &dyn Disk, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut reader = disk.open(path)?;
    let length = reader.length()?;
    if length > bytes_max as u64 {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut bytes = vec![0; length as usize];
    reader.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Returns `None` if there is no such file.
pub(super) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// The reason why a small file was not read.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::store::{disk::ReadFileError, manifest::CheckpointManifest, simulated::SimulatedDisk};
/// let error = CheckpointManifest::read(&SimulatedDisk::new(1), Path::new("tree")).unwrap_err();
/// assert!(matches!(error, ReadFileError::Io { .. }));
/// assert_eq!(error.to_string(), "tree/CHECKPOINT could not be read");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ReadFileError<E: std::error::Error + 'static> {
    /// The file could not be read (`NotFound`: it was not written yet).
    #[error("{} could not be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file was read, but its content cannot be used.
    #[error("{}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The error in the content.
        source: E,
    },
}

/// Returns `None` for a missing small file.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::store::{disk::if_present, manifest::CheckpointManifest, simulated::SimulatedDisk};
/// let disk = SimulatedDisk::new(1);
/// let manifest = if_present(CheckpointManifest::read(&disk, Path::new("tree")))?;
/// assert!(manifest.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn if_present<T, E: std::error::Error>(
    read: Result<T, ReadFileError<E>>,
) -> Result<Option<T>, ReadFileError<E>> {
    match read {
        Err(ReadFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Reads and decodes a small file; one that is longer than `bytes_max` is `damaged`.
pub(super) fn read_bounded<T, E: std::error::Error + 'static>(
    disk: &dyn Disk,
    path: PathBuf,
    bytes_max: usize,
    damaged: E,
    decode: impl FnOnce(&[u8]) -> Result<T, E>,
) -> Result<T, ReadFileError<E>> {
    let decoded = match read_file(disk, &path, bytes_max) {
        Ok(bytes) => decode(&bytes),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(damaged),
        Err(source) => return Err(ReadFileError::Io { path, source }),
    };
    decoded.map_err(|source| ReadFileError::Content { path, source })
}

/// Replaces (or creates) a small file atomically: written as `<name>.tmp`, synced, renamed over it, and the directory
/// synced. A crash leaves the old content or the new.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_file_in_parts(disk, path, |file| file.append(bytes))
}

/// Works like [`replace_file`], for a file that is written part by part.
pub(super) fn replace_file_in_parts(
    disk: &dyn Disk,
    path: &Path,
    write: impl FnOnce(&mut dyn DiskFile) -> io::Result<()>,
) -> io::Result<()> {
    prepare_file(disk, path, write)?;
    put_prepared(disk, path)
}

/// Writes and syncs a file that does not have its name yet. Another file that was prepared for the name is lost.
pub(super) fn prepare_file(
    disk: &dyn Disk,
    path: &Path,
    write: impl FnOnce(&mut dyn DiskFile) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = temporary_name(path);
    let mut file = match disk.create(&temporary) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(&temporary)?;
            disk.create(&temporary)?
        }
        result => result?,
    };
    write(&mut *file)?;
    file.sync()
}

/// Gives its name to a prepared file, durably.
pub(super) fn put_prepared(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.rename(&temporary_name(path), path)?;
    disk.sync_directory(parent_of(path))
}

/// Returns `<path>.tmp`, the name of a file that is not in use yet.
pub(super) fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY_SUFFIX);
    PathBuf::from(name)
}

/// Returns the directory that a path is in.
pub(super) fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The end of the names of files that are not in use yet.
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";
