//! The changes of a fork in one slot: copies of cells, and the digests above them.

use std::ops::Range;

use crate::hash::Digest;
use crate::outcome::Refusal;
use crate::params::{PATH_BITS, ROOT_BITS};
use crate::tree::cells::{cell_of, end_of_path};
use crate::tree::digests::Entry;
use crate::tree::node::{Leaf, Node};
use crate::tree::reader::Change;
use crate::tree::undo::{RECORD_BYTES, Undo};
use crate::tree::update::Update;
use crate::tree::versions::{Entries, find};

/// The version of all records: a fork has only one earlier state, that of the version below.
const BEFORE: u64 = 0;
const CHANGED: u64 = 1;
/// The bytes of a copied cell, without its leaves.
const CELL_BYTES: usize = size_of::<(u32, Node)>();

/// A slot of a fork.
#[derive(Clone, Debug)]
pub(in crate::tree) struct ForkSlot {
    /// The bits of the directory, which stay those of the version.
    pub(in crate::tree) bits: u32,
    /// The copied cells, in ascending order.
    cells: Vec<(u32, Node)>,
    /// The number of leaves in the copied cells.
    leaves: usize,
    /// The first leaf of each changed key, as in the version.
    undo: Undo,
    records: usize,
    /// The digests of the nodes above changed cells that are up to date, in descending order of nodes.
    pub(in crate::tree) entries: Entries,
    /// The cells that changed since.
    pub(in crate::tree) unhashed: Vec<u32>,
}

impl ForkSlot {
    pub(super) fn new(bits: u32) -> Self {
        Self {
            bits,
            cells: Vec::new(),
            leaves: 0,
            undo: Undo::default(),
            records: 0,
            entries: Entries::new(),
            unhashed: Vec::new(),
        }
    }

    /// Returns the binary depth of a cell.
    fn depth(&self) -> u32 {
        ROOT_BITS + self.bits
    }

    /// Returns approximately the bytes that it takes, including the digests that it will have.
    pub(super) fn bytes(&self) -> usize {
        let cells = self.cells.len();
        let levels = 0..=self.bits.min(PATH_BITS);
        let digests: usize = levels.map(|level| cells.min(1 << level)).sum();
        cells * CELL_BYTES
            + self.leaves * size_of::<Leaf>()
            + self.records * RECORD_BYTES
            + digests * size_of::<(u32, Entry)>()
    }

    /// Adds copies of those cells, given in ascending order, of which it has none.
    pub(super) fn copy(&mut self, cells: &[u32], node: impl Fn(u32) -> Node) {
        let copied = self.cells.len();
        for cell in cells {
            if place(&self.cells[..copied], *cell).is_err() {
                let node = node(*cell);
                self.leaves += node.leaves();
                self.cells.push((*cell, node));
            }
        }
        // Two ascending runs, which a stable sort merges.
        self.cells.sort_by_key(|(cell, _)| *cell);
    }

    /// Returns its copy of a cell.
    pub(in crate::tree) fn cell(&self, cell: u32) -> Option<&Node> {
        let place = place(&self.cells, cell).ok()?;
        Some(&self.cells[place].1)
    }

    /// Returns the entry of a node above the cells that it changed.
    pub(in crate::tree) fn entry(&self, node: u32) -> Option<Entry> {
        find(&self.entries, node)
    }

    /// Returns the leaf of a key hash, or `Some(None)` if it has none, if its cell was copied.
    pub(super) fn get(&self, key_hash: &Digest) -> Option<Option<Leaf>> {
        let node = self.cell(cell_of(key_hash, self.bits))?;
        Some(node.get(key_hash, self.depth()).copied())
    }

    /// Applies `writes[range]` to copied cells, path by path. Returns the number of leaves by which they grew. After a
    /// refusal the earlier paths stay changed until [`Self::roll_back`].
    pub(super) fn apply(
        &mut self,
        update: &mut Update<'_>,
        range: Range<usize>,
    ) -> Result<i64, Refusal> {
        let (bits, depth) = (self.bits, self.depth());
        let records = self.undo.open(CHANGED);
        let (mut start, mut grown) = (range.start, 0);
        while start < range.end {
            let cell = cell_of(&update.writes[start].key_hash, bits);
            let Ok(place) = place(&self.cells, cell) else {
                unreachable!("cells are copied before writes are applied to them")
            };
            let node = &mut self.cells[place].1;
            let mark = records.len();
            while start < range.end && cell_of(&update.writes[start].key_hash, bits) == cell {
                let end = end_of_path(update.writes, start..range.end);
                let gained = update.path(node, depth, start..end, records)?;
                self.leaves = self.leaves.saturating_add_signed(gained as isize);
                grown += gained;
                start = end;
            }
            if records.len() > mark {
                self.unhashed.push(cell);
            }
        }
        Ok(grown)
    }

    /// Accepts the submission that was being applied.
    pub(super) fn accept(&mut self) {
        self.undo.accept();
        self.records = self.undo.open(CHANGED).len();
    }

    /// Undoes the changes that a refused submission made before its refusal. Its cells are hashed once more.
    pub(super) fn roll_back(&mut self, version: u64) {
        let (bits, depth) = (self.bits, self.depth());
        for record in self.undo.take_open().into_iter().rev() {
            if let Ok(place) = place(&self.cells, cell_of(&record.key_hash, bits)) {
                let node = &mut self.cells[place].1;
                let gained = record.roll_back(node, depth, version);
                self.leaves = self.leaves.saturating_add_signed(gained as isize);
            }
        }
    }

    /// Returns the changed keys, in ascending order of key hashes.
    pub(super) fn changes(&self) -> impl Iterator<Item = Change> {
        let records = self.undo.changed_since(BEFORE, 0..1 << PATH_BITS);
        records.into_iter().map(|record| Change {
            key_hash: record.key_hash,
            then: record.leaf(),
            now: self.get(&record.key_hash).flatten(),
        })
    }
}

/// Returns the place of a cell, or the place that it would have.
fn place(cells: &[(u32, Node)], cell: u32) -> Result<usize, usize> {
    cells.binary_search_by_key(&cell, |(cell, _)| *cell)
}
