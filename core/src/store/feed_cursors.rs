//! The `CURSORS` file: named positions in the feed of a tree. The log keeps the versions after them.
//!
//! Not here: the bytes that the log keeps for them, and their readers.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::cursor::{Cursor, open_file, put_file};
use super::disk::{Disk, ReadFileError, if_present, read_bounded, replace_file};
use crate::hash::Digest;
use crate::params::FORMAT;

/// Name of the file.
pub const CURSORS_FILE: &str = "CURSORS";
/// The maximum number of cursors of a tree.
pub const CURSORS_MAX: usize = 64;
/// The maximum length of a cursor's name, bytes.
pub const CURSOR_NAME_BYTES_MAX: usize = 64;

const MAGIC: [u8; 8] = *b"trunkcur";
const FILE_BYTES_MAX: usize = 8 + 2 + 32 + 2 + CURSORS_MAX * (1 + CURSOR_NAME_BYTES_MAX + 8) + 32;

/// The name of a cursor: 1 to 64 bytes of `a-z`, `0-9`, `.`, `-` and `_`.
///
/// ```
/// use trunkline_core::store::feed_cursors::CursorName;
/// assert_eq!(CursorName::new("replica-2").unwrap().as_str(), "replica-2");
/// assert_eq!(CursorName::new("Replica 2"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CursorName(Box<str>);

