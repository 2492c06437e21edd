//! Digests of past versions.

use std::ops::ControlFlow;

use trunkline_core::params::WIDTH;
use trunkline_core::store::past::{PastDigest, TOP_NODE, decode_digest, digest_key};
use trunkline_core::tree::{PAST_NODES, PastDiffers, PastSlot, ReplacedDigests, TreeReader};

use super::{Past, PastError};

impl Past {
    /// Returns the tops of all slots at a version.
    pub(super) fn tops(
        &self,
        reader: &TreeReader,
        version: u64,
    ) -> Result<[PastDigest; WIDTH], PastError> {
        let in_memory = |replaced: &mut dyn Iterator<Item = &ReplacedDigests>, at| {
            let mut found = [None; WIDTH];
            for replaced in replaced {
                for (slot, top) in &replaced.tops {
                    found[usize::from(*slot)].get_or_insert(*top);
                }
            }
            let mut slot = 0..WIDTH;
            found.map(|top| {
                let slot = slot.next().unwrap_or_default();
                top.unwrap_or_else(|| reader.top_at(at, slot))
            })
        };
        let mut tops = self.in_memory(version, in_memory);
        for (slot, top) in tops.iter_mut().enumerate() {
            if let Some(stored) = self.stored_digest(version, slot as u8, TOP_NODE)? {
                *top = stored;
            }
        }
        self.check(version)?;
        Ok(tops)
    }

    /// Returns a slot at a version, with this top.
    pub(super) fn slot(
        &self,
        reader: &TreeReader,
        version: u64,
        slot: usize,
        top: PastDigest,
    ) -> Result<PastSlot, PastError> {
        if !top.deep {
            return Ok(PastSlot::new(slot, top, None)?);
        }
        let in_memory = |replaced: &mut dyn Iterator<Item = &ReplacedDigests>, at| {
            let mut found = [None; PAST_NODES];
            for replaced in replaced {
                let start = replaced
                    .nodes
                    .partition_point(|(other, ..)| usize::from(*other) < slot);
                let nodes = replaced.nodes[start..].iter();
                for (_, node, digest) in nodes.take_while(|(other, ..)| usize::from(*other) == slot)
                {
                    found[usize::from(*node) - PAST_NODES].get_or_insert(*digest);
                }
            }
            let mut node = 0..PAST_NODES;
            found.map(|digest| {
                let node = (PAST_NODES + node.next().unwrap_or_default()) as u8;
                digest.or_else(|| reader.node_at(at, slot, node))
            })
        };
        let found = self.in_memory(version, in_memory);
        let mut nodes = [PastDigest::default(); PAST_NODES];
        for (place, node) in nodes.iter_mut().enumerate() {
            let stored = self.stored_digest(version, slot as u8, (PAST_NODES + place) as u8)?;
            *node = stored.or(found[place]).ok_or(PastDiffers { slot })?;
        }
        self.check(version)?;
        Ok(PastSlot::new(slot, top, Some(&nodes))?)
    }

    /// Looks at the digests that recent versions after one replaced, and at the tree, which keeps its state at the
    /// given version while `look` runs.
    fn in_memory<T>(
        &self,
        version: u64,
        look: impl FnOnce(&mut dyn Iterator<Item = &ReplacedDigests>, u64) -> T,
    ) -> T {
        let recent = self.recent.read();
        look(
            &mut recent.replaced_after(version),
            recent.captured().max(version),
        )
    }

    /// Returns the digest of a node in the first stored entry after a version, if there is one.
    fn stored_digest(
        &self,
        version: u64,
        slot: u8,
        node: u8,
    ) -> Result<Option<PastDigest>, PastError> {
        let Some(after) = version.checked_add(1) else {
            return Ok(None);
        };
        let range =
            digest_key(slot, node, after).to_vec()..=digest_key(slot, node, u64::MAX).to_vec();
        let mut found = None;
        self.scan_from(after, range, &mut |_, content| {
            found = Some(decode_digest(content));
            ControlFlow::Break(())
        })?;
        let damaged = PastError::Damaged {
            version,
            what: "an entry of a digest",
        };
        found.map(|digest| digest.ok_or(damaged)).transpose()
    }
}
