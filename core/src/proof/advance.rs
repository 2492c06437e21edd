//! Moves a proof to a later version with a proof of the change, without the tree or its operator.
//!
//! The change is itself a proof: of all keys that were written in between, at the later version. Below the point where
//! the path of an unwritten key departs from those of the written ones, everything is unchanged and in the old proof;
//! everything above is in the change.
//!
//! The result must be verified with [`super::verify()`] against the root of the later version; a change that leaves out
//! a written key leads to another root.

use alloc::vec::Vec;

use super::verify::{DigestIndex, End, Plan, VerifyProofError, find_ends, hash_keys};
use super::{Claim, Entry, Place, Proof, ShownLeaf, Siblings, Terminal, Top, VersionProof};
use crate::hash::Digest;
use crate::params::{PATH_BITS, ROOT_BITS, TreeParams, path_of};

/// The reason why a proof was not moved.
///
/// ```
/// use trunkline_core::hash::ZERO;
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::proof::*;
/// # let absent = |version| Proof {
/// #     params: TreeParams::default(),
/// #     versions: vec![VersionProof {
/// #         version,
/// #         record: None,
/// #         entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
/// #         terminals: vec![Terminal { depth: 7, place: Place::Empty }],
/// #         siblings: Siblings::default(),
/// #         top: Top::Hash { siblings: Siblings::from_iter([ZERO; 7]) },
/// #     }],
/// #     opening: None,
/// # };
/// // `absent(version)` says that "alice" is absent then.
/// let error = advance(&absent(2), &absent(1)).unwrap_err();
/// assert_eq!(error, AdvanceError::Backwards { from: 2, to: 1 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvanceError {
    /// A proof does not have exactly one version.
    #[error("proof and change must have one version each; this one has {0}")]
    Versions(usize),
    /// The proofs are of different trees.
    #[error("proof and change are of different trees")]
    Tree,
    /// The change is not later than the proof.
    #[error("a proof of version {from} cannot be moved to version {to}")]
    Backwards {
        /// Version of the proof.
        from: u64,
        /// Version of the change.
        to: u64,
    },
    /// A proof has a KZG top, which has no siblings of the slots.
    #[error("only proofs with hash tops can be moved; ask for one")]
    NeedsHashTop,
    /// The proof breaks a rule.
    #[error("the proof breaks a rule")]
    Proof(#[source] VerifyProofError),
    /// The change breaks a rule.
    #[error("the change breaks a rule")]
    Change(#[source] VerifyProofError),
    /// The old proof does not show a subtree that the change leaves unchanged.
    #[error("proof and change contradict each other; one of them is of another state")]
    Contradiction,
}

/// Moves a proof with a hash top to the version of `change`: a proof with a hash top of every key that was written
/// since, at that version.
///
/// ```
/// use trunkline_core::hash::ZERO;
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::proof::*;
/// # let proof = |version, key: &str, claim, place| Proof {
/// #     params: TreeParams::default(),
/// #     versions: vec![VersionProof {
/// #         version,
/// #         record: None,
/// #         entries: vec![Entry { key: key.into(), claim }],
/// #         terminals: vec![Terminal { depth: 7, place }],
/// #         siblings: Siblings::default(),
/// #         top: Top::Hash { siblings: Siblings::from_iter([ZERO; 7]) },
/// #     }],
/// #     opening: None,
/// # };
/// // At version 0 "alice" is absent; at version 1 "bob" is put.
/// let alice = proof(0, "alice", Claim::Absent, Place::Empty);
/// let change = proof(1, "bob", Claim::Present(b"7".to_vec()), Place::OwnLeaf);
/// let moved = advance(&alice, &change)?;
/// // It leads to the root of version 1.
/// let root = |proof| verify(proof, &Expected::Carried).map(|verified| verified.root);
/// assert_eq!(root(&moved), root(&change));
/// # Ok::<(), AdvanceError>(())
/// ```
pub fn advance(proof: &Proof, change: &Proof) -> Result<Proof, AdvanceError> {
    let [old] = &proof.versions[..] else {
        return Err(AdvanceError::Versions(proof.versions.len()));
    };
    let [new] = &change.versions[..] else {
        return Err(AdvanceError::Versions(change.versions.len()));
    };
    if proof.params != change.params {
        return Err(AdvanceError::Tree);
    }
    if new.version <= old.version {
        return Err(AdvanceError::Backwards {
            from: old.version,
            to: new.version,
        });
    }
    for (proof, wrap) in [
        (proof, AdvanceError::Proof as fn(VerifyProofError) -> _),
        (change, AdvanceError::Change as fn(VerifyProofError) -> _),
    ] {
        proof.check_form().map_err(|error| wrap(error.into()))?;
    }
    let mut plan = Plan::new();
    let before = Shown::read(&proof.params, old, &mut plan, AdvanceError::Proof)?;
    let after = Shown::read(&proof.params, new, &mut plan, AdvanceError::Change)?;
    plan.run();
    let mut moving = Moving {
        before: &before,
        after: &after,
        plan: &plan,
        entries: current_entries(old, &before.key_hashes, new, &after.key_hashes),
        terminals: Vec::new(),
        siblings: Siblings::default(),
        top_siblings: Siblings::default(),
    };
    moving.walk(before.root, after.root, 0, 0..old.entries.len())?;
    Ok(Proof {
        params: proof.params,
        versions: [VersionProof {
            version: new.version,
            record: new.record.clone(),
            entries: moving.entries,
            terminals: moving.terminals,
            siblings: moving.siblings,
            top: Top::Hash {
                siblings: moving.top_siblings,
            },
        }]
        .into(),
        opening: None,
    })
}

/// Returns the old entries, with the claims of the change where it has any.
fn current_entries(
    old: &VersionProof,
    old_hashes: &[Digest],
    new: &VersionProof,
    new_hashes: &[Digest],
) -> Vec<Entry> {
    let current = |(entry, key_hash): (&Entry, &Digest)| {
        let written = new_hashes.binary_search(key_hash).ok();
        let claim = written.map_or(&entry.claim, |place| &new.entries[place].claim);
        let is_same = claim.value_hash() == entry.claim.value_hash();
        Entry {
            key: entry.key.clone(),
            // A value contains more than its hash.
            claim: match (claim, is_same) {
                (Claim::PresentHash(_), true) => entry.claim.clone(),
                _ => claim.clone(),
            },
        }
    };
    old.entries.iter().zip(old_hashes).map(current).collect()
}

/// The nodes of a tree that a proof shows, each identified by its index in the list.
struct Shown {
    key_hashes: Vec<Digest>,
    nodes: Vec<Node>,
    root: usize,
}

struct Node {
    digest: DigestIndex,
    kind: Kind,
}

enum Kind {
    /// Only its digest is known.
    Sibling,
    /// The indices of its halves.
    Fork(usize, usize),
    /// The whole subtree is known.
    End { depth: u32, held: Held },
}

/// The leaves below a terminal.
enum Held {
    Nothing,
    Leaf(ShownLeaf),
    Bucket(Vec<ShownLeaf>),
}

impl Shown {
    fn read(
        params: &TreeParams,
        proof: &VersionProof,
        plan: &mut Plan,
        wrap: fn(VerifyProofError) -> AdvanceError,
    ) -> Result<Self, AdvanceError> {
        let Top::Hash {
            siblings: top_siblings,
        } = &proof.top
        else {
            return Err(AdvanceError::NeedsHashTop);
        };
        let key_hashes = hash_keys(params, proof).map_err(wrap)?;
        let ends = find_ends(params, proof, &key_hashes, plan).map_err(wrap)?;
        let mut reading = Reading {
            proof,
            key_hashes: &key_hashes,
            siblings: proof.siblings.iter(),
            top_siblings: top_siblings.iter(),
            nodes: Vec::new(),
            plan,
        };
        let first = 0;
        let root = reading.subtree(&ends, first, 0).map_err(wrap)?;
        reading.finish().map_err(wrap).map(|nodes| Self {
            key_hashes,
            nodes,
            root,
        })
    }
}

/// A walk over the terminals and siblings of a proof.
struct Reading<'a, S, T> {
    proof: &'a VersionProof,
    key_hashes: &'a [Digest],
    siblings: S,
    top_siblings: T,
    nodes: Vec<Node>,
    plan: &'a mut Plan,
}

