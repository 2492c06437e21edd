//! The `HISTORY` file: the commit ids of all versions that a checkpoint covers, and the nodes above them.
//!
//! The manifest keeps the peaks of the history alone; a proof that an older version is an ancestor needs
//! the nodes below them. This file has all nodes of the mountain range in the order in which they are
//! created (post-order): a commit id, then the nodes that it completes. This takes 64 bytes a version; each
//! node has one place and is written once. Not here: versions after the last checkpoint (the log has them), proofs, and
//! when to append.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::cursor::{open_file, put_file};
use super::disk::{Disk, DiskFile, DiskReader, found, replace_file_in_parts};
use super::manifest::CheckpointManifest;
use crate::hash::Digest;
use crate::history::{HISTORY, Subtree, node_count, peaks};
use crate::params::FORMAT;

/// Name of the file.
pub const HISTORY_FILE: &str = "HISTORY";
/// The length of the header before the first node, bytes.
pub const HISTORY_HEADER_BYTES: usize = 8 + 2 + 32 + 32;

const MAGIC: [u8; 8] = *b"trunkhis";
const NODE_BYTES: u64 = 32;
/// The number of bytes written at once.
const PART_BYTES_MIN: usize = 256 << 10;

/// The reason why the history of a directory cannot be used. Each error names the file.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::store::{history_file::{HistoryFile, HistoryFileError}, manifest::CheckpointManifest};
/// use trunkline_core::store::simulated::SimulatedDisk;
/// let (disk, here) = (SimulatedDisk::new(1), Path::new(""));
/// let mut manifest = CheckpointManifest::genesis([1; 32]);
/// manifest.record.version = 1; // a checkpoint was made, so there must be a file
/// let error = HistoryFile::open(&disk, here, &manifest).unwrap_err();
/// assert_eq!(error.to_string(), "HISTORY is missing; restore the directory from a copy");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum HistoryFileError {
    /// The file could not be read or written.
    #[error("{} could not be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is missing although a checkpoint was made.
    #[error("{} is missing; restore the directory from a copy", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file begins with other bytes.
    #[error("{} is not a trunkline history; is it the right directory?", path.display())]
    Magic {
        /// The file.
        path: PathBuf,
    },
    /// Written by another format version.
    #[error("{} is of format {format}; this build reads format {FORMAT}: use a build that reads it", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        format: u16,
    },
    /// The checksum of the header is wrong.
    #[error("the header of {} is damaged; restore the directory from a copy", path.display())]
    Header {
        /// The file.
        path: PathBuf,
    },
    /// The file is the history of another tree.
    #[error("{} belongs to another tree; restore the directory from a copy", path.display())]
    OtherTree {
        /// The file.
        path: PathBuf,
    },
    /// The file ends before the last node that the manifest requires.
    #[error("{} has {found} bytes, its nodes take {needed}; restore the directory from a copy", path.display())]
    Short {
        /// The file.
        path: PathBuf,
        /// The length of the file, bytes.
        found: u64,
        /// The length of header and nodes, bytes.
        needed: u64,
    },
    /// The peaks or the last commit id differ from those of the manifest.
    #[error("{} does not have the history of the checkpoint manifest; restore the directory from a copy", path.display())]
    Differs {
        /// The file.
        path: PathBuf,
    },
    /// The nodes below the peaks do not lead to them.
    #[error("the nodes in {} do not lead from version {version} to the history of the head; restore the directory from a copy", path.display())]
    Node {
        /// The file.
        path: PathBuf,
        /// The version to be proven.
        version: u64,
    },
}

/// A reader of the nodes that a checkpoint covers.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::history::{HISTORY, MountainRange};
/// use trunkline_core::store::history_file::{HistoryFile, HistoryWriter};
/// use trunkline_core::store::{manifest::CheckpointManifest, simulated::SimulatedDisk};
/// let (disk, here) = (SimulatedDisk::new(1), Path::new(""));
/// let mut manifest = CheckpointManifest::genesis([1; 32]);
/// let genesis = manifest.record.commit_id();
/// manifest.record.version = 1;
/// let id = manifest.record.commit_id();
/// // A commit id for each version, and behind the second the node above both.
/// let mut nodes = vec![genesis, id];
/// manifest.history.append_noting(&HISTORY, &id, |node| nodes.push(*node));
///
/// HistoryWriter::open(&disk, here, &[1; 32], 0)?.append(&nodes)?;
/// manifest.write(&disk, here)?; // not before
/// let file = HistoryFile::open(&disk, here, &manifest)?.expect("a checkpoint was made");
/// assert_eq!(file.node(1)?, id);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct HistoryFile {
    path: PathBuf,
    reader: Mutex<Box<dyn DiskReader>>,
}

