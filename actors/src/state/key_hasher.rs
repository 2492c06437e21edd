//! The hasher of maps from key hashes.

use std::hash::{BuildHasherDefault, Hasher};

/// Builds a [`KeyHasher`].
pub type BuildKeyHasher = BuildHasherDefault<KeyHasher>;

/// A hasher that returns the last eight bytes of a key hash: key hashes are already evenly distributed. The first bytes
/// are the path, which batches of neighbours share.
#[derive(Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(tail) = bytes.last_chunk() {
            self.0 = u64::from_le_bytes(*tail);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}