impl<S: Iterator<Item = Digest>, T: Iterator<Item = Digest>> Reading<'_, S, T> {
    /// Reads the node at `depth` over the terminals, the first of which has index `first`.
    fn subtree(
        &mut self,
        ends: &[End],
        first: usize,
        depth: u32,
    ) -> Result<usize, VerifyProofError> {
        match ends {
            [] => return self.sibling(depth),
            [end] if end.depth == depth => return Ok(self.end(end, first)),
            _ => {}
        }
        let bit = 1 << (PATH_BITS - 1 - depth);
        let middle = ends.partition_point(|end| end.path & bit == 0);
        let (left, right) = ends.split_at(middle);
        let left = self.subtree(left, first, depth + 1)?;
        let right = self.subtree(right, first + middle, depth + 1)?;
        let digests = [left, right].map(|half| self.nodes[half].digest);
        let is_empty_half_of_root = depth < ROOT_BITS && digests == [DigestIndex::EMPTY; 2];
        let digest = match is_empty_half_of_root {
            true => DigestIndex::EMPTY,
            false => self.plan.node_beside(depth, digests[0], digests[1]),
        };
        Ok(self.push(digest, Kind::Fork(left, right)))
    }

    fn sibling(&mut self, depth: u32) -> Result<usize, VerifyProofError> {
        let digest = match depth {
            0..=ROOT_BITS => {
                let sibling = self.top_siblings.next();
                sibling.ok_or(VerifyProofError::TopSiblingMissing)?
            }
            _ => {
                let sibling = self.siblings.next();
                sibling.ok_or(VerifyProofError::SiblingMissing)?
            }
        };
        let digest = self.plan.known(&digest);
        Ok(self.push(digest, Kind::Sibling))
    }

    fn end(&mut self, end: &End, index: usize) -> usize {
        let held = match &self.proof.terminals[index].place {
            Place::Empty => Held::Nothing,
            Place::OtherLeaf(leaf) => Held::Leaf(*leaf),
            Place::Bucket(members) => Held::Bucket(members.clone()),
            // It was found to have exactly one.
            Place::OwnLeaf => self.own_leaf(end).map_or(Held::Nothing, Held::Leaf),
        };
        let depth = end.depth;
        self.push(end.digest, Kind::End { depth, held })
    }

    fn own_leaf(&self, end: &End) -> Option<ShownLeaf> {
        let first = self
            .key_hashes
            .partition_point(|key_hash| path_of(key_hash) < end.path);
        let below = self.key_hashes.iter().zip(&self.proof.entries).skip(first);
        below
            .filter_map(|(key_hash, entry)| {
                Some(ShownLeaf {
                    key_hash: *key_hash,
                    value_hash: entry.claim.value_hash()?,
                })
            })
            .next()
    }

    fn push(&mut self, digest: DigestIndex, kind: Kind) -> usize {
        self.nodes.push(Node { digest, kind });
        self.nodes.len() - 1
    }

    /// Returns the nodes, if there is no unread rest.
    fn finish(mut self) -> Result<Vec<Node>, VerifyProofError> {
        if self.siblings.next().is_some() {
            return Err(VerifyProofError::SiblingUnused);
        }
        if self.top_siblings.next().is_some() {
            return Err(VerifyProofError::TopSiblingUnused);
        }
        Ok(self.nodes)
    }
}

