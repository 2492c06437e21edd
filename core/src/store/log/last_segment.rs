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
use crate::store::disk::{Disk, ReadFileError, if_present, read_bounded, read_file, replace_file};

/// The name of the file, in the log's directory.
pub const LAST_SEGMENT_FILE: &str = "LAST-SEGMENT";
/// The length of the file, bytes.
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
    /// The file begins with other bytes.
    #[error("this file does not name the last segment of a log; restore it from a copy")]
    Magic,
    /// Written by another format version.
    #[error("format {0}; this build reads format {FORMAT}: use a build that reads it")]
    Format(u16),
    /// The length or checksum is wrong.
    #[error("the file is damaged; restore it from a copy")]
    Damaged,
    /// The file belongs to the log of another tree.
    #[error("the file belongs to the log of another tree; restore it from a copy")]
    Tree,
}

/// Returns the path of the file.
pub(super) fn path_in(directory: &Path) -> PathBuf {
    directory.join(LAST_SEGMENT_FILE)
}

/// Writes the file durably.
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
    let decode = |bytes: &[u8]| decode(bytes, tree_id);
    if_present(read_bounded(disk, path, FILE_BYTES, damaged, decode))
}

/// Fewer bits than this in which a damaged file differs from another prove that it was that one: the checksums of two such files
/// differ in about 128 bits.
const DAMAGED_BITS_MAX: u32 = 64;

/// The last segment of a log whose file names no existing segment, as needed to write the file.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::store::{log::prove_last_segment, simulated::SimulatedDisk};
/// // Without a file there is nothing that proves that no later segment was lost.
/// let proven = prove_last_segment(&SimulatedDisk::new(1), Path::new("log"), &[1; 32], &[]);
/// assert_eq!(proven.unwrap(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvenSegment(SegmentName);

impl ProvenSegment {
    /// Returns the segment without a proof: the caller knows that it is the last.
    pub fn trusted(segment: SegmentName) -> Self {
        Self(segment)
    }

    /// Returns the name of the segment.
    pub fn name(&self) -> SegmentName {
        self.0
    }

    /// Writes the file of a log durably.
    pub fn write(&self, disk: &dyn Disk, directory: &Path, tree_id: &Digest) -> io::Result<()> {
        write(disk, directory, tree_id, self.0)
    }
}

/// Returns the last segment, if what is left of the file proves that it is the last of those that are there; `None` if
/// nothing proves it. The segments are all that are there, in order, and must chain without a gap. It is proven
///
/// - if the file names a segment that is gone, and a later one is there: the file is written before anything in a segment
///   is acknowledged, so nothing was acknowledged in a third one;
/// - if the file is damaged, and differs from one that names the last segment in less than 64 bits.
pub fn prove_last_segment(
    disk: &dyn Disk,
    directory: &Path,
    tree_id: &Digest,
    segments: &[SegmentName],
) -> io::Result<Option<ProvenSegment>> {
    let Some(&last) = segments.last() else {
        return Ok(None);
    };
    let bytes = match read_file(disk, &path_in(directory), FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            let is_absent = matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidData
            );
            return if is_absent { Ok(None) } else { Err(error) };
        }
    };
    let is_proven = match decode(&bytes, tree_id) {
        Ok(named) => named < last && !segments.contains(&named),
        Err(_) => bits_apart(&bytes, &encode(tree_id, last)) < DAMAGED_BITS_MAX,
    };
    Ok(is_proven.then_some(ProvenSegment(last)))
}

/// Returns the number of bits in which two files differ; files of different lengths differ in all bits.
fn bits_apart(one: &[u8], other: &[u8]) -> u32 {
    if one.len() != other.len() {
        return u32::MAX;
    }
    let pairs = one.iter().zip(other);
    pairs.map(|(one, other)| (one ^ other).count_ones()).sum()
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
    fn the_last_segment_is_proven_by_what_is_left_of_the_file() {
        use crate::store::simulated::SimulatedDisk;
        let (tree, here) = ([7; 32], Path::new(""));
        let name = |open_epoch| SegmentName {
            open_epoch,
            first_version: 258,
        };
        let proven = |bytes: &[u8], segments: &[SegmentName]| {
            let disk = SimulatedDisk::new(1);
            replace_file(&disk, &path_in(here), bytes).unwrap();
            let proven = prove_last_segment(&disk, here, &tree, segments).unwrap();
            proven.map(|proven| proven.name())
        };
        let whole = encode(&tree, SEGMENT);
        // The file names a missing segment: then only a later one is the last.
        assert_eq!(proven(&whole, &[name(2)]), None);
        assert_eq!(proven(&whole, &[name(2), name(4)]), Some(name(4)));
        // An existing segment needs no proof.
        assert_eq!(proven(&whole, &[SEGMENT, name(4)]), None);
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0xff;
            assert_eq!(proven(&damaged, &[SEGMENT]), Some(SEGMENT), "byte {place}");
            assert_eq!(proven(&damaged, &[name(2)]), None, "byte {place}");
            assert_eq!(proven(&damaged[..place], &[SEGMENT]), None);
        }
        assert_eq!(proven(&encode(&[8; 32], SEGMENT), &[SEGMENT]), None);
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
