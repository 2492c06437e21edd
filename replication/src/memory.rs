//! The memory of a member, in a small file next to the tree: the epochs that it refuses, and its position in the
//! stream.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use trunkline_core::hash::{Digest, FRAME};
use trunkline_core::params::FORMAT;
use trunkline_core::store::disk::{OsDisk, ReadFileError, replace_file};

use crate::protocol::Resume;

const MAGIC: [u8; 8] = *b"trunkmem";
const FILE_BYTES: usize = 8 + 2 + 32 + 8 + 8 + 32 + 32;

/// The memory of a member of one tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The lowest epoch whose versions it applies.
    pub refuses_below: u64,
    /// A beginning that it has read or written, with a tip that is synced here.
    pub resume: Option<Resume>,
}

/// The reason why bytes are not the memory of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// The length, the checksum or the beginning is wrong.
    #[error(
        "it is damaged; remove it only if this directory is not the primary's and has refused no epoch"
    )]
    Damaged,
    /// Another format.
    #[error("its format is {0}; this build reads format {FORMAT}: use a build that reads it")]
    Format(u16),
    /// The memory of another tree.
    #[error("it belongs to another tree; give each tree a file of its own")]
    Tree,
}

impl Memory {
    /// Returns the bytes of the file.
    ///
    /// Layout, integers little-endian: magic `trunkmem`, format u16, tree id 32, refused epoch u64, sequence u64 (0 for
    /// none), hash 32, checksum 32 (over all before it).
    pub fn encode(&self, tree_id: &Digest) -> Vec<u8> {
        let none = Resume {
            sequence: 0,
            hash: [0; 32],
        };
        let resume = self.resume.unwrap_or(none);
        let mut bytes = [
            &MAGIC[..],
            &FORMAT.to_le_bytes(),
            tree_id,
            &self.refuses_below.to_le_bytes(),
            &resume.sequence.to_le_bytes(),
            &resume.hash,
        ]
        .concat();
        bytes.extend(FRAME.hash(&bytes));
        bytes
    }

    /// Decodes the result of [`Self::encode`]; anything else is an error.
    pub fn decode(bytes: &[u8], tree_id: &Digest) -> Result<Self, MemoryError> {
        use MemoryError::{Damaged, Format, Tree};
        let rest = bytes.strip_prefix(&MAGIC).ok_or(Damaged)?;
        let (format, _) = rest.split_first_chunk().ok_or(Damaged)?;
        match u16::from_le_bytes(*format) {
            FORMAT => {}
            format => return Err(Format(format)),
        }
        let (content, checksum) = bytes.split_last_chunk::<32>().ok_or(Damaged)?;
        if bytes.len() != FILE_BYTES || FRAME.hash(content) != *checksum {
            return Err(Damaged);
        }
        let (found, fields) = content[10..].split_first_chunk::<32>().ok_or(Damaged)?;
        if found != tree_id {
            return Err(Tree);
        }
        let (refuses_below, fields) = fields.split_first_chunk().ok_or(Damaged)?;
        let (sequence, hash) = fields.split_first_chunk().ok_or(Damaged)?;
        let hash = hash.try_into().map_err(|_| Damaged)?;
        let sequence = u64::from_le_bytes(*sequence);
        Ok(Self {
            refuses_below: u64::from_le_bytes(*refuses_below),
            resume: (sequence > 0).then_some(Resume { sequence, hash }),
        })
    }
}

/// The file of a memory.
#[derive(Clone, Debug)]
pub(crate) struct MemoryFile {
    path: PathBuf,
    tree_id: Digest,
}

impl MemoryFile {
    pub(crate) fn new(path: &Path, tree_id: Digest) -> Self {
        Self {
            path: path.into(),
            tree_id,
        }
    }

    /// Reads the file. Without a file, the memory is empty.
    pub(crate) fn read(&self) -> Result<Memory, ReadFileError<MemoryError>> {
        let path = self.path.clone();
        match self.bytes() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Memory::default()),
            Err(source) => Err(ReadFileError::Io { path, source }),
            Ok(bytes) => Memory::decode(&bytes, &self.tree_id)
                .map_err(|source| ReadFileError::Content { path, source }),
        }
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(&self.path)?;
        file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Replaces the file. It is synced when the call returns.
    pub(crate) async fn write(&self, memory: Memory) -> io::Result<()> {
        let (path, bytes) = (self.path.clone(), memory.encode(&self.tree_id));
        let write = move || replace_file(&OsDisk, &path, &bytes);
        let written = tokio::task::spawn_blocking(write).await;
        written.map_err(io::Error::other)?
    }
}
