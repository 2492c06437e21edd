//! Keys that versions deleted, in byte order: those of a past version that the index of keys no longer has.
//!
//! They are candidates, as all keys of a range are: each is looked up at the version. So each is stored once for a
//! segment, and without the version.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use trunkline_core::store::key_index::KeyScan;
use trunkline_core::store::leaves::LeafStoreError;
use trunkline_core::store::past::{PastEntry, PastKey, deleted_key};

use super::{Past, PastError};
use crate::state::layer::Layer;

impl Past {
    /// Returns the first keys of a scan that stored versions after one have deleted, at most `count` of each segment.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read.
    pub fn deleted_keys(
        &self,
        version: u64,
        scan: &KeyScan<'_>,
        count: usize,
    ) -> Result<Vec<Vec<Bytes>>, PastError> {
        let first = match scan.lower {
            Bound::Included(key) | Bound::Excluded(key) => deleted_key(key),
            Bound::Unbounded => deleted_key(b""),
        };
        let last = match scan.upper {
            Bound::Included(key) | Bound::Excluded(key) => deleted_key(key),
            // Before every other kind of entry.
            Bound::Unbounded => vec![1],
        };
        let (store, mut lists) = (self.store()?, Vec::new());
        for segment in self.segments_from(version.saturating_add(1)) {
            let (mut keys, mut is_sound) = (Vec::new(), true);
            let mut visit = |entry: &[u8], _: &[u8]| {
                let Some(PastKey::DeletedKey(key)) = PastKey::decode(entry) else {
                    is_sound = false;
                    return ControlFlow::Break(());
                };
                if scan.contains(key) {
                    keys.push(Bytes::copy_from_slice(key));
                }
                match keys.len() < count {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            };
            let range = first.clone()..=last.clone();
            match scan.is_reverse {
                true => store.scan_back(segment, range, &mut visit)?,
                false => store.scan(segment, range, &mut visit)?,
            }
            if !is_sound {
                let what = "an entry of a deleted key";
                return Err(PastError::Damaged { version, what });
            }
            lists.push(keys);
        }
        Ok(lists)
    }
}

/// Returns the entries of the keys that versions from `next` on have deleted, in their order.
pub(super) fn entries(
    layers: &[Arc<Layer>],
    next: u64,
) -> impl Iterator<Item = Result<PastEntry, LeafStoreError>> {
    let layers = layers.iter().filter(|layer| layer.version >= next);
    let effects = layers.flat_map(|layer| layer.effects());
    let deleted = effects.filter(|effect| effect.change.is_none());
    let mut keys: Vec<&[u8]> = deleted.map(|effect| effect.key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .map(|key| Ok((deleted_key(key), Vec::new())))
}
