//! Merging sorted writes into what lies below one cell: copy what is shared, change in place what is
//! not.
//!
//! The cost of a write is the copy of its block. Digests are not touched: a branch that changed
//! merely loses its own, and that is how hashing finds it later. Not here: requirements and undo
//! (`writer`).

use std::sync::OnceLock;

use triomphe::Arc;

use super::node::{Branch, Leaf, MERGE_LEAVES_MAX, Node, branch_bits, child_of};
use crate::batch::Write;
use crate::hash::Digest;
use crate::outcome::Refusal;
use crate::params::{BUCKET_MEMBERS_MAX, CollisionPolicy, path_of};

/// A key whose leaf was changed, and what was there before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// Place of the write in its batch; `None` if another key of the batch evicted this one.
    pub(super) write: Option<u32>,
    pub(super) key_hash: Digest,
    pub(super) before: Option<Before>,
}

/// What of a leaf is needed to put it back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) value_hash: Digest,
    pub(super) origin: u64,
}

/// Where the origin of a written leaf comes from.
pub(super) enum Origin<'a> {
    /// All writes belong to one version.
    Version(u64),
    /// Each write restores a leaf of the past.
    Restored(&'a [u64]),
}

/// What one walk over the tree carries along.
pub(super) struct Walk<'a> {
    pub(super) writes: &'a [Write],
    pub(super) origin: &'a Origin<'a>,
    pub(super) policy: CollisionPolicy,
    pub(super) changes: &'a mut Vec<Change>,
    pub(super) merged: &'a mut Vec<Leaf>,
    /// Leaves gained less leaves lost in the node just updated.
    pub(super) gained: i64,
}

