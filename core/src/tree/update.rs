//! Merging sorted writes into the leaves of one cell, in place.
//!
//! Writes are applied path by path, since the collision policy decides about all keys of a path together.
//! Every change leaves a record of the former leaf (`undo`). Digests are not touched. Not here: the walk
//! over slots and cells, requirements, and rolling back (`writer`, `cells`).

use std::ops::Range;

use super::node::{Leaf, Node, position_of};
use super::undo::{Before, Record};
use crate::batch::Write;
use crate::hash::Digest;
use crate::outcome::Refusal;
use crate::params::{BUCKET_MEMBERS_MAX, CollisionPolicy, path_of};

/// A submission in progress, with its changes so far.
pub(super) struct Update<'a> {
    pub(super) writes: &'a [Write],
    pub(super) version: u64,
    pub(super) policy: CollisionPolicy,
    /// The positions of writes that changed nothing.
    pub(super) unchanged: Vec<u32>,
    /// The keys that newer keys on their path displaced.
    pub(super) displaced: Vec<Digest>,
    /// The paths that lost a leaf; `None` if the tree has no budget.
    pub(super) removed: Option<Vec<u64>>,
}

impl Update<'_> {
    /// Applies the writes of one path, `writes[range]`, to its block below `node`, atomically. Returns the number of
    /// leaves by which the block grew. After a refusal the block and `records` are unchanged.
    #[inline]
    pub(super) fn path(
        &mut self,
        node: &mut Node,
        depth: u32,
        range: Range<usize>,
        records: &mut Vec<Record>,
    ) -> Result<i64, Refusal> {
        let key_hash = self.writes[range.start].key_hash;
        let block = node.block_mut(&key_hash, depth);
        let mut leaves = block.take();
        let (before, mark) = (leaves.len(), records.len());
        let mut collided = range.len() > 1;
        for index in range.clone() {
            collided |= self.write(&mut leaves, index, records);
        }
        if collided && let Err(refusal) = self.resolve_collision(&mut leaves, range, mark, records)
        {
            for record in records.drain(mark..).rev() {
                record.put_back(&mut leaves);
            }
            block.replace(leaves, self.version);
            return Err(refusal);
        }
        let gained = leaves.len() as i64 - before as i64;
        if records.len() == mark {
            block.put_back(leaves);
        } else {
            block.replace(leaves, self.version);
            node.rebalance(&key_hash, depth, self.version, gained);
        }
        Ok(gained)
    }

    /// Applies one write. Returns whether it added a leaf to a path that has another one.
    fn write(&mut self, leaves: &mut Vec<Leaf>, index: usize, records: &mut Vec<Record>) -> bool {
        let write = &self.writes[index];
        let key_hash = write.key_hash;
        match position_of(leaves, &key_hash) {
            Ok(place) => {
                let leaf = &mut leaves[place];
                if !write.is_delete() && leaf.value_hash == write.value_hash {
                    self.unchanged.push(index as u32);
                    return false;
                }
                let before = Some(Before::from(&*leaf));
                records.push(Record { key_hash, before });
                if write.is_delete() {
                    leaves.remove(place);
                    self.note_removal(&key_hash);
                } else {
                    leaf.value_hash = write.value_hash;
                    leaf.origin = self.version;
                }
                false
            }
            Err(_) if write.is_delete() => {
                self.unchanged.push(index as u32);
                false
            }
            Err(place) => {
                records.push(Record {
                    key_hash,
                    before: None,
                });
                leaves.reserve_exact(1);
                leaves.insert(
                    place,
                    Leaf {
                        key_hash,
                        value_hash: write.value_hash,
                        origin: self.version,
                    },
                );
                let path = path_of(&key_hash);
                let shares =
                    |leaf: Option<&Leaf>| leaf.is_some_and(|leaf| path_of(&leaf.key_hash) == path);
                shares(leaves.get(place + 1)) || place > 0 && shares(leaves.get(place - 1))
            }
        }
    }

    /// Applies the policy to the leaves of one path.
    #[cold]
    fn resolve_collision(
        &mut self,
        leaves: &mut Vec<Leaf>,
        range: Range<usize>,
        mark: usize,
        records: &mut Vec<Record>,
    ) -> Result<(), Refusal> {
        let writes = &self.writes[range.clone()];
        let path = path_of(&writes[0].key_hash);
        let on_path = |leaf: &&Leaf| path_of(&leaf.key_hash) == path;
        let members = leaves.iter().filter(on_path).count();
        // The newest member: the last put of this batch, even one that changes nothing.
        let puts = writes.iter().filter(|write| !write.is_delete());
        let newest = puts.max_by_key(|write| write.order);
        let Some(newest) = newest.map(|write| write.key_hash).filter(|_| members > 1) else {
            return Ok(());
        };
        match self.policy {
            CollisionPolicy::Bucket if members <= BUCKET_MEMBERS_MAX => Ok(()),
            CollisionPolicy::Bucket => Err(Refusal::BucketFull { key_hash: newest }),
            CollisionPolicy::Reject => Err(Refusal::PathTaken { key_hash: newest }),
            CollisionPolicy::Overwrite => {
                for leaf in leaves.iter().filter(on_path) {
                    if leaf.key_hash != newest {
                        self.displace(leaf, range.clone(), mark, records);
                    }
                }
                leaves.retain(|leaf| leaf.key_hash == newest || path_of(&leaf.key_hash) != path);
                Ok(())
            }
        }
    }

    fn note_removal(&mut self, key_hash: &Digest) {
        if let Some(removed) = &mut self.removed {
            removed.push(path_of(key_hash));
        }
    }

    /// Records that a newer key displaced a leaf on its path. A leaf that this batch wrote counts as displaced only if
    /// it existed before.
    fn displace(
        &mut self,
        leaf: &Leaf,
        range: Range<usize>,
        mark: usize,
        records: &mut Vec<Record>,
    ) {
        let key_hash = leaf.key_hash;
        self.note_removal(&key_hash);
        let mut own = records[mark..].iter();
        let Some(own) = own.position(|record| record.key_hash == key_hash) else {
            let before = Some(Before::from(leaf));
            records.push(Record { key_hash, before });
            self.displaced.push(key_hash);
            return;
        };
        let mut range = range;
        let write = range.find(|index| self.writes[*index].key_hash == key_hash);
        self.unchanged.extend(write.map(|index| index as u32));
        match records[mark + own].before {
            Some(_) => self.displaced.push(key_hash),
            None => {
                records.remove(mark + own);
            }
        }
    }
}
