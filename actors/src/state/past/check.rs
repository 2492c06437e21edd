//! Reading all stored entries, for a check of a directory.

use std::ops::ControlFlow;

use bytes::Bytes;
use trunkline_core::params::{TreeParams, WIDTH};
use trunkline_core::store::past::{PastKey, decode_digest, decode_leaf, decode_version};
use trunkline_core::tree::PastSlot;

use super::{OpenedVersion, Past, PastError};
use crate::state::values::Values;

impl Past {
    /// Reads every stored entry, and checks that it is one, in its place.
    ///
    /// # Errors
    ///
    /// Fails with the version of the first entry that is not, or if the store cannot be read.
    pub fn check_entries(&self, params: &TreeParams) -> Result<(), PastError> {
        let (mut damaged, mut last) = (false, self.oldest());
        let all = vec![0]..=vec![u8::MAX; 64];
        self.scan_from(0, all, &mut |key, content| {
            let found = PastKey::decode(key);
            let is_sound = match found {
                Some(PastKey::DeletedKey(_)) => content.is_empty(),
                Some(PastKey::Value { key_hash, version }) => {
                    last = version;
                    decode_leaf(content).is_some_and(|leaf| {
                        leaf.is_none_or(|leaf| params.key_hash(leaf.key) == key_hash)
                    })
                }
                Some(PastKey::Digest { version, .. }) => {
                    last = version;
                    decode_digest(content).is_some()
                }
                Some(PastKey::Version(version)) => {
                    last = version;
                    let content = Bytes::copy_from_slice(content);
                    decode_version(&content).is_some_and(|found| found.record.version == version)
                }
                None => false,
            };
            damaged = !is_sound;
            match damaged {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        match damaged {
            true => Err(PastError::Damaged {
                version: last,
                what: "an entry",
            }),
            false => Ok(()),
        }
    }

    /// Checks that all keys and values of a version fold to its digests.
    ///
    /// # Errors
    ///
    /// Fails if they do not, or if a store cannot be read.
    pub fn check_values(&self, values: &Values, opened: &OpenedVersion) -> Result<(), PastError> {
        for slot in 0..WIDTH {
            let whole = PastSlot::new(slot, opened.top(slot), None)?;
            let mut first = [0; 32];
            first[0] = (slot as u8) << 1;
            let mut last = [0xff; 32];
            last[0] = first[0] | 1;
            let leaves = self.leaves(values, opened.version.number(), first..=last)?;
            whole.load(1, leaves)?;
        }
        Ok(())
    }

    /// Returns the range of stored versions.
    pub fn stored(&self) -> std::ops::Range<u64> {
        match self.segments.read().stored.is_empty() {
            true => 0..0,
            false => self.oldest()..self.next(),
        }
    }
}
