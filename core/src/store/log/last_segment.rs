//! The file that names the last segment, so that a log that has lost it is not taken for one that ended earlier.
//!
//! It is written after a segment got its name and before anything in the segment is acknowledged. A segment that it names
//! is removed only after it names a later one. Not here: segments themselves.

use std::io;
use std::path::{Path, PathBuf};

use super::SegmentName;
use crate::hash::Digest;
use crate::params::FORMAT;
use crate::store::cursor::{Cursor, open_file, put_file};
use crate::store::disk::{Disk, ReadFileError, read_bounded, replace_file};

/// Name of the file, in the log's directory.
pub const LAST_SEGMENT_FILE: &str = "LAST-SEGMENT";
/// Its length, always.
const FILE_BYTES: usize = 8 + 2 + 32 + 8 + 8 + 32;

const MAGIC: [u8; 8] = *b"trunklst";

/// The reason why bytes do not name the last segment of a log.
///
/// ```
/// use trunkline_core::store::log::LastSegmentError;
/// assert!(LastSegmentError::Damaged.to_string().ends_with("restore it from a copy"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LastSegmentError {
    /// It does not begin as such a file does.
    #[error("this file does not name the last segment of a log; restore it from a copy")]
    Magic,
    /// Written by another format version.
    #[error("format {0}; this build reads format {FORMAT}: use a build that reads it")]
    Format(u16),
    /// Wrong length or checksum.
    #[error("the file is damaged; restore it from a copy")]
    Damaged,
    /// The file is of another tree.
    #[error("the file belongs to the log of another tree; restore it from a copy")]
    Tree,
}

/// Returns the path of the file.
pub(super) fn path_in(directory: &Path) -> PathBuf {
    directory.join(LAST_SEGMENT_FILE)
}

/// Writes the file, durably.
pub(super) fn write(
    disk: &dyn Disk,
    directory: &Path,
    tree_id: &Digest,
    segment: SegmentName,
) -> io::Result<()> {
    replace_file(disk, &path_in(directory), &encode(tree_id, segment))
}

/// Reads the file; `None` if there is none.
pub(super) fn read(
    disk: &dyn Disk,
    directory: &Path,
    tree_id: &Digest,
) -> Result<Option<SegmentName>, ReadFileError<LastSegmentError>> {
    let (path, damaged) = (path_in(directory), LastSegmentError::Damaged);
    let decoded = read_bounded(disk, path, FILE_BYTES, damaged, |bytes| {
        decode(bytes, tree_id)
    });
    match decoded {
        Err(ReadFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        decoded => decoded.map(Some),
    }
}

fn encode(tree_id: &Digest, segment: SegmentName) -> Vec<u8> {
    let epoch = segment.open_epoch.to_le_bytes();
    let version = segment.first_version.to_le_bytes();
    put_file(MAGIC, &[tree_id, &epoch, &version])
}

fn decode(bytes: &[u8], tree_id: &Digest) -> Result<SegmentName, LastSegmentError> {
    use LastSegmentError::{Damaged, Format, Magic, Tree};
    let mut cursor = open_file(bytes, MAGIC, Magic, Format, Damaged)?;
    let (found, segment) = fields(&mut cursor).ok_or(Damaged)?;
    match found == *tree_id {
        true => Ok(segment),
        false => Err(Tree),
    }
}

fn fields(cursor: &mut Cursor<'_>) -> Option<(Digest, SegmentName)> {
    let tree_id = cursor.array()?;
    let segment = SegmentName {
        open_epoch: cursor.u64()?,
        first_version: cursor.u64()?,
    };
    cursor.0.is_empty().then_some((tree_id, segment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{FRAME, hex};

    const SEGMENT: SegmentName = SegmentName {
        open_epoch: 3,
        first_version: 258,
    };

    #[test]
    fn the_bytes_of_the_file_are_fixed() {
        let bytes = encode(&[7; 32], SEGMENT);
        let body = format!(
            "{}0200{}03000000000000000201000000000000",
            hex(b"trunklst"),
            "07".repeat(32)
        );
        assert_eq!(hex(&bytes[..58]), body);
        assert_eq!(bytes[58..], FRAME.hash(&bytes[..58]));
        assert_eq!(bytes.len(), FILE_BYTES);
        assert_eq!(decode(&bytes, &[7; 32]), Ok(SEGMENT));
    }

    #[test]
    fn other_bytes_are_refused() {
        use LastSegmentError::{Damaged, Format, Magic, Tree};
        let bytes = encode(&[7; 32], SEGMENT);
        assert_eq!(decode(&bytes, &[8; 32]), Err(Tree));
        assert_eq!(decode(b"", &[7; 32]), Err(Magic));
        for cut in 10..bytes.len() {
            assert_eq!(decode(&bytes[..cut], &[7; 32]), Err(Damaged));
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let expected = match place {
                ..8 => Magic,
                8 => Format(3),
                9 => Format(258),
                _ => Damaged,
            };
            assert_eq!(decode(&changed, &[7; 32]), Err(expected));
        }
        let longer = put_file(MAGIC, &[&[7; 32], &[0; 17]]);
        assert_eq!(decode(&longer, &[7; 32]), Err(Damaged));
    }
}