impl std::fmt::Debug for HistoryFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("HistoryFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl HistoryFile {
    /// Opens the file of a directory, and compares its peaks with those of the manifest. This takes a few reads,
    /// independent of its length. Returns `None` before the first checkpoint, when the file has no meaning.
    pub fn open(
        disk: &dyn Disk,
        directory: &Path,
        manifest: &CheckpointManifest,
    ) -> Result<Option<Self>, HistoryFileError> {
        if manifest.record.version == 0 {
            return Ok(None);
        }
        let file = Self::open_unchecked(disk, directory)?;
        file.check_header(&manifest.record.tree_id)?;
        file.check_nodes(manifest)?;
        Ok(Some(file))
    }

    /// Opens the file of a directory without comparing anything, to find damage in it.
    pub fn open_unchecked(disk: &dyn Disk, directory: &Path) -> Result<Self, HistoryFileError> {
        let path = directory.join(HISTORY_FILE);
        match found(disk.open(&path)) {
            Ok(Some(reader)) => Ok(Self {
                path,
                reader: Mutex::new(reader),
            }),
            Ok(None) => Err(HistoryFileError::Missing { path }),
            Err(source) => Err(HistoryFileError::Io { path, source }),
        }
    }

    /// Returns the number of complete nodes in the file.
    pub fn node_count(&self) -> Result<u64, HistoryFileError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let length = reader.length().map_err(|source| self.io(source))?;
        Ok(length.saturating_sub(HISTORY_HEADER_BYTES as u64) / NODE_BYTES)
    }

    /// Reads `count` nodes, beginning at a position.
    pub fn nodes(&self, position: u64, count: usize) -> Result<Vec<Digest>, HistoryFileError> {
        let mut nodes = vec![[0; 32]; count];
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let read = reader.read_exact_at(offset(position), nodes.as_flattened_mut());
        read.map_err(|source| self.io(source))?;
        Ok(nodes)
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a node: a commit id, or a digest above several. Nodes that the manifest does not cover have no meaning.
    pub fn node(&self, position: u64) -> Result<Digest, HistoryFileError> {
        let offset = offset(position);
        self.read(offset)
    }

    fn read<const N: usize>(&self, offset: u64) -> Result<[u8; N], HistoryFileError> {
        let mut bytes = [0; N];
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let read = reader.read_exact_at(offset, &mut bytes);
        match read {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let length = reader.length();
                Err(HistoryFileError::Short {
                    path: self.path.clone(),
                    found: length.map_err(|source| self.io(source))?,
                    needed: offset.saturating_add(N as u64),
                })
            }
            Err(source) => Err(self.io(source)),
        }
    }

    fn io(&self, source: io::Error) -> HistoryFileError {
        HistoryFileError::Io {
            path: self.path.clone(),
            source,
        }
    }

    /// Checks that the file is the history of a tree.
    pub fn check_header(&self, tree_id: &Digest) -> Result<(), HistoryFileError> {
        let bytes: [u8; HISTORY_HEADER_BYTES] = self.read(0)?;
        let path = || self.path.clone();
        let mut cursor = open_file(
            &bytes,
            MAGIC,
            HistoryFileError::Magic { path: path() },
            |format| HistoryFileError::Format {
                path: path(),
                format,
            },
            HistoryFileError::Header { path: path() },
        )?;
        match cursor.array() == Some(*tree_id) {
            true => Ok(()),
            false => Err(HistoryFileError::OtherTree { path: path() }),
        }
    }

    fn check_nodes(&self, manifest: &CheckpointManifest) -> Result<(), HistoryFileError> {
        let count = manifest.history.count();
        let last = Subtree {
            first: manifest.record.version,
            height: 0,
        };
        let mut same = self.node(last.position())? == manifest.record.commit_id();
        for (peak, expected) in peaks(count).zip(manifest.history.peaks()) {
            same &= subtree_digest(peak, |position| self.node(position))? == *expected;
        }
        match same {
            true => Ok(()),
            false => Err(HistoryFileError::Differs {
                path: self.path.clone(),
            }),
        }
    }
}

/// Returns the digest of a subtree over commit ids, with `node` returning the node at a position: a commit id itself,
/// not its digest.
///
/// ```
/// use trunkline_core::history::{HISTORY, Subtree};
/// use trunkline_core::store::history_file::subtree_digest;
/// let node = |_| Ok::<_, std::convert::Infallible>([7; 32]);
/// let leaf = Subtree { first: 0, height: 0 };
/// assert_eq!(subtree_digest(leaf, node), Ok(HISTORY.leaf_digest(&[7; 32])));
/// assert_eq!(subtree_digest(Subtree { first: 0, height: 1 }, node), Ok([7; 32]));
/// ```
pub fn subtree_digest<E>(
    subtree: Subtree,
    node: impl FnOnce(u64) -> Result<Digest, E>,
) -> Result<Digest, E> {
    let node = node(subtree.position())?;
    Ok(match subtree.height {
        0 => HISTORY.leaf_digest(&node),
        _ => node,
    })
}

