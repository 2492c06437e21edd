//! Many keys at once: looked up in path order, so that neighbours in the tree and in the leaf store are
//! read one after the other, and a few ahead, so that cache misses overlap. Not here: what a single read
//! sees (`engine`, `snapshot`).

use bytes::Bytes;
use trunkline_core::batch::{BatchError, check_key};
use trunkline_core::hash::Digest;

use crate::shared::State;

/// Keys whose way through the tree is touched before the first of them is read.
const READ_AHEAD_KEYS: usize = 16;

/// What `get` answers for each key, in the order of the keys. The first error ends it.
pub(crate) fn in_path_order<K: AsRef<[u8]>, E: From<BatchError>>(
    state: &State,
    keys: &[K],
    mut get: impl FnMut(&Digest) -> Result<Option<Bytes>, E>,
) -> Result<Vec<Option<Bytes>>, E> {
    let mut hashed = Vec::with_capacity(keys.len());
    for (place, key) in keys.iter().enumerate() {
        check_key(place, key.as_ref())?;
        hashed.push((state.params.key_hash(key.as_ref()), place));
    }
    hashed.sort_unstable();
    let mut values = vec![None; keys.len()];
    let mut key_hashes = Vec::with_capacity(READ_AHEAD_KEYS);
    for some in hashed.chunks(READ_AHEAD_KEYS) {
        key_hashes.clear();
        key_hashes.extend(some.iter().map(|(key_hash, _)| *key_hash));
        state.reader.read_ahead(&key_hashes);
        for (key_hash, place) in some {
            values[*place] = get(key_hash)?;
        }
    }
    Ok(values)
}
