//! Digests of versions that the tree does not keep any more: taking them out while they are there, and walking a slot
//! that is made of them again.
//!
//! Of each slot that a version changed, its top is taken out, and the nodes seven levels below that changed. So a slot of
//! an old version consists of 128 digests, and of the leaves below those that somebody asks for. A slot whose directory
//! was smaller has its top only: its leaves are few. Not here: where all of it is stored.

use std::ops::RangeInclusive;

use super::TreeReader;
use super::cursor::View;
use super::digests::{Digests, Entry};
use super::eviction::key_hashes;
use super::fold::{fold_leaves, halves};
use super::node::{Leaf, bit_of};
use super::versions::LOWEST_KEPT_MAX;
use crate::hash::{Digest, ZERO};
use crate::params::{PATH_BITS, ROOT_BITS, WIDTH, slot_of};
use crate::store::past::{PastDigest, TOP_NODE};

/// The number of nodes of a slot whose digests are taken out, in addition to the top.
pub const PAST_NODES: usize = LOWEST_KEPT_MAX;
/// The number of levels between the top of a slot and these nodes.
const LEVELS: u32 = PAST_NODES.ilog2();

/// The digests that one version replaced.
///
/// ```
/// use trunkline_core::tree::ReplacedDigests;
/// assert!(ReplacedDigests::default().nodes.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplacedDigests {
    /// The version.
    pub version: u64,
    /// The slots with their former tops, in ascending order.
    pub tops: Vec<(u8, PastDigest)>,
    /// The slots and nodes (128 to 255) with their former digests, in ascending order.
    pub nodes: Vec<(u8, u8, PastDigest)>,
}

impl From<Entry> for PastDigest {
    fn from(entry: Entry) -> Self {
        Self {
            digest: entry.digest,
            lone: entry.lone,
            deep: false,
        }
    }
}

impl From<PastDigest> for Entry {
    fn from(node: PastDigest) -> Self {
        Self {
            digest: node.digest,
            lone: node.lone,
        }
    }
}

impl TreeReader {
    /// Returns the digests that each version of a range replaced. The versions were hashed, and those before the range
    /// may be retired.
    ///
    /// ```
    /// use trunkline_core::{params::CollisionPolicy, tree};
    /// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
    /// let replaced = writer.reader().replaced(1..=2);
    /// assert_eq!(replaced[1].version, 2);
    /// ```
    pub fn replaced(&self, versions: RangeInclusive<u64>) -> Vec<ReplacedDigests> {
        let first = *versions.start();
        let mut replaced: Vec<ReplacedDigests> = versions
            .clone()
            .map(|version| ReplacedDigests {
                version,
                ..ReplacedDigests::default()
            })
            .collect();
        for (slot, shared) in self.shared().slots.iter().enumerate() {
            shared
                .digests()
                .replaced(&versions, |version, node, digest| {
                    let replaced = &mut replaced[(version - first) as usize];
                    match node {
                        TOP_NODE => replaced.tops.push((slot as u8, digest)),
                        _ => replaced.nodes.push((slot as u8, node, digest)),
                    }
                });
        }
        for replaced in &mut replaced {
            replaced
                .nodes
                .sort_unstable_by_key(|(slot, node, _)| (*slot, *node));
        }
        replaced
    }

    /// Returns the top of a slot as a version saw it that is not retired.
    ///
    /// ```
    /// use trunkline_core::{params::CollisionPolicy, tree};
    /// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
    /// assert_eq!(writer.reader().top_at(0, 127).digest, [0; 32]);
    /// ```
    pub fn top_at(&self, version: u64, slot: usize) -> PastDigest {
        let digests = self.shared().slots[slot % WIDTH].digests();
        PastDigest {
            deep: digests.bits_at(version) >= LEVELS,
            ..digests.kept_at(version, u32::from(TOP_NODE)).into()
        }
    }

    /// Returns a node (128 to 255) of a slot as a version saw it that is not retired, if the slot was that deep.
    ///
    /// ```
    /// use trunkline_core::{params::CollisionPolicy, tree};
    /// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
    /// assert_eq!(writer.reader().node_at(0, 0, 128), None); // the slot is empty
    /// ```
    pub fn node_at(&self, version: u64, slot: usize, node: u8) -> Option<PastDigest> {
        let digests = self.shared().slots[slot % WIDTH].digests();
        let is_there = digests.bits_at(version) >= LEVELS && usize::from(node) >= PAST_NODES;
        is_there.then(|| digests.kept_at(version, u32::from(node)).into())
    }
}