impl Walk<'_> {
    /// Applies `writes[range]`, all below `node`. Says whether anything changed; what changed before
    /// a refusal stands in `changes`.
    pub(super) fn update(
        &mut self,
        node: &mut Node,
        depth: u32,
        range: std::ops::Range<usize>,
    ) -> Result<bool, Refusal> {
        self.gained = 0;
        match node {
            Node::Empty => {
                let changed = self.update_block(&[], range)?;
                if changed {
                    *node = Node::build(self.merged, depth);
                }
                Ok(changed)
            }
            Node::Block(block) => {
                let changed = self.update_block(&block.slice, range)?;
                if changed {
                    *node = Node::build(self.merged, depth);
                }
                Ok(changed)
            }
            Node::Branch(branch) => {
                let outcome = self.update_branch(branch, depth, range);
                if matches!(outcome, Ok(true)) && branch.count <= MERGE_LEAVES_MAX {
                    self.merged.clear();
                    node.collect_leaves(self.merged);
                    *node = Node::build(self.merged, depth);
                }
                outcome
            }
        }
    }

    fn update_branch(
        &mut self,
        branch: &mut Arc<Branch>,
        depth: u32,
        range: std::ops::Range<usize>,
    ) -> Result<bool, Refusal> {
        let child_depth = depth + branch_bits(depth);
        let mut gained = 0;
        let mut changed = false;
        let mut start = range.start;
        while start < range.end {
            let index = child_of(&self.writes[start].key_hash, depth);
            let mine = self.writes[start..range.end]
                .partition_point(|write| child_of(&write.key_hash, depth) == index);
            let below = start..start + mine;
            start += mine;
            // A refusal half way leaves this version's nodes half changed; the changes made so far
            // are recorded, the counts below are kept right, and the caller takes them back.
            let outcome = match Arc::get_mut(branch) {
                Some(own) => {
                    let outcome = self.update(&mut own.children[index], child_depth, below);
                    own.count = own.count.saturating_add_signed(self.gained);
                    if self.gained != 0 || !matches!(outcome, Ok(false)) {
                        own.digest = OnceLock::new();
                    }
                    outcome
                }
                None => {
                    let mut child = branch.children[index].clone();
                    let outcome = self.update(&mut child, child_depth, below);
                    if self.gained != 0 || !matches!(outcome, Ok(false)) {
                        let mut children = branch.children.clone();
                        children[index] = child;
                        *branch = Arc::new(Branch {
                            children,
                            count: branch.count.saturating_add_signed(self.gained),
                            digest: OnceLock::new(),
                        });
                    }
                    outcome
                }
            };
            gained += self.gained;
            match outcome {
                Ok(child_changed) => changed |= child_changed,
                Err(refusal) => {
                    self.gained = gained;
                    return Err(refusal);
                }
            }
        }
        self.gained = gained;
        Ok(changed)
    }

    /// Merges writes into the leaves of a block, into `merged`.
    fn update_block(
        &mut self,
        leaves: &[Leaf],
        range: std::ops::Range<usize>,
    ) -> Result<bool, Refusal> {
        let mark = self.changes.len();
        self.merged.clear();
        let mut old = leaves.iter().peekable();
        for index in range.clone() {
            let write = self.writes[index];
            while let Some(leaf) = old.next_if(|leaf| leaf.key_hash < write.key_hash) {
                self.merged.push(*leaf);
            }
            let before = old.next_if(|leaf| leaf.key_hash == write.key_hash);
            self.place(index, write, before);
        }
        self.merged.extend(old);
        if let Err(refusal) = self.settle_collisions(range) {
            self.changes.truncate(mark);
            self.gained = 0;
            return Err(refusal);
        }
        self.gained = self.merged.len() as i64 - leaves.len() as i64;
        Ok(self.changes.len() > mark)
    }

    fn place(&mut self, index: usize, write: Write, before: Option<&Leaf>) {
        let same = match before {
            None => write.is_delete(),
            Some(leaf) => leaf.value_hash == write.value_hash && !write.is_delete(),
        };
        if same {
            self.merged.extend(before.copied());
            return;
        }
        self.changes.push(Change {
            write: Some(index as u32),
            key_hash: write.key_hash,
            before: before.map(|leaf| Before {
                value_hash: leaf.value_hash,
                origin: leaf.origin,
            }),
        });
        if write.is_delete() {
            return;
        }
        let origin = match self.origin {
            Origin::Version(version) => *version,
            Origin::Restored(origins) => origins[index],
        };
        self.merged.push(Leaf {
            key_hash: write.key_hash,
            value_hash: write.value_hash,
            digest: write.digest,
            origin,
        });
    }

    /// Looks for keys of one path among the merged leaves and applies the policy to them.
    fn settle_collisions(&mut self, range: std::ops::Range<usize>) -> Result<(), Refusal> {
        let mut start = 0;
        while let Some(next) = first_collision(&self.merged[start..]) {
            start += next;
            let path = path_of(&self.merged[start].key_hash);
            let on_path = |leaves: &[Leaf]| {
                leaves
                    .iter()
                    .take_while(|leaf| path_of(&leaf.key_hash) == path)
                    .count()
            };
            let run = on_path(&self.merged[start..]);
            self.settle_run(start, run, range.clone())?;
            start += on_path(&self.merged[start..]);
        }
        Ok(())
    }

    #[cold]
    fn settle_run(
        &mut self,
        start: usize,
        run: usize,
        range: std::ops::Range<usize>,
    ) -> Result<(), Refusal> {
        let members = &self.merged[start..start + run];
        // The newest member: the last put of this batch, even one that changes nothing.
        let path = path_of(&members[0].key_hash);
        let newest = self.writes[range]
            .iter()
            .filter(|write| path_of(&write.key_hash) == path && !write.is_delete())
            .max_by_key(|write| write.order);
        let Some(newest) = newest.map(|write| write.key_hash) else {
            return Ok(());
        };
        match self.policy {
            CollisionPolicy::Bucket if run <= BUCKET_MEMBERS_MAX => Ok(()),
            CollisionPolicy::Bucket => Err(Refusal::BucketFull { key_hash: newest }),
            CollisionPolicy::Reject => Err(Refusal::PathTaken { key_hash: newest }),
            CollisionPolicy::Overwrite => {
                for leaf in members.iter().filter(|leaf| leaf.key_hash != newest) {
                    evict(self.changes, leaf);
                }
                self.merged
                    .retain(|leaf| leaf.key_hash == newest || path_of(&leaf.key_hash) != path);
                Ok(())
            }
        }
    }
}

/// Place of the first leaf whose right neighbour has the same path.
fn first_collision(leaves: &[Leaf]) -> Option<usize> {
    leaves
        .windows(2)
        .position(|two| path_of(&two[0].key_hash) == path_of(&two[1].key_hash))
}

/// Records that a leaf went because of a newer key on its path. A leaf that this very batch wrote
/// turns from written into removed, or into nothing at all if it was not there before.
fn evict(changes: &mut Vec<Change>, leaf: &Leaf) {
    let own = changes
        .iter()
        .rposition(|change| change.key_hash == leaf.key_hash);
    let before = match own {
        Some(index) => changes.remove(index).before,
        None => Some(Before {
            value_hash: leaf.value_hash,
            origin: leaf.origin,
        }),
    };
    if before.is_some() {
        changes.push(Change {
            write: None,
            key_hash: leaf.key_hash,
            before,
        });
    }
}
