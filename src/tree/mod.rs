//! The authenticated tree: which keys are there, with which values' hashes, and what they fold to.
//!
//! A [`Tree`] is cheap to clone: clones share every node until one of them changes it, so version
//! N stays readable while N + 1 is built. A [`TreeHasher`] turns a clone into a [`HashedTree`],
//! which has digests and can be proven. Not here: values and keys themselves (the tree knows their
//! hashes), storage, the KZG commitment over the slots.
//!
//! `node` is the memory layout, `update` applies a batch, `digest` folds, `cursor` walks for proofs.

mod cursor;
mod digest;
mod node;
mod update;

pub use digest::TreeHasher;
pub use node::Leaf;

pub(crate) use cursor::{Cursor, View};

use node::Node;
use update::{Change, Origin, Walk};

use crate::batch::{PreparedBatch, Requirement, Write, leaf_digest};
use crate::hash::{Digest, ZERO};
use crate::params::{CollisionPolicy, ROOT_BITS, WIDTH, slot_of};

/// Why a submission had no effect. It keeps its place in the sequence all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A requirement did not hold of the state before the submission.
    #[error(
        "a required value of key hash {} did not match",
        crate::hash::hex(key_hash)
    )]
    RequirementFailed {
        /// Hash of the key.
        key_hash: Digest,
    },
    /// A bucket would get a member too many.
    #[error("the bucket of key hash {} is full", crate::hash::hex(key_hash))]
    BucketFull {
        /// Hash of the newest key of the bucket.
        key_hash: Digest,
    },
    /// Another key has the path, and the policy is `reject`.
    #[error(
        "the path of key hash {} is taken by another key",
        crate::hash::hex(key_hash)
    )]
    PathTaken {
        /// Hash of the newest key on the path.
        key_hash: Digest,
    },
}

/// A key that a submission changed.
///
/// ```
/// use trunkline_core::{batch::{Batch, BatchLimits}, params::TreeParams, tree::Tree};
/// let params = TreeParams::default();
/// let mut batch = Batch::new();
/// batch.put("a", "1").delete("never there");
/// let prepared = batch.prepare(&params, &BatchLimits::default(), None).unwrap();
/// let changed = Tree::new(params.collision).apply(&prepared, 1).unwrap();
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

/// The keys and values' hashes of one moment. Clones share memory.
///
/// ```
/// use trunkline_core::{batch::{Batch, BatchLimits}, params::TreeParams, tree::Tree};
/// let params = TreeParams::default();
/// let mut tree = Tree::new(params.collision);
/// let mut batch = Batch::new();
/// batch.put("a", "1");
/// tree.apply(&batch.prepare(&params, &BatchLimits::default(), None).unwrap(), 1).unwrap();
/// assert!(tree.get(&params.key_hash(b"a")).is_some());
/// assert!(tree.get(&params.key_hash(b"b")).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Tree {
    slots: Box<[Node; WIDTH]>,
    key_count: u64,
    policy: CollisionPolicy,
}

impl Tree {
    /// The empty state.
    pub fn new(policy: CollisionPolicy) -> Self {
        Self {
            slots: Box::new([const { Node::Empty }; WIDTH]),
            key_count: 0,
            policy,
        }
    }

    /// A tree of leaves that are sorted strictly ascending by key hash; `None` if they are not.
    pub fn from_sorted(policy: CollisionPolicy, leaves: &[Leaf]) -> Option<Self> {
        if !leaves.is_sorted_by(|a, b| a.key_hash < b.key_hash) {
            return None;
        }
        let mut tree = Self::new(policy);
        let mut rest = leaves;
        for (slot, node) in tree.slots.iter_mut().enumerate() {
            let mine = rest.partition_point(|leaf| slot_of(&leaf.key_hash) <= slot);
            let (leaves, others) = rest.split_at(mine);
            *node = Node::build(leaves, ROOT_BITS);
            rest = others;
        }
        tree.key_count = leaves.len() as u64;
        Some(tree)
    }

    /// Keys present.
    pub fn key_count(&self) -> u64 {
        self.key_count
    }

    /// The leaf of a key hash, if the key is present.
    pub fn get(&self, key_hash: &Digest) -> Option<&Leaf> {
        self.slots[slot_of(key_hash)].get(key_hash, ROOT_BITS)
    }

