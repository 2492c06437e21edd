//! The objects of an archive, as bytes: bases, segments, and their names.
//!
//! Below its prefix, an archive has
//!
//! * [`TREE_OBJECT`]: the tree file ([`super::tree_file`]);
//! * `bases/<version>-<epoch>/`: a base, that is all leaves, commit ids and idempotency keys of one version in parts
//!   ([`part`]), and the [`manifest`], which is written last. A base without a manifest is unfinished;
//! * `segments/<first version>-<last version>-<epoch>`: the entries of these versions as frames ([`segment`]).
//!
//! Each object is written once, and ends with a checksum over all before it. Not here: object stores, and which objects
//! a restore needs.

pub mod manifest;
mod name;
pub mod part;
pub mod segment;

pub use name::{BaseName, PartName, SegmentName};

use super::cursor::{Cursor, open_file, put_file};
use crate::hash::{Digest, hex};
use crate::params::FORMAT;
use crate::record::RecordError;

/// Name of the object with the tree file.
pub const TREE_OBJECT: &str = "tree";
/// Folder of the bases.
pub const BASES_FOLDER: &str = "bases";
/// Folder of the segments.
pub const SEGMENTS_FOLDER: &str = "segments";

/// The reason why bytes are not the expected object of an archive.
///
/// ```
/// use trunkline_core::store::archive::{ObjectError, manifest::BaseManifest};
/// assert_eq!(BaseManifest::decode(b"something else"), Err(ObjectError::Magic("a manifest of a base")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// It does not begin as such an object does. The field names the expected object.
    #[error("this is not {0}")]
    Magic(&'static str),
    /// It was written in another format.
    #[error("its format is {0}; this build reads format {FORMAT}: use a build that reads it")]
    Format(u16),
    /// The checksum or the length is wrong.
    #[error("its checksum or its length is wrong")]
    Damaged,
    /// It belongs to another tree.
    #[error("it belongs to the tree {}", hex(.0))]
    OtherTree(Digest),
    /// Its checksum is right, but its fields contradict each other.
    #[error("its checksum is right, but {0}")]
    Contradiction(&'static str),
    /// The commit record cannot be read.
    #[error("its commit record cannot be read")]
    Record(#[from] RecordError),
}

/// A kind of object, with the magic at its beginning.
struct Kind {
    magic: [u8; 8],
    name: &'static str,
}

impl Kind {
    /// Lays out an object: magic, format, tree id, the fields, checksum.
    fn put(&self, tree_id: &Digest, fields: &[&[u8]]) -> Vec<u8> {
        put_file(self.magic, &[&[&tree_id[..]], fields].concat())
    }

    /// Checks everything that [`Self::put`] adds to the fields. Returns the tree id and a cursor over the fields.
    fn open<'a>(&self, bytes: &'a [u8]) -> Result<(Digest, Cursor<'a>), ObjectError> {
        let (magic, damaged) = (ObjectError::Magic(self.name), ObjectError::Damaged);
        let mut cursor = open_file(bytes, self.magic, magic, ObjectError::Format, damaged)?;
        let tree_id = cursor.array().ok_or(ObjectError::Damaged)?;
        Ok((tree_id, cursor))
    }
}

/// Returns the checksum at the end of an object, or `None` if it is shorter than one.
///
/// ```
/// use trunkline_core::store::archive::checksum;
/// assert_eq!(checksum(&[7; 40]), Some([7; 32]));
/// ```
pub fn checksum(object: &[u8]) -> Option<Digest> {
    object.last_chunk().copied()
}

/// Checks that an object belongs to a tree.
fn check_tree(found: Digest, tree_id: &Digest) -> Result<(), ObjectError> {
    match found == *tree_id {
        true => Ok(()),
        false => Err(ObjectError::OtherTree(found)),
    }
}
