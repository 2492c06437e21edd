//! The `REPLICA` file: marks the directory of a replica, so that no engine writes to it by mistake.
//!
//! Not here: how a replica applies versions and becomes an engine.

use std::io;
use std::path::Path;

use super::cursor::{Cursor, open_file, put_file};
use super::disk::{Disk, ReadFileError, if_present, parent_of, read_bounded, replace_file};
use crate::hash::Digest;
use crate::params::FORMAT;

/// Name of the file.
pub const REPLICA_FILE: &str = "REPLICA";

const MAGIC: [u8; 8] = *b"trunkrep";
const FILE_BYTES: usize = 8 + 2 + 32 + 8 + 32;

/// The error of reading the mark of a replica's directory.
///
/// ```
/// use trunkline_core::store::replica_file::{ReplicaFileError, decode, encode};
/// let bytes = encode(&[1; 32], 7);
/// assert_eq!(decode(&bytes, &[1; 32]), Ok(7));
/// assert_eq!(decode(&bytes, &[2; 32]), Err(ReplicaFileError::Tree));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaFileError {
    /// The file begins with other bytes.
    #[error("this is not the mark of a replica; restore the directory from a copy")]
    Magic,
    /// Written by another format version.
    #[error("its format is {0}; this build reads format {FORMAT}: use a build that reads it")]
    Format(u16),
    /// The length or checksum is wrong.
    #[error("it is damaged; restore the directory from a copy")]
    Damaged,
    /// The mark belongs to another tree.
    #[error("it belongs to another tree; restore the directory from a copy")]
    Tree,
}

/// Returns the bytes of the file of a tree in which nobody may write at `epoch` or a lower one.
///
/// Layout, integers little-endian: magic `trunkrep`, format u16, tree id 32, epoch u64, checksum 32 (over all before
/// it).
pub fn encode(tree_id: &Digest, epoch: u64) -> Vec<u8> {
    put_file(MAGIC, &[tree_id, &epoch.to_le_bytes()])
}

/// Reads the result of [`encode`], and returns the epoch; anything else is an error.
pub fn decode(bytes: &[u8], tree_id: &Digest) -> Result<u64, ReplicaFileError> {
    use ReplicaFileError::{Damaged, Format, Magic, Tree};
    let mut fields = open_file(bytes, MAGIC, Magic, Format, Damaged)?;
    let (found, epoch) = read_fields(&mut fields).ok_or(Damaged)?;
    match found == *tree_id {
        true => Ok(epoch),
        false => Err(Tree),
    }
}

fn read_fields(fields: &mut Cursor<'_>) -> Option<(Digest, u64)> {
    let read = (fields.array()?, fields.u64()?);
    fields.0.is_empty().then_some(read)
}

/// Reads the file of a directory; `None` if it is not that of a replica.
///
/// # Errors
///
/// Fails if the file cannot be read, is damaged, or belongs to another tree.
pub fn read(
    disk: &dyn Disk,
    directory: &Path,
    tree_id: &Digest,
) -> Result<Option<u64>, ReadFileError<ReplicaFileError>> {
    let (path, damaged) = (directory.join(REPLICA_FILE), ReplicaFileError::Damaged);
    let decode = |bytes: &[u8]| decode(bytes, tree_id);
    if_present(read_bounded(disk, path, FILE_BYTES, damaged, decode))
}

/// Marks a directory durably as that of a replica.
///
/// # Errors
///
/// Fails if the system cannot write the file.
pub fn write(disk: &dyn Disk, directory: &Path, tree_id: &Digest, epoch: u64) -> io::Result<()> {
    replace_file(disk, &directory.join(REPLICA_FILE), &encode(tree_id, epoch))
}

/// Removes the mark durably.
///
/// # Errors
///
/// Fails if the system cannot remove it.
pub fn remove(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    let path = directory.join(REPLICA_FILE);
    disk.remove(&path)?;
    disk.sync_directory(parent_of(&path))
}

#[cfg(test)]
mod tests {
    use super::super::cursor::assert_only_these;
    use super::*;
    use crate::hash::{FRAME, hex};

    #[test]
    fn the_bytes_of_the_file_are_fixed() {
        let bytes = encode(&[7; 32], 258);
        let body = format!(
            "{}0200{}0201000000000000",
            hex(b"trunkrep"),
            "07".repeat(32)
        );
        let (head, checksum) = bytes.split_last_chunk::<32>().unwrap();
        assert_eq!(hex(head), body);
        assert_eq!(*checksum, FRAME.hash(head));
        assert_eq!(bytes.len(), FILE_BYTES);
        assert_eq!(decode(&bytes, &[7; 32]), Ok(258));
    }

    #[test]
    fn other_bytes_are_refused() {
        let bytes = encode(&[7; 32], 258);
        assert_eq!(decode(&bytes, &[8; 32]), Err(ReplicaFileError::Tree));
        assert_only_these(&bytes, |bytes| decode(bytes, &[7; 32]));
        let longer = put_file(MAGIC, &[&[7; 32], &[0; 9]]);
        assert_eq!(decode(&longer, &[7; 32]), Err(ReplicaFileError::Damaged));
    }
}