/// The new proof under construction, depth first, left before right.
struct Moving<'a> {
    before: &'a Shown,
    after: &'a Shown,
    plan: &'a Plan,
    entries: Vec<Entry>,
    terminals: Vec<Terminal>,
    siblings: Siblings,
    top_siblings: Siblings,
}

impl Moving<'_> {
    /// Builds the part of the new proof for the subtree at `depth` that contains the entries of this range, which share
    /// a prefix. `before` may be a terminal further up.
    fn walk(
        &mut self,
        before: usize,
        after: usize,
        depth: u32,
        range: core::ops::Range<usize>,
    ) -> Result<(), AdvanceError> {
        let (old, new) = (self.before, self.after);
        if range.is_empty() {
            self.push_sibling(depth, new.nodes[after].digest);
            return Ok(());
        }
        match &new.nodes[after].kind {
            Kind::Fork(left, right) => {
                let [old_left, old_right] = match &old.nodes[before].kind {
                    Kind::Fork(left, right) => [*left, *right],
                    Kind::End { .. } => [before; 2],
                    Kind::Sibling => return Err(AdvanceError::Contradiction),
                };
                let bit = 1 << (PATH_BITS - 1 - depth);
                let hashes = &old.key_hashes[range.clone()];
                let middle = range.start + hashes.partition_point(|hash| path_of(hash) & bit == 0);
                self.walk(old_left, *left, depth + 1, range.start..middle)?;
                self.walk(old_right, *right, depth + 1, middle..range.end)
            }
            Kind::End { held, .. } => {
                self.push_terminal(depth, held, &range);
                Ok(())
            }
            Kind::Sibling => self.copy(before, depth, &range),
        }
    }

    /// Copies a subtree that the change leaves unchanged.
    fn copy(
        &mut self,
        before: usize,
        depth: u32,
        range: &core::ops::Range<usize>,
    ) -> Result<(), AdvanceError> {
        let old = self.before;
        let node = &old.nodes[before];
        match &node.kind {
            Kind::Sibling => {
                self.push_sibling(depth, node.digest);
                Ok(())
            }
            Kind::Fork(left, right) => {
                let bit = 1 << (PATH_BITS - 1 - depth);
                let hashes = &old.key_hashes[range.clone()];
                let middle = range.start + hashes.partition_point(|hash| path_of(hash) & bit == 0);
                self.copy(*left, depth + 1, &(range.start..middle))?;
                self.copy(*right, depth + 1, &(middle..range.end))
            }
            Kind::End { depth: at, held } if *at == depth => {
                self.push_terminal(depth, held, range);
                Ok(())
            }
            // It was alone higher up. Now it has a neighbour, and only one of the two is in this subtree.
            Kind::End { held, .. } => {
                let is_here = |leaf: &ShownLeaf| self.shares_prefix(leaf, depth, range);
                let held = match held {
                    Held::Leaf(leaf) if is_here(leaf) => Held::Leaf(*leaf),
                    Held::Bucket(_) => return Err(AdvanceError::Contradiction),
                    _ => Held::Nothing,
                };
                self.push_terminal(depth, &held, range);
                Ok(())
            }
        }
    }

    /// Returns whether a leaf is in the subtree at `depth` that contains the entries of a range.
    fn shares_prefix(&self, leaf: &ShownLeaf, depth: u32, range: &core::ops::Range<usize>) -> bool {
        let own = path_of(&self.before.key_hashes[range.start]);
        (own ^ path_of(&leaf.key_hash)) >> (PATH_BITS - depth) == 0
    }

    fn push_terminal(&mut self, depth: u32, held: &Held, range: &core::ops::Range<usize>) {
        let hashes = &self.before.key_hashes[range.clone()];
        let place = match held {
            Held::Nothing => Place::Empty,
            Held::Bucket(members) => Place::Bucket(members.clone()),
            Held::Leaf(leaf) if hashes.binary_search(&leaf.key_hash).is_ok() => Place::OwnLeaf,
            Held::Leaf(leaf) => Place::OtherLeaf(*leaf),
        };
        self.terminals.push(Terminal {
            depth: depth as u8,
            place,
        });
    }

    fn push_sibling(&mut self, depth: u32, digest: DigestIndex) {
        let digest = self.plan.digest(digest);
        match depth {
            0..=ROOT_BITS => self.top_siblings.push(&digest),
            _ => self.siblings.push(&digest),
        }
    }
}
