//! The `KEY-ORDER` file: marks a directory whose leaf store keeps an index of keys in byte order. It is written once,
//! when the tree is created.
//!
//! Not here: the index (`key_index`).

use std::io;
use std::path::Path;

use super::cursor::{open_file, put_file};
use super::disk::{Disk, ReadFileError, found, if_present, parent_of, read_bounded, replace_file};
use crate::hash::Digest;
use crate::params::FORMAT;

/// Name of the file.
pub const KEY_ORDER_FILE: &str = "KEY-ORDER";

const MAGIC: [u8; 8] = *b"trunkord";
const FILE_BYTES: usize = 8 + 2 + 32 + 32;

/// The error of reading the mark of an index of keys.
///
/// ```
/// use trunkline_core::store::key_order_file::{KeyOrderFileError, decode, encode};
/// let bytes = encode(&[1; 32]);
/// assert_eq!(decode(&bytes, &[1; 32]), Ok(()));
/// assert_eq!(decode(&bytes, &[2; 32]), Err(KeyOrderFileError::Tree));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyOrderFileError {
    /// The file begins with other bytes.
    #[error("this is not the mark of an index of keys; restore the directory from a copy")]
    Magic,
    /// Written by another format version.
    #[error("its format is {0}; this build reads format {FORMAT}: use a build that reads it")]
    Format(u16),
    /// The length or checksum is wrong.
    #[error("it is damaged; restore the directory from a copy")]
    Damaged,
    /// The file belongs to another tree.
    #[error("it belongs to another tree; restore the directory from a copy")]
    Tree,
}

/// Returns the bytes of the file.
///
/// Layout, integers little-endian: magic `trunkord`, format u16, tree id 32, checksum 32 (over all before it).
pub fn encode(tree_id: &Digest) -> Vec<u8> {
    put_file(MAGIC, &[tree_id])
}

/// Reads the result of [`encode`]; anything else is an error.
pub fn decode(bytes: &[u8], tree_id: &Digest) -> Result<(), KeyOrderFileError> {
    use KeyOrderFileError::{Damaged, Format, Magic, Tree};
    let mut fields = open_file(bytes, MAGIC, Magic, Format, Damaged)?;
    let read: Digest = fields.array().ok_or(Damaged)?;
    match fields.0.is_empty() {
        false => Err(Damaged),
        true if read != *tree_id => Err(Tree),
        true => Ok(()),
    }
}

/// Returns whether the leaf store of a directory keeps an index of keys.
///
/// # Errors
///
/// Fails if the file cannot be read, is damaged, or belongs to another tree.
pub fn read(
    disk: &dyn Disk,
    directory: &Path,
    tree_id: &Digest,
) -> Result<bool, ReadFileError<KeyOrderFileError>> {
    let (path, damaged) = (directory.join(KEY_ORDER_FILE), KeyOrderFileError::Damaged);
    let decode = |bytes: &[u8]| decode(bytes, tree_id);
    let read = if_present(read_bounded(disk, path, FILE_BYTES, damaged, decode))?;
    Ok(read.is_some())
}

/// Writes the file, or removes an interrupted creation's remains if there is no index: after a crash the file is
/// complete or missing.
pub fn create(
    disk: &dyn Disk,
    directory: &Path,
    tree_id: &Digest,
    has_index: bool,
) -> io::Result<()> {
    let path = directory.join(KEY_ORDER_FILE);
    if has_index {
        return replace_file(disk, &path, &encode(tree_id));
    }
    match found(disk.remove(&path))? {
        Some(()) => disk.sync_directory(parent_of(&path)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cursor::assert_only_these;
    use super::*;
    use crate::hash::{FRAME, hex};

    #[test]
    fn the_bytes_of_the_file_are_fixed() {
        let bytes = encode(&[7; 32]);
        let body = format!("{}0200{}", hex(b"trunkord"), "07".repeat(32));
        let (head, checksum) = bytes.split_last_chunk::<32>().unwrap();
        assert_eq!(hex(head), body);
        assert_eq!(*checksum, FRAME.hash(head));
        assert_eq!(bytes.len(), FILE_BYTES);
        assert_eq!(decode(&bytes, &[7; 32]), Ok(()));
    }

    #[test]
    fn other_bytes_are_refused() {
        let bytes = encode(&[7; 32]);
        assert_eq!(decode(&bytes, &[8; 32]), Err(KeyOrderFileError::Tree));
        assert_only_these(&bytes, |bytes| decode(bytes, &[7; 32]));
        let longer = put_file(MAGIC, &[&[7; 32], &[0; 1]]);
        assert_eq!(decode(&longer, &[7; 32]), Err(KeyOrderFileError::Damaged));
    }
}
