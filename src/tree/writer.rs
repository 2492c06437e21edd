//! The one who changes the tree: applies submissions, wholly or not at all, and seals versions.

use std::sync::Arc;

use super::cells::{DirtyCells, cell_of};
use super::reader::TreeReader;
use super::update::{Change, Origin, Walk};
use super::{Leaf, Shared, read, write};
use crate::batch::{PreparedBatch, Requirement, Write, leaf_digest};
use crate::hash::{Digest, ZERO};
use crate::outcome::Refusal;
use crate::params::{CollisionPolicy, WIDTH, slot_of};

/// A key that a submission changed.
///
/// ```
/// use trunkline_core::{batch::{Batch, BatchLimits}, params::TreeParams, tree};
/// let params = TreeParams::default();
/// let (mut writer, _) = tree::build(params.collision, &[]).unwrap();
/// let mut batch = Batch::new();
/// batch.put("a", "1").delete("never there");
/// let prepared = batch.prepare(&params, &BatchLimits::default(), None).unwrap();
/// let changed = writer.apply(&prepared, 1).unwrap();
/// assert_eq!(changed.len(), 1);
/// assert_eq!(changed[0].key_hash, params.key_hash(b"a"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Hash of the key.
    pub key_hash: Digest,
    /// Place of the write among the prepared writes, or `None` if a newer key on the same path
    /// evicted this one.
    pub write: Option<u32>,
}

/// What a version changed: hand it to the hasher, in order of versions.
///
/// ```
/// use trunkline_core::{params::CollisionPolicy, tree};
/// let (mut writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
/// assert_eq!(writer.seal(0).version(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct SealedChanges {
    pub(super) version: u64,
    pub(super) key_count: u64,
    /// Slot by slot; slots without change are left out.
    pub(super) slots: Vec<(usize, DirtyCells)>,
}

impl SealedChanges {
    /// The version that was sealed.
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// What happened to a slot since the last seal.
#[derive(Clone, Debug, Default)]
struct Dirty {
    cells: Vec<u32>,
    all: bool,
}

/// Applies submissions. There is one for each tree.
///
/// ```
/// use trunkline_core::{batch::*, outcome::Refusal, params::TreeParams, tree};
/// let params = TreeParams::default();
/// let (mut writer, _) = tree::build(params.collision, &[]).unwrap();
/// let mut batch = Batch::new();
/// batch.put("a", "1").require("a", Requirement::value(b"0"));
/// let prepared = batch.prepare(&params, &BatchLimits::default(), None).unwrap();
/// assert!(matches!(writer.apply(&prepared, 1), Err(Refusal::RequirementFailed { .. })));
/// assert_eq!(writer.key_count(), 0);
/// ```
#[derive(Debug)]
pub struct TreeWriter {
    shared: Arc<Shared>,
    policy: CollisionPolicy,
    key_count: u64,
    dirty: Vec<Dirty>,
    merged: Vec<Leaf>,
}

impl TreeWriter {
    /// A writer over leaves that were built as `version`: all of them are dirty.
    pub(super) fn new(shared: Arc<Shared>, policy: CollisionPolicy, key_count: u64) -> Self {
        let all = Dirty {
            cells: Vec::new(),
            all: true,
        };
        Self {
            shared,
            policy,
            key_count,
            dirty: vec![all; WIDTH],
            merged: Vec::new(),
        }
    }

    /// Keys present.
    pub fn key_count(&self) -> u64 {
        self.key_count
    }

    /// A reader of the same tree.
    pub fn reader(&self) -> TreeReader {
        TreeReader::new(self.shared.clone())
    }

    /// Applies a submission as part of a version, wholly or, if it is refused, not at all. Versions
    /// come in ascending order, each sealed before the next begins.
    ///
    /// Returns what really changed, ascending by key hash: a put of the value that is there and a
    /// delete of a key that is not there change nothing.
    pub fn apply(&mut self, batch: &PreparedBatch, version: u64) -> Result<Vec<Changed>, Refusal> {
        self.check(&batch.requirements)?;
        let mut changes = Vec::with_capacity(batch.writes.len());
        let origin = Origin::Version(version);
        let policy = self.policy;
        if let Err(refusal) = self.walk(&batch.writes, version, &origin, policy, &mut changes) {
            self.undo(changes, version);
            return Err(refusal);
        }
        let mut changed: Vec<Changed> = changes
            .iter()
            .map(|change| Changed {
                key_hash: change.key_hash,
                write: change.write,
            })
            .collect();
        if !changed.is_sorted_by_key(|change| change.key_hash) {
            changed.sort_unstable_by_key(|change| change.key_hash);
        }
        Ok(changed)
    }