/// Digests or leaves that do not fold to what a version had.
///
/// ```
/// let error = trunkline_core::tree::PastDiffers { slot: 3 };
/// assert!(error.to_string().contains("slot 3"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stored data of slot {slot} does not fold to the digest that the version had: the archive of versions is damaged; \
     restore the directory from a copy, or remove the archive (docs/OPERATIONS.md)"
)]
pub struct PastDiffers {
    /// The slot.
    pub slot: usize,
}

/// One slot of a version that the tree does not keep: digests above, and leaves where they were asked for.
///
/// ```
/// use trunkline_core::tree::PastSlot;
/// use trunkline_core::store::past::PastDigest;
/// let slot = PastSlot::new(3, PastDigest::default(), None).unwrap();
/// assert!(slot.missing(&[6; 32]).is_none()); // nothing is there
/// ```
#[derive(Debug)]
pub struct PastSlot {
    slot: usize,
    /// The number of levels with known digests below the top: 0 or [`LEVELS`].
    levels: u32,
    /// The known nodes as a heap; index 0 is not used.
    entries: Vec<Entry>,
}

/// The leaves below one node of a slot of a version.
#[derive(Debug)]
pub struct PastLeaves {
    node: u32,
    leaves: Vec<Leaf>,
}

impl PastSlot {
    /// Folds the nodes of a slot, if its top is deep; they must fold to the top.
    ///
    /// # Errors
    ///
    /// Fails if they do not.
    pub fn new(
        slot: usize,
        top: PastDigest,
        nodes: Option<&[PastDigest; PAST_NODES]>,
    ) -> Result<Self, PastDiffers> {
        let Some(nodes) = nodes else {
            let entries = vec![Entry::from(PastDigest::default()), top.into()];
            return Ok(Self {
                slot,
                levels: 0,
                entries,
            });
        };
        let mut entries = vec![Entry::from(PastDigest::default()); 2 * PAST_NODES];
        for (place, node) in nodes.iter().enumerate() {
            entries[PAST_NODES + place] = (*node).into();
        }
        for place in (1..PAST_NODES).rev() {
            entries[place] = Entry::join(entries[2 * place], entries[2 * place + 1]);
        }
        match entries[1] == Entry::from(top) {
            true => Ok(Self {
                slot,
                levels: LEVELS,
                entries,
            }),
            false => Err(PastDiffers { slot }),
        }
    }

    /// Returns the range of key hashes whose leaves show whether a key hash is there, with the node above them; `None` if
    /// the digests show that nothing is there.
    pub fn missing(&self, key_hash: &Digest) -> Option<(u32, RangeInclusive<Digest>)> {
        debug_assert_eq!(slot_of(key_hash), self.slot);
        let mut node: u32 = 1;
        loop {
            let entry = self.entries[node as usize];
            if entry.digest == ZERO {
                return None;
            }
            if node >> self.levels != 0 {
                break;
            }
            let right = match entry.lone {
                true => self.entries[2 * node as usize].digest == ZERO,
                false => bit_of(key_hash, ROOT_BITS + node.ilog2()),
            };
            node = 2 * node + u32::from(right);
        }
        Some((node, self.range(node, self.levels)))
    }

    /// Returns the ranges of key hashes below which the slot differs from what the tree has at a version that is not
    /// retired, ascending. As narrow as the digests of both can tell.
    pub fn differences(&self, reader: &TreeReader, version: u64) -> Vec<RangeInclusive<Digest>> {
        let top = reader.top_at(version, self.slot);
        if Entry::from(top) == self.entries[1] {
            return Vec::new();
        }
        let whole = || vec![self.range(1, 0)];
        if self.levels == 0 || !top.deep {
            return whole();
        }
        let mut ranges: Vec<RangeInclusive<Digest>> = Vec::new();
        let mut before = None;
        for node in PAST_NODES..2 * PAST_NODES {
            let Some(now) = reader.node_at(version, self.slot, node as u8) else {
                return whole();
            };
            if Entry::from(now) == self.entries[node] {
                continue;
            }
            let range = self.range(node as u32, self.levels);
            match ranges.last_mut() {
                Some(last) if before == Some(node - 1) => *last = *last.start()..=*range.end(),
                _ => ranges.push(range),
            }
            before = Some(node);
        }
        ranges
    }

