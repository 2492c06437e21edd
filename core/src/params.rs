//! The parameters of a tree, which its tree id commits to.
//!
//! Settings that may change during the life of a tree are configuration.

use crate::hash::{self, Digest, TREE_ID};

/// The version of every hashed and stored format.
pub const FORMAT: u16 = 2;
/// Number of children of a node.
pub const WIDTH: usize = 128;
/// Number of levels of nodes, including the root.
pub const DEPTH: usize = 8;
/// Number of bits of a path: 8 digits of 7 bits, the first 7 bytes of a key hash.
pub const PATH_BITS: u32 = 56;
/// Number of bits that the root node consumes.
pub const ROOT_BITS: u32 = 7;
/// The nonce of a tree: 16 random bytes that no other tree has.
pub type Nonce = [u8; 16];
/// Most members of a bucket.
pub const BUCKET_MEMBERS_MAX: usize = 16;

/// Longest key in bytes.
pub const KEY_BYTES_MAX: usize = 4 * 1024;
/// Longest value in bytes.
pub const VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest metadata of a commit in bytes.
pub const METADATA_BYTES_MAX: usize = 256;

/// Identifies the embedded setup: BLAKE3 of its points, compressed, as the ceremony lists them.
pub const SETUP_ID: Digest =
    hash::from_hex("201eccd8ba10d3700d0e32d1b255e11f3a95a8f592326aaa5e6a0a5fe6508870");

/// The rule for a key whose whole 56-bit path is taken by another key.
///
/// ```
/// use trunkline_core::params::{CollisionPolicy, TreeParams};
/// let bucket = TreeParams::default();
/// let overwrite = TreeParams { collision: CollisionPolicy::Overwrite, ..bucket };
/// assert_ne!(bucket.tree_id(), overwrite.tree_id()); // a tree keeps its policy
/// assert_eq!(CollisionPolicy::from_byte(CollisionPolicy::Overwrite as u8), Some(overwrite.collision));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CollisionPolicy {
    /// Both live in a bucket of at most [`BUCKET_MEMBERS_MAX`]; the state is independent of history.
    #[default]
    Bucket = 0,
    /// The newest key replaces the older one, which is reported as displaced.
    Overwrite = 1,
    /// The submission that brings the second key is refused.
    Reject = 2,
}

impl CollisionPolicy {
    /// Returns the policy of a byte on disk or on the wire.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Bucket),
            1 => Some(Self::Overwrite),
            2 => Some(Self::Reject),
            _ => None,
        }
    }
}

/// A public salt, with the hashing key that follows from it.
///
/// Deriving that key takes two compressions, so it is done once.
///
/// ```
/// use trunkline_core::params::Salt;
/// let salt = Salt::new([7; 32]);
/// assert_eq!(salt.bytes(), &[7; 32]);
/// let path_key = blake3::derive_key("trunkline v2 path key", &[7; 32]);
/// assert_eq!(salt.key_hash(b"a"), *blake3::keyed_hash(&path_key, b"a").as_bytes());
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt {
    bytes: [u8; 32],
    path_key: [u8; 32],
}

impl Salt {
    /// Returns the salt of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        let path_key = blake3::derive_key("trunkline v2 path key", &bytes);
        Self { bytes, path_key }
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Returns the hash of a key in a tree with this salt.
    pub fn key_hash(&self, key: &[u8]) -> Digest {
        hash::keyed_hash(&self.path_key, key)
    }
}

impl core::fmt::Debug for Salt {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "Salt({})", hash::hex(&self.bytes))
    }
}

/// The parameters of a tree, fixed when it is created.
///
/// ```
/// use trunkline_core::params::{Salt, TreeParams};
/// let plain = TreeParams::default();
/// let salted = TreeParams { salt: Some(Salt::new([7; 32])), ..plain };
/// assert_ne!(plain.tree_id(), salted.tree_id());
/// assert_ne!(plain.key_hash(b"a"), salted.key_hash(b"a"));
/// // Two trees with equal rules are two trees.
/// let other = TreeParams { nonce: [1; 16], ..plain };
/// assert_ne!(plain.tree_id(), other.tree_id());
/// assert_eq!(plain.key_hash(b"a"), other.key_hash(b"a"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeParams {
    /// Identifies the tree itself: random bytes, made when it is created. Replicas of a tree have its nonce.
    pub nonce: Nonce,
    /// Public salt: keys are hashed under it, which stops precomputed collisions (and nothing more).
    pub salt: Option<Salt>,
    /// The rule for two keys on one path.
    pub collision: CollisionPolicy,
}

impl TreeParams {
    /// Returns the hash of a key: its first 56 bits are its path.
    pub fn key_hash(&self, key: &[u8]) -> Digest {
        match &self.salt {
            None => hash::hash(key),
            Some(salt) => salt.key_hash(key),
        }
    }

    /// Writes the hashes of many keys, in order.
    #[cfg(feature = "state")]
    pub fn hash_keys<'a>(&self, keys: impl Iterator<Item = &'a [u8]>, key_hashes: &mut [Digest]) {
        let key = self.salt.as_ref().map(|salt| &salt.path_key);
        hash::hash_each(key, keys.enumerate(), key_hashes);
    }

    /// Returns the bytes of the salt, if there is one.
    pub fn salt_bytes(&self) -> Option<[u8; 32]> {
        self.salt.map(|salt| salt.bytes)
    }

    /// Returns the tree id: a digest over everything that gives the roots of this tree their meaning.
    ///
    /// Body: format u16, width u16, depth u8, path bits u8, nonce (16), salt flag u8, salt (32, zero if
    /// none), policy u8, bucket bound u8, the keys of leaf, inner and bucket (32 each), setup id (32);
    /// integers little-endian.
    pub fn tree_id(&self) -> Digest {
        TREE_ID.hash_parts(&[
            &FORMAT.to_le_bytes(),
            &(WIDTH as u16).to_le_bytes(),
            &[DEPTH as u8, PATH_BITS as u8],
            &self.nonce,
            &[u8::from(self.salt.is_some())],
            &self.salt_bytes().unwrap_or_default(),
            &[self.collision as u8, BUCKET_MEMBERS_MAX as u8],
            hash::LEAF.key(),
            hash::INNER.key(),
            hash::BUCKET.key(),
            &SETUP_ID,
        ])
    }
}

/// Returns the path of a key hash: its first 7 bytes, most significant bit first, as an integer.
///
/// ```
/// let mut key_hash = [0xff; 32];
/// key_hash[0] = 0x80;
/// assert_eq!(trunkline_core::params::path_of(&key_hash), 0x80_ff_ff_ff_ff_ff_ff);
/// ```
pub fn path_of(key_hash: &Digest) -> u64 {
    let [a, b, c, d, e, f, g, ..] = *key_hash;
    u64::from_be_bytes([0, a, b, c, d, e, f, g])
}

/// Returns the root slot of a key hash: the first digit of its path.
pub fn slot_of(key_hash: &Digest) -> usize {
    usize::from(key_hash[0] >> 1)
}
