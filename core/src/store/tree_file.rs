//! The `TREE` file: the parameters of the tree in a directory. It is written once, when the tree is created.
//!
//! Not here: data that changes later.

use std::io;
use std::path::Path;

use super::cursor::{Cursor, open_file, put_file};
use super::disk::{Disk, ReadFileError, read_bounded, replace_file};
use crate::hash::Digest;
use crate::params::{CollisionPolicy, FORMAT, Nonce, SETUP_ID, Salt, TreeParams};

/// Name of the file.
pub const TREE_FILE: &str = "TREE";
/// The length of the file, bytes.
pub const TREE_FILE_BYTES: usize = 8 + 2 + 16 + 1 + 1 + 32 + 32 + 32 + 32;

const MAGIC: [u8; 8] = *b"trunktre";

/// The reason why this build cannot use a tree file.
///
/// ```
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::store::tree_file::{TreeFileError, decode, encode};
/// let mut bytes = encode(&TreeParams::default());
/// bytes[26] = 1; // another collision policy would be another tree
/// assert_eq!(decode(&bytes), Err(TreeFileError::Damaged));
/// assert_eq!(decode(b"something else"), Err(TreeFileError::Magic));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeFileError {
    /// The file begins with other bytes.
    #[error("this is not a trunkline tree file; is it the right directory?")]
    Magic,
    /// Written by another format version.
    #[error(
        "tree file of format {0}; this build reads format {FORMAT}: use a build that reads it, or import the data into a new directory"
    )]
    Format(u16),
    /// The length or checksum is wrong, or fields contradict each other.
    #[error("the tree file is damaged; restore it from a copy")]
    Damaged,
    /// The tree was made with another setup.
    #[error("the tree was made with another KZG setup than the one in this build")]
    Setup,
    /// The number of the collision policy is unknown.
    #[error("the tree has collision policy {0}, which this build does not know")]
    Policy(u8),
    /// The file is valid, but this build hashes such a tree differently.
    #[error(
        "the tree id does not follow from the parameters in the file; use the build that made the tree"
    )]
    TreeId,
}

/// The reason why a tree file was not read.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::{params::TreeParams, store::{disk::if_present, simulated::SimulatedDisk, tree_file}};
/// let (disk, here) = (SimulatedDisk::new(1), Path::new(""));
/// // Create a tree where there is none; any other error means hands off.
/// let params = match if_present(tree_file::read(&disk, here))? {
///     Some(params) => params,
///     None => {
///         tree_file::create(&disk, here, &TreeParams::default())?;
///         TreeParams::default()
///     }
/// };
/// assert_eq!(tree_file::read(&disk, here)?, params);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type ReadTreeFileError = ReadFileError<TreeFileError>;

/// Returns the content of a tree file.
///
/// Layout, integers little-endian: magic `trunktre`, format u16, nonce 16, policy u8, salt flag u8,
/// salt (32, zero if none), setup id 32, tree id 32, checksum 32 (over all before it).
///
/// ```
/// use trunkline_core::params::{Salt, TreeParams};
/// use trunkline_core::store::tree_file::{decode, encode};
/// let params = TreeParams { salt: Some(Salt::new([7; 32])), ..TreeParams::default() };
/// assert_eq!(decode(&encode(&params)), Ok(params));
/// ```
pub fn encode(params: &TreeParams) -> Vec<u8> {
    put_file(
        MAGIC,
        &[
            &params.nonce,
            &[params.collision as u8, u8::from(params.salt.is_some())],
            &params.salt_bytes().unwrap_or_default(),
            &SETUP_ID,
            &params.tree_id(),
        ],
    )
}

/// Reads the result of [`encode`]; anything else is an error.
pub fn decode(bytes: &[u8]) -> Result<TreeParams, TreeFileError> {
    use TreeFileError::{Damaged, Format, Magic};
    let mut cursor = open_file(bytes, MAGIC, Magic, Format, Damaged)?;
    if bytes.len() != TREE_FILE_BYTES {
        return Err(Damaged);
    }
    let fields = fields(&mut cursor).ok_or(Damaged)?;
    let collision =
        CollisionPolicy::from_byte(fields.policy).ok_or(TreeFileError::Policy(fields.policy))?;
    if fields.setup_id != SETUP_ID {
        return Err(TreeFileError::Setup);
    }
    let params = TreeParams {
        nonce: fields.nonce,
        salt: fields.salt,
        collision,
    };
    if params.tree_id() != fields.tree_id {
        return Err(TreeFileError::TreeId);
    }
    Ok(params)
}

struct Fields {
    nonce: Nonce,
    policy: u8,
    salt: Option<Salt>,
    setup_id: Digest,
    tree_id: Digest,
}

fn fields(cursor: &mut Cursor<'_>) -> Option<Fields> {
    let nonce = cursor.array()?;
    let policy = cursor.u8()?;
    let flag = cursor.u8()?;
    let salt: [u8; 32] = cursor.array()?;
    let salt = match flag {
        0 if salt == [0; 32] => None,
        1 => Some(Salt::new(salt)),
        _ => return None,
    };
    Some(Fields {
        nonce,
        policy,
        salt,
        setup_id: cursor.array()?,
        tree_id: cursor.array()?,
    })
}

/// Writes the tree file of a directory: after a crash, the file is complete or missing.
pub fn create(disk: &dyn Disk, directory: &Path, params: &TreeParams) -> io::Result<()> {
    replace_file(disk, &directory.join(TREE_FILE), &encode(params))
}

/// Reads the tree file of a directory.
pub fn read(disk: &dyn Disk, directory: &Path) -> Result<TreeParams, ReadTreeFileError> {
    let path = directory.join(TREE_FILE);
    read_bounded(disk, path, TREE_FILE_BYTES, TreeFileError::Damaged, decode)
}
