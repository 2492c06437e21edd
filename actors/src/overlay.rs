//! Writes that are accepted and not yet applied, so that a caller reads its own writes at once.
//!
//! Bounded by credit: an entry lives as long as its submission waits for the tree. Writes of
//! submissions with requirements are not shown, because they may yet be refused; that others are,
//! for a collision of paths, is rare enough to show them until then.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::Digest;

/// A key hash is already spread evenly: its first bytes are its hash.
#[derive(Debug, Default)]
pub(crate) struct KeyHashHasher(u64);

impl Hasher for KeyHashHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(head) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*head);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

#[derive(Debug)]
struct Accepted {
    sequence: u64,
    batch: Arc<PreparedBatch>,
    write: u32,
}

/// The newest accepted write of each key that the tree has not seen yet.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    writes: DashMap<Digest, Accepted, BuildHasherDefault<KeyHashHasher>>,
}

impl Overlay {
    /// Shows the writes of a submission. Called in the order of sequence numbers.
    pub(crate) fn show(&self, sequence: u64, batch: &Arc<PreparedBatch>) {
        if !batch.requirements.is_empty() {
            return;
        }
        for (place, write) in (0..).zip(&batch.writes) {
            let accepted = Accepted {
                sequence,
                batch: batch.clone(),
                write: place,
            };
            self.writes.insert(write.key_hash, accepted);
        }
    }

    /// Takes the writes of a submission back, unless later ones have replaced them.
    pub(crate) fn hide(&self, sequence: u64, batch: &PreparedBatch) {
        if !batch.requirements.is_empty() {
            return;
        }
        for write in &batch.writes {
            self.writes
                .remove_if(&write.key_hash, |_, shown| shown.sequence <= sequence);
        }
    }

    /// The newest accepted write of a key: `Some(None)` is a delete.
    pub(crate) fn get(&self, key_hash: &Digest) -> Option<Option<Bytes>> {
        let shown = self.writes.get(key_hash)?;
        Some(shown.batch.contents.held_value(shown.write as usize))
    }
}

#[cfg(test)]
mod tests {
    use trunkline_core::batch::{Batch, BatchLimits};
    use trunkline_core::params::TreeParams;

    use super::*;

    fn prepared(value: &'static str) -> Arc<PreparedBatch> {
        let mut batch = Batch::new();
        batch.put("key", value);
        let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None);
        Arc::new(prepared.unwrap())
    }

    #[test]
    fn a_write_is_shown_until_it_is_hidden_and_never_hides_a_later_one() {
        let overlay = Overlay::default();
        let (first, second) = (prepared("1"), prepared("2"));
        let key_hash = first.writes[0].key_hash;
        overlay.show(1, &first);
        assert_eq!(overlay.get(&key_hash), Some(Some("1".into())));
        overlay.show(2, &second);
        overlay.hide(1, &first);
        assert_eq!(overlay.get(&key_hash), Some(Some("2".into())));
        overlay.hide(2, &second);
        assert_eq!(overlay.get(&key_hash), None);
    }
}