    /// Applies effects that were resolved before, as a commit log holds them. `writes` are sorted
    /// strictly ascending by key hash.
    ///
    /// A log of policy `overwrite` or `reject` never leads to two keys of one path, so the most
    /// permissive policy replays all three; a refusal means that the log is not one of this tree.
    pub fn replay(&mut self, writes: &[Write], version: u64) -> Result<(), Refusal> {
        let origin = Origin::Version(version);
        let policy = CollisionPolicy::Bucket;
        self.walk(writes, version, &origin, policy, &mut Vec::new())
    }

    /// Ends a version: what changed in it, for the hasher.
    pub fn seal(&mut self, version: u64) -> SealedChanges {
        let mut slots = Vec::new();
        for (slot, dirty) in self.dirty.iter_mut().enumerate() {
            if !dirty.all && dirty.cells.is_empty() {
                continue;
            }
            let cells = read(&self.shared.slots[slot].cells);
            let changed = if dirty.all {
                DirtyCells::All(cells.bits(), cells.all_nodes())
            } else {
                if !dirty.cells.is_sorted() {
                    dirty.cells.sort_unstable();
                }
                dirty.cells.dedup();
                DirtyCells::Some(cells.nodes(&dirty.cells))
            };
            slots.push((slot, changed));
            dirty.cells.clear();
            dirty.all = false;
        }
        SealedChanges {
            version,
            key_count: self.key_count,
            slots,
        }
    }

    fn check(&self, requirements: &[(Digest, Requirement)]) -> Result<(), Refusal> {
        for &(key_hash, requirement) in requirements {
            let cells = self.shared.slots[slot_of(&key_hash)].cells();
            let leaf = cells.get(&key_hash);
            let holds = match requirement {
                Requirement::Absent => leaf.is_none(),
                Requirement::ValueHash(value_hash) => {
                    leaf.is_some_and(|leaf| leaf.value_hash == value_hash)
                }
            };
            if !holds {
                return Err(Refusal::RequirementFailed { key_hash });
            }
        }
        Ok(())
    }

    fn walk(
        &mut self,
        writes: &[Write],
        version: u64,
        origin: &Origin<'_>,
        policy: CollisionPolicy,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        let mut walk = Walk {
            writes,
            origin,
            policy,
            changes,
            merged: &mut self.merged,
            gained: 0,
        };
        let mut start = 0;
        while start < writes.len() {
            let slot = slot_of(&writes[start].key_hash);
            let end =
                start + writes[start..].partition_point(|write| slot_of(&write.key_hash) == slot);
            let dirty = &mut self.dirty[slot];
            let mut cells = write(&self.shared.slots[slot].cells);
            while start < end {
                let (bits, depth) = (cells.bits(), cells.depth());
                let index = cell_of(&writes[start].key_hash, bits);
                let mine = writes[start..end]
                    .iter()
                    .take_while(|write| cell_of(&write.key_hash, bits) == index)
                    .count();
                let outcome = cells.change(index, version, |node| {
                    let outcome = walk.update(node, depth, start..start + mine);
                    (!matches!(outcome, Ok(false)), walk.gained, outcome)
                });
                self.key_count = self.key_count.saturating_add_signed(walk.gained);
                if outcome? {
                    dirty.cells.push(index);
                }
                start += mine;
            }
            dirty.all |= cells.resize(version);
        }
        Ok(())
    }

    /// Puts back what a refused submission had changed before the refusal. Since the fold does not
    /// depend on history, restoring the leaves restores every digest.
    fn undo(&mut self, mut changes: Vec<Change>, version: u64) {
        changes.sort_unstable_by_key(|change| change.key_hash);
        let origins: Vec<u64> = changes
            .iter()
            .map(|change| change.before.map_or(0, |before| before.origin))
            .collect();
        let writes: Vec<Write> = changes
            .iter()
            .map(|change| {
                let value_hash = change.before.map(|before| before.value_hash);
                Write {
                    key_hash: change.key_hash,
                    value_hash: value_hash.unwrap_or(ZERO),
                    digest: value_hash.map_or(ZERO, |value_hash| {
                        leaf_digest(&change.key_hash, &value_hash)
                    }),
                    order: 0,
                }
            })
            .collect();
        let origin = Origin::Restored(&origins);
        let policy = CollisionPolicy::Bucket;
        let undone = self.walk(&writes, version, &origin, policy, &mut Vec::new());
        debug_assert!(undone.is_ok(), "the state restored was legal");
    }
}