impl CursorName {
    /// Returns the name, if it is valid.
    pub fn new(name: &str) -> Option<Self> {
        let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        let fits = (1..=CURSOR_NAME_BYTES_MAX).contains(&name.len());
        (fits && name.bytes().all(is_allowed)).then(|| Self(name.into()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for CursorName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The error of reading the cursors of a tree.
///
/// ```
/// use trunkline_core::store::feed_cursors::{CursorsError, decode};
/// assert_eq!(decode(b"something else", &[1; 32]), Err(CursorsError::Magic));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorsError {
    /// The file begins with other bytes.
    #[error("this is not a file of cursors; move it away")]
    Magic,
    /// Written by another format version.
    #[error("its format is {0}; this build reads format {FORMAT}: use a build that reads it")]
    Format(u16),
    /// The length or checksum is wrong, or fields contradict each other.
    #[error("it is damaged; remove it, and create the cursors again")]
    Damaged,
    /// The cursors belong to another tree.
    #[error("it belongs to another tree; remove it, and create the cursors again")]
    Tree,
}

/// The cursors of a tree, each with the last version that it has finished.
pub type Cursors = BTreeMap<CursorName, u64>;

/// Returns the bytes of the file. There must be no more than [`CURSORS_MAX`] cursors.
///
/// Layout, integers little-endian: magic `trunkcur`, format u16, tree id 32, number of cursors u16, then for each in
/// ascending order of names: length of the name u8, name, version u64; checksum 32 (over all before it).
pub fn encode(cursors: &Cursors, tree_id: &Digest) -> Vec<u8> {
    let mut rows = (cursors.len() as u16).to_le_bytes().to_vec();
    for (name, version) in cursors {
        rows.push(name.0.len() as u8);
        rows.extend_from_slice(name.0.as_bytes());
        rows.extend_from_slice(&version.to_le_bytes());
    }
    put_file(MAGIC, &[tree_id, &rows])
}

/// Reads the result of [`encode`]; anything else is an error.
pub fn decode(bytes: &[u8], tree_id: &Digest) -> Result<Cursors, CursorsError> {
    use CursorsError::{Damaged, Format, Magic, Tree};
    let mut fields = open_file(bytes, MAGIC, Magic, Format, Damaged)?;
    if fields.array().ok_or(Damaged)? != *tree_id {
        return Err(Tree);
    }
    rows(&mut fields).ok_or(Damaged)
}

fn rows(fields: &mut Cursor<'_>) -> Option<Cursors> {
    let count = usize::from(fields.u16()?);
    let mut cursors = Cursors::new();
    for _ in 0..count {
        let length = usize::from(fields.u8()?);
        let name = std::str::from_utf8(fields.take(length)?).ok()?;
        let name = CursorName::new(name)?;
        let ascends = cursors
            .last_key_value()
            .is_none_or(|(last, _)| *last < name);
        if !ascends {
            return None;
        }
        cursors.insert(name, fields.u64()?);
    }
    (fields.0.is_empty() && count <= CURSORS_MAX).then_some(cursors)
}

/// Reads the cursors of a tree. A directory without the file has none.
///
/// # Errors
///
/// Fails if the file cannot be read, is damaged, or belongs to another tree.
pub fn read(
    disk: &dyn Disk,
    directory: &Path,
    tree_id: &Digest,
) -> Result<Cursors, ReadFileError<CursorsError>> {
    let (path, damaged) = (directory.join(CURSORS_FILE), CursorsError::Damaged);
    let decode = |bytes: &[u8]| decode(bytes, tree_id);
    let read = if_present(read_bounded(disk, path, FILE_BYTES_MAX, damaged, decode))?;
    Ok(read.unwrap_or_default())
}

/// Replaces the file durably.
///
/// # Errors
///
/// Fails if the system cannot write it. The file has its old content then, or the new.
pub fn write(
    disk: &dyn Disk,
    directory: &Path,
    tree_id: &Digest,
    cursors: &Cursors,
) -> io::Result<()> {
    replace_file(
        disk,
        &directory.join(CURSORS_FILE),
        &encode(cursors, tree_id),
    )
}

#[cfg(test)]
mod tests {
    use super::super::cursor::assert_only_these;
    use super::*;
    use crate::hash::{FRAME, hex};

    fn two() -> Cursors {
        let name = |text| CursorName::new(text).unwrap();
        Cursors::from([(name("b"), 258), (name("a.1"), 7)])
    }

    #[test]
    fn the_bytes_of_the_file_are_fixed() {
        let bytes = encode(&two(), &[7; 32]);
        let rows = "020003612e3107000000000000000162\
                    0201000000000000";
        let body = format!("{}0200{}{rows}", hex(b"trunkcur"), "07".repeat(32));
        let (head, checksum) = bytes.split_last_chunk::<32>().unwrap();
        assert_eq!(hex(head), body);
        assert_eq!(*checksum, FRAME.hash(head));
        assert_eq!(decode(&bytes, &[7; 32]), Ok(two()));
    }

    #[test]
    fn other_bytes_are_refused() {
        let bytes = encode(&two(), &[7; 32]);
        assert_eq!(decode(&bytes, &[8; 32]), Err(CursorsError::Tree));
        assert_only_these(&bytes, |bytes| decode(bytes, &[7; 32]));
        let row = |name: &str| [&[name.len() as u8], name.as_bytes(), &[0; 8]].concat();
        let file = |rows: &[&str]| {
            let count = (rows.len() as u16).to_le_bytes();
            let rows: Vec<u8> = rows.iter().flat_map(|name| row(name)).collect();
            put_file(MAGIC, &[&[7; 32], &count, &rows])
        };
        assert!(decode(&file(&["a", "b"]), &[7; 32]).is_ok());
        for rows in [&["b", "a"][..], &["a", "a"], &["A"], &[""], &["ä"]] {
            assert_eq!(decode(&file(rows), &[7; 32]), Err(CursorsError::Damaged));
        }
    }

    #[test]
    fn the_longest_file_can_be_read() {
        let name = |index: usize| CursorName::new(&format!("{index:064}")).unwrap();
        let cursors: Cursors = (0..CURSORS_MAX).map(|index| (name(index), 1)).collect();
        assert_eq!(encode(&cursors, &[7; 32]).len(), FILE_BYTES_MAX);
        assert_eq!(decode(&encode(&cursors, &[7; 32]), &[7; 32]), Ok(cursors));
    }
}