/// Appends the nodes of a checkpoint, before its manifest is written.
///
/// A crash between the two leaves nodes that no manifest covers; the next checkpoint overwrites them.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::store::{history_file::HistoryWriter, simulated::SimulatedDisk};
/// let (disk, here) = (SimulatedDisk::new(1), Path::new(""));
/// let mut writer = HistoryWriter::open(&disk, here, &[1; 32], 0)?;
/// writer.append(&[[2; 32]])?; // durable now
/// # Ok::<(), trunkline_core::store::history_file::HistoryFileError>(())
/// ```
pub struct HistoryWriter {
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl std::fmt::Debug for HistoryWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("HistoryWriter")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl HistoryWriter {
    /// Opens the file to append after a number of nodes; 0 begins the file again. The directory's manifest covers
    /// exactly these nodes; later ones in the file are not needed.
    pub fn open(
        disk: &dyn Disk,
        directory: &Path,
        tree_id: &Digest,
        nodes: u64,
    ) -> Result<Self, HistoryFileError> {
        let path = directory.join(HISTORY_FILE);
        let opened = match nodes {
            0 => begin(disk, directory, &path, tree_id),
            _ => disk.reuse(&path, offset(nodes)),
        };
        match opened {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(HistoryFileError::Io { path, source }),
        }
    }

    /// Appends nodes. When this returns, they are durable.
    pub fn append(&mut self, nodes: &[Digest]) -> Result<(), HistoryFileError> {
        let appended = self.file.append(nodes.as_flattened());
        let synced = appended.and_then(|()| self.file.sync());
        synced.map_err(|source| HistoryFileError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

/// Begins the file with its header. The name is durable when this returns; the header becomes durable together with
/// nodes.
fn begin(
    disk: &dyn Disk,
    directory: &Path,
    path: &Path,
    tree_id: &Digest,
) -> io::Result<Box<dyn DiskFile>> {
    let mut file = match disk.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.reuse(path, 0)?,
        result => result?,
    };
    file.append(&header(tree_id))?;
    disk.sync_directory(directory)?;
    Ok(file)
}

/// Encodes the header. Layout, integers little-endian: magic `trunkhis`, format u16, tree id 32, checksum 32 (over all before
/// it).
fn header(tree_id: &Digest) -> Vec<u8> {
    put_file(MAGIC, &[tree_id])
}

/// Replaces the file of a directory by one with these nodes: a crash, or an error among the nodes, leaves the old file.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::store::{history_file::{HistoryFile, replace_history}, simulated::SimulatedDisk};
/// let (disk, here) = (SimulatedDisk::new(1), Path::new(""));
/// replace_history(&disk, here, &[1; 32], [Ok([2; 32]), Ok([3; 32])].into_iter())?;
/// assert_eq!(HistoryFile::open_unchecked(&disk, here)?.node(1)?, [3; 32]);
/// # Ok::<(), trunkline_core::store::history_file::HistoryFileError>(())
/// ```
pub fn replace_history(
    disk: &dyn Disk,
    directory: &Path,
    tree_id: &Digest,
    nodes: impl Iterator<Item = io::Result<Digest>>,
) -> Result<(), HistoryFileError> {
    let path = directory.join(HISTORY_FILE);
    let replaced = replace_file_in_parts(disk, &path, |file| {
        let mut part = header(tree_id);
        for node in nodes {
            part.extend_from_slice(&node?);
            if part.len() >= PART_BYTES_MIN {
                file.append(&part)?;
                part.clear();
            }
        }
        file.append(&part)
    });
    replaced.map_err(|source| HistoryFileError::Io { path, source })
}

/// Returns the offset of a node in the file.
///
/// ```
/// use trunkline_core::store::history_file::{HISTORY_HEADER_BYTES, offset};
/// assert_eq!(offset(1), HISTORY_HEADER_BYTES as u64 + 32);
/// ```
pub fn offset(position: u64) -> u64 {
    position
        .saturating_mul(NODE_BYTES)
        .saturating_add(HISTORY_HEADER_BYTES as u64)
}

/// Returns the number of nodes in the file when a checkpoint covers versions 0 to `version`.
///
/// ```
/// assert_eq!(trunkline_core::store::history_file::nodes_covered(3), 7);
/// ```
pub fn nodes_covered(version: u64) -> u64 {
    node_count(version.saturating_add(1))
}