    /// Returns the range of key hashes below a node that is this many levels below the top.
    fn range(&self, node: u32, levels: u32) -> RangeInclusive<Digest> {
        let shift = PATH_BITS - ROOT_BITS - levels;
        let prefix = (self.slot as u64) << levels | u64::from(node - (1 << levels));
        key_hashes(&(prefix << shift..(prefix + 1) << shift))
    }

    /// Takes the leaves of a range that [`Self::missing`] named, ascending; they must fold to the digest above them.
    ///
    /// # Errors
    ///
    /// Fails if they do not.
    pub fn load(&self, node: u32, leaves: Vec<Leaf>) -> Result<PastLeaves, PastDiffers> {
        let fold = Entry::from(fold_leaves(&leaves, ROOT_BITS + self.levels));
        match self.entries.get(node as usize) == Some(&fold) {
            true => Ok(PastLeaves { node, leaves }),
            false => Err(PastDiffers { slot: self.slot }),
        }
    }

    pub(crate) fn cursor<'a>(&'a self, loaded: &'a [PastLeaves]) -> PastCursor<'a> {
        let cursor = PastCursor {
            slot: self,
            loaded,
            place: Position::Node(1),
            depth: ROOT_BITS,
        };
        cursor.enter()
    }
}

/// A subtree of a [`PastSlot`] at a binary depth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PastCursor<'a> {
    slot: &'a PastSlot,
    loaded: &'a [PastLeaves],
    place: Position<'a>,
    depth: u32,
}

#[derive(Clone, Copy, Debug)]
enum Position<'a> {
    Node(u32),
    Leaves(&'a [Leaf]),
}

impl<'a> PastCursor<'a> {
    fn with(&self, place: Position<'a>, depth: u32) -> Self {
        Self {
            place,
            depth,
            ..*self
        }
    }

    /// Moves to the leaves of the cursor's node, if they were loaded.
    fn enter(self) -> Self {
        let Position::Node(node) = self.place else {
            return self;
        };
        match self.loaded.iter().find(|loaded| loaded.node == node) {
            Some(loaded) => self.with(Position::Leaves(&loaded.leaves), self.depth),
            None => self,
        }
    }

    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    pub(crate) fn digest(&self) -> Digest {
        match self.place {
            Position::Node(node) => self.slot.entries[node as usize].digest,
            Position::Leaves(leaves) => fold_leaves(leaves, self.depth).digest(),
        }
    }

    pub(crate) fn view(&self) -> View<'a> {
        match self.place {
            Position::Node(node) => {
                let entry = self.slot.entries[node as usize];
                match (
                    entry.digest == ZERO,
                    entry.lone && node >> self.slot.levels == 0,
                ) {
                    (true, _) => View::Empty,
                    (false, true) => {
                        let (left, right) = self.halves();
                        let side = if left.digest() == ZERO { right } else { left };
                        side.view()
                    }
                    (false, false) => View::Fork,
                }
            }
            Position::Leaves([]) => View::Empty,
            Position::Leaves([leaf]) => View::Leaf(leaf),
            Position::Leaves(leaves) if self.depth == PATH_BITS => View::Bucket(leaves),
            Position::Leaves(_) => View::Fork,
        }
    }

    pub(crate) fn halves(&self) -> (Self, Self) {
        let depth = self.depth + 1;
        match self.place {
            // No proof goes below a node whose leaves were not loaded.
            Position::Node(node) if node >> self.slot.levels != 0 => (
                self.with(Position::Leaves(&[]), depth),
                self.with(Position::Leaves(&[]), depth),
            ),
            Position::Node(node) => (
                self.with(Position::Node(2 * node), depth).enter(),
                self.with(Position::Node(2 * node + 1), depth).enter(),
            ),
            Position::Leaves(leaves) => {
                let (left, right) = halves(leaves, self.depth);
                (
                    self.with(Position::Leaves(left), depth),
                    self.with(Position::Leaves(right), depth),
                )
            }
        }
    }
}

impl Digests {
    /// Passes the top and the nodes of entries that each version of a range replaced.
    fn replaced(&self, versions: &RangeInclusive<u64>, mut take: impl FnMut(u64, u8, PastDigest)) {
        self.replaced_by(versions, |version, bits, node, entry| {
            if node == u32::from(TOP_NODE) {
                let deep = bits >= LEVELS;
                take(
                    version,
                    TOP_NODE,
                    PastDigest {
                        deep,
                        ..entry.into()
                    },
                );
            } else if node.ilog2() == LEVELS {
                take(version, node as u8, entry.into());
            }
        });
    }
}