    /// Appends the leaves of one root slot (0 to 127), in path order: a bounded piece of a walk over
    /// the whole state.
    pub fn collect_slot(&self, slot: usize, leaves: &mut Vec<Leaf>) {
        if let Some(node) = self.slots.get(slot) {
            node.collect_leaves(leaves);
        }
    }

    /// Applies a submission as part of a version, wholly or, if it is refused, not at all.
    ///
    /// Returns what really changed, ascending by key hash: a put of the value that is there and a
    /// delete of a key that is not there change nothing.
    pub fn apply(&mut self, batch: &PreparedBatch, version: u64) -> Result<Vec<Changed>, Refusal> {
        self.check(&batch.requirements)?;
        let mut changes = Vec::with_capacity(batch.writes.len());
        let walked = self.walk(
            &batch.writes,
            Origin::Version(version),
            self.policy,
            &mut changes,
        );
        if let Err(refusal) = walked {
            self.undo(changes);
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

    /// Applies effects that were resolved before, as a commit log holds them: nothing is refused.
    /// `writes` are sorted strictly ascending by key hash.
    pub fn replay(&mut self, writes: &[Write], version: u64) {
        let mut changes = Vec::new();
        // A log of policy `overwrite` or `reject` holds no two keys of one path, so that the most
        // permissive policy replays all three; it can only refuse a 17th member, which no log has.
        let _ = self.walk(
            writes,
            Origin::Version(version),
            CollisionPolicy::Bucket,
            &mut changes,
        );
    }

    fn check(&self, requirements: &[(Digest, Requirement)]) -> Result<(), Refusal> {
        for &(key_hash, requirement) in requirements {
            let holds = match (requirement, self.get(&key_hash)) {
                (Requirement::Absent, leaf) => leaf.is_none(),
                (Requirement::ValueHash(value_hash), leaf) => {
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
        origin: Origin<'_>,
        policy: CollisionPolicy,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        let mut walk = Walk {
            writes,
            origin,
            policy,
            changes,
            merged: Vec::new(),
            gained: 0,
        };
        let mut start = 0;
        while start < writes.len() {
            let slot = slot_of(&writes[start].key_hash);
            let mine = writes[start..].partition_point(|write| slot_of(&write.key_hash) == slot);
            let outcome = walk.update(&mut self.slots[slot], ROOT_BITS, start..start + mine);
            self.key_count = self.key_count.saturating_add_signed(walk.gained);
            outcome?;
            start += mine;
        }
        Ok(())
    }

    /// Puts back what a refused submission had changed before the refusal. Since the fold does not
    /// depend on history, restoring the leaves restores every digest.
    fn undo(&mut self, mut changes: Vec<Change>) {
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
        let mut undone = Vec::new();
        // The state restored was legal, so this cannot be refused.
        let _ = self.walk(
            &writes,
            Origin::Restored(&origins),
            CollisionPolicy::Bucket,
            &mut undone,
        );
    }
}

/// A tree with all its digests: what a root stands for and proofs are made from.
///
/// ```
/// use trunkline_core::{batch::{Batch, BatchLimits}, params::TreeParams, tree::{Tree, TreeHasher}};
/// let params = TreeParams::default();
/// let mut tree = Tree::new(params.collision);
/// let mut batch = Batch::new();
/// batch.put("a", "1");
/// tree.apply(&batch.prepare(&params, &BatchLimits::default(), None).unwrap(), 1).unwrap();
/// let hashed = TreeHasher::new(1).hash(tree, None);
/// let slot = trunkline_core::params::slot_of(&params.key_hash(b"a"));
/// assert_eq!(hashed.slots()[slot], hashed.tree().get(&params.key_hash(b"a")).unwrap().digest);
/// ```
#[derive(Clone, Debug)]
pub struct HashedTree {
    tree: Tree,
    slots: Box<[Digest; WIDTH]>,
    state_digest: Digest,
}

impl HashedTree {
    /// The tree itself.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The digests of the 128 slots of the root node.
    pub fn slots(&self) -> &[Digest; WIDTH] {
        &self.slots
    }

    /// The digest of the whole state: equal digests mean equal states.
    pub fn state_digest(&self) -> &Digest {
        &self.state_digest
    }

    /// A cursor at a slot of the root node.
    pub(crate) fn cursor(&self, slot: usize) -> Cursor<'_> {
        Cursor::at(&self.tree.slots[slot], ROOT_BITS)
    }
}
